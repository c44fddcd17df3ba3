//! Passes over feature maps: normalise, activate, gate, and their backward.
//!
//! A block of channels of some images is a slice `[images][pixels][16]`; what a pass needs of each image,
//! such as a gate, is `[images][16]`. Slices of 16 are per channel.

mod backward;
mod forward;

pub(crate) use backward::{FillSlope, GATE_SUMS, GateSlope, OutputSlope, RawSlope, SlopeSums};
pub(crate) use forward::{Activate, Apply, Fill, Gate, HardSigmoid, Moments, Unblock};

use crate::simd::{LANES, Simd};

/// A vector of a slice.
///
/// # Safety
/// The slice must hold a vector at `index` vectors from its start.
#[inline(always)]
unsafe fn at<S: Simd>(s: S, slice: &[f32], index: usize) -> S::V {
    debug_assert!((index + 1) * LANES <= slice.len());
    // SAFETY: the caller vouches for the place.
    unsafe { s.load(slice.as_ptr().add(index * LANES)) }
}

/// Puts a vector into a slice.
///
/// # Safety
/// The slice must hold a vector at `index` vectors from its start.
#[inline(always)]
unsafe fn put<S: Simd>(s: S, slice: &mut [f32], index: usize, v: S::V) {
    debug_assert!((index + 1) * LANES <= slice.len());
    // SAFETY: the caller vouches for the place.
    unsafe { s.store(slice.as_mut_ptr().add(index * LANES), v) };
}

/// The one vector of a slice of 16.
#[inline(always)]
fn lanes<S: Simd>(s: S, slice: &[f32]) -> S::V {
    assert!(slice.len() >= LANES, "a value for each channel of a block");
    // SAFETY: just checked.
    unsafe { at(s, slice, 0) }
}
