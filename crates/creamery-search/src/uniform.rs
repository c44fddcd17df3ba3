//! The strategy of SPOS: one random path a step.

use creamery_data::Batch;
use creamery_space::Sampler;
use creamery_train::TrainError;
use creamery_train::engine::{Position, StepReport};
use creamery_train::event::Events;

use crate::parts::Parts;
use crate::passes::Passes;
use crate::strategy::{Strategy, draw};
use crate::trainer::Trainer;

/// Single paths, uniform over all that the budget lets in (Guo et al. 2020).
pub struct Uniform {
    samplers: Vec<Sampler>,
    /// Paths of a step, each on a part of the batch.
    paths: usize,
}

impl Uniform {
    /// Draws from one sampler for each bucket of the budget.
    pub fn new(samplers: Vec<Sampler>) -> Self {
        Self { samplers, paths: 1 }
    }

    /// Trains so many paths a step, each on a part of the batch of its own.
    pub fn with_paths(self, paths: usize) -> Self {
        Self { paths, ..self }
    }

    /// A step of several paths.
    fn step_of_several(
        &self,
        at: Position,
        batch: &Batch,
        trainer: &mut Trainer,
    ) -> Result<StepReport, TrainError> {
        let mut rng = creamery_rng::stream(trainer.seed(), "path", at.step);
        let drawn = || draw(&self.samplers, &mut rng).1;
        let drawn: Vec<_> = std::iter::repeat_with(drawn).take(self.paths).collect();
        let parts = Parts::new(self.paths, trainer.ranks());
        let own = parts.of(batch);
        let mut passes = Passes::new(batch, at.step);
        let mut passed = Vec::new();
        for (index, images) in &own {
            let path = trainer.supernet.path(&drawn[*index])?;
            passes.turn_to(images);
            passes.run(trainer, &path, trainer.examples(images), None)?;
            let (loss, correct) = passes.last();
            passed.push((*index, loss, correct));
        }
        let paths: Vec<_> = drawn.iter().collect();
        let gathered = passes.into_gathered();
        let totals = trainer.update_union(gathered, at.step, parts, &paths, &passed)?;
        totals.report(trainer, at.step, &paths)
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
        if self.paths > 1 {
            return self.step_of_several(at, batch, trainer);
        }
        let mut rng = creamery_rng::stream(trainer.seed(), "path", at.step);
        let (_, architecture) = draw(&self.samplers, &mut rng);
        let mut passes = Passes::new(batch, at.step);
        let path = trainer.supernet.path(&architecture)?;
        passes.run_only(trainer, &path, trainer.examples(batch))?;
        drop(path);
        Ok(passes.update(trainer)?.report)
    }
}
