//! Large images go through the depthwise kernels in bands of rows, so that their scratch stays in cache.

use super::Window;
use crate::pool::Buffer;
use std::ops::Range;

/// Floats of scratch up to which an image is one band.
const BAND: usize = 1 << 15;

/// A band of output rows, and what its steps need and give.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Band {
    /// Output rows.
    pub(crate) out: Range<usize>,
    /// Input rows that they meet.
    pub(crate) input: Held,
    /// Rows of the output's gradient that the input rows of `grad` meet.
    pub(crate) slope: Held,
    /// Input rows whose gradient is complete with this band.
    pub(crate) grad: Range<usize>,
}

/// Rows of an image that scratch holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Held {
    /// All of them.
    pub(crate) rows: Range<usize>,
    /// The first that the band before did not hold.
    pub(crate) fresh: usize,
}

impl Held {
    /// The rows to be filled.
    pub(crate) fn fresh(&self) -> Range<usize> {
        self.fresh..self.rows.end
    }
}

impl Window {
    /// The bands of an image, from the top.
    pub(crate) fn bands(&self) -> Vec<Band> {
        let (kernel, stride, pad) = (self.kernel, self.stride, self.pad());
        let height = (BAND / (self.padded_len() / self.height)).saturating_sub(kernel) / stride + 1;
        let height = if self.padded_len() <= BAND {
            self.out_height
        } else {
            height
        };
        let mut bands: Vec<Band> = Vec::new();
        for first in (0..self.out_height).step_by(height) {
            let end = self.out_height.min(first + height);
            let last = end == self.out_height;
            let (input_before, grad_before) = bands
                .last()
                .map_or((0, 0), |band| (band.input.rows.end, band.grad.end));
            let grad_end = if last {
                self.height
            } else {
                (end * stride).saturating_sub(pad)
            };
            let met = (end - 1) * stride + kernel - pad;
            let input_end = if last {
                self.height
            } else {
                met.max(grad_end).min(self.height)
            };
            let input = (first * stride).saturating_sub(pad).min(grad_before)..input_end;
            let slope = (grad_before + pad + 1)
                .saturating_sub(kernel)
                .div_ceil(stride)
                .min(first)..end;
            bands.push(Band {
                out: first..end,
                input: Held {
                    rows: input,
                    fresh: input_before,
                },
                slope: Held {
                    rows: slope,
                    fresh: first,
                },
                grad: grad_before..grad_end.max(grad_before),
            });
        }
        bands
    }
}

/// Scratch that holds some rows of an image, or all rows of several.
pub(crate) struct Rows {
    buffer: Buffer,
    /// Floats of a row.
    pitch: usize,
    held: Range<usize>,
}

impl Rows {
    /// Zeros for the rows that any of the bands holds, of `images` images.
    pub(crate) fn new<'a>(
        images: usize,
        held: impl Iterator<Item = &'a Held>,
        pitch: usize,
    ) -> Self {
        let most = held.map(|held| held.rows.len()).max().unwrap_or(0);
        Self {
            buffer: Buffer::zeros(images * most * pitch),
            pitch,
            held: 0..0,
        }
    }

    /// Moves on to the next band: rows that were held stay so, and the place of the fresh ones is returned.
    pub(crate) fn advance(&mut self, held: &Held) -> &mut [f32] {
        let kept = held.fresh - held.rows.start;
        if kept > 0 && held.rows.start != self.held.start {
            let from = (held.rows.start - self.held.start) * self.pitch;
            self.buffer.copy_within(from..from + kept * self.pitch, 0);
        }
        self.held = held.rows.clone();
        &mut self.buffer[kept * self.pitch..]
    }

    /// All held rows.
    pub(crate) fn all(&self) -> &[f32] {
        &self.buffer
    }

    /// Some of the held rows.
    pub(crate) fn part(&self, rows: &Range<usize>) -> &[f32] {
        &self.buffer
            [(rows.start - self.held.start) * self.pitch..(rows.end - self.held.start) * self.pitch]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simd::LANES;
    use proptest::prelude::*;

    proptest! {
        /// Whatever a band's steps meet is held, nothing is filled or given twice, and nothing is left out.
        #[test]
        fn bands_hold_what_they_meet(
            (height, width) in (1usize..140, 60usize..400),
            kernel in prop::sample::select(vec![1usize, 3, 5, 7]),
            stride in 1usize..3,
        ) {
            let window = Window::new(height, width, kernel, stride).unwrap();
            let (pad, bands) = (window.pad(), window.bands());
            let (mut out, mut input, mut slope, mut grad) = (0, 0, 0, 0);
            for band in &bands {
                prop_assert_eq!([band.out.start, band.input.fresh, band.slope.fresh, band.grad.start], [out, input, slope, grad]);
                prop_assert!(band.input.rows.start <= band.input.fresh && band.slope.rows.start <= band.slope.fresh);
                (out, input, slope, grad) = (band.out.end, band.input.rows.end, band.slope.rows.end, band.grad.end);
                for o in band.out.clone() {
                    for i in (o * stride).saturating_sub(pad)..height.min(o * stride + kernel - pad) {
                        prop_assert!(band.input.rows.contains(&i));
                    }
                    prop_assert!(band.slope.rows.contains(&o));
                }
                for i in band.grad.clone() {
                    prop_assert!(band.input.rows.contains(&i));
                    for o in (0..window.out_height).filter(|o| (o * stride..o * stride + kernel).contains(&(i + pad))) {
                        prop_assert!(band.slope.rows.contains(&o), "{} {:?}", o, band);
                    }
                }
            }
            prop_assert_eq!([out, slope, input, grad], [window.out_height, window.out_height, height, height]);
            let most = bands.iter().map(|band| band.input.rows.len()).max().unwrap();
            prop_assert!(most <= (BAND / (window.padded_width() * LANES)).max(kernel) + 2);
        }
    }
}
