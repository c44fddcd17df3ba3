//! A convolution's raw output with its norm: what ends every fused operator, forward and backward.

use crate::elementwise::{Apply, OutputSlope, RawSlope};
use crate::grid::{Grid, Phase};
use crate::isa::Proof;
use crate::norm::{By, Norm, NormBackward, NormGrads, NormWeights, SharedNorm};
use crate::pool::Buffer;
use crate::shared::Shared;
use crate::simd::LANES;
use std::ops::Range;

/// A convolution's raw output, `[channels / 16][images][pixels][16]`, and its norm.
#[derive(Debug)]
pub(crate) struct SavedMap {
    pub(crate) raw: Buffer,
    pub(crate) norm: Norm,
}

impl SavedMap {
    /// Room for the map, and a norm to be set in training or that of inference.
    pub(crate) fn new(
        channels: usize,
        values: usize,
        weights: &NormWeights<'_>,
        by: By<'_>,
    ) -> Self {
        Self {
            raw: Buffer::stale(channels.div_ceil(LANES) * values * LANES),
            norm: Norm::by(by, channels, weights),
        }
    }
}

/// How pixels in a row (NHWC) and the blocked layout meet at the end of an operator.
pub(crate) struct Output<'a> {
    pub(crate) isa: Proof,
    pub(crate) grid: &'a Grid,
    pub(crate) channels: usize,
    pub(crate) images: usize,
    /// Pixels of an image.
    pub(crate) pixels: usize,
    /// Whether the output is activated.
    pub(crate) silu: bool,
}

impl Output<'_> {
    /// Where a block of a chunk of images lies in the blocked layout.
    fn part(&self, block: usize, chunk: usize) -> Range<usize> {
        let (first, images) = (block * self.images, &self.grid.chunks[chunk]);
        (first + images.start) * self.pixels * LANES..(first + images.end) * self.pixels * LANES
    }

    /// Where a block of a chunk of images begins in NHWC, and how many channels it has.
    fn place(&self, block: usize, chunk: usize) -> (usize, usize) {
        let first = self.grid.chunks[chunk].start * self.pixels * self.channels;
        (
            first + block * LANES,
            (self.channels - block * LANES).min(LANES),
        )
    }

    /// The output of a group of channels of a chunk: normalised, activated, plus what there is to add.
    ///
    /// # Safety
    /// The group's map and norm must be set, and its places in `y` be used by no other task.
    pub(crate) unsafe fn write(
        &self,
        group: &Range<usize>,
        chunk: usize,
        (raw, norm): (Shared<'_>, SharedNorm<'_>),
        y: Shared<'_>,
        add: Option<&[f32]>,
    ) {
        for block in group.clone() {
            let (at, channels) = self.place(block, chunk);
            // SAFETY: the caller vouches for the group.
            let (norm, raw) = unsafe { (norm.block(block), raw.read(self.part(block, chunk))) };
            // SAFETY: as above.
            let mut apply =
                unsafe { Apply::new(norm, raw, [channels, self.channels], y.pointer(at)) };
            apply.silu = self.silu;
            apply.add = add.map(|add| &add[at..]);
            self.isa.run(apply);
        }
    }

    /// The gradient of the raw map, blocked, and that of its norm, by that of the output.
    pub(crate) fn backward(&self, map: &SavedMap, dy: &[f32]) -> (Buffer, NormGrads) {
        let counts = self.grid.counts(self.pixels);
        let mut slope = Buffer::stale(map.raw.len());
        let mut norm = NormBackward::new(&map.norm, counts.len());
        {
            let (slope, norm) = (Shared::new(&mut slope), norm.shared());
            let sum = |group: &Range<usize>, chunk: usize| {
                for block in group.clone() {
                    let part = self.part(block, chunk);
                    let (at, channels) = self.place(block, chunk);
                    // SAFETY: these channels of this chunk are this task's.
                    let (out, sums) = unsafe {
                        let one = block..block + 1;
                        let sums = [0, 1].map(|quantity| norm.parts.write(chunk, quantity, &one));
                        (slope.write(part.clone()), sums)
                    };
                    self.isa.run(OutputSlope {
                        norm: map.norm.block(block),
                        silu: self.silu,
                        raw: &map.raw[part],
                        slope: &dy[at..],
                        channels,
                        stride: self.channels,
                        out,
                        sums,
                    });
                }
            };
            // SAFETY: the group's parts are written, and it is this task's.
            let join = |group: &Range<usize>| unsafe { norm.join(group.clone(), &counts) };
            // SAFETY: all groups are joined, and no task runs.
            let all = || unsafe { norm.set_across(counts.iter().sum()) };
            let all: Option<&(dyn Fn() + Sync)> = map.norm.is_across().then_some(&all);
            let raw = |group: &Range<usize>, chunk: usize| {
                for block in group.clone() {
                    let part = self.part(block, chunk);
                    // SAFETY: these channels of this chunk are this task's, and their norm is joined.
                    let (slope, out) = unsafe { (norm.block(block), slope.write(part.clone())) };
                    self.isa.run(RawSlope {
                        slope,
                        raw: &map.raw[part],
                        from: None,
                        map: out,
                    });
                }
            };
            self.grid.run(&[
                Phase {
                    task: &sum,
                    join: &join,
                    all,
                },
                Phase {
                    task: &raw,
                    join: &|_| {},
                    all: None,
                },
            ]);
        }
        (slope, norm.grads())
    }
}
