//! Gradients of weights that several chunks of images add to.

use crate::pool::Buffer;
use crate::shared::Shared;
use std::ops::Range;

/// A gradient, and room for the chunks' parts of it where there are several.
pub(crate) struct Partial<'a> {
    total: &'a mut [f32],
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

impl<'a> Partial<'a> {
    /// Room for `chunks` parts of `total`, which must be zero, as the parts are.
    pub(crate) fn new(total: &'a mut [f32], chunks: usize) -> Self {
        let parts = (chunks > 1).then(|| Buffer::zeros(chunks * total.len()));
        Self {
            total,
            parts,
            chunks,
        }
    }

    /// A view that tasks write, each its own part and place.
    pub(crate) fn shared(&mut self) -> SharedPartial<'_> {
        SharedPartial {
            len: self.total.len(),
            total: Shared::new(self.total),
            parts: self.parts.as_mut().map(|parts| Shared::new(parts)),
            chunks: self.chunks,
        }
    }
}

impl SharedPartial<'_> {
    /// The address of a place of a chunk's part; the only chunk's is the total itself.
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
        // SAFETY: the places are the caller's.
        let total = unsafe { self.total.write(places.clone()) };
        for chunk in 0..self.chunks {
            // SAFETY: nobody writes the parts any more.
            let part = unsafe {
                parts.read(chunk * self.len + places.start..chunk * self.len + places.end)
            };
            for (total, part) in total.iter_mut().zip(part) {
                *total += part;
            }
        }
    }
}
