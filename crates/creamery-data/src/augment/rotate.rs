//! Turned images, as Pillow's `Image.rotate` computes them.
//!
//! Every pixel comes from a place of its own. What pixels are made of is gathered for a block of them, so that a block is computed
//! at once.

use super::filter::{FILL, Filter, Sampled, cubic, line};
use crate::image::Image;
use crate::sample::cut;
use crate::wide::{Work, wide};

/// Where in the image a pixel of the result comes from: `x' = a x + b y + c`, `y' = d x + e y + f` for the centres
/// of pixels.
type Matrix = [f64; 6];

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

/// Replaces each pixel by what lies at its place.
fn transform(image: &mut Image, matrix: Matrix, filter: Filter) {
    let mut from = image.clone();
    // So that the lanes of a pixel can be read at once.
    from.pixels.resize(from.pixels.len() + LANES, 0);
    match image.channels {
        1 => transform_channels::<1>(&mut image.pixels, &from, matrix, filter),
        3 => transform_channels::<3>(&mut image.pixels, &from, matrix, filter),
        _ => unreachable!("images have 1 or 3 channels"),
    }
}

fn transform_channels<const CHANNELS: usize>(
    out: &mut [u8],
    from: &Image,
    matrix: Matrix,
    filter: Filter,
) {
    match filter {
        Filter::Bilinear => wide(Turned::<CHANNELS, 2, _> {
            out,
            from,
            matrix,
            filter,
            value: line,
        }),
        Filter::Bicubic => wide(Turned::<CHANNELS, 4, _> {
            out,
            from,
            matrix,
            filter,
            value: cubic,
        }),
    }
}

/// Samples that are read for each pixel. Those beyond its channels mean nothing.
const LANES: usize = 4;

/// Pixels that are made together.
const BLOCK: usize = 16;

/// A value for each lane of a block.
type Block<T> = [[T; LANES]; BLOCK];

/// Pixels of values between `N` rows of `N` pixels.
struct Turned<'a, const CHANNELS: usize, const N: usize, V> {
    out: &'a mut [u8],
    /// With [`LANES`] samples after the last.
    from: &'a Image,
    matrix: Matrix,
    filter: Filter,
    value: V,
}

impl<const CHANNELS: usize, const N: usize, V: Fn([f32; N], f32) -> f32> Work
    for Turned<'_, CHANNELS, N, V>
{
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let [a, b, c, d, e, f] = self.matrix;
        let from = self.from;
        let (width, height) = (from.width as f64, from.height as f64);
        for (y, row) in self.out.chunks_exact_mut(from.width * CHANNELS).enumerate() {
            let y = y as f64 + 0.5;
            for (block, pixels) in row.chunks_mut(BLOCK * CHANNELS).enumerate() {
                let at = |column: usize| {
                    let x = (block * BLOCK) as f64 + (column as f64 + 0.5);
                    (a * x + b * y + c, d * x + e * y + f)
                };
                let places = places(at, from, self.filter);
                let around = places.gather::<CHANNELS, N>(from);
                let made = places.values(&around, &self.value);
                for (column, pixel) in pixels.as_chunks_mut::<CHANNELS>().0.iter_mut().enumerate() {
                    if places.inside[column] {
                        pixel.copy_from_slice(&made[column][..CHANNELS]);
                        continue;
                    }
                    let (x, y) = at(column);
                    if x < 0.0 || x >= width || y < 0.0 || y >= height {
                        pixel.fill(FILL);
                    } else {
                        Sampled::new(from, x - 0.5, y - 0.5).fill(pixel, self.filter);
                    }
                }
            }
        }
    }
}

/// Where the pixels of a block come from.
struct Places {
    /// Of which pixels all that they are made of lies within the image. Of others the rest means nothing.
    inside: [bool; BLOCK],
    /// The upper left of all that a pixel is made of, counted through the image.
    first: [i32; BLOCK],
    /// How far to the right of a whole pixel it lies, and how far below: once for each lane.
    across: Block<f32>,
    down: Block<f32>,
}

/// The places of a block's columns, in steps that wide registers have.
#[inline(always)]
fn places(at: impl Fn(usize) -> (f64, f64), from: &Image, filter: Filter) -> Places {
    let (before, after) = filter.reach();
    let (least, after) = (before as f64, after as f64);
    let (width, height) = (from.width as f64 - after, from.height as f64 - after);
    let (before, stride) = (before as i32, from.width as i32);
    let mut places = Places {
        inside: [false; BLOCK],
        first: [0; BLOCK],
        across: [[0.0; LANES]; BLOCK],
        down: [[0.0; LANES]; BLOCK],
    };
    for column in 0..BLOCK {
        let (x, y) = at(column);
        let (left, top) = (x - 0.5, y - 0.5);
        places.inside[column] = (left >= least) & (left < width) & (top >= least) & (top < height);
        let ((x, across), (y, down)) = (parts(left), parts(top));
        let (x, y) = (x.wrapping_sub(before), y.wrapping_sub(before));
        places.first[column] = y.wrapping_mul(stride).wrapping_add(x);
        places.across[column] = [across; LANES];
        places.down[column] = [down; LANES];
    }
    places
}

impl Places {
    /// The `N` rows of `N` pixels that each pixel is made of.
    #[inline(always)]
    fn gather<const CHANNELS: usize, const N: usize>(&self, from: &Image) -> [[Block<u8>; N]; N] {
        let mut around = [[[[0; LANES]; BLOCK]; N]; N];
        for (column, inside) in self.inside.iter().enumerate() {
            if !inside {
                continue;
            }
            for (down, row) in around.iter_mut().enumerate() {
                let start = (self.first[column] as usize + down * from.width) * CHANNELS;
                let samples = &from.pixels[start..][..(N - 1) * CHANNELS + LANES];
                for (right, block) in row.iter_mut().enumerate() {
                    block[column].copy_from_slice(&samples[right * CHANNELS..][..LANES]);
                }
            }
        }
        around
    }

    /// The values between what was gathered, lane by lane.
    #[inline(always)]
    fn values<const N: usize>(
        &self,
        around: &[[Block<u8>; N]; N],
        value: impl Fn([f32; N], f32) -> f32,
    ) -> Block<u8> {
        let (across, down) = (self.across.as_flattened(), self.down.as_flattened());
        let mut made = [[0; LANES]; BLOCK];
        // Not by `map`, which would not be compiled for wide registers.
        for (i, sample) in made.as_flattened_mut().iter_mut().enumerate() {
            let mut rows = [0.0; N];
            for (found, row) in rows.iter_mut().zip(around) {
                let mut values = [0.0; N];
                for (value, block) in values.iter_mut().zip(row) {
                    *value = f32::from(block.as_flattened()[i]);
                }
                *found = value(values, across[i]);
            }
            *sample = cut(value(rows, down[i]));
        }
        made
    }
}

/// The whole part and the broken part of a place within the image. Of others they mean nothing.
#[inline(always)]
fn parts(place: f64) -> (i32, f32) {
    /// In numbers of this size the lowest bit is worth 1, so that adding it rounds.
    const ROUND: f64 = 4_503_599_627_370_496.0;
    let near = place + ROUND;
    // What was rounded up is one too many.
    let above = near - ROUND > place;
    let whole = near - ROUND - f64::from(u8::from(above));
    let bits = near.to_bits() as i32;
    (bits.wrapping_sub(i32::from(above)), (place - whole) as f32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::filter::naive::{noise, pixel_by_pixel};
    use super::*;

    proptest! {
        #[test]
        fn images_are_made_as_pixels_alone_are(
            width in 1usize..24, height in 1usize..24, grey: bool, cubic: bool, seed: u64,
            matrix in prop::array::uniform6(-1.5f64..1.5),
        ) {
            let mut image = noise(width, height, grey, seed);
            let mut wanted = image.clone();
            let filter = if cubic { Filter::Bicubic } else { Filter::Bilinear };
            pixel_by_pixel(&mut wanted, matrix, filter);
            transform(&mut image, matrix, filter);
            prop_assert_eq!(image, wanted);
        }
    }
}
