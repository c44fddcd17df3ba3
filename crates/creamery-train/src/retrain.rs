//! Training one network: the winner of a search, or any architecture.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;

use burn::tensor::Device;
use creamery_data::{Batch, Pipeline, Split};
use creamery_nn::{Norm, Subnet, loss};
use creamery_space::{Architecture, Cost, Space};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::dropout::dropout_mask;
use crate::engine::{self, Ended, Plan, Position, StepReport, Task, Timing};
use crate::eval::{evaluate, images};
use crate::event::{Accuracy, Events};
use crate::init::{Init, start_from};
use crate::model::{Model, ModelInput};
use crate::optim::{Ema, Optimizer, Update};
use crate::settings::{DataSettings, TrainSettings};
use crate::{Checkpoint, ConfigError, Identity, RunData, RunFolder, Schedule, TrainError};

/// The configuration of a retraining.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RetrainConfig {
    /// Decides initial weights, the order of images, augmentation and dropout.
    pub seed: u64,
    /// The device that computes.
    pub device: String,
    /// Where the weights come from: `scratch`, `inherit` or a model's file.
    pub init: Init,
    /// Dropout in front of the classifier, in [0, 1).
    pub dropout: f64,
    /// Decay of the moving average of weights, in [0, 1); 0 for none.
    pub ema: f64,
    /// The images.
    pub data: DataSettings,
    /// The training.
    pub train: TrainSettings,
}

impl Default for RetrainConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            device: "cpu".into(),
            init: Init::Scratch,
            dropout: 0.2,
            ema: 0.9999,
            data: DataSettings::default(),
            train: TrainSettings {
                decay: crate::Decay::Cosine,
                ..TrainSettings::default()
            },
        }
    }
}

impl RetrainConfig {
    /// The settings that a space recommends, to lie under those of the user.
    pub fn defaults(space: &Space) -> Table {
        let r = &space.recommended.retrain;
        let int = |v: Option<usize>| v.map(|v| Value::Integer(v as i64));
        let optimizer = r.optimizer.map(|optimizer| match optimizer {
            creamery_space::Optimizer::Sgd => "sgd",
            creamery_space::Optimizer::Rmsprop => "rmsprop",
        });
        let known = |entries: Vec<(&str, Option<Value>)>| -> Table {
            let known = entries.into_iter();
            known
                .filter_map(|(k, v)| Some((k.to_owned(), v?)))
                .collect()
        };
        let train = known(vec![
            ("epochs", int(r.epochs)),
            ("batch", int(r.batch)),
            ("lr", r.lr.map(Value::Float)),
            (
                "optimizer",
                optimizer.map(|name| Value::String(name.into())),
            ),
            ("weight_decay", r.weight_decay.map(Value::Float)),
            (
                "lr_warmup_epochs",
                r.warmup_epochs.map(|v| Value::Float(v as f64)),
            ),
            ("decay", Some(Value::String("cosine".into()))),
        ]);
        known(vec![
            ("train", Some(Value::Table(train))),
            ("dropout", r.dropout.map(Value::Float)),
            ("ema", r.ema.map(Value::Float)),
        ])
    }

    /// The configuration of a retraining after a search on `data`: images are treated as they were there,
    /// unless others are asked for. `resolve` lays what the user says over the defaults that it is given.
    ///
    /// # Errors
    /// Those of `resolve`.
    pub fn after_search<E>(
        space: &Space,
        data: &DataSettings,
        resolve: impl Fn(Table) -> Result<Self, E>,
    ) -> Result<Self, E> {
        let defaults = Self::defaults(space);
        let carried = Value::try_from(data).expect("settings are plain data");
        let mut with_data = defaults.clone();
        with_data.insert("data".to_owned(), carried);
        let config = resolve(with_data)?;
        if config.data.source == data.source {
            return Ok(config);
        }
        resolve(defaults)
    }

    /// Refuses a retraining on `data` that could not begin: settings out of range, fewer images than a batch, an
    /// unknown device. Trains nothing.
    ///
    /// # Errors
    /// Those that [`retrain`] would begin with.
    pub fn check_start(&self, data: &RunData) -> Result<(), TrainError> {
        self.check()?;
        creamery_nn::device(&self.device)?;
        Plan::new(
            data,
            &self.data,
            &self.train,
            self.seed,
            Identity::default(),
        )
        .check()
    }

    /// Refuses values that no retraining can have.
    ///
    /// # Errors
    /// [`ConfigError::Value`] with the key, its value and its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.train.check()?;
        self.data.check()?;
        for (key, value) in [("dropout", self.dropout), ("ema", self.ema)] {
            if !(0.0..1.0).contains(&value) {
                return Err(ConfigError::Value(format!(
                    "`{key}` is {value}, but must be in [0, 1)"
                )));
            }
        }
        Ok(())
    }
}

/// What a retraining yields: the text of its `result.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RetrainResult {
    /// `retrain`.
    pub kind: String,
    /// The space's name.
    pub space: String,
    /// The data set.
    pub dataset: String,
    /// The seed.
    pub seed: u64,
    /// The network.
    pub architecture: Architecture,
    /// What it costs: MACs, parameters, FLOPs as thop counts them.
    #[serde(flatten)]
    pub cost: Cost,
    /// Top-1 on the test split, in percent.
    pub top1: f64,
    /// Top-5 on the test split, in percent.
    pub top5: f64,
    /// Images of the test split.
    pub test_images: usize,
    /// Accuracy on the images held out, if any.
    pub validation: Option<Accuracy>,
    /// Epochs trained.
    pub epochs: u64,
    /// Where the weights came from.
    pub init: Init,
    /// The file with the weights, beside this one.
    pub weights: String,
    /// How long it took.
    pub timing: Timing,
}

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
    let device = creamery_nn::device(&config.device)?;
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
    let mut task = Retraining {
        config,
        schedule: config.train.schedule(plan.steps_per_epoch()),
        optimizer: Optimizer::new(config.train.optimizer()),
        ema: (config.ema > 0.0).then(|| Ema::new(&net, config.ema, 0)),
        net,
        macs: cost.macs,
        validation: data.validation.as_ref(),
        pipeline: &data.pipeline,
        device,
    };
    let timing = match engine::train(&mut task, &plan, run, events, stop)? {
        Ended::Finished(timing) => timing,
        Ended::Stopped { step } => return Ok(Outcome::Stopped { step }),
    };
    let test = task.accuracy(&data.set.test)?;
    let validation = data
        .validation
        .as_ref()
        .map(|v| task.accuracy(v))
        .transpose()?;
    let model = Model {
        net: task.result().clone(),
        space: space.clone(),
        input,
    };
    model.save(&run.file("model.safetensors"))?;
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
        validation,
        epochs: config.train.epochs,
        init: config.init.clone(),
        weights: "model.safetensors".into(),
        timing,
    };
    run.write_json("result.json", &result)?;
    Ok(Outcome::Done(result))
}

struct Retraining<'a> {
    config: &'a RetrainConfig,
    schedule: Schedule,
    net: Subnet,
    optimizer: Optimizer,
    ema: Option<Ema>,
    macs: u64,
    validation: Option<&'a Split>,
    pipeline: &'a Pipeline,
    device: Device,
}

impl Retraining<'_> {
    /// The network that is handed out: the moving average where there is one.
    fn result(&self) -> &Subnet {
        self.ema.as_ref().map_or(&self.net, Ema::network)
    }

    fn accuracy(&self, split: &Split) -> Result<Accuracy, TrainError> {
        evaluate(
            self.result(),
            split,
            self.pipeline,
            self.config.train.batch,
            self.config.data.workers,
            &self.device,
        )
    }
}

impl Task for Retraining<'_> {
    fn name(&self) -> &'static str {
        "retrain"
    }

    fn step(
        &mut self,
        at: Position,
        batch: &Batch,
        _events: &mut Events,
    ) -> Result<StepReport, TrainError> {
        let settings = &self.config.train;
        let lr = self.schedule.lr(at.step);
        let x = images(batch, &self.device);
        let features = [batch.n, self.net.head_features()];
        let dropout = self.config.dropout;
        let mask = dropout_mask(dropout, self.config.seed, at.step, features, &self.device);
        let targets = loss::smoothed_targets(
            &batch.labels,
            self.net.classes(),
            settings.label_smoothing,
            &self.device,
        );
        let tracked = self.net.tracked();
        let output = tracked.net().forward_dropout(x, Norm::Batch, mask);
        let loss = loss::cross_entropy(output.logits.clone(), targets);
        let value = f64::from(loss.clone().into_scalar::<f32>());
        finite("loss", value, at.step, lr)?;
        let correct = loss::correct(&output.logits, &batch.labels, 1);
        let update = Update {
            gradients: tracked.gradients(&loss),
            stats: output.stats.into_iter().map(Vec::from_iter).collect(),
            step: at.step,
            lr,
        };
        // Whatever shares the weights is gone before they are updated, which is then done in place.
        drop(tracked);
        let layers = self.net.layers_mut();
        let grad_norm = update.apply(layers, &mut self.optimizer, settings)?;
        if let Some(ema) = &mut self.ema {
            ema.update(&self.net);
        }
        Ok(StepReport {
            loss: value,
            correct,
            lr,
            grad_norm,
            macs: self.macs,
            teacher: None,
        })
    }

    fn end_epoch(
        &mut self,
        _at: Position,
        _events: &mut Events,
    ) -> Result<Option<Accuracy>, TrainError> {
        self.validation
            .map(|split| self.accuracy(split))
            .transpose()
    }

    fn save(&self, checkpoint: &mut Checkpoint) {
        checkpoint.put_tensors("net", self.net.state());
        checkpoint.put_tensors("optimizer", self.optimizer.state());
        if let Some(ema) = &self.ema {
            checkpoint.put("ema", &ema.updates());
            checkpoint.put_tensors("ema", ema.network().state());
        }
    }

    fn load(&mut self, checkpoint: &mut Checkpoint) -> Result<(), TrainError> {
        self.net
            .load(checkpoint.take_tensors("net"), &self.device)?;
        self.optimizer
            .load(checkpoint.take_tensors("optimizer"), &self.device)?;
        if self.ema.is_some() {
            let mut average = self.net.clone();
            average.load(checkpoint.take_tensors("ema"), &self.device)?;
            self.ema = Some(Ema::new(&average, self.config.ema, checkpoint.get("ema")?));
        }
        Ok(())
    }
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
