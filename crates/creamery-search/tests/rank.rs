//! Rank statistics against scipy, against naive twins, and by what they must keep to.

use creamery_search::rank::{
    Agreement, Bootstrap, RankError, bootstrap, kendall_tau_b, pearson_r, spearman_rho,
};
use proptest::prelude::*;
use rand::RngExt;

type Statistic = fn(&[f64], &[f64]) -> Result<f64, RankError>;

const STATISTICS: [(&str, Statistic); 3] = [
    ("tau_b", kendall_tau_b),
    ("spearman", spearman_rho),
    ("pearson", pearson_r),
];

#[test]
fn a_thousand_tied_rankings_are_as_scipy_has_them() {
    #[derive(serde::Deserialize)]
    struct Cases {
        x: Vec<Vec<f64>>,
        y: Vec<Vec<f64>>,
        #[serde(flatten)]
        expected: std::collections::BTreeMap<String, Vec<f64>>,
    }
    let cases: Cases = serde_json::from_str(include_str!("../../../fixtures/rank.json")).unwrap();
    assert_eq!((cases.x.len(), cases.expected.len()), (1000, 3));
    for (name, statistic) in STATISTICS {
        let pairs = cases.x.iter().zip(&cases.y);
        for (case, ((x, y), expected)) in pairs.zip(&cases.expected[name]).enumerate() {
            let found = statistic(x, y).unwrap();
            // The fixture keeps 12 digits.
            assert!(
                (found - expected).abs() < 1e-12,
                "{name}, case {case}: {found}, not {expected}"
            );
        }
    }
}

/// Tau-b by its definition, pair by pair.
fn naive_tau_b(a: &[f64], b: &[f64]) -> f64 {
    let sign = |x: f64, y: f64| i64::from(x > y) - i64::from(x < y);
    let (mut sum, mut ranked_a, mut ranked_b) = (0, 0, 0);
    for i in 0..a.len() {
        for j in 0..i {
            let (s, t) = (sign(a[i], a[j]), sign(b[i], b[j]));
            sum += s * t;
            ranked_a += s * s;
            ranked_b += t * t;
        }
    }
    sum as f64 / ((ranked_a * ranked_b) as f64).sqrt()
}

/// Spearman's rho by ranks that are counted: those below, and half of the equals.
fn naive_rho(a: &[f64], b: &[f64]) -> f64 {
    let ranks = |values: &[f64]| -> Vec<f64> {
        let rank = |x: f64| -> f64 {
            let count = |y: &f64| if *y < x { 2.0 } else { f64::from(*y == x) };
            values.iter().map(count).sum()
        };
        values.iter().map(|x| rank(*x)).collect()
    };
    let (a, b) = (ranks(a), ranks(b));
    // With n in each sum, the mean of these doubled ranks is n.
    let mean = a.len() as f64;
    let product = |a: &[f64], b: &[f64]| -> f64 {
        a.iter().zip(b).map(|(a, b)| (a - mean) * (b - mean)).sum()
    };
    product(&a, &b) / (product(&a, &a) * product(&b, &b)).sqrt()
}

/// Two lists of one length, neither constant, from no ties to hardly anything else.
fn lists() -> impl Strategy<Value = (Vec<f64>, Vec<f64>)> {
    let list = |n, levels: i32| prop::collection::vec((0..levels).prop_map(f64::from), n);
    (2usize..80, 2..200, 2..200)
        .prop_flat_map(move |(n, a, b)| (list(n, a), list(n, b)))
        .prop_filter("ranks something", |(a, b)| {
            [a, b].iter().all(|list| list.iter().any(|v| *v != list[0]))
        })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn fast_equals_naive((a, b) in lists()) {
        prop_assert!((kendall_tau_b(&a, &b).unwrap() - naive_tau_b(&a, &b)).abs() < 1e-12);
        prop_assert!((spearman_rho(&a, &b).unwrap() - naive_rho(&a, &b)).abs() < 1e-12);
    }

    #[test]
    fn statistics_lie_between_reversal_and_identity((a, b) in lists()) {
        let reversed: Vec<f64> = b.iter().map(|v| -v).collect();
        let itself_reversed: Vec<f64> = a.iter().map(|v| -v).collect();
        for (name, statistic) in STATISTICS {
            let value = statistic(&a, &b).unwrap();
            prop_assert!((-1.0..=1.0).contains(&value), "{name} {value}");
            prop_assert!((statistic(&a, &reversed).unwrap() + value).abs() < 1e-12, "{name}");
            prop_assert!((statistic(&b, &a).unwrap() - value).abs() < 1e-12, "{name}");
            prop_assert!((statistic(&a, &a).unwrap() - 1.0).abs() < 1e-12, "{name}");
            prop_assert!((statistic(&a, &itself_reversed).unwrap() + 1.0).abs() < 1e-12, "{name}");
        }
    }

    #[test]
    fn monotone_transforms_change_no_ranking((a, b) in lists()) {
        let (moved_a, moved_b): (Vec<f64>, Vec<f64>) =
            a.iter().zip(&b).map(|(a, b)| ((a / 10.0).exp(), (b - 50.0).powi(3))).unzip();
        prop_assert_eq!(kendall_tau_b(&moved_a, &moved_b), kendall_tau_b(&a, &b));
        prop_assert_eq!(spearman_rho(&moved_a, &moved_b), spearman_rho(&a, &b));
        let stretched: Vec<f64> = b.iter().map(|v| 3.0 * v - 7.0).collect();
        let (r, expected) = (pearson_r(&a, &stretched).unwrap(), pearson_r(&a, &b).unwrap());
        prop_assert!((r - expected).abs() < 1e-12);
    }

    #[test]
    fn the_order_of_the_pairs_does_not_matter((a, b) in lists(), seed in any::<u64>()) {
        let mut rng = creamery_rng::stream(seed, "rank tests", 0);
        let mut order: Vec<usize> = (0..a.len()).collect();
        (1..order.len()).for_each(|last| order.swap(last, rng.random_range(0..=last)));
        let permuted = |list: &[f64]| -> Vec<f64> { order.iter().map(|i| list[*i]).collect() };
        for (name, statistic) in STATISTICS {
            let found = statistic(&permuted(&a), &permuted(&b)).unwrap();
            prop_assert!((found - statistic(&a, &b).unwrap()).abs() < 1e-12, "{name}");
        }
    }

    #[test]
    fn intervals_are_in_order_and_within_bounds((a, b) in lists(), seed in any::<u64>()) {
        let settings = |level| Bootstrap { resamples: 50, level, seed };
        for (name, statistic) in STATISTICS {
            let wide = bootstrap(&a, &b, statistic, &settings(0.95)).unwrap();
            let narrow = bootstrap(&a, &b, statistic, &settings(0.5)).unwrap();
            prop_assert!(-1.0 <= wide.low && wide.high <= 1.0, "{name} {wide}");
            prop_assert!(wide.low <= narrow.low && narrow.low <= narrow.high && narrow.high <= wide.high, "{name}");
            prop_assert_eq!(wide.value, statistic(&a, &b).unwrap());
        }
    }
}

#[test]
fn numbers_of_any_size_have_a_correlation() {
    let (a, b) = ([1.0, 2.0, 4.0], [1.0, 3.0, 2.0]);
    let expected = pearson_r(&a, &b).unwrap();
    for scale in [1e-300, 1e300, 4e307] {
        let scaled = a.map(|v| v * scale);
        assert!(
            (pearson_r(&scaled, &b).unwrap() - expected).abs() < 1e-12,
            "{scale}"
        );
    }
    let nearly_equal = pearson_r(&[1.0, 1.0 + f64::EPSILON], &[-1.0, f64::MAX]).unwrap();
    assert!((nearly_equal - 1.0).abs() < 1e-12);
    // -0 and 0 are tied.
    assert_eq!(
        kendall_tau_b(&[0.0, -0.0, 1.0], &[1.0, 2.0, 3.0]),
        kendall_tau_b(&[0.0, 0.0, 1.0], &[1.0, 2.0, 3.0])
    );
}

#[test]
fn what_cannot_be_compared_is_an_error_that_says_why() {
    let cases: [(&[f64], &[f64], &str); 6] = [
        (
            &[1.0, 2.0],
            &[1.0, 2.0, 3.0],
            "2 values cannot be paired with 3: give one of each for every architecture",
        ),
        (
            &[],
            &[],
            "0 architectures cannot be ranked: give at least 2",
        ),
        (
            &[1.0],
            &[1.0],
            "1 architectures cannot be ranked: give at least 2",
        ),
        (
            &[1.0, 2.0, 3.0],
            &[5.5; 3],
            "all values of the second list are 5.5, which ranks nothing",
        ),
        (
            &[0.0, -0.0],
            &[1.0, 2.0],
            "all values of the first list are 0, which ranks nothing",
        ),
        (
            &[1.0, f64::NAN, 3.0],
            &[1.0, 2.0, 3.0],
            "value 1 of the first list is NaN: leave that architecture out of both",
        ),
    ];
    for (a, b, message) in cases {
        for (_, statistic) in STATISTICS {
            let error = statistic(a, b).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
            let of_interval = bootstrap(a, b, statistic, &Bootstrap::default()).unwrap_err();
            assert_eq!(of_interval.to_string(), error);
        }
    }
    let list = [1.0, 2.0, 3.0];
    let infinite = [1.0, 2.0, f64::INFINITY];
    assert!(matches!(
        pearson_r(&list, &infinite),
        Err(RankError::NotFinite {
            side: "second",
            index: 2,
            ..
        })
    ));
    for level in [0.0, 1.0, -0.5, f64::NAN] {
        let settings = Bootstrap {
            level,
            ..Bootstrap::default()
        };
        assert!(
            matches!(
                Agreement::of(&list, &list, &settings),
                Err(RankError::Level(_))
            ),
            "{level}"
        );
    }
    let settings = Bootstrap {
        resamples: 0,
        ..Bootstrap::default()
    };
    assert_eq!(
        Agreement::of(&list, &list, &settings),
        Err(RankError::Resamples)
    );
}

/// Of many samples from a population of known correlation, about as many intervals as promised must hold it.
#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    const RHO: f64 = 0.6;
    // Kendall's tau of a bivariate normal distribution (Greiner).
    let truths: [(f64, Statistic); 2] = [
        (RHO, pearson_r),
        (RHO.asin() * std::f64::consts::FRAC_2_PI, kendall_tau_b),
    ];
    let mut held = [0; 2];
    for sample in 0..200 {
        let mut rng = creamery_rng::stream(3, "coverage", sample);
        let mut normal = || {
            let (u, angle): (f64, f64) = (rng.random(), rng.random());
            (-2.0 * (1.0 - u).ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
        };
        let (a, b): (Vec<f64>, Vec<f64>) = (0..40)
            .map(|_| {
                let (a, own) = (normal(), normal());
                (a, RHO * a + (1.0 - RHO * RHO).sqrt() * own)
            })
            .unzip();
        let settings = Bootstrap {
            resamples: 500,
            level: 0.9,
            seed: sample,
        };
        for ((truth, statistic), held) in truths.iter().zip(&mut held) {
            let estimate = bootstrap(&a, &b, statistic, &settings).unwrap();
            *held += usize::from((estimate.low..=estimate.high).contains(truth));
        }
    }
    // 180 of 200 are expected, with a standard deviation of 4; with 40 pairs the method falls a little short.
    for held in held {
        assert!((164..=192).contains(&held), "{held} of 200");
    }
}

#[test]
fn resamples_depend_on_their_seed_alone() {
    let a: Vec<f64> = (0..30).map(|i| f64::from(i * 7 % 30)).collect();
    let b: Vec<f64> = (0..30).map(|i| f64::from(i * 11 % 13)).collect();
    let of = |seed| {
        Agreement::of(
            &a,
            &b,
            &Bootstrap {
                seed,
                resamples: 200,
                ..Bootstrap::default()
            },
        )
        .unwrap()
    };
    assert_eq!(of(1), of(1));
    assert_ne!(of(1), of(2));
}

#[test]
fn constant_resamples_are_drawn_again() {
    // Half of the resamples of two pairs are one pair twice; the others have tau 1.
    let settings = Bootstrap {
        resamples: 1000,
        ..Bootstrap::default()
    };
    let estimate = bootstrap(&[1.0, 2.0], &[5.0, 6.0], kendall_tau_b, &settings).unwrap();
    assert_eq!((estimate.low, estimate.high), (1.0, 1.0));
    assert!(
        (850..1150).contains(&estimate.redrawn),
        "{}",
        estimate.redrawn
    );
    // One value that differs from 99 equal ones is left out by a third of the resamples.
    let mut lonely = vec![0.0; 100];
    lonely[3] = 1.0;
    let ascending: Vec<f64> = (0..100).map(f64::from).collect();
    let estimate = bootstrap(&lonely, &ascending, kendall_tau_b, &settings).unwrap();
    assert!(
        (480..680).contains(&estimate.redrawn),
        "{}",
        estimate.redrawn
    );
}
