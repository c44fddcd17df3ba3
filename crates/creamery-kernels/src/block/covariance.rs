//! The statistics of an expansion by those of its input, without computing the expansion.
//!
//! An expansion is linear: with the mean m and the covariance C of x over images and pixels, the output of the
//! weights w has the mean `w m` and the variance `w C w`. C takes a product of the narrow x with itself, a
//! fourth or a sixth of the expansion's work, and no pass over the wide map.

use super::{BlockShape, ExpandWeights};
use crate::grid::Grid;
use crate::isa::Proof;
use crate::norm::Norm;
use crate::pool::Buffer;
use crate::product::{Left, Order, Product, Right, Target};
use crate::simd::LANES;
use crate::team::for_each;
use std::sync::OnceLock;

/// Pixels that are summed in single precision before the sums go on in double.
const TILE: usize = 256;

/// Sums over pixels, about a shift: of each channel of x, and of the products of each pair.
struct Sums {
    first: Vec<f64>,
    second: Vec<f64>,
}

/// The norm of the expansion of x by the statistics of this batch.
pub(super) fn expansion_norm(
    isa: Proof,
    shape: &BlockShape,
    expand: &ExpandWeights<'_>,
    x: &[f32],
    grid: &Grid,
) -> Norm {
    let k = shape.in_channels;
    let pixels = shape.height * shape.width;
    // A value of each channel, about which sums cancel less than about zero.
    let shift = &x[..k];
    let parts: Vec<OnceLock<Sums>> = grid.chunks.iter().map(|_| OnceLock::new()).collect();
    for_each(parts.len(), &|chunk| {
        let images = &grid.chunks[chunk];
        let x = &x[images.start * pixels * k..images.end * pixels * k];
        parts[chunk].get_or_init(|| sums(isa, x, shift));
    });

    let count = (shape.images * pixels) as f64;
    let mut mean = vec![0.0; k];
    let mut covariance = vec![0.0; k * k];
    for part in parts.iter().filter_map(OnceLock::get) {
        add(&mut mean, &part.first);
        add(&mut covariance, &part.second);
    }
    mean.iter_mut().for_each(|mean| *mean /= count);
    for (row, values) in covariance.chunks_exact_mut(k).enumerate() {
        for (value, other) in values.iter_mut().zip(&mean) {
            *value = *value / count - mean[row] * other;
        }
    }
    for (mean, shift) in mean.iter_mut().zip(shift) {
        *mean += f64::from(*shift);
    }

    let mut norm = Norm::new(shape.mid_channels);
    let shared = norm.shared();
    for_each(shape.mid_channels.div_ceil(LANES), &|block| {
        let mut weights = vec![0.0; k];
        for channel in block * LANES..shape.mid_channels.min((block + 1) * LANES) {
            let row = &expand.weight[channel * k..(channel + 1) * k];
            for (wide, weight) in weights.iter_mut().zip(row) {
                *wide = f64::from(*weight);
            }
            let rows = covariance.chunks_exact(k).zip(&weights);
            let variance: f64 = rows.map(|(row, weight)| weight * dot(row, &weights)).sum();
            let mean = dot(&mean, &weights) as f32;
            shared.set(&expand.norm, channel, mean, variance.max(0.0) as f32);
        }
    });
    norm
}

fn add(sums: &mut [f64], part: &[f64]) {
    for (sum, part) in sums.iter_mut().zip(part) {
        *sum += part;
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    /// Sums side by side, which the compiler may keep in a vector.
    const SIDE: usize = 8;
    let mut sums = [0.0; SIDE];
    let ((a, a_rest), (b, b_rest)) = (a.as_chunks::<SIDE>(), b.as_chunks::<SIDE>());
    for (a, b) in a.iter().zip(b) {
        for side in 0..SIDE {
            sums[side] += a[side] * b[side];
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

/// The sums over some pixels of x, as many channels as `shift` has.
fn sums(isa: Proof, x: &[f32], shift: &[f32]) -> Sums {
    let k = shift.len();
    let row = k.next_multiple_of(LANES);
    let mut sums = Sums {
        first: vec![0.0; k],
        second: vec![0.0; k * k],
    };
    // Of a tile: x about the shift, padded to whole blocks with zeros, and the products.
    let mut centred = Buffer::zeros(TILE * row);
    let mut products = Buffer::stale(k * row);
    let mut first = vec![0.0f32; k];
    for tile in x.chunks(TILE * k) {
        let count = tile.len() / k;
        first.fill(0.0);
        for (to, pixel) in centred.chunks_exact_mut(row).zip(tile.chunks_exact(k)) {
            for (((to, value), shift), sum) in to.iter_mut().zip(pixel).zip(shift).zip(&mut first) {
                *to = value - shift;
                *sum += *to;
            }
        }
        let a = Left {
            values: centred[..].into(),
            order: Order::ByColumns,
            row,
            block: LANES,
        };
        let b = Right {
            values: centred[..].into(),
            row,
            block: LANES,
            whole: true,
        };
        let c = Target {
            at: products.as_mut_ptr(),
            row,
            block: LANES,
            whole: true,
        };
        // SAFETY: `products` holds k rows of whole blocks, and is ours.
        isa.run(unsafe { Product::new([k, k, count], a, b, c) });
        for (sum, tile) in sums.first.iter_mut().zip(&first) {
            *sum += f64::from(*tile);
        }
        let rows = products.chunks_exact(row);
        for (sums, products) in sums.second.chunks_exact_mut(k).zip(rows) {
            for (sum, product) in sums.iter_mut().zip(products) {
                *sum += f64::from(*product);
            }
        }
    }
    sums
}
