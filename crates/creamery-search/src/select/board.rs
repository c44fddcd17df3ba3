//! The selector of Cream: the prioritized paths themselves.

use super::{Evaluate, Halt, Pool, Selected, Selector, by_bucket};

/// Evaluates every path of the board that is within the budget; the best of each bucket wins.
#[derive(Clone, Copy, Debug)]
pub struct BoardSelector;

impl Selector for BoardSelector {
    fn evaluations(&self, pool: &Pool) -> usize {
        let fits = |cost| pool.buckets().any(|own| own.budget().contains(cost));
        pool.board.iter().filter(|row| fits(&row.cost)).count()
    }

    fn select(&self, pool: &Pool, evaluate: &mut dyn Evaluate) -> Result<Selected, Halt> {
        by_bucket(pool, evaluate, |_, tried| {
            for row in &pool.board {
                if tried.fits(&row.architecture) {
                    tried.evaluate(row.architecture.clone())?;
                }
            }
            Ok(())
        })
    }
}
