//! The forward passes: in training, in training without gradients, and in inference.

use super::project::project;
use super::squeeze::{self, SavedSqueeze};
use super::{
    BlockForward, BlockRunningStats, BlockSaved, BlockShape, BlockStats, BlockWeights, check,
};
use crate::depthwise::{Forward, Rows, Window};
use crate::elementwise::{Activate, Fill, Moments};
use crate::error::KernelError;
use crate::grid::{Grid, Phase};
use crate::isa::{self, Proof};
use crate::map::SavedMap;
use crate::norm::{MOMENTS, NormBlock, Parts, SharedNorm, SharedParts, set_by_moments};
use crate::pool::Buffer;
use crate::product::{ColumnSums, Left, Order, Product, Right, Target, Transpose};
use crate::shared::Shared;
use crate::simd::LANES;
use crate::team::together;
use std::ops::Range;

/// A block in training: normalised by the statistics of the batch, ready for [`super::backward`].
///
/// # Errors
/// [`KernelError`] if a slice does not fit the shape or a size is not supported.
pub fn forward(
    shape: &BlockShape,
    weights: &BlockWeights<'_>,
    x: &[f32],
) -> Result<BlockForward, KernelError> {
    let window = check(shape, weights, x)?;
    let (y, saved) = start(shape, weights, x, &window, None);
    let stats = stats(&saved);
    Ok(BlockForward { y, saved, stats })
}

/// A block in training, of which no gradient will be asked: the output and the statistics of the batch.
///
/// # Errors
/// As for [`forward`].
pub fn forward_no_grad(
    shape: &BlockShape,
    weights: &BlockWeights<'_>,
    x: &[f32],
) -> Result<(Vec<f32>, BlockStats), KernelError> {
    let window = check(shape, weights, x)?;
    let (y, saved) = start(shape, weights, x, &window, None);
    Ok((y, stats(&saved)))
}

/// A block in inference: normalised by running statistics. Gives the output.
///
/// # Errors
/// As for [`forward`]; also if weights and statistics do not agree on the expansion.
pub fn infer(
    shape: &BlockShape,
    weights: &BlockWeights<'_>,
    running: &BlockRunningStats<'_>,
    x: &[f32],
) -> Result<Vec<f32>, KernelError> {
    let window = check(shape, weights, x)?;
    match (&weights.expand, &running.expand) {
        (Some(_), Some(stats)) => stats.check(
            ["expand running mean", "expand running variance"],
            shape.mid_channels,
        )?,
        (None, None) => {}
        _ => {
            let [what, other] = ["the expansion's weights", "its running statistics"];
            return Err(KernelError::Mismatch { what, other });
        }
    }
    running.depthwise.check(
        ["depthwise running mean", "depthwise running variance"],
        shape.mid_channels,
    )?;
    running.project.check(
        ["project running mean", "project running variance"],
        shape.out_channels,
    )?;
    Ok(start(shape, weights, x, &window, Some(running)).0)
}

fn stats(saved: &BlockSaved) -> BlockStats {
    BlockStats {
        expand: saved.expand.as_ref().map(|map| map.norm.stats()),
        depthwise: saved.depthwise.norm.stats(),
        project: saved.project.norm.stats(),
    }
}

/// The block with this thread's instructions and all threads, by the batch's statistics or by running ones.
fn start(
    shape: &BlockShape,
    weights: &BlockWeights<'_>,
    x: &[f32],
    window: &Window,
    running: Option<&BlockRunningStats<'_>>,
) -> (Vec<f32>, BlockSaved) {
    let isa = isa::current();
    together(|| run(isa, shape, weights, x, window, running))
}

/// The block, by the statistics of the batch or by running ones.
fn run(
    isa: Proof,
    shape: &BlockShape,
    weights: &BlockWeights<'_>,
    x: &[f32],
    window: &Window,
    running: Option<&BlockRunningStats<'_>>,
) -> (Vec<f32>, BlockSaved) {
    let mid = shape.mid_channels;
    let blocks = mid.div_ceil(LANES);
    let (inner, outer) = (
        shape.height * shape.width,
        window.out_height * window.out_width,
    );
    let grid = Grid::new(blocks, shape.images, inner);
    let batch = running.is_none();

    let mut expanded = weights.expand.as_ref().map(|expand| {
        let running = running.and_then(|running| running.expand.as_ref());
        SavedMap::new(mid, shape.images * inner, &expand.norm, running)
    });
    let stats = running.map(|running| &running.depthwise);
    let mut convolved = SavedMap::new(mid, shape.images * outer, &weights.depthwise_norm, stats);
    let mut activated = Buffer::stale(blocks * shape.images * outer * LANES);
    let mut pooled = Buffer::stale(blocks * shape.images * LANES);
    {
        let mut moments = [(); 2].map(|()| Parts::new(grid.chunks.len(), MOMENTS, mid));
        let [expand_moments, depthwise_moments] = moments
            .each_mut()
            .map(|moments| batch.then(|| moments.shared()));
        let expand = expanded
            .as_mut()
            .map(|map| (Shared::new(&mut map.raw), map.norm.shared()));
        let map = (Shared::new(&mut convolved.raw), convolved.norm.shared());
        let stage = Stage {
            isa,
            shape,
            weights,
            x,
            window,
            grid: &grid,
            expand,
            map,
        };
        let (activated, pooled) = (Shared::new(&mut activated), Shared::new(&mut pooled));

        let expand_task =
            |group: &Range<usize>, chunk: usize| stage.expand(group, chunk, expand_moments);
        let expand_join = |group: &Range<usize>| {
            if let (Some((_, norm)), Some(parts), Some(weights)) =
                (stage.expand, expand_moments, &weights.expand)
            {
                // SAFETY: the group's parts are written, and it is this task's.
                unsafe {
                    set_by_moments(
                        norm,
                        &weights.norm,
                        parts,
                        &grid.counts(inner),
                        group.clone(),
                    )
                };
            }
        };
        let depthwise_task =
            |group: &Range<usize>, chunk: usize| stage.depthwise(group, chunk, depthwise_moments);
        let depthwise_join = |group: &Range<usize>| {
            if let Some(parts) = depthwise_moments {
                // SAFETY: the group's parts are written, and it is this task's.
                unsafe {
                    set_by_moments(
                        stage.map.1,
                        &weights.depthwise_norm,
                        parts,
                        &grid.counts(outer),
                        group.clone(),
                    )
                };
            }
        };
        let activate_task =
            |group: &Range<usize>, chunk: usize| stage.activate(group, chunk, activated, pooled);
        let phases = [
            Phase {
                task: &expand_task,
                join: &expand_join,
            },
            Phase {
                task: &depthwise_task,
                join: &depthwise_join,
            },
            Phase {
                task: &activate_task,
                join: &|_| {},
            },
        ];
        grid.run(if weights.expand.is_some() {
            &phases
        } else {
            &phases[1..]
        });
    }
    let squeezed = weights
        .squeeze
        .as_ref()
        .map(|weights| squeeze::forward(isa, shape, weights, pooled));
    let gate = squeezed.as_ref().map(SavedSqueeze::gate);
    let running = running.map(|running| &running.project);
    let (y, projected) = project(isa, shape, weights, x, &mut activated, gate, running);
    (
        y,
        BlockSaved {
            expand: expanded,
            depthwise: convolved,
            squeeze: squeezed,
            project: projected,
        },
    )
}

/// The part of a block that goes by groups of mid channels.
struct Stage<'a> {
    isa: Proof,
    shape: &'a BlockShape,
    weights: &'a BlockWeights<'a>,
    x: &'a [f32],
    window: &'a Window,
    grid: &'a Grid,
    /// The expansion's raw output and norm.
    expand: Option<(Shared<'a>, SharedNorm<'a>)>,
    /// The depthwise convolution's raw output and norm.
    map: (Shared<'a>, SharedNorm<'a>),
}

impl Stage<'_> {
    /// The expansion of a group of channels for a chunk of images.
    fn expand(&self, group: &Range<usize>, chunk: usize, moments: Option<SharedParts<'_>>) {
        let (Some((raw, _)), Some(weights)) = (self.expand, &self.weights.expand) else {
            return;
        };
        let shape = self.shape;
        let images = &self.grid.chunks[chunk];
        let pixels = shape.height * shape.width;
        let rows = group.start * LANES..shape.mid_channels.min(group.end * LANES);
        let k = shape.in_channels;
        let n = group.len() * LANES;
        let mut packed = Buffer::stale(n * k);
        self.isa.run(Transpose {
            from: &weights.weight[rows.start * k..rows.end * k],
            k,
            to: &mut packed,
        });

        let first = images.start * pixels;
        let a = Left {
            values: self.x[first * k..].into(),
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
        let block = shape.images * pixels * LANES;
        let c = Target {
            at: raw.pointer(group.start * block + first * LANES),
            row: LANES,
            block,
            whole: true,
        };
        let sums = moments.map(|moments| {
            // SAFETY: this chunk's parts of these channels are this task's.
            let [shift, sum, squares] =
                [0, 1, 2].map(|quantity| unsafe { moments.write(chunk, quantity, group) });
            let c = Target {
                at: shift.as_mut_ptr(),
                row: LANES,
                block: LANES,
                whole: true,
            };
            // SAFETY: `shift` has the group's columns, and one row.
            self.isa.run(unsafe { Product::new([1, n, k], a, b, c) });
            ColumnSums {
                shift,
                sum,
                squares,
            }
        });
        // SAFETY: these channels of these images are this task's.
        self.isa
            .run(unsafe { Product::new([images.len() * pixels, n, k], a, b, c) }.sums(sums));
    }

    /// The depthwise convolution of a group of channels for a chunk of images.
    fn depthwise(&self, group: &Range<usize>, chunk: usize, moments: Option<SharedParts<'_>>) {
        let (window, shape) = (self.window, self.shape);
        let images = &self.grid.chunks[chunk];
        let outer = window.out_height * window.out_width;
        let size = window.kernel * window.kernel;
        let mut taps = Buffer::stale(size * LANES);
        let bands = window.bands();
        let pitch = window.padded_width() * LANES;
        let most = window.batch().min(images.len());
        let mut padded = Rows::new(most, bands.iter().map(|band| &band.input), pitch);
        for block in group.clone() {
            let rows = block * LANES..shape.mid_channels.min((block + 1) * LANES);
            let from = &self.weights.depthwise[rows.start * size..rows.end * size];
            self.isa.run(Transpose {
                from,
                k: size,
                to: &mut taps,
            });
            for start in images.clone().step_by(window.batch()) {
                let count = window.batch().min(images.end - start);
                let at = (block * shape.images + start) * outer * LANES;
                // SAFETY: these channels of these images are this task's.
                let out = unsafe { self.map.0.write(at..at + count * outer * LANES) };
                for band in &bands {
                    let to = padded.advance(&band.input);
                    let source = self.source(block, start, count, &band.input.fresh());
                    self.isa
                        .run(source.into(to, window.left(), window.padded_width()));
                    let row = window.out_width * LANES;
                    let out = if count == 1 {
                        &mut out[band.out.start * row..band.out.end * row]
                    } else {
                        &mut *out
                    };
                    let (held, input) = (band.input.rows.clone(), padded.all());
                    self.isa.run(Forward {
                        window,
                        held,
                        input,
                        taps: &taps,
                        rows: band.out.clone(),
                        out,
                    });
                }
                if let Some(moments) = moments {
                    let block = block..block + 1;
                    // SAFETY: this chunk's parts of these channels are this task's.
                    let [shift, sum, squares] =
                        [0, 1, 2].map(|quantity| unsafe { moments.write(chunk, quantity, &block) });
                    if start == images.start {
                        shift.copy_from_slice(&out[..LANES]);
                    }
                    self.isa.run(Moments {
                        raw: out,
                        shift,
                        sum,
                        squares,
                    });
                }
            }
        }
    }

    /// What the depthwise convolution reads of a block of channels of some rows of `count` images: the
    /// expansion, activated on the way, or x.
    fn source(&self, block: usize, image: usize, count: usize, rows: &Range<usize>) -> Source<'_> {
        let pixels = source_pixels(self.shape, image, count, rows);
        let first = block * self.shape.images * self.shape.height * self.shape.width;
        let map = (first + pixels.start) * LANES..(first + pixels.end) * LANES;
        // SAFETY: the block's channels of these images are written, and so is their norm.
        let expand = self
            .expand
            .map(|(raw, norm)| unsafe { (raw.read(map), norm.block(block)) });
        source(self.shape, self.x, expand, block, pixels)
    }

    /// The activation of the depthwise output and its mean over pixels.
    fn activate(
        &self,
        group: &Range<usize>,
        chunk: usize,
        activated: Shared<'_>,
        pooled: Shared<'_>,
    ) {
        let images = &self.grid.chunks[chunk];
        let pixels = self.window.out_height * self.window.out_width;
        for block in group.clone() {
            let first = block * self.shape.images + images.start;
            let map = first * pixels * LANES..(first + images.len()) * pixels * LANES;
            // SAFETY: these channels of these images are this task's, and their norm is set.
            unsafe {
                self.isa.run(Activate {
                    norm: self.map.1.block(block),
                    pixels,
                    raw: self.map.0.read(map.clone()),
                    out: activated.write(map),
                    mean: pooled.write(first * LANES..(first + images.len()) * LANES),
                });
            }
        }
    }
}

/// The pixels, of all images, of some rows of `count` images: all rows, unless it is one image.
pub(super) fn source_pixels(
    shape: &BlockShape,
    image: usize,
    count: usize,
    rows: &Range<usize>,
) -> Range<usize> {
    let first = image * shape.height + rows.start;
    let end = (image + count - 1) * shape.height + rows.end;
    first * shape.width..end * shape.width
}

/// What a depthwise convolution takes: some pixels of a block of channels, in rows of `width`.
pub(super) struct Source<'a> {
    from: &'a [f32],
    stride: usize,
    channels: usize,
    pixels: usize,
    width: usize,
    norm: Option<NormBlock<'a>>,
}

/// What a depthwise convolution takes of some pixels of a block. `expand` is the block of the raw expansion of
/// these pixels, and its norm.
pub(super) fn source<'a>(
    shape: &BlockShape,
    x: &'a [f32],
    expand: Option<(&'a [f32], NormBlock<'a>)>,
    block: usize,
    pixels: Range<usize>,
) -> Source<'a> {
    let (from, stride, channels, norm) = match expand {
        Some((raw, norm)) => (raw, LANES, LANES, Some(norm)),
        None => {
            let channels = shape.in_channels;
            let from = &x[pixels.start * channels + block * LANES..];
            (from, channels, (channels - block * LANES).min(LANES), None)
        }
    };
    Source {
        from,
        stride,
        channels,
        pixels: pixels.len(),
        width: shape.width,
        norm,
    }
}

impl<'a> Source<'a> {
    /// The pass that puts it into padded rows.
    pub(super) fn into(self, to: &'a mut [f32], left: usize, padded_width: usize) -> Fill<'a> {
        let Self {
            from,
            stride,
            channels,
            pixels,
            width,
            norm,
        } = self;
        Fill {
            from,
            stride,
            channels,
            rows: pixels / width,
            width,
            to,
            left,
            padded_width,
            norm,
            slope: None,
        }
    }
}
