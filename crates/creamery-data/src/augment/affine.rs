//! Geometric operations, as Pillow's `Image.transform` and `Image.rotate` compute them.

use rand::{Rng, RngExt};

use crate::image::Image;
use crate::wide::{Work, wide};

/// What lies outside of an image.
const FILL: f64 = 128.0;

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
    fn between<'a>(self, out: &mut [u8], row: impl Fn(i64) -> &'a [u8], at: impl Fn(usize) -> f64) {
        match self {
            Self::Bilinear => wide(Between {
                out,
                rows: [row(0), row(1)],
                at,
                value: |[a, b]: [f64; 2], d: f64| a + (b - a) * d,
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

impl<const N: usize, A: Fn(usize) -> f64, V: Fn([f64; N], f64) -> f64> Work
    for Between<'_, N, A, V>
{
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let rows = self.rows.map(|row| &row[..self.out.len()]);
        for (i, sample) in self.out.iter_mut().enumerate() {
            let value = (self.value)(rows.map(|row| f64::from(row[i])), (self.at)(i));
            // Fractions are cut off.
            *sample = value.clamp(0.0, 255.0) as i32 as u8;
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

fn transform(image: &mut Image, [a, b, c, d, e, f]: Matrix, filter: Filter) {
    let from = image.clone();
    let (width, height) = (image.width as f64, image.height as f64);
    let rows = image.pixels.chunks_exact_mut(image.width * image.channels);
    for (row, pixels) in rows.enumerate() {
        let y = row as f64 + 0.5;
        for (column, pixel) in pixels.chunks_exact_mut(image.channels).enumerate() {
            let x = column as f64 + 0.5;
            let (x, y) = (a * x + b * y + c, d * x + e * y + f);
            if x < 0.0 || x >= width || y < 0.0 || y >= height {
                pixel.fill(FILL as u8);
            } else {
                Sampled::new(&from, x - 0.5, y - 0.5).fill(pixel, filter);
            }
        }
    }
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
                |_| broken,
            );
        }
        let edges = (0..inner.start).chain(inner.end..width);
        for x in edges {
            let pixel = &mut row[x * channels..][..channels];
            let at = x as f64 + 0.5 + shift(y);
            if at < 0.0 || at >= width as f64 {
                pixel.fill(FILL as u8);
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
        let broken: Vec<f64> = columns[start..end]
            .iter()
            .flat_map(|column| std::iter::repeat_n(column.2, channels))
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
                    pixel.fill(FILL as u8);
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
    dx: f64,
    dy: f64,
}

impl<'a> Sampled<'a> {
    fn new(image: &'a Image, x: f64, y: f64) -> Self {
        Self {
            image,
            x: x.floor() as i64,
            y: y.floor() as i64,
            dx: x - x.floor(),
            dy: y - y.floor(),
        }
    }

    /// The pixel at the place. A cast cuts fractions off and saturates.
    fn fill(&self, pixel: &mut [u8], filter: Filter) {
        for (channel, sample) in pixel.iter_mut().enumerate() {
            *sample = match filter {
                Filter::Bilinear => self.bilinear(channel) as u8,
                Filter::Bicubic => self.bicubic(channel) as u8,
            };
        }
    }

    /// The sample at some columns and rows from the place; beyond the edge the nearest one.
    fn at(&self, channel: usize, column: i64, row: i64) -> f64 {
        let nearest = |at: i64, size: usize| at.clamp(0, size as i64 - 1) as usize;
        let x = nearest(self.x + column, self.image.width);
        let y = nearest(self.y + row, self.image.height);
        f64::from(self.image.pixels[(y * self.image.width + x) * self.image.channels + channel])
    }

    fn bilinear(&self, channel: usize) -> f64 {
        let row = |row| {
            let [left, right] = [0, 1].map(|column| self.at(channel, column, row));
            left + (right - left) * self.dx
        };
        let (upper, lower) = (row(0), row(1));
        upper + (lower - upper) * self.dy
    }

    fn bicubic(&self, channel: usize) -> f64 {
        let rows = [-1, 0, 1, 2].map(|row| {
            let columns = [-1, 0, 1, 2].map(|column| self.at(channel, column, row));
            cubic(columns, self.dx)
        });
        cubic(rows, self.dy)
    }
}

/// The cubic through four values at -1, 0, 1 and 2 with coefficient -1, at `d` between the middle ones.
#[inline(always)]
fn cubic([v1, v2, v3, v4]: [f64; 4], d: f64) -> f64 {
    let p2 = v3 - v1;
    let p3 = 2.0 * (v1 - v2) + v3 - v4;
    let p4 = v2 - v1 - v3 + v4;
    v2 + d * (p2 + d * (p3 + d * p4))
}
