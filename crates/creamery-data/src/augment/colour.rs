//! Operations on colours, to the value what Pillow's `ImageOps` and `ImageEnhance` compute.

use crate::image::{Image, brightness_of};
use crate::sample::cut;
use crate::wide::{Work, wide};

/// Replaces every sample by its entry in its channel's table.
fn map(image: &mut Image, table: impl Fn(usize) -> [u8; 256]) {
    if image.channels == 3 {
        let tables = [table(0), table(1), table(2)];
        for pixel in image.pixels.as_chunks_mut::<3>().0 {
            *pixel = std::array::from_fn(|channel| tables[channel][usize::from(pixel[channel])]);
        }
    } else {
        let table = table(0);
        for sample in &mut image.pixels {
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
#[inline(always)]
fn blend(from: u8, to: u8, factor: f32) -> u8 {
    cut(f32::from(from) + factor * (f32::from(to) - f32::from(from)))
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
    // Grey images have no colours.
    if image.channels == 3 {
        wide(Color {
            pixels: image.pixels.as_chunks_mut().0,
            factor: factor as f32,
        });
    }
}

struct Color<'a> {
    pixels: &'a mut [[u8; 3]],
    factor: f32,
}

impl Work for Color<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for pixel in self.pixels {
            let grey = brightness_of(*pixel);
            for sample in pixel {
                *sample = blend(grey, *sample, self.factor);
            }
        }
    }
}

/// Smoothed at 0, the image at 1. The smoothing is (1 1 1, 1 5 1, 1 1 1) / 13; pixels at the edge keep their values.
pub(super) fn sharpness(image: &mut Image, factor: f64) {
    wide(Sharpness {
        original: &image.pixels.clone(),
        factor: factor as f32,
        image,
    });
}

struct Sharpness<'a> {
    image: &'a mut Image,
    original: &'a [u8],
    factor: f32,
}

impl Work for Sharpness<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let (height, channels) = (self.image.height, self.image.channels);
        let row = self.image.width * channels;
        let Some(inner) = row.checked_sub(2 * channels).filter(|inner| *inner > 0) else {
            return;
        };
        for y in 1..height.saturating_sub(1) {
            // The nine samples that each is smoothed of, the fifth being its own.
            let around: [&[u8]; 9] = std::array::from_fn(|i| {
                let start = (y - 1 + i / 3) * row + i % 3 * channels;
                &self.original[start..start + inner]
            });
            let out = &mut self.image.pixels[y * row + channels..][..inner];
            for (i, sample) in out.iter_mut().enumerate() {
                let own = around[4][i];
                let mut sum = 4 * u16::from(own);
                for samples in around {
                    sum += u16::from(samples[i]);
                }
                // (2 sum + 13) / 26 for sums up to 13 * 255, by the inverse of 26 in 2^20ths.
                let smooth = (((2 * u32::from(sum) + 13) * 40_330) >> 20) as u8;
                *sample = blend(smooth, own, self.factor);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn division_by_26_is_exact() {
        for sum in 0..=13u32 * 255 {
            assert_eq!(
                ((2 * sum + 13) * 40_330) >> 20,
                (2 * sum + 13) / 26,
                "{sum}"
            );
        }
    }
}
