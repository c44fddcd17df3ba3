//! What every strategy needs to train a supernet.

use burn::tensor::{Device, Tensor};
use creamery_data::Batch;
use creamery_nn::{Norm, Output, Subnet, SuperNet, Tracked, loss};
use creamery_space::{Architecture, Cost};
use creamery_train::optim::{Optimizer, clip_global_norm};
use creamery_train::{Checkpoint, Schedule, TrainError, TrainSettings, finite, images};

use crate::judge::Judge;
use crate::meta::Examples;

/// The supernet, its optimizer and the images that judge its paths.
pub struct Trainer {
    /// The supernet.
    pub supernet: SuperNet,
    /// Judges paths.
    pub judge: Judge,
    optimizer: Optimizer,
    settings: TrainSettings,
    schedule: Schedule,
    seed: u64,
}

/// Forward pass of a path on a training batch, before its backward pass.
pub struct Pass {
    tracked: Tracked,
    /// Logits and statistics.
    pub output: Output,
}

impl Trainer {
    /// A trainer at the start of a run.
    pub fn new(
        supernet: SuperNet,
        judge: Judge,
        settings: &TrainSettings,
        schedule: Schedule,
        seed: u64,
    ) -> Self {
        Self {
            supernet,
            judge,
            optimizer: Optimizer::new(settings.optimizer()),
            settings: settings.clone(),
            schedule,
            seed,
        }
    }

    /// The run's seed.
    pub fn seed(&self) -> u64 {
        self.seed
    }

    /// The learning rate of a step.
    pub fn lr(&self, step: u64) -> f64 {
        self.schedule.lr(step)
    }

    /// The device of the supernet.
    pub fn device(&self) -> &Device {
        self.supernet.device()
    }

    /// What a path costs.
    ///
    /// # Errors
    /// If it is not one of the space.
    pub fn cost(&self, architecture: &Architecture) -> Result<Cost, TrainError> {
        let net = &self.supernet;
        let cost = net
            .space()
            .cost(architecture, net.in_channels(), net.classes());
        Ok(cost.map_err(creamery_nn::NnError::from)?)
    }

    /// The images and smoothed targets of a batch.
    pub fn examples(&self, batch: &Batch) -> Examples {
        Examples {
            images: images(batch, self.device()),
            targets: loss::smoothed_targets(
                &batch.labels,
                self.supernet.classes(),
                self.settings.label_smoothing,
                self.device(),
            ),
        }
    }

    /// Runs a path forward with gradients.
    pub fn forward(&self, path: &Subnet, images: Tensor<4>) -> Pass {
        let tracked = path.tracked();
        let output = tracked.net().forward(images, Norm::Batch);
        Pass { tracked, output }
    }

    /// Gradients of a loss of this pass, and what the pass saw. Stops if the loss is not finite.
    ///
    /// # Errors
    /// [`TrainError::NotFinite`].
    pub fn gradients(
        &self,
        pass: Pass,
        loss: &Tensor<1>,
        step: u64,
    ) -> Result<(f64, Vec<Tensor<1>>), TrainError> {
        let value = f64::from(loss.clone().into_scalar::<f32>());
        finite("loss", value, step, self.lr(step))?;
        Ok((value, pass.tracked.gradients(loss)))
    }

    /// Updates the layers of a path, its running statistics included, and puts it back.
    ///
    /// Returns the gradient's global norm before clipping.
    ///
    /// # Errors
    /// [`TrainError::NotFinite`]; the supernet is then unchanged.
    pub fn update(
        &mut self,
        mut path: Subnet,
        mut gradients: Vec<Tensor<1>>,
        stats: &[Option<Tensor<1>>],
        step: u64,
    ) -> Result<f64, TrainError> {
        let lr = self.lr(step);
        let max = match self.settings.clip_norm {
            0.0 => f64::INFINITY,
            max => max,
        };
        let norm = clip_global_norm(&mut gradients, max);
        finite("gradient norm", norm, step, lr)?;
        self.optimizer.step(path.params_mut(), gradients, lr);
        path.absorb(stats, self.settings.norm_momentum);
        self.supernet.put(path)?;
        Ok(norm)
    }

    /// Adds supernet and optimizer to a checkpoint.
    pub fn save(&self, checkpoint: &mut Checkpoint) {
        checkpoint.put_tensors("supernet", self.supernet.state());
        checkpoint.put_tensors("optimizer", self.optimizer.state());
    }

    /// Takes supernet and optimizer out of a checkpoint.
    ///
    /// # Errors
    /// If they are not those of this space.
    pub fn load(&mut self, checkpoint: &mut Checkpoint) -> Result<(), TrainError> {
        self.supernet.load(checkpoint.take_tensors("supernet"))?;
        let device = self.device().clone();
        self.optimizer
            .load(checkpoint.take_tensors("optimizer"), &device)?;
        Ok(())
    }
}
