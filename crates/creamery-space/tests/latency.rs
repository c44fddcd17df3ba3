//! Latency tables: what is read, what is refused, and what a space does with them.

use creamery_space::{
    Architecture, BlockTime, LatencyTable, LatencyTableError, SKIP, Sampler, Space, SpaceError,
};
use proptest::prelude::*;
use rand::RngExt;
use serde_json::{Value, json};

/// Times that have nothing to do with MACs.
fn table(space: &Space) -> LatencyTable {
    let blocks = space.blocks(28, 1, 10).unwrap();
    LatencyTable {
        origin: "phone.json".into(),
        space: space.name.clone(),
        space_fingerprint: space.fingerprint(),
        resolution: 28,
        channels: 1,
        classes: 10,
        device: "a phone".into(),
        runtime: "its own".into(),
        batch: 1,
        threads: 1,
        overhead_ns: 777,
        blocks: (0..)
            .zip(&blocks)
            .map(|(i, block)| BlockTime {
                name: block.block_name(),
                median_ns: creamery_rng::stream(3, "times", i).random_range(1_000..90_000),
                low_ns: None,
                high_ns: None,
                runs: None,
            })
            .collect(),
    }
}

fn tiny() -> Space {
    Space::builtin("tiny-32").unwrap()
}

/// A table of `tiny-32` as JSON.
fn written() -> Value {
    serde_json::from_str(&table(&tiny()).to_json()).unwrap()
}

fn read(value: &Value) -> Result<LatencyTable, LatencyTableError> {
    LatencyTable::from_json(&value.to_string(), "phone.json")
}

/// Reads a table and gives it to the space.
fn attach(value: &Value) -> Result<Space, LatencyTableError> {
    tiny().with_latency(read(value)?)
}

#[test]
fn a_network_takes_the_sum_of_its_blocks_and_the_overhead() {
    let table = table(&tiny());
    let time = |name: &str| {
        let found = table.blocks.iter().find(|block| block.name == name);
        found.unwrap().median_ns
    };
    let space = tiny().with_latency(table.clone()).unwrap();
    let path = Architecture::new("tiny-32", 28, vec![vec![3], vec![0, SKIP, 5], vec![1, 2]]);
    let chosen = [
        "stages.0.0.3",
        "stages.1.0.0",
        "stages.1.2.5",
        "stages.2.0.1",
        "stages.2.1.2",
    ];
    let fixed = ["stem", "first", "last", "head", "classifier"];
    let sum: u64 = chosen.iter().chain(&fixed).map(|&name| time(name)).sum();
    let cost = space.cost(&path, 1, 10).unwrap();
    assert_eq!(cost.latency_ns, sum + 777);
    let layers = space.layers(&path, 1, 10).unwrap();
    let of_layers: u64 = layers.iter().map(|layer| layer.cost.latency_ns).sum();
    assert_eq!(of_layers, sum);

    // All else is as without the table.
    let plain = tiny().cost(&path, 1, 10).unwrap();
    assert_eq!(plain.latency_ns, 0);
    assert_eq!((cost.macs, cost.params), (plain.macs, plain.params));
    assert_eq!(space.to_toml(), tiny().to_toml());
    assert_eq!(space.fingerprint(), tiny().fingerprint());
    assert_eq!(space.latency_table(), Some(&table));
}

#[test]
fn costs_are_written_with_latency_only_where_there_is_one() {
    let path = tiny().smallest(28).unwrap();
    let plain = serde_json::to_value(tiny().cost(&path, 1, 10).unwrap()).unwrap();
    assert!(plain.get("latency_ns").is_none());
    let space = tiny().with_latency(table(&tiny())).unwrap();
    let cost = space.cost(&path, 1, 10).unwrap();
    let text = serde_json::to_string(&cost).unwrap();
    let back: creamery_space::Cost = serde_json::from_str(&text).unwrap();
    assert_eq!(back, cost);
    let old: creamery_space::Cost = serde_json::from_value(plain).unwrap();
    assert_eq!(old.latency_ns, 0);
}

#[test]
fn every_block_of_a_space_has_a_name_of_its_own() {
    for name in Space::builtin_names() {
        let space = Space::builtin(name).unwrap();
        let resolution = space.resolution_for(None);
        let blocks = space.blocks(resolution, 3, 10).unwrap();
        let names: std::collections::BTreeSet<_> = blocks.iter().map(|b| b.block_name()).collect();
        assert_eq!(names.len(), blocks.len());
        // Whatever a network is made of is among them, as it stands there.
        let sampler = Sampler::new(&space, resolution, 3, 10, &Default::default()).unwrap();
        for i in 0..20 {
            let path = sampler.draw(&mut creamery_rng::stream(1, "paths", i));
            for layer in space.layers(&path, 3, 10).unwrap() {
                assert!(blocks.contains(&layer), "{}", layer.block_name());
            }
        }
    }
}

#[test]
fn a_table_reads_back_and_is_known_by_what_it_says() {
    let mut table = table(&tiny());
    table.blocks[3].low_ns = Some(1);
    table.blocks[3].high_ns = Some(1_000_000);
    table.blocks[3].runs = Some(60);
    table.overhead_ns = -500;
    let text = table.to_json();
    let back = LatencyTable::from_json(&text, "phone.json").unwrap();
    assert_eq!(back, table);

    // Neither its place nor its layout counts; a time does.
    let compact: Value = serde_json::from_str(&text).unwrap();
    let moved = LatencyTable::from_json(&compact.to_string(), "elsewhere.json").unwrap();
    assert_eq!(moved.fingerprint(), table.fingerprint());
    let mut other = table.clone();
    other.blocks[9].median_ns += 1;
    assert_ne!(other.fingerprint(), table.fingerprint());
}

#[test]
fn fractions_of_nanoseconds_are_rounded() {
    let mut value = written();
    value["blocks"][4]["median_ns"] = json!(1234.5678);
    value["overhead_ns"] = json!(-12.5);
    let table = read(&value).unwrap();
    assert_eq!(table.blocks[4].median_ns, 1235);
    assert_eq!(table.overhead_ns, -13);
}

#[test]
fn what_is_wrong_is_named_with_file_block_and_mend() {
    let block = |key: &str, value: Value| {
        let mut table = written();
        table["blocks"][7][key] = value;
        table
    };
    let name = written()["blocks"][7]["name"].as_str().unwrap().to_owned();
    let named = format!("block `{name}`");
    let head = |key: &str, value: Value| {
        let mut table = written();
        table[key] = value;
        table
    };
    let without = |key: &str| {
        let mut table = written();
        table.as_object_mut().unwrap().remove(key);
        table
    };
    let mut missing = written();
    missing["blocks"].as_array_mut().unwrap().remove(7);
    let mut twice = written();
    let seventh = twice["blocks"][7].clone();
    twice["blocks"].as_array_mut().unwrap().push(seventh);
    let mut more = written();
    more["blocks"]
        .as_array_mut()
        .unwrap()
        .push(json!({"name": "stages.0.0.9", "median_ns": 5}));
    let mut around = block("low_ns", json!(1e9));
    around["blocks"][7]["high_ns"] = json!(2e9);

    let cases: Vec<(Value, Vec<&str>)> = vec![
        (block("median_ns", json!(-5)), vec![&named, "-5", "measure"]),
        (block("median_ns", json!(0)), vec![&named, "1 ns"]),
        (
            block("median_ns", json!(1e18)),
            vec![&named, "1000000000000000000", "an hour"],
        ),
        (block("median_ns", Value::Null), vec![&named, "nanoseconds"]),
        (
            block("high_ns", json!(1)),
            vec![&named, "`high_ns` 1", "around"],
        ),
        (around, vec![&named, "`low_ns`", "around"]),
        (block("runs", json!(0)), vec![&named, "`runs` 0"]),
        (block("median_ns", json!("fast")), vec!["line 1", "fast"]),
        (block("mean_ns", json!(1)), vec!["`mean_ns`", "latency.md"]),
        (missing, vec![&named, "is missing"]),
        (twice, vec![&named, "is there twice"]),
        (
            more,
            vec![
                "`stages.0.0.9`",
                "none of the space `tiny-32`",
                "did you mean",
            ],
        ),
        (
            head("creamery_latency", json!(2)),
            vec!["is 2, but must be 1"],
        ),
        (
            without("creamery_latency"),
            vec!["`creamery_latency` is missing", "creamery profile"],
        ),
        (
            head("space_fingerprint", json!("0123456789abcdef")),
            vec!["0123456789abcdef", "creamery profile --space tiny-32"],
        ),
        (head("batch", json!(0)), vec!["`batch` is 0", "1 to"]),
        (head("threads", json!(-1)), vec!["line 1", "-1"]),
        (head("classes", json!(1e300)), vec!["line 1"]),
        (head("device", json!("a\nb")), vec!["`device`", "one line"]),
        (head("device", json!("")), vec!["`device`"]),
        (
            head("overhead_ns", json!(1e300)),
            vec!["`overhead_ns`", "hour"],
        ),
        (
            head("overhead_ns", json!(-1e9)),
            vec!["`overhead_ns` is -1000000000", "must leave"],
        ),
        (without("overhead_ns"), vec!["`overhead_ns`"]),
        (without("blocks"), vec!["`blocks`"]),
        (json!([]), vec!["line 1"]),
    ];
    for (value, says) in cases {
        let message = attach(&value).unwrap_err().to_string();
        assert!(message.starts_with("phone.json"), "{message}");
        assert!(message.len() < 400 && !message.contains('\n'), "{message}");
        for part in says {
            assert!(message.contains(part), "lacks `{part}`: {message}");
        }
    }
    // What Python writes for what is no number.
    let text = written()
        .to_string()
        .replacen("\"median_ns\":", "\"median_ns\":NaN,\"x\":", 1);
    let message = LatencyTable::from_json(&text, "t.json").unwrap_err();
    assert!(
        message.to_string().starts_with("t.json, line 1"),
        "{message}"
    );
}

#[test]
fn a_table_is_for_its_images_and_classes_alone() {
    let space = tiny().with_latency(table(&tiny())).unwrap();
    let small = Architecture::new("tiny-32", 28, vec![vec![0]; 3]);
    let large = Architecture::new("tiny-32", 32, vec![vec![0]; 3]);
    for (architecture, channels, classes) in [(&large, 1, 10), (&small, 3, 10), (&small, 1, 11)] {
        let error = space.cost(architecture, channels, classes).unwrap_err();
        assert!(matches!(error, SpaceError::Latency(_)), "{error}");
        let flags = format!(
            "--space tiny-32 --resolution {} --channels {channels} --classes {classes}",
            architecture.resolution
        );
        let message = error.to_string();
        assert!(message.contains(&flags), "{message}");
        let resolution = architecture.resolution;
        let sampler = Sampler::new(&space, resolution, channels, classes, &Default::default());
        assert_eq!(sampler.unwrap_err().to_string(), message);
    }
}

#[test]
fn a_space_that_was_changed_after_it_got_a_table_is_an_error() {
    let mut space = tiny().with_latency(table(&tiny())).unwrap();
    space.stages[2].blocks += 1;
    let largest = space.largest(28).unwrap();
    let error = space.cost(&largest, 1, 10).unwrap_err().to_string();
    assert!(error.contains("is missing"), "{error}");
    let sampler = Sampler::new(&space, 28, 1, 10, &Default::default());
    assert!(sampler.is_err());
}

#[test]
fn files_that_cannot_be_tables() {
    let folder = tempfile::tempdir().unwrap();
    let none = LatencyTable::read(&folder.path().join("none.json")).unwrap_err();
    assert!(none.to_string().contains("none.json"), "{none}");
    let large = folder.path().join("large.json");
    std::fs::write(&large, vec![b' '; (16 << 20) + 1]).unwrap();
    let large = LatencyTable::read(&large).unwrap_err();
    assert!(large.to_string().contains("more than"), "{large}");
    let path = folder.path().join("t.json");
    std::fs::write(&path, table(&tiny()).to_json()).unwrap();
    let read = LatencyTable::read(&path).unwrap();
    assert_eq!(read.fingerprint(), table(&tiny()).fingerprint());
    assert_eq!(read.origin, path.display().to_string());
}

/// Values that stand somewhere in a hostile table.
fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,30}".prop_map(Value::from),
        Just(json!([])),
        Just(json!({"name": "stem"})),
    ]
}

proptest! {
    #[test]
    fn hostile_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(LatencyTable::from_json(&String::from_utf8_lossy(&bytes), "x").is_err());
    }

    /// A table with bytes changed is refused, or is one whose every cost can be had.
    #[test]
    fn mutated_text_never_panics(changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = table(&tiny()).to_json().into_bytes();
        for (at, byte) in changes {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let text = String::from_utf8_lossy(&bytes);
        let read = LatencyTable::from_json(&text, "x").and_then(|table| tiny().with_latency(table));
        if let Ok(space) = read {
            let (channels, classes) = {
                let table = space.latency_table().unwrap();
                (table.channels, table.classes)
            };
            let resolution = space.latency_table().unwrap().resolution;
            if let Ok(largest) = space.largest(resolution) {
                prop_assert!(space.cost(&largest, channels, classes).unwrap().latency_ns > 0);
            }
        }
    }

    /// The same with values changed, which leaves it JSON.
    #[test]
    fn mutated_values_never_panic(
        in_block in any::<prop::sample::Index>(), key in 0usize..16, value in any_value(), other in any_value(),
    ) {
        let mut hostile = written();
        let blocks = hostile["blocks"].as_array().unwrap().len();
        let block = in_block.index(blocks);
        let keys = ["name", "median_ns", "low_ns", "high_ns", "runs"];
        let heads = ["space", "space_fingerprint", "resolution", "channels", "classes", "device", "runtime",
            "batch", "threads", "overhead_ns", "blocks"];
        match key {
            0..5 => hostile["blocks"][block][keys[key]] = value,
            _ => hostile[heads[key - 5]] = value,
        }
        if let Ok(space) = attach(&hostile) {
            let smallest = space.smallest(28).unwrap();
            match space.cost(&smallest, 1, 10) {
                Ok(cost) => prop_assert!(cost.latency_ns > 0),
                Err(error) => prop_assert!(matches!(error, SpaceError::Latency(_))),
            }
        }
        hostile["blocks"] = json!([other]);
        prop_assert!(attach(&hostile).is_err());
    }
}
