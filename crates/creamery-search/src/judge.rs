//! Judging paths on images that were held out of training.

use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor};
use creamery_data::{DataError, Loader, Pipeline, Split};
use creamery_nn::{Norm, Subnet, loss};
use creamery_train::event::Accuracy;
use creamery_train::{RunData, Tally, TrainError, evaluate, images};
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
}

/// So many images of a split, by `seed`; all of them if it has no more.
fn draw(split: &Split, purpose: &str, count: usize, seed: u64) -> Result<Split, DataError> {
    let mut indices: Vec<usize> = (0..split.len()).collect();
    indices.shuffle(&mut creamery_rng::stream(seed, purpose, 0));
    indices.truncate(count.max(1));
    split.subset(&indices)
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

    /// The path with batch norms calibrated on training images.
    ///
    /// # Errors
    /// None in a judge that was made: there are calibration images.
    pub fn calibrated(&self, mut path: Subnet) -> Result<Subnet, TrainError> {
        path.calibrate(self.calibration.iter().cloned())?;
        Ok(path)
    }

    /// Top-1 of the calibrated path on the held-out images that confirm, in percent.
    ///
    /// # Errors
    /// See [`calibrated`](Self::calibrated).
    pub fn confirm(&self, path: Subnet) -> Result<f64, TrainError> {
        self.score(path, &self.confirm)
    }

    /// Top-1 of the calibrated path on a panel's images, in percent.
    ///
    /// # Errors
    /// See [`calibrated`](Self::calibrated).
    pub(crate) fn score(&self, path: Subnet, panel: &Panel) -> Result<f64, TrainError> {
        let path = self.calibrated(path)?;
        let mut tally = Tally::default();
        for held in &panel.held {
            let output = path.forward(held.images.clone(), Norm::Running);
            tally.add(&output.logits, &held.labels);
        }
        Ok(tally.accuracy().top1)
    }

    /// Accuracy of the calibrated path on the whole validation split, and the path.
    ///
    /// # Errors
    /// If the images cannot be read.
    pub fn validate(&self, path: Subnet) -> Result<(Accuracy, Subnet), TrainError> {
        let path = self.calibrated(path)?;
        let accuracy = evaluate(
            &path,
            &self.validation,
            &self.pipeline,
            self.batch,
            self.workers,
            &self.device,
        )?;
        Ok((accuracy, path))
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
