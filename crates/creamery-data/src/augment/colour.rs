//! Operations on colours, to the value what Pillow's `ImageOps` and `ImageEnhance` compute.

use crate::image::Image;

/// Replaces every sample by its entry in its channel's table.
fn map(image: &mut Image, table: impl Fn(usize) -> [u8; 256]) {
    let channels = image.channels;
    let tables: Vec<[u8; 256]> = (0..channels).map(table).collect();
    for pixel in image.pixels.chunks_exact_mut(channels) {
        for (sample, table) in pixel.iter_mut().zip(&tables) {
            *sample = table[usize::from(*sample)];
        }
    }
}

/// The same table for all channels.
fn map_all(image: &mut Image, f: impl Fn(u8) -> u8) {
    let table = std::array::from_fn(|value| f(value as u8));
    map(image, |_| table);
}

fn histograms(image: &Image) -> Vec<[u32; 256]> {
    let mut histograms = vec![[0; 256]; image.channels];
    for pixel in image.pixels.chunks_exact(image.channels) {
        for (sample, histogram) in pixel.iter().zip(&mut histograms) {
            histogram[usize::from(*sample)] += 1;
        }
    }
    histograms
}

/// Stretches each channel so that its darkest sample becomes 0 and its lightest 255.
pub(super) fn auto_contrast(image: &mut Image) {
    let histograms = histograms(image);
    map(image, |channel| {
        let histogram = &histograms[channel];
        let darkest = histogram.iter().position(|count| *count > 0).unwrap_or(0);
        let lightest = histogram.iter().rposition(|count| *count > 0).unwrap_or(0);
        let scale = if lightest > darkest {
            255.0 / (lightest - darkest) as f64
        } else {
            return std::array::from_fn(|value| value as u8);
        };
        let offset = -(darkest as f64) * scale;
        // A cast cuts fractions off and saturates.
        std::array::from_fn(|value| (value as f64 * scale + offset) as u8)
    });
}

/// Makes each channel's histogram as even as a mapping of samples can.
pub(super) fn equalize(image: &mut Image) {
    let histograms = histograms(image);
    map(image, |channel| {
        let histogram = &histograms[channel];
        let all: u32 = histogram.iter().sum();
        let last = histogram.iter().rev().find(|count| **count > 0);
        let step = (all - last.copied().unwrap_or(0)) / 255;
        if step == 0 {
            return std::array::from_fn(|value| value as u8);
        }
        let mut below = step / 2;
        std::array::from_fn(|value| {
            let level = below / step;
            below += histogram[value];
            level.min(255) as u8
        })
    });
}

/// The negative.
pub(super) fn invert(image: &mut Image) {
    map_all(image, |value| 255 - value);
}

/// Inverts samples of `threshold` (0 to 256) and above.
pub(super) fn solarize(image: &mut Image, threshold: f64) {
    map_all(image, |value| {
        if f64::from(value) < threshold {
            value
        } else {
            255 - value
        }
    });
}

/// Adds `add` to samples below 128.
pub(super) fn solarize_add(image: &mut Image, add: f64) {
    map_all(image, |value| {
        if value < 128 {
            value.saturating_add(add as u8)
        } else {
            value
        }
    });
}

/// Keeps the `bits` (0 to 8) highest bits of each sample.
pub(super) fn posterize(image: &mut Image, bits: f64) {
    let dropped = 8 - (bits as u32).min(8);
    let mask = 0xffu32.checked_shl(dropped).unwrap_or(0) as u8;
    map_all(image, |value| value & mask);
}

/// `from + factor (to - from)`, fractions cut off, as Pillow blends.
fn blend(from: u8, to: u8, factor: f32) -> u8 {
    (f32::from(from) + factor * (f32::from(to) - f32::from(from))) as u8
}

/// Black at 0, the image at 1.
pub(super) fn brightness(image: &mut Image, factor: f64) {
    map_all(image, |value| blend(0, value, factor as f32));
}

/// Even grey of the mean brightness at 0, the image at 1.
pub(super) fn contrast(image: &mut Image, factor: f64) {
    let grey = image.to_grey();
    let sum: u64 = grey.pixels.iter().map(|value| u64::from(*value)).sum();
    let mean = (sum as f64 / grey.pixels.len().max(1) as f64 + 0.5) as u8;
    map_all(image, |value| blend(mean, value, factor as f32));
}

/// Grey at 0, the image at 1: saturation.
pub(super) fn color(image: &mut Image, factor: f64) {
    let grey = image.to_grey();
    let pixels = image.pixels.chunks_exact_mut(image.channels);
    for (pixel, grey) in pixels.zip(grey.pixels) {
        for sample in pixel {
            *sample = blend(grey, *sample, factor as f32);
        }
    }
}

/// Smoothed at 0, the image at 1. The smoothing is (1 1 1, 1 5 1, 1 1 1) / 13; pixels at the edge keep their values.
pub(super) fn sharpness(image: &mut Image, factor: f64) {
    let Image {
        width,
        height,
        channels,
        ..
    } = *image;
    let original = image.pixels.clone();
    let row = width * channels;
    for y in 1..height.saturating_sub(1) {
        for x in channels..row.saturating_sub(channels) {
            let at = y * row + x;
            let around = [at - row, at, at + row].map(|at| {
                let three = [at - channels, at, at + channels];
                three.map(|at| u32::from(original[at])).iter().sum::<u32>()
            });
            let sum = around.iter().sum::<u32>() + 4 * u32::from(original[at]);
            let smooth = ((2 * sum + 13) / 26) as u8;
            image.pixels[at] = blend(smooth, original[at], factor as f32);
        }
    }
}
