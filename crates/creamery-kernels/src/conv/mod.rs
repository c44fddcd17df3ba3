//! A dense convolution with its batch norm and, where asked, SiLU: a network's stem, and its last 1 x 1.
//!
//! A convolution of 1 x 1 and stride 1 is a matrix product on the map as it lies. Any other is one on
//! patches, `[pixels][kernel][kernel][in]`, copied a tile at a time.

mod patches;

use crate::across::Everywhere;
use crate::error::{KernelError, length, positive};
use crate::grid::{Grid, Phase};
use crate::isa::{self, Proof};
use crate::map::{Output, SavedMap};
use crate::norm::{
    By, ChannelStats, MOMENTS, NormGrads, NormWeights, Parts, RunningStats, set_across,
    set_by_moments,
};
use crate::partial::Partial;
use crate::pool::Buffer;
use crate::product::{Left, Order, Product, Right, Start, Target, Transpose};
use crate::shared::Shared;
use crate::simd::LANES;
use crate::team::together;
use patches::{each_run, from_patches};
pub(crate) use patches::{patches, to_patches};
use std::ops::Range;

/// Pixels whose patches are multiplied together.
const TILE: usize = 256;

/// Sizes of a convolution. Feature maps are NHWC, padded by half of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConvShape {
    /// Images in the batch.
    pub images: usize,
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Rows and columns of the kernel, odd.
    pub kernel: usize,
    /// Stride, at least 1.
    pub stride: usize,
    /// Whether SiLU follows the norm.
    pub silu: bool,
}

impl ConvShape {
    /// Rows of the output.
    pub fn out_height(&self) -> usize {
        self.height.div_ceil(self.stride)
    }

    /// Columns of the output.
    pub fn out_width(&self) -> usize {
        self.width.div_ceil(self.stride)
    }

    /// Values of the input: images x height x width x in_channels.
    pub fn input_len(&self) -> usize {
        self.images * self.height * self.width * self.in_channels
    }

    /// Values of the output: images x out_height x out_width x out_channels.
    pub fn output_len(&self) -> usize {
        self.images * self.pixels() * self.out_channels
    }

    /// Multiplications (with their additions) of a forward pass.
    pub fn macs(&self) -> usize {
        self.output_len() * self.patch()
    }

    /// Pixels of an image of the output.
    pub(crate) fn pixels(&self) -> usize {
        self.out_height() * self.out_width()
    }

    /// Values of a patch.
    pub(crate) fn patch(&self) -> usize {
        self.kernel * self.kernel * self.in_channels
    }

    /// Whether patches are the input's pixels themselves.
    pub(crate) fn pointwise(&self) -> bool {
        self.kernel == 1 && self.stride == 1
    }

    /// The grid of the output.
    fn grid(&self) -> Grid {
        Grid::new(
            self.out_channels.div_ceil(LANES),
            self.images,
            self.pixels(),
        )
    }

    fn output<'a>(&self, isa: Proof, grid: &'a Grid) -> Output<'a> {
        let pixels = self.pixels();
        Output {
            isa,
            grid,
            channels: self.out_channels,
            images: self.images,
            pixels,
            silu: self.silu,
        }
    }
}

/// Weights of a convolution, in PyTorch's layouts.
#[derive(Clone, Copy, Debug)]
pub struct ConvWeights<'a> {
    /// `[out][in][kernel][kernel]`.
    pub weight: &'a [f32],
    /// Norm of the output.
    pub norm: NormWeights<'a>,
}

/// What a forward pass in training leaves.
#[derive(Debug)]
pub struct ConvForward {
    /// The output, NHWC.
    pub y: Vec<f32>,
    /// What the backward pass needs.
    pub saved: ConvSaved,
    /// Statistics of the batch, for running averages.
    pub stats: ChannelStats,
}

/// What the backward pass of a convolution needs: its raw output and the statistics.
#[derive(Debug)]
pub struct ConvSaved(SavedMap);

/// Gradients of a convolution's input and weights, in the layouts of these.
#[derive(Clone, Debug, PartialEq)]
pub struct ConvGrads {
    /// Of the input, if it was asked for.
    pub x: Option<Vec<f32>>,
    /// Of [`ConvWeights::weight`].
    pub weight: Vec<f32>,
    /// Of [`ConvWeights::norm`].
    pub norm: NormGrads,
}

/// A convolution in training: normalised by the statistics of the batch, ready for [`backward`].
///
/// # Errors
/// [`KernelError`] if a slice does not fit the shape or the kernel is even.
pub fn forward(
    shape: &ConvShape,
    weights: &ConvWeights<'_>,
    x: &[f32],
) -> Result<ConvForward, KernelError> {
    forward_across(shape, weights, x, None)
}

/// [`forward`] of a part of a batch that other processes have the rest of, normalised by the statistics of all of it.
/// So is [`backward`] then: it gives the gradients of the weights that come from this part, and all of that of x.
///
/// # Errors
/// As for [`forward`].
pub fn forward_across(
    shape: &ConvShape,
    weights: &ConvWeights<'_>,
    x: &[f32],
    across: Option<Everywhere>,
) -> Result<ConvForward, KernelError> {
    check(shape, weights, x)?;
    let (y, map) = start(shape, weights, x, By::Batch(across));
    Ok(ConvForward {
        y,
        stats: map.norm.stats(),
        saved: ConvSaved(map),
    })
}

/// A convolution in training, of which no gradient will be asked: the output and the batch's statistics.
///
/// # Errors
/// As for [`forward`].
pub fn forward_no_grad(
    shape: &ConvShape,
    weights: &ConvWeights<'_>,
    x: &[f32],
) -> Result<(Vec<f32>, ChannelStats), KernelError> {
    check(shape, weights, x)?;
    let (y, map) = start(shape, weights, x, By::Batch(None));
    Ok((y, map.norm.stats()))
}

/// A convolution in inference: normalised by running statistics. Gives the output.
///
/// # Errors
/// As for [`forward`].
pub fn infer(
    shape: &ConvShape,
    weights: &ConvWeights<'_>,
    running: &RunningStats<'_>,
    x: &[f32],
) -> Result<Vec<f32>, KernelError> {
    check(shape, weights, x)?;
    running.check(["running mean", "running variance"], shape.out_channels)?;
    Ok(start(shape, weights, x, By::Running(running)).0)
}

/// The gradients of a convolution, by that of its output.
///
/// `x` and `weights` must be those of the forward pass that gave `saved`. The gradient of x is computed if
/// `input` says so.
///
/// # Errors
/// [`KernelError`] if a slice does not fit the shape.
pub fn backward(
    shape: &ConvShape,
    weights: &ConvWeights<'_>,
    x: &[f32],
    saved: &ConvSaved,
    dy: &[f32],
    input: bool,
) -> Result<ConvGrads, KernelError> {
    check(shape, weights, x)?;
    length("dy", dy.len(), shape.output_len())?;
    let grid = shape.grid();
    let blocks = shape.out_channels.div_ceil(LANES);
    length(
        "saved map",
        saved.0.raw.len(),
        blocks * shape.images * shape.pixels() * LANES,
    )?;
    let isa = isa::current();
    Ok(together(|| {
        let (slope, norm) = shape.output(isa, &grid).backward(&saved.0, dy);

        let weight = weight_grad(isa, shape, &grid, x, &slope);
        let x = input.then(|| input_grad(isa, shape, weights, &slope));
        ConvGrads { x, weight, norm }
    }))
}

fn check(shape: &ConvShape, weights: &ConvWeights<'_>, x: &[f32]) -> Result<(), KernelError> {
    check_weights(shape, weights)?;
    length("x", x.len(), shape.input_len())
}

pub(crate) fn check_weights(
    shape: &ConvShape,
    weights: &ConvWeights<'_>,
) -> Result<(), KernelError> {
    let ConvShape {
        images,
        height,
        width,
        in_channels,
        out_channels,
        kernel,
        stride,
        ..
    } = *shape;
    for (what, found) in [
        ("images", images),
        ("height", height),
        ("width", width),
        ("in_channels", in_channels),
        ("out_channels", out_channels),
        ("stride", stride),
    ] {
        positive(what, found)?;
    }
    if kernel.is_multiple_of(2) {
        return Err(KernelError::Unsupported {
            what: "kernel",
            found: kernel,
            allowed: "odd sizes",
        });
    }
    let factors = [
        in_channels.max(out_channels),
        images,
        height,
        width,
        kernel,
        kernel,
        64,
    ];
    let values = factors.into_iter().try_fold(1, usize::checked_mul);
    if values.is_none_or(|values| values > isize::MAX as usize / size_of::<f32>()) {
        return Err(KernelError::TooLarge);
    }
    length("weight", weights.weight.len(), out_channels * shape.patch())?;
    weights
        .norm
        .check(["norm gamma", "norm beta"], out_channels)
}

/// The convolution with this thread's instructions and all threads; see [`run`].
fn start(
    shape: &ConvShape,
    weights: &ConvWeights<'_>,
    x: &[f32],
    by: By<'_>,
) -> (Vec<f32>, SavedMap) {
    let isa = isa::current();
    together(|| run(isa, shape, weights, x, by))
}

/// The convolution, by the statistics of the batch or by running ones.
fn run(
    isa: Proof,
    shape: &ConvShape,
    weights: &ConvWeights<'_>,
    x: &[f32],
    by: By<'_>,
) -> (Vec<f32>, SavedMap) {
    let (out, k, pixels) = (shape.out_channels, shape.patch(), shape.pixels());
    let grid = shape.grid();
    let counts = grid.counts(pixels);
    let weight = to_patches(shape, weights.weight);
    let mut y = Vec::with_capacity(shape.output_len());
    let mut map = SavedMap::new(out, shape.images * pixels, &weights.norm, by);
    let across = map.norm.is_across();
    let mut moments = Parts::new(grid.chunks.len(), MOMENTS, out);
    let moments = by.is_batch().then(|| moments.shared());
    {
        // SAFETY: all that is written to it goes through `pointer`.
        let y = unsafe { Shared::unwritten(&mut y) };
        let (raw, norm) = (Shared::new(&mut map.raw), map.norm.shared());
        let output = shape.output(isa, &grid);
        let block = shape.images * pixels * LANES;
        let multiply = |group: &Range<usize>, chunk: usize| {
            let n = group.len() * LANES;
            let rows = group.start * LANES..out.min(group.end * LANES);
            let mut packed = Buffer::stale(n * k);
            isa.run(Transpose {
                from: &weight[rows.start * k..rows.end * k],
                k,
                to: &mut packed,
            });
            let b = Right {
                values: packed[..].into(),
                row: LANES,
                block: LANES * k,
                whole: true,
            };
            patches(shape, x, &grid.chunks[chunk], |first, patches| {
                let a = Left {
                    values: patches.into(),
                    order: Order::ByRows,
                    row: k,
                    block: LANES,
                };
                let at = raw.pointer(group.start * block + first * LANES);
                let c = Target {
                    at,
                    row: LANES,
                    block,
                    whole: true,
                };
                // SAFETY: these channels of these images are this task's.
                let mut product = unsafe { Product::new([patches.len() / k, n, k], a, b, c) };
                if let Some(moments) = moments {
                    // SAFETY: this chunk's parts of these channels are this task's.
                    let sums = unsafe { moments.moments(chunk, group) };
                    let begin = first == grid.chunks[chunk].start * pixels;
                    product = product.sums(isa, sums, begin);
                }
                isa.run(product);
            });
        };
        let join = |group: &Range<usize>| {
            if let Some(moments) = moments {
                // SAFETY: the group's parts are written, and it is this task's.
                unsafe { set_by_moments(norm, &weights.norm, moments, &counts, group.clone()) };
            }
        };
        let all = || {
            if let Some(moments) = moments {
                // SAFETY: all parts are written, and no task runs.
                unsafe { set_across(norm, &weights.norm, moments, &counts) };
            }
        };
        let all: Option<&(dyn Fn() + Sync)> = across.then_some(&all);
        // SAFETY: the group's map and norm are set, and its channels of the chunk are this task's.
        let finish = |group: &Range<usize>, chunk: usize| unsafe {
            output.write(group, chunk, (raw, norm), y, None)
        };
        grid.run(&[
            Phase {
                task: &multiply,
                join: &join,
                all,
            },
            Phase {
                task: &finish,
                join: &|_| {},
                all: None,
            },
        ]);
    }
    // SAFETY: the groups have written all channels of all pixels.
    unsafe { y.set_len(shape.output_len()) };
    (y, map)
}

/// The gradient of the weight, by that of the raw map.
fn weight_grad(isa: Proof, shape: &ConvShape, grid: &Grid, x: &[f32], slope: &[f32]) -> Vec<f32> {
    let (out, k) = (shape.out_channels, shape.patch());
    let block = shape.images * shape.pixels() * LANES;
    let mut grads = Partial::new(out * k, grid.chunks.len());
    {
        let partial = grads.shared();
        let rows = |group: &Range<usize>| group.start * LANES..out.min(group.end * LANES);
        let task = |group: &Range<usize>, chunk: usize| {
            let rows = rows(group);
            let whole = k.is_multiple_of(LANES);
            let mut start = Start::Zero;
            patches(shape, x, &grid.chunks[chunk], |first, patches| {
                let values = slope[group.start * block + first * LANES..].into();
                let a = Left {
                    values,
                    order: Order::ByColumns,
                    row: LANES,
                    block,
                };
                let b = Right {
                    values: patches.into(),
                    row: k,
                    block: LANES,
                    whole,
                };
                let c = Target {
                    at: partial.pointer(chunk, rows.start * k),
                    row: k,
                    block: LANES,
                    whole,
                };
                // SAFETY: these rows of this chunk's part are this task's.
                isa.run(
                    unsafe { Product::new([rows.len(), k, patches.len() / k], a, b, c) }
                        .start(start),
                );
                start = Start::Held;
            });
        };
        let join = |group: &Range<usize>| {
            // SAFETY: the group's rows are this task's, and all chunks' parts are written.
            unsafe { partial.join(rows(group).start * k..rows(group).end * k) };
        };
        grid.run(&[Phase {
            task: &task,
            join: &join,
            all: None,
        }]);
    }
    // SAFETY: the tasks have written, or joined, all rows.
    let grads = unsafe { grads.finish() };
    if shape.kernel == 1 {
        grads
    } else {
        from_patches(shape, &grads)
    }
}

/// The gradient of the input, by that of the raw map.
fn input_grad(isa: Proof, shape: &ConvShape, weights: &ConvWeights<'_>, slope: &[f32]) -> Vec<f32> {
    let (out, k, pixels) = (shape.out_channels, shape.patch(), shape.pixels());
    let block = shape.images * pixels * LANES;
    let weight = to_patches(shape, weights.weight);
    let whole = k.is_multiple_of(LANES);
    let mut dx = vec![0.0; shape.input_len()];
    let shared = Shared::new(&mut dx);
    // One block: the channels of a patch are not cut, because neighbouring patches add to the same pixels.
    let grid = Grid::new(1, shape.images, shape.height * shape.width);
    let task = |_: &Range<usize>, chunk: usize| {
        let images = &grid.chunks[chunk];
        let b = Right {
            values: weight[..].into(),
            row: k,
            block: LANES,
            whole,
        };
        let product = |first: usize, count: usize, at: *mut f32| {
            let a = Left {
                values: slope[first * LANES..].into(),
                order: Order::ByRows,
                row: LANES,
                block,
            };
            let c = Target {
                at,
                row: k,
                block: LANES,
                whole,
            };
            // SAFETY: `at` is valid for the patches of `count` pixels, and they are this task's.
            isa.run(unsafe { Product::new([count, k, out], a, b, c) });
        };
        if shape.pointwise() {
            product(
                images.start * pixels,
                images.len() * pixels,
                shared.pointer(images.start * pixels * k),
            );
            return;
        }
        let image_len = shape.height * shape.width * shape.in_channels;
        let mut tile = Buffer::stale(TILE * k);
        for image in images.clone() {
            // SAFETY: the image is this task's.
            let dx = unsafe { shared.write(image * image_len..(image + 1) * image_len) };
            for first in (0..pixels).step_by(TILE) {
                let count = TILE.min(pixels - first);
                product(image * pixels + first, count, tile.as_mut_ptr());
                for (pixel, patch) in (first..first + count).zip(tile.chunks_exact(k)) {
                    each_run(shape, pixel, |place, in_patch| {
                        for (to, from) in dx[place].iter_mut().zip(&patch[in_patch]) {
                            *to += from;
                        }
                    });
                }
            }
        }
    };
    grid.run(&[Phase {
        task: &task,
        join: &|_| {},
        all: None,
    }]);
    dx
}
