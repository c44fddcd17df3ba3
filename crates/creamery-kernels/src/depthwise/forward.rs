//! The convolution itself.

use super::Window;
use super::row::{MOST_ROWS, Pair, row};
use crate::isa::Kernel;
use crate::simd::{LANES, Simd};

/// Convolves a block of channels of some images.
pub(crate) struct Forward<'a> {
    pub(crate) window: &'a Window,
    /// Images in a row, padded: `[images][height][padded_width][16]`.
    pub(crate) input: &'a [f32],
    /// `[kernel][kernel][16]`.
    pub(crate) taps: &'a [f32],
    /// `[images][out_height][out_width][16]`.
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
        let out_len = w.out_height * w.out_width * LANES;
        let images = self.out.len() / out_len;
        assert!(
            w.taps() == T && w.stride == STRIDE,
            "the kernel fits its window"
        );
        assert!(
            self.input.len() >= images * w.padded_len(),
            "the input holds the images"
        );
        assert!(
            self.taps.len() >= w.kernel * w.kernel * LANES,
            "the taps are whole"
        );
        for image in 0..images {
            for out_row in 0..w.out_height {
                let (kernel_rows, first) = w.kernel_rows(out_row);
                let mut rows = [Pair {
                    input: self.input.as_ptr(),
                    taps: self.taps.as_ptr(),
                }; MOST_ROWS];
                let count = kernel_rows.len();
                for (i, row) in rows[..count].iter_mut().enumerate() {
                    let input = (image * w.height + first + i) * pitch;
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
                        .add(image * out_len + out_row * w.out_width * LANES);
                    row::<S, T, STRIDE>(s, &rows[..count], out, LANES, w.out_width);
                }
            }
        }
    }
}
