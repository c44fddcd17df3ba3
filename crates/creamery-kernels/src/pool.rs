//! Buffers that are used again.
//!
//! A training step needs the same sizes as the step before it. A [`Buffer`] goes back to a free list of
//! the process when it is dropped, so that after the first steps none is allocated, and no page of
//! memory is touched for the first time, which costs more than the arithmetic on it.

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::collections::BTreeMap;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Bytes to which a buffer is aligned: a cache line, which is also the widest vector.
const ALIGNMENT: usize = 64;

/// Bytes of a huge page, which large buffers ask for: a feature map is read and written from end to end, and
/// with pages of 4 KiB the processor stops at each for its address.
const HUGE_PAGE: usize = 1 << 21;

/// The smallest buffer, in floats.
const SMALLEST: usize = 64;

/// Memory of one size class that nobody uses, all of it written at least once.
struct Idle(NonNull<f32>);

// SAFETY: idle memory belongs to the free list alone, on whichever thread.
unsafe impl Send for Idle {}

/// Idle memory by size class.
static FREE: Mutex<BTreeMap<usize, Vec<Idle>>> = Mutex::new(BTreeMap::new());

fn free() -> MutexGuard<'static, BTreeMap<usize, Vec<Idle>>> {
    // A panic elsewhere leaves the list as it was: no step of an update can panic half way.
    FREE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `len` rounded up to a size class: four classes for each power of two, at most a quarter wasted.
fn class(len: usize) -> usize {
    if len <= SMALLEST {
        return SMALLEST;
    }
    let step = (len.next_power_of_two() / 8).max(16);
    len.div_ceil(step) * step
}

fn layout(class: usize) -> Layout {
    let bytes = class
        .checked_mul(size_of::<f32>())
        .expect("a buffer's shape was checked to be addressable");
    let alignment = if bytes >= 2 * HUGE_PAGE {
        HUGE_PAGE
    } else {
        ALIGNMENT
    };
    Layout::from_size_align(bytes, alignment)
        .expect("a buffer's shape was checked to be addressable")
}

/// Fresh memory of a size class, all zeros.
fn allocate(class: usize) -> NonNull<f32> {
    let layout = layout(class);
    // SAFETY: a class is at least `SMALLEST` floats, so the size is not zero.
    let memory = unsafe { alloc(layout) };
    let Some(memory) = NonNull::new(memory) else {
        handle_alloc_error(layout)
    };
    #[cfg(target_os = "linux")]
    if layout.align() == HUGE_PAGE {
        // SAFETY: the pages are ours; it is an advice, and where it is not taken nothing is lost.
        unsafe { libc::madvise(memory.as_ptr().cast(), layout.size(), libc::MADV_HUGEPAGE) };
    }
    // SAFETY: the memory is ours and of this size.
    unsafe { memory.write_bytes(0, layout.size()) };
    memory.cast()
}

/// Floats from the pool, aligned to 64 bytes; a slice to whoever has it.
pub(crate) struct Buffer {
    at: NonNull<f32>,
    len: usize,
}

// SAFETY: a buffer owns its memory as a `Vec` does.
unsafe impl Send for Buffer {}
// SAFETY: shared access is through `&[f32]` only.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// `len` floats of whatever values were there before.
    pub(crate) fn stale(len: usize) -> Self {
        let class = class(len);
        let idle = free().get_mut(&class).and_then(Vec::pop);
        let at = match idle {
            Some(idle) => idle.0,
            None => allocate(class),
        };
        Self { at, len }
    }

    /// `len` zeros.
    pub(crate) fn zeros(len: usize) -> Self {
        let mut buffer = Self::stale(len);
        buffer.fill(0.0);
        buffer
    }

    /// `values`, then zeros up to `len`.
    pub(crate) fn padded(values: &[f32], len: usize) -> Self {
        let mut buffer = Self::stale(len);
        buffer[..values.len()].copy_from_slice(values);
        buffer[values.len()..].fill(0.0);
        buffer
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        free()
            .entry(class(self.len))
            .or_default()
            .push(Idle(self.at));
    }
}

impl Deref for Buffer {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        // SAFETY: the memory holds at least `len` floats, zero from the start, and is ours.
        unsafe { std::slice::from_raw_parts(self.at.as_ptr(), self.len) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [f32] {
        // SAFETY: the memory holds at least `len` floats, zero from the start, and is ours alone.
        unsafe { std::slice::from_raw_parts_mut(self.at.as_ptr(), self.len) }
    }
}

impl std::fmt::Debug for Buffer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Buffer").field("len", &self.len).finish()
    }
}

/// Gives the memory of all idle buffers back to the system and says how many bytes that was.
///
/// Worth a call between phases of different sizes, such as a search and the retraining after it.
///
/// ```
/// creamery_kernels::release_idle_buffers();
/// assert_eq!(creamery_kernels::release_idle_buffers(), 0);
/// ```
pub fn release_idle_buffers() -> usize {
    let idle = std::mem::take(&mut *free());
    let mut bytes = 0;
    for (class, buffers) in idle {
        let layout = layout(class);
        for buffer in buffers {
            bytes += layout.size();
            // SAFETY: the memory came from the allocator with this class's layout and nobody uses it.
            unsafe { dealloc(buffer.0.as_ptr().cast(), layout) };
        }
    }
    bytes
}

/// Tells the C library's allocator to keep freed memory for the process instead of giving it back.
///
/// For the start of a program that trains. Activations and gradients live for one step each; without this,
/// glibc returns the larger ones to the system and takes them anew in every step, and touching fresh pages
/// costs more than computing what is put there. Nothing happens where the C library is another.
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: both parameters exist, and mallopt may be called at any time.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TRIM_THRESHOLD, i32::MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_waste_at_most_a_quarter_and_are_their_own_class() {
        for len in (65..5000).chain([1 << 20, (1 << 20) + 1, 123_456_789]) {
            let size = class(len);
            assert!(size >= len && size <= len + len / 4 + 16, "{len} -> {size}");
            assert_eq!(class(size), size);
        }
    }

    #[test]
    fn buffers_are_aligned_zeroed_on_request_and_padded() {
        let mut buffer = Buffer::stale(1000);
        buffer.fill(3.0);
        assert_eq!(buffer.as_ptr() as usize % ALIGNMENT, 0);
        drop(buffer);
        assert!(Buffer::zeros(1000).iter().all(|v| *v == 0.0));
        assert_eq!(Buffer::padded(&[1.0, 2.0], 4)[..], [1.0, 2.0, 0.0, 0.0]);
    }
}
