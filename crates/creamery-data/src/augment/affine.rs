//! Geometric operations, as Pillow's `Image.transform` and `Image.rotate` compute them, but that values are in single precision.

use rand::{Rng, RngExt};

use super::transform::transform;
use crate::image::Image;
use crate::sample::cut;
use crate::wide::{Work, wide};

/// What lies outside of an image.
pub(super) const FILL: u8 = 128;

/// How values between pixels are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Filter {
    /// From 2 x 2 pixels.
    Bilinear,
    /// From 4 x 4 pixels, with Pillow's coefficient -1.
    Bicubic,
}

impl Filter {
    /// Either, with equal probability.
    pub(super) fn any(rng: &mut impl Rng) -> Self {
        if rng.random() {
            Self::Bilinear
        } else {
            Self::Bicubic
        }
    }

    /// Pixels before and after the first one that count.
    pub fn reach(self) -> (i64, i64) {
        match self {
            Self::Bilinear => (0, 1),
            Self::Bicubic => (1, 2),
        }
    }

    /// Samples between those of rows: `row(0)` and the ones around it, `at[i]` beyond it for the sample `i`.
    fn between<'a>(self, out: &mut [u8], row: impl Fn(i64) -> &'a [u8], at: &[f32]) {
        match self {
            Self::Bilinear => wide(Between {
                out,
                rows: [row(0), row(1)],
                at,
                value: line,
            }),
            Self::Bicubic => wide(Between {
                out,
                rows: [row(-1), row(0), row(1), row(2)],
                at,
                value: cubic,
            }),
        }
    }
}

/// Samples of values between those of `N` rows.
struct Between<'a, const N: usize, V> {
    out: &'a mut [u8],
    rows: [&'a [u8]; N],
    at: &'a [f32],
    value: V,
}

impl<const N: usize, V: Fn([f32; N], f32) -> f32> Work for Between<'_, N, V> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let rows = self.rows.map(|row| &row[..self.out.len()]);
        let at = &self.at[..self.out.len()];
        for (i, sample) in self.out.iter_mut().enumerate() {
            // Not by `map`, which would not be compiled for wide registers.
            let mut values = [0.0; N];
            for (value, row) in values.iter_mut().zip(rows) {
                *value = f32::from(row[i]);
            }
            *sample = cut((self.value)(values, at[i]));
        }
    }
}

/// Shears rows against each other; at 1 each by its distance from the top.
pub(super) fn shear_x(image: &mut Image, factor: f64, filter: Filter) {
    shift_rows(image, |y| factor * (y as f64 + 0.5), filter);
}

/// Shears columns against each other.
pub(super) fn shear_y(image: &mut Image, factor: f64, filter: Filter) {
    shift_columns(image, |x| factor * (x as f64 + 0.5), filter);
}

/// Moves the image to the left by a share of its width.
pub(super) fn translate_x(image: &mut Image, share: f64, filter: Filter) {
    let pixels = share * image.width as f64;
    shift_rows(image, |_| pixels, filter);
}

/// Moves the image up by a share of its height.
pub(super) fn translate_y(image: &mut Image, share: f64, filter: Filter) {
    let pixels = share * image.height as f64;
    shift_columns(image, |_| pixels, filter);
}

/// Turns the image about its centre, by degrees against the clock.
pub(super) fn rotate(image: &mut Image, degrees: f64, filter: Filter) {
    let (sin, cos) = (-degrees.to_radians()).sin_cos();
    let centre = [image.width as f64 / 2.0, image.height as f64 / 2.0];
    let moved = |a: f64, b: f64, centre_own: f64| centre_own - a * centre[0] - b * centre[1];
    let matrix = [
        cos,
        sin,
        moved(cos, sin, centre[0]),
        -sin,
        cos,
        moved(-sin, cos, centre[1]),
    ];
    transform(image, matrix, filter);
}

/// Where all that a row of pixels is made of lies within a row of `length`, if they are moved by `shift`: those pixels; and the
/// whole and the broken part of the shift.
fn inside(shift: f64, length: usize, filter: Filter) -> (std::ops::Range<usize>, i64, f64) {
    let whole = shift.floor();
    let (before, after) = filter.reach();
    let whole_pixels = whole.clamp(-1e9, 1e9) as i64;
    let bound = |at: i64| at.clamp(0, length as i64) as usize;
    let start = bound(before - whole_pixels);
    let end = bound(length as i64 - after - whole_pixels).max(start);
    (start..end, whole_pixels, shift - whole)
}

/// Moves each row to the left by a number of pixels of its own.
fn shift_rows(image: &mut Image, shift: impl Fn(usize) -> f64, filter: Filter) {
    let from = image.clone();
    let (width, channels) = (image.width, image.channels);
    let mut broken_parts = vec![0.0; width * channels];
    let rows = image.pixels.chunks_exact_mut(width * channels);
    for (y, row) in rows.enumerate() {
        let shift = shift(y);
        let (inner, whole, broken) = inside(shift, width, filter);
        broken_parts.fill(broken as f32);
        let samples = |tap: i64| {
            let start = (y * width) as i64 + inner.start as i64 + whole + tap;
            &from.pixels[start as usize * channels..][..inner.len() * channels]
        };
        if !inner.is_empty() {
            let out = &mut row[inner.start * channels..inner.end * channels];
            filter.between(out, samples, &broken_parts);
        }
        let edges = (0..inner.start).chain(inner.end..width);
        for x in edges {
            let pixel = &mut row[x * channels..][..channels];
            let at = x as f64 + 0.5 + shift;
            if at < 0.0 || at >= width as f64 {
                pixel.fill(FILL);
            } else {
                Sampled::new(&from, at - 0.5, y as f64).fill(pixel, filter);
            }
        }
    }
}

/// Moves each column up by a number of pixels of its own.
fn shift_columns(image: &mut Image, shift: impl Fn(usize) -> f64, filter: Filter) {
    let from = image.clone();
    let (width, height, channels) = (image.width, image.height, image.channels);
    let row = width * channels;
    let shifts: Vec<f64> = (0..width).map(shift).collect();
    let broken: Vec<f32> = shifts
        .iter()
        .flat_map(|shift| std::iter::repeat_n((shift - shift.floor()) as f32, channels))
        .collect();
    // Neighbours that are moved by as many whole pixels are copied together.
    let whole = |shift: f64| shift.floor().clamp(-1e9, 1e9) as i64;
    let mut alike = Vec::new();
    let mut start = 0;
    for columns in shifts.chunk_by(|one, next| whole(*one) == whole(*next)) {
        let end = start + columns.len() * channels;
        alike.push((start..end, whole(columns[0])));
        start = end;
    }
    // A row of the image that is moved by whole pixels alone; beyond the edge there is the nearest sample.
    let moved = |y: i64, out: &mut [u8]| {
        for (samples, whole) in &alike {
            let y = (y + whole).clamp(0, height as i64 - 1) as usize;
            out[samples.clone()].copy_from_slice(&from.pixels[y * row..][samples.clone()]);
        }
    };
    let (before, after) = filter.reach();
    let mut rows: Vec<Vec<u8>> = (-before - 1..after)
        .map(|y| {
            let mut out = vec![0; row];
            moved(y, &mut out);
            out
        })
        .collect();
    let least = shifts.iter().copied().fold(f64::INFINITY, f64::min);
    let most = shifts.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let outside = |at: f64| at < 0.0 || at >= height as f64;
    for (y, out) in image.pixels.chunks_exact_mut(row).enumerate() {
        // Each row is the one above the next.
        rows.rotate_left(1);
        if let Some(last) = rows.last_mut() {
            moved(y as i64 + after, last);
        }
        filter.between(out, |tap| &rows[(tap + before) as usize], &broken);
        let centre = y as f64 + 0.5;
        if outside(centre + least) || outside(centre + most) {
            for (pixel, shift) in out.chunks_exact_mut(channels).zip(&shifts) {
                if outside(centre + shift) {
                    pixel.fill(FILL);
                }
            }
        }
    }
}

/// A place in an image: the pixel at its upper left, and how far beyond it lies.
pub(super) struct Sampled<'a> {
    image: &'a Image,
    x: i64,
    y: i64,
    dx: f32,
    dy: f32,
}

impl<'a> Sampled<'a> {
    pub fn new(image: &'a Image, x: f64, y: f64) -> Self {
        Self {
            image,
            x: x.floor() as i64,
            y: y.floor() as i64,
            dx: (x - x.floor()) as f32,
            dy: (y - y.floor()) as f32,
        }
    }

    /// The pixel at the place.
    pub fn fill(&self, pixel: &mut [u8], filter: Filter) {
        for (channel, sample) in pixel.iter_mut().enumerate() {
            *sample = cut(match filter {
                Filter::Bilinear => self.bilinear(channel),
                Filter::Bicubic => self.bicubic(channel),
            });
        }
    }

    /// The sample at some columns and rows from the place; beyond the edge the nearest one.
    fn at(&self, channel: usize, column: i64, row: i64) -> f32 {
        let nearest = |at: i64, size: usize| at.clamp(0, size as i64 - 1) as usize;
        let x = nearest(self.x + column, self.image.width);
        let y = nearest(self.y + row, self.image.height);
        f32::from(self.image.pixels[(y * self.image.width + x) * self.image.channels + channel])
    }

    fn bilinear(&self, channel: usize) -> f32 {
        let row = |row| line([0, 1].map(|column| self.at(channel, column, row)), self.dx);
        line([row(0), row(1)], self.dy)
    }

    fn bicubic(&self, channel: usize) -> f32 {
        let rows = [-1, 0, 1, 2].map(|row| {
            let columns = [-1, 0, 1, 2].map(|column| self.at(channel, column, row));
            cubic(columns, self.dx)
        });
        cubic(rows, self.dy)
    }
}

/// Between two values. Of equal ones it is the same, and not a bit less, which would be cut to the one below.
#[inline(always)]
pub(super) fn line([v1, v2]: [f32; 2], d: f32) -> f32 {
    v1 + (v2 - v1) * d
}

/// The cubic through four values at -1, 0, 1 and 2 with coefficient -1, at `d` between the middle ones.
#[inline(always)]
pub(super) fn cubic([v1, v2, v3, v4]: [f32; 4], d: f32) -> f32 {
    let p2 = v3 - v1;
    let p3 = 2.0 * (v1 - v2) + v3 - v4;
    let p4 = v2 - v1 - v3 + v4;
    v2 + d * (p2 + d * (p3 + d * p4))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::transform::Matrix;
    use super::*;

    /// Pixel by pixel, as [`Sampled`] reads them at the edges.
    fn naive(image: &mut Image, [a, b, c, d, e, f]: Matrix, filter: Filter) {
        let from = image.clone();
        for (i, pixel) in image.pixels.chunks_exact_mut(image.channels).enumerate() {
            let (x, y) = (
                (i % image.width) as f64 + 0.5,
                (i / image.width) as f64 + 0.5,
            );
            let (x, y) = (a * x + b * y + c, d * x + e * y + f);
            if x < 0.0 || x >= image.width as f64 || y < 0.0 || y >= image.height as f64 {
                pixel.fill(FILL);
            } else {
                Sampled::new(&from, x - 0.5, y - 0.5).fill(pixel, filter);
            }
        }
    }

    fn noise(width: usize, height: usize, grey: bool, seed: u64) -> Image {
        let channels = if grey { 1 } else { 3 };
        let mut rng = creamery_rng::stream(seed, "affine", 0);
        let pixels = (0..width * height * channels).map(|_| rng.random());
        Image {
            width,
            height,
            channels,
            pixels: pixels.collect(),
        }
    }

    proptest! {
        #[test]
        fn images_are_made_as_pixels_alone_are(
            width in 1usize..24, height in 1usize..24, grey: bool, cubic: bool, seed: u64,
            matrix in prop::array::uniform6(-1.5f64..1.5),
        ) {
            let mut image = noise(width, height, grey, seed);
            let mut wanted = image.clone();
            let filter = if cubic { Filter::Bicubic } else { Filter::Bilinear };
            naive(&mut wanted, matrix, filter);
            transform(&mut image, matrix, filter);
            prop_assert_eq!(image, wanted);
        }

        #[test]
        fn rows_and_columns_move_as_pixels_alone_do(
            width in 1usize..24, height in 1usize..24, grey: bool, cubic: bool, columns: bool, shear: bool, seed: u64,
            amount in -1.5f64..1.5,
        ) {
            let mut image = noise(width, height, grey, seed);
            let mut wanted = image.clone();
            let filter = if cubic { Filter::Bicubic } else { Filter::Bilinear };
            let moved = match (columns, shear) {
                (false, false) => [0.0, amount * width as f64],
                (true, false) => [0.0, amount * height as f64],
                (_, true) => [amount, 0.0],
            };
            let matrix = if columns {
                [1.0, 0.0, 0.0, moved[0], 1.0, moved[1]]
            } else {
                [1.0, moved[0], moved[1], 0.0, 1.0, 0.0]
            };
            naive(&mut wanted, matrix, filter);
            match (columns, shear) {
                (false, false) => translate_x(&mut image, amount, filter),
                (true, false) => translate_y(&mut image, amount, filter),
                (false, true) => shear_x(&mut image, amount, filter),
                (true, true) => shear_y(&mut image, amount, filter),
            }
            // The broken part of a sum of three is rounded otherwise than that of the shift alone.
            let apart = image.pixels.iter().zip(&wanted.pixels).map(|(a, b)| a.abs_diff(*b)).max();
            prop_assert!(apart <= Some(1), "{apart:?}");
        }
    }
}
