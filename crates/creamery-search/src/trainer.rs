//! What every strategy needs to train a supernet.

use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor};
use creamery_data::Batch;
use creamery_nn::{Norm, Output, Subnet, SuperNet, Tracked, loss};
use creamery_space::{Architecture, Cost};
use creamery_train::optim::{Optimizer, Update};
use creamery_train::{Checkpoint, Schedule, TrainError, TrainSettings, finite, images};

use crate::meta::{Examples, distillation_loss};

/// The supernet and its optimizer.
pub struct Trainer {
    /// The supernet.
    pub supernet: SuperNet,
    optimizer: Optimizer,
    settings: TrainSettings,
    schedule: Schedule,
    seed: u64,
}

/// What a teacher says of a batch, and how much it counts.
#[derive(Clone, Debug)]
pub struct Guidance {
    /// The teacher's softmax outputs, `[n, classes]`.
    pub targets: Tensor<2>,
    /// Its weight, in (0, 1).
    pub rho: f64,
}

/// Forward pass of a path on a training batch, before its backward pass.
pub struct Pass {
    tracked: Tracked,
    loss: Tensor<1>,
    /// Logits and statistics.
    pub output: Output,
}

impl Trainer {
    /// A trainer at the start of a run.
    pub fn new(
        supernet: SuperNet,
        settings: &TrainSettings,
        schedule: Schedule,
        seed: u64,
    ) -> Self {
        Self {
            supernet,
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

    /// Asks a teacher about a batch, without gradients.
    pub fn guidance(&self, teacher: &Subnet, examples: &Examples, rho: f64) -> Guidance {
        let output = teacher.forward(examples.images.clone(), Norm::Batch);
        Guidance {
            targets: softmax(output.logits, 1),
            rho,
        }
    }

    /// Runs a path forward with gradients, to the loss against the labels and what a teacher says.
    pub fn forward(&self, path: &Subnet, examples: &Examples, guidance: Option<&Guidance>) -> Pass {
        let tracked = path.tracked();
        let output = tracked.net().forward(examples.images.clone(), Norm::Batch);
        let (logits, targets) = (output.logits.clone(), examples.targets.clone());
        let loss = match guidance {
            Some(Guidance {
                targets: teacher,
                rho,
            }) => distillation_loss(logits, targets, teacher.clone(), *rho),
            None => loss::cross_entropy(logits, targets),
        };
        Pass {
            tracked,
            loss,
            output,
        }
    }

    /// The loss of a pass and its gradients. Stops if the loss is not finite.
    ///
    /// # Errors
    /// [`TrainError::NotFinite`].
    pub fn gradients(&self, pass: Pass, step: u64) -> Result<(f64, Vec<Tensor<1>>), TrainError> {
        let value = f64::from(pass.loss.clone().into_scalar::<f32>());
        finite("loss", value, step, self.lr(step))?;
        Ok((value, pass.tracked.gradients(&pass.loss)))
    }

    /// Updates the supernet's layers of a path, running statistics included.
    ///
    /// Returns the gradient's global norm before clipping.
    ///
    /// # Errors
    /// [`TrainError::NotFinite`]; the supernet is then unchanged.
    pub fn update(
        &mut self,
        path: Subnet,
        gradients: Vec<Tensor<1>>,
        stats: &[Option<Tensor<1>>],
        step: u64,
    ) -> Result<f64, TrainError> {
        let update = Update {
            gradients,
            stats,
            step,
            lr: self.lr(step),
        };
        // The path shares the weights; without it they are updated in place.
        let architecture = path.architecture.clone();
        drop(path);
        let layers = self.supernet.layers_mut(&architecture)?;
        update.apply(layers, &mut self.optimizer, &self.settings)
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
