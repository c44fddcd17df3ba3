use burn::tensor::Tensor;
use creamery_nn::{Layer, ops};

use super::{Optimizer, clip_factor, global_norm};
use crate::collective::{Ranks, mean};
use crate::{TrainError, TrainSettings, finite};

/// What a step's passes yield to the update of a network.
#[derive(Debug)]
pub struct Update {
    /// One flat gradient for each layer.
    pub gradients: Vec<Tensor<1>>,
    /// For each layer the statistics of the batch, as often as the layer ran.
    pub stats: Vec<Vec<Tensor<1>>>,
    /// The step, counted from 0.
    pub step: u64,
    /// Its learning rate.
    pub lr: f64,
}

impl Update {
    /// Adds what another part of the step's batch yields.
    pub fn join(&mut self, gradients: Vec<Tensor<1>>, stats: Vec<Vec<Tensor<1>>>) {
        for (sum, gradient) in self.gradients.iter_mut().zip(gradients) {
            ops::blend(1.0, sum, 1.0, &gradient);
        }
        for (seen, more) in self.stats.iter_mut().zip(stats) {
            seen.extend(more);
        }
    }

    /// Makes it that of the whole batch, of which this is a rank's portion: the means over the ranks of gradients and
    /// statistics. Sums `scalars` over them in the same go.
    ///
    /// Alone this does nothing.
    pub fn share(&mut self, ranks: Ranks, scalars: &mut [f64]) {
        let stats = self.stats.iter_mut().flatten();
        mean(ranks, self.gradients.iter_mut().chain(stats), scalars);
    }

    /// Updates layers and their running statistics, and returns the gradient's global norm before clipping.
    ///
    /// Layers whose tensors nobody else holds are changed in place.
    ///
    /// # Errors
    /// [`TrainError::NotFinite`]; the layers are then unchanged.
    pub fn apply<'l>(
        self,
        layers: impl IntoIterator<Item = &'l mut Layer>,
        optimizer: &mut Optimizer,
        settings: &TrainSettings,
    ) -> Result<f64, TrainError> {
        let norm = global_norm(&self.gradients);
        finite("gradient norm", norm, self.step, self.lr)?;
        let factor = clip_factor(norm, settings.clip_norm);
        let passes = self.gradients.into_iter().zip(self.stats);
        for (layer, (gradient, seen)) in layers.into_iter().zip(passes) {
            optimizer.step(layer.params_mut(), gradient, self.lr, factor);
            for seen in &seen {
                layer.absorb(Some(seen), settings.norm_momentum);
            }
        }
        Ok(norm)
    }
}
