//! Searches under a bound on latency, by a table that was made up.

use creamery_space::{BlockTime, LatencyTable};
use rand::RngExt;

use super::*;

/// Times for the images of [`data`] that have nothing to do with MACs.
pub fn table(seed: u64) -> LatencyTable {
    let space = Space::builtin("tiny-32").unwrap();
    let time = |(i, block): (u64, &creamery_space::Layer)| BlockTime {
        name: block.block_name(),
        median_ns: creamery_rng::stream(seed, "times", i).random_range(10_000..200_000),
        low_ns: None,
        high_ns: None,
        runs: None,
    };
    let blocks = space.blocks(28, 1, 10).unwrap();
    LatencyTable {
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
        overhead_ns: 5_000,
        blocks: (0..).zip(&blocks).map(time).collect(),
    }
}

/// The latency that a part of the paths within the bounds on MACs is below.
pub fn quantile(config: &SearchConfig, table: &LatencyTable, part: f64) -> u64 {
    let space = Space::builtin("tiny-32").unwrap();
    let space = space.with_latency(table.clone()).unwrap();
    let sampler = creamery_space::Sampler::new(&space, 28, 1, 10, &config.budget.budget()).unwrap();
    let mut rng = creamery_rng::stream(1, "quantile", 0);
    let mut times: Vec<u64> = (0..400)
        .map(|_| {
            space
                .cost(&sampler.draw(&mut rng), 1, 10)
                .unwrap()
                .latency_ns
        })
        .collect();
    times.sort_unstable();
    times[(part * 400.0) as usize]
}

/// Writes a table into a folder; its path.
pub fn written(folder: &Path, seed: u64) -> String {
    let path = folder.join(format!("table-{seed}.json"));
    std::fs::write(&path, table(seed).to_json()).unwrap();
    path.display().to_string()
}

#[test]
fn the_winner_of_each_bucket_and_the_whole_board_are_fast_enough() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config();
    config.budget.min_macs = Some(1_500_000);
    config.budget.max_macs = Some(6_000_000);
    config.budget.buckets = 2;
    let most = quantile(&config, &table(1), 0.3);
    config.budget.max_latency = Some(most);
    config.latency_table = Some(written(folder.path(), 1));
    let result = finish(&folder.path().join("run"), &config);
    let space = Space::builtin("tiny-32").unwrap().with_latency(table(1));
    let cost = space
        .unwrap()
        .cost(&result.architecture.architecture, 1, 10);
    assert_eq!(result.cost, cost.unwrap());
    assert!(!result.family.is_empty() && !result.board.is_empty());
    let costs = result.family.iter().map(|member| member.cost);
    for cost in costs.chain(result.board.iter().map(|row| row.cost)) {
        assert!((1..=most).contains(&cost.latency_ns), "{cost:?}");
    }
    let text = std::fs::read_to_string(folder.path().join("run/result.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["latency_ns"], result.cost.latency_ns);
}

#[test]
fn a_bound_needs_a_table_and_a_run_keeps_to_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let stop = AtomicBool::new(false);
    let mut config = config();
    config.train.epochs = 1;
    config.budget.max_latency = Some(quantile(&config, &table(1), 0.5));
    let run = |config: &SearchConfig| run_in(&path, config, &mut Events::default(), &stop);
    let error = run(&config).unwrap_err();
    assert!(error.is_usage());
    let says = "`budget`: a latency bound needs --latency-table";
    assert!(error.to_string().contains(says), "{error}");

    config.latency_table = Some(written(folder.path(), 1));
    let Outcome::Done(first) = run(&config).unwrap() else {
        panic!("stopped");
    };
    // Another table would bound something else.
    config.latency_table = Some(written(folder.path(), 2));
    let error = run(&config).unwrap_err();
    assert!(error.is_usage());
    assert!(error.to_string().contains("with latency table"), "{error}");
    // The same one elsewhere does not.
    std::fs::rename(
        folder.path().join("table-1.json"),
        folder.path().join("moved.json"),
    )
    .unwrap();
    config.latency_table = Some(folder.path().join("moved.json").display().to_string());
    let Outcome::Done(again) = run(&config).unwrap() else {
        panic!("stopped");
    };
    assert_eq!(again.architecture, first.architecture);

    // Without a bound a table only tells, and may change.
    let path = folder.path().join("free");
    let run = |config: &SearchConfig| run_in(&path, config, &mut Events::default(), &stop);
    config.budget.max_latency = None;
    run(&config).unwrap();
    config.latency_table = Some(written(folder.path(), 2));
    run(&config).unwrap();
}
