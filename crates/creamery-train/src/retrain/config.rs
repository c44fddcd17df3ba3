//! The configuration of a retraining.

use std::path::PathBuf;

use creamery_data::Mix;
use creamery_space::Space;
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::engine::Plan;
use crate::init::Init;
use crate::settings::{DataSettings, TrainSettings};
use crate::{ConfigError, Decay, Identity, RunData, TrainError};

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
    /// Share of the images that go past the last block rather than through it, in [0, 1); less for earlier ones.
    pub drop_path: f64,
    /// Decay of the moving average of weights, in [0, 1); 0 for none.
    pub ema: f64,
    /// Passes of a step, each on its share of the batch: memory for one share only.
    pub accumulate: usize,
    /// Which epoch's network is handed out: `last`, or `best` on the images held out.
    pub keep: Keep,
    /// Epochs without a better accuracy on the images held out after which training ends; 0 for never.
    pub patience: u64,
    /// Mixup and cutmix.
    pub mix: Mix,
    /// Distillation from another network.
    pub distill: Distillation,
    /// The images.
    pub data: DataSettings,
    /// The training.
    pub train: TrainSettings,
}

/// Which network of a training is handed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Keep {
    /// That of the last epoch.
    #[default]
    Last,
    /// That of the epoch whose top-1 on the images held out was the highest, the earliest of equals.
    Best,
}

/// How another network teaches (Hinton et al. 2015).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Distillation {
    /// The teacher: a model's file, or a run that made one. None teaches if it is not given.
    pub teacher: Option<PathBuf>,
    /// The weight of what the teacher says, in [0, 1]; the labels have the rest.
    pub weight: f64,
    /// What the logits of both are divided by before the softmax.
    pub temperature: f64,
}

impl Default for Distillation {
    fn default() -> Self {
        Self {
            teacher: None,
            weight: 0.5,
            temperature: 1.0,
        }
    }
}

impl Default for RetrainConfig {
    fn default() -> Self {
        Self {
            seed: 0,
            device: "cpu".into(),
            init: Init::Scratch,
            dropout: 0.2,
            drop_path: 0.0,
            ema: 0.9999,
            accumulate: 1,
            keep: Keep::Last,
            patience: 0,
            mix: Mix::default(),
            distill: Distillation::default(),
            data: DataSettings::default(),
            train: TrainSettings {
                decay: Decay::Cosine,
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
    /// Those that [`retrain`](super::retrain) would begin with.
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
        let part = |value: f64| (0.0..1.0).contains(&value);
        let Distillation {
            weight,
            temperature,
            ..
        } = self.distill;
        let share = self.train.batch / self.accumulate.max(1);
        let checks = [
            ("dropout", self.dropout, part(self.dropout), "in [0, 1)"),
            (
                "drop_path",
                self.drop_path,
                part(self.drop_path),
                "in [0, 1)",
            ),
            ("ema", self.ema, part(self.ema), "in [0, 1)"),
            (
                "distill.weight",
                weight,
                (0.0..=1.0).contains(&weight),
                "in [0, 1]",
            ),
            (
                "distill.temperature",
                temperature,
                temperature > 0.0 && temperature.is_finite(),
                "above 0",
            ),
            (
                "accumulate",
                self.accumulate as f64,
                self.accumulate >= 1 && share >= 2,
                "at least 1, and leave each pass 2 images of `train.batch` or more, for batch norm",
            ),
        ];
        let wrong = |key: &str, value: f64, range: &str| {
            Err(ConfigError::Value(format!(
                "`{key}` is {value}, but must be {range}"
            )))
        };
        if let Some((key, value, _, range)) = checks.into_iter().find(|(_, _, holds, _)| !holds) {
            return wrong(key, value, range);
        }
        if let Some((key, value, range)) = self.mix.wrong() {
            return wrong(&format!("mix.{key}"), value, range);
        }
        let chooses = self.keep == Keep::Best || self.patience > 0;
        if chooses && self.data.validation == 0.0 {
            return Err(ConfigError::Value(
                "`keep` and `patience` go by the images held out: set `data.validation` above 0"
                    .into(),
            ));
        }
        Ok(())
    }
}
