//! One row of a correlation: what all depthwise kernels spend their time in.

use crate::simd::{LANES, Simd};

/// Most rows of a kernel.
pub(crate) const MOST_ROWS: usize = 7;

/// A row of input and the row of taps that it meets.
#[derive(Clone, Copy)]
pub(crate) struct Pair {
    /// Vectors of the input, from the one that the first tap of the first output meets.
    pub(crate) input: *const f32,
    /// `T` vectors of taps.
    pub(crate) taps: *const f32,
}

/// `out[j] = sum over rows and t < T of input[j * STRIDE + t] * taps[t]` for `j < count`, each a vector;
/// `step` is the distance of two outputs in floats.
///
/// # Safety
/// Every row must hold `(count - 1) * STRIDE + T` vectors of input and `T` of taps, and `out` must be valid
/// for writes of a vector at each of the `count` places.
#[inline(always)]
pub(crate) unsafe fn row<S: Simd, const T: usize, const STRIDE: usize>(
    s: S,
    rows: &[Pair],
    out: *mut f32,
    step: usize,
    count: usize,
) {
    let mut j = 0;
    // SAFETY: the columns lie below `count`.
    unsafe {
        if S::WIDE {
            while count - j >= 8 {
                columns::<S, T, STRIDE, 8>(s, rows, out.add(j * step), step, j);
                j += 8;
            }
            if count - j == 7 {
                columns::<S, T, STRIDE, 7>(s, rows, out.add(j * step), step, j);
                return;
            }
        }
        while count - j >= 4 {
            columns::<S, T, STRIDE, 4>(s, rows, out.add(j * step), step, j);
            j += 4;
        }
        if count - j >= 2 {
            columns::<S, T, STRIDE, 2>(s, rows, out.add(j * step), step, j);
            j += 2;
        }
        if count > j {
            columns::<S, T, STRIDE, 1>(s, rows, out.add(j * step), step, j);
        }
    }
}

/// `COLUMNS` outputs from column `first` on, in registers.
///
/// # Safety
/// As for [`row`], of these outputs.
#[inline(always)]
unsafe fn columns<S: Simd, const T: usize, const STRIDE: usize, const COLUMNS: usize>(
    s: S,
    rows: &[Pair],
    out: *mut f32,
    step: usize,
    first: usize,
) {
    let mut acc = [s.splat(0.0); COLUMNS];
    for row in rows {
        // SAFETY: the caller vouches for the row's vectors.
        unsafe {
            let input = row.input.add(first * STRIDE * LANES);
            for t in 0..T {
                let tap = s.load(row.taps.add(t * LANES));
                for (j, acc) in acc.iter_mut().enumerate() {
                    *acc = s.fma(s.load(input.add((j * STRIDE + t) * LANES)), tap, *acc);
                }
            }
        }
    }
    for (j, acc) in acc.into_iter().enumerate() {
        // SAFETY: the caller vouches for the outputs.
        unsafe { s.store(out.add(j * step), acc) };
    }
}
