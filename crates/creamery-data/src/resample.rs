//! Resizing of single planes whose columns are contiguous, as they come out of a JPEG file.
//!
//! Both passes then run over contiguous samples: the horizontal one along columns, the vertical one along rows. That is several
//! times as fast as along rows of one byte a pixel, which `fast_image_resize`, made for rows, has to do. Weights are Pillow's,
//! and so is rounding to 8 bits in between; sums are in single precision.

use std::ops::Range;

use crate::picture::Interpolation;
use crate::sample::rounded;
use crate::wide::{Work, wide};

/// Samples of which `stride` make a column.
#[derive(Clone, Copy)]
pub(crate) struct Columns<'a> {
    pub samples: &'a [u8],
    pub stride: usize,
    /// Columns, and rows, that count.
    pub size: [usize; 2],
}

/// Which samples make each sample of a row or column of another size, and how much.
struct Weights {
    first: Vec<usize>,
    /// As many for each as the most that any has; zeros after those that it has.
    weights: Vec<f32>,
    taps: usize,
    /// Whether the last one comes first.
    backwards: bool,
}

impl Weights {
    /// For `to` samples of `length` out of `from`, beginning at `start`.
    fn new(from: usize, start: f64, length: f64, to: usize, filter: Interpolation) -> Self {
        let scale = length / to as f64;
        let wider = scale.max(1.0);
        let support = filter.radius() * wider;
        let mut found = Self {
            first: Vec::with_capacity(to),
            weights: Vec::new(),
            taps: (2.0 * support).ceil() as usize + 1,
            backwards: false,
        };
        found.taps = found.taps.min(from);
        for i in 0..to {
            let centre = start + (i as f64 + 0.5) * scale;
            // Casts saturate.
            let first = ((centre - support + 0.5) as usize).min(from - 1);
            let end = ((centre + support + 0.5) as usize).clamp(first + 1, from);
            // Moved back where there is no room for all taps, so that all can be read.
            let base = first.min(from - found.taps);
            let weight = |at: usize| {
                if (first..end).contains(&at) {
                    filter.weight((at as f64 - centre + 0.5) / wider)
                } else {
                    0.0
                }
            };
            let weights = (base..base + found.taps).map(weight);
            let sum: f64 = weights.clone().sum();
            found
                .weights
                .extend(weights.map(|weight| (weight / sum) as f32));
            found.first.push(base);
        }
        found
    }

    fn at(&self, i: usize) -> (usize, &[f32]) {
        let i = if self.backwards {
            self.first.len() - 1 - i
        } else {
            i
        };
        let weights = &self.weights[i * self.taps..][..self.taps];
        let before = weights.iter().take_while(|weight| **weight == 0.0).count();
        let after = weights
            .iter()
            .rev()
            .take_while(|weight| **weight == 0.0)
            .count();
        // Not all are zero, for their sum is 1.
        (
            self.first[i] + before,
            &weights[before..weights.len() - after],
        )
    }

    /// All that any sample is made of.
    fn reach(&self) -> Range<usize> {
        let end = self.first.iter().max().map_or(0, |last| last + self.taps);
        self.first.iter().min().copied().unwrap_or(0)..end
    }
}

/// The part (left, top, width, height) of each of several planes of one size, resized to `size` (width and height): rows of samples
/// in 0 to 255, not rounded but for their bounds, which a cubic exceeds. Mirrored left to right if `flip`.
pub(crate) fn resample(
    planes: &[Columns],
    [left, top, width, height]: [f64; 4],
    size: [usize; 2],
    filter: Interpolation,
    flip: bool,
) -> Vec<Vec<f32>> {
    let Some(&Columns {
        size: [columns, rows],
        ..
    }) = planes.first()
    else {
        return Vec::new();
    };
    let mut across = Weights::new(columns, left, width, size[0], filter);
    across.backwards = flip;
    let down = Weights::new(rows, top, height, size[1], filter);
    wide(Passes {
        planes,
        across,
        down,
    })
}

struct Passes<'a> {
    planes: &'a [Columns<'a>],
    across: Weights,
    down: Weights,
}

impl Work for Passes<'_> {
    type Output = Vec<Vec<f32>>;

    #[inline(always)]
    fn run(self) -> Vec<Vec<f32>> {
        /// Columns that are made before they are laid out as rows.
        const TILE: usize = 8;
        let (width, height) = (self.across.first.len(), self.down.first.len());
        let reach = self.down.reach();
        let rows = reach.len();
        // Rows of the plane at their final width.
        let mut narrowed = vec![0.0; rows * width];
        let mut tile = vec![0.0; TILE * rows];
        let mut resized = Vec::with_capacity(self.planes.len());
        // Not by closures, which would not be compiled for wide registers.
        for plane in self.planes {
            for start in (0..width).step_by(TILE) {
                let end = (start + TILE).min(width);
                for (x, column) in (start..end).zip(tile.chunks_exact_mut(rows)) {
                    let (first, weights) = self.across.at(x);
                    let at =
                        |tap: usize| &plane.samples[(first + tap) * plane.stride..][reach.clone()];
                    weigh(column, weights, at);
                }
                for (y, row) in narrowed.chunks_exact_mut(width).enumerate() {
                    if let Ok(row) = <&mut [f32; TILE]>::try_from(&mut row[start..end]) {
                        for (x, sample) in row.iter_mut().enumerate() {
                            *sample = bounded(tile[x * rows + y]);
                        }
                    } else {
                        for x in start..end {
                            row[x] = bounded(tile[(x - start) * rows + y]);
                        }
                    }
                }
            }
            let mut out = vec![0.0; width * height];
            for (y, row) in out.chunks_exact_mut(width).enumerate() {
                let (first, weights) = self.down.at(y);
                weigh(row, weights, |tap| {
                    &narrowed[(first - reach.start + tap) * width..][..width]
                });
            }
            resized.push(out);
        }
        resized
    }
}

/// What 8 bits hold of a value, as Pillow keeps it between the passes.
#[inline(always)]
fn bounded(value: f32) -> f32 {
    rounded(value.clamp(0.0, 255.0)) as f32
}

/// The sum of rows of samples times their weights, several rows at a time.
#[inline(always)]
fn weigh<'a, T: Copy + Into<f32> + 'a>(
    out: &mut [f32],
    weights: &[f32],
    row: impl Fn(usize) -> &'a [T],
) {
    /// All that bilinear resizing to a third needs.
    const TOGETHER: usize = 6;
    for start in (0..weights.len()).step_by(TOGETHER) {
        let row = |i| row(start + i);
        match weights[start..weights.len().min(start + TOGETHER)] {
            [a, b, c, d, e, f] => add(out, start, [a, b, c, d, e, f], row),
            [a, b, c, d, e] => add(out, start, [a, b, c, d, e], row),
            [a, b, c, d] => add(out, start, [a, b, c, d], row),
            [a, b, c] => add(out, start, [a, b, c], row),
            [a, b] => add(out, start, [a, b], row),
            [a] => add(out, start, [a], row),
            _ => unreachable!("there are weights left"),
        }
    }
}

/// Adds `N` rows times their weights to `out`; where they are the first (`start` is 0), replaces what is there.
#[inline(always)]
fn add<'a, const N: usize, T: Copy + Into<f32> + 'a>(
    out: &mut [f32],
    start: usize,
    weights: [f32; N],
    row: impl Fn(usize) -> &'a [T],
) {
    let length = out.len();
    let rows: [&[T]; N] = std::array::from_fn(|i| &row(i)[..length]);
    for (at, out) in out.iter_mut().enumerate() {
        let mut sum = if start == 0 { 0.0 } else { *out };
        for (row, weight) in rows.iter().zip(weights) {
            sum += weight * row[at].into();
        }
        *out = sum;
    }
}
