//! Geometric operations, as Pillow's `Image.transform` and `Image.rotate` compute them, but that values are in single precision.

use rand::{Rng, RngExt};

use crate::image::Image;
use crate::wide::{Work, wide};

/// What lies outside of an image.
const FILL: u8 = 128;

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
    fn reach(self) -> (i64, i64) {
        match self {
            Self::Bilinear => (0, 1),
            Self::Bicubic => (1, 2),
        }
    }

    /// Samples between those of rows: `row(0)` and the ones around it, `at(i)` beyond it for the sample `i`.
    fn between<'a>(self, out: &mut [u8], row: impl Fn(i64) -> &'a [u8], at: impl Fn(usize) -> f32) {
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
struct Between<'a, const N: usize, A, V> {
    out: &'a mut [u8],
    rows: [&'a [u8]; N],
    at: A,
    value: V,
}

impl<const N: usize, A: Fn(usize) -> f32, V: Fn([f32; N], f32) -> f32> Work
    for Between<'_, N, A, V>
{
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let rows = self.rows.map(|row| &row[..self.out.len()]);
        for (i, sample) in self.out.iter_mut().enumerate() {
            // Not by `map`, which would not be compiled for wide registers.
            let mut values = [0.0; N];
            for (value, row) in values.iter_mut().zip(rows) {
                *value = f32::from(row[i]);
            }
            *sample = cut((self.value)(values, (self.at)(i)));
        }
    }
}

/// Where in the image a pixel of the result comes from: `x' = a x + b y + c`, `y' = d x + e y + f` for the centres
/// of pixels.
type Matrix = [f64; 6];

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

fn transform(image: &mut Image, matrix: Matrix, filter: Filter) {
    let mut from = image.clone();
    // So that all that one pixel is made of can be read at once.
    from.pixels.resize(from.pixels.len() + ROW, 0);
    let (from, out) = (&from, &mut image.pixels);
    match image.channels {
        1 => wide(Transform::<1> {
            out,
            from,
            matrix,
            filter,
        }),
        3 => wide(Transform::<3> {
            out,
            from,
            matrix,
            filter,
        }),
        _ => unreachable!("images have 1 or 3 channels"),
    }
}

/// Samples of one row that are read at once: at least four pixels, and one sample.
const ROW: usize = 16;

/// The samples of a pixel side by side. Those beyond its channels mean nothing.
type Lanes = [f32; 4];

struct Transform<'a, const CHANNELS: usize> {
    out: &'a mut [u8],
    /// With [`ROW`] samples after the last.
    from: &'a Image,
    matrix: Matrix,
    filter: Filter,
}

impl<const CHANNELS: usize> Work for Transform<'_, CHANNELS> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let [a, b, c, d, e, f] = self.matrix;
        let (width, height) = (self.from.width as f64, self.from.height as f64);
        let (before, after) = self.filter.reach();
        let (first, after) = (before as f64, after as f64);
        let rows = self.out.chunks_exact_mut(self.from.width * CHANNELS);
        for (row, pixels) in rows.enumerate() {
            let y = row as f64 + 0.5;
            for (column, pixel) in pixels.as_chunks_mut::<CHANNELS>().0.iter_mut().enumerate() {
                let x = column as f64 + 0.5;
                let (x, y) = (a * x + b * y + c, d * x + e * y + f);
                let (left, top) = (x - 0.5, y - 0.5);
                let inside =
                    left >= first && left < width - after && top >= first && top < height - after;
                if inside {
                    let lanes = inner::<CHANNELS>(self.from, left, top, self.filter);
                    for (sample, value) in pixel.iter_mut().zip(lanes) {
                        *sample = cut(value);
                    }
                } else if x < 0.0 || x >= width || y < 0.0 || y >= height {
                    pixel.fill(FILL);
                } else {
                    Sampled::new(self.from, left, top).fill(pixel, self.filter);
                }
            }
        }
    }
}

/// The pixel at a place of which all that it is made of lies within the image.
#[inline(always)]
fn inner<const CHANNELS: usize>(from: &Image, left: f64, top: f64, filter: Filter) -> Lanes {
    let (column, row) = (left as i32, top as i32);
    let (dx, dy) = (
        (left - f64::from(column)) as f32,
        (top - f64::from(row)) as f32,
    );
    let before = filter.reach().0 as i32;
    let start = (row - before) as usize * from.width + (column - before) as usize;
    match filter {
        Filter::Bilinear => around::<CHANNELS, 2>(from, start, [dx, dy], line),
        Filter::Bicubic => around::<CHANNELS, 4>(from, start, [dx, dy], cubic),
    }
}

/// The value between `N` rows of `N` pixels, from the pixel `start` on.
#[inline(always)]
fn around<const CHANNELS: usize, const N: usize>(
    from: &Image,
    start: usize,
    [dx, dy]: [f32; 2],
    value: impl Fn([f32; N], f32) -> f32 + Copy,
) -> Lanes {
    let mut rows = [[0.0; 4]; N];
    for (i, row) in rows.iter_mut().enumerate() {
        *row = each(
            pixels::<CHANNELS, N>(from, start + i * from.width),
            dx,
            value,
        );
    }
    each(rows, dy, value)
}

/// `N` neighbours in a row, from the pixel `start` on.
#[inline(always)]
fn pixels<const CHANNELS: usize, const N: usize>(from: &Image, start: usize) -> [Lanes; N] {
    let samples = &from.pixels[start * CHANNELS..][..ROW];
    let mut pixels = [[0.0; 4]; N];
    for (i, pixel) in pixels.iter_mut().enumerate() {
        for (lane, value) in pixel.iter_mut().enumerate() {
            *value = f32::from(samples[i * CHANNELS + lane]);
        }
    }
    pixels
}

/// Values between `N` pixels, channel by channel.
#[inline(always)]
fn each<const N: usize>(pixels: [Lanes; N], d: f32, value: impl Fn([f32; N], f32) -> f32) -> Lanes {
    let mut found = [0.0; 4];
    for (lane, found) in found.iter_mut().enumerate() {
        let mut values = [0.0; N];
        for (value, pixel) in values.iter_mut().zip(&pixels) {
            *value = pixel[lane];
        }
        *found = value(values, d);
    }
    found
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
    let rows = image.pixels.chunks_exact_mut(width * channels);
    for (y, row) in rows.enumerate() {
        let (inner, whole, broken) = inside(shift(y), width, filter);
        let samples = |tap: i64| {
            let start = (y * width) as i64 + inner.start as i64 + whole + tap;
            &from.pixels[start as usize * channels..][..inner.len() * channels]
        };
        if !inner.is_empty() {
            filter.between(
                &mut row[inner.start * channels..inner.end * channels],
                samples,
                |_| broken as f32,
            );
        }
        let edges = (0..inner.start).chain(inner.end..width);
        for x in edges {
            let pixel = &mut row[x * channels..][..channels];
            let at = x as f64 + 0.5 + shift(y);
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
    let columns: Vec<_> = (0..width)
        .map(|x| inside(shift(x), height, filter))
        .collect();
    let row = width * channels;
    // Neighbours that are moved by as many whole pixels are made together.
    let mut start = 0;
    while start < width {
        let (inner, whole, _) = columns[start].clone();
        let alike = columns[start..]
            .iter()
            .take_while(|column| column.1 == whole);
        let end = start + alike.count();
        let broken: Vec<f32> = columns[start..end]
            .iter()
            .flat_map(|column| std::iter::repeat_n(column.2 as f32, channels))
            .collect();
        for y in 0..height {
            let pixels = &mut image.pixels[y * row + start * channels..y * row + end * channels];
            if inner.contains(&y) {
                let samples = |tap: i64| {
                    let y = (y as i64 + whole + tap) as usize;
                    &from.pixels[y * row + start * channels..y * row + end * channels]
                };
                filter.between(pixels, samples, |i| broken[i]);
                continue;
            }
            for (x, pixel) in (start..end).zip(pixels.chunks_exact_mut(channels)) {
                let at = y as f64 + 0.5 + shift(x);
                if at < 0.0 || at >= height as f64 {
                    pixel.fill(FILL);
                } else {
                    Sampled::new(&from, x as f64, at - 0.5).fill(pixel, filter);
                }
            }
        }
        start = end;
    }
}

/// A place in an image: the pixel at its upper left, and how far beyond it lies.
struct Sampled<'a> {
    image: &'a Image,
    x: i64,
    y: i64,
    dx: f32,
    dy: f32,
}

impl<'a> Sampled<'a> {
    fn new(image: &'a Image, x: f64, y: f64) -> Self {
        Self {
            image,
            x: x.floor() as i64,
            y: y.floor() as i64,
            dx: (x - x.floor()) as f32,
            dy: (y - y.floor()) as f32,
        }
    }

    /// The pixel at the place.
    fn fill(&self, pixel: &mut [u8], filter: Filter) {
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
fn line([v1, v2]: [f32; 2], d: f32) -> f32 {
    v1 + (v2 - v1) * d
}

/// The cubic through four values at -1, 0, 1 and 2 with coefficient -1, at `d` between the middle ones.
#[inline(always)]
fn cubic([v1, v2, v3, v4]: [f32; 4], d: f32) -> f32 {
    let p2 = v3 - v1;
    let p3 = 2.0 * (v1 - v2) + v3 - v4;
    let p4 = v2 - v1 - v3 + v4;
    v2 + d * (p2 + d * (p3 + d * p4))
}

/// The sample of a value: fractions are cut off.
#[inline(always)]
fn cut(value: f32) -> u8 {
    value.clamp(0.0, 255.0) as i32 as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

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

    proptest! {
        #[test]
        fn images_are_made_as_pixels_alone_are(
            width in 1usize..24, height in 1usize..24, grey: bool, cubic: bool, seed: u64,
            matrix in prop::array::uniform6(-1.5f64..1.5),
        ) {
            let channels = if grey { 1 } else { 3 };
            let mut rng = creamery_rng::stream(seed, "affine", 0);
            let mut image = Image {
                width, height, channels,
                pixels: (0..width * height * channels).map(|_| rng.random()).collect(),
            };
            let mut wanted = image.clone();
            let filter = if cubic { Filter::Bicubic } else { Filter::Bilinear };
            naive(&mut wanted, matrix, filter);
            transform(&mut image, matrix, filter);
            prop_assert_eq!(image, wanted);
        }
    }
}
