//! The gradient of the input.
//!
//! Input `i` meets output `o` at tap `t = i + pad - o * stride`. With stride 2, the inputs of one residue
//! (even or odd) meet only the taps of one residue: each is a correlation of stride 1 of the output's
//! gradient with half of the taps, in reverse. With stride 1 there is one residue and all taps.

use super::Window;
use super::row::{MOST_ROWS, Pair, row};
use crate::isa::Kernel;
use crate::simd::{LANES, Simd};
use std::ops::Range;

/// Columns of one residue.
#[derive(Clone, Debug)]
struct Residue {
    /// Columns `first`, `first + stride`, ... of the input, `count` of them.
    first: usize,
    count: usize,
    /// The taps they meet, in the order of the output's columns.
    taps: Vec<usize>,
    /// The padded column of the output's gradient that the first tap meets for the first column.
    start: usize,
}

/// How the gradient of the output is padded and which taps the columns meet.
#[derive(Clone, Debug)]
pub(crate) struct InputPlan {
    residues: Vec<Residue>,
    /// Columns of zeros before a row of the output's gradient.
    pub(crate) left: usize,
    /// Columns of the padded gradient of the output.
    pub(crate) padded_width: usize,
}

impl InputPlan {
    /// The plan for a window.
    pub(crate) fn new(window: &Window) -> Self {
        let (stride, pad) = (window.stride, window.pad());
        let mut residues = Vec::new();
        let mut starts = Vec::new();
        for first in (0..stride).filter(|first| *first < window.width) {
            let count = (window.width - first).div_ceil(stride);
            let residue = (first + pad) % stride;
            // Column j of the residue meets output column j + base - q at tap stride * q + residue.
            let base = ((first + pad - residue) / stride) as isize;
            let meets =
                |q: isize| q <= count as isize - 1 + base && q > base - window.out_width as isize;
            let numbers: Vec<isize> = (0..)
                .take_while(|q| stride * *q as usize + residue < window.kernel)
                .filter(|q| meets(*q))
                .collect();
            let taps = numbers
                .iter()
                .rev()
                .map(|q| stride * *q as usize + residue)
                .collect();
            starts.push(numbers.last().map_or(0, |last| base - last));
            residues.push(Residue {
                first,
                count,
                taps,
                start: 0,
            });
        }
        let left = starts
            .iter()
            .map(|start| (-start).max(0))
            .max()
            .unwrap_or(0);
        let mut padded_width = left as usize + window.out_width;
        for (residue, start) in residues.iter_mut().zip(starts) {
            residue.start = (left + start) as usize;
            padded_width = padded_width.max(residue.start + residue.count - 1 + residue.taps.len());
        }
        Self {
            residues,
            left: left as usize,
            padded_width,
        }
    }

    /// Floats of the taps that [`InputPlan::arrange`] writes.
    pub(crate) fn taps_len(&self, window: &Window) -> usize {
        self.residues
            .iter()
            .map(|residue| residue.taps.len())
            .sum::<usize>()
            * window.kernel
            * LANES
    }

    /// Puts the taps `[kernel][kernel][16]` of a block in the order that the columns of each residue meet them.
    pub(crate) fn arrange(&self, window: &Window, taps: &[f32], to: &mut [f32]) {
        let mut rows = to.chunks_exact_mut(LANES);
        for residue in &self.residues {
            for kernel_row in 0..window.kernel {
                for (tap, to) in residue.taps.iter().zip(rows.by_ref()) {
                    to.copy_from_slice(
                        &taps[(kernel_row * window.kernel + tap) * LANES..][..LANES],
                    );
                }
            }
        }
    }
}

/// Computes the gradient of a block of channels of some images.
pub(crate) struct InputGrad<'a> {
    pub(crate) window: &'a Window,
    pub(crate) plan: &'a InputPlan,
    /// Rows of the output that the gradient holds.
    pub(crate) held: Range<usize>,
    /// The gradient of the output, padded: `[images][held][padded_width][16]`.
    pub(crate) slope: &'a [f32],
    /// The taps as [`InputPlan::arrange`] left them.
    pub(crate) taps: &'a [f32],
    /// Input rows to compute.
    pub(crate) rows: Range<usize>,
    /// `[images][rows][width][16]`.
    pub(crate) out: &'a mut [f32],
}

impl Kernel for InputGrad<'_> {
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let w = self.window;
        if self.rows.is_empty() {
            return;
        }
        let images = self.out.len() / (self.rows.len() * w.width * LANES);
        assert!(
            self.slope.len() >= images * self.held.len() * self.plan.padded_width * LANES,
            "the slope holds the images"
        );
        assert!(
            self.taps.len() >= self.plan.taps_len(w),
            "the taps are whole"
        );
        let mut taps = 0;
        for residue in &self.plan.residues {
            match residue.taps.len() {
                0 => self.images::<S, 0>(s, residue, taps, images),
                1 => self.images::<S, 1>(s, residue, taps, images),
                2 => self.images::<S, 2>(s, residue, taps, images),
                3 => self.images::<S, 3>(s, residue, taps, images),
                4 => self.images::<S, 4>(s, residue, taps, images),
                5 => self.images::<S, 5>(s, residue, taps, images),
                7 => self.images::<S, 7>(s, residue, taps, images),
                count => unreachable!("kernels of 1 to 7 taps have no residue of {count}"),
            }
            taps += residue.taps.len() * w.kernel * LANES;
        }
    }
}

impl InputGrad<'_> {
    #[inline(always)]
    fn images<S: Simd, const T: usize>(
        &mut self,
        s: S,
        residue: &Residue,
        taps: usize,
        images: usize,
    ) {
        let w = self.window;
        let pitch = self.plan.padded_width * LANES;
        for image in 0..images {
            for in_row in self.rows.clone() {
                let mut rows = [Pair {
                    input: self.slope.as_ptr(),
                    taps: self.taps.as_ptr(),
                }; MOST_ROWS];
                let mut count = 0;
                let first = (in_row + w.pad()) % w.stride;
                for kernel_row in (first..w.kernel.min(in_row + w.pad() + 1)).step_by(w.stride) {
                    let out_row = (in_row + w.pad() - kernel_row) / w.stride;
                    if out_row >= w.out_height {
                        continue;
                    }
                    assert!(
                        self.held.contains(&out_row),
                        "the slope holds what the rows meet"
                    );
                    let slope = (image * self.held.len() + out_row - self.held.start) * pitch
                        + residue.start * LANES;
                    let taps = taps + kernel_row * T * LANES;
                    // SAFETY: a row of the output's gradient and of the taps, both checked in `run`.
                    rows[count] = unsafe {
                        Pair {
                            input: self.slope.as_ptr().add(slope),
                            taps: self.taps.as_ptr().add(taps),
                        }
                    };
                    count += 1;
                }
                let out = ((image * self.rows.len() + in_row - self.rows.start) * w.width
                    + residue.first)
                    * LANES;
                // SAFETY: a padded row holds what the residue's columns meet, by the plan; the columns
                // lie in the input's row.
                unsafe {
                    let out = self.out.as_mut_ptr().add(out);
                    row::<S, T, 1>(s, &rows[..count], out, w.stride * LANES, residue.count);
                }
            }
        }
    }
}
