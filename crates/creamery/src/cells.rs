//! The cells of a table: what there is of each, and running what is left.
//!
//! A cell's folder holds the run of its search, `search/`, and the run of its winner's retraining,
//! `retrain/`, or else the winner's accuracy on the test images, `test.json`.

use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use creamery_search::ablation::{CellResult, DataSets, Row};
use creamery_search::{SearchConfig, SearchResult};
use creamery_space::Space;
use creamery_train::event::Accuracy;
use creamery_train::{
    Candidate, DataSettings, Init, Model, RetrainConfig, RetrainResult, RunData, RunFolder,
    evaluate,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::arch::{self, read};
use crate::cli::Global;
use crate::commands::{retrain, search};
use crate::error::CommandError;
use crate::interrupt;
use crate::recorded::{Recorded, Task};
use crate::unfinished::{Left, done, left};

const TEST: &str = "test.json";

/// How far a cell is.
#[derive(Debug)]
pub(crate) enum State {
    ToDo,
    Begun,
    Done(CellResult),
}

impl State {
    pub fn name(&self) -> &'static str {
        match self {
            Self::ToDo => "to do",
            Self::Begun => "begun",
            Self::Done(_) => "done",
        }
    }
}

/// The cells in a table's folder.
pub(crate) struct Cells<'a> {
    folder: &'a Path,
    sets: DataSets,
    global: &'a Global,
}

impl<'a> Cells<'a> {
    pub fn new(folder: &'a Path, sets: DataSets, global: &'a Global) -> Self {
        Self {
            folder,
            sets,
            global,
        }
    }

    fn path(&self, row: &Row, seed: u64, part: &str) -> PathBuf {
        self.folder.join(row.cell(seed)).join(part)
    }

    /// How far a cell is. Holds no lock and writes nothing.
    ///
    /// # Errors
    /// If it was begun with another configuration, space or data, or is damaged.
    pub fn state(&mut self, row: &Row, seed: u64) -> Result<State, CommandError> {
        let test = self.path(row, seed, TEST);
        let retrain = self.path(row, seed, "retrain");
        let config = row.settings.retrain(seed);
        if config.is_some() && test.exists() {
            return Err(self.changed(row, seed, "retrain", "false", "a table of settings"));
        }
        if config.is_none() && retrain.exists() {
            return Err(self.changed(row, seed, "retrain", "a table of settings", "false"));
        }
        let search = row.settings.search(seed);
        let space = &row.settings.space;
        let search = self.recorded(row, seed, Task::Search, &search, &search.data, space)?;
        let Some(search) = search else {
            return Ok(State::ToDo);
        };
        let space = search.space.as_ref().unwrap_or(space);
        let last = match &config {
            Some(config) => self
                .recorded(row, seed, Task::Retrain, config, &config.data, space)?
                .map(|retrain| retrain.result::<RetrainResult>())
                .transpose()?
                .flatten()
                .map(|result| (result.top1, Some(result.timing.seconds))),
            None if test.exists() => Some((tested(&test)?.top1, None)),
            None => None,
        };
        Ok(match (search.result::<SearchResult>()?, last) {
            (Some(found), Some((top1, seconds))) => {
                State::Done(CellResult::new(row, seed, &found, top1, seconds))
            }
            _ => State::Begun,
        })
    }

    /// What the folder of a search or retraining tells, if it is there and was made as it would be now.
    fn recorded<C: Serialize + DeserializeOwned>(
        &mut self,
        row: &Row,
        seed: u64,
        task: Task,
        config: &C,
        data: &DataSettings,
        space: &Space,
    ) -> Result<Option<Recorded>, CommandError> {
        let path = self.path(row, seed, task.command());
        if !path.join("run.toml").exists() {
            return Ok(None);
        }
        let recorded = Recorded::read::<C>(&path, task)?;
        if let Some([key, before, now]) = recorded.change(config) {
            let key = format!("{}.{key}", task.command());
            return Err(self.changed(row, seed, &key, &before, &now));
        }
        let opened = self.sets.open(data)?;
        recorded
            .check_identity(space, &opened.set.name, &opened.fingerprint)
            .map_err(|error| in_cell(row, seed, error))?;
        Ok(Some(recorded))
    }

    fn changed(&self, row: &Row, seed: u64, key: &str, before: &str, now: &str) -> CommandError {
        let cell = self.folder.join(row.cell(seed));
        CommandError::Usage(format!(
            "row `{}`: `{key}` was {before} in `{}`, which cannot become {now}: give the changed row another name, \
             or remove `{}` to run it anew",
            row.name,
            cell.display(),
            self.folder.join(&row.slug).display()
        ))
    }

    /// Runs what is left of a cell; `None` if it was stopped.
    ///
    /// # Errors
    /// With row and seed.
    pub fn work(
        &mut self,
        run: &RunFolder,
        row: &Row,
        seed: u64,
    ) -> Result<Option<CellResult>, CommandError> {
        self.search_and_end(run, row, seed)
            .map_err(|error| in_cell(row, seed, error))
    }

    fn search_and_end(
        &mut self,
        run: &RunFolder,
        row: &Row,
        seed: u64,
    ) -> Result<Option<CellResult>, CommandError> {
        let Some(found) = self.search(row, seed)? else {
            return Ok(None);
        };
        if (self.global.ranks).any(interrupt::stop_flag()?.load(Ordering::Relaxed)) {
            return Ok(None);
        }
        let (top1, seconds) = match row.settings.retrain(seed) {
            Some(config) => match self.retrain(row, &found, &config)? {
                Some(result) => (result.top1, Some(result.timing.seconds)),
                None => return Ok(None),
            },
            None => {
                let accuracy = self.test(row, &found)?;
                run.write_json(&format!("{}/{TEST}", row.cell(seed)), &accuracy)?;
                (accuracy.top1, None)
            }
        };
        let result = CellResult::new(row, seed, &found, top1, seconds);
        self.global.note(&format!(
            "{}, seed {seed}: {:.2}% validation, {:.2}% test",
            row.name, result.validation_top1, result.test_top1
        ));
        Ok(Some(result))
    }

    fn search(&mut self, row: &Row, seed: u64) -> Result<Option<SearchResult>, CommandError> {
        let config = row.settings.search(seed);
        let path = self.path(row, seed, Task::Search.command());
        let start = match left::<SearchConfig, SearchResult>(path, Task::Search, self.global.ranks)?
        {
            Left::Nothing(result) => return Ok(Some(result)),
            Left::Run(start) => start,
        };
        let set = self.sets.open(&config.data)?.set.clone();
        let space = &row.settings.space;
        let searched = search::search_in(start, &config, space, set, self.global)?;
        Ok(done(searched.outcome))
    }

    fn retrain(
        &mut self,
        row: &Row,
        found: &SearchResult,
        config: &RetrainConfig,
    ) -> Result<Option<RetrainResult>, CommandError> {
        let path = self.path(row, found.seed, Task::Retrain.command());
        let start =
            match left::<RetrainConfig, RetrainResult>(path, Task::Retrain, self.global.ranks)? {
                Left::Nothing(result) => return Ok(Some(result)),
                Left::Run(start) => start,
            };
        let network = arch::of_run(&self.path(row, found.seed, Task::Search.command()))?;
        let resolution = network.architecture.resolution;
        let set = self.sets.open(&config.data)?.set.clone();
        let data = RunData::prepare(set, &config.data, resolution, config.seed)?;
        let inherited = match config.init {
            Init::Inherit => Some(self.winner(row, found, &config.device)?),
            // No file is let into a table.
            Init::Scratch | Init::File(_) => None,
        };
        let teacher = retrain::teacher(config, None)?;
        let candidate = Candidate {
            space: &network.space,
            architecture: &network.architecture,
            inherited: inherited.as_ref(),
            teacher: teacher.as_ref(),
        };
        let (outcome, _) = retrain::retrain_in(start, config, &candidate, &data, self.global)?;
        Ok(done(outcome))
    }

    /// The winner of a search on the test images, as it is.
    fn test(&mut self, row: &Row, found: &SearchResult) -> Result<Accuracy, CommandError> {
        let config = row.settings.search(found.seed);
        let model = self.winner(row, found, &config.device)?;
        let test = &self.sets.open(&config.data)?.set.test;
        let device = creamery_nn::device(&config.device)?;
        let (batch, workers) = (config.train.batch, config.data.workers);
        let pipeline = model.input.pipeline(model.net.architecture.resolution);
        Ok(evaluate(
            &model.net, test, &pipeline, batch, workers, &device,
        )?)
    }

    fn winner(&self, row: &Row, found: &SearchResult, device: &str) -> Result<Model, CommandError> {
        let search = self.path(row, found.seed, Task::Search.command());
        Ok(Model::load(
            &search.join(&found.weights),
            &creamery_nn::device(device)?,
        )?)
    }
}

fn tested(path: &Path) -> Result<Accuracy, CommandError> {
    serde_json::from_str(&read(path)?).map_err(|error| CommandError::File {
        path: path.to_owned(),
        line: None,
        message: format!("no accuracy of a network ({error}): remove it to measure once more"),
    })
}

fn in_cell(row: &Row, seed: u64, source: CommandError) -> CommandError {
    CommandError::Cell {
        row: row.name.clone(),
        seed,
        source: Box::new(source),
    }
}
