//! One half of a method: how a supernet is trained. The other, how its winner is chosen, is a
//! [`Selector`](crate::select::Selector).

use creamery_data::Batch;
use creamery_space::{Architecture, Sampler};
use creamery_train::engine::{Position, StepReport};
use creamery_train::event::{BoardRow, Events};
use creamery_train::{Checkpoint, TrainError};
use rand::{Rng, RngExt};

use crate::trainer::Trainer;

/// How a step trains the supernet.
pub trait Strategy {
    /// Trains on one batch.
    ///
    /// # Errors
    /// If the step fails; the state is then not used again.
    fn step(
        &mut self,
        at: Position,
        batch: &Batch,
        trainer: &mut Trainer,
        events: &mut Events,
    ) -> Result<StepReport, TrainError>;

    /// Works off the end of an epoch.
    ///
    /// # Errors
    /// If it fails; the state is then not used again.
    fn end_epoch(
        &mut self,
        _at: Position,
        _trainer: &Trainer,
        _events: &mut Events,
    ) -> Result<(), TrainError> {
        Ok(())
    }

    /// The prioritized paths, best first, bucket by bucket; empty for a strategy without a board.
    fn board(&self) -> Vec<BoardRow> {
        Vec::new()
    }

    /// Adds all state but the trainer's to a checkpoint.
    fn save(&self, _checkpoint: &mut Checkpoint) {}

    /// Takes that state out of a checkpoint.
    ///
    /// # Errors
    /// If a part is missing or of another form.
    fn load(&mut self, _checkpoint: &mut Checkpoint) -> Result<(), TrainError> {
        Ok(())
    }
}

/// A random bucket of the budget and a random path in it.
pub(crate) fn draw(samplers: &[Sampler], rng: &mut impl Rng) -> (usize, Architecture) {
    let bucket = rng.random_range(0..samplers.len());
    (bucket, samplers[bucket].draw(rng))
}
