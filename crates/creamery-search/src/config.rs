//! The configuration of a search.

use creamery_data::DataSet;
use creamery_space::{Budget, Space, deserialize_count, deserialize_latency, serialize_latency};
use creamery_train::{ConfigError, DataSettings, TrainSettings};
use serde::{Deserialize, Serialize};
use toml::{Table, Value};

use crate::matching::{MatchOn, Matching};
use crate::method::Method;
use crate::select::SelectSettings;

/// The configuration of a search.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SearchConfig {
    /// How the supernet is trained, and the winner chosen unless `select.selector` says otherwise: `cream`,
    /// `spos`, `fairnas`, `ofa`, `bignas` or `cream-elastic`.
    pub method: String,
    /// A built-in space or the path of a TOML file.
    pub space: String,
    /// A file with the times of the space's blocks, for bounds on latency.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_table: Option<String>,
    /// Pixels a side of the input; the nearest the space has to the images if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolution: Option<usize>,
    /// Decides every random choice of the run.
    pub seed: u64,
    /// The device that computes.
    pub device: String,
    /// The images.
    pub data: DataSettings,
    /// Paths that a step trains, each on a part of the batch of its own; different ranks may so train different paths.
    pub paths_per_step: usize,
    /// What the winner may cost.
    pub budget: BudgetSettings,
    /// The supernet's training.
    pub train: TrainSettings,
    /// The prioritized board and its teachers.
    pub cream: CreamSettings,
    /// Weight-shared blocks.
    pub elastic: ElasticSettings,
    /// How the winner is chosen from the trained supernet.
    pub select: SelectSettings,
}

impl Default for SearchConfig {
    fn default() -> Self {
        Self {
            method: "cream".into(),
            space: "tiny-32".into(),
            latency_table: None,
            resolution: None,
            seed: 0,
            device: "cpu".into(),
            paths_per_step: 1,
            data: DataSettings::default(),
            budget: BudgetSettings::default(),
            train: TrainSettings::default(),
            cream: CreamSettings::default(),
            elastic: ElasticSettings::default(),
            select: SelectSettings::default(),
        }
    }
}

/// What the winner may cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetSettings {
    /// Fewest MACs, such as `1M`.
    #[serde(
        deserialize_with = "deserialize_count",
        skip_serializing_if = "Option::is_none"
    )]
    pub min_macs: Option<u64>,
    /// Most MACs, such as `6M`.
    #[serde(
        deserialize_with = "deserialize_count",
        skip_serializing_if = "Option::is_none"
    )]
    pub max_macs: Option<u64>,
    /// Fewest parameters.
    #[serde(
        deserialize_with = "deserialize_count",
        skip_serializing_if = "Option::is_none"
    )]
    pub min_params: Option<u64>,
    /// Most parameters.
    #[serde(
        deserialize_with = "deserialize_count",
        skip_serializing_if = "Option::is_none"
    )]
    pub max_params: Option<u64>,
    /// Least latency in nanoseconds, written such as `2ms`; needs `latency_table`, as the next.
    #[serde(
        deserialize_with = "deserialize_latency",
        serialize_with = "serialize_latency",
        skip_serializing_if = "Option::is_none"
    )]
    pub min_latency: Option<u64>,
    /// Most latency in nanoseconds, written such as `3ms`.
    #[serde(
        deserialize_with = "deserialize_latency",
        serialize_with = "serialize_latency",
        skip_serializing_if = "Option::is_none"
    )]
    pub max_latency: Option<u64>,
    /// Consecutive ranges of MACs within the budget, each with a board and a winner of its own.
    pub buckets: usize,
}

impl Default for BudgetSettings {
    fn default() -> Self {
        Self {
            min_macs: None,
            max_macs: None,
            min_params: None,
            max_params: None,
            min_latency: None,
            max_latency: None,
            buckets: 1,
        }
    }
}

impl BudgetSettings {
    /// The bounds.
    pub fn budget(&self) -> Budget {
        Budget {
            min_macs: self.min_macs,
            max_macs: self.max_macs,
            min_params: self.min_params,
            max_params: self.max_params,
            min_latency: self.min_latency,
            max_latency: self.max_latency,
        }
    }
}

/// The prioritized board and its teachers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CreamSettings {
    /// K: most entries of a board.
    pub board: usize,
    /// Points of top-1 by which a path that costs more must beat the worst entry of a full board.
    pub margin: f64,
    /// Epochs before the board teaches.
    pub warmup_epochs: u64,
    /// How a path finds its teacher: `meta`, `cosine`, `l1`, `l2`, `random`, `top1`, `none`.
    pub matching: Matching,
    /// What is compared: `logits` or `features`.
    pub match_on: MatchOn,
    /// The teacher's weight where no meta network gives one, in [0, 1].
    pub rho: f64,
    /// Held-out images that paths are compared on.
    pub anchors: usize,
    /// Steps between two refreshments of an entry's answers on the anchors.
    pub refresh: u64,
    /// Steps between two lessons of the meta network.
    pub tau: u64,
    /// Learning rate of the meta network.
    pub meta_lr: f64,
    /// Held-out images that confirm a path before it enters the board.
    pub confirm_images: usize,
    /// Training images that calibrate a path's batch norms.
    pub calibration_images: usize,
}

impl Default for CreamSettings {
    fn default() -> Self {
        Self {
            board: 10,
            margin: 5.0,
            warmup_epochs: 1,
            matching: Matching::Meta,
            match_on: MatchOn::Logits,
            rho: 0.5,
            anchors: 16,
            refresh: 10,
            tau: 200,
            meta_lr: 1e-4,
            confirm_images: 256,
            calibration_images: 256,
        }
    }
}

/// How the methods `ofa` and `bignas` train weight-shared blocks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ElasticSettings {
    /// Random paths of a step beside the largest and the smallest (`bignas`).
    pub random_paths: usize,
    /// Dropout in front of the classifier of the largest network, in [0, 1) (`bignas`).
    pub dropout: f64,
    /// The share of the training after which kernels may be smaller, above 0 (`ofa`).
    pub kernel_from: f64,
    /// The share after which blocks may be left out too (`ofa`).
    pub depth_from: f64,
    /// The share after which expansions may be smaller too (`ofa`).
    pub width_from: f64,
}

impl Default for ElasticSettings {
    fn default() -> Self {
        Self {
            random_paths: 2,
            dropout: 0.2,
            kernel_from: 0.25,
            depth_from: 0.4,
            width_from: 0.6,
        }
    }
}

impl SearchConfig {
    /// The settings that a space recommends, to lie under those of the user.
    pub fn defaults(space: &Space) -> Table {
        let r = &space.recommended.search;
        let int = |v: Option<usize>| v.map(|v| Value::Integer(v as i64));
        let float = |v: Option<f64>| v.map(Value::Float);
        let table = |entries: Vec<(&str, Option<Value>)>| {
            let known = entries
                .into_iter()
                .filter_map(|(k, v)| Some((k.to_owned(), v?)));
            Value::Table(known.collect())
        };
        let train = table(vec![
            ("epochs", int(r.epochs)),
            ("batch", int(r.batch)),
            ("lr", float(r.lr)),
            ("weight_decay", float(r.weight_decay)),
            ("label_smoothing", float(r.label_smoothing)),
        ]);
        let cream = table(vec![
            ("warmup_epochs", int(r.warmup_epochs)),
            ("board", int(r.board_size)),
            ("tau", int(r.tau)),
        ]);
        let budget = table(vec![("max_macs", int(r.max_macs.map(|m| m as usize)))]);
        Table::from_iter([
            ("train".to_owned(), train),
            ("cream".to_owned(), cream),
            ("budget".to_owned(), budget),
        ])
    }

    /// Pixels a side of the networks' input on images of `set`: as asked for, else the space's nearest.
    pub fn resolution_on(&self, space: &Space, set: &DataSet) -> usize {
        let sides = set.height.zip(set.width);
        let side = sides.map(|(height, width)| height.min(width));
        self.resolution
            .unwrap_or_else(|| space.resolution_for(side))
    }

    /// Refuses values that no search can have.
    ///
    /// # Errors
    /// [`ConfigError::Value`] with the key, its value and its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.train.check()?;
        self.data.check()?;
        self.select.check()?;
        let method = Method::named(&self.method)?;
        if self.paths_per_step > 1 && !method.has_single_paths() {
            return Err(ConfigError::Value(format!(
                "`paths_per_step` is {}, but `{}` has a rule of its own for the paths of a step: leave it out, or use `cream` or `spos`",
                self.paths_per_step, self.method
            )));
        }
        let cream = &self.cream;
        let at_least_one = [
            ("paths_per_step", self.paths_per_step as u64),
            ("budget.buckets", self.budget.buckets as u64),
            ("cream.board", cream.board as u64),
            ("cream.anchors", cream.anchors as u64),
            ("cream.refresh", cream.refresh),
            ("cream.tau", cream.tau),
            ("cream.confirm_images", cream.confirm_images as u64),
            ("cream.calibration_images", cream.calibration_images as u64),
        ];
        if let Some((key, _)) = at_least_one.iter().find(|(_, value)| *value == 0) {
            return Err(ConfigError::Value(format!(
                "`{key}` is 0, but must be at least 1"
            )));
        }
        let not_negative = |v: f64| v.is_finite() && v >= 0.0;
        let ranges = [
            (
                "cream.margin",
                cream.margin,
                not_negative(cream.margin),
                "0 or more",
            ),
            (
                "cream.meta_lr",
                cream.meta_lr,
                not_negative(cream.meta_lr),
                "0 or more",
            ),
            (
                "cream.rho",
                cream.rho,
                (0.0..=1.0).contains(&cream.rho),
                "in [0, 1]",
            ),
            (
                "elastic.dropout",
                self.elastic.dropout,
                (0.0..1.0).contains(&self.elastic.dropout),
                "in [0, 1)",
            ),
        ];
        for (key, value, holds, range) in ranges {
            if !holds {
                return Err(ConfigError::Value(format!(
                    "`{key}` is {value}, but must be {range}"
                )));
            }
        }
        let elastic = &self.elastic;
        let (kernel, depth) = (elastic.kernel_from, elastic.depth_from);
        let shares = [0.0, kernel, depth, elastic.width_from, 1.0];
        // The largest network must have trained before it teaches.
        if !shares.is_sorted() || kernel == 0.0 {
            return Err(ConfigError::Value(format!(
                "`elastic.kernel_from`, `elastic.depth_from` and `elastic.width_from` are {kernel}, {depth} and {}, but must be shares of the training, above 0 and at most 1, none before the one that it follows",
                elastic.width_from
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_space_recommends_settings_that_a_configuration_can_take() {
        for name in Space::builtin_names() {
            let space = Space::builtin(name).unwrap();
            let config: SearchConfig = SearchConfig::defaults(&space).try_into().unwrap();
            config.check().unwrap();
            assert_eq!(
                Some(config.budget.max_macs.unwrap()),
                space.recommended.search.max_macs
            );
            let text = toml::to_string(&config).unwrap();
            assert_eq!(toml::from_str::<SearchConfig>(&text).unwrap(), config);
        }
    }

    #[test]
    fn values_out_of_range_are_named() {
        let mut config = SearchConfig::default();
        config.cream.tau = 0;
        assert!(
            config
                .check()
                .unwrap_err()
                .to_string()
                .contains("cream.tau")
        );
        let mut config = SearchConfig::default();
        config.cream.rho = 1.5;
        assert!(config.check().unwrap_err().to_string().contains("[0, 1]"));
        let config = SearchConfig {
            method: "craem".into(),
            ..SearchConfig::default()
        };
        assert!(config.check().unwrap_err().to_string().contains("`cream`"));
        for set in [
            (|e| e.width_from = f64::NAN) as fn(&mut ElasticSettings),
            |e| e.depth_from = 0.1,
            |e| e.kernel_from = 0.0,
        ] {
            let mut config = SearchConfig::default();
            set(&mut config.elastic);
            let error = config.check().unwrap_err().to_string();
            assert!(error.contains("width_from"), "{error}");
        }
    }
}
