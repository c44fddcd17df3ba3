//! Runs that are parts of a larger task: what is left of each.

use std::path::PathBuf;

use creamery_train::{Outcome, Ranks};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::CommandError;
use crate::recorded::Task;
use crate::run_folder::{Previous, Start};

/// What is left of a run.
pub(crate) enum Left<R> {
    Nothing(R),
    Run(Start),
}

/// What is left of the run in a folder.
///
/// # Errors
/// If the folder holds the run of another command, is damaged, or in use.
pub(crate) fn left<C, R>(path: PathBuf, task: Task, ranks: Ranks) -> Result<Left<R>, CommandError>
where
    C: Serialize + DeserializeOwned,
    R: DeserializeOwned,
{
    if !path.join("run.toml").exists() {
        return Ok(Left::Run(Start::New(path)));
    }
    let previous = Previous::at::<C>(&path, task, ranks)?;
    Ok(match previous.result()? {
        Some(result) => Left::Nothing(result),
        None => Left::Run(Start::GoOn(previous.into())),
    })
}

/// The result, unless the run was stopped.
pub(crate) fn done<R>(outcome: Outcome<R>) -> Option<R> {
    match outcome {
        Outcome::Done(result) => Some(result),
        Outcome::Stopped { .. } => None,
    }
}
