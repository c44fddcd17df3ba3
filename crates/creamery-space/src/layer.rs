//! The layers that networks are made of, with their shapes and costs.

use serde::Serialize;

use crate::cost::Cost;

/// A non-linearity after a batch norm.
///
/// Inside squeeze-excite there is always ReLU, and a hard sigmoid as the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Activation {
    /// `x * sigmoid(x)`, also called swish.
    Silu,
}

/// The shape of one layer, everything but the size of its maps.
///
/// Padding is `kernel / 2` on each side and kernels are odd, so a map of `n` pixels a side becomes one of
/// `ceil(n / stride)`. Convolutions have no bias and are followed by batch norm unless it says otherwise.
/// `squeeze` is the number of channels inside squeeze-excite (two 1x1 convolutions with biases between the
/// pooled channels); 0 means there is none.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum LayerSpec {
    /// Convolution, batch norm, activation.
    ConvNorm {
        /// Channels in.
        in_channels: usize,
        /// Channels out.
        out_channels: usize,
        /// Pixels a side of the kernel.
        kernel: usize,
        /// Step of the kernel.
        stride: usize,
        /// What follows the batch norm.
        activation: Option<Activation>,
    },
    /// Depthwise convolution with batch norm and SiLU, squeeze-excite, 1x1 convolution with batch norm;
    /// the input is added where shapes allow.
    DepthwiseSeparable {
        /// Channels in.
        in_channels: usize,
        /// Channels out.
        out_channels: usize,
        /// Pixels a side of the depthwise kernel.
        kernel: usize,
        /// Step of the depthwise kernel.
        stride: usize,
        /// Channels inside squeeze-excite, 0 for none.
        squeeze: usize,
    },
    /// 1x1 convolution to `mid_channels` with batch norm and SiLU, depthwise convolution with batch norm
    /// and SiLU, squeeze-excite, 1x1 convolution with batch norm; the input is added where shapes allow.
    InvertedResidual {
        /// Channels in.
        in_channels: usize,
        /// Channels in between, where the depthwise convolution works.
        mid_channels: usize,
        /// Channels out.
        out_channels: usize,
        /// Pixels a side of the depthwise kernel.
        kernel: usize,
        /// Step of the depthwise kernel.
        stride: usize,
        /// Channels inside squeeze-excite, 0 for none.
        squeeze: usize,
    },
    /// Global average pool, 1x1 convolution with bias and without batch norm, SiLU.
    Head {
        /// Channels in.
        in_channels: usize,
        /// Features out.
        head_channels: usize,
    },
    /// Linear layer with bias.
    Classifier {
        /// Features in.
        in_features: usize,
        /// Classes out.
        classes: usize,
    },
}

impl LayerSpec {
    /// Channels (or features) that the layer takes.
    pub fn in_channels(&self) -> usize {
        match *self {
            LayerSpec::ConvNorm { in_channels, .. }
            | LayerSpec::DepthwiseSeparable { in_channels, .. }
            | LayerSpec::InvertedResidual { in_channels, .. }
            | LayerSpec::Head { in_channels, .. } => in_channels,
            LayerSpec::Classifier { in_features, .. } => in_features,
        }
    }

    /// Channels (or features, or classes) that the layer gives.
    pub fn out_channels(&self) -> usize {
        match *self {
            LayerSpec::ConvNorm { out_channels, .. }
            | LayerSpec::DepthwiseSeparable { out_channels, .. }
            | LayerSpec::InvertedResidual { out_channels, .. } => out_channels,
            LayerSpec::Head { head_channels, .. } => head_channels,
            LayerSpec::Classifier { classes, .. } => classes,
        }
    }

    /// Step between outputs, in pixels of the input; 1 for the head and the classifier.
    pub fn stride(&self) -> usize {
        match *self {
            LayerSpec::ConvNorm { stride, .. }
            | LayerSpec::DepthwiseSeparable { stride, .. }
            | LayerSpec::InvertedResidual { stride, .. } => stride,
            LayerSpec::Head { .. } | LayerSpec::Classifier { .. } => 1,
        }
    }

    /// Whether the layer adds its input to its output: a block of stride 1 with as many channels out as in.
    pub fn has_residual(&self) -> bool {
        match *self {
            LayerSpec::DepthwiseSeparable { .. } | LayerSpec::InvertedResidual { .. } => {
                self.stride() == 1 && self.in_channels() == self.out_channels()
            }
            _ => false,
        }
    }

    /// Pixels a side of the output for `input_size` pixels a side of the input.
    pub fn output_size(&self, input_size: usize) -> usize {
        match self {
            LayerSpec::Head { .. } | LayerSpec::Classifier { .. } => 1,
            _ => input_size.div_ceil(self.stride()),
        }
    }

    /// The cost for one image whose maps are `input_size` pixels a side here.
    pub fn cost(&self, input_size: usize) -> Cost {
        let input = (input_size as u64).pow(2);
        let output = (self.output_size(input_size) as u64).pow(2);
        match *self {
            LayerSpec::ConvNorm {
                in_channels,
                out_channels,
                kernel,
                ..
            } => {
                let weights = (in_channels * out_channels * kernel * kernel) as u64;
                normed(weights, out_channels, output)
            }
            LayerSpec::DepthwiseSeparable {
                in_channels,
                out_channels,
                kernel,
                squeeze,
                ..
            } => {
                normed((in_channels * kernel * kernel) as u64, in_channels, output)
                    + squeeze_excite(in_channels, squeeze, output)
                    + normed((in_channels * out_channels) as u64, out_channels, output)
            }
            LayerSpec::InvertedResidual {
                in_channels,
                mid_channels,
                out_channels,
                kernel,
                squeeze,
                ..
            } => {
                normed((in_channels * mid_channels) as u64, mid_channels, input)
                    + normed(
                        (mid_channels * kernel * kernel) as u64,
                        mid_channels,
                        output,
                    )
                    + squeeze_excite(mid_channels, squeeze, output)
                    + normed((mid_channels * out_channels) as u64, out_channels, output)
            }
            LayerSpec::Head {
                in_channels,
                head_channels,
            } => pool(in_channels, input) + linear(in_channels, head_channels),
            LayerSpec::Classifier {
                in_features,
                classes,
            } => linear(in_features, classes),
        }
    }
}

/// A convolution of `weights` weights, each used once for each of `pixels` outputs, and its batch norm.
fn normed(weights: u64, out_channels: usize, pixels: u64) -> Cost {
    let channels = out_channels as u64;
    let macs = weights * pixels;
    Cost {
        macs,
        params: weights + 2 * channels,
        flops_thop: macs + 2 * channels * pixels,
        ..Cost::default()
    }
}

/// A linear layer, or a 1x1 convolution on one pixel, with bias.
fn linear(inputs: usize, outputs: usize) -> Cost {
    let macs = (inputs * outputs) as u64;
    Cost {
        macs,
        params: macs + outputs as u64,
        flops_thop: macs,
        ..Cost::default()
    }
}

/// A global average pool of `channels` maps of `pixels` pixels.
fn pool(channels: usize, pixels: u64) -> Cost {
    Cost {
        flops_thop: channels as u64 * (pixels + 1),
        ..Cost::default()
    }
}

fn squeeze_excite(channels: usize, squeeze: usize, pixels: u64) -> Cost {
    if squeeze == 0 {
        return Cost::default();
    }
    pool(channels, pixels) + linear(channels, squeeze) + linear(squeeze, channels)
}

/// The multiple of `divisor` nearest to `value`, at least `divisor` and never below 90% of `value`.
///
/// The rounding of channel counts in MobileNet V2 (Sandler et al. 2018, reference code).
pub fn make_divisible(value: f64, divisor: usize) -> usize {
    let rounded = ((value + divisor as f64 / 2.0) as usize / divisor * divisor).max(divisor);
    if (rounded as f64) < 0.9 * value {
        rounded + divisor
    } else {
        rounded
    }
}

/// One layer of a concrete network, where it stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Layer {
    /// `stem`, `first`, `stages.<stage>.<block>`, `last`, `head` or `classifier`.
    pub name: String,
    /// Its shape.
    pub spec: LayerSpec,
    /// Pixels a side of the maps that enter.
    pub input_size: usize,
    /// Pixels a side of the maps that leave.
    pub output_size: usize,
    /// What it costs for one image.
    pub cost: Cost,
    /// Stage, block and operation, for a layer that the architecture chose.
    pub choice: Option<(usize, usize, usize)>,
}

impl Layer {
    /// The name with the operation where one was chosen, such as `stages.1.0.3`: what supernets and latency tables
    /// call the layer.
    pub fn block_name(&self) -> String {
        match self.choice {
            Some((_, _, operation)) => format!("{}.{operation}", self.name),
            None => self.name.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_round_like_the_reference() {
        for (value, rounded) in [
            (0.5, 8),
            (4.0, 8),
            (11.9, 16),
            (12.0, 16),
            (18.0, 24),
            (24.0, 24),
            (27.0, 32),
            (28.0, 32),
            (36.0, 40),
            (288.0, 288),
        ] {
            assert_eq!(make_divisible(value, 8), rounded, "{value}");
        }
    }

    #[test]
    fn a_residual_needs_equal_shapes() {
        let block = |in_channels, out_channels, stride| LayerSpec::InvertedResidual {
            in_channels,
            mid_channels: 4 * in_channels,
            out_channels,
            kernel: 3,
            stride,
            squeeze: 8,
        };
        assert!(block(16, 16, 1).has_residual());
        assert!(!block(16, 16, 2).has_residual());
        assert!(!block(16, 24, 1).has_residual());
    }

    /// Counted by walking every output pixel and every tap of its kernel.
    #[test]
    fn multiplications_equal_a_walk_over_the_outputs() {
        for (size, kernel, stride, squeeze) in [(7, 3, 2, 8), (8, 5, 1, 0), (1, 7, 2, 3)] {
            let (inputs, mid, outputs) = (3, 12, 5);
            let spec = LayerSpec::InvertedResidual {
                in_channels: inputs,
                mid_channels: mid,
                out_channels: outputs,
                kernel,
                stride,
                squeeze,
            };
            let mut macs = 0;
            for _pixel in 0..size * size {
                macs += inputs * mid;
            }
            let positions = (0..size).step_by(stride).count();
            assert_eq!(spec.output_size(size), positions);
            for _pixel in 0..positions * positions {
                macs += mid * kernel * kernel + mid * outputs;
            }
            macs += 2 * mid * squeeze;
            assert_eq!(spec.cost(size).macs, macs as u64);
        }
    }
}
