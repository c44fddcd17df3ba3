//! What the algorithms find, and that they keep to the budget.

use std::collections::HashSet;

use creamery_search::BudgetSettings;
use creamery_search::select::{
    BoardSelector, Evaluate, Evolution, Halt, Nsga2, Policy, RandomSearch, Reinforce,
    SelectSettings, Selector, SelectorName, pareto::Point,
};
use creamery_space::Architecture;
use creamery_train::event::BoardRow;
use creamery_train::{ConfigError, TrainError};
use proptest::prelude::*;

use crate::table::{
    Table, algorithms, all_paths, buckets, cost, few, pool, smaller, tiny, try_pool, up_to,
};

fn best_of(scores: impl Iterator<Item = f64>) -> f64 {
    scores.fold(f64::NEG_INFINITY, f64::max)
}

/// The front of all 1728 paths by its definition, after evaluations of 1000 of them.
#[test]
fn nsga2_finds_the_true_front() {
    let space = smaller(3, 2);
    let paths = all_paths(&space);
    for seed in 0..10 {
        let mut table = Table::new(&space, seed);
        let point = |path: &Architecture| Point {
            top1: table.score(path),
            macs: cost(&space, path).macs,
        };
        let points: Vec<Point> = paths.iter().map(point).collect();
        let undominated = |p: &Point| !points.iter().any(|other| other.dominates(p));
        let mut expected: Vec<_> = paths
            .iter()
            .zip(&points)
            .filter(|(_, p)| undominated(p))
            .collect();
        expected.sort_by_key(|(_, point)| point.macs);
        assert!(expected.len() > 10, "a front that is worth searching");

        let selector = Nsga2(SelectSettings::default());
        let pool = pool(&space, &BudgetSettings::default(), seed);
        let selected = selector.select(&pool, &mut table).unwrap();
        assert_eq!(table.asked.len(), 1000);
        let found = selected.front.iter().map(|scored| &scored.architecture);
        assert!(
            found.eq(expected.iter().map(|(path, _)| *path)),
            "seed {seed}"
        );
        assert_eq!(&selected.winners[0].scored, selected.front.last().unwrap());
    }
}

#[test]
fn evolution_beats_random_at_equal_evaluations() {
    let space = tiny();
    const SEEDS: u64 = 30;
    let [mut evolution, mut nsga2, mut reinforce] = [0.0; 3];
    for seed in 0..SEEDS {
        let pool = pool(&space, &up_to(4_000_000), seed);
        let best = |selector: &dyn Selector| {
            let mut table = Table::new(&space, seed);
            let selected = selector.select(&pool, &mut table).unwrap();
            (selected.winners[0].scored.top1, table.asked.len())
        };
        let settings = SelectSettings::default();
        let (random, evaluations) = best(&RandomSearch(settings.clone()));
        assert_eq!(evaluations, 1000);
        let gain = |sum: &mut f64, selector: &dyn Selector| {
            let (found, evaluations) = best(selector);
            assert!(evaluations <= 1000);
            *sum += (found - random) / SEEDS as f64;
        };
        gain(&mut evolution, &Evolution(settings.clone()));
        gain(&mut nsga2, &Nsga2(settings.clone()));
        gain(&mut reinforce, &Reinforce(settings));
    }
    // Points of top-1. The score of a random path has a standard deviation of about two.
    for (name, gain) in [
        ("evolution", evolution),
        ("nsga2", nsga2),
        ("reinforce", reinforce),
    ] {
        assert!(gain > 2.0, "{name}: {gain}");
    }
}

#[test]
fn the_mean_reward_of_reinforce_rises() {
    let space = tiny();
    for seed in 0..10 {
        let mut table = Table::new(&space, seed);
        let pool = pool(&space, &up_to(4_000_000), seed);
        Reinforce(SelectSettings::default())
            .select(&pool, &mut table)
            .unwrap();
        let mean = |paths: &[Architecture]| {
            paths.iter().map(|path| table.score(path)).sum::<f64>() / paths.len() as f64
        };
        let (n, part) = (table.asked.len(), 100);
        assert!(n > 3 * part);
        let (first, last) = (mean(&table.asked[..part]), mean(&table.asked[n - part..]));
        assert!(last > first + 3.0, "seed {seed}: from {first} to {last}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// d log pi / d logit against central differences.
    #[test]
    fn the_policys_gradient_is_that_of_finite_differences(
        logits in prop::collection::vec(prop::collection::vec(-3.0f64..3.0, 1..6), 1..5), seed: u64,
    ) {
        let policy = Policy { logits };
        let chosen = policy.sample(&mut creamery_rng::stream(seed, "test", 0));
        let gradient = policy.gradient(&chosen);
        for (place, expected) in gradient.iter().enumerate() {
            for (option, expected) in expected.iter().enumerate() {
                let moved = |by: f64| {
                    let mut policy = policy.clone();
                    policy.logits[place][option] += by;
                    policy.log_probability(&chosen)
                };
                let numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                prop_assert!((numeric - expected).abs() < 1e-8);
            }
        }
    }

    /// Whatever the baseline: the mean over all paths of `(reward - baseline) grad log pi` is the gradient of the
    /// mean reward.
    #[test]
    fn the_expected_update_is_the_gradient_of_the_mean_reward(
        logits in prop::collection::vec(prop::collection::vec(-2.0f64..2.0, 3), 3),
        rewards in prop::collection::vec(-1.0f64..1.0, 27), baseline in -5.0f64..5.0,
    ) {
        let policy = Policy { logits };
        let paths: Vec<Vec<usize>> = (0..27).map(|i| vec![i / 9, i / 3 % 3, i % 3]).collect();
        let mean = |policy: &Policy| -> f64 {
            let terms = paths.iter().zip(&rewards);
            terms.map(|(path, reward)| policy.log_probability(path).exp() * reward).sum()
        };
        let mut updated = Policy { logits: vec![vec![0.0; 3]; 3] };
        for (path, reward) in paths.iter().zip(&rewards) {
            let weight = policy.log_probability(path).exp() * (reward - baseline);
            updated.ascend(&policy.gradient(path), weight);
        }
        for (i, expected) in updated.logits.concat().into_iter().enumerate() {
            let moved = |by: f64| {
                let mut policy = policy.clone();
                policy.logits[i / 3][i % 3] += by;
                mean(&policy)
            };
            let numeric = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            prop_assert!((numeric - expected).abs() < 1e-8, "{} {}", numeric, expected);
        }
    }

    /// Whatever the budget: no path outside of it is evaluated, none twice, not more than announced; and the
    /// best of a bucket wins it.
    #[test]
    fn every_selector_keeps_to_the_budget(
        ends in (1_000_000u64..6_000_000, 1_000_000u64..6_000_000), count in 1usize..4, seed: u64,
    ) {
        let space = smaller(3, 2);
        let (min, max) = (ends.0.min(ends.1), ends.0.max(ends.1));
        let budget = buckets(min, max, count);
        let pool = try_pool(&space, &budget, seed);
        prop_assume!(pool.is_ok());
        let pool = pool.unwrap();
        for (name, selector) in algorithms(&few()) {
            let mut table = Table::new(&space, seed);
            let selected = selector.select(&pool, &mut table).unwrap();
            let asked: HashSet<&Architecture> = table.asked.iter().collect();
            prop_assert_eq!(asked.len(), table.asked.len(), "{} asks twice", name);
            prop_assert!(asked.len() <= selector.evaluations(&pool), "{}", name);
            for path in &table.asked {
                prop_assert!(budget.budget().contains(&cost(&space, path)), "{}: {}", name, path);
            }
            for winner in &selected.winners {
                let own = pool.buckets().nth(winner.bucket).unwrap().budget();
                let scored = &winner.scored;
                prop_assert!(own.contains(&scored.cost));
                prop_assert_eq!(scored.cost, cost(&space, &scored.architecture));
                prop_assert_eq!(scored.top1, table.score(&scored.architecture));
                let others = table.asked.iter().filter(|path| own.contains(&cost(&space, path)));
                prop_assert_eq!(scored.top1, best_of(others.map(|path| table.score(path))));
            }
            match name {
                // A bucket below may have something as good.
                SelectorName::Nsga2 => prop_assert!(!selected.front.is_empty()),
                _ => {
                    prop_assert!(selected.front.is_empty());
                    prop_assert!(selected.winners.iter().map(|w| w.bucket).eq(0..count));
                }
            }
        }
    }
}

#[test]
fn a_front_serves_all_buckets() {
    let space = smaller(3, 2);
    let pool = pool(&space, &buckets(1_500_000, 4_500_000, 3), 5);
    let mut table = Table::new(&space, 5);
    let selector = Nsga2(SelectSettings::default());
    let selected = selector.select(&pool, &mut table).unwrap();
    assert!(table.asked.len() <= 1000, "once for all buckets");
    assert_eq!(selected.winners.len(), 3);
    for winner in &selected.winners {
        let own = pool.buckets().nth(winner.bucket).unwrap().budget();
        let on_front = selected.front.iter().filter(|s| own.contains(&s.cost));
        assert_eq!(winner.scored.top1, best_of(on_front.map(|s| s.top1)));
    }
    for pair in selected.front.windows(2) {
        assert!(pair[0].cost.macs < pair[1].cost.macs && pair[0].top1 < pair[1].top1);
    }
}

/// Fewer paths than a population, down to one.
#[test]
fn a_small_space_is_searched_to_its_end() {
    for (operations, blocks) in [(1, 1), (2, 1), (1, 2), (3, 1)] {
        let space = smaller(operations, blocks);
        let paths = all_paths(&space);
        assert!(paths.len() <= 27);
        let pool = pool(&space, &BudgetSettings::default(), 1);
        for (name, selector) in algorithms(&SelectSettings::default()) {
            let mut table = Table::new(&space, 1);
            let selected = selector.select(&pool, &mut table).unwrap();
            assert_eq!(selector.evaluations(&pool), paths.len());
            if name != SelectorName::Reinforce {
                assert_eq!(table.asked.len(), paths.len(), "{name}");
            }
            let best = best_of(paths.iter().map(|path| table.score(path)));
            assert_eq!(selected.winners[0].scored.top1, best, "{name}");
        }
    }
}

/// A budget that hardly any sample of a policy meets.
#[test]
fn reinforce_goes_on_where_samples_are_rejected() {
    let space = tiny();
    let budget = BudgetSettings {
        max_params: Some(250_000),
        ..buckets(6_000_000, 6_050_000, 1)
    };
    let pool = pool(&space, &budget, 3);
    let mut table = Table::new(&space, 3);
    let selected = Reinforce(few()).select(&pool, &mut table).unwrap();
    assert!(table.asked.len() > 50);
    assert!(budget.budget().contains(&selected.winners[0].scored.cost));
}

#[test]
fn the_seed_decides_everything() {
    let space = tiny();
    for (name, selector) in algorithms(&few()) {
        let asked = |seed| {
            let mut table = Table::new(&space, 0);
            let pool = pool(&space, &buckets(2_000_000, 6_000_000, 2), seed);
            selector.select(&pool, &mut table).unwrap();
            table.asked
        };
        assert_eq!(asked(4), asked(4), "{name}");
        assert_ne!(asked(4), asked(5), "{name}");
    }
}

struct Broken;

impl Evaluate for Broken {
    fn top1(&mut self, _: &Architecture) -> Result<f64, Halt> {
        Err(TrainError::from(ConfigError::Value("no images".into())).into())
    }
}

#[test]
fn what_an_evaluation_reports_ends_the_selection() {
    let space = tiny();
    let pool = pool(&space, &up_to(4_000_000), 0);
    for (name, selector) in algorithms(&few()) {
        let failed = selector.select(&pool, &mut Broken).unwrap_err();
        assert!(
            matches!(failed, Halt::Failed(e) if e.to_string() == "no images"),
            "{name}"
        );
        let mut table = Table::new(&space, 0);
        table.left = 33;
        let stopped = selector.select(&pool, &mut table).unwrap_err();
        assert!(matches!(stopped, Halt::Stopped), "{name}");
        assert_eq!(table.asked.len(), 33);
    }
}

#[test]
fn the_board_chooses_among_its_paths_within_the_budget() {
    let space = smaller(3, 2);
    let mut pool = pool(&space, &buckets(1_500_000, 3_500_000, 2), 0);
    let paths = all_paths(&space);
    let row = |architecture: &Architecture| BoardRow {
        architecture: architecture.clone(),
        // What it was in training does not count.
        score: 99.0,
        cost: cost(&space, architecture),
        entered: 0,
        taught: 0,
        bucket: 0,
    };
    pool.board = paths.iter().step_by(40).map(row).collect();
    let mut table = Table::new(&space, 0);
    let selected = BoardSelector.select(&pool, &mut table).unwrap();
    assert_eq!(table.asked.len(), BoardSelector.evaluations(&pool));
    assert!(table.asked.len() < pool.board.len(), "some are outside");
    assert_eq!(selected.winners.len(), 2);
    for (winner, own) in selected.winners.iter().zip(pool.buckets()) {
        let rows = pool
            .board
            .iter()
            .filter(|row| own.budget().contains(&row.cost));
        let best = best_of(rows.map(|row| table.score(&row.architecture)));
        assert_eq!(winner.scored.top1, best);
    }
    pool.board.clear();
    let nothing = BoardSelector.select(&pool, &mut table).unwrap();
    assert!(nothing.winners.is_empty());
}
