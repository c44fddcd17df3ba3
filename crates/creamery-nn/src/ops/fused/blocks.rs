//! Layers in the kernels' terms: slices of flat parameters in, flat gradients out.

use burn::backend::flex::{FlexTensor, Layout};
use burn::tensor::{Bytes, DType, Shape};
use creamery_kernels::block::{
    self, BlockRunningStats, BlockSaved, BlockShape, BlockWeights, ExpandWeights, SqueezeWeights,
};
use creamery_kernels::conv::{self, ConvSaved, ConvShape, ConvWeights};
use creamery_kernels::head::{self, HeadSaved, HeadShape, HeadWeights};
use creamery_kernels::inference::{Classifier, Layer};
use creamery_kernels::{ChannelStats, Everywhere, NormGrads, NormWeights, RunningStats};
use creamery_space::LayerSpec;

const FITS: &str = "a layer's parameters have the lengths of its slots";

/// What a forward pass in training leaves for the backward pass.
#[derive(Debug)]
pub enum Saved {
    Block(LayerSpec, Box<BlockSaved>),
    Conv(LayerSpec, ConvSaved),
    Head(HeadSaved),
}

/// Whether the kernels have this layer from feature map to feature map.
pub fn serves(spec: &LayerSpec) -> bool {
    match *spec {
        LayerSpec::ConvNorm { kernel, stride, .. } => kernel % 2 == 1 && stride <= 2,
        LayerSpec::DepthwiseSeparable { kernel, stride, .. }
        | LayerSpec::InvertedResidual { kernel, stride, .. } => {
            matches!(kernel, 1 | 3 | 5 | 7) && stride <= 2
        }
        LayerSpec::Head { .. } | LayerSpec::Classifier { .. } => false,
    }
}

pub fn contiguous(x: FlexTensor) -> FlexTensor {
    if x.is_contiguous() && x.as_slice::<f32>().is_some() {
        x
    } else {
        x.to_contiguous()
    }
}

pub fn values(x: &FlexTensor) -> &[f32] {
    x.as_slice().expect("the tensor is contiguous and f32")
}

pub fn tensor(values: Vec<f32>, shape: &[usize]) -> FlexTensor {
    let layout = Layout::contiguous(Shape::from(shape.to_vec()));
    FlexTensor::new(Bytes::from_elems(values), layout, DType::F32)
}

pub fn shape(x: &FlexTensor) -> Vec<usize> {
    x.layout().shape().to_vec()
}

fn map(x: &FlexTensor) -> [usize; 4] {
    <[usize; 4]>::try_from(shape(x)).expect("feature maps have four dimensions")
}

/// The slots of a layer, one after the other.
struct Parts<'a>(&'a [f32]);

impl<'a> Parts<'a> {
    fn next(&mut self, len: usize) -> &'a [f32] {
        let (own, rest) = self.0.split_at(len);
        self.0 = rest;
        own
    }

    fn norm(&mut self, channels: usize) -> NormWeights<'a> {
        NormWeights {
            gamma: self.next(channels),
            beta: self.next(channels),
        }
    }

    fn running(&mut self, channels: usize) -> RunningStats<'a> {
        RunningStats {
            mean: self.next(channels),
            var: self.next(channels),
        }
    }
}

/// Shape of a block, and whether it has an expansion.
fn block_shape(spec: &LayerSpec, [images, height, width, _]: [usize; 4]) -> (BlockShape, bool) {
    match *spec {
        LayerSpec::InvertedResidual {
            in_channels,
            mid_channels,
            out_channels,
            kernel,
            stride,
            squeeze,
        } => (
            BlockShape {
                images,
                height,
                width,
                in_channels,
                mid_channels,
                out_channels,
                kernel,
                stride,
                squeeze,
            },
            true,
        ),
        LayerSpec::DepthwiseSeparable {
            in_channels,
            out_channels,
            kernel,
            stride,
            squeeze,
        } => (
            BlockShape {
                images,
                height,
                width,
                in_channels,
                mid_channels: in_channels,
                out_channels,
                kernel,
                stride,
                squeeze,
            },
            false,
        ),
        _ => unreachable!("{spec:?} is no block"),
    }
}

fn block_weights<'a>(shape: &BlockShape, expands: bool, params: &'a [f32]) -> BlockWeights<'a> {
    let mut parts = Parts(params);
    let (mid, squeeze) = (shape.mid_channels, shape.squeeze);
    BlockWeights {
        expand: expands.then(|| ExpandWeights {
            weight: parts.next(mid * shape.in_channels),
            norm: parts.norm(mid),
        }),
        depthwise: parts.next(mid * shape.kernel * shape.kernel),
        depthwise_norm: parts.norm(mid),
        squeeze: (squeeze > 0).then(|| SqueezeWeights {
            reduce: parts.next(squeeze * mid),
            reduce_bias: parts.next(squeeze),
            expand: parts.next(mid * squeeze),
            expand_bias: parts.next(mid),
        }),
        project: parts.next(shape.out_channels * mid),
        project_norm: parts.norm(shape.out_channels),
    }
}

fn block_running<'a>(
    shape: &BlockShape,
    expands: bool,
    running: &mut Parts<'a>,
) -> BlockRunningStats<'a> {
    BlockRunningStats {
        expand: expands.then(|| running.running(shape.mid_channels)),
        depthwise: running.running(shape.mid_channels),
        project: running.running(shape.out_channels),
    }
}

fn conv_shape(spec: &LayerSpec, [images, height, width, _]: [usize; 4]) -> ConvShape {
    let LayerSpec::ConvNorm {
        in_channels,
        out_channels,
        kernel,
        stride,
        activation,
    } = *spec
    else {
        unreachable!("{spec:?} is no convolution")
    };
    ConvShape {
        images,
        height,
        width,
        in_channels,
        out_channels,
        kernel,
        stride,
        silu: activation.is_some(),
    }
}

fn conv_weights<'a>(shape: &ConvShape, params: &'a [f32]) -> ConvWeights<'a> {
    let mut parts = Parts(params);
    let area = shape.kernel * shape.kernel;
    ConvWeights {
        weight: parts.next(shape.out_channels * shape.in_channels * area),
        norm: parts.norm(shape.out_channels),
    }
}

fn head_shape(x: &FlexTensor, params: &[f32]) -> HeadShape {
    let [images, height, width, in_channels] = map(x);
    HeadShape {
        images,
        height,
        width,
        in_channels,
        out_channels: params.len() / (in_channels + 1),
    }
}

fn head_weights<'a>(shape: &HeadShape, params: &'a [f32]) -> HeadWeights<'a> {
    let (weight, bias) = params.split_at(shape.out_channels * shape.in_channels);
    HeadWeights { weight, bias }
}

/// Statistics in the layout of running ones: means and unbiased variances.
fn flat_stats(stats: impl IntoIterator<Item = (ChannelStats, usize)>) -> Vec<f32> {
    let mut flat = Vec::new();
    for (ChannelStats { mean, var }, count) in stats {
        // One value has no unbiased variance; its biased one, 0, stands in.
        let unbiased = (count as f64 / (count as f64 - 1.0).max(1.0)) as f32;
        flat.extend(mean);
        flat.extend(var.iter().map(|v| v * unbiased));
    }
    flat
}

/// Statistics of a block over `parts` batches like this one.
fn block_stats(shape: &BlockShape, stats: block::BlockStats, parts: usize) -> Vec<f32> {
    let images = shape.images * parts;
    let inner = images * shape.height * shape.width;
    let outer = images * shape.out_height() * shape.out_width();
    let expand = stats.expand.map(|stats| (stats, inner));
    flat_stats(
        expand
            .into_iter()
            .chain([(stats.depthwise, outer), (stats.project, outer)]),
    )
}

type Map = (Vec<f32>, Vec<usize>);

/// Forward pass with what the backward pass needs: the map, its shape, statistics, the rest. The batch may be a part of one
/// that other processes have parts of, too.
pub fn forward(
    spec: &LayerSpec,
    x: &FlexTensor,
    params: &[f32],
    across: Option<Everywhere>,
) -> (Vec<f32>, Vec<usize>, Vec<f32>, Saved) {
    let parts = across.map_or(1, Everywhere::parts);
    if let LayerSpec::ConvNorm { .. } = spec {
        let shape = conv_shape(spec, map(x));
        let weights = conv_weights(&shape, params);
        let out = conv::forward_across(&shape, &weights, values(x), across).expect(FITS);
        let (dims, count) = conv_dims(&shape);
        let stats = flat_stats([(out.stats, count * parts)]);
        return (out.y, dims, stats, Saved::Conv(spec.clone(), out.saved));
    }
    let (shape, expands) = block_shape(spec, map(x));
    let weights = block_weights(&shape, expands, params);
    let out = block::forward_across(&shape, &weights, values(x), across).expect(FITS);
    let stats = block_stats(&shape, out.stats, parts);
    (
        out.y,
        block_dims(&shape),
        stats,
        Saved::Block(spec.clone(), Box::new(out.saved)),
    )
}

/// Forward pass with batch statistics that keeps nothing: the map, its shape, statistics.
pub fn forward_no_grad(
    spec: &LayerSpec,
    x: &FlexTensor,
    params: &[f32],
) -> (Vec<f32>, Vec<usize>, Vec<f32>) {
    if let LayerSpec::ConvNorm { .. } = spec {
        let shape = conv_shape(spec, map(x));
        let weights = conv_weights(&shape, params);
        let (y, stats) = conv::forward_no_grad(&shape, &weights, values(x)).expect(FITS);
        let (dims, count) = conv_dims(&shape);
        return (y, dims, flat_stats([(stats, count)]));
    }
    let (shape, expands) = block_shape(spec, map(x));
    let weights = block_weights(&shape, expands, params);
    let (y, stats) = block::forward_no_grad(&shape, &weights, values(x)).expect(FITS);
    (y, block_dims(&shape), block_stats(&shape, stats, 1))
}

/// Forward pass with running statistics.
pub fn infer(spec: &LayerSpec, x: &FlexTensor, params: &[f32], running: &[f32]) -> Map {
    let mut running = Parts(running);
    if let LayerSpec::ConvNorm { .. } = spec {
        let shape = conv_shape(spec, map(x));
        let weights = conv_weights(&shape, params);
        let stats = running.running(shape.out_channels);
        let y = conv::infer(&shape, &weights, &stats, values(x)).expect(FITS);
        return (y, conv_dims(&shape).0);
    }
    let (shape, expands) = block_shape(spec, map(x));
    let weights = block_weights(&shape, expands, params);
    let stats = block_running(&shape, expands, &mut running);
    let y = block::infer(&shape, &weights, &stats, values(x)).expect(FITS);
    (y, block_dims(&shape))
}

/// The layer for one image of `size` pixels a side, packed. Nothing if there is no kernel for it.
pub fn ready(spec: &LayerSpec, size: usize, params: &[f32], running: &[f32]) -> Option<Layer> {
    let mut running = Parts(running);
    let layer = match *spec {
        LayerSpec::ConvNorm { .. } => {
            let shape = conv_shape(spec, [1, size, size, 0]);
            let stats = running.running(shape.out_channels);
            Layer::convolution(&shape, &conv_weights(&shape, params), &stats)
        }
        LayerSpec::DepthwiseSeparable { .. } | LayerSpec::InvertedResidual { .. } => {
            let (shape, expands) = block_shape(spec, [1, size, size, 0]);
            let weights = block_weights(&shape, expands, params);
            Layer::block(
                &shape,
                &weights,
                &block_running(&shape, expands, &mut running),
            )
        }
        LayerSpec::Head {
            in_channels,
            head_channels,
        } => {
            let shape = HeadShape {
                images: 1,
                height: size,
                width: size,
                in_channels,
                out_channels: head_channels,
            };
            Layer::head(&shape, &head_weights(&shape, params))
        }
        LayerSpec::Classifier {
            in_features,
            classes,
        } => {
            let (weight, bias) = params.split_at(classes * in_features);
            Layer::classifier(&Classifier {
                in_features,
                classes,
                weight,
                bias,
            })
        }
    };
    layer.ok()
}

/// Head with what its backward pass needs.
pub fn head(x: &FlexTensor, params: &[f32]) -> (Vec<f32>, Vec<usize>, Saved) {
    let shape = head_shape(x, params);
    let out = head::forward(&shape, &head_weights(&shape, params), values(x)).expect(FITS);
    let dims = vec![shape.images, shape.out_channels];
    (out.y, dims, Saved::Head(out.saved))
}

/// Head without gradients.
pub fn head_no_grad(x: &FlexTensor, params: &[f32]) -> Map {
    let shape = head_shape(x, params);
    let y = head::infer(&shape, &head_weights(&shape, params), values(x)).expect(FITS);
    (y, vec![shape.images, shape.out_channels])
}

/// Gradients of the input (if asked for) and of the flat parameters.
pub fn backward(
    saved: &Saved,
    x: &FlexTensor,
    params: &[f32],
    dy: &[f32],
    input: bool,
) -> (Option<Vec<f32>>, Vec<f32>) {
    let mut flat = Vec::with_capacity(params.len());
    let norm = |flat: &mut Vec<f32>, grads: NormGrads| {
        flat.extend(grads.gamma);
        flat.extend(grads.beta);
    };
    let dx = match saved {
        Saved::Block(spec, saved) => {
            let (shape, expands) = block_shape(spec, map(x));
            let weights = block_weights(&shape, expands, params);
            let grads = block::backward(&shape, &weights, values(x), saved, dy, input).expect(FITS);
            if let Some(expand) = grads.expand {
                flat.extend(expand.weight);
                norm(&mut flat, expand.norm);
            }
            flat.extend(grads.depthwise);
            norm(&mut flat, grads.depthwise_norm);
            if let Some(squeeze) = grads.squeeze {
                flat.extend(squeeze.reduce);
                flat.extend(squeeze.reduce_bias);
                flat.extend(squeeze.expand);
                flat.extend(squeeze.expand_bias);
            }
            flat.extend(grads.project);
            norm(&mut flat, grads.project_norm);
            grads.x
        }
        Saved::Conv(spec, saved) => {
            let shape = conv_shape(spec, map(x));
            let weights = conv_weights(&shape, params);
            let grads = conv::backward(&shape, &weights, values(x), saved, dy, input).expect(FITS);
            flat.extend(grads.weight);
            norm(&mut flat, grads.norm);
            grads.x
        }
        Saved::Head(saved) => {
            let shape = head_shape(x, params);
            let weights = head_weights(&shape, params);
            let grads = head::backward(&shape, &weights, saved, dy, input).expect(FITS);
            flat.extend(grads.weight);
            flat.extend(grads.bias);
            grads.x
        }
    };
    debug_assert_eq!(flat.len(), params.len());
    (dx, flat)
}

fn block_dims(shape: &BlockShape) -> Vec<usize> {
    vec![
        shape.images,
        shape.out_height(),
        shape.out_width(),
        shape.out_channels,
    ]
}

/// Shape of the output, and values per channel.
fn conv_dims(shape: &ConvShape) -> (Vec<usize>, usize) {
    let (height, width) = (shape.out_height(), shape.out_width());
    let dims = vec![shape.images, height, width, shape.out_channels];
    (dims, shape.images * height * width)
}
