//! From a decoded image to the numbers a network takes.

use std::path::Path;

use rand::{Rng, RngExt};

use crate::augment::{AutoAugment, Erasure, jitter};
use crate::decode::{self, ImageError};
use crate::error::DataError;
use crate::folder::file_size;
use crate::image::Image;
use crate::normalisation::Normalisation;
use crate::picture::{Interpolation, Picture};
use crate::store::ImagePlace;
use crate::window::{Window, cut, cut_rectangle, random_rectangle, resized_size};

/// The largest side of an image that networks are given, in pixels.
pub const MAX_RESOLUTION: usize = 4_096;

/// The random changes of an image in training, none by default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Augment {
    /// Zeros put around the image before a random square is cut from it, in pixels of the resized image.
    pub crop_padding: usize,
    /// Instead of that, a random rectangle of at least this share of the image is resized to the square: the crop of
    /// Inception (Szegedy et al. 2015), its sides' ratio between 3/4 and 4/3.
    pub crop_scale: Option<f64>,
    /// Whether half of the images are mirrored left to right.
    pub flip: bool,
    /// A policy that changes colours and places.
    pub auto: Option<AutoAugment>,
    /// How far brightness, contrast and saturation may move from 1, each; 0 for not at all.
    pub jitter: f64,
    /// Share of the images of which a random rectangle becomes noise, after normalisation.
    pub erasing: f64,
}

impl Augment {
    /// Random squares of padded images, and flips.
    pub const fn crop_and_flip(crop_padding: usize, flip: bool) -> Self {
        Self {
            crop_padding,
            crop_scale: None,
            flip,
            auto: None,
            jitter: 0.0,
            erasing: 0.0,
        }
    }

    /// What is wrong with a setting, if anything is.
    fn wrong(&self) -> Option<String> {
        let Self {
            crop_padding,
            crop_scale,
            jitter,
            erasing,
            ..
        } = *self;
        let share = |value: f64| (0.0..=1.0).contains(&value);
        if crop_padding > MAX_RESOLUTION {
            Some(format!(
                "a padding of {crop_padding} px is more than {MAX_RESOLUTION}"
            ))
        } else if let Some(scale) = crop_scale.filter(|scale| !share(*scale) || *scale == 0.0) {
            Some(format!(
                "crops of at least {scale} of an image: give a share above 0 and up to 1"
            ))
        } else if !(0.0..=10.0).contains(&jitter) {
            Some(format!("a colour jitter of {jitter} is not within 0 to 10"))
        } else if !share(erasing) {
            Some(format!(
                "erasing of {erasing} of the images is not within 0 to 1"
            ))
        } else {
            None
        }
    }
}

/// How every image of a run becomes a square of normalised samples.
///
/// 1. Resized, antialiased, so that its shorter side has `shorter_side` pixels.
/// 2. In training: framed with `crop_padding` black pixels (0 before normalisation), a random square of
///    `resolution` pixels cut out, mirrored with probability one half, changed by policy and jitter. In evaluation: the
///    middle square.
/// 3. Scaled to 0..1 and normalised by channel; in training a part perhaps erased.
///
/// [`DataSet::pipeline`](crate::DataSet::pipeline) makes the usual one for a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Pipeline {
    /// Side of the square that networks are given, in pixels, up to [`MAX_RESOLUTION`].
    pub resolution: usize,
    /// Shorter side of the image that the square is cut from: `resolution` or more.
    pub shorter_side: usize,
    /// How images are resized.
    pub interpolation: Interpolation,
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
        let mut samples = Vec::with_capacity(self.samples());
        let image = file_size(path).and_then(|_| decode::read(path));
        let done = image.and_then(|mut image| {
            if self.channels == 1 {
                image = image.to_grey();
            }
            transform.evaluate(&Picture::from(&image))
        });
        let square = done.map_err(|fault| DataError::Image {
            place: ImagePlace::file(path),
            fault,
        })?;
        transform.normalise(&square, &mut samples);
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
            interpolation: _,
            channels,
            ref augment,
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
        } else if let Some(wrong) = augment.wrong() {
            wrong
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

/// A picture as networks take it but for its normalisation, which makes four bytes of each sample.
#[derive(Clone, Debug)]
pub(crate) struct Square {
    /// HWC.
    pixels: Vec<u8>,
    /// What is erased once it is normalised.
    erasure: Option<Erasure>,
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

    /// Changes a picture at random.
    pub(crate) fn train(
        &self,
        picture: &Picture,
        rng: &mut impl Rng,
    ) -> Result<Square, ImageError> {
        let Pipeline {
            resolution,
            shorter_side,
            interpolation,
            ref augment,
            ..
        } = self.pipeline;
        let (width, height) = picture.size();
        let mut pixels = if let Some(scale) = augment.crop_scale {
            let rectangle = random_rectangle(width, height, scale, rng);
            let flip = augment.flip && rng.random();
            cut_rectangle(picture, rectangle, resolution, interpolation, flip)?
        } else {
            let size = resized_size(width, height, shorter_side);
            let padding = augment.crop_padding;
            let mut start = |side: usize| {
                let last = side + 2 * padding - resolution;
                rng.random_range(0..=last as u64) as i64 - padding as i64
            };
            let (y, x) = (start(size.1), start(size.0));
            let flip = augment.flip && rng.random();
            let window = Window {
                x,
                y,
                side: resolution,
            };
            cut(picture, size, window, interpolation, flip)?
        };
        if augment.auto.is_some() || augment.jitter > 0.0 {
            let mut image = Image {
                width: resolution,
                height: resolution,
                channels: picture.channels(),
                pixels,
            };
            if let Some(policy) = &augment.auto {
                policy.apply(&mut image, rng);
            }
            if augment.jitter > 0.0 {
                jitter(&mut image, augment.jitter, rng);
            }
            pixels = image.pixels;
        }
        let erased = augment.erasing > 0.0 && rng.random_bool(augment.erasing);
        let erasure = erased.then(|| Erasure::draw(resolution, picture.channels(), rng));
        Ok(Square {
            pixels,
            erasure: erasure.flatten(),
        })
    }

    /// The middle of a picture.
    pub(crate) fn evaluate(&self, picture: &Picture) -> Result<Square, ImageError> {
        let Pipeline {
            resolution,
            shorter_side,
            interpolation,
            ..
        } = self.pipeline;
        let (width, height) = picture.size();
        let size = resized_size(width, height, shorter_side);
        let middle = |side: usize| ((side - resolution) / 2) as i64;
        let window = Window {
            x: middle(size.0),
            y: middle(size.1),
            side: resolution,
        };
        Ok(Square {
            pixels: cut(picture, size, window, interpolation, false)?,
            erasure: None,
        })
    }

    /// Appends the samples that networks take to `out`.
    pub(crate) fn normalise(&self, square: &Square, out: &mut Vec<f32>) {
        let first = out.len();
        match &self.tables[..] {
            [table] => out.extend(
                square
                    .pixels
                    .iter()
                    .map(|&sample| table[usize::from(sample)]),
            ),
            [red, green, blue] => {
                let pixels = square.pixels.as_chunks::<3>().0;
                out.extend(pixels.iter().flat_map(|&[r, g, b]| {
                    [
                        red[usize::from(r)],
                        green[usize::from(g)],
                        blue[usize::from(b)],
                    ]
                }));
            }
            _ => unreachable!("images have 1 or 3 channels"),
        }
        if let Some(erasure) = &square.erasure {
            erasure.erase(&mut out[first..], self.pipeline.resolution);
        }
    }
}
