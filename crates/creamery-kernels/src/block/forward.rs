//! The forward pass in training, which keeps what the backward pass needs.

use super::project::project;
use super::squeeze::{self, SavedSqueeze};
use super::stage::{Convolution, Expanded, Stage};
use super::{BlockForward, BlockSaved, BlockShape, BlockStats, BlockWeights, check};
use crate::across::Everywhere;
use crate::depthwise::Window;
use crate::elementwise::Activate;
use crate::error::KernelError;
use crate::grid::{Grid, Phase};
use crate::isa::{self, Proof};
use crate::map::SavedMap;
use crate::norm::{By, MOMENTS, Parts, set_across, set_by_moments};
use crate::pool::Buffer;
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
    forward_across(shape, weights, x, None)
}

/// [`forward`] of a part of a batch that other processes have the rest of, normalised by the statistics of all of it.
/// So is [`super::backward`] then: it gives the gradients of the weights that come from this part, and all of that of x.
///
/// # Errors
/// As for [`forward`].
pub fn forward_across(
    shape: &BlockShape,
    weights: &BlockWeights<'_>,
    x: &[f32],
    across: Option<Everywhere>,
) -> Result<BlockForward, KernelError> {
    let window = check(shape, weights, x)?;
    let isa = isa::current();
    let (y, saved) = together(|| run(isa, shape, weights, x, &window, across));
    let stats = BlockStats {
        expand: saved.expand.as_ref().map(|map| map.norm.stats()),
        depthwise: saved.depthwise.norm.stats(),
        project: saved.project.norm.stats(),
    };
    Ok(BlockForward { y, saved, stats })
}

/// The pass, of arguments that fit.
fn run(
    isa: Proof,
    shape: &BlockShape,
    weights: &BlockWeights<'_>,
    x: &[f32],
    window: &Window,
    across: Option<Everywhere>,
) -> (Vec<f32>, BlockSaved) {
    let by = By::Batch(across);
    let mid = shape.mid_channels;
    let blocks = mid.div_ceil(LANES);
    let (inner, outer) = (
        shape.height * shape.width,
        window.out_height * window.out_width,
    );
    let grid = Grid::new(blocks, shape.images, inner);
    let mut expanded = weights
        .expand
        .as_ref()
        .map(|expand| SavedMap::new(mid, shape.images * inner, &expand.norm, by));
    let mut convolved = SavedMap::new(mid, shape.images * outer, &weights.depthwise_norm, by);
    let mut activated = Buffer::stale(blocks * shape.images * outer * LANES);
    let mut pooled = Buffer::stale(blocks * shape.images * LANES);
    {
        let mut moments = [(); 2].map(|()| Parts::new(grid.chunks.len(), MOMENTS, mid));
        let [expand_moments, depthwise_moments] = moments.each_mut().map(Parts::shared);
        let expanded = expanded.as_mut().map(|map| Expanded {
            raw: Shared::new(&mut map.raw),
            norm: map.norm.shared(),
            origin: [0, 0],
            images: shape.images,
        });
        let (map, norm) = (Shared::new(&mut convolved.raw), convolved.norm.shared());
        let (activated, pooled) = (Shared::new(&mut activated), Shared::new(&mut pooled));
        let stage = Stage {
            isa,
            shape,
            weights,
            x,
            window,
        };
        // Where a block of some images lies in the depthwise map.
        let place = |block: usize, images: &Range<usize>| {
            let first = block * shape.images + images.start;
            first * outer * LANES..(first + images.len()) * outer * LANES
        };

        let expand_task = |group: &Range<usize>, chunk: usize| {
            if let (Some(to), Some(packed)) = (expanded, stage.packed(group)) {
                let (images, moments) = (&grid.chunks[chunk], Some((expand_moments, chunk)));
                // SAFETY: these channels of these images are this task's.
                unsafe { stage.expand(to, &packed, group, images, moments) };
            }
        };
        let expand_join = |group: &Range<usize>| {
            if let (Some(to), Some(weights)) = (expanded, &weights.expand) {
                let (counts, group) = (grid.counts(inner), group.clone());
                // SAFETY: the group's parts are written, and it is this task's.
                unsafe { set_by_moments(to.norm, &weights.norm, expand_moments, &counts, group) };
            }
        };
        let depthwise_task = |group: &Range<usize>, chunk: usize| {
            let images = &grid.chunks[chunk];
            let mut convolution = Convolution::new(&stage, images.len());
            for block in group.clone() {
                convolution.load(block);
                for batch in convolution.batches(images) {
                    // SAFETY: these channels of these images are this task's, and so are its parts; the
                    // expansion is written and its norm set.
                    unsafe {
                        let out = map.write(place(block, &batch));
                        convolution.run(expanded, &batch, out);
                        let first = batch.start == images.start;
                        convolution.add_moments((depthwise_moments, chunk), out, first);
                    }
                }
            }
        };
        let depthwise_join = |group: &Range<usize>| {
            let (counts, group) = (grid.counts(outer), group.clone());
            let weights = &weights.depthwise_norm;
            // SAFETY: the group's parts are written, and it is this task's.
            unsafe { set_by_moments(norm, weights, depthwise_moments, &counts, group) };
        };
        let expand_all: &(dyn Fn() + Sync) = &|| {
            if let (Some(to), Some(weights)) = (expanded, &weights.expand) {
                let counts = grid.counts(inner);
                // SAFETY: all parts are written, and no task runs.
                unsafe { set_across(to.norm, &weights.norm, expand_moments, &counts) };
            }
        };
        let depthwise_all: &(dyn Fn() + Sync) = &|| {
            let (weights, counts) = (&weights.depthwise_norm, grid.counts(outer));
            // SAFETY: as above.
            unsafe { set_across(norm, weights, depthwise_moments, &counts) };
        };
        let all = |all| across.map(|_| all);
        let activate_task = |group: &Range<usize>, chunk: usize| {
            let images = &grid.chunks[chunk];
            for block in group.clone() {
                let place = place(block, images);
                let first = block * shape.images;
                let means = (first + images.start) * LANES..(first + images.end) * LANES;
                // SAFETY: these channels of these images are this task's, and their norm is set.
                unsafe {
                    isa.run(Activate {
                        norm: norm.block(block),
                        pixels: outer,
                        raw: Some(map.read(place.clone())),
                        map: activated.write(place),
                        mean: pooled.write(means),
                    });
                }
            }
        };
        let phases = [
            Phase {
                task: &expand_task,
                join: &expand_join,
                all: all(expand_all),
            },
            Phase {
                task: &depthwise_task,
                join: &depthwise_join,
                all: all(depthwise_all),
            },
            Phase {
                task: &activate_task,
                join: &|_| {},
                all: None,
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
    let (y, projected) = project(isa, shape, weights, x, &mut activated, gate, by);
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
