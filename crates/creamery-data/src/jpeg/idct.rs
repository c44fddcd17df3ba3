//! The inverse cosine transform of blocks of 8x8 coefficients.
//!
//! Arai, Agui and Nakajima (1988) in single precision, whose factors at both ends are part of the quantisation table. No sums of
//! products that a processor could fuse are left to chance: the same operations in the same order everywhere.

use std::f32::consts::SQRT_2;

use crate::sample::rounded;

/// A block of coefficients or samples, 8 rows of 8.
pub(super) type Block = [[f32; 8]; 8];

/// What is moved into the quantisation table: `FACTORS[u] * FACTORS[v] / 8` for the coefficient at `(u, v)`.
const FACTORS: [f64; 8] = [
    1.0,
    1.387_039_845,
    1.306_562_965,
    1.175_875_602,
    1.0,
    0.785_694_958,
    0.541_196_100,
    0.275_899_379,
];

/// Where the coefficients lie in a block, in the order of the file.
#[rustfmt::skip]
pub(super) const ZIGZAG: [u8; 64] = [
     0,  1,  8, 16,  9,  2,  3, 10, 17, 24, 32, 25, 18, 11,  4,  5,
    12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13,  6,  7, 14, 21, 28,
    35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
    58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63,
];

/// What the coefficients of a block are multiplied with, by a quantisation table in the order of the file.
pub(super) fn scales(table: &[u16; 64]) -> [f32; 64] {
    let mut scales = [0.0; 64];
    for (&place, &step) in ZIGZAG.iter().zip(table) {
        let place = usize::from(place);
        scales[place] = (f64::from(step) * FACTORS[place / 8] * FACTORS[place % 8] / 8.0) as f32;
    }
    scales
}

/// Makes samples of a block of coefficients times their [`scales`] and writes them to the columns of `out`, which are `stride` bytes apart.
#[inline(always)]
pub(super) fn inverse(block: &Block, out: &mut [u8], stride: usize) {
    let rows = transform(block);
    let mut turned = [[0.0; 8]; 8];
    for (x, column) in turned.iter_mut().enumerate() {
        for (y, value) in column.iter_mut().enumerate() {
            *value = rows[y][x];
        }
    }
    let samples = transform(&turned);
    for (x, column) in samples.iter().enumerate() {
        out[x * stride..][..8].copy_from_slice(&column.map(sample));
    }
}

/// What [`inverse`] makes of a block whose only coefficient is its mean.
#[inline(always)]
pub(super) fn flat(mean: f32, out: &mut [u8], stride: usize) {
    let value = sample(mean);
    for x in 0..8 {
        out[x * stride..][..8].fill(value);
    }
}

/// The nearest 8-bit sample; of two that are as near the even one.
#[inline(always)]
fn sample(value: f32) -> u8 {
    rounded((value + 128.0).clamp(0.0, 255.0)) as u8
}

/// The transform of each column.
#[inline(always)]
fn transform(v: &Block) -> Block {
    let mut out = [[0.0; 8]; 8];
    for c in 0..8 {
        let even = {
            let (sum, difference) = (v[0][c] + v[4][c], v[0][c] - v[4][c]);
            let outer = v[2][c] + v[6][c];
            let inner = (v[2][c] - v[6][c]) * SQRT_2 - outer;
            [
                sum + outer,
                difference + inner,
                difference - inner,
                sum - outer,
            ]
        };
        let odd = {
            let (z13, z10) = (v[5][c] + v[3][c], v[5][c] - v[3][c]);
            let (z11, z12) = (v[1][c] + v[7][c], v[1][c] - v[7][c]);
            let z5 = (z10 + z12) * 1.847_759;
            let first = z11 + z13;
            let second = z5 - z10 * 2.613_126 - first;
            let third = (z11 - z13) * SQRT_2 - second;
            [first, second, third, z5 - z12 * 1.082_392_2 - third]
        };
        for i in 0..4 {
            out[i][c] = even[i] + odd[i];
            out[7 - i][c] = even[i] - odd[i];
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// T.81, A.3.3, as it is written.
    fn naive(coefficients: &[[f64; 8]; 8]) -> [[f64; 8]; 8] {
        let c = |u: usize| if u == 0 { 0.5f64.sqrt() } else { 1.0 };
        let cosine = |x: usize, u: usize| {
            ((2 * x + 1) as f64 * u as f64 * std::f64::consts::PI / 16.0).cos()
        };
        std::array::from_fn(|y| {
            std::array::from_fn(|x| {
                let mut sum = 0.0;
                for (v, row) in coefficients.iter().enumerate() {
                    for (u, value) in row.iter().enumerate() {
                        sum += c(u) * c(v) * value * cosine(x, u) * cosine(y, v) / 4.0;
                    }
                }
                (sum + 128.0).clamp(0.0, 255.0)
            })
        })
    }

    proptest! {
        #[test]
        fn samples_are_those_of_the_formula(
            coded in prop::collection::vec(-40i32..40, 64), table in prop::collection::vec(1u16..60, 64),
        ) {
            let table: [u16; 64] = table.try_into().unwrap();
            let scale = scales(&table);
            let mut block = [[0.0; 8]; 8];
            let mut coefficients = [[0.0; 8]; 8];
            for k in 0..64 {
                let place = usize::from(ZIGZAG[k]);
                block[place / 8][place % 8] = coded[k] as f32 * scale[place];
                coefficients[place / 8][place % 8] = f64::from(coded[k]) * f64::from(table[k]);
            }
            let mut out = [0; 8 * 11];
            inverse(&block, &mut out, 11);
            for (y, row) in naive(&coefficients).iter().enumerate() {
                for (x, wanted) in row.iter().enumerate() {
                    let found = f64::from(out[x * 11 + y]);
                    prop_assert!((found - wanted).abs() < 0.51, "{x} {y}: {found}, not {wanted}");
                }
            }
            block = [[0.0; 8]; 8];
            block[0][0] = coded[0] as f32 * scale[0];
            let mut even = [0; 64];
            inverse(&block, &mut out, 8);
            flat(block[0][0], &mut even, 8);
            prop_assert_eq!(&out[..64], &even[..]);
        }
    }

    #[test]
    fn the_order_is_a_diagonal_one() {
        let mut seen = [false; 64];
        for k in 0..64 {
            let place = usize::from(ZIGZAG[k]);
            assert!(!std::mem::replace(&mut seen[place], true));
            if k > 0 {
                let before = usize::from(ZIGZAG[k - 1]);
                let diagonal = |place: usize| place / 8 + place % 8;
                assert!(diagonal(place).abs_diff(diagonal(before)) <= 1);
            }
        }
    }
}
