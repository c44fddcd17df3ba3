//! The projection of a block and what follows it, forward.

use super::{BlockShape, BlockWeights};
use crate::elementwise::Gate;
use crate::grid::{Grid, Phase};
use crate::isa::{Kernel, Proof};
use crate::map::{Output, SavedMap};
use crate::norm::{By, MOMENTS, Parts, SharedParts, set_across, set_by_moments};
use crate::pool::Buffer;
use crate::product::{Left, Order, Product, Right, Target, Transpose};
use crate::shared::{Shared, View};
use crate::simd::{LANES, Simd};
use crate::team::for_each;
use std::ops::Range;

/// Pixels of an image from which on its gate is multiplied into a copy of the weights, rather than into
/// the map.
pub(crate) const LARGE_IMAGE: usize = 64;

/// The grid of a block's output.
pub(super) fn output_grid(shape: &BlockShape) -> Grid {
    let pixels = shape.out_height() * shape.out_width();
    Grid::new(shape.out_channels.div_ceil(LANES), shape.images, pixels)
}

/// The end of a block.
pub(super) fn output<'a>(isa: Proof, shape: &BlockShape, grid: &'a Grid) -> Output<'a> {
    let pixels = shape.out_height() * shape.out_width();
    Output {
        isa,
        grid,
        channels: shape.out_channels,
        images: shape.images,
        pixels,
        silu: false,
    }
}

/// The output of a block by its activated depthwise map, which may be overwritten, and the raw projection.
pub(super) fn project(
    isa: Proof,
    shape: &BlockShape,
    weights: &BlockWeights<'_>,
    x: &[f32],
    activated: &mut [f32],
    gate: Option<&[f32]>,
    by: By<'_>,
) -> (Vec<f32>, SavedMap) {
    let (mid, out) = (shape.mid_channels, shape.out_channels);
    let pixels = shape.out_height() * shape.out_width();
    let blocks = out.div_ceil(LANES);
    let grid = output_grid(shape);
    let counts = grid.counts(pixels);

    let gate = match gate {
        Some(gate) if pixels < LARGE_IMAGE => {
            let map = Shared::new(activated);
            let block = shape.images * LANES;
            for_each(mid.div_ceil(LANES), &|index| {
                // SAFETY: each task has its own block.
                let map =
                    unsafe { map.write(index * block * pixels..(index + 1) * block * pixels) };
                isa.run(Gate {
                    pixels,
                    map,
                    gate: &gate[index * block..(index + 1) * block],
                });
            });
            None
        }
        gate => gate,
    };
    let mut y = Vec::with_capacity(shape.output_len());
    let mut map = SavedMap::new(out, shape.images * pixels, &weights.project_norm, by);
    let across = map.norm.is_across();
    let mut packed = Buffer::stale(blocks * LANES * mid);
    let mut moments = Parts::new(grid.chunks.len(), MOMENTS, out);
    let moments = by.is_batch().then(|| moments.shared());
    {
        // SAFETY: all that is written to it goes through `pointer`.
        let y = unsafe { Shared::unwritten(&mut y) };
        let (raw, norm, packed) = (
            Shared::new(&mut map.raw),
            map.norm.shared(),
            Shared::new(&mut packed),
        );
        let pack = |group: &Range<usize>, chunk: usize| {
            if chunk == 0 {
                let rows = group.start * LANES..out.min(group.end * LANES);
                // SAFETY: each group has its own blocks.
                let to =
                    unsafe { packed.write(group.start * LANES * mid..group.end * LANES * mid) };
                isa.run(Transpose {
                    from: &weights.project[rows.start * mid..rows.end * mid],
                    k: mid,
                    to,
                });
            }
        };
        let multiply = |group: &Range<usize>, chunk: usize| {
            let images = grid.chunks[chunk].clone();
            // SAFETY: the group has been packed.
            let packed = unsafe { packed.read(group.start * LANES * mid..group.end * LANES * mid) };
            let product = Projection {
                isa,
                shape,
                activated,
                raw,
                group,
                chunk,
                moments,
            };
            match gate {
                None => product.run(images.clone(), packed, images.start),
                Some(gate) => {
                    let mut gated = Buffer::stale(packed.len());
                    for image in images.clone() {
                        isa.run(GateRows {
                            from: packed,
                            gate: &gate[image * LANES..],
                            images: shape.images,
                            k: mid,
                            to: &mut gated,
                        });
                        product.run(image..image + 1, &gated, images.start);
                    }
                }
            }
        };
        let join = |group: &Range<usize>| {
            if let Some(moments) = moments {
                // SAFETY: the group's parts are written, and it is this task's.
                unsafe {
                    set_by_moments(norm, &weights.project_norm, moments, &counts, group.clone())
                };
            }
        };
        let all = || {
            if let Some(moments) = moments {
                // SAFETY: all parts are written, and no task runs.
                unsafe { set_across(norm, &weights.project_norm, moments, &counts) };
            }
        };
        let all: Option<&(dyn Fn() + Sync)> = across.then_some(&all);
        let finish = |group: &Range<usize>, chunk: usize| {
            let add = shape.residual().then_some(x);
            // SAFETY: the group's map and norm are set, and its channels of the chunk are this task's.
            unsafe { output(isa, shape, &grid).write(group, chunk, (raw, norm), y, add) };
        };
        grid.run(&[
            Phase {
                task: &pack,
                join: &|_| {},
                all: None,
            },
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

/// A group of the projection's channels for a chunk of images.
struct Projection<'a> {
    isa: Proof,
    shape: &'a BlockShape,
    activated: &'a [f32],
    raw: Shared<'a>,
    group: &'a Range<usize>,
    chunk: usize,
    moments: Option<SharedParts<'a>>,
}

impl Projection<'_> {
    /// Some of the chunk's images, by packed weights; those from `first` on begin the chunk's sums.
    fn run(&self, images: Range<usize>, packed: &[f32], first: usize) {
        let (shape, group) = (self.shape, self.group);
        let pixels = shape.out_height() * shape.out_width();
        let (k, n) = (shape.mid_channels, group.len() * LANES);
        let block = shape.images * pixels * LANES;
        let at = images.start * pixels * LANES;
        let values = View::from(&self.activated[at..]);
        let a = Left {
            values,
            order: Order::ByRows,
            row: LANES,
            block,
        };
        let b = Right {
            values: packed.into(),
            row: LANES,
            block: LANES * k,
            whole: true,
        };
        let c = Target {
            at: self.raw.pointer(group.start * block + at),
            row: LANES,
            block,
            whole: true,
        };
        // SAFETY: these channels of these images are this task's, and the activated map is not written.
        let mut product = unsafe { Product::new([images.len() * pixels, n, k], a, b, c) };
        if let Some(moments) = self.moments {
            // SAFETY: this chunk's parts of these channels are this task's.
            let sums = unsafe { moments.moments(self.chunk, group) };
            product = product.sums(self.isa, sums, images.start == first);
        }
        self.isa.run(product);
    }
}

/// Multiplies packed weights, `[blocks][k][16]`, by an image's gate of each k.
pub(crate) struct GateRows<'a> {
    pub(crate) from: &'a [f32],
    /// From the image's gates of the first block on; those of the next are `images * 16` further.
    pub(crate) gate: &'a [f32],
    pub(crate) images: usize,
    pub(crate) k: usize,
    pub(crate) to: &'a mut [f32],
}

impl Kernel for GateRows<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        assert!(self.from.len() == self.to.len(), "the copy is as long");
        for (from, to) in self
            .from
            .chunks_exact(self.k * LANES)
            .zip(self.to.chunks_exact_mut(self.k * LANES))
        {
            for k in 0..self.k {
                let gate = s.splat(self.gate[k / LANES * self.images * LANES + k % LANES]);
                // SAFETY: both hold k vectors.
                unsafe {
                    let row = s.mul(s.load(from.as_ptr().add(k * LANES)), gate);
                    s.store(to.as_mut_ptr().add(k * LANES), row);
                }
            }
        }
    }
}
