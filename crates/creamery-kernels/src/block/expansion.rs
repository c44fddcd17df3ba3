//! The end of the backward pass: the expansion's weight gradient, and the gradient of x.

use super::backward::{Pass, TILE};
use crate::elementwise::RawSlope;
use crate::grid::{Grid, Phase};
use crate::norm::SharedNormBackward;
use crate::partial::{Partial, SharedPartial};
use crate::pool::Buffer;
use crate::product::{Left, Order, Product, Right, Start, Target};
use crate::shared::{Shared, View};
use crate::simd::LANES;
use crate::team::for_each;
use std::ops::Range;

/// What the gradients of the expansion are made of.
pub(super) struct Expansion<'a> {
    pub(super) pass: &'a Pass<'a>,
    /// The gradient of the norm's output, `[blocks][images][pixels][16]`.
    pub(super) slope: Shared<'a>,
    pub(super) norm: SharedNormBackward<'a>,
    /// `[mid][in]`.
    pub(super) weight: &'a [f32],
    /// The raw expansion.
    pub(super) raw: &'a [f32],
}

impl Expansion<'_> {
    /// Pixels of an image, values of a block of channels, channels of x.
    fn sizes(&self) -> (usize, usize, usize) {
        let shape = self.pass.shape;
        let pixels = shape.height * shape.width;
        (pixels, shape.images * pixels * LANES, shape.in_channels)
    }

    /// For small maps: `before` and the weight's gradient by groups of channels, then that of x, which is
    /// written if it is asked for. Gives the weight's.
    pub(super) fn by_groups(
        &self,
        before: [Phase<'_>; 2],
        dx: Option<Shared<'_>>,
        dy: &[f32],
    ) -> Vec<f32> {
        let pass = self.pass;
        let (pixels, map, k) = self.sizes();
        let mut grads = Partial::new(pass.shape.mid_channels * k, 1);
        {
            let partial = grads.shared();
            let task = |group: &Range<usize>, chunk: usize| {
                let mut start = Start::Zero;
                for (images, part) in pass.tiles(chunk, pixels) {
                    let (first, count) = (
                        images.start * pixels + part.start,
                        images.len() * part.len(),
                    );
                    for block in group.clone() {
                        let part =
                            block * map + first * LANES..block * map + (first + count) * LANES;
                        // SAFETY: these channels of these images are this task's, and their norm is joined.
                        let (slope, map) =
                            unsafe { (self.norm.block(block), self.slope.write(part.clone())) };
                        pass.isa.run(RawSlope {
                            slope,
                            raw: &self.raw[part],
                            from: None,
                            map,
                        });
                    }
                    let values = self.slope.view(group.start * map + first * LANES);
                    let a = Left {
                        values,
                        order: Order::ByColumns,
                        row: LANES,
                        block: map,
                    };
                    self.weight(
                        pass.channels(group),
                        a,
                        chunk,
                        first..first + count,
                        partial,
                        start,
                    );
                    start = Start::Held;
                }
            };
            let [first, second] = before;
            pass.grid.run(&[
                first,
                second,
                Phase {
                    task: &task,
                    join: &|_| {},
                    all: None,
                },
            ]);
        }
        if let Some(dx) = dx {
            let grid = Grid::new(k.div_ceil(LANES), pass.shape.images, pixels);
            let task = |group: &Range<usize>, chunk: usize| {
                let images = &grid.chunks[chunk];
                let columns = group.start * LANES..k.min(group.end * LANES);
                let first = images.start * pixels;
                let values = self.slope.view(first * LANES);
                let a = Left {
                    values,
                    order: Order::ByRows,
                    row: LANES,
                    block: map,
                };
                self.input(columns, a, first..images.end * pixels, dx, dy);
            };
            grid.run(&[Phase {
                task: &task,
                join: &|_| {},
                all: None,
            }]);
        }
        // SAFETY: the groups have written all rows.
        unsafe { grads.finish() }
    }

    /// For large maps: all channels of a tile of pixels at a time, so that the gradient of the raw expansion
    /// needs not leave the cache. Gives the weight's, and writes that of x if it is asked for.
    pub(super) fn by_tiles(&self, dx: Option<Shared<'_>>, dy: &[f32]) -> Vec<f32> {
        let pass = self.pass;
        let (pixels, map, k) = self.sizes();
        let chunks = pass.grid.chunks.len();
        let mut grads = Partial::new(pass.shape.mid_channels * k, chunks);
        {
            let partial = grads.shared();
            for_each(chunks, &|chunk| {
                let mut tile = Buffer::stale(pass.blocks() * TILE * LANES);
                let mut start = Start::Zero;
                for (images, part) in pass.tiles(chunk, pixels) {
                    let (first, count) = (
                        images.start * pixels + part.start,
                        images.len() * part.len(),
                    );
                    for (block, tile) in tile.chunks_exact_mut(TILE * LANES).enumerate() {
                        let part =
                            block * map + first * LANES..block * map + (first + count) * LANES;
                        // SAFETY: nobody writes the gradient any more, and all norms are joined.
                        let (slope, from) =
                            unsafe { (self.norm.block(block), self.slope.read(part.clone())) };
                        let map = &mut tile[..count * LANES];
                        pass.isa.run(RawSlope {
                            slope,
                            raw: &self.raw[part],
                            from: Some(from),
                            map,
                        });
                    }
                    let values = View::from(&tile[..]);
                    let a = Left {
                        values,
                        order: Order::ByColumns,
                        row: LANES,
                        block: TILE * LANES,
                    };
                    self.weight(
                        0..pass.shape.mid_channels,
                        a,
                        chunk,
                        first..first + count,
                        partial,
                        start,
                    );
                    start = Start::Held;
                    if let Some(dx) = dx {
                        let a = Left {
                            values,
                            order: Order::ByRows,
                            row: LANES,
                            block: TILE * LANES,
                        };
                        self.input(0..k, a, first..first + count, dx, dy);
                    }
                }
            });
            // SAFETY: all parts have been written.
            unsafe { partial.join(0..pass.shape.mid_channels * k) };
        }
        // SAFETY: all places have been joined.
        unsafe { grads.finish() }
    }

    /// Adds to some rows of the weight's gradient what some pixels, whose gradient is `a`, give.
    fn weight(
        &self,
        rows: Range<usize>,
        a: Left<'_>,
        chunk: usize,
        pixels: Range<usize>,
        partial: SharedPartial<'_>,
        start: Start<'_>,
    ) {
        let k = self.pass.shape.in_channels;
        let whole = k.is_multiple_of(LANES);
        let b = Right {
            values: self.pass.x[pixels.start * k..].into(),
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
        // SAFETY: these rows of this chunk's part are the caller's, and so is `a`.
        self.pass
            .isa
            .run(unsafe { Product::new([rows.len(), k, pixels.len()], a, b, c) }.start(start));
    }

    /// Some columns of the gradient of x for some pixels, whose expansion's gradient is `a`.
    fn input(
        &self,
        columns: Range<usize>,
        a: Left<'_>,
        pixels: Range<usize>,
        dx: Shared<'_>,
        dy: &[f32],
    ) {
        let shape = self.pass.shape;
        let k = shape.in_channels;
        let n = columns.len();
        let whole = n.is_multiple_of(LANES);
        let at = pixels.start * k + columns.start;
        let start = if shape.residual() {
            Start::Values(dy[at..].into())
        } else {
            Start::Zero
        };
        let b = Right {
            values: self.weight[columns.start..].into(),
            row: k,
            block: LANES,
            whole,
        };
        let c = Target {
            at: dx.pointer(at),
            row: k,
            block: LANES,
            whole,
        };
        // SAFETY: these columns of these pixels are the caller's.
        self.pass.isa.run(
            unsafe { Product::new([pixels.len(), n, shape.mid_channels], a, b, c) }.start(start),
        );
    }
}
