//! Geometric operations, as Pillow's `Image.transform` and `Image.rotate` compute them.

use rand::{Rng, RngExt};

use crate::image::Image;

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
}

/// Where in the image a pixel of the result comes from: `x' = a x + b y + c`, `y' = d x + e y + f` for the centres
/// of pixels.
type Matrix = [f64; 6];

/// Shears rows against each other; at 1 each by its distance from the top.
pub(super) fn shear_x(image: &mut Image, factor: f64, filter: Filter) {
    transform(image, [1.0, factor, 0.0, 0.0, 1.0, 0.0], filter);
}

/// Shears columns against each other.
pub(super) fn shear_y(image: &mut Image, factor: f64, filter: Filter) {
    transform(image, [1.0, 0.0, 0.0, factor, 1.0, 0.0], filter);
}

/// Moves the image to the left by a share of its width.
pub(super) fn translate_x(image: &mut Image, share: f64, filter: Filter) {
    let pixels = share * image.width as f64;
    transform(image, [1.0, 0.0, pixels, 0.0, 1.0, 0.0], filter);
}

/// Moves the image up by a share of its height.
pub(super) fn translate_y(image: &mut Image, share: f64, filter: Filter) {
    let pixels = share * image.height as f64;
    transform(image, [1.0, 0.0, 0.0, 0.0, 1.0, pixels], filter);
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
    let pixels = image.pixels.chunks_exact_mut(image.channels);
    for (i, pixel) in pixels.enumerate() {
        let x = (i % image.width) as f64 + 0.5;
        let y = (i / image.width) as f64 + 0.5;
        let (x, y) = (a * x + b * y + c, d * x + e * y + f);
        if x < 0.0 || x >= width || y < 0.0 || y >= height {
            pixel.fill(FILL as u8);
            continue;
        }
        let sampled = Sampled::new(&from, x - 0.5, y - 0.5);
        for (channel, sample) in pixel.iter_mut().enumerate() {
            // A cast cuts fractions off and saturates.
            *sample = match filter {
                Filter::Bilinear => sampled.bilinear(channel) as u8,
                Filter::Bicubic => sampled.bicubic(channel) as u8,
            };
        }
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
fn cubic([v1, v2, v3, v4]: [f64; 4], d: f64) -> f64 {
    let p2 = v3 - v1;
    let p3 = 2.0 * (v1 - v2) + v3 - v4;
    let p4 = v2 - v1 - v3 + v4;
    v2 + d * (p2 + d * (p3 + d * p4))
}
