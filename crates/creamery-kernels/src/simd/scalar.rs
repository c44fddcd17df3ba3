//! Plain arrays, for any processor; the compiler makes what vectors it can of them.

use super::{Arithmetic, LANES, Simd};

/// The portable implementation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scalar;

#[inline(always)]
fn each(f: impl Fn(usize) -> f32) -> [f32; LANES] {
    let mut out = [0.0; LANES];
    for (lane, value) in out.iter_mut().enumerate() {
        *value = f(lane);
    }
    out
}

impl Arithmetic for Scalar {
    type V = [f32; LANES];

    #[inline(always)]
    fn splat(self, value: f32) -> Self::V {
        [value; LANES]
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        each(|i| a[i] + b[i])
    }

    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        each(|i| a[i] - b[i])
    }

    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        each(|i| a[i] * b[i])
    }

    // Not `mul_add`: without the instruction that is a call into the mathematical library.
    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        each(|i| a[i] * b[i] + c[i])
    }

    #[inline(always)]
    fn fnma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        each(|i| c[i] - a[i] * b[i])
    }

    // The comparison, not `f32::min`, which spends instructions on signalling NaNs.
    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        each(|i| if a[i] < b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        each(|i| if a[i] > b[i] { a[i] } else { b[i] })
    }

    #[inline(always)]
    fn scale_down(self, a: Self::V, shifted: Self::V) -> Self::V {
        each(|i| f32::from_bits(a[i].to_bits().wrapping_sub(shifted[i].to_bits() << 23)))
    }

    #[inline(always)]
    fn reciprocal(self, a: Self::V) -> Self::V {
        each(|i| 1.0 / a[i])
    }
}

impl Simd for Scalar {
    const WIDE: bool = false;

    /// # Safety
    /// As [`Simd::load`] asks.
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Self::V {
        // SAFETY: the caller vouches for 16 floats; the read is unaligned.
        unsafe { from.cast::<Self::V>().read_unaligned() }
    }

    /// # Safety
    /// As [`Simd::store`] asks.
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: Self::V) {
        // SAFETY: the caller vouches for 16 floats; the write is unaligned.
        unsafe { to.cast::<Self::V>().write_unaligned(v) }
    }

    /// # Safety
    /// As [`Simd::load_part`] asks.
    #[inline(always)]
    unsafe fn load_part(self, from: *const f32, lanes: usize) -> Self::V {
        if lanes >= LANES {
            // SAFETY: the caller vouches for the lanes.
            return unsafe { self.load(from) };
        }
        let mut v = [0.0; LANES];
        // SAFETY: the caller vouches for `lanes` floats, and 16 is the most that fit.
        unsafe { std::ptr::copy_nonoverlapping(from, v.as_mut_ptr(), lanes.min(LANES)) };
        v
    }

    /// # Safety
    /// As [`Simd::store_part`] asks.
    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, v: Self::V, lanes: usize) {
        if lanes >= LANES {
            // SAFETY: the caller vouches for the lanes.
            return unsafe { self.store(to, v) };
        }
        // SAFETY: the caller vouches for `lanes` floats, and 16 is the most there are.
        unsafe { std::ptr::copy_nonoverlapping(v.as_ptr(), to, lanes.min(LANES)) };
    }

    #[inline(always)]
    fn transpose(self, rows: [Self::V; LANES]) -> [Self::V; LANES] {
        let mut columns = [[0.0; LANES]; LANES];
        for (r, row) in rows.iter().enumerate() {
            for (c, value) in row.iter().enumerate() {
                columns[c][r] = *value;
            }
        }
        columns
    }
}
