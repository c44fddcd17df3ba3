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

/// Arithmetic on vectors. `a`, `b` and `c` are vectors, of [`LANES`] floats or (in [`Twice`]) of more.
pub(crate) trait Arithmetic: Copy {
    /// The vectors.
    type V: Copy;

    /// All lanes equal to `value`.
    fn splat(self, value: f32) -> Self::V;

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
    /// `a / 2^n` where `shifted` is `n + 1.5 * 2^23`, which has the whole number n in its lowest bits.
    fn scale_down(self, a: Self::V, shifted: Self::V) -> Self::V;
    /// `1 / a` to about one unit in the last place, for `a` from 1 to 2^127.
    fn reciprocal(self, a: Self::V) -> Self::V;
}

/// The operations that kernels are made of, on vectors of [`LANES`] floats.
pub(crate) trait Simd: Arithmetic {
    /// Whether 24 vectors fit into registers, with a few to spare.
    const WIDE: bool;

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

    /// Arithmetic on four vectors at a time.
    #[inline(always)]
    fn four(self) -> Four<Self> {
        Twice(Twice(self))
    }

    /// Four vectors that follow each other in memory.
    ///
    /// # Safety
    /// `from` must be valid for reads of 64 floats.
    #[inline(always)]
    unsafe fn load_four(self, from: *const f32) -> <Four<Self> as Arithmetic>::V {
        // SAFETY: the caller vouches for all four.
        unsafe {
            let [a, b, c, d] = [0, 1, 2, 3].map(|i| from.add(i * LANES));
            [[self.load(a), self.load(b)], [self.load(c), self.load(d)]]
        }
    }

    /// Four vectors to places that follow each other in memory.
    ///
    /// # Safety
    /// `to` must be valid for writes of 64 floats.
    #[inline(always)]
    unsafe fn store_four(self, to: *mut f32, [[a, b], [c, d]]: <Four<Self> as Arithmetic>::V) {
        // SAFETY: the caller vouches for all four.
        unsafe {
            self.store(to, a);
            self.store(to.add(LANES), b);
            self.store(to.add(2 * LANES), c);
            self.store(to.add(3 * LANES), d);
        }
    }

    /// Rows become columns.
    fn transpose(self, rows: [Self::V; LANES]) -> [Self::V; LANES];
}

/// Arithmetic on four vectors at a time.
pub(crate) type Four<S> = Twice<Twice<S>>;

/// Arithmetic on two vectors at a time.
///
/// A long chain of operations is limited by its length, because the processor looks only so far ahead. Two
/// chains side by side take little longer than one.
#[derive(Clone, Copy)]
pub(crate) struct Twice<S>(pub(crate) S);

impl<S: Arithmetic> Arithmetic for Twice<S> {
    type V = [S::V; 2];

    #[inline(always)]
    fn splat(self, value: f32) -> Self::V {
        [self.0.splat(value); 2]
    }

    #[inline(always)]
    fn add(self, a: Self::V, b: Self::V) -> Self::V {
        [self.0.add(a[0], b[0]), self.0.add(a[1], b[1])]
    }

    #[inline(always)]
    fn sub(self, a: Self::V, b: Self::V) -> Self::V {
        [self.0.sub(a[0], b[0]), self.0.sub(a[1], b[1])]
    }

    #[inline(always)]
    fn mul(self, a: Self::V, b: Self::V) -> Self::V {
        [self.0.mul(a[0], b[0]), self.0.mul(a[1], b[1])]
    }

    #[inline(always)]
    fn min(self, a: Self::V, b: Self::V) -> Self::V {
        [self.0.min(a[0], b[0]), self.0.min(a[1], b[1])]
    }

    #[inline(always)]
    fn max(self, a: Self::V, b: Self::V) -> Self::V {
        [self.0.max(a[0], b[0]), self.0.max(a[1], b[1])]
    }

    #[inline(always)]
    fn scale_down(self, a: Self::V, b: Self::V) -> Self::V {
        [self.0.scale_down(a[0], b[0]), self.0.scale_down(a[1], b[1])]
    }

    #[inline(always)]
    fn fma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        [self.0.fma(a[0], b[0], c[0]), self.0.fma(a[1], b[1], c[1])]
    }

    #[inline(always)]
    fn fnma(self, a: Self::V, b: Self::V, c: Self::V) -> Self::V {
        [self.0.fnma(a[0], b[0], c[0]), self.0.fnma(a[1], b[1], c[1])]
    }

    #[inline(always)]
    fn reciprocal(self, a: Self::V) -> Self::V {
        [self.0.reciprocal(a[0]), self.0.reciprocal(a[1])]
    }
}
