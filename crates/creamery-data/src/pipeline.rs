//! From a decoded image to the numbers a network takes.

use std::path::Path;

use rand::{Rng, RngExt};

use crate::decode;
use crate::error::DataError;
use crate::folder::file_size;
use crate::image::Image;
use crate::normalisation::Normalisation;
use crate::window::{Window, cut, resized_size};

/// The largest side of an image that networks are given, in pixels.
pub const MAX_RESOLUTION: usize = 4_096;

/// The random changes of an image in training.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Augment {
    /// Zeros put around the image before a random square is cut from it, in pixels of the resized image.
    pub crop_padding: usize,
    /// Whether half of the images are mirrored left to right.
    pub flip: bool,
}

/// How every image of a run becomes a square of normalised samples.
///
/// 1. Resized, bilinear and antialiased, so that its shorter side has `shorter_side` pixels.
/// 2. In training: framed with `crop_padding` black pixels (0 before normalisation), a random square of
///    `resolution` pixels cut out, mirrored with probability one half. In evaluation: the middle square.
/// 3. Scaled to 0..1 and normalised by channel.
///
/// [`DataSet::pipeline`](crate::DataSet::pipeline) makes the usual one for a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// Side of the square that networks are given, in pixels, up to [`MAX_RESOLUTION`].
    pub resolution: usize,
    /// Shorter side of the image that the square is cut from: `resolution` or more.
    pub shorter_side: usize,
    /// Samples per pixel: those of the images, 1 or 3.
    pub channels: usize,
    /// The random changes in training.
    pub augment: Augment,
    /// The normalisation of each channel.
    pub normalisation: Normalisation,
}

impl Pipeline {
    /// Floats of one image as networks take it: `resolution * resolution * channels`.
    pub(crate) fn samples(&self) -> usize {
        self.resolution * self.resolution * self.channels
    }

    /// An image file as networks take it in evaluation, `resolution * resolution * channels` values. Where the
    /// pipeline has one channel, colours become grey.
    ///
    /// # Errors
    /// [`DataError::Image`] if the file cannot be read or decoded; those of impossible settings.
    pub fn file(&self, path: &Path) -> Result<Vec<f32>, DataError> {
        let transform = self.ready()?;
        let image = file_size(path).and_then(|_| decode::read(path));
        let mut image = image.map_err(|fault| DataError::Image {
            path: path.to_owned(),
            fault,
        })?;
        if self.channels == 1 {
            image = image.to_grey();
        }
        let mut samples = Vec::with_capacity(self.samples());
        transform.evaluate(&image, &mut samples)?;
        Ok(samples)
    }

    /// Makes the pipeline ready to work, once its settings are known to fit each other.
    ///
    /// # Errors
    /// [`DataError::Resolution`], or [`DataError::Pipeline`] that tells which setting is wrong.
    pub(crate) fn ready(&self) -> Result<Transform, DataError> {
        let &Self {
            resolution,
            shorter_side,
            channels,
            augment,
            ref normalisation,
        } = self;
        let (means, deviations) = (&normalisation.mean, &normalisation.std);
        if !(1..=MAX_RESOLUTION).contains(&resolution) {
            return Err(DataError::Resolution { resolution });
        }
        let wrong = if shorter_side < resolution || shorter_side > 2 * MAX_RESOLUTION {
            format!(
                "images are resized to {shorter_side} px, outside {resolution} to {}",
                2 * MAX_RESOLUTION
            )
        } else if augment.crop_padding > MAX_RESOLUTION {
            format!(
                "a padding of {} px is more than {MAX_RESOLUTION}",
                augment.crop_padding
            )
        } else if !matches!(channels, 1 | 3) {
            format!("images have 1 or 3 channels, not {channels}")
        } else if means.len() != channels || deviations.len() != channels {
            format!(
                "images have {channels} channels, but the normalisation has {} means and {} deviations",
                means.len(),
                deviations.len()
            )
        } else if !means.iter().all(|mean| mean.is_finite())
            || !deviations.iter().all(|std| std.is_normal() && *std > 0.0)
        {
            "the normalisation needs finite means and finite deviations above zero".to_owned()
        } else {
            return Ok(Transform {
                pipeline: self.clone(),
                tables: normalisation.tables(),
            });
        };
        Err(DataError::Pipeline(wrong))
    }
}

/// A [`Pipeline`] whose settings fit, with its tables.
#[derive(Clone, Debug)]
pub(crate) struct Transform {
    pipeline: Pipeline,
    /// Per channel, the normalised value of each 8-bit sample.
    tables: Vec<[f32; 256]>,
}

impl Transform {
    pub(crate) fn pipeline(&self) -> &Pipeline {
        &self.pipeline
    }

    /// Changes `image` at random and appends it to `out`.
    pub(crate) fn train(
        &self,
        image: &Image,
        rng: &mut impl Rng,
        out: &mut Vec<f32>,
    ) -> Result<(), DataError> {
        let Pipeline {
            resolution,
            shorter_side,
            augment,
            ..
        } = self.pipeline;
        let size = resized_size(image.width, image.height, shorter_side);
        let padding = augment.crop_padding;
        let mut start = |side: usize| {
            let last = side + 2 * padding - resolution;
            rng.random_range(0..=last as u64) as i64 - padding as i64
        };
        let y = start(size.1);
        let x = start(size.0);
        let flip = augment.flip && rng.random();
        self.append(
            image,
            size,
            Window {
                x,
                y,
                side: resolution,
            },
            flip,
            out,
        )
    }

    /// Appends the middle of `image` to `out`.
    pub(crate) fn evaluate(&self, image: &Image, out: &mut Vec<f32>) -> Result<(), DataError> {
        let Pipeline {
            resolution,
            shorter_side,
            ..
        } = self.pipeline;
        let size = resized_size(image.width, image.height, shorter_side);
        let middle = |side: usize| ((side - resolution) / 2) as i64;
        let window = Window {
            x: middle(size.0),
            y: middle(size.1),
            side: resolution,
        };
        self.append(image, size, window, false, out)
    }

    fn append(
        &self,
        image: &Image,
        size: (usize, usize),
        window: Window,
        flip: bool,
        out: &mut Vec<f32>,
    ) -> Result<(), DataError> {
        let samples = cut(image, size, window, flip)?;
        out.reserve(samples.len());
        for pixel in samples.chunks_exact(self.tables.len()) {
            out.extend(
                pixel
                    .iter()
                    .zip(&self.tables)
                    .map(|(&sample, table)| table[usize::from(sample)]),
            );
        }
        Ok(())
    }
}
