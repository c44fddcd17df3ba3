//! The gradient of the taps.
//!
//! Tap `(y, x)` is the sum over the output of its gradient times the input that meets it there. The sums
//! of several rows of taps stay in registers while images go by.

use super::Window;
use crate::isa::Kernel;
use crate::simd::{LANES, Simd};
use std::ops::Range;

/// Adds up the gradient of a block of channels over some images.
pub(crate) struct WeightGrad<'a> {
    pub(crate) window: &'a Window,
    /// Output rows to add up.
    pub(crate) rows: Range<usize>,
    /// Rows of the images that the input holds.
    pub(crate) held: Range<usize>,
    /// Images in a row, padded: `[images][held][padded_width][16]`.
    pub(crate) input: &'a [f32],
    /// A row of zeros, `[padded_width][16]`.
    pub(crate) zeros: &'a [f32],
    /// The gradient of the output: rows of `slope_width` vectors, of which `out_width` count from
    /// `slope_left` on; `[images][out_height][slope_width][16]`.
    pub(crate) slope: &'a [f32],
    pub(crate) slope_held: Range<usize>,
    pub(crate) slope_left: usize,
    pub(crate) slope_width: usize,
    /// `[kernel][kernel][16]`; taps that never meet the image are left as they are.
    pub(crate) grads: &'a mut [f32],
    pub(crate) images: usize,
}

impl Kernel for WeightGrad<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        match (self.window.taps(), self.window.stride) {
            (1, 1) => self.row_groups::<S, 1, 1>(s),
            (3, 1) => self.row_groups::<S, 3, 1>(s),
            (5, 1) => self.row_groups::<S, 5, 1>(s),
            (7, 1) => self.row_groups::<S, 7, 1>(s),
            (1, _) => self.row_groups::<S, 1, 2>(s),
            (3, _) => self.row_groups::<S, 3, 2>(s),
            (5, _) => self.row_groups::<S, 5, 2>(s),
            _ => self.row_groups::<S, 7, 2>(s),
        }
    }
}

impl WeightGrad<'_> {
    /// Cuts the rows of the kernel into groups whose taps fit into registers.
    #[inline(always)]
    fn row_groups<S: Simd, const T: usize, const STRIDE: usize>(mut self, s: S) {
        let w = self.window;
        assert!(
            w.taps() == T && w.stride == STRIDE,
            "the kernel fits its window"
        );
        assert!(
            self.input.len() >= self.images * self.held.len() * w.padded_width() * LANES,
            "the input holds the images"
        );
        assert!(
            self.zeros.len() >= w.padded_width() * LANES,
            "the row of zeros is whole"
        );
        assert!(
            self.slope_left + w.out_width <= self.slope_width,
            "a row of the slope is whole"
        );
        assert!(
            self.slope.len() >= self.images * self.slope_held.len() * self.slope_width * LANES,
            "the slope holds the images"
        );
        assert!(
            self.grads.len() >= w.kernel * w.kernel * LANES,
            "the gradients are whole"
        );
        let held = self.slope_held.start <= self.rows.start && self.rows.end <= self.slope_held.end;
        assert!(held, "the slope holds the rows");
        let end = w.kernel - w.crop_rows;
        let mut first = w.crop_rows;
        while first < end {
            let left = end - first;
            if S::WIDE && T <= 5 && left >= 5 {
                self.rows::<S, T, STRIDE, 5>(s, first);
                first += 5;
            } else if S::WIDE && T == 7 && left >= 4 {
                self.rows::<S, T, STRIDE, 4>(s, first);
                first += 4;
            } else if S::WIDE && left >= 3 {
                self.rows::<S, T, STRIDE, 3>(s, first);
                first += 3;
            } else {
                self.rows::<S, T, STRIDE, 1>(s, first);
                first += 1;
            }
        }
    }

    /// `R` rows of the kernel from `first` on.
    #[inline(always)]
    fn rows<S: Simd, const T: usize, const STRIDE: usize, const R: usize>(
        &mut self,
        s: S,
        first: usize,
    ) {
        let w = self.window;
        let pitch = w.padded_width() * LANES;
        let taps = |r: usize, t: usize| ((first + r) * w.kernel + w.crop_columns + t) * LANES;
        let mut acc = [[s.splat(0.0); T]; R];
        for (r, acc) in acc.iter_mut().enumerate() {
            for (t, acc) in acc.iter_mut().enumerate() {
                // SAFETY: a tap of the kernel.
                *acc = unsafe { s.load(self.grads.as_ptr().add(taps(r, t))) };
            }
        }
        for image in 0..self.images {
            for out_row in self.rows.clone() {
                let mut inputs = [self.zeros.as_ptr(); R];
                let mut any = false;
                for (r, input) in inputs.iter_mut().enumerate() {
                    let row = (out_row * STRIDE + first + r).wrapping_sub(w.pad());
                    if row < w.height {
                        assert!(
                            self.held.contains(&row),
                            "the input holds what the rows meet"
                        );
                        // SAFETY: a row of the input, whose length was checked.
                        *input = unsafe {
                            self.input
                                .as_ptr()
                                .add((image * self.held.len() + row - self.held.start) * pitch)
                        };
                        any = true;
                    }
                }
                if !any {
                    continue;
                }
                let slope = ((image * self.slope_held.len() + out_row - self.slope_held.start)
                    * self.slope_width
                    + self.slope_left)
                    * LANES;
                // SAFETY: a row of the slope, whose length was checked, and padded rows of input, which
                // hold what `out_width` outputs meet.
                unsafe {
                    let slope = self.slope.as_ptr().add(slope);
                    for column in 0..w.out_width {
                        let d = s.load(slope.add(column * LANES));
                        for (input, acc) in inputs.iter().zip(&mut acc) {
                            for (t, acc) in acc.iter_mut().enumerate() {
                                let x = s.load(input.add((column * STRIDE + t) * LANES));
                                *acc = s.fma(x, d, *acc);
                            }
                        }
                    }
                }
            }
        }
        for (r, acc) in acc.into_iter().enumerate() {
            for (t, acc) in acc.into_iter().enumerate() {
                // SAFETY: a tap of the kernel.
                unsafe { s.store(self.grads.as_mut_ptr().add(taps(r, t)), acc) };
            }
        }
    }
}
