//! Which path of a trained supernet wins.
//!
//! A [`Selector`] is an algorithm over two things: a [`Pool`] of the paths that the budget lets in, and an
//! [`Evaluate`] that says how good one of them is. It knows nothing of supernets, so that it can be
//! held against a table. [`select()`] runs it on a [`Trained`](crate::Trained) supernet: a path is good if it has high top-1
//! on held-out images once its batch norms are calibrated.
//!
//! | name | chooses by | evaluations with the default settings |
//! |---|---|---|
//! | `board` | [`BoardSelector`]: the prioritized paths | those on the board |
//! | `evolution` | [`Evolution`]: crossover and mutation of the best so far | 1000 |
//! | `nsga2` | [`Nsga2`]: a front of top-1 against MACs | 1000 |
//! | `random` | [`RandomSearch`]: the best of N | 1000 |
//! | `reinforce` | [`Reinforce`]: a policy over the choices | 1000 |
//!
//! Where the budget is cut into buckets, each bucket is searched by itself with that many evaluations; only
//! `nsga2` searches the whole budget once, because its front has winners at every cost.
//!
//! A selector is deterministic in the pool's seed and asks about one path after the other. So the list of
//! evaluations, [`EvaluationLog`], is all the state there is: a selection that was stopped is resumed by
//! starting it again, and the log answers what it was asked before.
//!
//! ```
//! use creamery_search::BudgetSettings;
//! use creamery_search::select::{Evaluate, Halt, Nsga2, Pool, SelectSettings, Selector};
//! use creamery_space::{Architecture, Space};
//!
//! /// Deeper is better.
//! struct Depth;
//!
//! impl Evaluate for Depth {
//!     fn top1(&mut self, architecture: &Architecture) -> Result<f64, Halt> {
//!         Ok(10.0 * architecture.depth() as f64)
//!     }
//! }
//!
//! let space = Space::builtin("tiny-32").unwrap();
//! let budget = BudgetSettings { max_macs: Some(4_000_000), ..BudgetSettings::default() };
//! let pool = Pool::of(&space, 28, 1, 10, &budget, 7)?;
//! let selected = Nsga2(SelectSettings::default()).select(&pool, &mut Depth).unwrap();
//! assert!(selected.winners[0].scored.cost.macs <= 4_000_000);
//! for pair in selected.front.windows(2) {
//!     assert!(pair[0].cost.macs < pair[1].cost.macs && pair[0].top1 < pair[1].top1);
//! }
//! # Ok::<(), creamery_train::TrainError>(())
//! ```

mod board;
mod candidates;
mod evaluate;
mod evolution;
mod log;
mod nsga2;
pub mod pareto;
mod random;
mod recorded;
mod reinforce;
mod run;
mod settings;
mod tried;
mod variation;

pub use board::BoardSelector;
pub use candidates::{Candidates, Pool};
pub use evaluate::{Evaluate, Halt, Scored};
pub use evolution::Evolution;
pub use log::{EvaluationLog, LogError};
pub use nsga2::Nsga2;
pub use random::RandomSearch;
pub use recorded::Recorded;
pub use reinforce::{Policy, Reinforce};
pub use run::{SelectConfig, select};
pub(crate) use run::{Source, conclude};
pub use settings::{ReinforceSettings, SelectSettings, SelectorName};

use evaluate::best;
use tried::Tried;

/// An algorithm that finds the best of a pool.
///
/// The settings of a selector must be such as [`SelectSettings::check`] accepts.
pub trait Selector {
    /// How many paths it evaluates at most.
    fn evaluations(&self, pool: &Pool) -> usize;

    /// Finds the winner of each bucket.
    ///
    /// # Errors
    /// Those of an evaluation.
    fn select(&self, pool: &Pool, evaluate: &mut dyn Evaluate) -> Result<Selected, Halt>;
}

/// What a selector found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Selected {
    /// The winners, in the order of their buckets. A bucket in which nothing was found has none.
    pub winners: Vec<BucketWinner>,
    /// The paths that none of those evaluated beats in both top-1 and MACs, cheapest first; empty for selectors with
    /// one objective.
    pub front: Vec<Scored>,
}

/// The winner of a bucket of the budget.
#[derive(Clone, Debug, PartialEq)]
pub struct BucketWinner {
    /// Counted from 0.
    pub bucket: usize,
    /// The path.
    pub scored: Scored,
}

impl SelectorName {
    /// The selector of this name.
    pub fn with(self, settings: &SelectSettings) -> Box<dyn Selector> {
        let settings = settings.clone();
        match self {
            Self::Board => Box::new(BoardSelector),
            Self::Evolution => Box::new(Evolution(settings)),
            Self::Nsga2 => Box::new(Nsga2(settings)),
            Self::Random => Box::new(RandomSearch(settings)),
            Self::Reinforce => Box::new(Reinforce(settings)),
        }
    }
}

/// Searches each bucket by itself; the best path that was evaluated there wins it.
fn by_bucket(
    pool: &Pool,
    evaluate: &mut dyn Evaluate,
    mut search: impl FnMut(usize, &mut Tried<'_>) -> Result<(), Halt>,
) -> Result<Selected, Halt> {
    let mut selected = Selected::default();
    for (bucket, candidates) in pool.buckets().enumerate() {
        let mut tried = Tried::new(candidates, evaluate);
        search(bucket, &mut tried)?;
        let scored = best(&tried.scored).cloned();
        selected
            .winners
            .extend(scored.map(|scored| BucketWinner { bucket, scored }));
    }
    Ok(selected)
}

/// The sum over the buckets of `most` evaluations, or of all paths where they are fewer.
fn in_each_bucket(pool: &Pool, most: usize) -> usize {
    let counts = pool.buckets().map(|candidates| candidates.at_most(most));
    counts.fold(0, usize::saturating_add)
}
