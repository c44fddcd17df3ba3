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
            Self::Config(_) | Self::SmallerThanBatch { .. } => true,
            Self::Run(error) => !matches!(error, RunError::Io { .. }),
            Self::Checkpoint(error) => matches!(
                error,
                CheckpointError::Other { .. } | CheckpointError::Model { .. }
            ),
            Self::Nn(error) => matches!(error, NnError::Space(_) | NnError::Device(_)),
            Self::NotFinite { .. } | Self::Task(_) => false,
        }
    }
}
