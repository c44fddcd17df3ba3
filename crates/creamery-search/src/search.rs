//! The whole search: supernet, strategy, selector, result.

use std::sync::atomic::AtomicBool;

use creamery_data::Batch;
use creamery_space::Space;
use creamery_train::engine::{self, Ended, Position, StepReport, Task, Validation};
use creamery_train::event::Events;
use creamery_train::{Checkpoint, Outcome, RunData, RunFolder, TrainError};

use crate::config::SearchConfig;
use crate::prepared::Prepared;
use crate::result::SearchResult;
use crate::select::{Source, conclude};
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
        selector,
        ..
    } = Prepared::new(config, space, data)?;
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

    fn end_epoch(&mut self, at: Position, events: &mut Events) -> Result<Validation, TrainError> {
        self.strategy.end_epoch(at, &self.trainer, events)?;
        self.run.write_json("board.json", &self.strategy.board())?;
        Ok(Validation::default())
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
