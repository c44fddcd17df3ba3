//! A network's head: the mean over pixels, a dense layer with bias, SiLU. No norm.

use crate::elementwise::{Apply, OutputSlope};
use crate::error::{KernelError, length, positive};
use crate::grid::groups;
use crate::isa;
use crate::norm::NormBlock;
use crate::pool::Buffer;
use crate::product::{Left, Order, Product, Right, Start, Target, Transpose};
use crate::shared::Shared;
use crate::simd::LANES;
use crate::team::{for_each, together};

/// Sizes of a head. The feature map is NHWC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct HeadShape {
    /// Images in the batch.
    pub images: usize,
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
    /// Channels of the input.
    pub in_channels: usize,
    /// Values of the output for each image.
    pub out_channels: usize,
}

impl HeadShape {
    /// Values of the input: images x height x width x in_channels.
    pub fn input_len(&self) -> usize {
        self.images * self.height * self.width * self.in_channels
    }

    /// Values of the output: images x out_channels.
    pub fn output_len(&self) -> usize {
        self.images * self.out_channels
    }

    /// Multiplications of the dense layer, which tell how its work is cut.
    fn work(&self) -> usize {
        self.images * self.in_channels * self.out_channels
    }
}

/// Weights of a head, in PyTorch's layouts.
#[derive(Clone, Copy, Debug)]
pub struct HeadWeights<'a> {
    /// `[out][in]`.
    pub weight: &'a [f32],
    /// `[out]`.
    pub bias: &'a [f32],
}

/// What a forward pass in training leaves.
#[derive(Debug)]
pub struct HeadForward {
    /// The output, `[images][out]`.
    pub y: Vec<f32>,
    /// What the backward pass needs.
    pub saved: HeadSaved,
}

/// What the backward pass of a head needs.
#[derive(Debug)]
pub struct HeadSaved {
    /// `[images][in]`.
    pooled: Buffer,
    /// Before SiLU, `[out / 16][images][16]`.
    raw: Buffer,
}

/// Gradients of a head's input and weights, in the layouts of these.
#[derive(Clone, Debug, PartialEq)]
pub struct HeadGrads {
    /// Of the input, if it was asked for.
    pub x: Option<Vec<f32>>,
    /// Of [`HeadWeights::weight`].
    pub weight: Vec<f32>,
    /// Of [`HeadWeights::bias`].
    pub bias: Vec<f32>,
}

/// No norm, in the form of one.
pub(crate) const IDENTITY: NormBlock<'static> = NormBlock {
    mean: &[0.0; LANES],
    root: &[0.0; LANES],
    scale: &[1.0; LANES],
    shift: &[0.0; LANES],
};

/// A head in training, ready for [`backward`].
///
/// # Errors
/// [`KernelError`] if a slice does not fit the shape.
pub fn forward(
    shape: &HeadShape,
    weights: &HeadWeights<'_>,
    x: &[f32],
) -> Result<HeadForward, KernelError> {
    check(shape, weights)?;
    length("x", x.len(), shape.input_len())?;
    let isa = isa::current();
    Ok(together(|| {
        let (images, k, out) = (shape.images, shape.in_channels, shape.out_channels);
        let block = images * LANES;

        let mut pooled = Buffer::stale(images * k);
        let share = 1.0 / (shape.height * shape.width) as f32;
        for (pooled, image) in pooled
            .chunks_exact_mut(k)
            .zip(x.chunks_exact(shape.height * shape.width * k))
        {
            pooled.fill(0.0);
            for pixel in image.chunks_exact(k) {
                pooled
                    .iter_mut()
                    .zip(pixel)
                    .for_each(|(sum, value)| *sum += value);
            }
            pooled.iter_mut().for_each(|sum| *sum *= share);
        }

        let mut raw = Buffer::stale(out.div_ceil(LANES) * block);
        let mut y = vec![0.0; shape.output_len()];
        {
            let (raw, y) = (Shared::new(&mut raw), Shared::new(&mut y));
            let tasks = groups(out.div_ceil(LANES), shape.work());
            for_each(tasks.len(), &|task| {
                let group = &tasks[task];
                let rows = group.start * LANES..out.min(group.end * LANES);
                let n = group.len() * LANES;
                let mut packed = Buffer::stale(n * k);
                isa.run(Transpose {
                    from: &weights.weight[rows.start * k..rows.end * k],
                    k,
                    to: &mut packed,
                });
                let bias = Buffer::padded(&weights.bias[rows], n);
                let a = Left {
                    values: pooled[..].into(),
                    order: Order::ByRows,
                    row: k,
                    block: LANES,
                };
                let b = Right {
                    values: packed[..].into(),
                    row: LANES,
                    block: LANES * k,
                    whole: true,
                };
                // SAFETY: each task has its own blocks.
                let to = unsafe { raw.write(group.start * block..group.end * block) };
                let c = Target {
                    at: to.as_mut_ptr(),
                    row: LANES,
                    block,
                    whole: true,
                };
                // SAFETY: `to` holds all images of the group's blocks, and is ours.
                isa.run(unsafe { Product::new([images, n, k], a, b, c) }.start(Start::Bias(&bias)));
                for (index, raw) in group.clone().zip(to.chunks_exact(block)) {
                    let channels = (out - index * LANES).min(LANES);
                    // SAFETY: these columns of the output are this task's.
                    let mut apply = unsafe {
                        Apply::new(IDENTITY, raw, [channels, out], y.pointer(index * LANES))
                    };
                    apply.silu = true;
                    isa.run(apply);
                }
            });
        }
        HeadForward {
            y,
            saved: HeadSaved { pooled, raw },
        }
    }))
}

/// A head in inference, or of which no gradient will be asked. Gives the output.
///
/// # Errors
/// As for [`forward`].
pub fn infer(
    shape: &HeadShape,
    weights: &HeadWeights<'_>,
    x: &[f32],
) -> Result<Vec<f32>, KernelError> {
    Ok(forward(shape, weights, x)?.y)
}

/// The gradients of a head, by that of its output.
///
/// `weights` must be those of the forward pass that gave `saved`. The gradient of the input is computed if
/// `input` says so.
///
/// # Errors
/// [`KernelError`] if a slice does not fit the shape.
pub fn backward(
    shape: &HeadShape,
    weights: &HeadWeights<'_>,
    saved: &HeadSaved,
    dy: &[f32],
    input: bool,
) -> Result<HeadGrads, KernelError> {
    check(shape, weights)?;
    length("dy", dy.len(), shape.output_len())?;
    let (images, k, out) = (shape.images, shape.in_channels, shape.out_channels);
    let block = images * LANES;
    length("saved means", saved.pooled.len(), images * k)?;
    length("saved map", saved.raw.len(), out.div_ceil(LANES) * block)?;
    let isa = isa::current();
    Ok(together(|| {
        let mut slope = Buffer::stale(saved.raw.len());
        let mut weight = Vec::with_capacity(out * k);
        let mut bias = Buffer::zeros(out.next_multiple_of(LANES));
        let whole = k.is_multiple_of(LANES);
        {
            let (slope, bias) = (Shared::new(&mut slope), Shared::new(&mut bias));
            // SAFETY: all that is written to it goes through `pointer`.
            let weight = unsafe { Shared::unwritten(&mut weight) };
            let tasks = groups(out.div_ceil(LANES), shape.work());
            for_each(tasks.len(), &|task| {
                for index in tasks[task].clone() {
                    let part = index * block..(index + 1) * block;
                    let channels = (out - index * LANES).min(LANES);
                    // SAFETY: each task has its own blocks.
                    let (map, sum) = unsafe {
                        (
                            slope.write(part.clone()),
                            bias.write(index * LANES..(index + 1) * LANES),
                        )
                    };
                    isa.run(OutputSlope {
                        norm: IDENTITY,
                        silu: true,
                        raw: &saved.raw[part],
                        slope: &dy[index * LANES..],
                        channels,
                        stride: out,
                        out: map,
                        sums: [sum, &mut [0.0; LANES]],
                    });
                    let a = Left {
                        values: (&*map).into(),
                        order: Order::ByColumns,
                        row: LANES,
                        block,
                    };
                    let b = Right {
                        values: saved.pooled[..].into(),
                        row: k,
                        block: LANES,
                        whole,
                    };
                    let c = Target {
                        at: weight.pointer(index * LANES * k),
                        row: k,
                        block: LANES,
                        whole,
                    };
                    // SAFETY: these rows of the gradient are this task's.
                    isa.run(unsafe { Product::new([channels, k, images], a, b, c) });
                }
            });
        }
        // SAFETY: the tasks have written all rows.
        unsafe { weight.set_len(out * k) };
        let x = input.then(|| {
            let mut pooled = Buffer::stale(images * k);
            let shared = Shared::new(&mut pooled);
            let tasks = groups(k.div_ceil(LANES), shape.work());
            for_each(tasks.len(), &|task| {
                let columns = tasks[task].start * LANES..k.min(tasks[task].end * LANES);
                let n = columns.len();
                let whole = n.is_multiple_of(LANES);
                let a = Left {
                    values: slope[..].into(),
                    order: Order::ByRows,
                    row: LANES,
                    block,
                };
                let b = Right {
                    values: weights.weight[columns.start..].into(),
                    row: k,
                    block: LANES,
                    whole,
                };
                let c = Target {
                    at: shared.pointer(columns.start),
                    row: k,
                    block: LANES,
                    whole,
                };
                // SAFETY: these columns are this task's.
                isa.run(unsafe { Product::new([images, n, out], a, b, c) });
            });
            let pixels = shape.height * shape.width;
            let share = 1.0 / pixels as f32;
            pooled.iter_mut().for_each(|value| *value *= share);
            let mut dx = vec![0.0; shape.input_len()];
            for (image, pooled) in dx.chunks_exact_mut(pixels * k).zip(pooled.chunks_exact(k)) {
                image
                    .chunks_exact_mut(k)
                    .for_each(|pixel| pixel.copy_from_slice(pooled));
            }
            dx
        });
        HeadGrads {
            x,
            weight,
            bias: bias[..out].to_vec(),
        }
    }))
}

pub(crate) fn check(shape: &HeadShape, weights: &HeadWeights<'_>) -> Result<(), KernelError> {
    let HeadShape {
        images,
        height,
        width,
        in_channels,
        out_channels,
    } = *shape;
    for (what, found) in [
        ("images", images),
        ("height", height),
        ("width", width),
        ("in_channels", in_channels),
        ("out_channels", out_channels),
    ] {
        positive(what, found)?;
    }
    let factors = [in_channels.max(out_channels), images, height, width, 64];
    let values = factors.into_iter().try_fold(1, usize::checked_mul);
    if values.is_none_or(|values| values > isize::MAX as usize / size_of::<f32>()) {
        return Err(KernelError::TooLarge);
    }
    length("weight", weights.weight.len(), out_channels * in_channels)?;
    length("bias", weights.bias.len(), out_channels)
}
