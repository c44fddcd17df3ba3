//! A table of scores that selectors can search instead of a supernet.

use creamery_search::BudgetSettings;
use creamery_search::select::{
    Candidates, Evaluate, Halt, Pool, SelectSettings, Selector, SelectorName,
};
use creamery_space::{Architecture, Budget, Cost, Space};
use creamery_train::TrainError;
use rand::RngExt;

/// Channels and classes of the images that costs are for.
const INPUT: (usize, usize) = (1, 10);

/// `tiny-32` with fewer operations and blocks.
pub fn smaller(operations: usize, blocks: usize) -> Space {
    let mut space = tiny();
    space.operations.truncate(operations);
    space
        .stages
        .iter_mut()
        .for_each(|stage| stage.blocks = blocks);
    space.check().unwrap();
    space
}

pub fn tiny() -> Space {
    Space::builtin("tiny-32").unwrap()
}

/// About a hundred evaluations a bucket.
pub fn few() -> SelectSettings {
    let mut settings = SelectSettings {
        population: 20,
        generations: 5,
        ..SelectSettings::default()
    };
    settings.reinforce.samples = 10;
    settings.reinforce.updates = 10;
    settings
}

/// The selectors that need no board.
pub fn algorithms(settings: &SelectSettings) -> Vec<(SelectorName, Box<dyn Selector>)> {
    let names = SelectorName::ALL.into_iter();
    let names = names.filter(|name| *name != SelectorName::Board);
    names.map(|name| (name, name.with(settings))).collect()
}

pub fn try_pool(space: &Space, budget: &BudgetSettings, seed: u64) -> Result<Pool, TrainError> {
    Pool::of(space, 28, INPUT.0, INPUT.1, budget, seed)
}

pub fn pool(space: &Space, budget: &BudgetSettings, seed: u64) -> Pool {
    try_pool(space, budget, seed).unwrap()
}

pub fn cost(space: &Space, architecture: &Architecture) -> Cost {
    space.cost(architecture, INPUT.0, INPUT.1).unwrap()
}

pub fn up_to(macs: u64) -> BudgetSettings {
    BudgetSettings {
        max_macs: Some(macs),
        ..BudgetSettings::default()
    }
}

/// A range of MACs in buckets.
pub fn buckets(min: u64, max: u64, buckets: usize) -> BudgetSettings {
    BudgetSettings {
        min_macs: Some(min),
        buckets,
        ..up_to(max)
    }
}

/// Every path of a space, whatever it costs.
pub fn all_paths(space: &Space) -> Vec<Architecture> {
    let candidates = Candidates::new(space, 28, INPUT.0, INPUT.1, &Budget::default()).unwrap();
    let mut genes: Vec<Vec<i8>> = vec![vec![]];
    for options in candidates.options() {
        let longer = |genes: &Vec<i8>| {
            let genes = genes.clone();
            let longer = move |&option: &i8| [genes.clone(), vec![option]].concat();
            options.iter().map(longer)
        };
        genes = genes.iter().flat_map(longer).collect();
    }
    let paths: Vec<_> = genes.iter().map(|g| candidates.architecture(g)).collect();
    assert_eq!(paths.len() as u128, space.paths());
    paths
}

/// Scores with structure: what costs more is better by tendency, every choice adds a part of its own, and
/// the path itself some noise.
pub struct Table {
    space: Space,
    seed: u64,
    /// The paths that were asked about, in order.
    pub asked: Vec<Architecture>,
    /// Evaluations until it is asked to stop.
    pub left: usize,
}

impl Table {
    pub fn new(space: &Space, seed: u64) -> Self {
        Self {
            space: space.clone(),
            seed,
            asked: Vec::new(),
            left: usize::MAX,
        }
    }

    /// In [0, 1), by a text.
    fn hash(&self, text: &str) -> f64 {
        creamery_rng::stream(self.seed, text, 0).random()
    }

    pub fn score(&self, architecture: &Architecture) -> f64 {
        let macs = cost(&self.space, architecture).macs;
        let mut score = 10.0 * (macs as f64).log10() + self.hash(&architecture.to_string());
        for (stage, choices) in architecture.choices.iter().enumerate() {
            for (block, choice) in choices.iter().enumerate() {
                score += 3.0 * self.hash(&format!("{stage}, {block}: {choice}"));
            }
        }
        score
    }
}

impl Evaluate for Table {
    fn top1(&mut self, architecture: &Architecture) -> Result<f64, Halt> {
        self.left = self.left.checked_sub(1).ok_or(Halt::Stopped)?;
        self.asked.push(architecture.clone());
        Ok(self.score(architecture))
    }
}
