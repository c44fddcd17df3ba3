//! The strategy of BigNAS: largest, smallest and random paths in one step, the largest teaching the others.

use creamery_data::Batch;
use creamery_space::{Architecture, Sampler};
use creamery_train::engine::{Position, StepReport};
use creamery_train::event::Events;
use creamery_train::{TrainError, dropout_mask, own_images};

use crate::config::ElasticSettings;
use crate::meta::Examples;
use crate::passes::Passes;
use crate::strategy::{Strategy, draw};
use crate::trainer::Trainer;

/// The sandwich rule with in-place distillation (Yu et al. 2020).
///
/// The largest network of the space learns from labels, with dropout; the smallest one and random paths within the
/// budget learn only what it says of the same images in the same step. One update by the sum of all gradients follows;
/// weight decay is part of it, and so comes once, as the largest network's.
pub struct Sandwich {
    settings: ElasticSettings,
    samplers: Vec<Sampler>,
    largest: Architecture,
    smallest: Architecture,
}

impl Sandwich {
    /// Draws random paths from one sampler for each bucket of the budget.
    pub fn new(
        settings: &ElasticSettings,
        samplers: Vec<Sampler>,
        largest: Architecture,
        smallest: Architecture,
    ) -> Self {
        Self {
            settings: settings.clone(),
            samplers,
            largest,
            smallest,
        }
    }
}

impl Strategy for Sandwich {
    fn step(
        &mut self,
        at: Position,
        batch: &Batch,
        trainer: &mut Trainer,
        _events: &mut Events,
    ) -> Result<StepReport, TrainError> {
        let examples = trainer.examples(batch);
        let portion = trainer.portion(batch.n);
        let shape = [portion.batch(), trainer.supernet.space().head_channels];
        let (rate, seed) = (self.settings.dropout, trainer.seed());
        // Drawn for the whole batch, so that it does not matter how many share it.
        let mask = dropout_mask(rate, seed, at.step, shape, trainer.device());
        let mask = mask.map(|mask| own_images(mask, portion));
        let mut passes = Passes::new(batch, at.step);
        let largest = trainer.supernet.path(&self.largest)?;
        let passed = passes.run(trainer, &largest, examples.clone(), mask)?;
        drop(largest);

        let taught = Examples {
            targets: passed.outputs,
            ..examples
        };
        let mut rng = creamery_rng::stream(seed, "path", at.step);
        let random = (0..self.settings.random_paths).map(|_| draw(&self.samplers, &mut rng).1);
        for path in std::iter::once(self.smallest.clone()).chain(random) {
            let path = trainer.supernet.path(&path)?;
            passes.run(trainer, &path, taught.clone(), None)?;
        }
        Ok(passes.update(trainer)?.report)
    }
}
