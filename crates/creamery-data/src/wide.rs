//! The same code for wider registers, where the processor has them.

/// Work whose innermost loops may be compiled for the processor at hand.
///
/// What [`run`](Self::run) calls should be inlined, for only that is compiled so. Results are the same to the bit: nothing here
/// lets products and sums fuse.
pub(crate) trait Work {
    /// What it yields.
    type Output;

    /// Does it. Implementations are `#[inline(always)]`.
    fn run(self) -> Self::Output;
}

/// Does `work` with AVX2 and bit manipulation if there are any.
#[inline]
pub(crate) fn wide<W: Work>(work: W) -> W::Output {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx2,bmi1,bmi2,lzcnt")]
        fn avx2<W: Work>(work: W) -> W::Output {
            work.run()
        }
        let found = is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("lzcnt");
        if found {
            // SAFETY: the processor has the features that the function is compiled for.
            return unsafe { avx2(work) };
        }
    }
    work.run()
}
