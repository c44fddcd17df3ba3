//! Sixteen floats at a time, on whatever the processor has.
//!
//! Every kernel is written once, over [`Simd`]. A vector is always sixteen floats, whatever the width of
//! a register: one register of AVX-512, two of AVX2, four of NEON. So there is one memory layout and one
//! algorithm, and the instruction sets differ only in the thin modules of this folder.
//!
//! A value of a type that implements [`Simd`] is the proof that the processor has its instructions,
//! which is why only loads and stores are unsafe.

#[cfg(target_arch = "x86_64")]
pub(crate) mod avx2;
#[cfg(target_arch = "x86_64")]
pub(crate) mod avx512;
#[cfg(target_arch = "aarch64")]
pub(crate) mod neon;
pub(crate) mod scalar;

/// Floats in a vector, and channels in a block of the inner layout.
pub(crate) const LANES: usize = 16;

/// The operations that kernels are made of. `a`, `b` and `c` are vectors of [`LANES`] floats.
pub(crate) trait Simd: Copy {
    /// Sixteen floats.
    type V: Copy;

    /// Whether 24 vectors fit into registers, with a few to spare.
    const WIDE: bool;

    /// All lanes equal to `value`.
    fn splat(self, value: f32) -> Self::V;

    /// Sixteen floats from memory, aligned or not.
    ///
    /// # Safety
    /// `from` must be valid for reads of 16 floats.
    unsafe fn load(self, from: *const f32) -> Self::V;

    /// Sixteen floats to memory, aligned or not.
    ///
    /// # Safety
    /// `to` must be valid for writes of 16 floats.
    unsafe fn store(self, to: *mut f32, v: Self::V);

    /// The first `lanes` floats from memory (at most 16), the others zero.
    ///
    /// # Safety
    /// `from` must be valid for reads of `lanes` floats.
    unsafe fn load_part(self, from: *const f32, lanes: usize) -> Self::V;

    /// The first `lanes` floats (at most 16) to memory.
    ///
    /// # Safety
    /// `to` must be valid for writes of `lanes` floats.
    unsafe fn store_part(self, to: *mut f32, v: Self::V, lanes: usize);

    /// `a + b`.
    fn add(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a - b`.
    fn sub(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b`.
    fn mul(self, a: Self::V, b: Self::V) -> Self::V;
    /// `a * b + c`.
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// `c - a * b`.
    fn fnma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V;
    /// The smaller of each lane.
    fn min(self, a: Self::V, b: Self::V) -> Self::V;
    /// The larger of each lane.
    fn max(self, a: Self::V, b: Self::V) -> Self::V;
    /// To the nearest whole number.
    fn round(self, a: Self::V) -> Self::V;
    /// `a * 2^n` where `n` is whole, from -126 to 127.
    fn scale(self, a: Self::V, n: Self::V) -> Self::V;
    /// `1 / a` to about one unit in the last place, for `a` from 1 to 2^127.
    fn reciprocal(self, a: Self::V) -> Self::V;
    /// Rows become columns.
    fn transpose(self, rows: [Self::V; LANES]) -> [Self::V; LANES];
}
