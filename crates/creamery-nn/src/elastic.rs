//! One weight-shared block for all operations of a place, as OFA and BigNAS have it.
//!
//! The block is as large as the largest operation in each dimension. An operation's block is cut out of
//! it: the centre of the kernel, the leading channels. What is cut is a [`Layer`] like any other, so training and
//! inference need not know where it is from; gradients go back by [`ElasticBlock::scatter`].

use std::ops::Range;

use burn::tensor::{Device, Tensor};
use creamery_space::LayerSpec;

use crate::Layer;
use crate::layer::{ParamKind, Slot, norms, slots};

/// The slot whose kernels may be transformed.
const DEPTHWISE: &str = "depthwise.weight";

/// A block that all operations of a place are cut from.
#[derive(Clone, Debug)]
pub(crate) struct ElasticBlock {
    /// The whole block; the transformations come last in its parameters.
    pub layer: Layer,
    transforms: Vec<Transform>,
}

/// A matrix from the flattened centre of a kernel to a smaller kernel, common to all channels (Cai et al. 2020,
/// section 3.2).
#[derive(Clone, Debug)]
struct Transform {
    /// Pixels a side of the smaller kernel.
    to: usize,
    /// Where the matrix begins in the layer's parameters.
    start: usize,
}

impl Transform {
    /// Values in the smaller kernel, and rows of the matrix.
    fn area(&self) -> usize {
        self.to * self.to
    }

    fn matrix(&self, params: &Tensor<1>) -> Tensor<2> {
        let len = self.area() * self.area();
        let matrix = params.clone().narrow(0, self.start, len);
        matrix.reshape([self.area(), self.area()])
    }
}

/// One step from a kernel to a smaller one, with what its gradient needs.
struct Shrunk<'a> {
    transform: &'a Transform,
    /// The centre that the matrix was applied to, `[channels, area]`.
    centre: Tensor<2>,
    /// Pixels a side of the kernel that it is the centre of.
    from: usize,
}

impl ElasticBlock {
    /// A fresh block of the shape `whole`. Kernels smaller than the first of `transformed` are made from the next larger one by
    /// transformations; with none, every kernel is the centre of the largest.
    pub fn new(
        name: &str,
        whole: &LayerSpec,
        transformed: &[usize],
        seed: u64,
        device: &Device,
    ) -> Self {
        let mut all = slots(whole);
        let mut end: usize = all.iter().map(Slot::len).sum();
        let mut transforms = Vec::new();
        for pair in transformed.windows(2) {
            let transform = Transform {
                to: pair[1],
                start: end,
            };
            let slot = Slot {
                name: format!("transform.{}to{}.weight", pair[0], pair[1]).into(),
                shape: vec![transform.area(), transform.area()],
                kind: ParamKind::KernelTransform,
            };
            end += slot.len();
            all.push(slot);
            transforms.push(transform);
        }
        Self {
            layer: Layer::with_slots(name, whole, all, seed, device),
            transforms,
        }
    }

    /// The block of one operation, `part`, with copies of its share of the weights.
    pub fn cut(&self, name: &str, part: &LayerSpec) -> Layer {
        let params = self.cut_params(&self.layer.params, part);
        let running = self.layer.running.as_ref();
        let running = running.map(|running| self.cut_running(running, part));
        Layer::of(name, part, slots(part), params, running)
    }

    /// The parameters of `part` out of those of the whole block. Gradients flow through.
    fn cut_params(&self, params: &Tensor<1>, part: &LayerSpec) -> Tensor<1> {
        let pieces = self
            .pieces(part)
            .map(|piece| match piece.is_transformed(self) {
                true => self.shrink(params, &piece).0,
                false => piece.cut(params),
            });
        Tensor::cat(pieces.collect(), 0)
    }

    /// The leading channels of each batch norm's statistics.
    fn cut_running(&self, running: &Tensor<1>, part: &LayerSpec) -> Tensor<1> {
        let mut start = 0;
        let mut pieces = Vec::new();
        for ((_, whole), (_, own)) in norms(&self.layer.spec).iter().zip(norms(part)) {
            for _mean_and_variance in 0..2 {
                pieces.push(running.clone().narrow(0, start, own));
                start += whole;
            }
        }
        Tensor::cat(pieces, 0)
    }

    /// The gradient of the whole block's parameters, from that of the parameters of `part`; 0 where they have
    /// no share.
    pub fn scatter(&self, part: &LayerSpec, gradient: Tensor<1>) -> Tensor<1> {
        let params = &self.layer.params;
        let mut pieces = Vec::new();
        let mut matrices: Vec<Tensor<1>> = self
            .transforms
            .iter()
            .map(|t| Tensor::zeros([t.area() * t.area()], &gradient.device()))
            .collect();
        let mut start = 0;
        for piece in self.pieces(part) {
            let own = gradient.clone().narrow(0, start, piece.own());
            start += piece.own();
            if !piece.is_transformed(self) {
                pieces.push(piece.pad(own));
                continue;
            }
            let [channels, _, kernel, _] = piece.part;
            let mut own = own.reshape([channels, kernel * kernel]);
            for (index, step) in self.shrink(params, &piece).1.iter().enumerate().rev() {
                let matrix = step.transform.matrix(params);
                let product = own.clone().transpose().matmul(step.centre.clone());
                let len = step.transform.area() * step.transform.area();
                matrices[index] = product.reshape([len]);
                own = centred(own.matmul(matrix), step.transform.to, step.from);
            }
            let [_, _, whole, _] = piece.whole;
            pieces.push(
                Piece {
                    part: [channels, 1, whole, whole],
                    ..piece
                }
                .pad(own.reshape([channels * whole * whole])),
            );
        }
        pieces.extend(matrices);
        Tensor::cat(pieces, 0)
    }

    /// Where each value of the block comes from when its inner channels are sorted by importance, the most
    /// important first; those of squeeze-excite likewise. The whole block then computes what it did.
    ///
    /// A channel's importance is the sum of the absolute weights that lead out of it (Cai et al. 2020, section 3.2).
    pub fn sorted(&self) -> Vec<usize> {
        let parts = self.layer.part(&self.layer.params);
        let by_importance = |weight: &str| {
            let weight = parts.iter().find(|part| part.name.ends_with(weight));
            weight.map_or(Vec::new(), |weight| {
                let columns = weight.shape[1];
                let importance = |column: &usize| -> f64 {
                    let out = weight.values.iter().skip(*column).step_by(columns);
                    out.map(|v| f64::from(v.abs())).sum()
                };
                let mut order: Vec<usize> = (0..columns).collect();
                order.sort_by(|a, b| importance(b).total_cmp(&importance(a)));
                order
            })
        };
        let inner = by_importance("project.weight");
        let squeezed = by_importance("squeeze.expand.weight");
        let (mut start, mut from) = (0, Vec::new());
        for slot in self.layer.slots() {
            let [rows, columns, height, width] = four(&slot.shape);
            let same = |count: usize| (0..count).collect::<Vec<_>>();
            let (rows, inputs) = match slot.name.as_ref() {
                "squeeze.reduce.weight" => (squeezed.clone(), inner.clone()),
                "squeeze.reduce.bias" => (squeezed.clone(), same(columns)),
                "squeeze.expand.weight" => (inner.clone(), squeezed.clone()),
                "project.weight" => (same(rows), inner.clone()),
                name if name.starts_with("norm3") || name.starts_with("transform") => {
                    (same(rows), same(columns))
                }
                _ => (inner.clone(), same(columns)),
            };
            let area = height * width;
            for row in rows {
                for column in &inputs {
                    let first = start + (row * columns + column) * area;
                    from.extend(first..first + area);
                }
            }
            start += slot.len();
        }
        from
    }

    /// A transformed kernel, flat, and the steps that led to it.
    fn shrink(&self, params: &Tensor<1>, piece: &Piece) -> (Tensor<1>, Vec<Shrunk<'_>>) {
        let [channels, _, kernel, _] = piece.part;
        let [_, _, whole, _] = piece.whole;
        let mut side = whole;
        let mut weight = piece.leading(params).reshape([channels, side * side]);
        let mut steps = Vec::new();
        for transform in self.transforms.iter().take_while(|t| t.to >= kernel) {
            let margin = (side - transform.to) / 2;
            let inner = margin..margin + transform.to;
            let centre = weight
                .reshape([channels, side, side])
                .slice([0..channels, inner.clone(), inner])
                .reshape([channels, transform.area()]);
            weight = centre.clone().matmul(transform.matrix(params).transpose());
            steps.push(Shrunk {
                transform,
                centre,
                from: side,
            });
            side = transform.to;
        }
        (weight.reshape([channels * side * side]), steps)
    }

    /// Each slot of `part`, and where it lies in the whole.
    fn pieces(&self, part: &LayerSpec) -> impl Iterator<Item = Piece> {
        let mut start = 0;
        let pairs = self.layer.slots().to_vec().into_iter().zip(slots(part));
        pairs.map(move |(whole, part)| {
            let piece = Piece {
                start,
                depthwise: whole.name == DEPTHWISE,
                whole: four(&whole.shape),
                part: four(&part.shape),
            };
            start += whole.len();
            piece
        })
    }
}

/// A small kernel `[channels, side²]` in the centre of zeros `[channels, around²]`.
fn centred(kernel: Tensor<2>, side: usize, around: usize) -> Tensor<2> {
    let [channels, _] = kernel.dims();
    let margin = (around - side) / 2;
    let inner = margin..margin + side;
    Tensor::<3>::zeros([channels, around, around], &kernel.device())
        .slice_assign(
            [0..channels, inner.clone(), inner],
            kernel.reshape([channels, side, side]),
        )
        .reshape([channels, around * around])
}

/// A shape as `[out, in, height, width]`.
fn four(shape: &[usize]) -> [usize; 4] {
    let mut four = [1; 4];
    four[..shape.len()].copy_from_slice(shape);
    four
}

/// A part of a parameter: its leading outputs, its leading inputs, the centre of its kernel.
#[derive(Clone, Copy, Debug)]
struct Piece {
    /// Where the whole begins among the block's parameters.
    start: usize,
    depthwise: bool,
    whole: [usize; 4],
    part: [usize; 4],
}

impl Piece {
    /// Values of the part.
    fn own(&self) -> usize {
        self.part.iter().product()
    }

    fn is_transformed(&self, block: &ElasticBlock) -> bool {
        self.depthwise && self.part[2] < self.whole[2] && !block.transforms.is_empty()
    }

    /// Values of one output of the whole.
    fn row(&self) -> usize {
        self.whole[1..].iter().product()
    }

    /// The leading outputs, whole otherwise, flat.
    fn leading(&self, params: &Tensor<1>) -> Tensor<1> {
        params
            .clone()
            .narrow(0, self.start, self.part[0] * self.row())
    }

    /// The leading outputs as three dimensions, and the part in each: a matrix, or one kernel for each output
    /// (only depthwise kernels shrink, and they have one input).
    fn inside(&self) -> ([usize; 3], [Range<usize>; 3]) {
        let [outputs, inputs, kernel, _] = self.part;
        let [_, all_inputs, whole, _] = self.whole;
        if whole == 1 {
            return ([1, outputs, all_inputs], [0..1, 0..outputs, 0..inputs]);
        }
        let margin = (whole - kernel) / 2;
        let inner = margin..margin + kernel;
        ([outputs, whole, whole], [0..outputs, inner.clone(), inner])
    }

    fn cut(&self, params: &Tensor<1>) -> Tensor<1> {
        let leading = self.leading(params);
        if self.part[1..] == self.whole[1..] {
            return leading;
        }
        let (shape, ranges) = self.inside();
        leading.reshape(shape).slice(ranges).reshape([self.own()])
    }

    /// Values of the part where they lie in the whole, 0 around them, flat.
    fn pad(&self, own: Tensor<1>) -> Tensor<1> {
        let device = own.device();
        let mut leading = own;
        if self.part[1..] != self.whole[1..] {
            let (shape, ranges) = self.inside();
            let part = ranges.clone().map(|range| range.len());
            leading = Tensor::<3>::zeros(shape, &device)
                .slice_assign(ranges, leading.reshape(part))
                .reshape([self.part[0] * self.row()]);
        }
        match (self.whole[0] - self.part[0]) * self.row() {
            0 => leading,
            rest => Tensor::cat(vec![leading, Tensor::zeros([rest], &device)], 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Distribution;
    use creamery_space::Space;

    /// Where gradients go is written by hand; Burn's own gradient of the cut is the twin.
    #[test]
    fn gradients_go_back_the_way_that_weights_came() {
        let device = Device::flex();
        let space = Space::builtin("cream-224").unwrap();
        for transformed in [Vec::new(), space.kernels()] {
            let whole = space.whole_block(1, 0);
            let mut block = ElasticBlock::new("stages.1.0", &whole, &transformed, 0, &device);
            let params = &block.layer.params;
            let noise = Tensor::random(params.dims(), Distribution::Normal(0.0, 1.0), &device);
            block.layer.params = params.clone() + noise;
            for operation in 0..space.operations.len() {
                let part = space.candidate(1, 0, operation);
                let leaf = block.layer.params.clone().autodiff().require_grad();
                let cut = block.cut_params(&leaf, &part);
                let gradient = Tensor::random(cut.dims(), Distribution::Normal(0.0, 1.0), &device);
                let loss = (cut * gradient.clone().autodiff()).sum();
                let expected = leaf.grad(&loss.backward()).unwrap();
                let found = block.scatter(&part, gradient);
                let error = (found - expected.clone()).abs().max().into_scalar::<f32>();
                let scale = expected.abs().max().into_scalar::<f32>();
                assert!(
                    error <= 1e-5 * scale,
                    "operation {operation}: {error} of {scale}"
                );
            }
        }
    }
}
