//! The path whose cost is nearest to a budget that nothing fits.

use rand::RngExt;

use super::problem::{Costs, Problem};

/// Spaces of at most so many paths are searched in full.
const ALL: usize = 1 << 16;
/// Starts of the search in larger ones, besides the two extreme paths.
const STARTS: u64 = 30;
/// Changes that the search looks at before it takes what it has.
const PATIENCE: usize = 4_000_000;

/// The path of least [`Problem::breach`]: exact in a small space, and where the bounds are below or above
/// every path; else the best that a local search finds by changing one or two places at a time.
pub(super) fn nearest(problem: &Problem) -> Vec<u8> {
    let sizes = || problem.options.iter().map(Vec::len);
    let paths = sizes().try_fold(1usize, |paths, size| paths.checked_mul(size));
    if paths.is_some_and(|paths| paths <= ALL) {
        return exhaustive(problem);
    }
    let extreme = |largest: bool| -> Vec<u8> {
        let at = |options: &Vec<Costs>| {
            let by_cost = |&option: &usize| options[option];
            let option = if largest {
                (0..options.len()).max_by_key(by_cost)
            } else {
                (0..options.len()).min_by_key(by_cost)
            };
            option.unwrap_or(0) as u8
        };
        problem.options.iter().map(at).collect()
    };
    let random = (0..STARTS).map(|start| {
        let mut rng = creamery_rng::stream(0, "nearest path", start);
        sizes()
            .map(|size| rng.random_range(0..size) as u8)
            .collect()
    });
    let mut patience = PATIENCE;
    let mut best = extreme(false);
    let mut best_breach = f64::INFINITY;
    for mut path in [extreme(false), extreme(true)].into_iter().chain(random) {
        let breach = descend(problem, &mut path, &mut patience);
        if breach < best_breach {
            (best, best_breach) = (path, breach);
        }
    }
    best
}

fn exhaustive(problem: &Problem) -> Vec<u8> {
    let mut path = vec![0u8; problem.options.len()];
    let mut best = (problem.breach(problem.cost(&path)), path.clone());
    loop {
        // Count up, the last place first.
        let Some(place) = (0..path.len())
            .rfind(|&place| usize::from(path[place]) + 1 < problem.options[place].len())
        else {
            return best.1;
        };
        path[place] += 1;
        path[place + 1..].fill(0);
        let breach = problem.breach(problem.cost(&path));
        if breach < best.0 {
            best = (breach, path.clone());
        }
    }
}

/// Takes the best change of one or two places until none helps; the breach that is left.
fn descend(problem: &Problem, path: &mut [u8], patience: &mut usize) -> f64 {
    let mut cost = problem.cost(path);
    let mut breach = problem.breach(cost);
    while breach > 0.0 && *patience > 0 {
        let mut best = None;
        let mut least = breach;
        for i in 0..path.len() {
            for a in 0..problem.options[i].len() {
                let one = changed(problem, cost, path, i, a);
                // The change of the one place alone, and together with each later one.
                let pairs = (i + 1..path.len())
                    .flat_map(|j| (0..problem.options[j].len()).map(move |b| (j, b)));
                for (j, b) in std::iter::once((i, a)).chain(pairs) {
                    let both = if j == i {
                        one
                    } else {
                        changed(problem, one, path, j, b)
                    };
                    let left = problem.breach(both);
                    *patience = patience.saturating_sub(1);
                    if left < least {
                        least = left;
                        best = Some([(i, a), (j, b)]);
                    }
                }
                if *patience == 0 {
                    break;
                }
            }
        }
        let Some(changes) = best else { break };
        for (place, option) in changes {
            path[place] = option as u8;
        }
        cost = problem.cost(path);
        breach = least;
    }
    breach
}

/// `cost` after `place` of `path` takes `option`.
fn changed(problem: &Problem, mut cost: Costs, path: &[u8], place: usize, option: usize) -> Costs {
    let options = &problem.options[place];
    let (old, new) = (options[usize::from(path[place])], options[option]);
    for (cost, (old, new)) in cost.iter_mut().zip(old.into_iter().zip(new)) {
        *cost = *cost - old + new;
    }
    cost
}
