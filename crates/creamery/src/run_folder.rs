//! The folder of a run, from the command line's side: begun, gone on with, or taken back.
//!
//! Beside what the engine writes, a run's folder holds all that going on needs: the whole configuration
//! in `run.toml` and the space in `space.toml`, so that it does not matter what else has changed since.

use std::fs;
use std::path::{Path, PathBuf};

use creamery_data::DataSet;
use creamery_space::Space;
use creamery_train::engine::checkpoint_path;
use creamery_train::{Checkpoint, CheckpointError, Identity, RunFolder};
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::arch::read;
use crate::error::CommandError;
use crate::run_args::{PlaceArgs, at};
use crate::shell::quoted;

/// Settings that the state of a run depends on, so that going on with others would train something else.
const FIXED: [&str; 10] = [
    "method",
    "seed",
    "resolution",
    "budget",
    "cream",
    "select",
    "init",
    "train.batch",
    "train.optimizer",
    "data.validation",
];

/// Files that a command writes before the first step, in the order of taking them back.
const BEGUN: [&str; 6] = [
    "metrics.jsonl",
    "inherited.safetensors",
    "architecture.json",
    "space.toml",
    "run.toml",
    "lock",
];

/// A command that makes a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Search,
    Select,
    Retrain,
}

impl Task {
    fn command(self) -> &'static str {
        match self {
            Self::Search => "search",
            // The selection's folder does not say of which run it is.
            Self::Select => "select RUN",
            Self::Retrain => "retrain",
        }
    }

    /// The task whose configuration this is.
    fn of(config: &Table) -> Self {
        if config.contains_key("method") {
            Self::Search
        } else if config.contains_key("select") {
            Self::Select
        } else {
            Self::Retrain
        }
    }

    /// The command that goes on with a run.
    pub fn resume_command(self, folder: &Path) -> String {
        format!(
            "creamery {} --resume --out {}",
            self.command(),
            quoted(folder)
        )
    }
}

/// The run that `--resume` goes on with.
#[derive(Debug)]
pub(crate) struct Previous {
    run: RunFolder,
    /// Its whole configuration.
    pub config: Table,
    /// Its space; `None` if the run was killed before it was written, and so before any step.
    pub space: Option<Space>,
}

impl Previous {
    /// Opens the run that the flags name; `None` if they ask for a new one.
    ///
    /// # Errors
    /// If there is no such run, or it is one of another task, damaged, or in use.
    pub fn open<C: Serialize + DeserializeOwned>(
        args: &PlaceArgs,
        task: Task,
    ) -> Result<Option<Self>, CommandError> {
        let Some(path) = args.out.as_deref().filter(|_| args.resume) else {
            return Ok(None);
        };
        let run = RunFolder::resume(path)?;
        let file = run.file("run.toml");
        // What is no table is told below, with its line.
        let found = toml::from_str(&read(&file)?).map_or(task, |table| Task::of(&table));
        if found != task {
            return Err(CommandError::Usage(format!(
                "`{}` holds the run of another command: go on with {}",
                path.display(),
                found.resume_command(path)
            )));
        }
        let layers = creamery_train::Layers {
            file: Some(&file),
            ..Default::default()
        };
        let config: C = layers.resolve()?;
        let space = run.file("space.toml");
        let space = space
            .exists()
            .then(|| Space::resolve(&space.display().to_string()))
            .transpose()?;
        Ok(Some(Self {
            run,
            config: table(&config),
            space,
        }))
    }

    /// Where the run is.
    pub fn path(&self) -> &Path {
        self.run.path()
    }

    /// Where a file of the run is.
    pub fn file(&self, name: &str) -> PathBuf {
        self.run.file(name)
    }

    /// The result, if the run is finished and the command changes nothing about it.
    ///
    /// # Errors
    /// If the result is damaged.
    pub fn result<R: DeserializeOwned>(
        &self,
        config: &impl Serialize,
    ) -> Result<Option<R>, CommandError> {
        let path = self.run.file("result.json");
        if !path.exists() || self.config != table(config) {
            return Ok(None);
        }
        crate::arch::parse(&path, &read(&path)?).map(Some)
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
        let source = at(&self.config, "data.source").and_then(Value::as_str);
        self.check_identity(space, set, source.unwrap_or_default())?;
        if config != self.config {
            self.run.write("run.toml", run_toml(&config).as_bytes())?;
        }
        Ok(self.run)
    }

    fn check_settings(&self, config: &Table) -> Result<(), CommandError> {
        let differs = FIXED
            .iter()
            .find_map(|key| difference(&self.config, config, key));
        let epochs = |config: &Table| at(config, "train.epochs").and_then(Value::as_integer);
        // Steps beyond a shorter plan cannot be undone.
        let fewer = epochs(config) < epochs(&self.config);
        let Some(key) = differs.or(fewer.then(|| "train.epochs".to_owned())) else {
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

    /// The engine compares fingerprints as well; here the names are known.
    fn check_identity(
        &self,
        space: &Space,
        set: &DataSet,
        source: &str,
    ) -> Result<(), CommandError> {
        let other = |what: &str, found: String, expected: String| CheckpointError::Other {
            what: what.into(),
            found,
            expected,
        };
        if let Some(before) = &self.space
            && before.fingerprint() != space.fingerprint()
        {
            return Err(other("space", before.name.clone(), space.name.clone()).into());
        }
        let checkpoint = checkpoint_path(&self.run);
        if !checkpoint.exists() {
            return Ok(());
        }
        let saved: Identity = Checkpoint::load(&checkpoint)?.get("identity")?;
        let fingerprint = set.fingerprint();
        match saved.0.get("data") {
            Some(found) if *found != fingerprint => Err(other(
                "data",
                format!("{source} [{found}]"),
                format!("{} [{fingerprint}]", set.name),
            )
            .into()),
            _ => Ok(()),
        }
    }
}

/// The first setting at or below `key` that differs.
fn difference(before: &Table, now: &Table, key: &str) -> Option<String> {
    match (at(before, key), at(now, key)) {
        (Some(Value::Table(old)), Some(Value::Table(new))) => {
            let mut inner = old.keys().chain(new.keys());
            inner.find_map(|inner| difference(before, now, &format!("{key}.{inner}")))
        }
        (old, new) => (old != new).then(|| key.to_owned()),
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
    pub fn create(path: &Path, config: &impl Serialize) -> Result<Self, CommandError> {
        let run = RunFolder::create(path, &run_toml(&table(config)))?;
        Ok(Self { run, begun: true })
    }

    /// That of a run which is gone on with.
    pub fn resumed(run: RunFolder) -> Self {
        Self { run, begun: false }
    }

    /// Whether all that going on needs is there.
    pub fn is_furnished(&self) -> bool {
        self.run.file("space.toml").exists()
    }

    /// Writes the space: the last of what going on needs.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn furnish(&self, space: &Space) -> Result<(), CommandError> {
        Ok(self.run.write("space.toml", space.to_toml().as_bytes())?)
    }

    /// Hands an outcome on. If the command was wrong and had begun the run, the folder is free again
    /// afterwards, so that the right command finds it so.
    pub fn conclude<T>(&self, outcome: Result<T, CommandError>) -> Result<T, CommandError> {
        if let Err(error) = &outcome
            && error.is_usage()
            && self.begun
            && !checkpoint_path(&self.run).exists()
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

fn table(config: &impl Serialize) -> Table {
    Table::try_from(config).expect("configurations are plain data")
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
            let place = Workplace::create(&path, &config).unwrap();
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
