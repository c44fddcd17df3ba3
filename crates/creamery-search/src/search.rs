//! The whole search: supernet, strategy, selector, result.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;

use creamery_data::Batch;
use creamery_nn::{NnError, SuperNet};
use creamery_space::{Budget, SampleError, Sampler, Space, buckets};
use creamery_train::engine::{self, Ended, Plan, Position, StepReport, Task};
use creamery_train::event::{Accuracy, Event, Events};
use creamery_train::{
    Checkpoint, ConfigError, Identity, Model, ModelInput, Outcome, RunData, RunFolder, TrainError,
};

use crate::config::SearchConfig;
use crate::judge::Judge;
use crate::prioritized::Prioritized;
use crate::result::{Member, SearchResult};
use crate::selector::BoardSelector;
use crate::strategy::{Selector, Strategy};
use crate::trainer::Trainer;

/// Trains a supernet of `space` on `data`, chooses the winner, and writes the run's result. Goes on from
/// the run's checkpoint if it has one.
///
/// # Errors
/// If the configuration is out of range, nothing fits the budget, the training fails, or the run's folder
/// cannot be written.
pub fn search(
    config: &SearchConfig,
    space: &Space,
    data: &RunData,
    run: &RunFolder,
    events: &mut Events,
    stop: &AtomicBool,
) -> Result<Outcome<SearchResult>, TrainError> {
    config.check()?;
    let validation = data.validation.as_ref().ok_or_else(|| {
        ConfigError::Value(
            "`data.validation` is 0, but a search needs held-out images to choose by: give a share such as 0.1".into(),
        )
    })?;
    let samplers = samplers(config, space, data)?;
    let device = creamery_nn::device(&config.device)?;
    let input = ModelInput::of(data);
    let classes = input.classes.len();
    let supernet = SuperNet::new(space, input.channels, classes, config.seed, &device)?;
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
    let mut task = SearchTask {
        trainer: Trainer::new(supernet, &config.train, schedule, config.seed),
        strategy: Box::new(Prioritized::new(&config.cream, samplers, Rc::clone(&judge))),
        run,
    };
    let timing = match engine::train(&mut task, &plan, run, events, stop)? {
        Ended::Finished(timing) => timing,
        Ended::Stopped { step } => return Ok(Outcome::Stopped { step }),
    };

    let mut selector = BoardSelector { judge };
    let winners = selector.select(task.strategy.as_ref(), &task.trainer, events)?;
    let best = winners
        .iter()
        .max_by(|a, b| {
            let by_score = a.validation.top1.total_cmp(&b.validation.top1);
            by_score.then(b.cost.macs.cmp(&a.cost.macs))
        })
        .ok_or_else(|| {
            ConfigError::Value("the search ended with an empty board: train longer".into())
        })?;
    let missing = config.budget.buckets - winners.len();
    if missing > 0 {
        events.emit(Event::Warning {
            message: format!(
                "{missing} of {} buckets have no winner: train longer, or with fewer buckets",
                config.budget.buckets
            ),
        })?;
    }
    let model = Model {
        net: best.net.clone(),
        space: space.clone(),
        input,
    };
    model.save(&run.file("model.safetensors"))?;
    let members = winners
        .iter()
        .map(|winner| Member::new(winner, space))
        .collect::<Result<Vec<_>, _>>()
        .map_err(NnError::from)?;
    let winner = Member::new(best, space).map_err(NnError::from)?;
    let result = SearchResult {
        kind: "search".into(),
        method: config.method.clone(),
        space: space.name.clone(),
        dataset: data.set.name.clone(),
        seed: config.seed,
        architecture: winner.architecture,
        cost: winner.cost,
        validation: winner.validation,
        board: task.strategy.board(),
        family: if config.budget.buckets > 1 {
            members
        } else {
            Vec::new()
        },
        weights: "model.safetensors".into(),
        timing,
    };
    run.write_json("result.json", &result)?;
    Ok(Outcome::Done(result))
}

/// A sampler for each bucket of the budget.
fn samplers(
    config: &SearchConfig,
    space: &Space,
    data: &RunData,
) -> Result<Vec<Sampler>, TrainError> {
    let resolution = data.pipeline.resolution;
    let (channels, classes) = (data.set.channels, data.set.classes.len());
    let value = |error: &dyn std::fmt::Display| ConfigError::Value(error.to_string());
    let budget: Budget = config.budget.budget();
    // Whether anything fits is asked of the whole budget first: its error names the nearest path.
    let whole =
        Sampler::new(space, resolution, channels, classes, &budget).map_err(|e| value(&e))?;
    if config.budget.buckets == 1 {
        return Ok(vec![whole]);
    }
    let reachable = space
        .reachable(&budget, resolution, channels, classes)
        .map_err(NnError::from)?;
    buckets(&reachable, config.budget.buckets)
        .map_err(|e| value(&e))?
        .iter()
        .map(|bucket| {
            Sampler::new(space, resolution, channels, classes, bucket)
                .map_err(|e: SampleError| value(&e).into())
        })
        .collect()
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
