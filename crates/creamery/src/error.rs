//! What a command reports when it does not succeed.

use std::error::Error;
use std::io;
use std::path::PathBuf;

use creamery_data::DataError;
use creamery_export::import::ImportError;
use creamery_export::onnx::ExportError;
use creamery_export::timm::TimmError;
use creamery_nn::NnError;
use creamery_search::rank::RankError;
use creamery_serve::{IndexError, PruneError, ServeError};
use creamery_space::{LatencyTableError, SpaceError};
use creamery_train::{CheckpointError, ConfigError, RunError, TrainError};
use creamery_view::report::ReportError;
use creamery_view::tensorboard::TensorBoardError;

/// Why a command did not succeed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CommandError {
    /// The command asks for something that cannot be.
    #[error("{0}")]
    Usage(String),
    /// A file that was named does not hold what it should.
    #[error("`{}`{}: {message}", path.display(), line.map(|line| format!(", line {line}")).unwrap_or_default())]
    File {
        /// The file.
        path: PathBuf,
        /// Counted from 1, where there is one to name.
        line: Option<usize>,
        /// What is wrong and what would do.
        message: String,
    },
    /// A file that was named cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file that was asked for cannot be written.
    #[error("cannot write `{}`: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The answer cannot be written.
    #[error("cannot write to standard output: {0}")]
    Output(io::Error),
    /// Signals cannot be caught.
    #[error("cannot listen for Ctrl-C: {0}")]
    Signals(#[from] ctrlc::Error),
    /// A cell of a table.
    #[error("row `{row}`, seed {seed}: {source}")]
    Cell {
        /// The row's name.
        row: String,
        /// The seed.
        seed: u64,
        /// What is wrong with it.
        source: Box<CommandError>,
    },
    /// Cells of a table that diverged; the rest of it is finished.
    #[error("{first} (and {others} more; the other cells are finished)")]
    Cells {
        /// The first of them.
        first: Box<CommandError>,
        /// How many more.
        others: usize,
    },
    /// Two rankings that cannot be compared.
    #[error(transparent)]
    Rank(#[from] RankError),
    /// A network for timm.
    #[error(transparent)]
    Timm(#[from] TimmError),
    /// Weights of timm and PyTorch.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// An export.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// A page about a run.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// Files for TensorBoard.
    #[error(transparent)]
    TensorBoard(#[from] TensorBoardError),
    /// The index of runs.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The removal of what is no longer needed.
    #[error(transparent)]
    Prune(#[from] PruneError),
    /// The dashboard.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// A training.
    #[error(transparent)]
    Train(#[from] TrainError),
    /// The space or the architecture.
    #[error(transparent)]
    Space(#[from] SpaceError),
}

impl From<DataError> for CommandError {
    fn from(error: DataError) -> Self {
        Self::Train(error.into())
    }
}

impl From<LatencyTableError> for CommandError {
    fn from(error: LatencyTableError) -> Self {
        Self::Space(error.into())
    }
}

impl From<ConfigError> for CommandError {
    fn from(error: ConfigError) -> Self {
        Self::Train(error.into())
    }
}

impl From<RunError> for CommandError {
    fn from(error: RunError) -> Self {
        Self::Train(error.into())
    }
}

impl From<CheckpointError> for CommandError {
    fn from(error: CheckpointError) -> Self {
        Self::Train(error.into())
    }
}

impl From<NnError> for CommandError {
    fn from(error: NnError) -> Self {
        Self::Train(error.into())
    }
}

impl CommandError {
    /// Whether the command was wrong, rather than its execution.
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Usage(_) | Self::Space(_) => true,
            Self::Read { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Export(error) => error.is_usage(),
            Self::Train(error) => error.is_usage(),
            Self::Timm(error) => error.is_usage(),
            Self::Import(error) => error.is_usage(),
            Self::Cell { source, .. } => source.is_usage(),
            Self::Cells { .. } => false,
            Self::File { .. }
            | Self::Write { .. }
            | Self::Output(_)
            | Self::Signals(_)
            | Self::Rank(_)
            | Self::Report(_)
            | Self::Index(_)
            | Self::Prune(_)
            | Self::Serve(_)
            | Self::TensorBoard(_) => false,
        }
    }

    /// 2 for a wrong command, 1 for a failed one.
    pub fn exit_code(&self) -> u8 {
        if self.is_usage() { 2 } else { 1 }
    }

    /// Whether a training diverged.
    pub fn diverged(&self) -> bool {
        match self {
            Self::Cell { source, .. } => source.diverged(),
            Self::Train(error) => matches!(error, TrainError::NotFinite { .. }),
            _ => false,
        }
    }

    /// The message, followed by those causes that it does not tell itself, on one line.
    pub fn with_causes(&self) -> String {
        let mut message = self.to_string();
        let mut cause = self.source();
        while let Some(error) = cause {
            let text = error.to_string();
            if !message.contains(&text) {
                message = format!("{message}: {text}");
            }
            cause = error.source();
        }
        message.trim_end().replace('\n', " ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_told_once() {
        let denied = || io::Error::other("permission denied");
        let silent = CommandError::from(DataError::Io {
            path: "a b".into(),
            source: denied(),
        });
        assert_eq!(silent.with_causes(), "cannot read `a b`: permission denied");
        let telling = CommandError::Read {
            path: "x".into(),
            source: denied(),
        };
        assert_eq!(telling.with_causes(), "cannot read `x`: permission denied");
    }

    #[test]
    fn a_missing_file_is_a_wrong_command_and_an_unreadable_one_a_failure() {
        let read = |kind: io::ErrorKind| CommandError::Read {
            path: "x".into(),
            source: kind.into(),
        };
        assert_eq!(read(io::ErrorKind::NotFound).exit_code(), 2);
        assert_eq!(read(io::ErrorKind::PermissionDenied).exit_code(), 1);
    }
}
