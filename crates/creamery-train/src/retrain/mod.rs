//! Training one network: the winner of a search, or any architecture.

mod config;
mod result;
mod share;
mod task;
mod teacher;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use creamery_nn::Subnet;
use creamery_space::{Architecture, Space};

pub use config::{Distillation, Keep, RetrainConfig};
pub use result::{BestEpoch, RetrainResult};

use crate::engine::{self, Ended, Plan};
use crate::event::Events;
use crate::init::{Init, start_from};
use crate::model::{Model, ModelInput};
use crate::optim::{Ema, Optimizer};
use crate::{ConfigError, Identity, RunData, RunFolder, TrainError};
use task::{Retraining, Standing};
use teacher::Teacher;

/// How a run ended: with its result, or stopped on request before a step.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome<T> {
    /// It is done.
    Done(T),
    /// It was asked to stop; its state is saved.
    Stopped {
        /// The step that it would do next.
        step: u64,
    },
}

/// The network to train, and what it starts from.
#[derive(Debug)]
pub struct Candidate<'a> {
    /// Its space.
    pub space: &'a Space,
    /// Its architecture.
    pub architecture: &'a Architecture,
    /// The network to start from: with the supernet's weights for [`Init::Inherit`], the file's for [`Init::File`].
    pub inherited: Option<&'a Model>,
    /// The network that teaches, if [`Distillation::teacher`] names one.
    pub teacher: Option<&'a Model>,
}

/// Trains a network and evaluates it on the test split. Goes on from the run's checkpoint if it has one.
///
/// # Errors
/// If the configuration is out of range, the training fails, or the run's folder cannot be written.
pub fn retrain(
    config: &RetrainConfig,
    candidate: &Candidate<'_>,
    data: &RunData,
    run: &RunFolder,
    events: &mut Events,
    stop: &AtomicBool,
) -> Result<Outcome<RetrainResult>, TrainError> {
    config.check()?;
    let device = data.ranks.device(&config.device)?;
    let input = ModelInput::of(data);
    let (space, architecture) = (candidate.space, candidate.architecture);
    let mut net = Subnet::new(
        space,
        architecture,
        input.channels,
        input.classes.len(),
        config.seed,
        &device,
    )?;
    match (&config.init, candidate.inherited) {
        (Init::Scratch, _) => {}
        (_, None) => {
            return Err(ConfigError::Value(format!(
                "`init` is {}, but there are no weights to start from: name a search's result.json, or use --init scratch",
                config.init
            ))
            .into());
        }
        (Init::Inherit, Some(model)) => {
            model.input.check(&data.set)?;
            net.load(model.net.state(), &device)?;
        }
        (Init::File(_), Some(model)) => {
            start_from(&mut net, model, &device)?;
        }
    }
    let ranks = data.ranks;
    ranks.check_norm(config.train.sync_norm, &device, net.layers())?;
    let share = ranks.portion(config.train.batch).len();
    if !ranks.is_alone() && !share.is_multiple_of(2) && config.mix.is_on() {
        return Err(ConfigError::Value(format!(
            "`mix` mixes images in pairs, but each of {} ranks would have {share} of a batch of {}: give a batch of which each has an even number",
            ranks.size(),
            config.train.batch
        ))
        .into());
    }
    let cost = space
        .cost(architecture, input.channels, input.classes.len())
        .map_err(creamery_nn::NnError::from)?;
    let plan = Plan::new(
        data,
        &config.data,
        &config.train,
        config.seed,
        Identity(BTreeMap::from([
            ("task".into(), "retrain".into()),
            ("space".into(), space.fingerprint()),
            ("architecture".into(), format!("{architecture:?}")),
            ("data".into(), data.set.fingerprint()),
            ("seed".into(), config.seed.to_string()),
            ("batch".into(), config.train.batch.to_string()),
        ])),
    );
    if let (Some(named), None) = (&config.distill.teacher, candidate.teacher) {
        return Err(ConfigError::Value(format!(
            "`distill.teacher` is {}, but no teacher was given",
            named.display()
        ))
        .into());
    }
    let teacher = (candidate.teacher)
        .map(|model| {
            model.input.check(&data.set)?;
            Ok::<_, TrainError>(Teacher::new(model, &config.distill, &input, &device))
        })
        .transpose()?;
    let mut task = Retraining {
        config,
        space,
        input: &input,
        schedule: config.train.schedule(plan.steps_per_epoch()),
        optimizer: Optimizer::new(config.train.optimizer()),
        ema: (config.ema > 0.0).then(|| Ema::new(&net, config.ema, 0)),
        net,
        teacher,
        macs: cost.macs,
        validation: data.validation.as_ref(),
        pipeline: &data.pipeline,
        run,
        ranks: data.ranks,
        standing: Standing::default(),
        device,
    };
    let timing = match engine::train(&mut task, &plan, run, events, stop)? {
        Ended::Finished(timing) => timing,
        Ended::Stopped { step } => return Ok(Outcome::Stopped { step }),
    };
    let model = task.result()?;
    let (test, confusion) = task.confusion(&model.net, &data.set.test)?;
    let raw = (task.raw())
        .map(|net| task.accuracy(net, &data.set.test))
        .transpose()?;
    let validation = (data.validation.as_ref())
        .map(|split| task.accuracy(&model.net, split))
        .transpose()?;
    run.write_json("confusion.json", &confusion)?;
    if run.is_writer() {
        model.save(&run.file("model.safetensors"))?;
    }
    let result = RetrainResult {
        kind: "retrain".into(),
        space: space.name.clone(),
        dataset: data.set.name.clone(),
        seed: config.seed,
        architecture: architecture.clone(),
        cost,
        top1: test.top1,
        top5: test.top5,
        test_images: test.images,
        raw,
        validation,
        best: task.standing.best,
        epochs: task.standing.epochs,
        init: config.init.clone(),
        weights: "model.safetensors".into(),
        timing,
    };
    run.write_json("result.json", &result)?;
    Ok(Outcome::Done(result))
}

/// Refuses a value that is not a number, before it reaches a weight.
///
/// # Errors
/// [`TrainError::NotFinite`].
pub fn finite(what: &'static str, value: f64, step: u64, lr: f64) -> Result<(), TrainError> {
    if value.is_finite() {
        return Ok(());
    }
    Err(TrainError::NotFinite {
        what,
        value,
        step,
        lr,
        last_good: None,
    })
}
