//! The forward passes that keep nothing: in training without gradients, and in inference.
//!
//! The raw expansion, the largest map of a block, never leaves the cache: it is computed a piece at a time,
//! and the depthwise convolution takes it from there. Where pieces are not all of a group of channels, its
//! batch statistics are found beforehand by those of x; see [`super::covariance`].

use super::covariance::expansion_norm;
use super::project::project;
use super::squeeze::{self, SavedSqueeze};
use super::stage::{Convolution, Expanded, Stage};
use super::{BlockRunningStats, BlockShape, BlockStats, BlockWeights, check};
use crate::depthwise::Window;
use crate::elementwise::Activate;
use crate::error::KernelError;
use crate::grid::{Grid, Phase};
use crate::isa::{self, Proof};
use crate::norm::{By, MOMENTS, Norm, Parts, set_by_moments};
use crate::pool::Buffer;
use crate::shared::Shared;
use crate::simd::LANES;
use crate::team::together;
use std::ops::Range;

/// Floats of a piece of the expansion: what fits into the second level of cache with room to spare.
const PIECE: usize = 1 << 17;

/// A block in training, of which no gradient will be asked: the output and the statistics of the batch.
///
/// # Errors
/// As for [`super::forward`].
pub fn forward_no_grad(
    shape: &BlockShape,
    weights: &BlockWeights<'_>,
    x: &[f32],
) -> Result<(Vec<f32>, BlockStats), KernelError> {
    let window = check(shape, weights, x)?;
    let isa = isa::current();
    let (y, norms) = together(|| run(isa, shape, weights, x, &window, None));
    Ok((y, norms.stats()))
}

/// A block in inference: normalised by running statistics. Gives the output.
///
/// # Errors
/// As for [`super::forward`]; also if weights and statistics do not agree on the expansion.
pub fn infer(
    shape: &BlockShape,
    weights: &BlockWeights<'_>,
    running: &BlockRunningStats<'_>,
    x: &[f32],
) -> Result<Vec<f32>, KernelError> {
    let window = check(shape, weights, x)?;
    check_running(shape, weights, running)?;
    let isa = isa::current();
    let (y, _) = together(|| run(isa, shape, weights, x, &window, Some(running)));
    Ok(y)
}

/// Checks running statistics against the weights.
pub(crate) fn check_running(
    shape: &BlockShape,
    weights: &BlockWeights<'_>,
    running: &BlockRunningStats<'_>,
) -> Result<(), KernelError> {
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
    )
}

/// The norms that a pass went by.
struct Norms {
    expand: Option<Norm>,
    depthwise: Norm,
    project: Norm,
}

impl Norms {
    fn stats(&self) -> BlockStats {
        BlockStats {
            expand: self.expand.as_ref().map(Norm::stats),
            depthwise: self.depthwise.stats(),
            project: self.project.stats(),
        }
    }
}

/// The pass, of arguments that fit, by the statistics of the batch or by running ones.
fn run(
    isa: Proof,
    shape: &BlockShape,
    weights: &BlockWeights<'_>,
    x: &[f32],
    window: &Window,
    running: Option<&BlockRunningStats<'_>>,
) -> (Vec<f32>, Norms) {
    let mid = shape.mid_channels;
    let blocks = mid.div_ceil(LANES);
    let (inner, outer) = (
        shape.height * shape.width,
        window.out_height * window.out_width,
    );
    let grid = Grid::new(blocks, shape.images, inner);
    // Whether tasks go through all images, and so find the expansion's statistics themselves.
    let by_groups = running.is_none() && grid.chunks.len() == 1;
    let mut expand_norm = weights.expand.as_ref().map(|expand| {
        match running.and_then(|running| running.expand.as_ref()) {
            Some(stats) => Norm::running(&expand.norm, stats),
            None if by_groups => Norm::new(mid),
            None => expansion_norm(isa, shape, expand, x, &grid),
        }
    });
    let mut depthwise_norm = match running {
        Some(running) => Norm::running(&weights.depthwise_norm, &running.depthwise),
        None => Norm::new(mid),
    };
    let mut activated = Buffer::stale(blocks * shape.images * outer * LANES);
    let mut pooled = Buffer::stale(blocks * shape.images * LANES);
    {
        let mut moments = [(); 2].map(|()| Parts::new(grid.chunks.len(), MOMENTS, mid));
        let [expand_moments, depthwise_moments] = moments.each_mut().map(Parts::shared);
        let expand_norm = expand_norm.as_mut().map(Norm::shared);
        let norm = depthwise_norm.shared();
        let (map, pooled) = (Shared::new(&mut activated), Shared::new(&mut pooled));
        let stage = Stage {
            isa,
            shape,
            weights,
            x,
            window,
        };
        // Where a block of some images lies in the depthwise map, and their means.
        let places = |block: usize, images: &Range<usize>| {
            let (first, end) = (
                block * shape.images + images.start,
                block * shape.images + images.end,
            );
            (
                first * outer * LANES..end * outer * LANES,
                first * LANES..end * LANES,
            )
        };
        let activate = |block: usize, images: &Range<usize>| {
            let (place, means) = places(block, images);
            // SAFETY: only called for channels and images of the task's own, whose norm is set.
            unsafe {
                isa.run(Activate {
                    norm: norm.block(block),
                    pixels: outer,
                    raw: None,
                    map: map.write(place),
                    mean: pooled.write(means),
                });
            }
        };

        let convolve_task = |group: &Range<usize>, chunk: usize| {
            let images = &grid.chunks[chunk];
            let packed = stage.packed(group);
            let block_size = inner * LANES;
            let (blocks_at_once, images_at_once) = if by_groups {
                (group.len(), images.len())
            } else {
                let fits = group.len() * block_size <= PIECE;
                let blocks = if fits { group.len() } else { 1 };
                let images_at_once = (PIECE / (blocks * block_size)).clamp(1, images.len());
                (blocks, images_at_once)
            };
            let scratch = blocks_at_once * images_at_once * block_size;
            let mut scratch = Buffer::stale(packed.as_ref().map_or(0, |_| scratch));
            let scratch = Shared::new(&mut scratch);
            let mut convolution = Convolution::new(&stage, images_at_once);
            for first in group.clone().step_by(blocks_at_once) {
                let blocks = first..group.end.min(first + blocks_at_once);
                for start in images.clone().step_by(images_at_once) {
                    let piece = start..images.end.min(start + images_at_once);
                    let expanded = expand_norm.map(|norm| Expanded {
                        raw: scratch,
                        norm,
                        origin: [first, start],
                        images: images_at_once,
                    });
                    if let (Some(to), Some(packed)) = (expanded, &packed) {
                        let of_block = shape.in_channels * LANES;
                        let packed = &packed[(first - group.start) * of_block
                            ..(blocks.end - group.start) * of_block];
                        let moments = by_groups.then_some((expand_moments, chunk));
                        // SAFETY: scratch and these channels' moments are this task's.
                        unsafe { stage.expand(to, packed, &blocks, &piece, moments) };
                    }
                    if let (true, Some(norm), Some(weights)) =
                        (by_groups, expand_norm, &weights.expand)
                    {
                        let counts = grid.counts(inner);
                        let (weights, blocks) = (&weights.norm, blocks.clone());
                        // SAFETY: the only part is written, and the group is this task's.
                        unsafe { set_by_moments(norm, weights, expand_moments, &counts, blocks) };
                    }
                    for block in blocks.clone() {
                        convolution.load(block);
                        for batch in convolution.batches(&piece) {
                            // SAFETY: these channels of these images are this task's, and so are its
                            // parts; the expansion is written and its norm set.
                            unsafe {
                                let out = map.write(places(block, &batch).0);
                                convolution.run(expanded, &batch, out);
                                if running.is_none() {
                                    let first = batch.start == images.start;
                                    let moments = (depthwise_moments, chunk);
                                    convolution.add_moments(moments, out, first);
                                }
                            }
                            if running.is_some() {
                                activate(block, &batch);
                            }
                        }
                    }
                }
            }
        };
        let convolve_join = |group: &Range<usize>| {
            if running.is_none() {
                let (counts, group) = (grid.counts(outer), group.clone());
                let weights = &weights.depthwise_norm;
                // SAFETY: the group's parts are written, and it is this task's.
                unsafe { set_by_moments(norm, weights, depthwise_moments, &counts, group) };
            }
        };
        let activate_task = |group: &Range<usize>, chunk: usize| {
            for block in group.clone() {
                activate(block, &grid.chunks[chunk]);
            }
        };
        let phases = [
            Phase {
                task: &convolve_task,
                join: &convolve_join,
                all: None,
            },
            Phase {
                task: &activate_task,
                join: &|_| {},
                all: None,
            },
        ];
        grid.run(match running {
            None => &phases,
            Some(_) => &phases[..1],
        });
    }
    let squeezed = weights
        .squeeze
        .as_ref()
        .map(|weights| squeeze::forward(isa, shape, weights, pooled));
    let gate = squeezed.as_ref().map(SavedSqueeze::gate);
    let by = match running {
        Some(running) => By::Running(&running.project),
        None => By::Batch(None),
    };
    let (y, projected) = project(isa, shape, weights, x, &mut activated, gate, by);
    let norms = Norms {
        expand: expand_norm,
        depthwise: depthwise_norm,
        project: projected.norm,
    };
    (y, norms)
}
