//! AVX2 with FMA: two registers hold a vector.

use super::{Arithmetic, LANES, Simd};
use crate::isa::Kernel;
use std::arch::x86_64::*;

/// Proof of AVX2 and FMA.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Avx2(());

impl Avx2 {
    /// The proof, where the processor has the instructions.
    pub(crate) fn new() -> Option<Self> {
        let found = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        found.then_some(Self(()))
    }

    /// Runs `kernel` compiled for these instructions.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) {
        // SAFETY: `self` proves that the processor has the instructions.
        unsafe { compiled(self, kernel) }
    }
}

#[target_feature(enable = "avx2,fma")]
fn compiled<K: Kernel>(simd: Avx2, kernel: K) {
    kernel.run::<Avx2>(simd);
}

/// Two registers, low lanes first.
type Pair = [__m256; 2];

/// One intrinsic under the proof that `self` is.
macro_rules! proven {
    ($e:expr) => {
        // SAFETY: `self` proves that the processor has the instruction; what a load or a store
        // touches is its caller's promise.
        unsafe { $e }
    };
}

impl Avx2 {
    /// All bits set in each of the first `lanes` lanes of a register.
    #[inline(always)]
    fn mask(self, lanes: usize) -> __m256i {
        let lanes = lanes.min(8) as i32;
        proven!(_mm256_cmpgt_epi32(
            _mm256_set1_epi32(lanes),
            _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)
        ))
    }
}

impl Arithmetic for Avx2 {
    type V = Pair;

    #[inline(always)]
    fn splat(self, value: f32) -> Pair {
        [proven!(_mm256_set1_ps(value)); 2]
    }

    #[inline(always)]
    fn add(self, a: Pair, b: Pair) -> Pair {
        proven!([_mm256_add_ps(a[0], b[0]), _mm256_add_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn sub(self, a: Pair, b: Pair) -> Pair {
        proven!([_mm256_sub_ps(a[0], b[0]), _mm256_sub_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn mul(self, a: Pair, b: Pair) -> Pair {
        proven!([_mm256_mul_ps(a[0], b[0]), _mm256_mul_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn fma(self, a: Pair, b: Pair, c: Pair) -> Pair {
        proven!([
            _mm256_fmadd_ps(a[0], b[0], c[0]),
            _mm256_fmadd_ps(a[1], b[1], c[1])
        ])
    }

    #[inline(always)]
    fn fnma(self, a: Pair, b: Pair, c: Pair) -> Pair {
        proven!([
            _mm256_fnmadd_ps(a[0], b[0], c[0]),
            _mm256_fnmadd_ps(a[1], b[1], c[1])
        ])
    }

    #[inline(always)]
    fn min(self, a: Pair, b: Pair) -> Pair {
        proven!([_mm256_min_ps(a[0], b[0]), _mm256_min_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn max(self, a: Pair, b: Pair) -> Pair {
        proven!([_mm256_max_ps(a[0], b[0]), _mm256_max_ps(a[1], b[1])])
    }

    #[inline(always)]
    fn scale_down(self, a: Pair, shifted: Pair) -> Pair {
        proven!({
            let low = _mm256_slli_epi32::<23>(_mm256_castps_si256(shifted[0]));
            let high = _mm256_slli_epi32::<23>(_mm256_castps_si256(shifted[1]));
            [
                _mm256_castsi256_ps(_mm256_sub_epi32(_mm256_castps_si256(a[0]), low)),
                _mm256_castsi256_ps(_mm256_sub_epi32(_mm256_castps_si256(a[1]), high)),
            ]
        })
    }

    #[inline(always)]
    fn reciprocal(self, a: Pair) -> Pair {
        let one = self.splat(1.0);
        proven!([_mm256_div_ps(one[0], a[0]), _mm256_div_ps(one[1], a[1])])
    }
}

impl Simd for Avx2 {
    const WIDE: bool = false;

    /// # Safety
    /// As [`Simd::load`] asks.
    #[inline(always)]
    unsafe fn load(self, from: *const f32) -> Pair {
        proven!([_mm256_loadu_ps(from), _mm256_loadu_ps(from.add(8))])
    }

    /// # Safety
    /// As [`Simd::store`] asks.
    #[inline(always)]
    unsafe fn store(self, to: *mut f32, v: Pair) {
        proven!({
            _mm256_storeu_ps(to, v[0]);
            _mm256_storeu_ps(to.add(8), v[1]);
        })
    }

    /// # Safety
    /// As [`Simd::load_part`] asks.
    #[inline(always)]
    unsafe fn load_part(self, from: *const f32, lanes: usize) -> Pair {
        if lanes >= LANES {
            // SAFETY: the caller vouches for the lanes.
            return unsafe { self.load(from) };
        }
        let (low, high) = (self.mask(lanes), self.mask(lanes.saturating_sub(8)));
        proven!([
            _mm256_maskload_ps(from, low),
            _mm256_maskload_ps(from.wrapping_add(8), high)
        ])
    }

    /// # Safety
    /// As [`Simd::store_part`] asks.
    #[inline(always)]
    unsafe fn store_part(self, to: *mut f32, v: Pair, lanes: usize) {
        if lanes >= LANES {
            // SAFETY: the caller vouches for the lanes.
            return unsafe { self.store(to, v) };
        }
        let (low, high) = (self.mask(lanes), self.mask(lanes.saturating_sub(8)));
        proven!({
            _mm256_maskstore_ps(to, low, v[0]);
            _mm256_maskstore_ps(to.wrapping_add(8), high, v[1]);
        })
    }

    // Four transpositions of 8 x 8, each by pairs, fours and halves.
    #[inline(always)]
    fn transpose(self, rows: [Pair; LANES]) -> [Pair; LANES] {
        let mut out = rows;
        for down in 0..2 {
            for across in 0..2 {
                let mut t = [rows[0][0]; 8];
                for i in 0..4 {
                    let (a, b) = (
                        rows[8 * down + 2 * i][across],
                        rows[8 * down + 2 * i + 1][across],
                    );
                    t[2 * i] = proven!(_mm256_unpacklo_ps(a, b));
                    t[2 * i + 1] = proven!(_mm256_unpackhi_ps(a, b));
                }
                let mut u = t;
                for i in 0..2 {
                    u[4 * i] = proven!(_mm256_shuffle_ps::<0x44>(t[4 * i], t[4 * i + 2]));
                    u[4 * i + 1] = proven!(_mm256_shuffle_ps::<0xEE>(t[4 * i], t[4 * i + 2]));
                    u[4 * i + 2] = proven!(_mm256_shuffle_ps::<0x44>(t[4 * i + 1], t[4 * i + 3]));
                    u[4 * i + 3] = proven!(_mm256_shuffle_ps::<0xEE>(t[4 * i + 1], t[4 * i + 3]));
                }
                for c in 0..4 {
                    out[8 * across + c][down] =
                        proven!(_mm256_permute2f128_ps::<0x20>(u[c], u[4 + c]));
                    out[8 * across + 4 + c][down] =
                        proven!(_mm256_permute2f128_ps::<0x31>(u[c], u[4 + c]));
                }
            }
        }
        out
    }
}
