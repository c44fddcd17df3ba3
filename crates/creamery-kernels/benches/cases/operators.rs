//! Whole operators and updates, on all threads of the pool.

use std::slice::from_ref;

use creamery_kernels::block::{
    self, BlockRunningStats, BlockShape, BlockWeights, ExpandWeights, SqueezeWeights,
};
use creamery_kernels::conv::{self, ConvShape, ConvWeights};
use creamery_kernels::head::{self, HeadShape, HeadWeights};
use creamery_kernels::update::{self, Rmsprop, Sgd};
use creamery_kernels::{NormWeights, RunningStats};

use super::{Case, Family, Floats, HEAD, LAST, STEM, Setting, Threads, blocks, expands, taps};

/// The operators of the path, by kind of pass.
pub fn families(setting: Setting) -> Vec<Family> {
    let path = blocks(setting);
    let deepest = path[path.len() - 1];
    let (height, width) = (deepest.out_height(), deepest.out_width());
    let stem = ConvShape {
        images: setting.images,
        height: setting.size,
        width: setting.size,
        in_channels: 3,
        out_channels: STEM,
        kernel: 3,
        stride: 2,
        silu: true,
    };
    let last = ConvShape {
        height,
        width,
        in_channels: deepest.out_channels,
        out_channels: LAST,
        kernel: 1,
        stride: 1,
        ..stem
    };
    let head = HeadShape {
        images: setting.images,
        height,
        width,
        in_channels: LAST,
        out_channels: HEAD,
    };
    let family = |(title, pass): (&'static str, Pass)| {
        let blocks = path.iter().map(|shape| block_case(*shape, pass));
        let mut cases = vec![conv_case(stem, pass)];
        cases.extend(blocks);
        cases.extend([conv_case(last, pass), head_case(head, pass)]);
        Family {
            title,
            threads: Threads::All,
            path: true,
            cases,
        }
    };
    let passes = [
        ("Forward, in training", Pass::Forward),
        ("Backward", Pass::Backward),
        ("Forward, without gradients", Pass::NoGrad),
        ("Inference", Pass::Infer),
    ];
    passes.into_iter().map(family).collect()
}

#[derive(Clone, Copy, PartialEq)]
enum Pass {
    Forward,
    Backward,
    NoGrad,
    Infer,
}

impl Pass {
    /// Values that a pass must move: `x`, the weights and `y`, which backward are given and returned in the same
    /// numbers (`dx` only if `input` says so), and what is kept for the backward pass.
    fn values(self, x: usize, weights: usize, kept: usize, y: usize, input: bool) -> usize {
        match self {
            Self::Forward => x + weights + kept + y,
            Self::Backward => {
                let dx = if input { x } else { 0 };
                x + weights + kept + y + dx + weights
            }
            Self::NoGrad | Self::Infer => x + weights + y,
        }
    }

    /// FLOPs of so many multiplications in a forward pass.
    fn flops(self, macs: usize, input: bool) -> usize {
        match self {
            Self::Backward if input => 4 * macs,
            _ => 2 * macs,
        }
    }
}

/// What is kept is the raw output of the convolution.
fn conv_case(shape: ConvShape, pass: Pass) -> Case {
    let (k, stride) = (shape.kernel, shape.stride);
    let (x, y) = (shape.input_len(), shape.output_len());
    let weights = shape.out_channels * shape.in_channels * k * k;
    let pairs = shape.images * taps(shape.height, shape.width, k, stride);
    let macs = pairs * shape.in_channels * shape.out_channels;
    // Nobody asks for the gradient of images.
    let input = shape.in_channels > 3;
    let name = format!(
        "{} px {} -> {} k{k} s{stride}",
        shape.height, shape.in_channels, shape.out_channels
    );
    let values = pass.values(x, weights + 2 * shape.out_channels, y, y, input);
    Case::new(name, pass.flops(macs, input), values, move || {
        let (x, weight, dy) = (Floats::mixed(x), Floats::mixed(weights), Floats::mixed(y));
        let (ones, zeros) = (vec![1.0; shape.out_channels], vec![0.0; shape.out_channels]);
        let forward = conv::forward(&shape, &conv_weights(&weight, &ones, &zeros), &x);
        let saved = forward.expect("the lengths fit").saved;
        move || {
            let weights = conv_weights(&weight, &ones, &zeros);
            let running = RunningStats {
                mean: &zeros,
                var: &ones,
            };
            match pass {
                Pass::Forward => conv::forward(&shape, &weights, &x).map(drop),
                Pass::Backward => {
                    conv::backward(&shape, &weights, &x, &saved, &dy, input).map(drop)
                }
                Pass::NoGrad => conv::forward_no_grad(&shape, &weights, &x).map(drop),
                Pass::Infer => conv::infer(&shape, &weights, &running, &x).map(drop),
            }
            .expect("the lengths fit");
        }
    })
}

fn conv_weights<'a>(weight: &'a [f32], ones: &'a [f32], zeros: &'a [f32]) -> ConvWeights<'a> {
    ConvWeights {
        weight,
        norm: NormWeights {
            gamma: ones,
            beta: zeros,
        },
    }
}

/// Weights of a block, and running statistics.
struct Block {
    expand: Option<Floats>,
    depthwise: Floats,
    squeeze: [Floats; 2],
    project: Floats,
    ones: Vec<f32>,
    zeros: Vec<f32>,
}

impl Block {
    fn new(shape: &BlockShape) -> Self {
        let (mid, widest) = (
            shape.mid_channels,
            shape.mid_channels.max(shape.out_channels),
        );
        Self {
            expand: expands(shape).then(|| Floats::mixed(mid * shape.in_channels)),
            depthwise: Floats::mixed(mid * shape.kernel * shape.kernel),
            squeeze: [(); 2].map(|()| Floats::mixed(mid * shape.squeeze)),
            project: Floats::mixed(shape.out_channels * mid),
            ones: vec![1.0; widest],
            zeros: vec![0.0; widest],
        }
    }

    fn weights(&self, shape: &BlockShape) -> BlockWeights<'_> {
        let (mid, zeros) = (shape.mid_channels, &self.zeros[..]);
        let norm = |channels: usize| NormWeights {
            gamma: &self.ones[..channels],
            beta: &zeros[..channels],
        };
        let [reduce, expand] = &self.squeeze;
        BlockWeights {
            expand: self.expand.as_ref().map(|weight| ExpandWeights {
                weight,
                norm: norm(mid),
            }),
            depthwise: &self.depthwise,
            depthwise_norm: norm(mid),
            squeeze: Some(SqueezeWeights {
                reduce,
                reduce_bias: &zeros[..shape.squeeze],
                expand,
                expand_bias: &zeros[..mid],
            }),
            project: &self.project,
            project_norm: norm(shape.out_channels),
        }
    }

    fn running(&self, shape: &BlockShape) -> BlockRunningStats<'_> {
        let stats = |channels: usize| RunningStats {
            mean: &self.zeros[..channels],
            var: &self.ones[..channels],
        };
        BlockRunningStats {
            expand: self.expand.as_ref().map(|_| stats(shape.mid_channels)),
            depthwise: stats(shape.mid_channels),
            project: stats(shape.out_channels),
        }
    }
}

/// All parameters of a block.
fn parameters(shape: &BlockShape) -> usize {
    let BlockShape {
        in_channels,
        mid_channels: mid,
        out_channels: out,
        kernel,
        squeeze,
        ..
    } = *shape;
    let expansion = if expands(shape) {
        mid * (in_channels + 2)
    } else {
        0
    };
    let excitation = 2 * mid * squeeze + squeeze + mid;
    expansion + mid * (kernel * kernel + 2) + excitation + out * (mid + 2)
}

/// What is kept is the raw output of the three convolutions.
fn block_case(shape: BlockShape, pass: Pass) -> Case {
    let (mid, out, k) = (shape.mid_channels, shape.out_channels, shape.kernel);
    let inner = shape.images * shape.height * shape.width;
    let outer = shape.images * shape.out_height() * shape.out_width();
    let expansion = if expands(&shape) { inner * mid } else { 0 };
    let pairs = shape.images * taps(shape.height, shape.width, k, shape.stride);
    let macs = expansion * shape.in_channels
        + mid * (pairs + outer * out + 2 * shape.images * shape.squeeze);
    let kept = expansion + outer * (mid + out);
    let (x, y) = (shape.input_len(), shape.output_len());
    let name = format!(
        "{} px {} -> {mid} -> {out} k{k} s{}",
        shape.height, shape.in_channels, shape.stride
    );
    let values = pass.values(x, parameters(&shape), kept, y, true);
    Case::new(name, pass.flops(macs, true), values, move || {
        let (block, x, dy) = (Block::new(&shape), Floats::mixed(x), Floats::mixed(y));
        let forward = block::forward(&shape, &block.weights(&shape), &x);
        let saved = forward.expect("the lengths fit").saved;
        move || {
            let weights = block.weights(&shape);
            match pass {
                Pass::Forward => block::forward(&shape, &weights, &x).map(drop),
                Pass::Backward => {
                    block::backward(&shape, &weights, &x, &saved, &dy, true).map(drop)
                }
                Pass::NoGrad => block::forward_no_grad(&shape, &weights, &x).map(drop),
                Pass::Infer => block::infer(&shape, &weights, &block.running(&shape), &x).map(drop),
            }
            .expect("the lengths fit");
        }
    })
}

/// What is kept are the means over pixels and the raw output.
fn head_case(shape: HeadShape, pass: Pass) -> Case {
    let (images, k, out) = (shape.images, shape.in_channels, shape.out_channels);
    let (x, y) = (shape.input_len(), shape.output_len());
    let name = format!("head {k} -> {out}");
    let values = pass.values(x, out * (k + 1), images * (k + out), y, true);
    Case::new(
        name,
        pass.flops(images * k * out, true),
        values,
        move || {
            let (x, weight, dy) = (Floats::mixed(x), Floats::mixed(out * k), Floats::mixed(y));
            let bias = vec![0.0; out];
            let forward = head::forward(&shape, &head_weights(&weight, &bias), &x);
            let saved = forward.expect("the lengths fit").saved;
            move || {
                let weights = head_weights(&weight, &bias);
                match pass {
                    Pass::Forward => head::forward(&shape, &weights, &x).map(drop),
                    Pass::Backward => head::backward(&shape, &weights, &saved, &dy, true).map(drop),
                    // The head has no norm, so these are one.
                    Pass::NoGrad | Pass::Infer => head::infer(&shape, &weights, &x).map(drop),
                }
                .expect("the lengths fit");
            }
        },
    )
}

fn head_weights<'a>(weight: &'a [f32], bias: &'a [f32]) -> HeadWeights<'a> {
    HeadWeights { weight, bias }
}

const SGD: Sgd = Sgd {
    lr: 1e-3,
    momentum: 0.9,
    nesterov: true,
    weight_decay: 1e-4,
    scale: 0.5,
};

const RMSPROP: Rmsprop = Rmsprop {
    lr: 1e-3,
    momentum: 0.9,
    alpha: 0.9,
    epsilon: 1e-3,
    weight_decay: 1e-5,
    scale: 0.5,
};

/// An update of value, momentum, gradient and squared average.
type Update = fn(&mut [Floats; 4]);

/// What surrounds a step's gradients, for as many parameters as a block of the first and of the fifth stage has.
///
/// FLOPs and values for each parameter: SGD 10 and 5 (value, momentum and gradient read, the first two written),
/// RMSprop 14 and 7 (the squared average as well), blend 3 and 3, dot 2 and 2.
pub fn updates() -> Family {
    let path = blocks(super::SETTINGS[0]);
    let mut cases = Vec::new();
    for shape in [path[2], path[path.len() - 1]] {
        let len = parameters(&shape);
        let mut case = |name: &str, flops, [values, in_place]: [usize; 2], call: Update| {
            let name = format!("{name}, {len} parameters");
            let case = Case::new(name, flops * len, values * len, move || {
                let [value, momentum, grad] = [(); 3].map(|()| Floats::mixed(len));
                let mut buffers = [value, momentum, grad, Floats::of(1.0, len)];
                move || call(&mut buffers)
            });
            cases.push(case.in_place(in_place * len));
        };
        case("sgd", 10, [5, 2], |[value, momentum, grad, _]| {
            let all = 0..value.len();
            let done = update::sgd(&SGD, value, momentum, grad, from_ref(&all));
            done.expect("the lengths fit");
        });
        case("rmsprop", 14, [7, 3], |[value, momentum, grad, square]| {
            let all = 0..value.len();
            let done = update::rmsprop(&RMSPROP, value, momentum, square, grad, from_ref(&all));
            done.expect("the lengths fit");
        });
        case("blend", 3, [3, 1], |[x, y, ..]| {
            update::blend(0.9, x, 0.1, y).expect("the lengths fit");
        });
        case("dot", 2, [2, 0], |[x, y, ..]| {
            std::hint::black_box(update::dot(x, y).expect("the lengths fit"));
        });
    }
    Family {
        title: "Updates",
        threads: Threads::All,
        path: false,
        cases,
    }
}
