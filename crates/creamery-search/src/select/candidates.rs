//! What a selector may choose from.

use std::rc::Rc;

use creamery_nn::NnError;
use creamery_rng::ChaCha8Rng;
use creamery_space::{Architecture, Budget, Cost, SKIP, Sampler, Space, buckets};
use creamery_train::event::BoardRow;
use creamery_train::{ConfigError, RunData, TrainError};
use rand::Rng;

use crate::config::BudgetSettings;

/// The paths of a space that a budget lets in.
///
/// A path is drawn, changed and put together from *genes*: its choices at all places of the space one
/// after the other, [`SKIP`] where a block is left out.
#[derive(Clone, Debug)]
pub struct Candidates {
    space: Space,
    resolution: usize,
    in_channels: usize,
    classes: usize,
    budget: Budget,
    sampler: Sampler,
    /// By place: the operations, and [`SKIP`] where it is allowed.
    options: Vec<Vec<i8>>,
}

impl Candidates {
    /// The paths of `resolution` within `budget`, costs being those for images of `in_channels` channels
    /// and for `classes` classes.
    ///
    /// # Errors
    /// [`ConfigError::Value`] if nothing fits the budget, or too little to draw from; it names the nearest path.
    pub fn new(
        space: &Space,
        resolution: usize,
        in_channels: usize,
        classes: usize,
        budget: &Budget,
    ) -> Result<Self, ConfigError> {
        let sampler = Sampler::new(space, resolution, in_channels, classes, budget)
            .map_err(|error| ConfigError::Value(error.to_string()))?;
        let operations = space.operations.len() as i8;
        let options = space.places().map(|place| {
            let skip = place.may_skip.then_some(SKIP);
            (0..operations).chain(skip).collect()
        });
        Ok(Self {
            options: options.collect(),
            space: space.clone(),
            resolution,
            in_channels,
            classes,
            budget: *budget,
            sampler,
        })
    }

    /// Draws a path; every one has the same probability.
    pub fn draw(&self, rng: &mut impl Rng) -> Architecture {
        self.sampler.draw(rng)
    }

    /// The draws alone.
    pub fn sampler(&self) -> &Sampler {
        &self.sampler
    }

    /// The bounds.
    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// What may be chosen, place by place.
    pub fn options(&self) -> &[Vec<i8>] {
        &self.options
    }

    /// A path's choices, one for each place.
    pub fn genes(&self, architecture: &Architecture) -> Vec<i8> {
        let stages = self.space.stages.iter().zip(&architecture.choices);
        stages
            .flat_map(|(stage, choices)| {
                let skipped = std::iter::repeat(SKIP);
                choices.iter().copied().chain(skipped).take(stage.blocks)
            })
            .collect()
    }

    /// The path that makes these choices, one for each place.
    pub fn architecture(&self, genes: &[i8]) -> Architecture {
        let mut rest = genes;
        let stages = self.space.stages.iter().map(|stage| {
            let (own, after) = rest.split_at(stage.blocks);
            rest = after;
            own.to_vec()
        });
        Architecture::new(&self.space.name, self.resolution, stages.collect())
    }

    /// What a path of the space costs.
    ///
    /// # Panics
    /// If the path is not one of the space.
    pub fn cost(&self, architecture: &Architecture) -> Cost {
        self.space
            .cost(architecture, self.in_channels, self.classes)
            .expect("selectors make paths of the space only")
    }

    /// `most`, or the number of the paths where they are known to be fewer.
    pub fn at_most(&self, most: usize) -> usize {
        let count = self.sampler.count().at_most;
        usize::try_from(count).map_or(most, |count| count.min(most))
    }
}

/// All that a selector may choose from: the paths within the budget, and those on the board.
#[derive(Clone, Debug)]
pub struct Pool {
    whole: Rc<Candidates>,
    buckets: Vec<Rc<Candidates>>,
    /// The prioritized paths; empty without a board.
    pub board: Vec<BoardRow>,
    /// Decides every random choice.
    pub seed: u64,
}

impl Pool {
    /// The paths within a budget, for the images of a run; no board.
    ///
    /// # Errors
    /// If nothing fits the budget or one of its buckets.
    pub fn new(
        space: &Space,
        data: &RunData,
        budget: &BudgetSettings,
        seed: u64,
    ) -> Result<Self, TrainError> {
        let resolution = data.pipeline.resolution;
        let (channels, classes) = (data.set.channels, data.set.classes.len());
        Self::of(space, resolution, channels, classes, budget, seed)
    }

    /// The paths within a budget, costs being those for images of `in_channels` channels and for `classes`
    /// classes; no board.
    ///
    /// # Errors
    /// If nothing fits the budget or one of its buckets.
    pub fn of(
        space: &Space,
        resolution: usize,
        in_channels: usize,
        classes: usize,
        budget: &BudgetSettings,
        seed: u64,
    ) -> Result<Self, TrainError> {
        let candidates = |budget: &Budget| {
            Candidates::new(space, resolution, in_channels, classes, budget).map(Rc::new)
        };
        // Whether anything fits is asked of the whole budget first: its error names the nearest path.
        let whole = candidates(&budget.budget())?;
        let buckets = if budget.buckets == 1 {
            vec![Rc::clone(&whole)]
        } else {
            let reachable = space
                .reachable(whole.budget(), resolution, in_channels, classes)
                .map_err(NnError::from)?;
            buckets(&reachable, budget.buckets)
                .map_err(|error| ConfigError::Value(error.to_string()))?
                .iter()
                .map(candidates)
                .collect::<Result<_, _>>()?
        };
        Ok(Self {
            whole,
            buckets,
            board: Vec::new(),
            seed,
        })
    }

    /// Everything within the budget.
    pub fn whole(&self) -> &Candidates {
        &self.whole
    }

    /// The budget's consecutive ranges of MACs, of which each has a winner of its own.
    pub fn buckets(&self) -> impl ExactSizeIterator<Item = &Candidates> {
        self.buckets.iter().map(Rc::as_ref)
    }

    /// A sampler for each bucket.
    pub fn samplers(&self) -> Vec<Sampler> {
        self.buckets().map(|own| own.sampler().clone()).collect()
    }

    /// The random stream of a decision that is made for each bucket and step.
    pub(super) fn stream(&self, purpose: &str, bucket: usize, step: u64) -> ChaCha8Rng {
        creamery_rng::stream(self.seed, purpose, (bucket as u64) << 32 | step)
    }
}
