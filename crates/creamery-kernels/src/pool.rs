//! Buffers that are used again.
//!
//! A training step needs the same sizes as the step before it. A [`Buffer`] goes back to a free list of
//! the process when it is dropped, so that after the first steps few are allocated, and hardly a page of
//! memory is touched for the first time, which costs more than the arithmetic on it.
//!
//! Paths of a supernet differ in their sizes. What is idle is let go before buffers in use and idle ones
//! together outgrow what was once in use at the same time by more than a quarter.

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

/// Idle memory, and how much there is of it and of memory in use, in floats.
struct Free {
    /// By size class.
    idle: BTreeMap<usize, Vec<Idle>>,
    idle_size: usize,
    used_size: usize,
    /// The largest that `used_size` has been.
    most_used: usize,
}

static FREE: Mutex<Free> = Mutex::new(Free {
    idle: BTreeMap::new(),
    idle_size: 0,
    used_size: 0,
    most_used: 0,
});

impl Free {
    /// Memory for a buffer of `class`, if some is idle: of that class or one of the next, at most half as large again.
    fn take(&mut self, class: usize) -> Option<(NonNull<f32>, usize)> {
        let fits = self.idle.range(class..=class + class / 2);
        let found = *fits.map(|(found, _)| found).next()?;
        let buffers = self.idle.get_mut(&found)?;
        let idle = buffers.pop()?;
        if buffers.is_empty() {
            self.idle.remove(&found);
        }
        self.idle_size -= found;
        self.note_use(found);
        Some((idle.0, found))
    }

    fn note_use(&mut self, class: usize) {
        self.used_size += class;
        self.most_used = self.most_used.max(self.used_size);
    }

    /// Takes the largest idle buffers out, as many as there are too many.
    fn surplus(&mut self) -> Vec<(Idle, usize)> {
        let mut surplus = Vec::new();
        while self.used_size + self.idle_size > self.most_used + self.most_used / 4 {
            let Some(mut largest) = self.idle.last_entry() else {
                break;
            };
            let class = *largest.key();
            surplus.extend(largest.get_mut().pop().map(|idle| (idle, class)));
            if largest.get().is_empty() {
                largest.remove();
            }
            self.idle_size -= class;
        }
        surplus
    }
}

fn free() -> MutexGuard<'static, Free> {
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

/// Gives memory of a size class back to the system.
fn release((idle, class): (Idle, usize)) {
    // SAFETY: the memory came from the allocator with this class's layout and nobody uses it.
    unsafe { dealloc(idle.0.as_ptr().cast(), layout(class)) };
}

/// Floats from the pool, aligned to 64 bytes; a slice to whoever has it.
pub(crate) struct Buffer {
    at: NonNull<f32>,
    len: usize,
    /// The size class of the memory.
    class: usize,
}

// SAFETY: a buffer owns its memory as a `Vec` does.
unsafe impl Send for Buffer {}
// SAFETY: shared access is through `&[f32]` only.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// `len` floats of whatever values were there before.
    pub(crate) fn stale(len: usize) -> Self {
        let class = class(len);
        let idle = free().take(class);
        let (at, class) = idle.unwrap_or_else(|| {
            let surplus = {
                let mut free = free();
                free.note_use(class);
                free.surplus()
            };
            surplus.into_iter().for_each(release);
            (allocate(class), class)
        });
        Self { at, len, class }
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
        let mut free = free();
        free.used_size -= self.class;
        free.idle_size += self.class;
        let idle = Idle(self.at);
        free.idle.entry(self.class).or_default().push(idle);
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
    let idle = {
        let mut free = free();
        free.idle_size = 0;
        free.most_used = free.used_size;
        std::mem::take(&mut free.idle)
    };
    let mut bytes = 0;
    for (class, buffers) in idle {
        for buffer in buffers {
            bytes += layout(class).size();
            release((buffer, class));
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

    /// What is idle never makes more than a quarter over what was once in use, the largest go first, and a
    /// buffer is found that is a little too large.
    #[test]
    fn idle_memory_is_bounded() {
        let mut free = Free {
            idle: BTreeMap::new(),
            idle_size: 0,
            used_size: 0,
            most_used: 0,
        };
        for class in [64, 128, 1024] {
            free.note_use(class);
            free.used_size -= class;
            free.idle_size += class;
            let idle = Idle(NonNull::dangling());
            free.idle.entry(class).or_default().push(idle);
        }
        free.note_use(512);
        let surplus: Vec<usize> = free.surplus().into_iter().map(|(_, class)| class).collect();
        assert_eq!(surplus, [1024]);
        assert_eq!((free.idle_size, free.most_used), (192, 1024));
        assert!(free.take(96).is_some_and(|(_, class)| class == 128));
        assert!(free.take(32).is_none(), "64 is more than half too large");
        assert_eq!((free.idle_size, free.used_size), (64, 640));
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
