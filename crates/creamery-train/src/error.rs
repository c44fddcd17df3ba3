use std::path::PathBuf;

use creamery_data::DataError;
use creamery_nn::{NnError, StateError};

use crate::{CheckpointError, ConfigError, RunError};

/// What can stop a training.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The images.
    #[error(transparent)]
    Data(#[from] DataError),
    /// The network.
    #[error(transparent)]
    Nn(#[from] NnError),
    /// The run's folder.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The run's checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The training diverged.
    #[error(
        "the {what} of step {step} is {value}: training has diverged at learning rate {lr}; lower it (--set train.lr=..) and start again{}",
        saved(last_good)
    )]
    NotFinite {
        /// `loss` or `gradient norm`.
        what: &'static str,
        /// Its value.
        value: f64,
        /// The step, counted from 0.
        step: u64,
        /// The learning rate at that step.
        lr: f64,
        /// The last checkpoint before it, if one was written.
        last_good: Option<PathBuf>,
    },
    /// The images do not fill one batch.
    #[error(
        "{images} training images do not fill one batch of {batch}: lower it with --batch, or hold out fewer images (--set data.validation=..)"
    )]
    SmallerThanBatch {
        /// Images to train on.
        images: usize,
        /// Images of a batch.
        batch: usize,
    },
    /// The ranks cannot share a batch.
    #[error(
        "{ranks} ranks do not share batches of {batch} images evenly: give --batch {mend}, or start as many ranks as divide {batch}"
    )]
    Uneven {
        /// How many ranks there are.
        ranks: usize,
        /// Images of a batch.
        batch: usize,
        /// A batch near it that would do.
        mend: usize,
    },
    /// The ranks of a job differ in something that they must have in common.
    #[error(
        "rank {rank} ({host}) has another {what} than rank 0 ({root}): `{found}`, not `{expected}`{mend}"
    )]
    RanksDiffer {
        /// The first rank that differs.
        rank: usize,
        /// Its machine.
        host: Box<str>,
        /// The machine of rank 0.
        root: Box<str>,
        /// What differs.
        what: Box<str>,
        /// On that rank.
        found: Box<str>,
        /// On rank 0.
        expected: Box<str>,
        /// What would do, after a colon.
        mend: Box<str>,
    },
    /// The ranks of a job have come apart.
    #[error(
        "the state of rank {rank} is no longer that of rank 0 after epoch {epoch} ({found}, not {expected}): its machine computes otherwise; leave it out and go on from the last checkpoint with --resume"
    )]
    Drifted {
        /// The first rank that differs.
        rank: usize,
        /// The epoch, counted from 0.
        epoch: u64,
        /// The hash of its state.
        found: String,
        /// That of rank 0.
        expected: String,
    },
    /// Anything that a task of another crate reports.
    #[error("{0}")]
    Task(Box<dyn std::error::Error + Send + Sync>),
}

fn saved(path: &Option<PathBuf>) -> String {
    match path {
        Some(path) => format!(" (the last good state is in `{}`)", path.display()),
        None => String::new(),
    }
}

impl From<StateError> for TrainError {
    fn from(error: StateError) -> Self {
        Self::Nn(error.into())
    }
}

impl TrainError {
    /// Whether the command was wrong (exit 2) rather than its execution (exit 1).
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Data(error) => error.is_usage(),
            Self::Config(_)
            | Self::SmallerThanBatch { .. }
            | Self::Uneven { .. }
            | Self::RanksDiffer { .. } => true,
            Self::Run(error) => !matches!(error, RunError::Io { .. }),
            Self::Checkpoint(error) => matches!(
                error,
                CheckpointError::Other { .. } | CheckpointError::Model { .. }
            ),
            Self::Nn(error) => matches!(error, NnError::Space(_) | NnError::Device(_)),
            Self::NotFinite { .. } | Self::Drifted { .. } | Self::Task(_) => false,
        }
    }
}
