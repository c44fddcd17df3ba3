//! Weights by name, for files and fixtures.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};

use crate::Layer;

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

fn tensor(values: &[f32], device: &Device) -> Tensor<1> {
    Tensor::from_data(TensorData::new(values.to_vec(), [values.len()]), device)
}

impl Layer {
    /// Parameters and running statistics by full name.
    pub fn state(&self) -> Vec<NamedTensor> {
        let mut state = Vec::new();
        for (slot, param) in self.slots().iter().zip(&self.params) {
            state.push(NamedTensor {
                name: format!("{}.{}", self.name, slot.name),
                shape: slot.shape.clone(),
                values: values(param),
            });
        }
        for (norm, running) in self.norm_names().iter().zip(&self.running) {
            for (part, tensor) in [("mean", &running.mean), ("var", &running.var)] {
                let values = values(tensor);
                state.push(NamedTensor {
                    name: format!("{}.{norm}.running_{part}", self.name),
                    shape: vec![values.len()],
                    values,
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
            Ok(tensor(&found.values, device))
        };
        let params = self
            .slots()
            .iter()
            .map(|slot| get(format!("{}.{}", self.name, slot.name), &slot.shape))
            .collect::<Result<Vec<_>, _>>()?;
        let mut running = Vec::with_capacity(self.running.len());
        for (norm, old) in self.norm_names().iter().zip(&self.running) {
            let shape = old.mean.dims();
            running.push(crate::Running {
                mean: get(format!("{}.{norm}.running_mean", self.name), &shape)?,
                var: get(format!("{}.{norm}.running_var", self.name), &shape)?,
            });
        }
        self.params = params;
        self.running = running;
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
