//! What every strategy needs to train a supernet.

use std::collections::HashSet;

use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor};
use creamery_data::{Batch, Portion};
use creamery_nn::{Drops, Gathered, Norm, Output, Subnet, SuperNet, Tracked, loss};
use creamery_space::{Architecture, Cost};
use creamery_train::collective::mean_gradients;
use creamery_train::optim::{Optimizer, Update};
use creamery_train::{Checkpoint, Ranks, Schedule, TrainError, TrainSettings, finite, images};

use crate::meta::Examples;

/// The supernet and its optimizer.
pub struct Trainer {
    /// The supernet.
    pub supernet: SuperNet,
    optimizer: Optimizer,
    settings: TrainSettings,
    schedule: Schedule,
    seed: u64,
    ranks: Ranks,
}

/// Forward pass of a path on a training batch, before its backward pass.
pub struct Pass {
    tracked: Tracked,
    loss: Tensor<1>,
    /// Logits and statistics.
    pub output: Output,
}

/// What a pass yields over the portions of all ranks.
pub(crate) struct Shared {
    pub gradients: Vec<Tensor<1>>,
    pub stats: Vec<Option<Tensor<1>>>,
    pub loss: f64,
    pub correct: usize,
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
            ranks: Ranks::default(),
        }
    }

    /// The trainer of one of several ranks.
    pub fn among(self, ranks: Ranks) -> Self {
        Self { ranks, ..self }
    }

    /// Who trains together.
    pub fn ranks(&self) -> Ranks {
        self.ranks
    }

    /// The portion of a batch that this rank's `images` images are.
    pub fn portion(&self, images: usize) -> Portion {
        self.ranks.portion(images * self.ranks.size())
    }

    /// The statistics that batch norms go by on training images.
    pub fn norm(&self) -> Norm {
        self.ranks.norm(self.settings.sync_norm)
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

    /// What a teacher says of images, without gradients: softmax outputs, `[n, classes]`.
    pub fn ask(&self, teacher: &Subnet, images: Tensor<4>) -> Tensor<2> {
        softmax(teacher.forward(images, self.norm()).logits, 1)
    }

    /// Runs a path forward with gradients, to the loss against the targets. `mask` is that of
    /// dropout, [`Drops::features`].
    pub fn forward(&self, path: &Subnet, examples: Examples, mask: Option<Tensor<2>>) -> Pass {
        let tracked = path.tracked();
        let net = tracked.net();
        let drops = Drops {
            features: mask,
            ..Drops::default()
        };
        let output = net.forward_dropping(examples.images, self.norm(), drops);
        let loss = loss::cross_entropy(output.logits.clone(), examples.targets);
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

    /// The loss of a pass and its gradients, which with its statistics become the means over the ranks; sums
    /// `correct` over them too. To be used for a step's only pass.
    ///
    /// # Errors
    /// [`TrainError::NotFinite`].
    pub(crate) fn mean_gradients(
        &self,
        mut pass: Pass,
        correct: usize,
        step: u64,
    ) -> Result<Shared, TrainError> {
        let value = f64::from(pass.loss.clone().into_scalar::<f32>());
        finite("loss", value, step, self.lr(step))?;
        let ranks = self.ranks;
        let mut scalars = [value / ranks.size() as f64, correct as f64];
        let stats = pass.output.stats.iter_mut().flatten();
        let gradients = mean_gradients(ranks, &pass.tracked, &pass.loss, stats, &mut scalars);
        Ok(Shared {
            gradients,
            stats: pass.output.stats,
            loss: scalars[0],
            correct: scalars[1] as usize,
        })
    }

    /// Updates the layers of the supernet that passes yielded something to, running statistics included, by the means
    /// over `with`, and sums `scalars` over them. All ranks' passes must be of the same paths.
    ///
    /// Layers are updated in place if no path shares them any more. Returns the gradient's global norm
    /// before clipping.
    ///
    /// # Errors
    /// [`TrainError::NotFinite`]; the supernet is then unchanged.
    pub fn update(
        &mut self,
        mut gathered: Gathered,
        step: u64,
        with: Ranks,
        scalars: &mut [f64],
    ) -> Result<f64, TrainError> {
        let (mut layers, mut gradients, mut stats) = (Vec::new(), Vec::new(), Vec::new());
        for layer in self.supernet.layers_mut() {
            if let Some(share) = gathered.remove(&layer.name) {
                layers.push(layer);
                gradients.push(share.gradient);
                stats.push(share.stats);
            }
        }
        let mut update = Update {
            gradients,
            stats,
            step,
            lr: self.schedule.lr(step),
        };
        update.share(with, scalars);
        update.apply(layers, &mut self.optimizer, &self.settings)
    }

    /// Updates the layers of these names, which `update` has in the supernet's order.
    pub(crate) fn apply(
        &mut self,
        update: Update,
        names: &HashSet<String>,
    ) -> Result<f64, TrainError> {
        let layers = self.supernet.layers_mut();
        let layers = layers.filter(|layer| names.contains(&layer.name));
        update.apply(layers, &mut self.optimizer, &self.settings)
    }

    /// Sorts the inner channels of elastic blocks, and what the optimizer keeps of them; see
    /// [`SuperNet::sort_channels`].
    pub fn sort_channels(&mut self) {
        for (layer, from) in self.supernet.sort_channels() {
            self.optimizer.permute(&layer, &from);
        }
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
