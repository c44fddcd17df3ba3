//! A supernet's ranking of some of its paths beside that of the same networks trained alone.

use std::collections::BTreeSet;

use creamery_space::{Architecture, Cost, Sampler};
use creamery_train::event::Accuracy;
use creamery_train::{ConfigError, TrainError};
use serde::Serialize;

use super::{Agreement, Bootstrap, RankError};
use crate::trained::Trained;

/// Fewer paths than this say nothing about a ranking.
pub const FEWEST: usize = 5;

/// A path with both of its accuracies.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RankedPath {
    /// The path.
    pub architecture: Architecture,
    /// What it costs.
    #[serde(flatten)]
    pub cost: Cost,
    /// With the supernet's weights, batch norms calibrated, on the supernet's held-out images.
    pub supernet: Accuracy,
    /// Trained alone, on the test images: top-1 in percent; `None` until it is.
    pub alone: Option<f64>,
}

/// How well a supernet ranks paths: the text of `rank.json`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Ranking {
    /// `rank`.
    pub kind: String,
    /// The supernet's method.
    pub method: String,
    /// Training steps that the supernet had.
    pub step: u64,
    /// The space's name.
    pub space: String,
    /// The data set.
    pub dataset: String,
    /// Decides which paths are drawn, and how they are trained alone.
    pub seed: u64,
    /// Epochs of a path's training alone.
    pub epochs: u64,
    /// The paths, as they were drawn.
    pub paths: Vec<RankedPath>,
    /// How well the two rankings agree, once all paths are trained.
    pub agreement: Option<Agreement>,
}

impl Ranking {
    /// Draws `count` different paths within the budget of the supernet's search, by `seed` alone, so that
    /// supernets of one space and budget are asked about the same paths.
    ///
    /// # Errors
    /// [`ConfigError::Value`] if `count` is below [`FEWEST`], or the budget lets in fewer.
    pub fn draw(
        trained: &Trained,
        count: usize,
        seed: u64,
    ) -> Result<Vec<Architecture>, TrainError> {
        if count < FEWEST {
            return Err(ConfigError::Value(format!(
                "{count} paths say nothing about a ranking: compare {FEWEST} or more"
            ))
            .into());
        }
        let set = &trained.data.set;
        let (resolution, classes) = (trained.data.pipeline.resolution, set.classes.len());
        let budget = trained.config.budget.budget();
        let sampler = Sampler::new(&trained.space, resolution, set.channels, classes, &budget)
            .map_err(|error| ConfigError::Value(error.to_string()))?;
        let mut rng = creamery_rng::stream(seed, "rank", 0);
        let (mut paths, mut seen) = (Vec::new(), BTreeSet::new());
        // A budget that lets in little more than asked for gives the last ones rarely.
        for _ in 0..1000 * count {
            if paths.len() == count {
                return Ok(paths);
            }
            let path = sampler.draw(&mut rng);
            if seen.insert(path.clone()) {
                paths.push(path);
            }
        }
        Err(ConfigError::Value(format!(
            "the run's budget ({budget}) lets in about {} paths, too few to compare {count}: compare fewer",
            sampler.count()
        ))
        .into())
    }

    /// Asks a supernet about paths; none is trained alone yet.
    ///
    /// # Errors
    /// If a path is not one of its space, or images cannot be read.
    pub fn begin(
        trained: &Trained,
        paths: Vec<Architecture>,
        seed: u64,
        epochs: u64,
    ) -> Result<Self, TrainError> {
        let set = &trained.data.set;
        let asked = trained.validate_each(&paths)?.into_iter();
        let ask = |(architecture, supernet): (Architecture, Accuracy)| {
            let cost = trained
                .space
                .cost(&architecture, set.channels, set.classes.len());
            Ok::<_, TrainError>(RankedPath {
                cost: cost.map_err(creamery_nn::NnError::from)?,
                supernet,
                architecture,
                alone: None,
            })
        };
        Ok(Self {
            kind: "rank".into(),
            method: trained.config.method.clone(),
            step: trained.step,
            space: trained.space.name.clone(),
            dataset: set.name.clone(),
            seed,
            epochs,
            paths: paths
                .into_iter()
                .zip(asked)
                .map(ask)
                .collect::<Result<_, _>>()?,
            agreement: None,
        })
    }

    /// Compares the two rankings.
    ///
    /// # Errors
    /// [`RankError`] if all paths are equally good in one of them.
    ///
    /// # Panics
    /// If a path has not been trained alone.
    pub fn compare(&mut self) -> Result<Agreement, RankError> {
        let supernet: Vec<f64> = self.paths.iter().map(|path| path.supernet.top1).collect();
        let alone = self.paths.iter().map(|path| path.alone);
        let alone: Option<Vec<f64>> = alone.collect();
        let alone = alone.expect("every path was trained alone");
        let agreement = Agreement::of(&supernet, &alone, &Bootstrap::default())?;
        self.agreement = Some(agreement);
        Ok(agreement)
    }
}
