//! Values between pixels, as Pillow finds them, but in single precision.

use rand::{Rng, RngExt};

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
    pub fn any(rng: &mut impl Rng) -> Self {
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
    pub fn between<'a>(self, out: &mut [u8], row: impl Fn(i64) -> &'a [u8], at: &[f32]) {
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

/// The slow twin of what moves images.
#[cfg(test)]
pub(super) mod naive {
    use super::*;

    /// Pixel by pixel, as [`Sampled`] reads them: pixel `(x, y)` comes from `(a x + b y + c, d x + e y + f)`.
    pub fn pixel_by_pixel(image: &mut Image, [a, b, c, d, e, f]: [f64; 6], filter: Filter) {
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

    pub fn noise(width: usize, height: usize, grey: bool, seed: u64) -> Image {
        let channels = if grey { 1 } else { 3 };
        let mut rng = creamery_rng::stream(seed, "noise", 0);
        let pixels = (0..width * height * channels).map(|_| rng.random());
        Image {
            width,
            height,
            channels,
            pixels: pixels.collect(),
        }
    }
}
