use std::path::PathBuf;

use creamery_space::SpaceError;
use creamery_train::{CheckpointError, RunError};

/// Why a network is not exported to timm.
#[derive(Debug, thiserror::Error)]
pub enum TimmError {
    /// The folder holds something already.
    #[error("`{}` is not empty: choose another folder with --out, or empty it first", .0.display())]
    Occupied(PathBuf),
    /// timm's class cannot be such a network.
    #[error("timm's MobileNetV3 has no networks of the space `{space}`: {reason}")]
    Unsupported {
        /// The space.
        space: String,
        /// What is different.
        reason: String,
    },
    /// The space or the architecture.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// The weights cannot be written.
    #[error(transparent)]
    Weights(#[from] CheckpointError),
    /// A file or folder cannot be written.
    #[error(transparent)]
    Io(#[from] RunError),
}

impl TimmError {
    /// Whether the command was wrong (exit 2) rather than its execution (exit 1).
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Occupied(_) | Self::Unsupported { .. } | Self::Space(_)
        )
    }
}
