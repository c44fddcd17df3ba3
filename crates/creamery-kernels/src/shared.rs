//! One buffer, many tasks, each at its own place.

use std::marker::PhantomData;
use std::ops::Range;

/// A slice that several tasks write at once, each its own part.
///
/// The borrow checker cannot see that the tasks' parts are disjoint, so the parts are taken by unsafe
/// methods, whose callers say why they are.
#[derive(Clone, Copy)]
pub(crate) struct Shared<'a> {
    at: *mut f32,
    len: usize,
    slice: PhantomData<&'a mut [f32]>,
}

// SAFETY: all access goes through unsafe methods, whose callers keep the tasks apart.
unsafe impl Send for Shared<'_> {}
// SAFETY: as above.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    /// `slice`, open to all tasks while they last.
    pub(crate) fn new(slice: &'a mut [f32]) -> Self {
        Self {
            at: slice.as_mut_ptr(),
            len: slice.len(),
            slice: PhantomData,
        }
    }

    /// The capacity of `values`, which is empty, as places that tasks fill.
    ///
    /// # Safety
    /// Until a place has been written through [`Shared::pointer`], no task may read it or make a slice of it.
    pub(crate) unsafe fn unwritten(values: &'a mut Vec<f32>) -> Self {
        Self {
            at: values.as_mut_ptr(),
            len: values.capacity(),
            slice: PhantomData,
        }
    }

    /// Part of the slice, to read.
    ///
    /// # Safety
    /// No other task may write the part while the result is alive.
    pub(crate) unsafe fn read(self, part: Range<usize>) -> &'a [f32] {
        assert!(
            part.start <= part.end && part.end <= self.len,
            "a part lies in its buffer"
        );
        // SAFETY: the part lies in the slice, and the caller keeps writers away.
        unsafe { std::slice::from_raw_parts(self.at.add(part.start), part.len()) }
    }

    /// Part of the slice, to write.
    ///
    /// # Safety
    /// No other task may read or write the part while the result is alive.
    pub(crate) unsafe fn write(&self, part: Range<usize>) -> &'a mut [f32] {
        assert!(
            part.start <= part.end && part.end <= self.len,
            "a part lies in its buffer"
        );
        // SAFETY: the part lies in the slice, and the caller keeps other tasks away.
        unsafe { std::slice::from_raw_parts_mut(self.at.add(part.start), part.len()) }
    }

    /// All places from `index` on, for kernels that read interleaved ones.
    pub(crate) fn view(self, index: usize) -> View<'a> {
        View {
            at: self.pointer(index),
            len: self.len - index,
            slice: PhantomData,
        }
    }

    /// The address of the float at `index`, for kernels that write interleaved places.
    pub(crate) fn pointer(self, index: usize) -> *mut f32 {
        assert!(index <= self.len, "a place lies in its buffer");
        // SAFETY: the place lies in the slice or one past its end.
        unsafe { self.at.add(index) }
    }
}

/// Places to read, among which there may be others that some task writes meanwhile.
#[derive(Clone, Copy)]
pub(crate) struct View<'a> {
    at: *const f32,
    len: usize,
    slice: PhantomData<&'a [f32]>,
}

impl View<'_> {
    /// The address of the first place.
    pub(crate) fn pointer(self) -> *const f32 {
        self.at
    }

    /// How many places there are.
    pub(crate) fn len(self) -> usize {
        self.len
    }
}

impl<'a> From<&'a [f32]> for View<'a> {
    fn from(slice: &'a [f32]) -> Self {
        Self {
            at: slice.as_ptr(),
            len: slice.len(),
            slice: PhantomData,
        }
    }
}
