//! Squeeze-excite: small in a large map, most of the work in a map of 1 x 1.
//!
//! All maps here have one value per image: `[channels / 16][images][16]`.

use super::{BlockShape, SqueezeGrads, SqueezeWeights};
use crate::elementwise::HardSigmoid;
use crate::grid::groups;
use crate::isa::Proof;
use crate::pool::Buffer;
use crate::product::{Left, Order, Product, Right, Start, Target, Transpose};
use crate::shared::Shared;
use crate::simd::LANES;
use crate::team::for_each;
use std::ops::Range;

/// What the backward of squeeze-excite needs.
#[derive(Debug)]
pub(super) struct SavedSqueeze {
    pooled: Buffer,
    /// After ReLU.
    reduced: Buffer,
    gate: Buffer,
}

impl SavedSqueeze {
    /// The gate of each mid channel.
    pub(super) fn gate(&self) -> &[f32] {
        &self.gate
    }
}

/// A dense layer over maps of one pixel: `to = from W^T + bias` with `W` of `[columns][k]`.
struct Dense<'a> {
    isa: Proof,
    images: usize,
    k: usize,
    weight: &'a [f32],
    bias: &'a [f32],
    from: &'a [f32],
}

impl Dense<'_> {
    /// The columns of a group of blocks; `to` holds these blocks only.
    fn run(&self, group: &Range<usize>, to: &mut [f32]) {
        let rows = group.start * LANES..self.bias.len().min(group.end * LANES);
        let (k, n) = (self.k, group.len() * LANES);
        let mut packed = Buffer::stale(n * k);
        self.isa.run(Transpose {
            from: &self.weight[rows.start * k..rows.end * k],
            k,
            to: &mut packed,
        });
        let bias = Buffer::padded(&self.bias[rows], n);
        let block = self.images * LANES;
        let a = Left {
            values: self.from.into(),
            order: Order::ByRows,
            row: LANES,
            block,
        };
        let b = Right {
            values: packed[..].into(),
            row: LANES,
            block: LANES * k,
            whole: true,
        };
        assert!(to.len() == group.len() * block, "the blocks of the group");
        let c = Target {
            at: to.as_mut_ptr(),
            row: LANES,
            block,
            whole: true,
        };
        // SAFETY: `to` holds all images of the group's blocks, and is ours.
        self.isa
            .run(unsafe { Product::new([self.images, n, k], a, b, c) }.start(Start::Bias(&bias)));
    }
}

/// The gate of each mid channel of each image, by the means over their pixels.
pub(super) fn forward(
    isa: Proof,
    shape: &BlockShape,
    weights: &SqueezeWeights<'_>,
    pooled: Buffer,
) -> SavedSqueeze {
    let (images, mid, squeeze) = (shape.images, shape.mid_channels, shape.squeeze);
    let map = |blocks: &Range<usize>| blocks.start * images * LANES..blocks.end * images * LANES;
    let work = images * mid * squeeze;

    let mut reduced = Buffer::stale(squeeze.div_ceil(LANES) * images * LANES);
    let dense = Dense {
        isa,
        images,
        k: mid,
        weight: weights.reduce,
        bias: weights.reduce_bias,
        from: &pooled,
    };
    let shared = Shared::new(&mut reduced);
    let tasks = groups(squeeze.div_ceil(LANES), work);
    for_each(tasks.len(), &|task| {
        // SAFETY: each task has its own blocks.
        let to = unsafe { shared.write(map(&tasks[task])) };
        dense.run(&tasks[task], to);
        to.iter_mut().for_each(|value| *value = value.max(0.0));
    });

    let mut gate = Buffer::stale(mid.div_ceil(LANES) * images * LANES);
    let dense = Dense {
        isa,
        images,
        k: squeeze,
        weight: weights.expand,
        bias: weights.expand_bias,
        from: &reduced,
    };
    let shared = Shared::new(&mut gate);
    let tasks = groups(mid.div_ceil(LANES), work);
    for_each(tasks.len(), &|task| {
        // SAFETY: each task has its own blocks.
        let to = unsafe { shared.write(map(&tasks[task])) };
        dense.run(&tasks[task], to);
        isa.run(HardSigmoid(to));
    });
    SavedSqueeze {
        pooled,
        reduced,
        gate,
    }
}

/// What squeeze-excite's backward gives.
pub(super) struct SqueezeSlope {
    /// The gradient of the reduced values, before ReLU.
    reduced: Buffer,
    /// The gradients of the weights.
    pub(super) grads: SqueezeGrads,
}

/// The backward down to the reduced values; `slope` is the gate's gradient, and is overwritten.
pub(super) fn backward(
    isa: Proof,
    shape: &BlockShape,
    weights: &SqueezeWeights<'_>,
    saved: &SavedSqueeze,
    slope: &mut [f32],
) -> SqueezeSlope {
    let (images, mid, squeeze) = (shape.images, shape.mid_channels, shape.squeeze);
    let block = images * LANES;
    let work = images * mid * squeeze;
    let mut reduce = Vec::with_capacity(squeeze * mid);
    let mut expand = Vec::with_capacity(mid * squeeze);
    let mut expand_bias = vec![0.0; mid];
    let mut reduce_bias = vec![0.0; squeeze];
    // Back through the hard sigmoid, whose gate lies strictly between 0 and 1 where it has a slope.
    for (slope, gate) in slope.iter_mut().zip(saved.gate.iter()) {
        *slope = if *gate > 0.0 && *gate < 1.0 {
            *slope / 6.0
        } else {
            0.0
        };
    }
    sum_images(slope, images, &mut expand_bias);

    let mut reduced = Buffer::stale(squeeze.div_ceil(LANES) * block);
    let shared = Shared::new(&mut reduced);
    // SAFETY: all that is written to them goes through `pointer`.
    let [reduce_slope, expand_slope] =
        [&mut reduce, &mut expand].map(|values| unsafe { Shared::unwritten(values) });
    let tasks = groups(squeeze.div_ceil(LANES), work);
    let slope = &*slope;
    for_each(tasks.len(), &|task| {
        let group = &tasks[task];
        let columns = group.start * LANES..squeeze.min(group.end * LANES);
        let n = columns.len();

        let a = Left {
            values: slope.into(),
            order: Order::ByRows,
            row: LANES,
            block,
        };
        let values = weights.expand[columns.start..].into();
        let b = Right {
            values,
            row: squeeze,
            block: LANES,
            whole: n.is_multiple_of(LANES),
        };
        // SAFETY: each task has its own blocks.
        let to = unsafe { shared.write(group.start * block..group.end * block) };
        let c = Target {
            at: to.as_mut_ptr(),
            row: LANES,
            block,
            whole: true,
        };
        // SAFETY: `to` holds all images of the group's blocks, and is ours.
        isa.run(unsafe { Product::new([images, n, mid], a, b, c) });
        let values = &saved.reduced[group.start * block..group.end * block];
        for (slope, value) in to.iter_mut().zip(values) {
            *slope = if *value > 0.0 { *slope } else { 0.0 };
        }

        let a = Left {
            values: slope.into(),
            order: Order::ByColumns,
            row: LANES,
            block,
        };
        let b = Right {
            values: values.into(),
            row: LANES,
            block,
            whole: true,
        };
        let c = Target {
            at: expand_slope.pointer(columns.start),
            row: squeeze,
            block: LANES,
            whole: n.is_multiple_of(LANES),
        };
        // SAFETY: these columns of the gradient are this task's.
        isa.run(unsafe { Product::new([mid, n, images], a, b, c) });

        let a = Left {
            values: (&*to).into(),
            order: Order::ByColumns,
            row: LANES,
            block,
        };
        let b = Right {
            values: saved.pooled[..].into(),
            row: LANES,
            block,
            whole: true,
        };
        let whole = mid.is_multiple_of(LANES);
        let c = Target {
            at: reduce_slope.pointer(columns.start * mid),
            row: mid,
            block: LANES,
            whole,
        };
        // SAFETY: these rows of the gradient are this task's.
        isa.run(unsafe { Product::new([n, mid, images], a, b, c) });
    });
    sum_images(&reduced, images, &mut reduce_bias);
    // SAFETY: the tasks have written all columns of the one and all rows of the other.
    unsafe {
        reduce.set_len(squeeze * mid);
        expand.set_len(mid * squeeze);
    }
    SqueezeSlope {
        reduced,
        grads: SqueezeGrads {
            reduce,
            reduce_bias,
            expand,
            expand_bias,
        },
    }
}

impl SqueezeSlope {
    /// The gradient of each pixel of a group of mid channels that comes back through the mean over them, for
    /// some images, into `to`, which holds these channels of all images.
    pub(super) fn pooled(
        &self,
        isa: Proof,
        shape: &BlockShape,
        weights: &SqueezeWeights<'_>,
        group: &Range<usize>,
        to: &mut [f32],
    ) {
        let mid = shape.mid_channels;
        let pixels = shape.out_height() * shape.out_width();
        let block = shape.images * LANES;
        let n = mid.min(group.end * LANES) - group.start * LANES;
        let a = Left {
            values: self.reduced[..].into(),
            order: Order::ByRows,
            row: LANES,
            block,
        };
        let values = weights.reduce[group.start * LANES..].into();
        let b = Right {
            values,
            row: mid,
            block: LANES,
            whole: n.is_multiple_of(LANES),
        };
        assert!(to.len() == group.len() * block, "the blocks of the group");
        let c = Target {
            at: to.as_mut_ptr(),
            row: LANES,
            block,
            whole: true,
        };
        // SAFETY: `to` holds all images of the group's blocks, and is ours.
        isa.run(unsafe { Product::new([shape.images, n, shape.squeeze], a, b, c) });
        let share = 1.0 / pixels as f32;
        to.iter_mut().for_each(|value| *value *= share);
    }
}

/// Sums over the images of each channel.
fn sum_images(map: &[f32], images: usize, sums: &mut [f32]) {
    for (block, sums) in map.chunks_exact(images * LANES).zip(sums.chunks_mut(LANES)) {
        let mut total = [0.0; LANES];
        for image in block.as_chunks::<LANES>().0 {
            for (total, value) in total.iter_mut().zip(image) {
                *total += value;
            }
        }
        sums.copy_from_slice(&total[..sums.len()]);
    }
}
