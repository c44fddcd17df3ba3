//! Rows and columns that move by distances of their own: shears and translations, as Pillow's `Image.transform` computes them.

use std::iter::repeat_n;
use std::ops::Range;

use super::filter::{FILL, Filter, Sampled};
use crate::image::Image;

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

/// The whole pixels of a shift, and what is left of it.
fn parts(shift: f64) -> (i64, f32) {
    let whole = shift.floor();
    (whole.clamp(-1e9, 1e9) as i64, (shift - whole) as f32)
}

/// The pixels of a row of `length` of which all that they are made of lies within it, if they are moved by `whole` pixels and a bit.
fn inside(whole: i64, length: usize, filter: Filter) -> Range<usize> {
    let (before, after) = filter.reach();
    let bound = |at: i64| at.clamp(0, length as i64) as usize;
    let start = bound(before - whole);
    start..bound(length as i64 - after - whole).max(start)
}

/// Moves each row to the left by a number of pixels of its own.
fn shift_rows(image: &mut Image, shift: impl Fn(usize) -> f64, filter: Filter) {
    let from = image.clone();
    let (width, channels) = (image.width, image.channels);
    let mut broken_parts = vec![0.0; width * channels];
    let rows = image.pixels.chunks_exact_mut(width * channels);
    for (y, row) in rows.enumerate() {
        let shift = shift(y);
        let (whole, broken) = parts(shift);
        let inner = inside(whole, width, filter);
        broken_parts.fill(broken);
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
        .flat_map(|shift| repeat_n(parts(*shift).1, channels))
        .collect();
    // Neighbours that are moved by as many whole pixels are copied together.
    let whole = |shift: f64| parts(shift).0;
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
    // The rows that the one above the first is made of.
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
        // Those of the row above, but for one.
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::filter::naive::{noise, pixel_by_pixel};
    use super::*;

    proptest! {
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
            pixel_by_pixel(&mut wanted, matrix, filter);
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
