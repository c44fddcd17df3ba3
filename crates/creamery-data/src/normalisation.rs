//! The mean and spread of a data set's pixels.

use crate::error::DataError;
use crate::parallel::map_in_order;
use crate::split::Split;

/// The most images that are looked at: a sample of this size has a standard error below 0.01.
pub const SAMPLE: usize = 2_000;

/// Per channel, what is taken off a sample in 0..1 and what it is divided by.
#[derive(Clone, Debug, PartialEq)]
pub struct Normalisation {
    /// The mean of each channel, in 0..1.
    pub mean: Vec<f32>,
    /// The standard deviation of each channel, in 0..1, above zero.
    pub std: Vec<f32>,
}

impl Normalisation {
    /// Measures the images of `train`, each with the same weight whatever its size.
    ///
    /// Images in memory all count. Of image files at most [`SAMPLE`] are decoded, spread evenly over
    /// the split, so the answer is the same every time. A channel without any spread gets a standard
    /// deviation of 1.
    ///
    /// # Errors
    /// [`DataError::NoImages`] of an empty split, [`DataError::Image`] if a file cannot be decoded.
    pub fn of(train: &Split) -> Result<Self, DataError> {
        if train.is_empty() {
            return Err(DataError::NoImages {
                place: "the training split".to_owned(),
            });
        }
        let count = if train.is_in_memory() {
            train.len()
        } else {
            train.len().min(SAMPLE)
        };
        let moments = map_in_order(count, |i| {
            // Both factors are below 2^32, so the product cannot overflow.
            let index = i * train.len() / count;
            train
                .image(index)
                .map(|image| moments(&image.pixels, image.channels))
        });
        let mut sum = Moments::new(train.channels());
        for image in moments {
            sum.add(&image?);
        }
        Ok(sum.normalisation())
    }

    /// For each channel, the normalised value of every sample: `(sample / 255 - mean) / std`.
    pub(crate) fn tables(&self) -> Vec<[f32; 256]> {
        self.mean
            .iter()
            .zip(&self.std)
            .map(|(mean, std)| std::array::from_fn(|sample| (sample as f32 / 255.0 - mean) / std))
            .collect()
    }
}

/// Means and mean squares of each channel, samples in 0..1, summed up over images.
#[derive(Clone, Debug)]
pub(crate) struct Moments {
    images: u64,
    sums: Vec<[f64; 2]>,
}

impl Moments {
    pub fn new(channels: usize) -> Self {
        Self {
            images: 0,
            sums: vec![[0.0; 2]; channels],
        }
    }

    /// Adds those of one image.
    pub fn add(&mut self, image: &[[f64; 2]]) {
        self.images += 1;
        for (sum, moment) in self.sums.iter_mut().zip(image) {
            sum[0] += moment[0];
            sum[1] += moment[1];
        }
    }

    pub fn normalisation(&self) -> Normalisation {
        let n = self.images.max(1) as f64;
        let of = |&[sum, squares]: &[f64; 2]| {
            let mean = sum / n;
            let variance = squares / n - mean * mean;
            // What rounding leaves of a constant channel's variance must not blow it up.
            let std = if variance > 1e-9 {
                variance.sqrt()
            } else {
                1.0
            };
            (mean as f32, std as f32)
        };
        let (mean, std) = self.sums.iter().map(of).unzip();
        Normalisation { mean, std }
    }
}

/// Mean and mean square of each channel of one image, samples in 0..1.
pub(crate) fn moments(pixels: &[u8], channels: usize) -> Vec<[f64; 2]> {
    let mut sums = vec![[0u64; 2]; channels];
    for pixel in pixels.chunks_exact(channels) {
        for (sum, &sample) in sums.iter_mut().zip(pixel) {
            let sample = u64::from(sample);
            sum[0] += sample;
            sum[1] += sample * sample;
        }
    }
    let n = (pixels.len() / channels) as f64;
    sums.into_iter()
        .map(|[sum, squares]| [sum as f64 / n / 255.0, squares as f64 / n / (255.0 * 255.0)])
        .collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn equals_two_passes_in_double_precision(
            n in 1usize..6, height in 1usize..5, width in 2usize..5, grey: bool, seed: usize,
        ) {
            let channels = if grey { 1 } else { 3 };
            let pixels: Vec<u8> = (0..n * height * width * channels)
                .map(|i| (((i + seed % 1000) * 2_654_435_761) >> 9) as u8)
                .collect();
            let split = Split::from_pixels([height, width, channels], pixels.clone(), &vec![0; n], 1).unwrap();
            let found = Normalisation::of(&split).unwrap();
            for c in 0..channels {
                let samples: Vec<f64> =
                    pixels.iter().skip(c).step_by(channels).map(|&p| f64::from(p) / 255.0).collect();
                let mean = samples.iter().sum::<f64>() / samples.len() as f64;
                let variance = samples.iter().map(|s| (s - mean).powi(2)).sum::<f64>() / samples.len() as f64;
                prop_assert!((f64::from(found.mean[c]) - mean).abs() < 1e-6);
                prop_assert!((f64::from(found.std[c]) - variance.sqrt()).abs() < 1e-6);
            }
            prop_assert_eq!(Normalisation::of(&split).unwrap(), found);
        }
    }

    #[test]
    fn a_constant_channel_stays_finite() {
        let split = Split::from_pixels([2, 2, 1], vec![77; 8], &[0, 1], 2).unwrap();
        let normalisation = Normalisation::of(&split).unwrap();
        assert_eq!(normalisation.std, [1.0]);
        assert!(
            normalisation.tables()[0]
                .iter()
                .all(|value| value.is_finite())
        );
    }

    #[test]
    fn tables_hold_the_formula() {
        let normalisation = Normalisation {
            mean: vec![0.25, 0.5],
            std: vec![0.5, 2.0],
        };
        let tables = normalisation.tables();
        assert_eq!(tables[0][255], 1.5);
        assert_eq!(tables[1][0], -0.25);
    }
}
