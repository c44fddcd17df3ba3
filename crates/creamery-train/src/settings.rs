//! The parts of a configuration that searches and retrainings share.

use std::path::PathBuf;
use std::time::Duration;

use creamery_data::{AugmentError, AutoAugment, Interpolation, OpenOptions, Sampling, Shuffle};
use serde::{Deserialize, Serialize};

use crate::optim::{OptimizerKind, OptimizerSettings};
use crate::{ConfigError, Decay, Schedule, Stairs};

/// Which images, and what is done with them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DataSettings {
    /// The data set, such as `fashion-mini` or `folder:DIR`.
    pub source: String,
    /// Share of the training images that is held out to choose by, in [0, 0.5].
    pub validation: f64,
    /// Decides which those are; the run's seed if not given.
    pub split_seed: Option<u64>,
    /// Pixels of padding for random crops; the data set's own if not given.
    pub crop_padding: Option<usize>,
    /// Crops of at least this share of an image, resized, instead of padded ones: 0.08 for photographs.
    pub crop_scale: Option<f64>,
    /// In evaluation: the middle square's share of the shorter side, in (0, 1]; the data set's own if not given, 0.875 for
    /// photographs.
    pub crop_fraction: Option<f64>,
    /// How images are resized: `bilinear` or `bicubic`.
    pub interpolation: Interpolation,
    /// Random horizontal flips; the data set's own if not given.
    pub flip: Option<bool>,
    /// A policy such as `rand-m9-mstd0.5-inc1`; see [`AutoAugment`].
    pub augment: Option<String>,
    /// Random factors of brightness, contrast and saturation within 1 plus or minus this.
    pub color_jitter: f64,
    /// Share of the images of which a random rectangle becomes noise.
    pub erasing: f64,
    /// Leave out images that cannot be decoded or have no label, instead of stopping at them.
    pub skip_bad_images: bool,
    /// How many may be left out.
    pub max_bad_images: usize,
    /// The labels of a `folder:` whose `val/` has no class folders.
    pub val_labels: Option<PathBuf>,
    /// In which order an epoch reads: `full`, or `shards`, nearly sequentially.
    pub shuffle: ShuffleKind,
    /// With `shards`: images in the window in which they are shuffled.
    pub shuffle_buffer: usize,
    /// With `shards`: machines that each read shards of their own.
    pub readers: usize,
    /// How far the sizes of classes are evened out in training, from 0 (not) to 1 (each equally often).
    pub balance: f64,
    /// Threads that load ahead.
    pub workers: usize,
}

impl Default for DataSettings {
    fn default() -> Self {
        Self {
            source: "fashion-mini".into(),
            validation: 0.1,
            split_seed: None,
            crop_padding: None,
            crop_scale: None,
            crop_fraction: None,
            interpolation: Interpolation::default(),
            flip: None,
            augment: None,
            color_jitter: 0.0,
            erasing: 0.0,
            skip_bad_images: false,
            max_bad_images: OpenOptions::default().max_bad_images,
            val_labels: None,
            shuffle: ShuffleKind::Full,
            shuffle_buffer: 4096,
            readers: 1,
            balance: 0.0,
            workers: 1,
        }
    }
}

/// In which order an epoch reads its images.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ShuffleKind {
    /// Every order is equally likely.
    #[default]
    Full,
    /// Shards are shuffled, and images in a window.
    Shards,
}

impl DataSettings {
    /// How the data set is opened.
    pub fn options(&self) -> OpenOptions {
        OpenOptions {
            skip_bad_images: self.skip_bad_images,
            max_bad_images: self.max_bad_images,
            val_labels: self.val_labels.clone(),
        }
    }

    /// How training draws from the images.
    pub fn sampling(&self) -> Sampling {
        let shuffle = match self.shuffle {
            ShuffleKind::Full => Shuffle::Full,
            ShuffleKind::Shards => Shuffle::Shards {
                buffer: self.shuffle_buffer,
                readers: self.readers,
            },
        };
        Sampling {
            shuffle,
            balance: self.balance,
        }
    }

    /// The policy of augmentation, if there is one.
    ///
    /// # Errors
    /// [`ConfigError::Value`] if there is none of that name.
    pub fn policy(&self) -> Result<Option<AutoAugment>, ConfigError> {
        let policy = self.augment.as_ref().map(|name| name.parse());
        policy
            .transpose()
            .map_err(|error: AugmentError| ConfigError::Value(format!("`data.augment`: {error}")))
    }

    /// Refuses values that no training can have.
    ///
    /// # Errors
    /// [`ConfigError::Value`] with the key, its value and its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.policy()?;
        let share = |v: f64| (0.0..=1.0).contains(&v);
        let scale = self.crop_scale.unwrap_or(1.0);
        let fraction = self.crop_fraction.unwrap_or(1.0);
        for (key, value, holds, range) in [
            (
                "crop_scale",
                scale,
                share(scale) && scale > 0.0,
                "above 0 and up to 1",
            ),
            (
                "crop_fraction",
                fraction,
                share(fraction) && fraction > 0.0,
                "above 0 and up to 1",
            ),
            (
                "color_jitter",
                self.color_jitter,
                (0.0..=10.0).contains(&self.color_jitter),
                "in [0, 10]",
            ),
            ("erasing", self.erasing, share(self.erasing), "in [0, 1]"),
            ("balance", self.balance, share(self.balance), "in [0, 1]"),
            (
                "shuffle_buffer",
                self.shuffle_buffer as f64,
                self.shuffle_buffer > 0,
                "at least 1",
            ),
            (
                "readers",
                self.readers as f64,
                self.readers > 0,
                "at least 1",
            ),
        ] {
            if !holds {
                return Err(ConfigError::Value(format!(
                    "`data.{key}` is {value}, but must be {range}"
                )));
            }
        }
        Ok(())
    }
}

/// How a network or supernet is trained.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TrainSettings {
    /// Passes over the training images.
    pub epochs: u64,
    /// Images per step.
    pub batch: usize,
    /// Update rule: `sgd`, `rmsprop` (TensorFlow's) or `adamw`.
    pub optimizer: OptimizerKind,
    /// Learning rate after warm-up, for the batch as it is.
    pub lr: f64,
    /// How the rate falls: `constant`, `linear`, `cosine`, `step`.
    pub decay: Decay,
    /// With `step`: what the rate is multiplied by at each step down, in (0, 1].
    pub decay_factor: f64,
    /// With `step`: epochs between two steps down.
    pub decay_epochs: f64,
    /// Epochs of linear warm-up of the rate.
    pub lr_warmup_epochs: f64,
    /// The rate at the first step of warm-up.
    pub lr_warmup_from: f64,
    /// Momentum; AdamW's decay of the average gradient.
    pub momentum: f64,
    /// Nesterov's look-ahead (SGD only).
    pub nesterov: bool,
    /// Decay of the squared average, in [0, 1); the optimizer's own if not given: 0.9 for RMSprop, 0.999 for AdamW.
    pub alpha: Option<f64>,
    /// Added to the squared average or its root; the optimizer's own if not given: 1e-3 for RMSprop, 1e-8 for AdamW.
    pub epsilon: Option<f64>,
    /// On weights, not on biases and norms: an L2 penalty, decoupled from the gradient in AdamW.
    pub weight_decay: f64,
    /// Largest global norm of the gradient, 0 for no clipping.
    pub clip_norm: f64,
    /// Label smoothing, in [0, 1).
    pub label_smoothing: f64,
    /// Momentum of batch norms' running statistics.
    pub norm_momentum: f64,
    /// Batch norms by the statistics of the whole batch where several ranks have parts of it, instead of each by its own.
    pub sync_norm: bool,
    /// Seconds between two checkpoints at the most.
    pub checkpoint_seconds: f64,
}

impl Default for TrainSettings {
    fn default() -> Self {
        Self {
            epochs: 10,
            batch: 64,
            optimizer: OptimizerKind::Sgd,
            lr: 0.1,
            decay: Decay::Linear,
            decay_factor: 0.97,
            decay_epochs: 2.4,
            lr_warmup_epochs: 0.0,
            lr_warmup_from: 1e-6,
            momentum: 0.9,
            nesterov: true,
            alpha: None,
            epsilon: None,
            weight_decay: 1e-4,
            clip_norm: 5.0,
            label_smoothing: 0.1,
            norm_momentum: 0.1,
            sync_norm: false,
            checkpoint_seconds: 60.0,
        }
    }
}

impl TrainSettings {
    /// Refuses values that no training can have.
    ///
    /// # Errors
    /// [`ConfigError::Value`] with the key, its value and its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let positive = |v: f64| v > 0.0 && v.is_finite();
        let not_negative = |v: f64| v >= 0.0 && v.is_finite();
        let part = |v: f64| (0.0..1.0).contains(&v);
        let checks = [
            ("epochs", self.epochs as f64, self.epochs > 0, "at least 1"),
            (
                "batch",
                self.batch as f64,
                self.batch > 1,
                "at least 2, for batch norm",
            ),
            ("lr", self.lr, positive(self.lr), "above 0"),
            (
                "decay_factor",
                self.decay_factor,
                self.decay_factor > 0.0 && self.decay_factor <= 1.0,
                "above 0 and up to 1",
            ),
            (
                "decay_epochs",
                self.decay_epochs,
                positive(self.decay_epochs),
                "above 0",
            ),
            (
                "alpha",
                self.alpha.unwrap_or(0.0),
                self.alpha.is_none_or(part),
                "in [0, 1)",
            ),
            (
                "epsilon",
                self.epsilon.unwrap_or(1.0),
                self.epsilon.is_none_or(positive),
                "above 0",
            ),
            (
                "lr_warmup_epochs",
                self.lr_warmup_epochs,
                not_negative(self.lr_warmup_epochs),
                "0 or more",
            ),
            (
                "lr_warmup_from",
                self.lr_warmup_from,
                not_negative(self.lr_warmup_from),
                "0 or more",
            ),
            ("momentum", self.momentum, part(self.momentum), "in [0, 1)"),
            (
                "weight_decay",
                self.weight_decay,
                not_negative(self.weight_decay),
                "0 or more",
            ),
            (
                "clip_norm",
                self.clip_norm,
                not_negative(self.clip_norm),
                "0 (off) or more",
            ),
            (
                "label_smoothing",
                self.label_smoothing,
                part(self.label_smoothing),
                "in [0, 1)",
            ),
            (
                "norm_momentum",
                self.norm_momentum,
                self.norm_momentum > 0.0 && self.norm_momentum <= 1.0,
                "in (0, 1]",
            ),
            (
                "checkpoint_seconds",
                self.checkpoint_seconds,
                not_negative(self.checkpoint_seconds),
                "0 or more",
            ),
        ];
        for (key, value, holds, range) in checks {
            if !holds {
                return Err(ConfigError::Value(format!(
                    "`train.{key}` is {value}, but must be {range}"
                )));
            }
        }
        Ok(())
    }

    /// The learning rate over a training of `epochs` of `steps_per_epoch` steps.
    pub fn schedule(&self, steps_per_epoch: u64) -> Schedule {
        Schedule {
            base: self.lr,
            decay: self.decay,
            stairs: Stairs {
                factor: self.decay_factor,
                steps: self.decay_epochs * steps_per_epoch as f64,
            },
            warmup_from: self.lr_warmup_from,
            warmup: (self.lr_warmup_epochs * steps_per_epoch as f64).round() as u64,
            steps: self.epochs * steps_per_epoch,
        }
    }

    /// The optimizer's constants.
    pub fn optimizer(&self) -> OptimizerSettings {
        let usual = match self.optimizer {
            OptimizerKind::Sgd => OptimizerSettings::sgd(self.weight_decay),
            OptimizerKind::Rmsprop => OptimizerSettings::rmsprop(self.weight_decay),
            OptimizerKind::Adamw => OptimizerSettings::adamw(self.weight_decay),
        };
        OptimizerSettings {
            momentum: self.momentum,
            nesterov: self.nesterov,
            alpha: self.alpha.unwrap_or(usual.alpha),
            epsilon: self.epsilon.unwrap_or(usual.epsilon),
            ..usual
        }
    }

    /// The longest time between two checkpoints.
    pub fn checkpoint_every(&self) -> Duration {
        Duration::try_from_secs_f64(self.checkpoint_seconds).unwrap_or(Duration::MAX)
    }
}
