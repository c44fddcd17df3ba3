//! Gradients of weights that several chunks of images add to.

use crate::pool::Buffer;
use crate::shared::Shared;
use std::ops::Range;

/// A gradient that is being computed, and room for the chunks' parts of it where there are several.
pub(crate) struct Partial {
    total: Vec<f32>,
    len: usize,
    parts: Option<Buffer>,
    chunks: usize,
}

/// A [`Partial`] that tasks write, each its own part and place.
#[derive(Clone, Copy)]
pub(crate) struct SharedPartial<'a> {
    total: Shared<'a>,
    parts: Option<Shared<'a>>,
    len: usize,
    chunks: usize,
}

impl Partial {
    /// Room for a gradient of `len` values in `chunks` parts, none of it written yet.
    pub(crate) fn new(len: usize, chunks: usize) -> Self {
        let parts = (chunks > 1).then(|| Buffer::stale(chunks * len));
        Self {
            total: Vec::with_capacity(len),
            len,
            parts,
            chunks,
        }
    }

    /// A view that tasks write, each its own part and place.
    pub(crate) fn shared(&mut self) -> SharedPartial<'_> {
        SharedPartial {
            len: self.len,
            // SAFETY: tasks write through `pointer`, and `join` what it then makes slices of.
            total: unsafe { Shared::unwritten(&mut self.total) },
            parts: self.parts.as_mut().map(|parts| Shared::new(parts)),
            chunks: self.chunks,
        }
    }

    /// The gradient.
    ///
    /// # Safety
    /// Every place must have been written, if there is one chunk, or joined.
    pub(crate) unsafe fn finish(mut self) -> Vec<f32> {
        // SAFETY: the caller vouches that all places are written.
        unsafe { self.total.set_len(self.len) };
        self.total
    }
}

impl SharedPartial<'_> {
    /// The address of a place of a chunk's part; the only chunk's is the gradient itself.
    pub(crate) fn pointer(&self, chunk: usize, index: usize) -> *mut f32 {
        match self.parts {
            Some(parts) => parts.pointer(chunk * self.len + index),
            None => self.total.pointer(index),
        }
    }

    /// Sums the chunks' parts of some places, in the order of the chunks.
    ///
    /// # Safety
    /// The parts must be written, and no other task may use the places.
    pub(crate) unsafe fn join(&self, places: Range<usize>) {
        let Some(parts) = self.parts else { return };
        let part = |chunk: usize| {
            let first = chunk * self.len;
            // SAFETY: nobody writes the parts any more.
            unsafe { parts.read(first + places.start..first + places.end) }
        };
        // SAFETY: the places are the caller's, and as many as the part's.
        let total = unsafe {
            let first = part(0);
            let to = self.total.pointer(places.start);
            std::ptr::copy_nonoverlapping(first.as_ptr(), to, first.len());
            self.total.write(places.clone())
        };
        for chunk in 1..self.chunks {
            for (total, part) in total.iter_mut().zip(part(chunk)) {
                *total += part;
            }
        }
    }
}
