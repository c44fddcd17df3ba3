//! Weights by name, for files and fixtures.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};

use crate::Layer;
use crate::layer::flat;

/// A tensor with its name and PyTorch shape, on the host.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedTensor {
    /// Full name, such as `stages.1.0.3.depthwise.weight`.
    pub name: String,
    /// Shape in PyTorch's order.
    pub shape: Vec<usize>,
    /// Values in row-major order.
    pub values: Vec<f32>,
}

/// Why weights do not fit a network.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum StateError {
    /// A tensor of the network is not among the weights.
    #[error("the weights have no tensor `{0}`, which this network needs")]
    Missing(String),
    /// A tensor has another shape than the network's.
    #[error("tensor `{name}` has shape {found:?}, this network needs {expected:?}")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// Shape in the weights.
        found: Vec<usize>,
        /// Shape in the network.
        expected: Vec<usize>,
    },
    /// The weights hold tensors that the network has no place for.
    #[error("the weights hold {count} tensors that this network has no place for, `{first}` first")]
    Extra {
        /// How many.
        count: usize,
        /// The first of them in alphabetical order.
        first: String,
    },
}

/// The values of a tensor, on the host.
pub(crate) fn values(tensor: &Tensor<1>) -> Vec<f32> {
    tensor
        .clone()
        .inner()
        .into_data()
        .try_into_vec::<f32>()
        .expect("weights are f32")
}

impl Layer {
    /// Values that lie as this layer's parameters do (the parameters themselves, a gradient, a momentum)
    /// parted by name.
    pub fn part(&self, flat: &Tensor<1>) -> Vec<NamedTensor> {
        let values = values(flat);
        let mut rest = &values[..];
        self.slots()
            .iter()
            .map(|slot| {
                let (own, after) = rest.split_at(slot.len());
                rest = after;
                NamedTensor {
                    name: format!("{}.{}", self.name, slot.name),
                    shape: slot.shape.clone(),
                    values: own.to_vec(),
                }
            })
            .collect()
    }

    /// Parameters and running statistics by full name.
    pub fn state(&self) -> Vec<NamedTensor> {
        let mut state = self.part(&self.params);
        let running = self.running.as_ref().map(values).unwrap_or_default();
        let mut rest = &running[..];
        for (norm, channels) in self.norms() {
            for part in ["mean", "var"] {
                let (own, after) = rest.split_at(channels);
                rest = after;
                state.push(NamedTensor {
                    name: format!("{}.{norm}.running_{part}", self.name),
                    shape: vec![channels],
                    values: own.to_vec(),
                });
            }
        }
        state
    }

    /// Takes this layer's tensors out of `state` by name.
    ///
    /// # Errors
    /// [`StateError::Missing`] or [`StateError::Shape`]; the layer is then unchanged.
    pub fn take(
        &mut self,
        state: &mut BTreeMap<String, NamedTensor>,
        device: &Device,
    ) -> Result<(), StateError> {
        let mut get = |name: String, expected: &[usize]| {
            let found = state
                .remove(&name)
                .ok_or_else(|| StateError::Missing(name.clone()))?;
            if found.shape != expected {
                return Err(StateError::Shape {
                    name,
                    found: found.shape,
                    expected: expected.to_vec(),
                });
            }
            Ok(found.values)
        };
        let (mut params, mut running) = (Vec::new(), Vec::new());
        for slot in self.slots() {
            params.extend(get(format!("{}.{}", self.name, slot.name), &slot.shape)?);
        }
        for (norm, channels) in self.norms() {
            for part in ["mean", "var"] {
                let name = format!("{}.{norm}.running_{part}", self.name);
                running.extend(get(name, &[channels])?);
            }
        }
        self.params = flat(params, device);
        self.running = (!running.is_empty()).then(|| flat(running, device));
        Ok(())
    }
}

/// Loads `state` into `layers`, which must use every tensor of it. On an error nothing is changed.
pub(crate) fn load<'a>(
    layers: impl Iterator<Item = &'a mut Layer>,
    state: Vec<NamedTensor>,
    device: &Device,
) -> Result<(), StateError> {
    let mut state: BTreeMap<_, _> = state.into_iter().map(|t| (t.name.clone(), t)).collect();
    let layers: Vec<_> = layers.collect();
    let mut fresh: Vec<Layer> = layers.iter().map(|layer| (**layer).clone()).collect();
    for layer in &mut fresh {
        layer.take(&mut state, device)?;
    }
    if let Some(first) = state.keys().next() {
        return Err(StateError::Extra {
            count: state.len(),
            first: first.clone(),
        });
    }
    for (old, new) in layers.into_iter().zip(fresh) {
        *old = new;
    }
    Ok(())
}
