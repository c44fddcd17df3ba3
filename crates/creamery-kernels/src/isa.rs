//! Which instructions the kernels use.

use crate::simd::Simd;
use crate::simd::scalar::Scalar;
use std::cell::Cell;
use std::sync::OnceLock;

#[cfg(target_arch = "x86_64")]
use crate::simd::{avx2::Avx2, avx512::Avx512};

#[cfg(target_arch = "aarch64")]
use crate::simd::neon::Neon;

/// An instruction set that the kernels are compiled for.
///
/// [`Isa::best`] is chosen by itself; [`with_isa`] chooses another, for tests and measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Isa {
    /// No vector instructions beyond those of every processor of its kind.
    Scalar,
    /// AVX2 and FMA (x86-64, most processors since 2013).
    Avx2,
    /// AVX-512 F, DQ, BW and VL (x86-64 servers, recent desktops).
    Avx512,
    /// NEON (64-bit ARM).
    Neon,
}

/// What [`Isa`] promises, in the form of a value of the instruction set's own type.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Proof {
    Scalar(Scalar),
    #[cfg(target_arch = "x86_64")]
    Avx2(Avx2),
    #[cfg(target_arch = "x86_64")]
    Avx512(Avx512),
    #[cfg(target_arch = "aarch64")]
    Neon(Neon),
}

/// Something to compile once per instruction set. `run` must be `#[inline(always)]`, and so must all
/// that it calls, or it is compiled without the instructions.
pub(crate) trait Kernel {
    /// Does the work.
    fn run<S: Simd>(self, simd: S);
}

impl Proof {
    /// Runs `kernel` with the proven instructions.
    #[inline]
    pub(crate) fn run<K: Kernel>(self, kernel: K) {
        match self {
            Proof::Scalar(simd) => kernel.run(simd),
            #[cfg(target_arch = "x86_64")]
            Proof::Avx2(simd) => simd.run(kernel),
            #[cfg(target_arch = "x86_64")]
            Proof::Avx512(simd) => simd.run(kernel),
            #[cfg(target_arch = "aarch64")]
            Proof::Neon(simd) => simd.run(kernel),
        }
    }
}

impl Isa {
    /// Every instruction set that this processor has, the plainest first.
    ///
    /// ```
    /// use creamery_kernels::Isa;
    /// assert_eq!(Isa::available()[0], Isa::Scalar);
    /// ```
    pub fn available() -> Vec<Isa> {
        [Isa::Scalar, Isa::Avx2, Isa::Avx512, Isa::Neon]
            .into_iter()
            .filter(|isa| isa.proof().is_some())
            .collect()
    }

    /// The widest instruction set that this processor has.
    pub fn best() -> Isa {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| Isa::available().pop().unwrap_or(Isa::Scalar))
    }

    /// The proof that the processor has it, or nothing.
    fn proof(self) -> Option<Proof> {
        match self {
            Isa::Scalar => Some(Proof::Scalar(Scalar)),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => Avx2::new().map(Proof::Avx2),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => Avx512::new().map(Proof::Avx512),
            #[cfg(target_arch = "aarch64")]
            Isa::Neon => Neon::new().map(Proof::Neon),
            #[allow(
                unreachable_patterns,
                reason = "which sets are left depends on the target"
            )]
            _ => None,
        }
    }
}

thread_local! {
    static FORCED: Cell<Option<Isa>> = const { Cell::new(None) };
}

/// Runs `work` with the kernels that it calls compiled for `isa`, on this thread's calls only.
///
/// An instruction set that the processor does not have is passed over for [`Isa::Scalar`].
///
/// ```
/// use creamery_kernels::{Isa, with_isa};
/// assert_eq!(with_isa(Isa::Scalar, || 2 + 2), 4);
/// ```
pub fn with_isa<T>(isa: Isa, work: impl FnOnce() -> T) -> T {
    /// Puts the former choice back, by a panic too.
    struct Restore(Option<Isa>);
    impl Drop for Restore {
        fn drop(&mut self) {
            FORCED.set(self.0);
        }
    }
    let _restore = Restore(FORCED.replace(Some(isa)));
    work()
}

/// The instructions for a call from this thread: the forced ones, or the best.
pub(crate) fn current() -> Proof {
    let isa = FORCED.get().unwrap_or_else(Isa::best);
    isa.proof().unwrap_or(Proof::Scalar(Scalar))
}
