//! Every method, with every selector that makes sense.

use creamery_search::{Method, SelectSettings, SelectorName};

use super::*;

fn small(method: &str) -> SearchConfig {
    let mut config = config();
    method.clone_into(&mut config.method);
    config.train.epochs = 2;
    // Six steps an epoch: every phase of `ofa` has some.
    config.elastic.random_paths = 1;
    config.select = SelectSettings {
        images: 16,
        population: 4,
        generations: 2,
        parents: 2,
        ..SelectSettings::default()
    };
    config.select.reinforce.samples = 3;
    config.select.reinforce.updates = 2;
    config
}

#[test]
fn every_pair_of_strategy_and_selector_stays_within_budget() {
    for (name, method) in Method::ALL {
        for selector in SelectorName::ALL {
            if selector == SelectorName::Board && !method.has_board() {
                continue;
            }
            let mut config = small(name);
            config.train.epochs = 1;
            config.budget.min_macs = Some(1_500_000);
            config.select.selector = Some(selector);
            let folder = tempfile::tempdir().unwrap();
            let most = latency::quantile(&config, &latency::table(1), 0.4);
            config.budget.max_latency = Some(most);
            config.latency_table = Some(latency::written(folder.path(), 1));
            let path = folder.path().join("run");
            let result = finish(&path, &config);
            let budget = config.budget.budget();
            assert!(budget.contains(&result.cost), "{name}, {selector}");
            let log = path.join("evaluations.jsonl");
            let evaluated = std::fs::read_to_string(log).unwrap_or_default();
            for line in evaluated.lines().skip(1) {
                let row: serde_json::Value = serde_json::from_str(line).unwrap();
                let macs = row["macs"].as_u64().unwrap();
                assert!(
                    (1_500_000..=3_000_000).contains(&macs),
                    "{name}, {selector}: {line}"
                );
                let latency = row["latency_ns"].as_u64().unwrap();
                assert!(latency <= most, "{name}, {selector}: {line}");
            }
        }
    }
}

#[test]
fn every_method_that_was_stopped_ends_in_the_same_bits() {
    for (name, _) in Method::ALL {
        let folder = tempfile::tempdir().unwrap();
        let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
        let config = small(name);
        let expected = finish(&whole, &config);
        // While the largest trains alone in `ofa`, once it teaches, and after channels were sorted.
        for step in [1, 6, 9] {
            stop_after(&parts, &config, step);
        }
        let mut found = finish(&parts, &config);
        found.timing = expected.timing;
        assert_eq!(found, expected, "{name}");
        let read = |folder: &Path| std::fs::read(folder.join("model.safetensors")).unwrap();
        assert!(read(&whole) == read(&parts), "{name}: the model differs");
    }
}

#[test]
fn a_method_that_does_not_suit_is_refused_before_training() {
    let folder = tempfile::tempdir().unwrap();
    let run = RunFolder::create(&folder.path().join("run"), "").unwrap();
    let refusal = |config: &SearchConfig, space: &Space| {
        let stop = AtomicBool::new(false);
        let mut events = Events::default();
        let outcome = search(config, space, &data(config), &run, &mut events, &stop);
        outcome.unwrap_err().to_string()
    };
    let mut rigid = Space::builtin("tiny-32").unwrap();
    rigid.operations.truncate(1);
    let error = refusal(&small("ofa"), &rigid);
    assert!(
        error.contains("`ofa`") && error.contains("`spos`"),
        "{error}"
    );

    let mut config = small("spos");
    config.select.selector = Some(SelectorName::Board);
    let error = refusal(&config, &Space::builtin("tiny-32").unwrap());
    assert!(
        error.contains("board") && error.contains("evolution"),
        "{error}"
    );
    assert!(!folder.path().join("run/metrics.jsonl").exists());
}
