//! A layer as data: its slots (named, shaped parameters and batch norms) and the tensors in them.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use creamery_space::LayerSpec;

use crate::{init, ops};

/// What a parameter is, which decides its initialisation and whether weight decay touches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// Convolution weight. Decays.
    Convolution,
    /// Linear weight. Decays.
    Linear,
    /// Additive bias of a convolution or linear layer.
    Bias,
    /// Scale of a batch norm.
    NormScale,
    /// Shift of a batch norm.
    NormShift,
}

impl ParamKind {
    /// Whether weight decay applies: to weights, not to biases and norms.
    pub fn decays(self) -> bool {
        matches!(self, Self::Convolution | Self::Linear)
    }
}

/// One parameter of a kind of layer: its name within the layer and its shape, in PyTorch's order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    /// Name within the layer, such as `depthwise.weight`.
    pub name: &'static str,
    /// `[out, in / groups, height, width]`, `[out, in]` or `[channels]`.
    pub shape: Vec<usize>,
    /// What the parameter is.
    pub kind: ParamKind,
}

impl Slot {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Whether the slot holds no value (never, for a valid space).
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn conv(name: &'static str, out: usize, inp: usize, kernel: usize) -> Slot {
    Slot {
        name,
        shape: vec![out, inp, kernel, kernel],
        kind: ParamKind::Convolution,
    }
}

fn bias(name: &'static str, len: usize) -> Slot {
    Slot {
        name,
        shape: vec![len],
        kind: ParamKind::Bias,
    }
}

fn norm(scale: &'static str, shift: &'static str, channels: usize) -> [Slot; 2] {
    [(scale, ParamKind::NormScale), (shift, ParamKind::NormShift)].map(|(name, kind)| Slot {
        name,
        shape: vec![channels],
        kind,
    })
}

/// Squeeze-excite, none if there are no channels inside it.
fn squeeze(channels: usize, squeeze: usize) -> Vec<Slot> {
    if squeeze == 0 {
        return Vec::new();
    }
    vec![
        conv("squeeze.reduce.weight", squeeze, channels, 1),
        bias("squeeze.reduce.bias", squeeze),
        conv("squeeze.expand.weight", channels, squeeze, 1),
        bias("squeeze.expand.bias", channels),
    ]
}

/// The parameters of a layer, in the order in which they lie in [`Layer::params`].
pub fn slots(spec: &LayerSpec) -> Vec<Slot> {
    let mut slots = Vec::new();
    match *spec {
        LayerSpec::ConvNorm {
            in_channels,
            out_channels,
            kernel,
            ..
        } => {
            slots.push(conv("conv.weight", out_channels, in_channels, kernel));
            slots.extend(norm("norm.weight", "norm.bias", out_channels));
        }
        LayerSpec::DepthwiseSeparable {
            in_channels,
            out_channels,
            kernel,
            squeeze: reduced,
            ..
        } => {
            slots.push(conv("depthwise.weight", in_channels, 1, kernel));
            slots.extend(norm("norm1.weight", "norm1.bias", in_channels));
            slots.extend(squeeze(in_channels, reduced));
            slots.push(conv("project.weight", out_channels, in_channels, 1));
            slots.extend(norm("norm2.weight", "norm2.bias", out_channels));
        }
        LayerSpec::InvertedResidual {
            in_channels,
            mid_channels,
            out_channels,
            kernel,
            squeeze: reduced,
            ..
        } => {
            slots.push(conv("expand.weight", mid_channels, in_channels, 1));
            slots.extend(norm("norm1.weight", "norm1.bias", mid_channels));
            slots.push(conv("depthwise.weight", mid_channels, 1, kernel));
            slots.extend(norm("norm2.weight", "norm2.bias", mid_channels));
            slots.extend(squeeze(mid_channels, reduced));
            slots.push(conv("project.weight", out_channels, mid_channels, 1));
            slots.extend(norm("norm3.weight", "norm3.bias", out_channels));
        }
        LayerSpec::Head {
            in_channels,
            head_channels,
        } => {
            slots.push(conv("conv.weight", head_channels, in_channels, 1));
            slots.push(bias("conv.bias", head_channels));
        }
        LayerSpec::Classifier {
            in_features,
            classes,
        } => {
            slots.push(Slot {
                name: "weight",
                shape: vec![classes, in_features],
                kind: ParamKind::Linear,
            });
            slots.push(bias("bias", classes));
        }
    }
    slots
}

/// One layer of a network with its weights.
///
/// All parameters of a layer are ONE flat tensor, slot after slot: an update, an average or a gradient of
/// a layer is then one operation on one buffer, and a fused operator takes the layer as it is. Tensors are
/// reference counted: cloning a layer shares its weights until one side replaces them.
#[derive(Clone, Debug)]
pub struct Layer {
    /// Name within the network, such as `stages.1.0.3` (stage, block, candidate).
    pub name: String,
    /// What the layer computes.
    pub spec: LayerSpec,
    /// The parameters, in the order of [`slots`].
    pub params: Tensor<1>,
    /// The ranges of `params` where weight decay applies, ascending and apart.
    pub decaying: Vec<Range<usize>>,
    /// For each batch norm in turn its running mean and its unbiased running variance; `None` for layers
    /// without batch norm.
    pub running: Option<Tensor<1>>,
}

impl Layer {
    /// A fresh layer: EfficientNet initialisation, running mean 0 and variance 1.
    ///
    /// Each parameter has a random stream of its own, named after it, so the values do not depend on
    /// which other layers the network has.
    pub fn new(name: &str, spec: &LayerSpec, seed: u64, device: &Device) -> Self {
        let (mut params, mut decaying, mut running) = (Vec::new(), Vec::new(), Vec::new());
        for slot in slots(spec) {
            let name = format!("{name}.{}", slot.name);
            let start = params.len();
            params.extend(init::values(&slot, seed, &name));
            if slot.kind.decays() {
                decaying.push(start..params.len());
            }
            if slot.kind == ParamKind::NormScale {
                running.extend(std::iter::repeat_n(0.0, slot.len()));
                running.extend(std::iter::repeat_n(1.0, slot.len()));
            }
        }
        Self {
            name: name.to_owned(),
            spec: spec.clone(),
            params: flat(params, device),
            decaying,
            running: (!running.is_empty()).then(|| flat(running, device)),
        }
    }

    /// The slots of this layer, in the order in which they lie in `params`.
    pub fn slots(&self) -> Vec<Slot> {
        slots(&self.spec)
    }

    /// The parameters, to be updated.
    pub fn params_mut(&mut self) -> LayerParams<'_> {
        LayerParams {
            name: &self.name,
            decaying: &self.decaying,
            value: &mut self.params,
        }
    }

    /// Moves the running statistics towards those of a batch, `seen`: `(1 - momentum) old + momentum new`,
    /// variances unbiased, as PyTorch does.
    pub fn absorb(&mut self, seen: Option<&Tensor<1>>, momentum: f64) {
        if let (Some(running), Some(seen)) = (&mut self.running, seen) {
            ops::blend(1.0 - momentum, running, momentum, seen);
        }
    }

    /// Name (`norm`, `norm1`, ..) and channels of each batch norm, in the order in which they lie in
    /// `running`.
    pub fn norms(&self) -> Vec<(&'static str, usize)> {
        norms(&self.spec)
    }
}

/// The parameters of one layer, to be updated.
#[derive(Debug)]
pub struct LayerParams<'a> {
    /// Name of the layer, such as `stages.1.0.3`.
    pub name: &'a str,
    /// The ranges where weight decay applies, ascending and apart.
    pub decaying: &'a [Range<usize>],
    /// All values, flat.
    pub value: &'a mut Tensor<1>,
}

/// Name and channels of each batch norm of a layer.
pub fn norms(spec: &LayerSpec) -> Vec<(&'static str, usize)> {
    slots(spec)
        .iter()
        .filter(|slot| slot.kind == ParamKind::NormScale)
        .map(|slot| (slot.name.trim_end_matches(".weight"), slot.len()))
        .collect()
}

/// A flat tensor of host values.
pub(crate) fn flat(values: Vec<f32>, device: &Device) -> Tensor<1> {
    let len = values.len();
    Tensor::from_data(TensorData::new(values, [len]), device)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_decay_and_biases_and_norms_do_not() {
        let spec = LayerSpec::InvertedResidual {
            in_channels: 8,
            mid_channels: 32,
            out_channels: 8,
            kernel: 3,
            stride: 1,
            squeeze: 8,
        };
        let decaying: Vec<_> = slots(&spec)
            .into_iter()
            .filter(|slot| slot.kind.decays())
            .map(|slot| slot.name)
            .collect();
        assert_eq!(
            decaying,
            [
                "expand.weight",
                "depthwise.weight",
                "squeeze.reduce.weight",
                "squeeze.expand.weight",
                "project.weight"
            ]
        );
    }
}
