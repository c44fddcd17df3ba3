//! One module for each command: parse, call, answer.

pub(crate) mod ablate;
pub(crate) mod bench;
pub(crate) mod data;
pub(crate) mod describe;
pub(crate) mod eval;
pub(crate) mod export;
pub(crate) mod import;
pub(crate) mod predict;
pub(crate) mod profile;
pub(crate) mod rank;
pub(crate) mod report;
pub(crate) mod retrain;
pub(crate) mod runs;
pub(crate) mod search;
pub(crate) mod select;
pub(crate) mod serve;
mod winner;

use std::path::Path;
use std::time::Duration;

use creamery_data::SkippedImage;
use creamery_train::engine::Timing;
use creamery_train::event::Accuracy;
use creamery_view::{duration, rounded_count};
use serde::Serialize;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::cli::Global;
use crate::overview::exact;

/// Tells which files were left out.
fn note_skipped(skipped: &[SkippedImage], global: &Global) {
    const TOLD: usize = 5;
    for file in skipped.iter().take(TOLD) {
        global.note(&format!("left out {}: {}", file.place, file.fault));
    }
    if skipped.len() > TOLD {
        global.note(&format!("left out {} images in all", skipped.len()));
    }
}

/// The answer of a run that was stopped `when` and goes on with the command `resume`. `done` is a count with
/// its name.
fn stopped(folder: &Path, when: &str, done: (&str, u64), resume: &str) -> Answer {
    let (name, count) = done;
    Answer {
        text: format!("stopped {when}; everything is saved. To go on:\n  {resume}\n"),
        json: json!({
            "kind": "stopped",
            name: count,
            "run": folder.display().to_string(),
            "resume": resume,
        }),
        stopped: true,
    }
}

/// A result with the folder that it lies in.
fn with_run(result: &impl Serialize, folder: &Path) -> Value {
    let mut json = serde_json::to_value(result).expect("results are plain data");
    json["run"] = folder.display().to_string().into();
    json
}

fn validated(accuracy: &Accuracy) -> String {
    format!(
        "{:.2}% top-1 on {} held-out images",
        accuracy.top1,
        exact(accuracy.images as u64)
    )
}

/// What to do about loading that training waited for, where that was a fifth of its time or more.
fn waiting(timing: &Timing) -> Option<String> {
    let share = timing.data_wait / timing.seconds;
    (share >= 0.2).then(|| {
        format!(
            "{:.0}% of the time, training waited for images: give --set data.workers=N more threads, or pack them \
             (creamery data pack --help)",
            100.0 * share
        )
    })
}

fn time(timing: &Timing) -> String {
    let taken = Duration::try_from_secs_f64(timing.seconds).unwrap_or_default();
    format!(
        "{}, {} images/s",
        duration(taken),
        rounded_count(timing.images_per_second as u64)
    )
}
