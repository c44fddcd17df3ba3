//! AVX-512: one register holds a vector.

use super::{Arithmetic, LANES, Simd};
use crate::isa::Kernel;
use std::arch::x86_64::*;

/// Proof of AVX-512 F, DQ, BW and VL.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx512(());

impl Avx512 {
    /// The proof, where the processor has the instructions.
    pub(crate) fn new() -> Option<Self> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("fma");
        found.then_some(Self(()))
    }

    /// Runs `kernel` compiled for these instructions.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) {
        // SAFETY: `self` proves that the processor has the instructions.
        unsafe { compiled(self, kernel) }
    }
}

#[target_feature(enable = "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")]
fn compiled<K: Kernel>(simd: Avx512, kernel: K) {
    kernel.run::<Avx512>(simd);
}

#[inline(always)]
fn mask(lanes: usize) -> __mmask16 {
    if lanes >= LANES { !0 } else { (1 << lanes) - 1 }
}

/// One intrinsic under the proof that `self` is.
macro_rules! proven {
    ($e:expr) => {
        // SAFETY: `self` proves that the processor has the instruction; what a load or a store
        // touches is its caller's promise.
        unsafe { $e }
    };
}

impl Arithmetic for Avx512 {
    type V = __m512;

    #[inline(always)]
    fn splat(self, value: f32) -> __m512 {
        proven!(_mm512_set1_ps(value))
    }

    #[inline(always)]
    fn add(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_add_ps(a, b))
    }

    #[inline(always)]
    fn sub(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_sub_ps(a, b))
    }

    #[inline(always)]
    fn mul(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_mul_ps(a, b))
    }

    #[inline(always)]
    fn fma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        proven!(_mm512_fmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn fnma(self, a: __m512, b: __m512, c: __m512) -> __m512 {
        proven!(_mm512_fnmadd_ps(a, b, c))
    }

    #[inline(always)]
    fn min(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_min_ps(a, b))
    }

    #[inline(always)]
    fn max(self, a: __m512, b: __m512) -> __m512 {
        proven!(_mm512_max_ps(a, b))
    }

    #[inline(always)]
    fn scale_down(self, a: __m512, shifted: __m512) -> __m512 {
        proven!({
            let exponent = _mm512_slli_epi32::<23>(_mm512_castps_si512(shifted));
            _mm512_castsi512_ps(_mm512_sub_epi32(_mm512_castps_si512(a), exponent))
        })
    }

    // One step of Newton from 14 bits: a third of the time of a division.
    #[inline(always)]
    fn reciprocal(self, a: __m512) -> __m512 {
        let guess = proven!(_mm512_rcp14_ps(a));
        let miss = self.fnma(a, guess, self.splat(1.0));
        self.fma(guess, miss, guess)
    }
}

impl Simd for Avx512 {
    const WIDE: bool = true;

    /// # Safety
    /// As [`Simd::load`] asks.
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> __m512 {
        proven!(_mm512_loadu_ps(from))
    }

    /// # Safety
    /// As [`Simd::store`] asks.
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: __m512) {
        proven!(_mm512_storeu_ps(to, v))
    }

    /// # Safety
    /// As [`Simd::load_part`] asks.
    #[inline(always)]
    unsafe fn load_part(self, from: *const f32, lanes: usize) -> __m512 {
        proven!(_mm512_maskz_loadu_ps(mask(lanes), from))
    }

    /// # Safety
    /// As [`Simd::store_part`] asks.
    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, v: __m512, lanes: usize) {
        proven!(_mm512_mask_storeu_ps(to, mask(lanes), v))
    }

    // Pairs, then fours, then quarters of registers: 64 shuffles for 256 floats.
    #[inline(always)]
    fn transpose(self, r: [__m512; LANES]) -> [__m512; LANES] {
        let mut t = r;
        for i in 0..8 {
            t[2 * i] = proven!(_mm512_unpacklo_ps(r[2 * i], r[2 * i + 1]));
            t[2 * i + 1] = proven!(_mm512_unpackhi_ps(r[2 * i], r[2 * i + 1]));
        }
        let mut u = t;
        for i in 0..4 {
            u[4 * i] = proven!(_mm512_shuffle_ps::<0x44>(t[4 * i], t[4 * i + 2]));
            u[4 * i + 1] = proven!(_mm512_shuffle_ps::<0xEE>(t[4 * i], t[4 * i + 2]));
            u[4 * i + 2] = proven!(_mm512_shuffle_ps::<0x44>(t[4 * i + 1], t[4 * i + 3]));
            u[4 * i + 3] = proven!(_mm512_shuffle_ps::<0xEE>(t[4 * i + 1], t[4 * i + 3]));
        }
        // u[4 * i + c] holds, in its quarter q, column 4 * q + c of rows 4 * i .. 4 * i + 4.
        let mut out = r;
        for c in 0..4 {
            let low = proven!(_mm512_shuffle_f32x4::<0x88>(u[c], u[4 + c]));
            let high = proven!(_mm512_shuffle_f32x4::<0x88>(u[8 + c], u[12 + c]));
            out[c] = proven!(_mm512_shuffle_f32x4::<0x88>(low, high));
            out[8 + c] = proven!(_mm512_shuffle_f32x4::<0xDD>(low, high));
            let low = proven!(_mm512_shuffle_f32x4::<0xDD>(u[c], u[4 + c]));
            let high = proven!(_mm512_shuffle_f32x4::<0xDD>(u[8 + c], u[12 + c]));
            out[4 + c] = proven!(_mm512_shuffle_f32x4::<0x88>(low, high));
            out[12 + c] = proven!(_mm512_shuffle_f32x4::<0xDD>(low, high));
        }
        out
    }
}
