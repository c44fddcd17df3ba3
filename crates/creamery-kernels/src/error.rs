//! What can be wrong with a call.

/// A call that cannot be carried out. Nothing has been computed when it is returned.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// A slice does not hold what its shape says.
    #[error(
        "{what} has {found} values where the shape asks for {expected}: pass a contiguous tensor of that shape"
    )]
    Length {
        /// The argument.
        what: &'static str,
        /// Values that the shape asks for.
        expected: usize,
        /// Values in the slice.
        found: usize,
    },
    /// A size that no kernel is made for.
    #[error(
        "{what} is {found}: the fused kernels take {allowed}, other sizes need the composed operators"
    )]
    Unsupported {
        /// The size.
        what: &'static str,
        /// Its value.
        found: usize,
        /// The values that would do.
        allowed: &'static str,
    },
    /// Two parts of a call that contradict each other.
    #[error("{what} and {other} contradict each other: give both or neither")]
    Mismatch {
        /// One part.
        what: &'static str,
        /// The other part.
        other: &'static str,
    },
    /// Tensors of more values than memory could hold.
    #[error(
        "a feature map of this shape has more values than can be addressed: use a smaller batch or resolution"
    )]
    TooLarge,
}

/// An error unless `found` is the length of `what`.
pub(crate) fn length(what: &'static str, found: usize, expected: usize) -> Result<(), KernelError> {
    if found == expected {
        Ok(())
    } else {
        Err(KernelError::Length {
            what,
            expected,
            found,
        })
    }
}

/// An error unless `found` is at least one.
pub(crate) fn positive(what: &'static str, found: usize) -> Result<(), KernelError> {
    if found > 0 {
        Ok(())
    } else {
        Err(KernelError::Unsupported {
            what,
            found,
            allowed: "at least 1",
        })
    }
}
