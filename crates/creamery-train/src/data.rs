//! A data set made ready for a run: opened, split, normalised.

use creamery_data::{Augment, DataSet, Normalisation, Pipeline, Split, hold_out};

use crate::collective::Ranks;
use crate::settings::DataSettings;
use crate::{ConfigError, TrainError};

/// The images of a run.
#[derive(Clone)]
pub struct RunData {
    /// The data set.
    pub set: DataSet,
    /// Images to train on: the training split without those held out.
    pub train: Split,
    /// Images held out of training, to choose by; `None` if the settings hold out none.
    pub validation: Option<Split>,
    /// From decoded images to the network's input, normalised by the images to train on.
    pub pipeline: Pipeline,
    /// Who works on them: this process alone, unless somebody else is set here.
    pub ranks: Ranks,
}

impl RunData {
    /// Opens the data set.
    ///
    /// # Errors
    /// If it is unknown, missing or damaged.
    pub fn open(settings: &DataSettings) -> Result<DataSet, TrainError> {
        if !(0.0..=0.5).contains(&settings.validation) {
            return Err(ConfigError::Value(format!(
                "`data.validation` is {}, but must be in [0, 0.5], the share of the training images held out",
                settings.validation
            ))
            .into());
        }
        let options = settings.options();
        Ok(DataSet::open(&settings.source, &options)?)
    }

    /// Splits and normalises an opened data set for networks of `resolution` pixels. The split and the
    /// normalisation depend on the data and, if [`DataSettings::split_seed`] is not given, the run's `seed`.
    ///
    /// # Errors
    /// If there are too few images to hold any out, or images cannot be read.
    pub fn prepare(
        set: DataSet,
        settings: &DataSettings,
        resolution: usize,
        seed: u64,
    ) -> Result<Self, TrainError> {
        let held_out = (set.train.len() as f64 * settings.validation).round() as usize;
        let (train, validation) = if settings.validation > 0.0 {
            let seed = settings.split_seed.unwrap_or(seed);
            let (train, validation) = hold_out(&set.train, held_out, seed)?;
            (train, Some(validation))
        } else {
            (set.train.clone(), None)
        };
        let train = train.sampled(settings.sampling());
        let mut pipeline = set.pipeline(resolution, Normalisation::of(&train)?);
        pipeline.interpolation = settings.interpolation;
        if let Some(fraction) = settings.crop_fraction {
            pipeline.shorter_side = (resolution as f64 / fraction).round() as usize;
        }
        if let Some(padding) = settings.crop_padding {
            pipeline.augment.crop_padding = padding;
        }
        if let Some(flip) = settings.flip {
            pipeline.augment.flip = flip;
        }
        pipeline.augment = Augment {
            crop_scale: settings.crop_scale,
            auto: settings.policy()?,
            jitter: settings.color_jitter,
            erasing: settings.erasing,
            ..pipeline.augment
        };
        Ok(Self {
            set,
            train,
            validation,
            pipeline,
            ranks: Ranks::default(),
        })
    }

    /// Images held out.
    pub fn validation_images(&self) -> usize {
        self.validation.as_ref().map_or(0, Split::len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_split_is_of_the_runs_seed_or_of_its_own() {
        let set = RunData::open(&DataSettings::default()).unwrap();
        let held_out = |split_seed, seed| {
            let settings = DataSettings {
                split_seed,
                ..DataSettings::default()
            };
            let data = RunData::prepare(set.clone(), &settings, 28, seed).unwrap();
            let held_out = data.validation.unwrap();
            (0..held_out.len())
                .map(|i| held_out.image(i).unwrap().pixels)
                .collect::<Vec<_>>()
        };
        let ours = held_out(None, 7);
        assert!(held_out(Some(7), 8) == ours);
        assert!(held_out(Some(8), 7) != ours);
    }
}
