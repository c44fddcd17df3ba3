//! The best of N random paths.

use super::{Evaluate, Halt, Pool, SelectSettings, Selected, Selector, by_bucket, in_each_bucket};

/// Draws [`SelectSettings::candidates`] different paths, each with the same probability; the best wins.
///
/// With as many evaluations as [`Evolution`](super::Evolution) makes, which is the default, it says what the
/// evolution is worth.
#[derive(Clone, Debug)]
pub struct RandomSearch(pub SelectSettings);

impl Selector for RandomSearch {
    fn evaluations(&self, pool: &Pool) -> usize {
        in_each_bucket(pool, self.0.candidates())
    }

    fn select(&self, pool: &Pool, evaluate: &mut dyn Evaluate) -> Result<Selected, Halt> {
        by_bucket(pool, evaluate, |bucket, tried| {
            let mut rng = pool.stream("random selection", bucket, 0);
            let paths = tried.draw(self.0.candidates(), &mut rng);
            tried.evaluate_all(paths)
        })
    }
}
