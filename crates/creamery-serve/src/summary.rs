//! A run in a line.

use std::time::UNIX_EPOCH;

use creamery_view::record::RunRecord;
use creamery_view::report;
use serde::{Deserialize, Serialize};

/// A run in a line: what is listed, filtered and sorted by.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// The path below the folder of runs, with `/` between its parts; `.` for that folder itself.
    pub id: String,
    /// `search`, `retrain`, `select`, `rank` or `ablate`.
    pub task: String,
    /// `running`, `finished`, `stopped`, or `unknown` where it cannot be asked.
    pub state: String,
    /// The search's method.
    pub method: Option<String>,
    /// What chose the winner.
    pub selector: Option<String>,
    /// The space's name.
    pub space: Option<String>,
    /// The data set.
    pub data: Option<String>,
    /// The seed.
    pub seed: Option<u64>,
    /// The accuracy that counts, in percent.
    pub top1: Option<f64>,
    /// What it is the accuracy of.
    pub top1_of: Option<String>,
    /// MACs of the network that came out.
    pub macs: Option<u64>,
    /// Its parameters.
    pub params: Option<u64>,
    /// Its latency in nanoseconds, where the run had a table.
    pub latency_ns: Option<u64>,
    /// The architecture in text.
    pub architecture: Option<String>,
    /// Steps done, of a run without a result.
    pub steps: Option<u64>,
    /// The share of the training that is done, from 0 to 1.
    pub share_done: Option<f64>,
    /// Seconds of work.
    pub seconds: Option<f64>,
    /// Training images per second.
    pub images_per_second: Option<f64>,
    /// When it was last written, in seconds since 1970.
    pub modified: Option<u64>,
    /// What is missing or could not be understood.
    pub notes: Vec<String>,
}

impl Summary {
    pub(crate) fn of(id: &str, run: &RunRecord) -> Self {
        let count = |path: &str| report::number(run, path).map(|n| n as u64);
        let top1 = report::accuracy(run);
        let architecture = run.result().and_then(|result| result.get("architecture"));
        let architecture = architecture.and_then(|found| {
            serde_json::from_value::<creamery_space::Architecture>(found.clone()).ok()
        });
        let seed = run
            .setting("seed")
            .and_then(|seed| u64::try_from(seed.as_integer()?).ok());
        let history = run.history();
        let finished = run.result().is_some();
        let modified = run
            .modified()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        Self {
            id: id.to_owned(),
            task: run.task().to_owned(),
            state: run.state().name().to_owned(),
            method: report::text(run, "method", "method"),
            selector: report::text(run, "selector", "select.selector"),
            space: report::text(run, "space", "space"),
            data: report::text(run, "dataset", "data.source"),
            seed: count("seed").or(seed),
            top1: top1.map(|(top1, _)| top1),
            top1_of: top1.map(|(_, of)| of.trim_start_matches("top-1 on ").to_owned()),
            macs: count("macs"),
            params: count("params"),
            latency_ns: count("latency_ns"),
            architecture: architecture.map(|architecture| architecture.to_string()),
            steps: (!finished).then_some(history.steps),
            share_done: if finished {
                Some(1.0)
            } else {
                history.share_done()
            },
            seconds: report::seconds(run),
            images_per_second: report::number(run, "timing.images_per_second")
                .or(history.images_per_second()),
            modified: modified.map(|since| since.as_secs()),
            notes: run.notes(),
        }
    }
}
