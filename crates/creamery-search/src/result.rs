//! What a search yields.

use creamery_space::{Architecture, Cost, Space, SpaceError};
use creamery_train::engine::Timing;
use creamery_train::event::{Accuracy, BoardRow};
use serde::{Deserialize, Serialize};

use crate::strategy::Winner;

/// A network that was found, with its block strings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// Space, resolution and choices.
    #[serde(flatten)]
    pub architecture: Architecture,
    /// The network in timm's block strings, stage by stage.
    pub timm: Vec<Vec<String>>,
}

/// The winner of one bucket of the budget.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// The bucket, counted from 0.
    pub bucket: usize,
    /// The network.
    pub architecture: Found,
    /// What it costs: MACs, parameters, FLOPs as thop counts them.
    #[serde(flatten)]
    pub cost: Cost,
    /// Accuracy on the whole validation split, with the supernet's weights.
    pub validation: Accuracy,
}

/// What a search yields: the text of its `result.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchResult {
    /// `search`.
    pub kind: String,
    /// The method.
    pub method: String,
    /// The space's name.
    pub space: String,
    /// The data set.
    pub dataset: String,
    /// The seed.
    pub seed: u64,
    /// The winner.
    pub architecture: Found,
    /// What it costs: MACs, parameters, FLOPs as thop counts them.
    #[serde(flatten)]
    pub cost: Cost,
    /// Accuracy on the whole validation split, with the supernet's weights.
    pub validation: Accuracy,
    /// The prioritized paths at the end, best first.
    pub board: Vec<BoardRow>,
    /// The winner of each bucket, if there was more than one bucket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub family: Vec<Member>,
    /// The file with the winner's weights from the supernet, beside this one.
    pub weights: String,
    /// How long it took.
    pub timing: Timing,
}

impl Member {
    /// A bucket's winner with its block strings.
    ///
    /// # Errors
    /// If the architecture is not one of the space.
    pub fn new(winner: &Winner, space: &Space) -> Result<Self, SpaceError> {
        Ok(Self {
            bucket: winner.bucket,
            architecture: Found {
                timm: space.to_timm(&winner.architecture)?,
                architecture: winner.architecture.clone(),
            },
            cost: winner.cost,
            validation: winner.validation,
        })
    }
}
