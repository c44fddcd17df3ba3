//! The two halves of a method: how a supernet is trained, and how its winner is chosen.

use creamery_data::Batch;
use creamery_nn::Subnet;
use creamery_space::{Architecture, Cost};
use creamery_train::engine::{Position, StepReport};
use creamery_train::event::{Accuracy, BoardRow, Events};
use creamery_train::{Checkpoint, TrainError};

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
        at: Position,
        trainer: &Trainer,
        events: &mut Events,
    ) -> Result<(), TrainError>;

    /// The prioritized paths, best first, bucket by bucket; empty for a strategy without a board.
    fn board(&self) -> Vec<BoardRow>;

    /// Adds all state but the trainer's to a checkpoint.
    fn save(&self, checkpoint: &mut Checkpoint);

    /// Takes that state out of a checkpoint.
    ///
    /// # Errors
    /// If a part is missing or of another form.
    fn load(&mut self, checkpoint: &Checkpoint) -> Result<(), TrainError>;
}

/// A path that a selector chose.
#[derive(Clone, Debug)]
pub struct Winner {
    /// The path.
    pub architecture: Architecture,
    /// What it costs.
    pub cost: Cost,
    /// Its accuracy on the whole validation split, batch norms calibrated.
    pub validation: Accuracy,
    /// The path with its weights and calibrated batch norms.
    pub net: Subnet,
    /// The bucket of the budget that it wins.
    pub bucket: usize,
}

/// Which architecture of a trained supernet wins.
pub trait Selector {
    /// The winner of each bucket, in the order of their cost.
    ///
    /// # Errors
    /// If paths cannot be judged, or none fits.
    fn select(
        &mut self,
        strategy: &dyn Strategy,
        trainer: &Trainer,
        events: &mut Events,
    ) -> Result<Vec<Winner>, TrainError>;
}
