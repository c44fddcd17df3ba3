//! Dense layers and convolutions, ready to run.

use super::blocked;
use crate::conv::{ConvShape, ConvWeights, check_weights, patches, to_patches};
use crate::elementwise::Activate;
use crate::error::KernelError;
use crate::grid::groups;
use crate::head::{HeadShape, HeadWeights, IDENTITY, check};
use crate::isa::Proof;
use crate::norm::{Norm, RunningStats};
use crate::pool::Buffer;
use crate::product::{Left, Order, Product, Right, Start, Target, Transpose};
use crate::shared::Shared;
use crate::simd::LANES;
use crate::team::for_each;

/// A matrix as the right operand of products: `[columns / 16][k][16]`.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) k: usize,
    pub(super) columns: usize,
    pub(super) values: Buffer,
}

impl Packed {
    /// Packs rows `[columns][k]`.
    pub(super) fn new(isa: Proof, k: usize, rows: &[f32]) -> Self {
        let columns = rows.len() / k;
        let mut values = Buffer::stale(blocked(columns, k));
        isa.run(Transpose {
            from: rows,
            k,
            to: &mut values,
        });
        Self { k, columns, values }
    }

    /// Blocks of 16 columns.
    pub(super) fn blocks(&self) -> usize {
        self.columns.div_ceil(LANES)
    }

    /// The operand from a block on.
    pub(super) fn right(&self, block: usize) -> Right<'_> {
        Right {
            values: self.values[block * self.k * LANES..].into(),
            row: LANES,
            block: LANES * self.k,
            whole: true,
        }
    }
}

/// A dense layer over one pixel, with bias.
#[derive(Debug)]
pub(super) struct Dense {
    weight: Packed,
    bias: Buffer,
}

impl Dense {
    /// By `[columns][k]` and `[columns]`.
    pub(super) fn new(isa: Proof, k: usize, weight: &[f32], bias: &[f32]) -> Self {
        Self {
            weight: Packed::new(isa, k, weight),
            bias: Buffer::padded(bias, blocked(bias.len(), 1)),
        }
    }

    pub(super) fn columns(&self) -> usize {
        self.weight.columns
    }

    pub(super) fn input_len(&self) -> usize {
        blocked(self.weight.k, 1)
    }

    pub(super) fn output_len(&self) -> usize {
        blocked(self.weight.columns, 1)
    }

    pub(super) fn run(&self, isa: Proof, x: &[f32], y: &mut [f32]) {
        let Packed { k, columns, .. } = self.weight;
        let y = Shared::new(y);
        let tasks = groups(self.weight.blocks(), k * columns);
        for_each(tasks.len(), &|task| {
            let group = &tasks[task];
            let a = Left {
                values: x.into(),
                order: Order::ByRows,
                row: LANES,
                block: LANES,
            };
            let c = Target {
                at: y.pointer(group.start * LANES),
                row: LANES,
                block: LANES,
                whole: true,
            };
            let (b, bias) = (
                self.weight.right(group.start),
                Start::Bias(&self.bias[group.start * LANES..]),
            );
            // SAFETY: each task has its own blocks, which lie in `y`.
            isa.run(unsafe { Product::new([1, group.len() * LANES, k], a, b, c) }.start(bias));
        });
    }
}

/// A convolution with its norm and activation.
#[derive(Debug)]
pub(super) struct Convolution {
    shape: ConvShape,
    /// By patches.
    weight: Packed,
    norm: Norm,
}

impl Convolution {
    pub(super) fn new(
        isa: Proof,
        shape: &ConvShape,
        weights: &ConvWeights<'_>,
        running: &RunningStats<'_>,
    ) -> Result<Self, KernelError> {
        check_weights(shape, weights)?;
        running.check(["running mean", "running variance"], shape.out_channels)?;
        let mut rows = to_patches(shape, weights.weight);
        let norm = Norm::running(&weights.norm, running);
        if !shape.silu {
            norm.fold_into(&mut rows);
        }
        Ok(Self {
            shape: *shape,
            weight: Packed::new(isa, shape.patch(), &rows),
            norm,
        })
    }

    pub(super) fn input_len(&self) -> usize {
        if self.shape.pointwise() {
            return blocked(self.shape.in_channels, self.shape.height * self.shape.width);
        }
        self.shape.input_len()
    }

    pub(super) fn output_len(&self) -> usize {
        blocked(self.shape.out_channels, self.shape.pixels())
    }

    pub(super) fn run(&self, isa: Proof, x: &[f32], y: &mut [f32]) {
        let (shape, k) = (&self.shape, self.weight.k);
        let pixels = shape.pixels();
        let block = pixels * LANES;
        let y = Shared::new(y);
        let tasks = groups(self.weight.blocks(), shape.macs());
        for_each(tasks.len(), &|task| {
            let group = &tasks[task];
            let n = group.len() * LANES;
            let multiply = |first: usize, count: usize, a: Left<'_>| {
                let c = Target {
                    at: y.pointer(group.start * block + first * LANES),
                    row: LANES,
                    block,
                    whole: true,
                };
                let b = self.weight.right(group.start);
                // SAFETY: each task has its own blocks, which lie in `y`.
                let mut product = unsafe { Product::new([count, n, k], a, b, c) };
                if !shape.silu {
                    product = product.start(Start::Bias(self.norm.shifts(group.start)));
                }
                isa.run(product);
            };
            if shape.pointwise() {
                let a = Left {
                    values: x.into(),
                    order: Order::ByRows,
                    row: LANES,
                    block: shape.height * shape.width * LANES,
                };
                multiply(0, pixels, a);
            } else {
                patches(shape, x, &(0..1), |first, patches| {
                    let a = Left {
                        values: patches.into(),
                        order: Order::ByRows,
                        row: k,
                        block: LANES,
                    };
                    multiply(first, patches.len() / k, a);
                });
            }
            if shape.silu {
                for index in group.clone() {
                    // SAFETY: as above.
                    let map = unsafe { y.write(index * block..(index + 1) * block) };
                    activate(isa, &self.norm, index, map);
                }
            }
        });
    }
}

/// Normalises and activates a block in place; gives its mean over pixels.
pub(super) fn activate(isa: Proof, norm: &Norm, block: usize, map: &mut [f32]) -> [f32; LANES] {
    let mut mean = [0.0; LANES];
    isa.run(Activate {
        norm: norm.block(block),
        pixels: map.len() / LANES,
        raw: None,
        map,
        mean: &mut mean,
    });
    mean
}

/// The mean over pixels, a dense layer, SiLU.
#[derive(Debug)]
pub(super) struct Head {
    pixels: usize,
    dense: Dense,
}

impl Head {
    pub(super) fn new(
        isa: Proof,
        shape: &HeadShape,
        weights: &HeadWeights<'_>,
    ) -> Result<Self, KernelError> {
        check(shape, weights)?;
        Ok(Self {
            pixels: shape.height * shape.width,
            dense: Dense::new(isa, shape.in_channels, weights.weight, weights.bias),
        })
    }

    pub(super) fn input_len(&self) -> usize {
        self.dense.input_len() * self.pixels
    }

    pub(super) fn output_len(&self) -> usize {
        self.dense.output_len()
    }

    pub(super) fn run(&self, isa: Proof, x: &[f32], y: &mut [f32]) {
        let mut pooled = Buffer::zeros(self.dense.input_len());
        let share = 1.0 / self.pixels as f32;
        let blocks = x.chunks_exact(self.pixels * LANES);
        for (mean, block) in pooled.as_chunks_mut::<LANES>().0.iter_mut().zip(blocks) {
            for pixel in block.as_chunks::<LANES>().0 {
                for (mean, value) in mean.iter_mut().zip(pixel) {
                    *mean += value * share;
                }
            }
        }
        self.dense.run(isa, &pooled, y);
        isa.run(Activate {
            norm: IDENTITY,
            pixels: y.len() / LANES,
            raw: None,
            map: y,
            mean: &mut [0.0; LANES],
        });
    }
}
