//! NEON: four registers hold a vector.

#![allow(
    unused_unsafe,
    reason = "where NEON is part of the target, its arithmetic is safe to call"
)]

use super::{Arithmetic, LANES, Simd};
use crate::isa::Kernel;
use std::arch::aarch64::*;

/// Proof of NEON.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Neon(());

impl Neon {
    /// The proof, where the processor has the instructions.
    pub(crate) fn new() -> Option<Self> {
        std::arch::is_aarch64_feature_detected!("neon").then_some(Self(()))
    }

    /// Runs `kernel` compiled for these instructions.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) {
        // SAFETY: `self` proves that the processor has the instructions.
        unsafe { compiled(self, kernel) }
    }
}

#[target_feature(enable = "neon")]
fn compiled<K: Kernel>(simd: Neon, kernel: K) {
    kernel.run::<Neon>(simd);
}

/// Four registers, low lanes first.
type Four = [float32x4_t; 4];

/// One intrinsic for each register, under the proof that `self` is.
macro_rules! each {
    (|$i:ident| $e:expr) => {
        // SAFETY: `self` proves that the processor has the instruction; what a load or a store
        // touches is its caller's promise.
        [0, 1, 2, 3].map(
            #[inline(always)]
            |$i| unsafe { $e },
        )
    };
}

impl Arithmetic for Neon {
    type V = Four;

    #[inline(always)]
    fn splat(self, value: f32) -> Four {
        each!(|_i| vdupq_n_f32(value))
    }

    #[inline(always)]
    fn add(self, a: Four, b: Four) -> Four {
        each!(|i| vaddq_f32(a[i], b[i]))
    }

    #[inline(always)]
    fn sub(self, a: Four, b: Four) -> Four {
        each!(|i| vsubq_f32(a[i], b[i]))
    }

    #[inline(always)]
    fn mul(self, a: Four, b: Four) -> Four {
        each!(|i| vmulq_f32(a[i], b[i]))
    }

    #[inline(always)]
    fn fma(self, a: Four, b: Four, c: Four) -> Four {
        each!(|i| vfmaq_f32(c[i], a[i], b[i]))
    }

    #[inline(always)]
    fn fnma(self, a: Four, b: Four, c: Four) -> Four {
        each!(|i| vfmsq_f32(c[i], a[i], b[i]))
    }

    #[inline(always)]
    fn min(self, a: Four, b: Four) -> Four {
        each!(|i| vminq_f32(a[i], b[i]))
    }

    #[inline(always)]
    fn max(self, a: Four, b: Four) -> Four {
        each!(|i| vmaxq_f32(a[i], b[i]))
    }

    #[inline(always)]
    fn scale_down(self, a: Four, shifted: Four) -> Four {
        each!(|i| {
            let exponent = vshlq_n_s32::<23>(vreinterpretq_s32_f32(shifted[i]));
            vreinterpretq_f32_s32(vsubq_s32(vreinterpretq_s32_f32(a[i]), exponent))
        })
    }

    #[inline(always)]
    fn reciprocal(self, a: Four) -> Four {
        each!(|i| vdivq_f32(vdupq_n_f32(1.0), a[i]))
    }
}

impl Simd for Neon {
    const WIDE: bool = false;

    /// # Safety
    /// As [`Simd::load`] asks.
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Four {
        each!(|i| vld1q_f32(from.add(4 * i)))
    }

    /// # Safety
    /// As [`Simd::store`] asks.
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: Four) {
        each!(|i| vst1q_f32(to.add(4 * i), v[i]));
    }

    /// # Safety
    /// As [`Simd::load_part`] asks.
    #[inline(always)]
    unsafe fn load_part(self, from: *const f32, lanes: usize) -> Four {
        if lanes >= LANES {
            // SAFETY: the caller vouches for the lanes.
            return unsafe { self.load(from) };
        }
        let mut whole = [0.0; LANES];
        // SAFETY: the caller vouches for `lanes` floats, and 16 is the most that fit.
        unsafe { std::ptr::copy_nonoverlapping(from, whole.as_mut_ptr(), lanes.min(LANES)) };
        // SAFETY: the array holds 16 floats.
        unsafe { self.load(whole.as_ptr()) }
    }

    /// # Safety
    /// As [`Simd::store_part`] asks.
    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, v: Four, lanes: usize) {
        if lanes >= LANES {
            // SAFETY: the caller vouches for the lanes.
            return unsafe { self.store(to, v) };
        }
        let mut whole = [0.0; LANES];
        // SAFETY: the array holds 16 floats.
        unsafe { self.store(whole.as_mut_ptr(), v) };
        // SAFETY: the caller vouches for `lanes` floats, and 16 is the most there are.
        unsafe { std::ptr::copy_nonoverlapping(whole.as_ptr(), to, lanes.min(LANES)) };
    }

    #[inline(always)]
    fn prefetch(self, _at: *const f32) {}

    #[inline(always)]
    fn transpose(self, rows: [Four; LANES]) -> [Four; LANES] {
        let mut out = rows;
        for down in 0..4 {
            for across in 0..4 {
                let part = each!(|i| rows[4 * down + i][across]);
                let column = self.transpose_four(part);
                for c in 0..4 {
                    out[4 * across + c][down] = column[c];
                }
            }
        }
        out
    }
}

impl Neon {
    /// Four rows of four become four columns.
    #[inline(always)]
    fn transpose_four(self, r: Four) -> Four {
        let wide = |v: float32x4_t| -> float64x2_t {
            // SAFETY: `self` proves that the processor has the instruction.
            unsafe { vreinterpretq_f64_f32(v) }
        };
        let narrow = |v: float64x2_t| -> float32x4_t {
            // SAFETY: `self` proves that the processor has the instruction.
            unsafe { vreinterpretq_f32_f64(v) }
        };
        // SAFETY: `self` proves that the processor has the instructions.
        unsafe {
            let (a, b) = (wide(vtrn1q_f32(r[0], r[1])), wide(vtrn2q_f32(r[0], r[1])));
            let (c, d) = (wide(vtrn1q_f32(r[2], r[3])), wide(vtrn2q_f32(r[2], r[3])));
            [
                narrow(vtrn1q_f64(a, c)),
                narrow(vtrn1q_f64(b, d)),
                narrow(vtrn2q_f64(a, c)),
                narrow(vtrn2q_f64(b, d)),
            ]
        }
    }
}
