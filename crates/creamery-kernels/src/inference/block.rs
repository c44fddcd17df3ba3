//! Mobile blocks, ready to run.
//!
//! The expansion of a band of rows is computed for a few blocks of channels at a time, activated into padded rows,
//! convolved, and activated again while it is in cache; of the largest map of a block, the activated depthwise one is
//! all that is ever whole. The projection, its norm folded, adds to the input where there is a residual.

use super::blocked;
use super::dense::{Dense, Packed, activate};
use crate::block::{
    BlockRunningStats, BlockShape, BlockWeights, GateRows, LARGE_IMAGE, check_running,
    check_weights,
};
use crate::depthwise::{Band, Forward, Rows, Window};
use crate::elementwise::{Fill, Gate, HardSigmoid};
use crate::error::KernelError;
use crate::grid::groups;
use crate::isa::Proof;
use crate::norm::Norm;
use crate::pool::Buffer;
use crate::product::{Left, Order, Product, Start, Target, Transpose};
use crate::shared::Shared;
use crate::simd::LANES;
use crate::team::for_each;
use std::ops::Range;

/// A block whose weights are packed.
#[derive(Debug)]
pub(super) struct Block {
    shape: BlockShape,
    window: Window,
    bands: Vec<Band>,
    expand: Option<(Packed, Norm)>,
    /// `[blocks][kernel][kernel][16]`.
    taps: Buffer,
    depthwise_norm: Norm,
    /// The two layers of squeeze-excite.
    squeeze: Option<[Dense; 2]>,
    /// Multiplied by the scale of its norm.
    project: Packed,
    /// What remains of that.
    project_norm: Norm,
}

impl Block {
    pub(super) fn new(
        isa: Proof,
        shape: &BlockShape,
        weights: &BlockWeights<'_>,
        running: &BlockRunningStats<'_>,
    ) -> Result<Self, KernelError> {
        let window = check_weights(shape, weights)?;
        check_running(shape, weights, running)?;
        let (mid, size) = (shape.mid_channels, shape.kernel * shape.kernel);
        let expand = weights.expand.as_ref().zip(running.expand.as_ref());
        let expand = expand.map(|(expand, running)| {
            (
                Packed::new(isa, shape.in_channels, expand.weight),
                Norm::running(&expand.norm, running),
            )
        });
        let mut taps = Buffer::stale(blocked(mid, size));
        isa.run(Transpose {
            from: weights.depthwise,
            k: size,
            to: &mut taps,
        });
        let squeeze = weights.squeeze.as_ref().map(|squeeze| {
            [
                Dense::new(isa, mid, squeeze.reduce, squeeze.reduce_bias),
                Dense::new(isa, shape.squeeze, squeeze.expand, squeeze.expand_bias),
            ]
        });
        let project_norm = Norm::running(&weights.project_norm, &running.project);
        let mut rows = Buffer::padded(weights.project, weights.project.len());
        project_norm.fold_into(&mut rows);
        Ok(Self {
            shape: *shape,
            bands: window.bands(),
            window,
            expand,
            taps,
            depthwise_norm: Norm::running(&weights.depthwise_norm, &running.depthwise),
            squeeze,
            project: Packed::new(isa, mid, &rows),
            project_norm,
        })
    }

    fn inner(&self) -> usize {
        self.window.height * self.window.width
    }

    fn outer(&self) -> usize {
        self.window.out_height * self.window.out_width
    }

    pub(super) fn input_len(&self) -> usize {
        blocked(self.shape.in_channels, self.inner())
    }

    pub(super) fn output_len(&self) -> usize {
        blocked(self.shape.out_channels, self.outer())
    }

    pub(super) fn run(&self, isa: Proof, x: &[f32], y: &mut [f32]) {
        let mid = self.shape.mid_channels;
        let mut map = Buffer::stale(blocked(mid, self.outer()));
        let mut pooled = Buffer::stale(blocked(mid, 1));
        {
            let (map, pooled) = (Shared::new(&mut map), Shared::new(&mut pooled));
            let tasks = groups(mid.div_ceil(LANES), self.shape.macs(true, false));
            for_each(tasks.len(), &|task| {
                let group = &tasks[task];
                let (first, end) = (group.start * LANES, group.end * LANES);
                // SAFETY: each task has its own blocks.
                let (map, pooled) = unsafe {
                    (
                        map.write(first * self.outer()..end * self.outer()),
                        pooled.write(first..end),
                    )
                };
                self.activated(isa, group, x, map, pooled);
            });
        }
        let mut gate = None;
        if let Some([reduce, expand]) = &self.squeeze {
            let mut reduced = Buffer::stale(reduce.output_len());
            reduce.run(isa, &pooled, &mut reduced);
            reduced.iter_mut().for_each(|value| *value = value.max(0.0));
            expand.run(isa, &reduced, &mut pooled);
            isa.run(HardSigmoid(&mut pooled));
            gate = Some(&pooled[..]);
        }
        self.project(isa, x, &mut map, gate, y);
    }

    /// The activated depthwise map of some blocks of channels, and its means over pixels.
    fn activated(
        &self,
        isa: Proof,
        group: &Range<usize>,
        x: &[f32],
        map: &mut [f32],
        pooled: &mut [f32],
    ) {
        let window = &self.window;
        let (inner, outer, width) = (self.inner(), self.outer(), window.width);
        let held = || self.bands.iter().map(|band| &band.input);
        let most = held().map(|held| held.fresh().len()).max().unwrap_or(0);
        let pitch = window.padded_width() * LANES;
        let mut rows: Vec<Rows> = group.clone().map(|_| Rows::new(1, held(), pitch)).collect();
        let scratch = self
            .expand
            .as_ref()
            .map_or(0, |_| group.len() * most * width);
        let mut scratch = Buffer::stale(scratch * LANES);
        pooled.fill(0.0);
        for band in &self.bands {
            let fresh = band.input.fresh();
            let place = fresh.start * width * LANES..fresh.end * width * LANES;
            if let Some((weight, _)) = &self.expand {
                let a = Left {
                    values: x[place.start..].into(),
                    order: Order::ByRows,
                    row: LANES,
                    block: inner * LANES,
                };
                let c = Target {
                    at: scratch.as_mut_ptr(),
                    row: LANES,
                    block: place.len(),
                    whole: true,
                };
                let sizes = [place.len() / LANES, group.len() * LANES, weight.k];
                // SAFETY: scratch is ours and holds the band's fresh rows of the group's blocks.
                isa.run(unsafe { Product::new(sizes, a, weight.right(group.start), c) });
            }
            for (i, block) in group.clone().enumerate() {
                let (from, norm) = match &self.expand {
                    Some((_, norm)) => {
                        let part = i * place.len()..(i + 1) * place.len();
                        (&scratch[part], Some(norm.block(block)))
                    }
                    None => (&x[block * inner * LANES..][place.clone()], None),
                };
                isa.run(Fill {
                    from,
                    stride: LANES,
                    channels: LANES,
                    rows: fresh.len(),
                    width,
                    to: rows[i].advance(&band.input),
                    left: window.left(),
                    padded_width: window.padded_width(),
                    norm,
                    slope: None,
                });
                let row = window.out_width * LANES;
                let out = &mut map[i * outer * LANES..(i + 1) * outer * LANES]
                    [band.out.start * row..band.out.end * row];
                let size = window.kernel * window.kernel * LANES;
                isa.run(Forward {
                    window,
                    held: band.input.rows.clone(),
                    input: rows[i].all(),
                    taps: &self.taps[block * size..(block + 1) * size],
                    rows: band.out.clone(),
                    out,
                });
                let share = out.len() as f32 / (outer * LANES) as f32;
                let mean = activate(isa, &self.depthwise_norm, block, out);
                for (sum, mean) in pooled[i * LANES..][..LANES].iter_mut().zip(mean) {
                    *sum += mean * share;
                }
            }
        }
    }

    /// The output by the activated map, which may be overwritten.
    fn project(&self, isa: Proof, x: &[f32], map: &mut [f32], gate: Option<&[f32]>, y: &mut [f32]) {
        let (outer, k) = (self.outer(), self.project.k);
        let gate = match gate {
            Some(gate) if outer < LARGE_IMAGE => {
                let blocks = map.chunks_exact_mut(outer * LANES);
                for (map, gate) in blocks.zip(gate.chunks_exact(LANES)) {
                    isa.run(Gate {
                        pixels: outer,
                        map,
                        gate,
                    });
                }
                None
            }
            gate => gate,
        };
        let map = &*map;
        let y = Shared::new(y);
        let tasks = groups(self.project.blocks(), outer * k * self.project.columns);
        for_each(tasks.len(), &|task| {
            let group = &tasks[task];
            let n = group.len() * LANES;
            let a = Left {
                values: map.into(),
                order: Order::ByRows,
                row: LANES,
                block: outer * LANES,
            };
            let mut b = self.project.right(group.start);
            let mut gated = Buffer::stale(gate.map_or(0, |_| n * k));
            if let Some(gate) = gate {
                isa.run(GateRows {
                    from: &self.project.values[group.start * LANES * k..group.end * LANES * k],
                    gate,
                    images: 1,
                    k,
                    to: &mut gated,
                });
                b.values = gated[..].into();
            }
            let at = group.start * outer * LANES;
            let c = Target {
                at: y.pointer(at),
                row: LANES,
                block: outer * LANES,
                whole: true,
            };
            let bias = self.project_norm.shifts(group.start);
            let start = if self.shape.residual() {
                Start::BiasAndValues(bias, x[at..].into())
            } else {
                Start::Bias(bias)
            };
            // SAFETY: each task has its own blocks, which lie in `y`.
            isa.run(unsafe { Product::new([outer, n, k], a, b, c) }.start(start));
        });
    }
}
