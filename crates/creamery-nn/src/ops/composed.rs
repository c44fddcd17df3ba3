//! The operators written in Burn's operations: right on every device, fast on none.

use std::ops::Range;

use burn::tensor::Tensor;
use burn::tensor::activation::{relu, silu};
use burn::tensor::module::conv2d;
use burn::tensor::ops::ConvOptions;
use creamery_space::{Activation, LayerSpec};

use super::{Adamw, NORM_EPSILON, Norm, Rmsprop, Sgd};
use crate::slots;

/// See [`super::feature_map`].
pub fn feature_map(
    spec: &LayerSpec,
    x: Tensor<4>,
    params: &Tensor<1>,
    running: Option<&Tensor<1>>,
    norm: Norm,
) -> (Tensor<4>, Option<Tensor<1>>) {
    let mut norms = Norms::new(norm, running);
    let mut params = split(spec, params).into_iter();
    let mut next = || {
        params
            .next()
            .expect("one tensor for each slot of the layer")
    };
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
    (y, norms.seen())
}

/// See [`super::head`].
pub fn head(x: Tensor<4>, params: &Tensor<1>) -> Tensor<2> {
    silu(linear(pool(x), params))
}

/// See [`super::linear`].
pub fn linear(x: Tensor<2>, params: &Tensor<1>) -> Tensor<2> {
    let features = x.dims()[1];
    let outputs = params.dims()[0] / (features + 1);
    let weight = params.clone().narrow(0, 0, outputs * features);
    let bias = params.clone().narrow(0, outputs * features, outputs);
    affine(x, weight, bias)
}

/// See [`super::blend`].
pub fn blend(a: f64, x: Tensor<1>, b: f64, y: Tensor<1>) -> Tensor<1> {
    x * a + y * b
}

/// The inner product, one value; see [`super::dot`].
pub fn dot(x: Tensor<1>, y: Tensor<1>) -> Tensor<1> {
    (x * y).sum()
}

/// See [`super::sgd`]. Gives value and momentum.
pub fn sgd(
    value: Tensor<1>,
    momentum: Tensor<1>,
    grad: Tensor<1>,
    settings: &Sgd,
    decaying: &[Range<usize>],
) -> (Tensor<1>, Tensor<1>) {
    let grad = decayed(
        grad * settings.scale,
        &value,
        decaying,
        settings.weight_decay,
    );
    let momentum = momentum * settings.momentum + grad.clone();
    let change = match settings.nesterov {
        true => grad + momentum.clone() * settings.momentum,
        false => momentum.clone(),
    };
    (value - change * settings.lr, momentum)
}

/// See [`super::rmsprop`]. Gives value, momentum and squared average.
pub fn rmsprop(
    value: Tensor<1>,
    momentum: Tensor<1>,
    square: Tensor<1>,
    grad: Tensor<1>,
    settings: &Rmsprop,
    decaying: &[Range<usize>],
) -> (Tensor<1>, Tensor<1>, Tensor<1>) {
    let grad = decayed(
        grad * settings.scale,
        &value,
        decaying,
        settings.weight_decay,
    );
    let square = square.clone() + (grad.clone().square() - square) * (1.0 - settings.alpha);
    let scaled = grad / (square.clone() + settings.epsilon).sqrt();
    let momentum = momentum * settings.momentum + scaled * settings.lr;
    (value - momentum.clone(), momentum, square)
}

/// See [`super::adamw`]. Gives value, average and squared average.
pub fn adamw(
    value: Tensor<1>,
    average: Tensor<1>,
    square: Tensor<1>,
    grad: Tensor<1>,
    settings: &Adamw,
    decaying: &[Range<usize>],
) -> (Tensor<1>, Tensor<1>, Tensor<1>) {
    let grad = grad * settings.scale;
    let value = decayed(
        value.clone(),
        &value,
        decaying,
        -settings.lr * settings.weight_decay,
    );
    let average = average.clone() + (grad.clone() - average) * (1.0 - settings.beta1);
    let square = square.clone() + (grad.square() - square) * (1.0 - settings.beta2);
    let (step, root) = settings.corrected();
    let change = average.clone() / (square.clone().sqrt() * root + settings.epsilon);
    (value - change * step, average, square)
}

/// `grad + weight_decay value` in the ranges of `decaying`, `grad` elsewhere.
fn decayed(
    grad: Tensor<1>,
    value: &Tensor<1>,
    decaying: &[Range<usize>],
    weight_decay: f32,
) -> Tensor<1> {
    if weight_decay == 0.0 {
        return grad;
    }
    decaying.iter().fold(grad, |grad, range| {
        let part = grad.clone().slice([range.clone()])
            + value.clone().slice([range.clone()]) * weight_decay;
        grad.slice_assign([range.clone()], part)
    })
}

fn affine(x: Tensor<2>, weight: Tensor<1>, bias: Tensor<1>) -> Tensor<2> {
    let [_, features] = x.dims();
    let [outputs] = bias.dims();
    x.matmul(weight.reshape([outputs, features]).transpose()) + bias.reshape([1, outputs])
}

/// The parameters of a layer, one tensor for each slot.
fn split(spec: &LayerSpec, params: &Tensor<1>) -> Vec<Tensor<1>> {
    let mut start = 0;
    slots(spec)
        .iter()
        .map(|slot| {
            let range = start..start + slot.len();
            start = range.end;
            params.clone().slice([range])
        })
        .collect()
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
    let gate = affine(relu(affine(pool(x.clone()), rw, rb)), ew, eb);
    let gate = (gate + 3.0).clamp(0.0, 6.0) / 6.0;
    x * gate.reshape([n, 1, 1, c])
}

/// The batch norms of one layer, in turn.
struct Norms {
    norm: Norm,
    running: Option<Tensor<1>>,
    /// Where the next batch norm's running statistics begin.
    start: usize,
    seen: Vec<Tensor<1>>,
}

impl Norms {
    fn new(norm: Norm, running: Option<&Tensor<1>>) -> Self {
        Self {
            norm,
            running: running.cloned(),
            start: 0,
            seen: Vec::new(),
        }
    }

    fn apply(&mut self, x: Tensor<4>, scale: Tensor<1>, shift: Tensor<1>) -> Tensor<4> {
        let [n, h, w, c] = x.dims();
        let count = n * h * w;
        let row = |t: Tensor<1>| t.reshape([1, c]);
        let x = x.reshape([count, c]);
        let (centred, var) = match self.norm {
            Norm::Batch => {
                let mean = x.clone().mean_dim(0);
                let centred = x - mean.clone();
                let var = centred.clone().square().mean_dim(0);
                self.seen.push(mean.inner().reshape([c]));
                // One value has no unbiased variance; its biased one, 0, stands in.
                let unbiased = count as f64 / (count as f64 - 1.0).max(1.0);
                self.seen.push(var.clone().inner().reshape([c]) * unbiased);
                (centred, var)
            }
            Norm::Synchronised(_) => panic!("only the kernels of the CPU synchronise norms"),
            Norm::Running => {
                let running = self.running.clone().expect("the layer has batch norms");
                let start = self.start;
                self.start += 2 * c;
                let mean = running.clone().narrow(0, start, c);
                let var = running.narrow(0, start + c, c);
                (x - row(mean), row(var))
            }
        };
        let gain = (var + NORM_EPSILON).sqrt().recip() * row(scale);
        (centred * gain + row(shift)).reshape([n, h, w, c])
    }

    fn seen(self) -> Option<Tensor<1>> {
        (!self.seen.is_empty()).then(|| Tensor::cat(self.seen, 0))
    }
}
