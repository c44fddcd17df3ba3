//! Settings that suit a space, as plain data.

use serde::{Deserialize, Serialize};

use crate::cost::deserialize_count;

/// What a run uses where its flags and its configuration say nothing. Whatever is `None`, the program
/// decides.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recommended {
    /// Pixels a side of the input, for images that have no size of their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolution: Option<usize>,
    /// For the search.
    #[serde(default, skip_serializing_if = "is_default")]
    pub search: RecommendedSearch,
    /// For retraining the winner.
    #[serde(default, skip_serializing_if = "is_default")]
    pub retrain: RecommendedRetrain,
}

/// Settings of a search.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecommendedSearch {
    /// Passes over the training images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<usize>,
    /// Images in a step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
    /// Highest learning rate of the supernet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// Weight decay, not on biases and norms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// Share of the target that is spread over all classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label_smoothing: Option<f64>,
    /// Epochs before the board teaches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_epochs: Option<usize>,
    /// Most entries of the board (K).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub board_size: Option<usize>,
    /// Steps between two updates of the meta network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tau: Option<usize>,
    /// Most MACs of a path; a file may say `"6M"`.
    #[serde(
        deserialize_with = "deserialize_count",
        skip_serializing_if = "Option::is_none"
    )]
    pub max_macs: Option<u64>,
}

/// Settings of the training of a single network.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RecommendedRetrain {
    /// Passes over the training images.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epochs: Option<usize>,
    /// Images in a step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub batch: Option<usize>,
    /// Highest learning rate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lr: Option<f64>,
    /// What turns gradients into steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub optimizer: Option<Optimizer>,
    /// Weight decay, not on biases and norms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight_decay: Option<f64>,
    /// Epochs in which the learning rate rises.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warmup_epochs: Option<usize>,
    /// Share of the classifier's inputs that a step drops.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dropout: Option<f64>,
    /// Decay of the moving average of the weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ema: Option<f64>,
}

/// What turns gradients into steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Optimizer {
    /// SGD with Nesterov momentum.
    Sgd,
    /// RMSprop as TensorFlow has it.
    Rmsprop,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Recommended {
    pub(crate) fn is_empty(&self) -> bool {
        is_default(self)
    }

    /// The first key whose value no run could use, and what it must be.
    pub(crate) fn wrong_key(&self, resolutions: &[usize]) -> Option<(&'static str, String)> {
        if let Some(resolution) = self.resolution
            && !resolutions.contains(&resolution)
        {
            let message = format!("must be one of {resolutions:?}, not {resolution}");
            return Some(("resolution", message));
        }
        let (search, retrain) = (&self.search, &self.retrain);
        let counts = [
            ("search.epochs", search.epochs),
            ("search.batch", search.batch),
            ("search.board_size", search.board_size),
            ("search.tau", search.tau),
            ("retrain.epochs", retrain.epochs),
            ("retrain.batch", retrain.batch),
        ];
        if let Some((key, _)) = counts.iter().find(|(_, count)| *count == Some(0)) {
            return Some((key, "must be at least 1, not 0".to_string()));
        }
        let rates = [
            ("search.lr", search.lr, f64::MAX),
            ("search.weight_decay", search.weight_decay, f64::MAX),
            ("search.label_smoothing", search.label_smoothing, 1.0),
            ("retrain.lr", retrain.lr, f64::MAX),
            ("retrain.weight_decay", retrain.weight_decay, f64::MAX),
            ("retrain.dropout", retrain.dropout, 1.0),
            ("retrain.ema", retrain.ema, 1.0),
        ];
        rates.into_iter().find_map(|(key, rate, most)| {
            let wrong = rate.filter(|rate| !(0.0..=most).contains(rate))?;
            let message = if most == 1.0 {
                format!("must be 0 to 1, not {wrong}")
            } else {
                format!("must be a finite number of at least 0, not {wrong}")
            };
            Some((key, message))
        })
    }
}
