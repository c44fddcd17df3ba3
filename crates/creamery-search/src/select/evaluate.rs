//! What a selector asks: how good is this path?

use std::cmp::Ordering;

use creamery_space::{Architecture, Cost};
use creamery_train::TrainError;
use serde::{Deserialize, Serialize};

/// Says how good a path is.
///
/// Selectors know nothing else of a supernet, so that a table serves as one in tests.
pub trait Evaluate {
    /// Top-1 of the path on held-out images, in percent.
    ///
    /// # Errors
    /// [`Halt`] if the path cannot be judged, or the selection is to stop; a selector hands it on.
    fn top1(&mut self, architecture: &Architecture) -> Result<f64, Halt>;

    /// Hears which paths will be asked about next, in this order: whoever works on several at once may begin.
    fn expect(&mut self, _architectures: &[Architecture]) {}

    /// Whether to stop, where this process was asked to or not.
    fn stops(&mut self, asked: bool) -> bool {
        asked
    }
}

/// Why a selection ends before its end.
#[derive(Debug)]
pub enum Halt {
    /// It was asked to.
    Stopped,
    /// It cannot go on.
    Failed(TrainError),
}

impl From<TrainError> for Halt {
    fn from(error: TrainError) -> Self {
        Self::Failed(error)
    }
}

/// A path with what it costs and how good it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// The path.
    pub architecture: Architecture,
    /// What it costs: MACs, parameters, FLOPs as thop counts them.
    #[serde(flatten)]
    pub cost: Cost,
    /// Top-1 of the calibrated path on the held-out images of the selection, in percent.
    pub top1: f64,
}

impl Scored {
    /// Best first: top-1, then fewer MACs, then the architecture itself, so that ties are decided the same
    /// way every time.
    pub fn order(&self, other: &Self) -> Ordering {
        let by_score = other.top1.total_cmp(&self.top1);
        by_score
            .then(self.cost.macs.cmp(&other.cost.macs))
            .then_with(|| self.architecture.cmp(&other.architecture))
    }
}

/// The best of some paths.
pub(super) fn best<'a>(scored: impl IntoIterator<Item = &'a Scored>) -> Option<&'a Scored> {
    scored.into_iter().min_by(|a, b| a.order(b))
}
