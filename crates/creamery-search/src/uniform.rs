//! The strategy of SPOS: one random path a step.

use creamery_data::Batch;
use creamery_space::Sampler;
use creamery_train::TrainError;
use creamery_train::engine::{Position, StepReport};
use creamery_train::event::Events;

use crate::passes::Passes;
use crate::strategy::{Strategy, draw};
use crate::trainer::Trainer;

/// Single paths, uniform over all that the budget lets in (Guo et al. 2020).
pub struct Uniform {
    samplers: Vec<Sampler>,
}

impl Uniform {
    /// Draws from one sampler for each bucket of the budget.
    pub fn new(samplers: Vec<Sampler>) -> Self {
        Self { samplers }
    }
}

impl Strategy for Uniform {
    fn step(
        &mut self,
        at: Position,
        batch: &Batch,
        trainer: &mut Trainer,
        _events: &mut Events,
    ) -> Result<StepReport, TrainError> {
        let mut rng = creamery_rng::stream(trainer.seed(), "path", at.step);
        let (_, architecture) = draw(&self.samplers, &mut rng);
        let mut passes = Passes::new(batch, at.step);
        let path = trainer.supernet.path(&architecture)?;
        passes.run(trainer, &path, trainer.examples(batch), None)?;
        drop(path);
        passes.update(trainer)
    }
}
