//! What a run's folder tells, while the run works and after it.
//!
//! A [`RunRecord`] is read from the folder alone, so that a running, a finished and a copied run look the same. Reading is
//! lenient and bounded: half a line, an unknown event, a damaged or missing file are left out and told in the
//! [`notes`](RunRecord::notes), and memory does not grow with the run. [`update`](RunRecord::update) reads what was added since.
//!
//! ```
//! use creamery_view::record::{RunRecord, RunState};
//!
//! let folder = tempfile::tempdir()?;
//! std::fs::write(folder.path().join("run.toml"), "method = \"cream\"\n")?;
//! std::fs::write(folder.path().join("metrics.jsonl"), concat!(
//!     r#"{"event":"step","step":0,"epoch":0,"loss":2.5,"top1":9.4,"lr":0.1,"grad_norm":1.7,"macs":3605544}"#, "\n",
//!     r#"{"event":"step","step":1,"ep"#,
//! ))?;
//! let run = RunRecord::read(folder.path())?;
//! assert_eq!(run.history().steps, 1);
//! assert_eq!(run.state(), RunState::Unknown);
//! assert!(run.notes()[0].contains("cut off"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod board;
mod curve;
mod evaluations;
mod files;
mod history;
mod line;
mod path_key;
mod tail;

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use creamery_space::Space;
use creamery_train::{Confusion, RunFolder};
use serde_json::Value;

pub use board::{BoardHistory, BoardTenure};
pub use curve::{Bucket, Curve};
pub use evaluations::{Evaluation, Evaluations};
pub use history::{EpochRecord, History, Measured, Start};

use files::{Files, Stamp};
use tail::{Progress, Tail};

const METRICS: &str = "metrics.jsonl";
const EVALUATIONS: &str = "evaluations.jsonl";

/// Most bytes of a configuration or a space, of a result, and of a confusion matrix.
const MAX_CONFIG: u64 = 1 << 20;
const MAX_RESULT: u64 = 32 << 20;
const MAX_CONFUSION: u64 = 64 << 20;

/// Why a run cannot be read at all.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The folder cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The folder is that of no run.
    #[error("`{}` holds no run: it has neither run.toml nor metrics.jsonl nor result.json", .0.display())]
    NoRun(PathBuf),
}

/// Whether somebody works on a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RunState {
    /// A process holds its folder.
    Running,
    /// It has a result.
    Finished,
    /// It has no result, and nobody works on it.
    Stopped,
    /// It has no result, and whether somebody works on it cannot be asked: a copy, or a folder of another machine.
    Unknown,
}

impl RunState {
    /// The state of a run by whether its folder is held, where that can be asked, and whether it has a result.
    pub fn of(held: Option<bool>, has_result: bool) -> Self {
        match (held, has_result) {
            (Some(true), _) => Self::Running,
            (_, true) => Self::Finished,
            (Some(false), false) => Self::Stopped,
            (None, false) => Self::Unknown,
        }
    }

    /// Its name: `running`, `finished`, `stopped` or `unknown`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Stopped => "stopped",
            Self::Unknown => "unknown",
        }
    }
}

/// A small file, as it was when it was last looked at.
#[derive(Debug)]
struct Cached<T> {
    stamp: Option<Stamp>,
    value: Option<T>,
    fault: Option<String>,
}

impl<T> Default for Cached<T> {
    fn default() -> Self {
        Self {
            stamp: None,
            value: None,
            fault: None,
        }
    }
}

impl<T> Cached<T> {
    /// Looks again; whether there is something else now.
    fn refresh(
        &mut self,
        files: &Files,
        name: &str,
        limit: u64,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> bool {
        let stamp = files.stamp(name);
        if stamp.is_some() && stamp == self.stamp
            || (stamp.is_none() && self.value.is_none() && self.fault.is_none())
        {
            return false;
        }
        let text = files
            .text(name, limit)
            .map_err(|e| format!("cannot be read: {e}"));
        let read = text.and_then(|text| text.map(|text| parse(&text)).transpose());
        let (value, fault) = match read {
            Ok(value) => (value, None),
            Err(fault) => (None, Some(format!("{name}: {}", one_line(&fault)))),
        };
        *self = Self {
            stamp,
            value,
            fault,
        };
        true
    }
}

/// A message on one line, of a length that people read.
fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().take(300).collect()
}

/// What a run's folder tells of its run.
#[derive(Debug)]
pub struct RunRecord {
    files: Files,
    config: Cached<toml::Table>,
    space: Cached<Space>,
    result: Cached<Value>,
    confusion: Cached<Confusion>,
    /// The line ends of `metrics.jsonl`, or of `evaluations.jsonl` for a selection, which has no metrics.
    tail: Tail,
    tailed: &'static str,
    tail_fault: Option<String>,
    history: History,
    state: RunState,
    modified: Option<SystemTime>,
    /// Whether events are read even where there is a result.
    whole: bool,
}

impl RunRecord {
    /// Reads the run in a folder as far as it goes.
    ///
    /// # Errors
    /// Only if the folder cannot be read or is that of no run; all else becomes [`notes`](Self::notes).
    pub fn read(path: &Path) -> Result<Self, RecordError> {
        Self::open(path, None, true)
    }

    /// The same for a folder of runs that others may see: no link is followed that leads out of `root`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_within(path: &Path, root: &Path) -> Result<Self, RecordError> {
        Self::open(path, Some(root), true)
    }

    /// The same without the events of a run that has a result, which says what came of them.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn outline_within(path: &Path, root: &Path) -> Result<Self, RecordError> {
        Self::open(path, Some(root), false)
    }

    fn open(path: &Path, root: Option<&Path>, whole: bool) -> Result<Self, RecordError> {
        let files = Files::new(path, root).map_err(|source| RecordError::Io {
            path: path.to_owned(),
            source,
        })?;
        if !is_run(path) {
            return Err(RecordError::NoRun(path.to_owned()));
        }
        let mut record = Self {
            files,
            config: Cached::default(),
            space: Cached::default(),
            result: Cached::default(),
            confusion: Cached::default(),
            tail: Tail::default(),
            tailed: METRICS,
            tail_fault: None,
            history: History::default(),
            state: RunState::Unknown,
            modified: None,
            whole,
        };
        record.update();
        Ok(record)
    }

    /// Reads what was added since; whether anything changed.
    pub fn update(&mut self) -> bool {
        // Asked first: a run that ends meanwhile shows as running for once, never as stopped.
        let held = RunFolder::is_held(self.files.folder());
        let files = &self.files;
        let mut changed = self.config.refresh(files, "run.toml", MAX_CONFIG, |text| {
            toml::from_str(text).map_err(|e| format!("is no configuration: {}", e.message()))
        });
        changed |= self.space.refresh(files, "space.toml", MAX_CONFIG, |text| {
            Space::from_toml(text, "it").map_err(|e| format!("is no space: {e}"))
        });
        changed |= self
            .result
            .refresh(files, "result.json", MAX_RESULT, |text| {
                serde_json::from_str(text)
                    .ok()
                    .filter(Value::is_object)
                    .ok_or("is no result: it is cut off or damaged".to_owned())
            });
        changed |= self
            .confusion
            .refresh(files, "confusion.json", MAX_CONFUSION, |text| {
                let confusion = serde_json::from_str(text).ok().filter(is_square);
                confusion.ok_or("is no confusion matrix: it is cut off or damaged".to_owned())
            });
        if self.whole || self.result.value.is_none() {
            changed |= self.read_events();
        }
        let state = RunState::of(held, self.result.value.is_some());
        changed |= std::mem::replace(&mut self.state, state) != state;
        let written = ["run.toml", METRICS, EVALUATIONS, "result.json"];
        let written = written.iter().filter_map(|name| self.files.stamp(name));
        self.modified = written.map(|(time, _)| time).max();
        changed
    }

    fn read_events(&mut self) -> bool {
        let before = (
            self.tail.lines,
            self.tail.half_line,
            self.tail_fault.clone(),
        );
        let mut anew = false;
        let fault = loop {
            match self.read_added() {
                Ok(Progress::On) => break None,
                // What is another file once more is read the next time.
                Ok(Progress::Other) if anew => break None,
                Ok(Progress::Other) => {
                    anew = true;
                    self.tail = Tail::default();
                    self.history = History::default();
                }
                Err(error) => break Some(format!("{} cannot be read: {error}", self.tailed)),
            }
        };
        self.tail_fault = fault;
        anew || before
            != (
                self.tail.lines,
                self.tail.half_line,
                self.tail_fault.clone(),
            )
    }

    fn read_added(&mut self) -> std::io::Result<Progress> {
        let (file, name) = match self.files.open(METRICS)? {
            Some(file) => (Some(file), METRICS),
            None => (self.files.open(EVALUATIONS)?, EVALUATIONS),
        };
        if name != self.tailed && self.tail.lines > 0 {
            self.tailed = name;
            return Ok(Progress::Other);
        }
        self.tailed = name;
        let Some(file) = file else {
            // A file that is gone has no lines.
            return Ok(match self.tail.lines {
                0 => Progress::On,
                _ => Progress::Other,
            });
        };
        let (history, mut number) = (&mut self.history, self.tail.lines);
        self.tail.read(file, |line| {
            number += 1;
            match name {
                METRICS => history.take_in(line, number),
                _ => history.take_in_evaluation(line, number),
            }
        })
    }

    /// Where the run is.
    pub fn path(&self) -> &Path {
        self.files.folder()
    }

    /// Whether somebody works on it.
    pub fn state(&self) -> RunState {
        self.state
    }

    /// When its configuration, events or result were last written.
    pub fn modified(&self) -> Option<SystemTime> {
        self.modified
    }

    /// Where a file of its folder is, if there is one and it may be read.
    pub fn file(&self, name: &str) -> Option<PathBuf> {
        self.files.path(name).ok().flatten()
    }

    /// What its events come to.
    pub fn history(&self) -> &History {
        &self.history
    }

    /// Its whole configuration, `run.toml`.
    pub fn config(&self) -> Option<&toml::Table> {
        self.config.value.as_ref()
    }

    /// A setting by its dotted name, such as `train.lr`.
    pub fn setting(&self, key: &str) -> Option<&toml::Value> {
        let mut keys = key.split('.');
        let first = self.config()?.get(keys.next()?)?;
        keys.try_fold(first, |value, key| value.get(key))
    }

    /// The space searched, `space.toml`.
    pub fn space(&self) -> Option<&Space> {
        self.space.value.as_ref()
    }

    /// Its result, `result.json`, once there is one.
    pub fn result(&self) -> Option<&Value> {
        self.result.value.as_ref()
    }

    /// Which classes its network takes for which, where that was counted.
    pub fn confusion(&self) -> Option<&Confusion> {
        self.confusion.value.as_ref()
    }

    /// What makes it: `search`, `retrain`, `select`, `rank` or `ablate`.
    pub fn task(&self) -> &str {
        let said = self
            .result()
            .and_then(|result| result.get("kind")?.as_str());
        if let Some(kind) = said.or(self.history.start.as_ref().map(|start| start.task.as_str())) {
            return kind;
        }
        let has = |key: &str| self.config().is_some_and(|config| config.contains_key(key));
        let keys = [
            ("rows", "ablate"),
            ("subnets", "rank"),
            ("method", "search"),
            ("select", "select"),
        ];
        let task = keys.iter().find(|(key, _)| has(key));
        task.map_or("retrain", |(_, task)| task)
    }

    /// What is missing or could not be understood, in sentences.
    pub fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let faults = [
            &self.config.fault,
            &self.space.fault,
            &self.result.fault,
            &self.confusion.fault,
            &self.tail_fault,
        ];
        notes.extend(faults.into_iter().flatten().cloned());
        let lines = |count: u64| match count {
            1 => "1 line was".to_owned(),
            n => format!("{n} lines were"),
        };
        let (file, history) = (self.tailed, &self.history);
        // A running run is about to write the rest.
        if self.tail.half_line && self.state != RunState::Running {
            notes.push(format!("{file}: the last line is cut off"));
        }
        if let (count @ 1.., first) = history.misread {
            let first = if count > 1 {
                format!("the first is line {first}")
            } else {
                format!("line {first}")
            };
            notes.push(format!("{file}: {} not understood ({first})", lines(count)));
        }
        if self.tail.too_long > 0 {
            notes.push(format!(
                "{file}: {} too long and left out",
                lines(self.tail.too_long)
            ));
        }
        if history.unknown_events > 0 {
            let kinds: Vec<String> = history
                .unknown
                .keys()
                .map(|kind| format!("`{kind}`"))
                .collect();
            notes.push(format!(
                "{file}: {} of kinds that this version does not know ({})",
                lines(history.unknown_events),
                kinds.join(", ")
            ));
        }
        if history.not_finite > 0 {
            let values = if history.not_finite == 1 {
                "1 value is"
            } else {
                &format!("{} values are", history.not_finite)
            };
            notes.push(format!(
                "{file}: {values} missing or not finite, and not drawn"
            ));
        }
        if self.config.value.is_none() && self.config.fault.is_none() {
            notes.push("run.toml is missing".to_owned());
        }
        notes
    }
}

/// Whether a folder is recognisably that of a run.
pub fn is_run(path: &Path) -> bool {
    ["run.toml", METRICS, "result.json"]
        .iter()
        .any(|name| path.join(name).is_file())
}

fn is_square(confusion: &Confusion) -> bool {
    let classes = confusion.classes.len();
    confusion.images.len() == classes
        && confusion.counts.len() == classes
        && confusion.counts.iter().all(|row| row.len() == classes)
}
