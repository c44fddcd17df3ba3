//! Cutting a square window out of a resized picture, in 8 bits.
//!
//! The resized image never exists as a whole: only the part under the window is computed, so that a
//! picture of 1x16384 pixels costs no more than any other.

use rand::{Rng, RngExt};

use crate::decode::ImageError;
use crate::image::Image;
use crate::picture::{Interpolation, Picture, mirror};

/// A square of `side` pixels whose upper left corner lies at `(x, y)` of the resized image, perhaps
/// outside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Window {
    pub x: i64,
    pub y: i64,
    pub side: usize,
}

/// Width and height after resizing so that the shorter side has `shorter_side` pixels, with the other
/// in proportion, rounded to the nearest.
pub(crate) fn resized_size(width: usize, height: usize, shorter_side: usize) -> (usize, usize) {
    let short = width.min(height);
    let scale = |side: usize| (side * shorter_side + short / 2) / short;
    (scale(width), scale(height))
}

/// The part of `picture`, resized to `size` (width and height), that lies under `window`; zeros where
/// the window reaches beyond it. Mirrored left to right if `flip`.
pub(crate) fn cut(
    picture: &Picture,
    size: (usize, usize),
    window: Window,
    filter: Interpolation,
    flip: bool,
) -> Result<Vec<u8>, ImageError> {
    let (width, height) = picture.size();
    let channels = picture.channels();
    let side = window.side;
    let mut out = vec![0; side * side * channels];
    let columns = Overlap::of(window.x, side, size.0);
    let rows = Overlap::of(window.y, side, size.1);
    if columns.length > 0 && rows.length > 0 {
        let row = columns.length * channels;
        let to = |y: usize| ((rows.to + y) * side + columns.to) * channels;
        match picture.pixels() {
            Some(pixels) if size == (width, height) => {
                for y in 0..rows.length {
                    let from = ((rows.from + y) * width + columns.from) * channels;
                    out[to(y)..][..row].copy_from_slice(&pixels[from..][..row]);
                }
            }
            _ => {
                let (left, width) = columns.in_original(width, size.0);
                let (top, height) = rows.in_original(height, size.1);
                let size = [columns.length, rows.length];
                let patch = picture.take([left, top, width, height], size, filter, false)?;
                for (y, from) in patch.chunks_exact(row).enumerate() {
                    out[to(y)..][..row].copy_from_slice(from);
                }
            }
        }
    }
    if flip {
        mirror(&mut out, side, channels);
    }
    Ok(out)
}

/// A random rectangle of at least `scale` of an image's area, its sides' ratio between 3/4 and 4/3: left, top, width,
/// height. Where none fits it is the middle one, as much as the ratio allows.
pub(crate) fn random_rectangle(
    width: usize,
    height: usize,
    scale: f64,
    rng: &mut impl Rng,
) -> [usize; 4] {
    const RATIO: f64 = 4.0 / 3.0;
    const TRIES: usize = 10;
    for _ in 0..TRIES {
        let area = rng.random_range(scale..=1.0) * (width * height) as f64;
        let ratio = rng.random_range(-RATIO.ln()..=RATIO.ln()).exp();
        let size = |area: f64| area.sqrt().round() as usize;
        let (w, h) = (size(area * ratio), size(area / ratio));
        if (1..=width).contains(&w) && (1..=height).contains(&h) {
            let mut start = |last: usize| rng.random_range(0..=last as u64) as usize;
            return [start(width - w), start(height - h), w, h];
        }
    }
    let most = |side: usize| ((side as f64 * RATIO).round() as usize).max(1);
    let (w, h) = (width.min(most(height)), height.min(most(width)));
    [(width - w) / 2, (height - h) / 2, w, h]
}

/// A rectangle of a picture (left, top, width, height), resized to a square of `side` pixels. Mirrored left to right if
/// `flip`.
pub(crate) fn cut_rectangle(
    picture: &Picture,
    rectangle: [usize; 4],
    side: usize,
    filter: Interpolation,
    flip: bool,
) -> Result<Vec<u8>, ImageError> {
    picture.take(
        rectangle.map(|value| value as f64),
        [side, side],
        filter,
        flip,
    )
}

/// Where a window and an image overlap, in one dimension.
struct Overlap {
    /// First pixel in the (resized) image.
    from: usize,
    /// The same pixel in the window.
    to: usize,
    /// Pixels in common.
    length: usize,
}

impl Overlap {
    fn of(start: i64, side: usize, size: usize) -> Self {
        let from = start.clamp(0, size as i64);
        let end = start.saturating_add(side as i64).clamp(from, size as i64);
        Self {
            from: from as usize,
            to: from.saturating_sub(start).clamp(0, side as i64) as usize,
            length: (end - from) as usize,
        }
    }

    /// The overlap in pixels of an image that is `original` instead of `resized` pixels long.
    fn in_original(&self, original: usize, resized: usize) -> (f64, f64) {
        let scale = original as f64 / resized as f64;
        let from = self.from as f64 * scale;
        // Rounding must not push the end past the image, which the resizer refuses.
        let length = (self.length as f64 * scale).min(original as f64 - from);
        (from, length)
    }
}

/// All of an image, resized to `size` (width and height), bilinear and antialiased.
pub(crate) fn resize_whole(image: &Image, size: (usize, usize)) -> Result<Image, ImageError> {
    let whole = [0.0, 0.0, image.width as f64, image.height as f64];
    let filter = Interpolation::Bilinear;
    Ok(Image {
        width: size.0,
        height: size.1,
        channels: image.channels,
        pixels: Picture::from(image).take(whole, [size.0, size.1], filter, false)?,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// As [`super::cut`], bilinear, of pixels in memory.
    fn cut(
        image: &Image,
        size: (usize, usize),
        window: Window,
        flip: bool,
    ) -> Result<Vec<u8>, ImageError> {
        super::cut(
            &Picture::from(image),
            size,
            window,
            Interpolation::Bilinear,
            flip,
        )
    }

    fn picture(width: usize, height: usize, channels: usize, seed: usize) -> Image {
        let pixels = (0..width * height * channels)
            .map(|i| ((i + seed).wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        Image {
            width,
            height,
            channels,
            pixels,
        }
    }

    #[test]
    fn random_rectangles_lie_inside_and_have_the_shape_asked_for() {
        for (width, height) in [(1, 1), (500, 375), (30, 400), (400, 30), (5, 3)] {
            let mut shares = Vec::new();
            for i in 0..500 {
                let mut rng = creamery_rng::stream(0, "rectangles", i);
                let [left, top, w, h] = random_rectangle(width, height, 0.08, &mut rng);
                assert!(w > 0 && h > 0 && left + w <= width && top + h <= height);
                let ratio = w as f64 / h as f64;
                let rounding = 1.0 / w.min(h) as f64;
                assert!(
                    ratio < 4.0 / 3.0 * (1.0 + 2.0 * rounding)
                        && ratio > 0.75 * (1.0 - 2.0 * rounding)
                );
                shares.push((w * h) as f64 / (width * height) as f64);
            }
            if (width, height) == (500, 375) {
                let mean = shares.iter().sum::<f64>() / shares.len() as f64;
                assert!(
                    (0.4..0.6).contains(&mean) && shares.iter().all(|s| *s > 0.075),
                    "{mean}"
                );
            }
        }
    }

    /// The whole image at its own size is itself, mirrored or not.
    #[test]
    fn a_rectangle_of_the_same_size_is_copied() {
        let image = picture(9, 7, 3, 1);
        let cut = |flip| {
            cut_rectangle(
                &Picture::from(&image),
                [2, 1, 5, 5],
                5,
                Interpolation::Bilinear,
                flip,
            )
            .unwrap()
        };
        let expected: Vec<u8> = (1..6)
            .flat_map(|y| image.pixels[(y * 9 + 2) * 3..(y * 9 + 7) * 3].to_vec())
            .collect();
        assert_eq!(cut(false), expected);
        let mut flipped = cut(true);
        mirror(&mut flipped, 5, 3);
        assert_eq!(flipped, expected);
    }

    /// One sample at a time, straight from the definition.
    fn naive_cut(image: &Image, window: Window, flip: bool) -> Vec<u8> {
        let mut out = Vec::new();
        for y in 0..window.side as i64 {
            for x in 0..window.side as i64 {
                let x = if flip { window.side as i64 - 1 - x } else { x };
                let (x, y) = (window.x + x, window.y + y);
                let inside = x >= 0 && y >= 0 && x < image.width as i64 && y < image.height as i64;
                for c in 0..image.channels {
                    out.push(if inside {
                        image.pixels[(y as usize * image.width + x as usize) * image.channels + c]
                    } else {
                        0
                    });
                }
            }
        }
        out
    }

    /// The triangle filter in double precision, both ways at once, weights normalised over the image.
    fn naive_resize(image: &Image, width: usize, height: usize) -> Vec<f64> {
        let weights = |from: usize, to: usize, at: usize| -> Vec<f64> {
            let scale = from as f64 / to as f64;
            let support = scale.max(1.0);
            let centre = (at as f64 + 0.5) * scale;
            let raw: Vec<f64> = (0..from)
                .map(|i| (1.0 - ((i as f64 + 0.5 - centre) / support).abs()).max(0.0))
                .collect();
            let sum: f64 = raw.iter().sum();
            raw.iter().map(|weight| weight / sum).collect()
        };
        let mut out = Vec::new();
        for y in 0..height {
            let rows = weights(image.height, height, y);
            for x in 0..width {
                let columns = weights(image.width, width, x);
                for c in 0..image.channels {
                    let mut sum = 0.0;
                    for (j, row) in rows.iter().enumerate() {
                        for (i, column) in columns.iter().enumerate() {
                            let at = (j * image.width + i) * image.channels + c;
                            sum += row * column * f64::from(image.pixels[at]);
                        }
                    }
                    out.push(sum);
                }
            }
        }
        out
    }

    proptest! {
        #[test]
        fn a_cut_without_resizing_equals_its_naive_twin(
            width in 1usize..12, height in 1usize..12, grey: bool, seed: usize,
            x in -20i64..20, y in -20i64..20, side in 1usize..14, flip: bool,
        ) {
            let image = picture(width, height, if grey { 1 } else { 3 }, seed % 1000);
            let window = Window { x, y, side };
            prop_assert_eq!(
                cut(&image, (width, height), window, flip).unwrap(),
                naive_cut(&image, window, flip)
            );
        }

        #[test]
        fn resizing_is_the_naive_triangle_filter(
            width in 1usize..24, height in 1usize..24, grey: bool, seed: usize, shorter in 1usize..20,
        ) {
            let image = picture(width, height, if grey { 1 } else { 3 }, seed % 1000);
            let size = resized_size(width, height, shorter);
            let side = size.0.max(size.1);
            let window = Window { x: 0, y: 0, side };
            let whole = cut(&image, size, window, false).unwrap();
            let naive = naive_resize(&image, size.0, size.1);
            for y in 0..size.1 {
                for i in 0..size.0 * image.channels {
                    let found = f64::from(whole[y * side * image.channels + i]);
                    let wanted = naive[y * size.0 * image.channels + i];
                    // Two passes in fixed point, each rounded to 8 bits.
                    prop_assert!((found - wanted).abs() <= 1.6, "{found} is not {wanted}");
                }
            }
        }

        /// Computing only the part under the window changes nothing but the last bit.
        #[test]
        fn a_part_is_a_part_of_the_whole(
            width in 8usize..40, height in 8usize..40, seed: usize, shorter in 6usize..30,
            x in -6i64..30, y in -6i64..30, side in 1usize..20, flip: bool,
        ) {
            let image = picture(width, height, 3, seed % 1000);
            let size = resized_size(width, height, shorter);
            let longer = size.0.max(size.1);
            let whole = cut(&image, size, Window { x: 0, y: 0, side: longer }, false).unwrap();
            let resized = Image {
                width: size.0,
                height: size.1,
                channels: 3,
                pixels: whole
                    .chunks_exact(longer * 3)
                    .take(size.1)
                    .flat_map(|row| row[..size.0 * 3].to_vec())
                    .collect(),
            };
            let window = Window { x, y, side };
            let part = cut(&image, size, window, flip).unwrap();
            for (found, wanted) in part.iter().zip(naive_cut(&resized, window, flip)) {
                prop_assert!(found.abs_diff(wanted) <= 2, "{found} is not {wanted}");
            }
        }
    }

    #[test]
    fn the_shorter_side_is_met_exactly() {
        assert_eq!(resized_size(28, 28, 28), (28, 28));
        assert_eq!(resized_size(500, 375, 256), (341, 256));
        assert_eq!(resized_size(375, 500, 256), (256, 341));
        assert_eq!(resized_size(1, 16_384, 32), (32, 524_288));
    }

    #[test]
    fn a_sliver_of_an_image_costs_only_its_window() {
        let image = picture(1, 16_384, 3, 0);
        let size = resized_size(1, 16_384, 224);
        let window = Window {
            x: 0,
            y: 1_000_000,
            side: 224,
        };
        assert_eq!(
            cut(&image, size, window, false).unwrap().len(),
            224 * 224 * 3
        );
    }
}
