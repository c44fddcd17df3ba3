//! The operators written in Burn's operations: right on every device, fast on none.

use burn::tensor::activation::{relu, silu};
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use burn::tensor::Tensor;
use creamery_space::{Activation, LayerSpec};

use super::{BatchStats, NORM_EPSILON, Norm, Running};

/// See [`super::feature_map`].
pub fn feature_map(
    spec: &LayerSpec,
    x: Tensor<4>,
    params: &[Tensor<1>],
    running: &[Running],
    norm: Norm,
) -> (Tensor<4>, Vec<BatchStats>) {
    let mut norms = Norms::new(norm, running);
    let mut params = params.iter().cloned();
    let mut next = || params.next().expect("one tensor for each slot of the layer");
    let y = match *spec {
        LayerSpec::ConvNorm {
            in_channels,
            out_channels,
            kernel,
            stride,
            activation,
        } => {
            let y = dense(x, next(), in_channels, out_channels, kernel, stride);
            let y = norms.apply(y, next(), next());
            match activation {
                Some(Activation::Silu) => silu(y),
                None => y,
            }
        }
        LayerSpec::DepthwiseSeparable {
            in_channels,
            out_channels,
            kernel,
            stride,
            squeeze,
        } => {
            let y = depthwise(x.clone(), next(), in_channels, kernel, stride);
            let mut y = silu(norms.apply(y, next(), next()));
            if squeeze > 0 {
                y = squeeze_excite(y, [next(), next(), next(), next()]);
            }
            let y = pointwise(y, next(), out_channels);
            let y = norms.apply(y, next(), next());
            if spec.has_residual() { x + y } else { y }
        }
        LayerSpec::InvertedResidual {
            mid_channels,
            out_channels,
            kernel,
            stride,
            squeeze,
            ..
        } => {
            let y = pointwise(x.clone(), next(), mid_channels);
            let y = silu(norms.apply(y, next(), next()));
            let y = depthwise(y, next(), mid_channels, kernel, stride);
            let mut y = silu(norms.apply(y, next(), next()));
            if squeeze > 0 {
                y = squeeze_excite(y, [next(), next(), next(), next()]);
            }
            let y = pointwise(y, next(), out_channels);
            let y = norms.apply(y, next(), next());
            if spec.has_residual() { x + y } else { y }
        }
        LayerSpec::Head { .. } | LayerSpec::Classifier { .. } => {
            panic!("{spec:?} does not yield a feature map")
        }
    };
    (y, norms.seen)
}

/// See [`super::head`].
pub fn head(x: Tensor<4>, weight: Tensor<1>, bias: Tensor<1>) -> Tensor<2> {
    silu(linear(pool(x), weight, bias))
}

/// See [`super::linear`].
pub fn linear(x: Tensor<2>, weight: Tensor<1>, bias: Tensor<1>) -> Tensor<2> {
    let [_, features] = x.dims();
    let [outputs] = bias.dims();
    x.matmul(weight.reshape([outputs, features]).transpose()) + bias.reshape([1, outputs])
}

/// Global average pool: `[n, h, w, c]` to `[n, c]`.
pub fn pool(x: Tensor<4>) -> Tensor<2> {
    let [n, h, w, c] = x.dims();
    x.reshape([n, h * w, c]).mean_dim(1).reshape([n, c])
}

/// 1x1 convolution as a matrix product over all pixels.
fn pointwise(x: Tensor<4>, weight: Tensor<1>, out: usize) -> Tensor<4> {
    let [n, h, w, c] = x.dims();
    x.reshape([n * h * w, c])
        .matmul(weight.reshape([out, c]).transpose())
        .reshape([n, h, w, out])
}

fn dense(
    x: Tensor<4>,
    weight: Tensor<1>,
    inp: usize,
    out: usize,
    kernel: usize,
    stride: usize,
) -> Tensor<4> {
    if kernel == 1 && stride == 1 {
        return pointwise(x, weight, out);
    }
    conv(x, weight.reshape([out, inp, kernel, kernel]), stride, 1)
}

fn depthwise(
    x: Tensor<4>,
    weight: Tensor<1>,
    channels: usize,
    kernel: usize,
    stride: usize,
) -> Tensor<4> {
    let weight = weight.reshape([channels, 1, kernel, kernel]);
    conv(x, weight, stride, channels)
}

/// Burn's convolutions are NCHW.
fn conv(x: Tensor<4>, weight: Tensor<4>, stride: usize, groups: usize) -> Tensor<4> {
    let [_, _, kernel, _] = weight.dims();
    let pad = kernel / 2;
    let options = ConvOptions::new([stride, stride], [pad, pad], [1, 1], groups);
    conv2d(x.permute([0, 3, 1, 2]), weight, None, options).permute([0, 2, 3, 1])
}

fn squeeze_excite(x: Tensor<4>, [rw, rb, ew, eb]: [Tensor<1>; 4]) -> Tensor<4> {
    let [n, _, _, c] = x.dims();
    let gate = linear(relu(linear(pool(x.clone()), rw, rb)), ew, eb);
    let gate = (gate + 3.0).clamp(0.0, 6.0) / 6.0;
    x * gate.reshape([n, 1, 1, c])
}

/// The batch norms of one layer, in turn.
struct Norms<'a> {
    norm: Norm,
    running: std::slice::Iter<'a, Running>,
    seen: Vec<BatchStats>,
}

impl<'a> Norms<'a> {
    fn new(norm: Norm, running: &'a [Running]) -> Self {
        Self {
            norm,
            running: running.iter(),
            seen: Vec::with_capacity(running.len()),
        }
    }

    fn apply(&mut self, x: Tensor<4>, scale: Tensor<1>, shift: Tensor<1>) -> Tensor<4> {
        let [n, h, w, c] = x.dims();
        let row = |t: Tensor<1>| t.reshape([1, c]);
        let x = x.reshape([n * h * w, c]);
        let running = self.running.next().expect("one entry for each batch norm");
        let (centred, var) = match self.norm {
            Norm::Batch => {
                let mean = x.clone().mean_dim(0);
                let centred = x - mean.clone();
                let var = centred.clone().square().mean_dim(0);
                self.seen.push(BatchStats {
                    mean: mean.inner().reshape([c]),
                    var: var.clone().inner().reshape([c]),
                    count: n * h * w,
                });
                (centred, var)
            }
            Norm::Running => (
                x - row(running.mean.clone()),
                row(running.var.clone()),
            ),
        };
        let gain = (var + NORM_EPSILON).sqrt().recip() * row(scale);
        (centred * gain + row(shift)).reshape([n, h, w, c])
    }
}
