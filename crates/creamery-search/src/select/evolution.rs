//! Evolution with one objective.

use rand::RngExt;

use super::variation::{crossover, mutation};
use super::{
    Evaluate, Halt, Pool, Scored, SelectSettings, Selected, Selector, Tried, by_bucket,
    in_each_bucket,
};

/// Evolution towards the highest top-1 under the budget, as SPOS does it (Guo et al., "Single Path One-Shot
/// Neural Architecture Search with Uniform Sampling", ECCV 2020, algorithm 1).
///
/// The first generation is drawn at random. Each of the others is made of the best paths of all so far:
/// children of two of them, each gene from either; changed copies of one of them; and random paths for
/// the rest of the population. Every path is within the budget and evaluated once, so that there are
/// `population x generations` evaluations, 1000 with the default settings. Where the budget lets in fewer
/// paths, the evolution ends when it meets no new ones.
#[derive(Clone, Debug)]
pub struct Evolution(pub SelectSettings);

impl Selector for Evolution {
    fn evaluations(&self, pool: &Pool) -> usize {
        in_each_bucket(pool, self.0.evolved())
    }

    fn select(&self, pool: &Pool, evaluate: &mut dyn Evaluate) -> Result<Selected, Halt> {
        by_bucket(pool, evaluate, |bucket, tried| {
            for generation in 0..self.0.generations as u64 {
                let mut rng = pool.stream("evolution", bucket, generation);
                let paths = match generation {
                    0 => tried.draw(self.0.population, &mut rng),
                    _ => self.generation(tried, &mut rng),
                };
                if paths.is_empty() {
                    break;
                }
                tried.evaluate_all(paths)?;
            }
            Ok(())
        })
    }
}

impl Evolution {
    /// The next generation, not yet evaluated.
    fn generation(
        &self,
        tried: &mut Tried<'_>,
        rng: &mut impl rand::Rng,
    ) -> Vec<creamery_space::Architecture> {
        let settings = &self.0;
        let mut parents: Vec<&Scored> = tried.scored.iter().collect();
        parents.sort_by(|a, b| a.order(b));
        parents.truncate(settings.parents);
        let genes = |scored: &&Scored| tried.candidates.genes(&scored.architecture);
        let parents: Vec<Vec<i8>> = parents.iter().map(genes).collect();
        let options = tried.candidates.options();
        let parent = |rng: &mut _| &parents[RngExt::random_range(rng, 0..parents.len())];

        let mut paths = Vec::new();
        for _ in 0..settings.crossover() {
            paths.extend(tried.child(rng, |rng| crossover(parent(rng), parent(rng), rng)));
        }
        for _ in 0..settings.mutation() {
            let probability = settings.mutation_probability;
            paths.extend(tried.child(rng, |rng| mutation(parent(rng), options, probability, rng)));
        }
        paths.extend(tried.draw(settings.population - paths.len(), rng));
        paths
    }
}
