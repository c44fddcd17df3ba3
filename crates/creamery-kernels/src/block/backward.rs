//! The backward pass.
//!
//! From the output back: the projection's norm, then for each group of mid channels the projection's input
//! and weight gradients and the way through the gate up to what squeeze-excite adds; then squeeze-excite;
//! then, again for each group of channels, the depthwise norm, the depthwise convolution's gradients, the
//! expansion's norm and weight gradient; last the gradient of x, which takes all mid channels together.

use super::convolve::DepthwiseStep;
use super::expansion::Expansion;
use super::project::{output, output_grid};
use super::squeeze::{self, SqueezeSlope};
use super::{BlockGrads, BlockSaved, BlockShape, BlockWeights, ExpandGrads, check};
use crate::depthwise::{InputPlan, Window};
use crate::elementwise::{GATE_SUMS, GateSlope};
use crate::error::{KernelError, length};
use crate::grid::{Grid, Phase};
use crate::isa::{self, Proof};
use crate::norm::{NormBackward, NormGrads};
use crate::partial::Partial;
use crate::pool::Buffer;
use crate::product::{Left, Order, Product, Right, Start, Target};
use crate::shared::Shared;
use crate::simd::LANES;
use crate::team::together;
use std::ops::Range;

/// Pixels that go through a chain of small passes together.
pub(super) const TILE: usize = 256;

/// The gradients of a block, by that of its output.
///
/// `x` and `weights` must be those of the forward pass that gave `saved`. The gradient of x is computed if
/// `input` says so.
///
/// # Errors
/// [`KernelError`] if a slice does not fit the shape.
pub fn backward(
    shape: &BlockShape,
    weights: &BlockWeights<'_>,
    x: &[f32],
    saved: &BlockSaved,
    dy: &[f32],
    input: bool,
) -> Result<BlockGrads, KernelError> {
    let window = check(shape, weights, x)?;
    length("dy", dy.len(), shape.output_len())?;
    let (blocks, images) = (shape.mid_channels.div_ceil(LANES), shape.images);
    let outer = window.out_height * window.out_width;
    length(
        "saved depthwise map",
        saved.depthwise.raw.len(),
        blocks * images * outer * LANES,
    )?;
    if saved.expand.is_some() != weights.expand.is_some() {
        return Err(KernelError::Mismatch {
            what: "the expansion's weights",
            other: "its saved map",
        });
    }
    if saved.squeeze.is_some() != weights.squeeze.is_some() {
        return Err(KernelError::Mismatch {
            what: "squeeze-excite's weights",
            other: "its saved values",
        });
    }
    let isa = isa::current();
    Ok(together(|| {
        run(isa, shape, weights, x, saved, dy, input, &window)
    }))
}

/// The pass, of arguments that fit.
#[expect(
    clippy::too_many_arguments,
    reason = "those of the public function, and what was found of them"
)]
fn run(
    isa: Proof,
    shape: &BlockShape,
    weights: &BlockWeights<'_>,
    x: &[f32],
    saved: &BlockSaved,
    dy: &[f32],
    input: bool,
    window: &Window,
) -> BlockGrads {
    let (blocks, images) = (shape.mid_channels.div_ceil(LANES), shape.images);
    let outer = window.out_height * window.out_width;

    let (projected, project_norm) =
        output(isa, shape, &output_grid(shape)).backward(&saved.project, dy);
    let grid = Grid::new(blocks, images, shape.height * shape.width);
    let pass = Pass {
        isa,
        shape,
        weights,
        x,
        saved,
        window,
        grid: &grid,
        outer,
    };
    let mut gated = pass.through_projection(&projected);
    drop(projected);
    let squeezed = weights
        .squeeze
        .as_ref()
        .zip(saved.squeeze.as_ref())
        .map(|(weights, saved)| {
            let gate = &mut gated.sums[..blocks * images * LANES];
            squeeze::backward(isa, shape, weights, saved, gate)
        });
    let project = std::mem::take(&mut gated.project);
    let inner = pass.through_depthwise(gated, squeezed.as_ref(), dy, input);
    BlockGrads {
        x: inner.x,
        expand: inner.expand,
        depthwise: inner.depthwise,
        depthwise_norm: inner.depthwise_norm,
        squeeze: squeezed.map(|squeezed| squeezed.grads),
        project,
        project_norm,
    }
}

/// What all steps of the pass share.
pub(super) struct Pass<'a> {
    pub(super) isa: Proof,
    pub(super) shape: &'a BlockShape,
    pub(super) weights: &'a BlockWeights<'a>,
    pub(super) x: &'a [f32],
    pub(super) saved: &'a BlockSaved,
    pub(super) window: &'a Window,
    /// Of the mid channels.
    pub(super) grid: &'a Grid,
    /// Pixels of an image of the depthwise output.
    pub(super) outer: usize,
}

/// The way back to the depthwise norm's output, as far as it goes without squeeze-excite's part.
struct Gated {
    /// The norm's output's gradient is `u + p v`; see [`GateSlope`].
    u: Buffer,
    v: Buffer,
    /// `[quantities][blocks][images][16]`; see [`GateSlope`].
    sums: Buffer,
    /// The gradient of the projection's weight.
    project: Vec<f32>,
}

/// The gradients that the rest of the pass gives.
struct Inner {
    x: Option<Vec<f32>>,
    expand: Option<ExpandGrads>,
    depthwise: Vec<f32>,
    depthwise_norm: NormGrads,
}

impl Pass<'_> {
    /// Blocks of mid channels.
    pub(super) fn blocks(&self) -> usize {
        self.shape.mid_channels.div_ceil(LANES)
    }

    /// Channels of a group that exist.
    pub(super) fn channels(&self, group: &Range<usize>) -> Range<usize> {
        group.start * LANES..self.shape.mid_channels.min(group.end * LANES)
    }

    /// Pieces of a chunk that are small enough for cache: images, and the pixels of each, `size` to a whole one.
    pub(super) fn tiles(&self, chunk: usize, size: usize) -> Vec<(Range<usize>, Range<usize>)> {
        let images = &self.grid.chunks[chunk];
        let mut tiles = Vec::new();
        if size >= TILE {
            for image in images.clone() {
                tiles.extend(
                    (0..size)
                        .step_by(TILE)
                        .map(|first| (image..image + 1, first..size.min(first + TILE))),
                );
            }
        } else {
            let batch = TILE / size;
            tiles.extend(
                images
                    .clone()
                    .step_by(batch)
                    .map(|first| (first..images.end.min(first + batch), 0..size)),
            );
        }
        tiles
    }

    /// Through the projection and the gate.
    fn through_projection(&self, projected: &[f32]) -> Gated {
        let (shape, outer, images) = (self.shape, self.outer, self.shape.images);
        let (mid, out) = (shape.mid_channels, shape.out_channels);
        let blocks = self.blocks();
        let mut u = Buffer::stale(blocks * images * outer * LANES);
        let mut v = Buffer::stale(blocks * images * outer * LANES);
        let mut sums = Buffer::zeros(GATE_SUMS * blocks * images * LANES);
        let mut project = Partial::new(out * mid, self.grid.chunks.len());
        let ones;
        let gate = match &self.saved.squeeze {
            Some(squeeze) => squeeze.gate(),
            None => {
                let mut buffer = Buffer::stale(blocks * images * LANES);
                buffer.fill(1.0);
                ones = buffer;
                &ones
            }
        };
        {
            let (u, v, sums, partial) = (
                Shared::new(&mut u),
                Shared::new(&mut v),
                Shared::new(&mut sums),
                project.shared(),
            );
            let map = images * outer * LANES;
            let task = |group: &Range<usize>, chunk: usize| {
                let channels = self.channels(group);
                let n = channels.len();
                let whole = n.is_multiple_of(LANES);
                let mut again = Buffer::stale(group.len() * TILE * LANES);
                let mut start = Start::Zero;
                for (tile, pixels) in self.tiles(chunk, outer) {
                    let count = tile.len() * pixels.len();
                    let first = (tile.start * outer + pixels.start) * LANES;
                    let a = Left {
                        values: projected[first..].into(),
                        order: Order::ByRows,
                        row: LANES,
                        block: map,
                    };
                    let values = self.weights.project[channels.start..].into();
                    let b = Right {
                        values,
                        row: mid,
                        block: LANES,
                        whole,
                    };
                    let at = u.pointer(group.start * map + first);
                    let c = Target {
                        at,
                        row: LANES,
                        block: map,
                        whole: true,
                    };
                    // SAFETY: these channels of these images are this task's.
                    self.isa
                        .run(unsafe { Product::new([count, n, out], a, b, c) });
                    for (block, again) in group.clone().zip(again.chunks_exact_mut(TILE * LANES)) {
                        let part = block * map + first..block * map + first + count * LANES;
                        let per_image = (block * images + tile.start) * LANES
                            ..(block * images + tile.end) * LANES;
                        let step = blocks * images * LANES;
                        // SAFETY: these channels of these images are this task's.
                        let (u, v, sums) = unsafe {
                            let sums = std::array::from_fn(|quantity| {
                                sums.write(
                                    quantity * step + per_image.start
                                        ..quantity * step + per_image.end,
                                )
                            });
                            (u.write(part.clone()), v.write(part.clone()), sums)
                        };
                        self.isa.run(GateSlope {
                            norm: self.saved.depthwise.norm.block(block),
                            pixels: pixels.len(),
                            raw: &self.saved.depthwise.raw[part],
                            gate: &gate[per_image],
                            u,
                            v,
                            gated: again,
                            sums,
                        });
                    }
                    let a = Left {
                        values: projected[first..].into(),
                        order: Order::ByColumns,
                        row: LANES,
                        block: map,
                    };
                    let b = Right {
                        values: again[..].into(),
                        row: LANES,
                        block: TILE * LANES,
                        whole: true,
                    };
                    let c = Target {
                        at: partial.pointer(chunk, channels.start),
                        row: mid,
                        block: LANES,
                        whole,
                    };
                    // SAFETY: these columns of this chunk's part are this task's.
                    self.isa
                        .run(unsafe { Product::new([out, n, count], a, b, c) }.start(start));
                    start = Start::Held;
                }
            };
            let join = |group: &Range<usize>| {
                for row in 0..out {
                    let channels = self.channels(group);
                    // SAFETY: the group's columns are this task's, and all chunks' parts are written.
                    unsafe { partial.join(row * mid + channels.start..row * mid + channels.end) };
                }
            };
            self.grid.run(&[Phase {
                task: &task,
                join: &join,
                all: None,
            }]);
        }
        // SAFETY: the tasks have written, or joined, all columns.
        let project = unsafe { project.finish() };
        Gated {
            u,
            v,
            sums,
            project,
        }
    }

    /// From the depthwise norm back to x.
    fn through_depthwise(
        &self,
        gated: Gated,
        squeezed: Option<&SqueezeSlope>,
        dy: &[f32],
        input: bool,
    ) -> Inner {
        let (shape, grid, blocks) = (self.shape, self.grid, self.blocks());
        let inner = shape.height * shape.width;
        let chunks = grid.chunks.len();
        let size = shape.kernel * shape.kernel;
        let mut pooled = Buffer::zeros(blocks * shape.images * LANES);
        let mut slope = Buffer::stale(blocks * shape.images * inner * LANES);
        let mut depthwise = vec![0.0; shape.mid_channels * size];
        let mut taps = Buffer::zeros(chunks * blocks * size * LANES);
        let mut depthwise_norm = NormBackward::new(&self.saved.depthwise.norm, chunks);
        let mut expand_norm = self
            .saved
            .expand
            .as_ref()
            .map(|map| NormBackward::new(&map.norm, chunks));
        let mut dx = Vec::with_capacity(if input { shape.input_len() } else { 0 });
        let mut weight = None;
        {
            // SAFETY: all that is written to it goes through `pointer`.
            let dx = input.then(|| unsafe { Shared::unwritten(&mut dx) });
            let step = DepthwiseStep {
                pass: self,
                plan: InputPlan::new(self.window),
                gated: [&gated.u, &gated.v],
                pooled: Shared::new(&mut pooled),
                slope: Shared::new(&mut slope),
                taps: Shared::new(&mut taps),
                norm: depthwise_norm.shared(),
                expand_norm: expand_norm.as_mut().map(NormBackward::shared),
                dx: dx.filter(|_| self.weights.expand.is_none()),
                dy,
            };
            let grads = Shared::new(&mut depthwise);
            let pool = |group: &Range<usize>| step.pool(group, squeezed, &gated.sums);
            let convolve = |group: &Range<usize>, chunk: usize| step.convolve(group, chunk);
            let join = |group: &Range<usize>| step.join(group, grads);
            // SAFETY: all groups are joined, and no task runs.
            let pool_all = || unsafe { step.norm.set_across(shape.images * self.outer) };
            let convolve_all = || {
                if let Some(norm) = step.expand_norm {
                    // SAFETY: as above.
                    unsafe { norm.set_across(shape.images * inner) };
                }
            };
            let across = self.saved.depthwise.norm.is_across();
            let pool = Phase {
                task: &|_, _| {},
                join: &pool,
                all: if across { Some(&pool_all) } else { None },
            };
            let convolve = Phase {
                task: &convolve,
                join: &join,
                all: if across { Some(&convolve_all) } else { None },
            };
            match (step.expand_norm, &self.weights.expand, &self.saved.expand) {
                (Some(norm), Some(weights), Some(saved)) => {
                    let expansion = Expansion {
                        pass: self,
                        slope: step.slope,
                        norm,
                        weight: weights.weight,
                        raw: &saved.raw,
                    };
                    weight = Some(if chunks == 1 {
                        expansion.by_groups([pool, convolve], dx, dy)
                    } else {
                        grid.run(&[pool, convolve]);
                        expansion.by_tiles(dx, dy)
                    });
                }
                _ => grid.run(&[pool, convolve]),
            }
        }
        let x = input.then(|| {
            // SAFETY: the expansion, or the depthwise convolution without one, has written all of it.
            unsafe { dx.set_len(shape.input_len()) };
            dx
        });
        Inner {
            x,
            expand: expand_norm.zip(weight).map(|(norm, weight)| ExpandGrads {
                weight,
                norm: norm.grads(),
            }),
            depthwise,
            depthwise_norm: depthwise_norm.grads(),
        }
    }
}
