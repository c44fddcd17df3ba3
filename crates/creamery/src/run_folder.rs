//! The folder of a run, from the command line's side: begun, gone on with, or taken back.
//!
//! Beside what the engine writes, a run's folder holds all that going on needs: the whole configuration
//! in `run.toml`, the space in `space.toml` and its latency table in `latency.json`, so that it does not matter what else has changed since.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use creamery_data::DataSet;
use creamery_search::Method;
use creamery_space::Space;
use creamery_train::engine::checkpoint_path;
use creamery_train::{Ranks, RunFolder};
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::error::CommandError;
use crate::ranks;
use crate::recorded::{LATENCY_TABLE, Recorded, Task, differences, table};
use crate::run_args::{PlaceArgs, at};
use crate::shell::quoted;

/// Settings that the state of a run depends on, so that going on with others would train something else.
const FIXED: [&str; 13] = [
    "method",
    "paths_per_step",
    "seed",
    "resolution",
    "budget",
    "cream",
    "elastic",
    "select",
    "init",
    "train.batch",
    "train.optimizer",
    "data.validation",
    "data.split_seed",
];

/// The weights that a retraining starts from.
pub(crate) const INHERITED: &str = "inherited.safetensors";
/// The network that teaches a retraining.
pub(crate) const TEACHER: &str = "teacher.safetensors";

/// Files that a command writes before the first step, in the order of taking them back.
const BEGUN: [&str; 8] = [
    "metrics.jsonl",
    TEACHER,
    INHERITED,
    "architecture.json",
    LATENCY_TABLE,
    "space.toml",
    "run.toml",
    "lock",
];

/// The run that `--resume` goes on with, held by this process.
#[derive(Debug)]
pub(crate) struct Previous {
    run: RunFolder,
    was: Recorded,
}

impl Deref for Previous {
    type Target = Recorded;

    fn deref(&self) -> &Recorded {
        &self.was
    }
}

impl Previous {
    /// Opens the run that the flags name; `None` if they ask for a new one.
    ///
    /// # Errors
    /// If there is no such run, or it is one of another task, damaged, or in use.
    pub fn open<C: Serialize + DeserializeOwned>(
        args: &PlaceArgs,
        task: Task,
        ranks: Ranks,
    ) -> Result<Option<Self>, CommandError> {
        let path = args.out.as_deref().filter(|_| args.resume);
        path.map(|path| Self::at::<C>(path, task, ranks))
            .transpose()
    }

    /// Opens the run in a folder.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn at<C: Serialize + DeserializeOwned>(
        path: &Path,
        task: Task,
        ranks: Ranks,
    ) -> Result<Self, CommandError> {
        Ok(Self {
            run: ranks::folder(ranks, path, RunFolder::resume)?,
            was: Recorded::read::<C>(path, task)?,
        })
    }

    /// The result, if the run is finished and the command changes nothing about it.
    ///
    /// # Errors
    /// If the result is damaged.
    pub fn unchanged_result<R: DeserializeOwned>(
        &self,
        config: &impl Serialize,
    ) -> Result<Option<R>, CommandError> {
        if self.config == table(config) {
            self.result()
        } else {
            Ok(None)
        }
    }

    /// Takes the run up with a configuration that may differ where its state does not depend on it.
    ///
    /// # Errors
    /// If it differs elsewhere, or space or data are others.
    pub fn go_on(
        self,
        config: &impl Serialize,
        space: &Space,
        set: &DataSet,
    ) -> Result<RunFolder, CommandError> {
        let config = table(config);
        self.check_settings(&config)?;
        self.check_identity(space, &set.name, &set.fingerprint())?;
        if config != self.config {
            // The old result is none of the new plan, even if that is stopped before it has one.
            self.run.remove("result.json")?;
            keep_latency(&self.run, space)?;
            self.run.write("run.toml", run_toml(&config).as_bytes())?;
        }
        Ok(self.run)
    }

    fn check_settings(&self, config: &Table) -> Result<(), CommandError> {
        let differs = FIXED
            .iter()
            .find_map(|key| differences(&self.config, config, key).into_iter().next());
        let epochs = |config: &Table| at(config, "train.epochs").and_then(Value::as_integer);
        // Steps beyond a shorter plan cannot be undone, nor those of a phase that a longer one would have later.
        let method = at(config, "method").and_then(Value::as_str);
        let phases = method.is_some_and(|name| Method::named(name).is_ok_and(Method::has_phases));
        let (before, now) = (epochs(&self.config), epochs(config));
        let impossible = now < before || (phases && now != before);
        let Some(key) = differs.or(impossible.then(|| "train.epochs".to_owned())) else {
            return Ok(());
        };
        let text = |config| at(config, &key).map_or("none".to_owned(), ToString::to_string);
        let path = self.run.path();
        let mend = if key.starts_with("select.") && Task::of(config) == Task::Search {
            format!("choose again with creamery select {}", quoted(path))
        } else {
            "start a new run with another --out".to_owned()
        };
        Err(CommandError::Usage(format!(
            "`{}` was started with `{key}` {}, which cannot become {}: resume without changing it, or {mend}",
            path.display(),
            text(&self.config),
            text(config),
        )))
    }
}

/// Where a run goes if the flags do not say: `runs/NAME-DATA-N`.
pub(crate) fn path(args: &PlaceArgs, name: &str, set: &DataSet) -> PathBuf {
    args.out.clone().unwrap_or_else(|| {
        RunFolder::free_name(
            Path::new("runs"),
            &format!("{name}-{}", file_safe(&set.name)),
        )
    })
}

/// Where a run begins.
pub(crate) enum Start {
    /// In a folder of its own.
    New(PathBuf),
    /// Where this one was stopped or killed.
    GoOn(Box<Previous>),
}

impl Start {
    /// The workplace of the run, ready to be furnished. Ranks take it together, once all have read what there is.
    ///
    /// # Errors
    /// If the folder cannot be used, or the run be gone on with so.
    pub fn workplace(
        self,
        config: &impl Serialize,
        space: &Space,
        set: &DataSet,
        ranks: Ranks,
    ) -> Result<Workplace, CommandError> {
        ranks.barrier();
        match self {
            Self::New(path) => Workplace::create(&ranks::common_path(ranks, path), config, ranks),
            Self::GoOn(previous) => previous.go_on(config, space, set).map(Workplace::resumed),
        }
    }
}

/// A run's folder while a command works in it.
pub(crate) struct Workplace {
    /// The folder.
    pub run: RunFolder,
    /// Whether this command has begun the run.
    begun: bool,
}

impl Workplace {
    /// That of a new run.
    ///
    /// # Errors
    /// If the folder holds anything or cannot be written.
    pub fn create(
        path: &Path,
        config: &impl Serialize,
        ranks: Ranks,
    ) -> Result<Self, CommandError> {
        let text = run_toml(&table(config));
        let run = ranks::folder(ranks, path, |path| RunFolder::create(path, &text))?;
        let begun = run.is_writer();
        Ok(Self { run, begun })
    }

    /// That of a run which is gone on with.
    pub fn resumed(run: RunFolder) -> Self {
        Self { run, begun: false }
    }

    /// Whether all that going on needs is there.
    pub fn is_furnished(&self) -> bool {
        self.run.file("space.toml").exists()
    }

    /// Writes the space, with its latency table if it has one: the last of what going on needs.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn furnish(&self, space: &Space) -> Result<(), CommandError> {
        keep_latency(&self.run, space)?;
        Ok(self.run.write("space.toml", space.to_toml().as_bytes())?)
    }

    /// Hands an outcome on. If the command was wrong and had begun the run, the folder is free again
    /// afterwards, so that the right command finds it so.
    pub fn conclude<T>(&self, outcome: Result<T, CommandError>) -> Result<T, CommandError> {
        if let Err(error) = &outcome
            && error.is_usage()
            && self.begun
            && !checkpoint_path(self.run.path()).exists()
        {
            // What cannot be removed, or is no file of a run, stays.
            for file in BEGUN {
                let _ = fs::remove_file(self.run.file(file));
            }
            let _ = fs::remove_dir(self.run.path());
        }
        outcome
    }
}

/// Keeps a copy of the space's latency table, if it has one.
fn keep_latency(run: &RunFolder, space: &Space) -> Result<(), CommandError> {
    if let Some(table) = space.latency_table() {
        run.write(LATENCY_TABLE, table.to_json().as_bytes())?;
    }
    Ok(())
}

/// A data set's name as a part of a file's name: `mnist`, `folder-my-pets`.
fn file_safe(data: &str) -> String {
    let (source, folder) = data.split_once(':').unwrap_or((data, ""));
    let last = Path::new(folder).file_name().filter(|_| source == "folder");
    let name = match last {
        Some(last) => format!("{source}-{}", last.to_string_lossy()),
        None => source.to_owned(),
    };
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || c == '_' {
            c
        } else {
            '-'
        }
    };
    name.chars().take(60).map(safe).collect()
}

fn run_toml(config: &Table) -> String {
    toml::to_string(config).expect("a table is TOML")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_sets_make_names_of_folders() {
        for (data, name) in [
            ("fashion-mini", "fashion-mini"),
            ("mnist:/data/my digits", "mnist"),
            ("folder:/data/my pets/", "folder-my-pets"),
            ("folder:..", "folder"),
            ("folder:a/../../é:b", "folder---b"),
        ] {
            assert_eq!(file_safe(data), name);
        }
    }

    #[test]
    fn a_wrong_command_leaves_the_folder_free_but_takes_nothing_that_is_not_its_own() {
        let folder = tempfile::tempdir().unwrap();
        let space = Space::builtin("tiny-32").unwrap();
        let wrong = || Err::<(), _>(CommandError::Usage("no".into()));
        let failed = || Err::<(), _>(CommandError::Output(std::io::Error::other("disk full")));
        let config = Table::from_iter([("seed".to_owned(), Value::Integer(1))]);
        let path = folder.path().join("run");
        let begin = || {
            let place = Workplace::create(&path, &config, Ranks::default()).unwrap();
            assert!(!place.is_furnished());
            place.furnish(&space).unwrap();
            place
        };

        assert!(begin().conclude(wrong()).is_err());
        assert!(!path.exists());

        let run = begin();
        fs::write(path.join("notes.txt"), "mine").unwrap();
        assert!(run.conclude(wrong()).is_err());
        assert!(path.join("notes.txt").exists() && !path.join("run.toml").exists());
        fs::remove_dir_all(&path).unwrap();

        assert!(begin().conclude(failed()).is_err());
        assert!(path.join("run.toml").exists());
        let run = Workplace::resumed(RunFolder::resume(&path).unwrap());
        assert!(run.conclude(wrong()).is_err());
        assert!(path.join("run.toml").exists());
    }
}
