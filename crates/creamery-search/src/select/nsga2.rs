//! NSGA-II: top-1 against MACs.

use std::cmp::Ordering;

use rand::{Rng, RngExt};

use super::pareto::{Point, crowding, fronts};
use super::variation::{crossover, mutation};
use super::{
    BucketWinner, Evaluate, Halt, Pool, Scored, SelectSettings, Selected, Selector, Tried, best,
};

/// NSGA-II (Deb et al. 2002) with two objectives: high top-1 and few MACs.
///
/// The first generation is drawn at random. Parents are the winners of binary tournaments: the lower front,
/// then the less crowded one. They have as many children as the [`Evolution`](super::Evolution)'s, by
/// crossover of two or by mutation of one, and random paths for the rest of the population. Population and
/// children together are parted into fronts, and the best half goes on.
///
/// The front that it finds is that of all paths it evaluated, which are `population x generations` over the
/// whole budget; in each bucket the path of the front with the highest top-1 wins. A bucket
/// whose paths are all beaten by cheaper ones of a bucket below has no winner.
#[derive(Clone, Debug)]
pub struct Nsga2(pub SelectSettings);

impl Selector for Nsga2 {
    fn evaluations(&self, pool: &Pool) -> usize {
        pool.whole().at_most(self.0.evolved())
    }

    fn select(&self, pool: &Pool, evaluate: &mut dyn Evaluate) -> Result<Selected, Halt> {
        let mut tried = Tried::new(pool.whole(), evaluate);
        let mut population = Population::default();
        for generation in 0..self.0.generations as u64 {
            let mut rng = pool.stream("nsga2", 0, generation);
            let paths = match generation {
                0 => tried.draw(self.0.population, &mut rng),
                _ => self.children(&population, &mut tried, &mut rng),
            };
            if paths.is_empty() {
                break;
            }
            let before = tried.scored.len();
            tried.evaluate_all(paths)?;
            let mut members = population.members;
            members.extend_from_slice(&tried.scored[before..]);
            population = Population::best_of(members, self.0.population);
        }
        let front = front(&tried.scored);
        let winner = |(bucket, candidates): (usize, &super::Candidates)| {
            let own = front
                .iter()
                .filter(|s| candidates.budget().contains(&s.cost));
            best(own)
                .cloned()
                .map(|scored| BucketWinner { bucket, scored })
        };
        Ok(Selected {
            winners: pool.buckets().enumerate().filter_map(winner).collect(),
            front,
        })
    }
}

impl Nsga2 {
    /// The next generation, not yet evaluated.
    fn children(
        &self,
        population: &Population,
        tried: &mut Tried<'_>,
        rng: &mut impl Rng,
    ) -> Vec<creamery_space::Architecture> {
        let settings = &self.0;
        let candidates = tried.candidates;
        let mut paths = Vec::new();
        for _ in 0..settings.crossover() {
            paths.extend(tried.child(rng, |rng| {
                let [a, b] =
                    [(); 2].map(|()| candidates.genes(&population.parent(rng).architecture));
                crossover(&a, &b, rng)
            }));
        }
        for _ in 0..settings.mutation() {
            paths.extend(tried.child(rng, |rng| {
                let parent = candidates.genes(&population.parent(rng).architecture);
                mutation(
                    &parent,
                    candidates.options(),
                    settings.mutation_probability,
                    rng,
                )
            }));
        }
        paths.extend(tried.draw(settings.population - paths.len(), rng));
        paths
    }
}

/// The paths that may become parents.
#[derive(Default)]
struct Population {
    members: Vec<Scored>,
    /// Each member's front, and its crowding distance there.
    standing: Vec<(usize, f64)>,
}

impl Population {
    /// The `most` best: whole fronts as long as they have room, then the least crowded.
    fn best_of(members: Vec<Scored>, most: usize) -> Self {
        let points = points(&members);
        let mut standing = vec![(0, 0.0); members.len()];
        for (number, front) in fronts(&points).iter().enumerate() {
            let own: Vec<Point> = front.iter().map(|&i| points[i]).collect();
            for (&i, distance) in front.iter().zip(crowding(&own)) {
                standing[i] = (number, distance);
            }
        }
        let mut order: Vec<usize> = (0..members.len()).collect();
        // Stable: among equals the older one stays.
        order.sort_by(|&a, &b| compare(standing[a], standing[b]));
        order.truncate(most);
        Self {
            members: order.iter().map(|&i| members[i].clone()).collect(),
            standing: order.iter().map(|&i| standing[i]).collect(),
        }
    }

    /// The better of two members drawn at random.
    fn parent(&self, rng: &mut impl Rng) -> &Scored {
        let [a, b] = [(); 2].map(|()| rng.random_range(0..self.members.len()));
        match compare(self.standing[a], self.standing[b]) {
            Ordering::Greater => &self.members[b],
            _ => &self.members[a],
        }
    }
}

/// The crowded comparison: the lower front first, then the larger distance.
fn compare(a: (usize, f64), b: (usize, f64)) -> Ordering {
    a.0.cmp(&b.0).then(b.1.total_cmp(&a.1))
}

fn points(scored: &[Scored]) -> Vec<Point> {
    let point = |s: &Scored| Point {
        top1: s.top1,
        macs: s.cost.macs,
    };
    scored.iter().map(point).collect()
}

/// The paths that none of the others dominates, cheapest first; of those that are equal in both objectives
/// the first in the order of architectures.
fn front(scored: &[Scored]) -> Vec<Scored> {
    let mut order: Vec<&Scored> = scored.iter().collect();
    order.sort_by(|a, b| a.cost.macs.cmp(&b.cost.macs).then_with(|| a.order(b)));
    let mut front: Vec<Scored> = Vec::new();
    for path in order {
        if front.last().is_none_or(|last| path.top1 > last.top1) {
            front.push(path.clone());
        }
    }
    front
}
