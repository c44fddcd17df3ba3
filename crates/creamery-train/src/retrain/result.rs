//! What a retraining yields.

use creamery_space::{Architecture, Cost};
use serde::{Deserialize, Serialize};

use crate::engine::Timing;
use crate::event::Accuracy;
use crate::init::Init;

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
    /// The same of the weights as they were trained, where a moving average of them is handed out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub raw: Option<Accuracy>,
    /// Accuracy on the images held out, if any.
    pub validation: Option<Accuracy>,
    /// The epoch with the highest accuracy on the images held out, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<BestEpoch>,
    /// Epochs trained: fewer than were asked for if the training ended early.
    pub epochs: u64,
    /// Where the weights came from.
    pub init: Init,
    /// The file with the weights, beside this one.
    pub weights: String,
    /// How long it took.
    pub timing: Timing,
}

/// The epoch of a training that did best on the images held out.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BestEpoch {
    /// Counted from 0.
    pub epoch: u64,
    /// Top-1 on the images held out, in percent.
    pub top1: f64,
}
