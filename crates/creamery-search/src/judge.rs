//! Judging paths on images that were held out of training.

use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor};
use creamery_data::{DataError, Loader, Pipeline, Split};
use creamery_nn::{Norm, Subnet, loss};
use creamery_train::event::Accuracy;
use creamery_train::{Ranks, RunData, Tally, TrainError, evaluate_across, images};
use rand::seq::SliceRandom;

use crate::config::CreamSettings;
use crate::matching::MatchOn;
use crate::meta::Examples;

/// Some images on the device, with their labels.
struct Held {
    images: Tensor<4>,
    labels: Vec<usize>,
}

/// Held-out images in memory that score many paths, batch by batch.
pub(crate) struct Panel {
    held: Vec<Held>,
}

impl Panel {
    /// How many images.
    pub fn images(&self) -> usize {
        self.held.iter().map(|held| held.labels.len()).sum()
    }
}

/// The images on which paths are compared, and what is compared of them.
#[derive(Clone, Debug)]
pub struct Anchors {
    /// `[n, height, width, channels]`.
    pub images: Tensor<4>,
    /// Softmax outputs or pooled features.
    pub match_on: MatchOn,
}

impl Anchors {
    /// phi: what the path says of the anchors, with their own batch statistics, flat. No running
    /// statistics are touched.
    pub fn phi(&self, path: &Subnet) -> Vec<f32> {
        let output = path.forward(self.images.clone(), Norm::Batch);
        let phi = match self.match_on {
            MatchOn::Logits => softmax(output.logits, 1),
            MatchOn::Features => output.features(),
        };
        phi.into_data().try_into_vec().expect("networks are f32")
    }
}

/// Calibrates and scores paths, and knows the anchors.
pub struct Judge {
    /// Training images, without augmentation, for batch-norm calibration.
    calibration: Vec<Tensor<4>>,
    /// Held-out images that confirm a path.
    confirm: Panel,
    anchors: Anchors,
    validation: Split,
    pipeline: Pipeline,
    batch: usize,
    workers: usize,
    seed: u64,
    device: Device,
    /// Who shares the work, for whatever does not say `alone`.
    ranks: Ranks,
}

/// So many images of a split, by `seed`; all of them if it has no more.
fn draw(split: &Split, purpose: &str, count: usize, seed: u64) -> Result<Split, DataError> {
    let mut indices: Vec<usize> = (0..split.len()).collect();
    indices.shuffle(&mut creamery_rng::stream(seed, purpose, 0));
    indices.truncate(count.max(1));
    split.subset(&indices)
}

/// The bits of statistics, which go from rank to rank as text.
fn to_bits(stats: Tensor<1>) -> Vec<u32> {
    let data = stats.into_data();
    let values = data.as_slice::<f32>().expect("statistics are f32");
    values.iter().map(|value| value.to_bits()).collect()
}

/// Reads all images of a split, without augmentation.
fn load(
    split: &Split,
    pipeline: &Pipeline,
    batch: usize,
    workers: usize,
    device: &Device,
) -> Result<Vec<Held>, TrainError> {
    Loader::evaluation(split, pipeline, batch, workers)?
        .map(|held| {
            let held = held?;
            Ok(Held {
                images: images(&held, device),
                labels: held.labels,
            })
        })
        .collect()
}

impl Judge {
    /// Draws the images of each kind from the run's data, by `seed`.
    ///
    /// # Errors
    /// If the images cannot be read.
    pub fn new(
        data: &RunData,
        validation: &Split,
        settings: &CreamSettings,
        batch: usize,
        workers: usize,
        seed: u64,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let load = |split: &Split, purpose: &str, count: usize| {
            let drawn = draw(split, purpose, count, seed)?;
            load(&drawn, &data.pipeline, batch, workers, device)
        };
        let calibration = load(&data.train, "calibration", settings.calibration_images)?;
        let anchors = load(validation, "anchors", settings.anchors)?;
        let anchors = anchors.into_iter().map(|held| held.images).collect();
        Ok(Self {
            calibration: calibration.into_iter().map(|h| h.images).collect(),
            confirm: Panel {
                held: load(validation, "confirm", settings.confirm_images)?,
            },
            anchors: Anchors {
                images: Tensor::cat(anchors, 0),
                match_on: settings.match_on,
            },
            validation: validation.clone(),
            pipeline: data.pipeline.clone(),
            batch,
            workers,
            seed,
            device: device.clone(),
            ranks: data.ranks,
        })
    }

    /// So many held-out images to score paths by; all of them if there are no more.
    ///
    /// # Errors
    /// If the images cannot be read.
    pub(crate) fn panel(&self, images: usize) -> Result<Panel, TrainError> {
        let drawn = draw(&self.validation, "panel", images, self.seed)?;
        Ok(Panel {
            held: load(
                &drawn,
                &self.pipeline,
                self.batch,
                self.workers,
                &self.device,
            )?,
        })
    }

    /// The path with batch norms calibrated on training images. Ranks share out the batches.
    ///
    /// # Errors
    /// None in a judge that was made: there are calibration images.
    pub fn calibrated(&self, path: Subnet) -> Result<Subnet, TrainError> {
        self.calibrated_by(self.ranks, path)
    }

    fn calibrated_by(&self, ranks: Ranks, mut path: Subnet) -> Result<Subnet, TrainError> {
        if ranks.is_alone() {
            path.calibrate(self.calibration.iter().cloned())?;
            return Ok(path);
        }
        // Put together batch by batch, in their order, so that the sum is that of one process to the last bit.
        let seen = ranks.share_out(self.calibration.len(), |index| {
            let batch = self.calibration[index].clone();
            let stats = path.forward(batch, Norm::Batch).stats.into_iter();
            Ok::<_, TrainError>(stats.map(|stats| stats.map(to_bits)).collect::<Vec<_>>())
        })?;
        let tensor = |bits: Vec<u32>| {
            let values: Vec<f32> = bits.into_iter().map(f32::from_bits).collect();
            Tensor::from_data(&values[..], &self.device)
        };
        let seen = seen.into_iter().map(|stats| {
            let stats = stats.into_iter();
            stats.map(|stats| stats.map(tensor)).collect()
        });
        path.calibrate_by(seen)?;
        Ok(path)
    }

    /// Top-1 of the calibrated path on the held-out images that confirm, in percent. Ranks share out the batches.
    ///
    /// # Errors
    /// See [`calibrated`](Self::calibrated).
    pub fn confirm(&self, path: Subnet) -> Result<f64, TrainError> {
        self.score(self.ranks, path, &self.confirm)
    }

    /// [`confirm`](Self::confirm) by this rank without the others.
    ///
    /// # Errors
    /// See [`calibrated`](Self::calibrated).
    pub(crate) fn confirm_alone(&self, path: Subnet) -> Result<f64, TrainError> {
        self.score(Ranks::default(), path, &self.confirm)
    }

    /// Top-1 of the calibrated path on a panel's images, in percent. `ranks` share out the batches.
    ///
    /// # Errors
    /// See [`calibrated`](Self::calibrated).
    pub(crate) fn score(
        &self,
        ranks: Ranks,
        path: Subnet,
        panel: &Panel,
    ) -> Result<f64, TrainError> {
        let path = self.calibrated_by(ranks, path)?;
        let mut tally = Tally::default();
        for index in ranks.own(panel.held.len()) {
            let held = &panel.held[index];
            let output = path.forward(held.images.clone(), Norm::Running);
            tally.add(&output.logits, &held.labels);
        }
        if !ranks.is_alone() {
            tally = tally.joined(ranks);
        }
        Ok(tally.accuracy().top1)
    }

    /// Accuracy of the calibrated path on the whole validation split, and the path. Ranks share out the batches.
    ///
    /// # Errors
    /// If the images cannot be read.
    pub fn validate(&self, path: Subnet) -> Result<(Accuracy, Subnet), TrainError> {
        let path = self.calibrated(path)?;
        Ok((self.accuracy(self.ranks, &path)?, path))
    }

    /// The accuracy of [`validate`](Self::validate), by this rank without the others.
    ///
    /// # Errors
    /// If the images cannot be read.
    pub(crate) fn validate_alone(&self, path: Subnet) -> Result<Accuracy, TrainError> {
        let alone = Ranks::default();
        self.accuracy(alone, &self.calibrated_by(alone, path)?)
    }

    fn accuracy(&self, ranks: Ranks, path: &Subnet) -> Result<Accuracy, TrainError> {
        let answers = evaluate_across(
            ranks,
            path,
            &self.validation,
            &self.pipeline,
            self.batch,
            self.workers,
            &self.device,
        )?;
        Ok(answers.accuracy)
    }

    /// phi of a path: see [`Anchors::phi`].
    pub fn phi(&self, path: &Subnet) -> Vec<f32> {
        self.anchors.phi(path)
    }

    /// A batch of held-out images for the `n`-th lesson of the meta network, in turn.
    pub fn lesson(&self, n: u64, classes: usize) -> Examples {
        let confirm = &self.confirm.held;
        let held = &confirm[(n % confirm.len() as u64) as usize];
        Examples {
            images: held.images.clone(),
            targets: loss::smoothed_targets(&held.labels, classes, 0.0, &self.device),
        }
    }
}
