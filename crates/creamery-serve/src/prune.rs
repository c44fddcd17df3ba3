//! What of old runs can go.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use creamery_train::RunFolder;

use crate::filter::{Filter, Order, SortKey};
use crate::index::Index;

/// Files that a run's folder may have; a folder with any other is not removed.
const KNOWN: [&str; 17] = [
    "run.toml",
    "metrics.jsonl",
    "board.json",
    "model.safetensors",
    "best.safetensors",
    "result.json",
    "confusion.json",
    "space.toml",
    "latency.json",
    "architecture.json",
    "inherited.safetensors",
    "teacher.safetensors",
    "evaluations.jsonl",
    "report.html",
    "lock",
    ".index.sqlite",
    "checkpoint",
];

/// What goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prune {
    /// The checkpoints of finished runs. Results and weights stay; what needs the whole state (`select`, `rank`, more epochs)
    /// is no longer possible.
    Checkpoints,
    /// Whole runs that were stopped without a result.
    Unfinished,
}

/// Something that goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The run's name.
    pub id: String,
    /// Its folder.
    pub run: PathBuf,
    /// The files that go.
    pub files: Vec<PathBuf>,
    /// The folders that go with them, the innermost first.
    pub folders: Vec<PathBuf>,
    /// Bytes that are freed.
    pub bytes: u64,
}

/// A run that fits and stays nevertheless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The run's name.
    pub id: String,
    /// Why.
    pub reason: String,
}

/// What would go and what would not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What goes.
    pub removals: Vec<Removal>,
    /// What fits and stays nevertheless.
    pub kept: Vec<Kept>,
}

/// Why something could not be removed.
#[derive(Debug, thiserror::Error)]
pub enum PruneError {
    /// It is in use now.
    #[error("`{0}` is in use and was left alone")]
    InUse(PathBuf),
    /// The system refused.
    #[error("cannot remove `{}`: {source}", path.display())]
    Io {
        /// What.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

/// What would go of the runs that fit a filter and were not written for `older_than`. Nothing is removed yet.
///
/// A run under way is never part of it, nor one of which that cannot be asked, nor a folder that holds anything else than a run's own files.
pub fn prune(index: &Index, what: Prune, filter: &Filter, older_than: Duration) -> Plan {
    let mut plan = Plan::default();
    let wanted = match what {
        Prune::Checkpoints => "finished",
        Prune::Unfinished => "stopped",
    };
    let fitting = filter.apply(index.runs(), Order::by(SortKey::Id));
    for (run, path) in index.places() {
        if run.state != wanted || !fitting.iter().any(|fit| fit.id == run.id) {
            continue;
        }
        let found = match what {
            Prune::Checkpoints => checkpoint(path),
            Prune::Unfinished => whole(path),
        };
        let found = found.and_then(|found| match found {
            Some(_) if !is_older(path, older_than) => Err("it was written lately".to_owned()),
            Some(_) if RunFolder::is_held(path) != Some(false) => {
                Err("it is in use, or that cannot be asked".to_owned())
            }
            found => Ok(found),
        });
        match found {
            Ok(None) => {}
            Ok(Some((files, folders))) => plan.removals.push(Removal {
                id: run.id.clone(),
                run: path.to_owned(),
                bytes: files
                    .iter()
                    .filter_map(|file| Some(fs::symlink_metadata(file).ok()?.len()))
                    .sum(),
                files,
                folders,
            }),
            Err(reason) => plan.kept.push(Kept {
                id: run.id.clone(),
                reason,
            }),
        }
    }
    plan
}

/// Files and folders that go, or none, or why they stay.
type Found = Result<Option<(Vec<PathBuf>, Vec<PathBuf>)>, String>;

fn checkpoint(run: &Path) -> Found {
    let folder = run.join("checkpoint");
    let Ok(found) = fs::symlink_metadata(&folder) else {
        return Ok(None);
    };
    if !found.is_dir() {
        return Err("its checkpoint is no folder but a link".into());
    }
    let files = entries(&folder)?;
    if let Some(foreign) = files.iter().find(|file| !is_checkpoint(file)) {
        return Err(format!(
            "its checkpoint holds {}, which is none",
            name(foreign)
        ));
    }
    let empty = files.is_empty();
    Ok((!empty).then(|| (files, vec![folder])))
}

fn whole(run: &Path) -> Found {
    if !run.join("run.toml").is_file() {
        return Err("it has no run.toml".into());
    }
    let mut files = Vec::new();
    let mut folders = Vec::new();
    for entry in entries(run)? {
        let name = name(&entry);
        if !KNOWN.contains(&name.trim_end_matches(".tmp")) {
            return Err(format!("it holds {name}, which is no file of a run"));
        }
        let is_folder = fs::symlink_metadata(&entry).is_ok_and(|found| found.is_dir());
        match (name.as_str(), is_folder) {
            ("checkpoint", _) => {
                if let Some((inside, folder)) = checkpoint(run)? {
                    files.extend(inside);
                    folders.extend(folder);
                } else {
                    folders.push(entry);
                }
            }
            (_, true) => return Err(format!("its {name} is a folder")),
            // Last: without a configuration nobody takes the run up, and without its lock nobody else is kept out.
            ("run.toml" | "lock", _) => {}
            _ => files.push(entry),
        }
    }
    files.extend(["run.toml", "lock"].map(|name| run.join(name)));
    folders.push(run.to_owned());
    Ok(Some((files, folders)))
}

fn is_checkpoint(file: &Path) -> bool {
    let known = ["latest.safetensors", "latest.safetensors.tmp"].contains(&name(file).as_str());
    known && fs::symlink_metadata(file).is_ok_and(|found| found.is_file())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let read = fs::read_dir(folder).and_then(|entries| {
        let paths = entries.map(|entry| entry.map(|entry| entry.path()));
        paths.collect::<Result<Vec<_>, _>>()
    });
    read.map_err(|error| format!("it cannot be looked into: {error}"))
}

fn name(path: &Path) -> String {
    path.file_name()
        .map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

fn is_older(run: &Path, than: Duration) -> bool {
    let files = [
        "run.toml",
        "metrics.jsonl",
        "evaluations.jsonl",
        "result.json",
        "checkpoint/latest.safetensors",
    ];
    let times = files
        .iter()
        .filter_map(|name| fs::metadata(run.join(name)).ok()?.modified().ok());
    let last = times.max();
    last.is_some_and(|last| SystemTime::now().duration_since(last).unwrap_or_default() >= than)
}

impl Removal {
    /// Removes it, the run's folder held meanwhile.
    ///
    /// # Errors
    /// [`PruneError::InUse`] if a process has taken the run up since, [`PruneError::Io`].
    pub fn apply(&self) -> Result<(), PruneError> {
        let held = RunFolder::resume(&self.run).map_err(|_| PruneError::InUse(self.run.clone()))?;
        let fail = |path: &Path| {
            let path = path.to_owned();
            move |source| PruneError::Io { path, source }
        };
        for file in &self.files {
            match fs::remove_file(file) {
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                removed => removed.map_err(fail(file))?,
            }
        }
        for folder in &self.folders {
            fs::remove_dir(folder).map_err(fail(folder))?;
        }
        drop(held);
        Ok(())
    }
}
