//! The whole search: supernet, strategy, selector, result.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;

use creamery_data::{Batch, DataSet};
use creamery_nn::SuperNet;
use creamery_space::Space;
use creamery_train::engine::{self, Ended, Plan, Position, StepReport, Task};
use creamery_train::event::{Accuracy, Events};
use creamery_train::{Checkpoint, ConfigError, Identity, Outcome, RunData, RunFolder, TrainError};

use crate::config::SearchConfig;
use crate::judge::Judge;
use crate::prioritized::Prioritized;
use crate::result::SearchResult;
use crate::select::{Pool, Source, conclude};
use crate::strategy::Strategy;
use crate::trainer::Trainer;

/// Trains a supernet of `space` on `data`, chooses the winner, and writes the run's result. Goes on from
/// the run's checkpoint if it has one.
///
/// A search that is stopped while it chooses has done all its training steps, and says so.
///
/// # Errors
/// If the configuration is out of range, nothing fits the budget, the selector needs a board that the method
/// does not keep, the training fails, or the run's folder cannot be written.
pub fn search(
    config: &SearchConfig,
    space: &Space,
    data: &RunData,
    run: &RunFolder,
    events: &mut Events,
    stop: &AtomicBool,
) -> Result<Outcome<SearchResult>, TrainError> {
    let Prepared {
        judge,
        mut pool,
        plan,
        trainer,
        strategy,
    } = Prepared::new(config, space, data)?;
    let selector = config.select.selector(strategy.has_board())?;
    let mut task = SearchTask {
        trainer,
        strategy,
        run,
    };
    let timing = match engine::train(&mut task, &plan, run, events, stop)? {
        Ended::Finished(timing) => timing,
        Ended::Stopped { step } => return Ok(Outcome::Stopped { step }),
    };

    pool.board = task.strategy.board();
    let source = Source {
        config,
        space,
        data,
        supernet: &task.trainer.supernet,
        judge: &judge,
        step: plan.steps(),
        folder_is_own: true,
    };
    let settings = &config.select;
    let end = conclude(&source, &pool, selector, settings, run, events, stop)?;
    let Outcome::Done(selected) = end else {
        return Ok(Outcome::Stopped { step: plan.steps() });
    };
    let result = SearchResult {
        kind: "search".into(),
        seed: config.seed,
        timing,
        ..selected
    };
    run.write_json("result.json", &result)?;
    Ok(Outcome::Done(result))
}

/// The resolution of a search in `space` on the images of `set`: the configuration's, or else the space's
/// nearest to the images.
pub fn resolution(config: &SearchConfig, space: &Space, set: &DataSet) -> usize {
    let side = set.height.zip(set.width);
    let side = side.map(|(height, width)| height.min(width));
    let nearest = || space.resolution_for(side);
    config.resolution.unwrap_or_else(nearest)
}

/// A search before its first step.
pub(crate) struct Prepared {
    pub judge: Rc<Judge>,
    /// The paths within the budget.
    pub pool: Pool,
    pub plan: Plan,
    pub trainer: Trainer,
    pub strategy: Box<dyn Strategy>,
}

impl Prepared {
    pub fn new(config: &SearchConfig, space: &Space, data: &RunData) -> Result<Self, TrainError> {
        config.check()?;
        let validation = data.validation.as_ref().ok_or_else(|| {
            ConfigError::Value(
                "`data.validation` is 0, but a search needs held-out images to choose by: give a share such as 0.1".into(),
            )
        })?;
        let seed = config.select.seed.unwrap_or(config.seed);
        let pool = Pool::new(space, data, &config.budget, seed)?;
        let device = creamery_nn::device(&config.device)?;
        let (channels, classes) = (data.set.channels, data.set.classes.len());
        let supernet = SuperNet::new(space, channels, classes, config.seed, &device)?;
        let judge = Rc::new(Judge::new(
            data,
            validation,
            &config.cream,
            config.train.batch,
            config.data.workers,
            config.seed,
            &device,
        )?);
        let plan = Plan::new(
            data,
            &config.data,
            &config.train,
            config.seed,
            Identity(BTreeMap::from([
                ("task".into(), "search".into()),
                ("method".into(), config.method.clone()),
                ("space".into(), space.fingerprint()),
                ("data".into(), data.set.fingerprint()),
                ("resolution".into(), data.pipeline.resolution.to_string()),
                ("seed".into(), config.seed.to_string()),
                ("batch".into(), config.train.batch.to_string()),
                ("budget".into(), config.budget.budget().to_string()),
                ("buckets".into(), config.budget.buckets.to_string()),
            ])),
        );
        let schedule = config.train.schedule(plan.steps_per_epoch());
        let strategy = Prioritized::new(&config.cream, pool.samplers(), Rc::clone(&judge));
        Ok(Self {
            trainer: Trainer::new(supernet, &config.train, schedule, config.seed),
            strategy: Box::new(strategy),
            judge,
            pool,
            plan,
        })
    }
}

struct SearchTask<'a> {
    trainer: Trainer,
    strategy: Box<dyn Strategy>,
    run: &'a RunFolder,
}

impl Task for SearchTask<'_> {
    fn name(&self) -> &'static str {
        "search"
    }

    fn step(
        &mut self,
        at: Position,
        batch: &Batch,
        events: &mut Events,
    ) -> Result<StepReport, TrainError> {
        self.strategy.step(at, batch, &mut self.trainer, events)
    }

    fn end_epoch(
        &mut self,
        at: Position,
        events: &mut Events,
    ) -> Result<Option<Accuracy>, TrainError> {
        self.strategy.end_epoch(at, &self.trainer, events)?;
        self.run.write_json("board.json", &self.strategy.board())?;
        Ok(None)
    }

    fn save(&self, checkpoint: &mut Checkpoint) {
        self.trainer.save(checkpoint);
        self.strategy.save(checkpoint);
    }

    fn load(&mut self, checkpoint: &mut Checkpoint) -> Result<(), TrainError> {
        self.trainer.load(checkpoint)?;
        self.strategy.load(checkpoint)
    }
}
