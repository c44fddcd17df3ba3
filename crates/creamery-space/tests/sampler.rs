//! Draws under a budget against the enumeration of a small space.

use std::collections::HashMap;

use creamery_space::{
    Architecture, BlockTime, Budget, BudgetError, Cost, LatencyTable, SKIP, SampleError, Sampler,
    Space,
};
use proptest::prelude::*;
use rand::RngExt;

/// 2 * 3 * 3 * 2 * 3 = 108 paths, whose costs have nothing in common.
fn small() -> Space {
    let mut space = Space::builtin("tiny-32").unwrap();
    space.name = "small".into();
    space.operations = vec![space.operations[1], space.operations[5]];
    space.stages = space.stages[1..].to_vec();
    space.stages[0].blocks = 3;
    space.stages[1].blocks = 2;
    space
}

/// The space with times for grey 28 px images of 10 classes that have nothing to do with MACs.
fn timed(space: Space) -> Space {
    let blocks = space.blocks(28, 1, 10).unwrap();
    let time = |(i, name)| BlockTime {
        name,
        median_ns: creamery_rng::stream(5, "times", i).random_range(5_000..200_000),
        low_ns: None,
        high_ns: None,
        runs: None,
    };
    let names = blocks.iter().map(|block| block.block_name());
    let table = LatencyTable {
        origin: "test".into(),
        space: space.name.clone(),
        space_fingerprint: space.fingerprint(),
        resolution: 28,
        channels: 1,
        classes: 10,
        device: "none".into(),
        runtime: "none".into(),
        batch: 1,
        threads: 1,
        overhead_ns: 31_000,
        blocks: (0..).zip(names).map(time).collect(),
    };
    space.with_latency(table).unwrap()
}

/// Every path of the space with its cost, by counting up.
fn enumerate(space: &Space) -> Vec<(Architecture, Cost)> {
    let mut paths = vec![Vec::new()];
    for place in space.places() {
        let mut options: Vec<i8> = (0..space.operations.len() as i8).collect();
        if place.may_skip {
            options.push(SKIP);
        }
        paths = paths
            .iter()
            .flat_map(|path| {
                options
                    .iter()
                    .map(move |&option| [&path[..], &[option]].concat())
            })
            .collect();
    }
    let build = |path: Vec<i8>| {
        let mut rest = &path[..];
        let stages = space.stages.iter().map(|stage| {
            let (choices, later) = rest.split_at(stage.blocks);
            rest = later;
            choices.to_vec()
        });
        let architecture = Architecture::new(&space.name, 28, stages.collect());
        let cost = space.cost(&architecture, 1, 10).unwrap();
        (architecture, cost)
    };
    paths.into_iter().map(build).collect()
}

fn fitting(all: &[(Architecture, Cost)], budget: &Budget) -> Vec<Architecture> {
    let fits = all.iter().filter(|(_, cost)| budget.contains(cost));
    fits.map(|(architecture, _)| architecture.clone()).collect()
}

/// Pearson's statistic of `draws` draws over paths that should be equally likely.
fn chi_square(sampler: &Sampler, paths: &[Architecture], draws: usize, seed: u64) -> f64 {
    let mut counts: HashMap<&Architecture, usize> = paths.iter().map(|path| (path, 0)).collect();
    let mut rng = creamery_rng::stream(seed, "chi-square", 0);
    for _ in 0..draws {
        let drawn = sampler.draw(&mut rng);
        *counts
            .get_mut(&drawn)
            .expect("only paths that fit are drawn") += 1;
    }
    let expected = draws as f64 / paths.len() as f64;
    let deviation = |&count: &usize| (count as f64 - expected).powi(2) / expected;
    counts.values().map(deviation).sum()
}

/// What Pearson's statistic exceeds with a probability of one in a thousand (Wilson and Hilferty 1931).
fn critical(degrees: usize) -> f64 {
    let k = degrees as f64;
    k * (1.0 - 2.0 / (9.0 * k) + 3.09 * (2.0 / (9.0 * k)).sqrt()).powi(3)
}

#[test]
fn the_small_space_is_drawn_uniformly() {
    let space = timed(small());
    let all = enumerate(&space);
    assert_eq!(all.len() as u128, space.paths());
    let mut costs: Vec<Cost> = all.iter().map(|(_, cost)| *cost).collect();
    costs.sort_by_key(|cost| cost.macs);
    let (third, middle) = (costs[36], costs[54]);
    costs.sort_by_key(|cost| cost.latency_ns);
    let (slow_third, slow_middle) = (costs[36].latency_ns, costs[54].latency_ns);
    for budget in [
        Budget::default(),
        Budget::up_to_macs(middle.macs),
        Budget {
            min_macs: Some(third.macs),
            ..Budget::up_to_macs(middle.macs * 2)
        },
        Budget {
            max_params: Some(middle.params),
            ..Budget::default()
        },
        Budget {
            min_params: Some(third.params),
            ..Budget::up_to_macs(middle.macs)
        },
        Budget {
            max_latency: Some(slow_middle),
            ..Budget::default()
        },
        Budget {
            min_latency: Some(slow_third),
            max_latency: Some(slow_middle * 3 / 2),
            max_params: Some(middle.params * 2),
            ..Budget::up_to_macs(middle.macs * 3 / 2)
        },
    ] {
        let paths = fitting(&all, &budget);
        assert!(paths.len() > 5, "{budget}");
        let sampler = Sampler::new(&space, 28, 1, 10, &budget).unwrap();
        assert_eq!(sampler.count().to_string(), paths.len().to_string());
        let statistic = chi_square(&sampler, &paths, 40 * paths.len(), 1);
        assert!(
            statistic < critical(paths.len() - 1),
            "{budget}: {statistic}"
        );
    }
}

/// 30 * 180 * 30 paths: too many to list, so that tables are drawn from.
fn medium() -> Space {
    let mut space = Space::builtin("tiny-32").unwrap();
    space.operations.pop();
    space.stages[2].blocks = 2;
    space
}

#[test]
fn tables_count_and_draw_like_the_enumeration() {
    let space = timed(medium());
    let all = enumerate(&space);
    assert_eq!(all.len() as u128, space.paths());
    let mut macs: Vec<u64> = all.iter().map(|(_, cost)| cost.macs).collect();
    let mut params: Vec<u64> = all.iter().map(|(_, cost)| cost.params).collect();
    let mut latency: Vec<u64> = all.iter().map(|(_, cost)| cost.latency_ns).collect();
    macs.sort();
    params.sort();
    latency.sort();
    let at = |sorted: &[u64], part: f64| Some(sorted[(sorted.len() as f64 * part) as usize]);
    for budget in [
        Budget {
            max_macs: at(&macs, 0.7),
            ..Budget::default()
        },
        Budget {
            min_macs: at(&macs, 0.2),
            ..Budget::default()
        },
        Budget {
            min_macs: at(&macs, 0.2),
            max_macs: at(&macs, 0.9),
            ..Budget::default()
        },
        Budget {
            max_params: at(&params, 0.8),
            ..Budget::default()
        },
        Budget {
            min_params: at(&params, 0.1),
            max_params: at(&params, 0.8),
            ..Budget::default()
        },
        Budget {
            max_macs: at(&macs, 0.8),
            max_params: at(&params, 0.8),
            ..Budget::default()
        },
        Budget {
            max_macs: at(&macs, 0.8),
            min_params: at(&params, 0.1),
            ..Budget::default()
        },
        Budget {
            max_latency: at(&latency, 0.3),
            ..Budget::default()
        },
        Budget {
            min_latency: at(&latency, 0.2),
            max_latency: at(&latency, 0.6),
            ..Budget::default()
        },
        Budget {
            max_macs: at(&macs, 0.6),
            max_latency: at(&latency, 0.5),
            ..Budget::default()
        },
        Budget {
            max_macs: at(&macs, 0.7),
            min_params: at(&params, 0.1),
            max_latency: at(&latency, 0.6),
            ..Budget::default()
        },
    ] {
        let paths = fitting(&all, &budget);
        let sampler = Sampler::new(&space, 28, 1, 10, &budget).unwrap();
        let count = sampler.count();
        let exactly = paths.len() as u128;
        assert!(
            count.at_least <= exactly && exactly <= count.at_most,
            "{budget}: {count:?}"
        );
        let wrong = (count.estimate - exactly as f64).abs() / exactly as f64;
        assert!(wrong < 0.1, "{budget}: {count:?} {exactly}");

        // Too many paths to hit each: which operation ran at each place is compared instead.
        let mut rng = creamery_rng::stream(5, "marginals", 0);
        let draws = 20_000;
        let drawn: Vec<_> = (0..draws).map(|_| sampler.draw(&mut rng)).collect();
        for place in space.places() {
            let share = |paths: &[Architecture], option: i8| {
                let here = |path: &&Architecture| {
                    let stage = &path.choices[place.stage];
                    stage.get(place.block).copied().unwrap_or(SKIP) == option
                };
                paths.iter().filter(here).count() as f64 / paths.len() as f64
            };
            for option in -1..5 {
                let (wanted, got) = (share(&paths, option), share(&drawn, option));
                let deviation = (wanted * (1.0 - wanted) / draws as f64).sqrt();
                assert!(
                    (wanted - got).abs() <= 4.5 * deviation,
                    "{budget}: {place:?} {option}: {got} instead of {wanted}"
                );
            }
        }
        let distinct: std::collections::HashSet<_> = drawn.iter().collect();
        assert!(
            drawn
                .iter()
                .all(|path| budget.contains(&space.cost(path, 1, 10).unwrap()))
        );
        assert!(distinct.len() > 5_000);
    }
}

fn cream(budget: &Budget) -> Result<Sampler, SampleError> {
    Sampler::new(&Space::builtin("cream-224").unwrap(), 224, 3, 1000, budget)
}

/// Draws and checks that all fit and most differ; the share that differs.
fn distinct_share(budget: &Budget, draws: usize) -> f64 {
    let space = Space::builtin("cream-224").unwrap();
    let sampler = cream(budget).unwrap();
    let mut rng = creamery_rng::stream(3, "paths", 0);
    let mut seen = std::collections::HashSet::new();
    for _ in 0..draws {
        let drawn = sampler.draw(&mut rng);
        let cost = space.cost(&drawn, 3, 1000).unwrap();
        assert!(
            budget.contains(&cost),
            "{drawn} costs {cost:?}, not {budget}"
        );
        seen.insert(drawn);
    }
    seen.len() as f64 / draws as f64
}

#[test]
fn budgets_that_almost_nothing_fits_are_drawn_from() {
    let space = Space::builtin("cream-224").unwrap();
    let smallest = space.cost(&space.smallest(224).unwrap(), 3, 1000).unwrap();
    let largest = space.cost(&space.largest(224).unwrap(), 3, 1000).unwrap();
    let edge = Budget::up_to_macs(smallest.macs + smallest.macs / 5);
    let count = cream(&edge).unwrap().count();
    assert!(count.is_exact() && count.at_least > 1);
    assert!(
        (count.at_least as f64) < 1e-9 * space.paths() as f64,
        "{count}"
    );
    assert!(distinct_share(&edge, 200) > 0.5);

    // The two ends alone, from below and from above.
    assert_eq!(
        cream(&Budget::up_to_macs(smallest.macs))
            .unwrap()
            .count()
            .at_most,
        1
    );
    let top = Budget {
        min_macs: Some(largest.macs),
        ..Budget::default()
    };
    let mut rng = creamery_rng::stream(0, "paths", 0);
    assert_eq!(
        cream(&top).unwrap().draw(&mut rng),
        space.largest(224).unwrap()
    );

    // A hundredth of a percent wide, in the middle; and both numbers at once.
    let narrow = Budget {
        min_macs: Some(299_970_000),
        ..Budget::up_to_macs(300_000_000)
    };
    assert!(distinct_share(&narrow, 100) > 0.9);
    let joint = Budget {
        max_params: Some(3_000_000),
        ..narrow
    };
    assert!(distinct_share(&joint, 20) > 0.9);
    // Exactly the MACs of a published network.
    let single = Budget {
        min_macs: Some(578_698_368),
        ..Budget::up_to_macs(578_698_368)
    };
    assert!(distinct_share(&single, 5) > 0.9);
    let corner = Budget {
        max_params: Some(2_500_000),
        ..Budget::up_to_macs(150_000_000)
    };
    assert!(distinct_share(&corner, 200) > 0.5);
}

#[test]
fn usual_budgets_have_close_counts() {
    let space = Space::builtin("cream-224").unwrap();
    assert_eq!(
        cream(&Budget::default()).unwrap().count().at_most,
        space.paths()
    );
    let count = cream(&Budget::up_to_macs(300_000_000)).unwrap().count();
    let (least, most) = (count.at_least as f64, count.at_most as f64);
    assert!(least > 0.0 && least <= count.estimate && count.estimate <= most);
    assert!(most / least < 1.1, "{count:?}");
    assert!(count.to_string().starts_with("about "));
}

#[test]
fn nothing_that_fits_is_an_error_with_the_nearest() {
    let space = small();
    let all = enumerate(&space);
    let mut macs: Vec<u64> = all.iter().map(|(_, cost)| cost.macs).collect();
    macs.sort();
    macs.dedup();
    // The widest gap between two costs, and beyond both ends.
    let gap = macs
        .windows(2)
        .max_by_key(|pair| pair[1] - pair[0])
        .unwrap();
    let (low, high) = (gap[0], gap[1]);
    for (min, max, nearest) in [
        (low + 1, high - 2, low),
        (low + 2, high - 1, high),
        (0, macs[0] - 1, macs[0]),
        (macs[macs.len() - 1] + 1, u64::MAX, macs[macs.len() - 1]),
    ] {
        let budget = Budget {
            min_macs: Some(min),
            ..Budget::up_to_macs(max)
        };
        match Sampler::new(&space, 28, 1, 10, &budget).unwrap_err() {
            SampleError::Empty { architecture, .. } => {
                let cost = space.cost(&architecture, 1, 10).unwrap();
                assert_eq!(cost.macs, nearest, "{budget}");
            }
            other => panic!("{other}"),
        }
    }
    let message = Sampler::new(&space, 28, 1, 10, &Budget::up_to_macs(5)).unwrap_err();
    assert!(
        message
            .to_string()
            .starts_with("nothing in `small` at 28 px costs at most 5 MACs; the nearest found is "),
        "{message}"
    );
}

#[test]
fn contradictions_end_with_an_error() {
    let reversed = Budget {
        min_macs: Some(6),
        ..Budget::up_to_macs(5)
    };
    assert!(matches!(cream(&reversed), Err(SampleError::Budget(_))));
    // Each bound alone is possible; no path of so few MACs has so many params.
    let contrary = Budget {
        min_params: Some(9_000_000),
        ..Budget::up_to_macs(100_000_000)
    };
    let error = cream(&contrary).unwrap_err();
    assert!(matches!(error, SampleError::Empty { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("at most 100M MACs and at least 9M params"),
        "{error}"
    );
    // Every cost is a multiple of 64 away from the others, so some numbers are never met.
    let between = Budget {
        min_macs: Some(300_000_001),
        ..Budget::up_to_macs(300_000_002)
    };
    let error = cream(&between).unwrap_err().to_string();
    assert!(error.contains("the nearest found is 2") || error.contains("the nearest found is 3"));

    let space = Space::builtin("tiny-32").unwrap();
    for (resolution, channels, classes) in [(30, 1, 10), (28, 0, 10), (28, 1, 0)] {
        let result = Sampler::new(&space, resolution, channels, classes, &Budget::default());
        assert!(matches!(result, Err(SampleError::Space(_))));
    }
    let mut broken = space;
    broken.stages[0].blocks = 0;
    assert!(Sampler::new(&broken, 28, 1, 10, &Budget::default()).is_err());
}

#[test]
fn latency_is_bounded_with_a_table_alone_and_the_nearest_is_told_with_it() {
    let budget = Budget {
        max_latency: Some(1_000),
        ..Budget::default()
    };
    let error = Sampler::new(&small(), 28, 1, 10, &budget).unwrap_err();
    assert!(matches!(error, SampleError::Budget(BudgetError::NoTable)));
    let says = "a latency bound needs --latency-table FILE; `creamery profile` makes one";
    assert_eq!(error.to_string(), says);

    let space = timed(small());
    let all = enumerate(&space);
    let fastest = all.iter().map(|(_, cost)| cost.latency_ns).min().unwrap();
    match Sampler::new(&space, 28, 1, 10, &budget).unwrap_err() {
        SampleError::Empty {
            architecture,
            nearest,
            budget,
            ..
        } => {
            let cost = space.cost(&architecture, 1, 10).unwrap();
            assert_eq!(cost.latency_ns, fastest);
            let told = creamery_space::format_latency(fastest);
            assert!(nearest.ends_with(&format!(" params, {told}")), "{nearest}");
            assert_eq!(budget, "at most 1us of latency");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn the_same_stream_draws_the_same_paths() {
    let sampler = cream(&Budget::up_to_macs(300_000_000)).unwrap();
    let again = cream(&Budget::up_to_macs(300_000_000)).unwrap();
    for seed in 0..50 {
        let rng = || creamery_rng::stream(seed, "paths", 0);
        assert_eq!(sampler.draw(&mut rng()), again.draw(&mut rng()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any budget over any small space: what fits is counted and drawn, or there is an error and nothing fits.
    #[test]
    fn any_budget_agrees_with_the_enumeration(
        operations in prop::collection::btree_set((0usize..4, 1usize..5), 1..4),
        blocks in prop::collection::vec(1usize..4, 1..4),
        parts in prop::array::uniform6(prop::option::weighted(0.6, 0.0f64..1.1)),
        seed: u64,
    ) {
        let mut space = Space::builtin("tiny-32").unwrap();
        space.operations = operations
            .into_iter()
            .map(|(kernel, expansion)| creamery_space::Operation { kernel: 2 * kernel + 1, expansion })
            .collect();
        space.stages.truncate(blocks.len());
        for (stage, blocks) in space.stages.iter_mut().zip(blocks) {
            stage.blocks = blocks.min(2);
        }
        let space = timed(space);
        let all = enumerate(&space);
        let most = |of: fn(&Cost) -> u64| all.iter().map(|(_, cost)| of(cost)).max().unwrap() as f64;
        let (macs, params) = (most(|cost| cost.macs), most(|cost| cost.params));
        let latency = most(|cost| cost.latency_ns);
        let bound = |part: Option<f64>, most: f64| part.map(|part| (part * most) as u64);
        let budget = Budget {
            min_macs: bound(parts[0].map(|part| part * 0.6), macs),
            max_macs: bound(parts[1], macs),
            min_params: bound(parts[2].map(|part| part * 0.6), params),
            max_params: bound(parts[3], params),
            min_latency: bound(parts[4].map(|part| part * 0.6), latency),
            max_latency: bound(parts[5], latency),
        };
        let paths = fitting(&all, &budget);
        match Sampler::new(&space, 28, 1, 10, &budget) {
            Ok(sampler) => {
                prop_assert_eq!(sampler.count().at_least, paths.len() as u128);
                prop_assert!(sampler.count().is_exact());
                let mut rng = creamery_rng::stream(seed, "paths", 0);
                for _ in 0..20 {
                    prop_assert!(paths.contains(&sampler.draw(&mut rng)));
                }
            }
            Err(SampleError::Budget(_)) => prop_assert!(budget.check().is_err()),
            Err(error) => prop_assert!(paths.is_empty(), "{}", error),
        }
    }
}
