//! The convolution itself.

use super::Window;
use super::row::{MOST_ROWS, Pair, row};
use crate::isa::Kernel;
use crate::simd::{LANES, Simd};
use std::ops::Range;

/// Convolves a block of channels of some images.
pub(crate) struct Forward<'a> {
    pub(crate) window: &'a Window,
    /// Rows of the images that the input holds.
    pub(crate) held: Range<usize>,
    /// Images in a row, padded: `[images][held][padded_width][16]`.
    pub(crate) input: &'a [f32],
    /// `[kernel][kernel][16]`.
    pub(crate) taps: &'a [f32],
    /// Output rows to compute.
    pub(crate) rows: Range<usize>,
    /// `[images][rows][out_width][16]`.
    pub(crate) out: &'a mut [f32],
}

impl Kernel for Forward<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match (self.window.taps(), self.window.stride) {
            (1, 1) => self.images::<S, 1, 1>(s),
            (3, 1) => self.images::<S, 3, 1>(s),
            (5, 1) => self.images::<S, 5, 1>(s),
            (7, 1) => self.images::<S, 7, 1>(s),
            (1, _) => self.images::<S, 1, 2>(s),
            (3, _) => self.images::<S, 3, 2>(s),
            (5, _) => self.images::<S, 5, 2>(s),
            _ => self.images::<S, 7, 2>(s),
        }
    }
}

impl Forward<'_> {
    #[inline(always)]
    fn images<S: Simd, const T: usize, const STRIDE: usize>(self, s: S) {
        let w = self.window;
        let pitch = w.padded_width() * LANES;
        let out_len = self.rows.len() * w.out_width * LANES;
        let held = &self.held;
        let images = self.out.len() / out_len;
        assert!(
            w.taps() == T && w.stride == STRIDE,
            "the kernel fits its window"
        );
        assert!(
            self.input.len() >= images * held.len() * pitch,
            "the input holds the images"
        );
        assert!(self.rows.end <= w.out_height, "the rows lie in the output");
        if let (Some(first), Some(last)) = (self.rows.clone().next(), self.rows.clone().next_back())
        {
            let (bottom, end) = w.kernel_rows(last);
            let met = w.kernel_rows(first).1..end + bottom.len();
            assert!(
                held.start <= met.start && met.end <= held.end,
                "the input holds what the rows meet"
            );
        }
        assert!(
            self.taps.len() >= w.kernel * w.kernel * LANES,
            "the taps are whole"
        );
        for image in 0..images {
            for out_row in self.rows.clone() {
                let (kernel_rows, first) = w.kernel_rows(out_row);
                let mut rows = [Pair {
                    input: self.input.as_ptr(),
                    taps: self.taps.as_ptr(),
                }; MOST_ROWS];
                let count = kernel_rows.len();
                for (i, row) in rows[..count].iter_mut().enumerate() {
                    let input = (image * held.len() + first + i - held.start) * pitch;
                    let taps = ((kernel_rows.start + i) * w.kernel + w.crop_columns) * LANES;
                    // SAFETY: an input row inside the image and a row of the kernel, both checked above.
                    *row = unsafe {
                        Pair {
                            input: self.input.as_ptr().add(input),
                            taps: self.taps.as_ptr().add(taps),
                        }
                    };
                }
                // SAFETY: a padded row holds what `out_width` outputs meet, by `padded_width`; the output
                // row lies in `out`.
                unsafe {
                    let out = self
                        .out
                        .as_mut_ptr()
                        .add(image * out_len + (out_row - self.rows.start) * w.out_width * LANES);
                    row::<S, T, STRIDE>(s, &rows[..count], out, LANES, w.out_width);
                }
            }
        }
    }
}
