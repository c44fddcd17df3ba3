//! What a search yields.

use creamery_space::{Architecture, Cost, Space, SpaceError};
use creamery_train::engine::Timing;
use creamery_train::event::{Accuracy, BoardRow};
use serde::{Deserialize, Serialize};

use crate::select::{BucketWinner, Scored, SelectorName};

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
    /// What it costs: MACs, parameters, FLOPs as thop counts them, and latency where a table says it.
    #[serde(flatten)]
    pub cost: Cost,
    /// Accuracy on the whole validation split, with the supernet's weights.
    pub validation: Accuracy,
}

/// What a search or a selection yields: the text of its `result.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SearchResult {
    /// `search`, or `select` if the winner was chosen from a supernet that was trained before.
    pub kind: String,
    /// The method that trained the supernet.
    pub method: String,
    /// What chose the winner.
    pub selector: SelectorName,
    /// The space's name.
    pub space: String,
    /// The data set.
    pub dataset: String,
    /// The seed.
    pub seed: u64,
    /// The winner.
    pub architecture: Found,
    /// What it costs: MACs, parameters, FLOPs as thop counts them, and latency where a table says it.
    #[serde(flatten)]
    pub cost: Cost,
    /// Accuracy on the whole validation split, with the supernet's weights.
    pub validation: Accuracy,
    /// The prioritized paths at the end, best first.
    pub board: Vec<BoardRow>,
    /// Paths that the selector evaluated.
    pub evaluations: usize,
    /// The paths that none of those evaluated beats in both top-1 and MACs, cheapest first; of `nsga2` only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub front: Vec<Scored>,
    /// The winner of each bucket, if there was more than one bucket.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub family: Vec<Member>,
    /// The file with the winner's weights from the supernet, beside this one.
    pub weights: String,
    /// How long it took: the training of a search, all of a selection since it was last resumed.
    pub timing: Timing,
}

impl Member {
    /// A bucket's winner with its block strings.
    ///
    /// # Errors
    /// If the architecture is not one of the space.
    pub fn new(
        winner: &BucketWinner,
        validation: Accuracy,
        space: &Space,
    ) -> Result<Self, SpaceError> {
        let architecture = winner.scored.architecture.clone();
        Ok(Self {
            bucket: winner.bucket,
            architecture: Found {
                timm: space.to_timm(&architecture)?,
                architecture,
            },
            cost: winner.scored.cost,
            validation,
        })
    }

    /// Whether this winner is more accurate than another bucket's, or as accurate and cheaper.
    pub(crate) fn beats(&self, other: &Member) -> bool {
        let (own, others) = (self.validation.top1, other.validation.top1);
        own > others || (own == others && self.cost.macs < other.cost.macs)
    }
}
