//! What a run's folder tells of its run, whoever works in it.

use std::path::{Path, PathBuf};

use creamery_space::{LatencyTable, Space};
use creamery_train::engine::checkpoint_path;
use creamery_train::{Checkpoint, CheckpointError, Identity, Layers};
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use crate::arch::{parse, read};
use crate::error::CommandError;
use crate::run_args::at;
use crate::shell::quoted;

/// Settings that decide nothing about a run's result, as long as space, latency table and images are the same.
const FREE: [&str; 5] = [
    "space",
    "latency_table",
    "data.source",
    "data.workers",
    "train.checkpoint_seconds",
];

/// The copy of the latency table that a run's folder keeps.
pub(crate) const LATENCY_TABLE: &str = "latency.json";

/// A command that makes a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Task {
    Search,
    Retrain,
    Ablate,
    Rank,
    Select,
}

impl Task {
    /// Its name on the command line.
    pub fn command(self) -> &'static str {
        match self {
            Self::Search => "search",
            Self::Retrain => "retrain",
            Self::Ablate => "ablate",
            Self::Rank => "rank",
            // The selection's folder does not say of which run it is.
            Self::Select => "select RUN",
        }
    }

    /// The task whose configuration this is.
    pub fn of(config: &Table) -> Self {
        let tasks = [
            ("rows", Self::Ablate),
            ("subnets", Self::Rank),
            ("method", Self::Search),
            ("select", Self::Select),
        ];
        let task = tasks.iter().find(|(key, _)| config.contains_key(*key));
        task.map_or(Self::Retrain, |(_, task)| *task)
    }

    /// The command that goes on with a run.
    pub fn resume_command(self, folder: &Path) -> String {
        format!(
            "creamery {} --resume --out {}",
            self.command(),
            quoted(folder)
        )
    }

    /// Refuses a folder with the run of another command.
    ///
    /// # Errors
    /// With the command that goes on with it.
    pub fn check(self, folder: &Path) -> Result<(), CommandError> {
        let text = read(&folder.join("run.toml"))?;
        // What is no table is told by whoever reads it next, with its line.
        let found = toml::from_str(&text).map_or(self, |config| Self::of(&config));
        if found == self {
            return Ok(());
        }
        Err(CommandError::Usage(format!(
            "`{}` holds the run of another command: go on with {}",
            folder.display(),
            found.resume_command(folder)
        )))
    }
}

/// A run as its folder tells of it.
#[derive(Debug)]
pub(crate) struct Recorded {
    path: PathBuf,
    /// Its whole configuration.
    pub config: Table,
    /// Its space, with the latency table that it was given; `None` if the run was killed before it was written, and so before any step.
    pub space: Option<Space>,
}

impl Recorded {
    /// Reads what a folder tells of its run.
    ///
    /// # Errors
    /// If it is the run of another task, or damaged.
    pub fn read<C: Serialize + DeserializeOwned>(
        path: &Path,
        task: Task,
    ) -> Result<Self, CommandError> {
        task.check(path)?;
        let layers = Layers {
            file: Some(&path.join("run.toml")),
            ..Layers::default()
        };
        let config: C = layers.resolve()?;
        let space = path.join("space.toml");
        let space = space
            .exists()
            .then(|| Space::resolve(&space.display().to_string()))
            .transpose()?;
        let latency = path.join(LATENCY_TABLE);
        let space = match space {
            Some(space) if latency.exists() => Some(space.with_latency_file(&latency)?),
            space => space,
        };
        Ok(Self {
            path: path.to_owned(),
            config: table(&config),
            space,
        })
    }

    /// Where the run is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a file of the run is.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// The result, if the run is finished.
    ///
    /// # Errors
    /// If the result is damaged.
    pub fn result<R: DeserializeOwned>(&self) -> Result<Option<R>, CommandError> {
        let path = self.file("result.json");
        if !path.exists() {
            return Ok(None);
        }
        parse(&path, &read(&path)?).map(Some)
    }

    /// The first setting that differs from `config`, but for those that decide nothing about the result:
    /// its key, what it was, and what it is now.
    pub fn change(&self, config: &impl Serialize) -> Option<[String; 3]> {
        let now = table(config);
        let keys = self.config.keys().chain(now.keys());
        let mut changed = keys.flat_map(|key| differences(&self.config, &now, key));
        let key = changed.find(|key| !FREE.contains(&key.as_str()))?;
        let text = |config| at(config, &key).map_or("none".to_owned(), Value::to_string);
        let (before, now) = (text(&self.config), text(&now));
        Some([key, before, now])
    }

    /// The space with the latency table that a configuration names: the copy that the run keeps if the name is still
    /// the same.
    ///
    /// # Errors
    /// If the table cannot be read or is not one of the space.
    pub fn with_latency(&self, space: Space, named: Option<&str>) -> Result<Space, CommandError> {
        let before = self.config.get("latency_table").and_then(Value::as_str);
        let kept = self.space.as_ref().and_then(Space::latency_table);
        Ok(match (named, kept) {
            (None, _) => space,
            (Some(_), Some(kept)) if named == before => space.with_latency(kept.clone())?,
            (Some(file), _) => space.with_latency_file(Path::new(file))?,
        })
    }

    /// Refuses another space, other images, and another latency table where latency is bounded, whatever their names. The engine compares fingerprints as
    /// well; here the names are known. Where the checkpoint is gone, the name of the data set is all there is to
    /// compare.
    ///
    /// # Errors
    /// [`CheckpointError::Other`], or if the checkpoint is damaged.
    pub fn check_identity(
        &self,
        space: &Space,
        data: &str,
        fingerprint: &str,
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
        let bounded = ["budget.min_latency", "budget.max_latency"];
        if bounded.iter().any(|key| at(&self.config, key).is_some())
            && let (Some(before), Some(now)) = (
                self.space.as_ref().and_then(Space::latency_table),
                space.latency_table(),
            )
            && before.fingerprint() != now.fingerprint()
        {
            let named =
                |table: &LatencyTable| format!("{} [{}]", table.origin, table.fingerprint());
            return Err(other("latency table", named(before), named(now)).into());
        }
        let source = at(&self.config, "data.source").and_then(Value::as_str);
        let source = source.unwrap_or_default();
        let checkpoint = checkpoint_path(&self.path);
        if !checkpoint.exists() {
            return match source == data {
                true => Ok(()),
                false => Err(other("data", source.into(), data.into()).into()),
            };
        }
        let saved: Identity = Checkpoint::load_scalars(&checkpoint)?.get("identity")?;
        match saved.0.get("data") {
            Some(found) if found != fingerprint => Err(other(
                "data",
                format!("{source} [{found}]"),
                format!("{data} [{fingerprint}]"),
            )
            .into()),
            _ => Ok(()),
        }
    }
}

/// The settings at or below `key` that differ.
pub(crate) fn differences(before: &Table, now: &Table, key: &str) -> Vec<String> {
    match (at(before, key), at(now, key)) {
        (Some(Value::Table(old)), Some(Value::Table(new))) => {
            let inner = old.keys().chain(new.keys());
            inner
                .flat_map(|inner| differences(before, now, &format!("{key}.{inner}")))
                .collect()
        }
        (old, new) if old != new => vec![key.to_owned()],
        _ => Vec::new(),
    }
}

/// A configuration as the table that its run.toml holds.
pub(crate) fn table(config: &impl Serialize) -> Table {
    Table::try_from(config).expect("configurations are plain data")
}
