//! Latency tables: measured, bounded by, shown, kept with a run, and refused.

use creamery_space::{BlockTime, Budget, LatencyTable, Sampler, Space};
use serde_json::Value;

use crate::support::{Place, TINY, TINY_SEARCH};

const SMALL: &str = "--set select.population=4 --set select.generations=3 --set select.images=8";

/// A phone's times of `tiny-32` on `mnist:digits`, which have little to do with MACs.
fn table(shift: u64) -> LatencyTable {
    let space = Space::builtin("tiny-32").unwrap();
    let blocks = space.blocks(28, 1, 10).unwrap();
    let time = |(i, block): (u64, &creamery_space::Layer)| BlockTime {
        name: block.block_name(),
        median_ns: 20_000 + 9_000 * ((i + shift) * 7 % 23),
        low_ns: None,
        high_ns: None,
        runs: None,
    };
    LatencyTable {
        origin: "phone.json".into(),
        space: space.name.clone(),
        space_fingerprint: space.fingerprint(),
        resolution: 28,
        channels: 1,
        classes: 10,
        device: "a phone".into(),
        runtime: "tflite".into(),
        batch: 1,
        threads: 4,
        overhead_ns: 40_000,
        blocks: (0..).zip(&blocks).map(time).collect(),
    }
}

/// The latency that a third of the networks of at most 3M MACs is below, as microseconds for a flag.
fn third(table: &LatencyTable) -> (u64, String) {
    let space = Space::builtin("tiny-32").unwrap();
    let space = space.with_latency(table.clone()).unwrap();
    let sampler = Sampler::new(&space, 28, 1, 10, &Budget::up_to_macs(3_000_000)).unwrap();
    let time = |i| {
        let path = sampler.draw(&mut creamery_rng::stream(2, "third", i));
        space.cost(&path, 1, 10).unwrap().latency_ns
    };
    let mut times: Vec<u64> = (0..300).map(time).collect();
    times.sort_unstable();
    let microseconds = times[100] / 1000;
    (microseconds * 1000, format!("{microseconds}us"))
}

/// A place with digits and a phone's table.
fn place() -> Place {
    let place = Place::with_digits();
    place.write("phone.json", table(0).to_json());
    place
}

fn rows(place: &Place, file: &str) -> Vec<Value> {
    let text = String::from_utf8(place.read(file)).unwrap();
    let lines = text.lines().skip(1);
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_search_is_bounded_by_latency_and_tells_it() {
    let place = place();
    let (most, flag) = third(&table(0));
    let line = format!(
        "search {TINY} {TINY_SEARCH} {SMALL} --selector evolution --max-latency {flag} --latency-table phone.json --out s"
    );
    let text = place.done(&format!("-q {line}"));
    assert!(text.contains("\nlatency "), "{text}");
    assert!(
        text.contains("1 image, 4 threads of a phone, tflite"),
        "{text}"
    );
    let result = place.json("s/result.json");
    let latency = result["latency_ns"].as_u64().unwrap();
    assert!(latency <= most && result["macs"].as_u64().unwrap() <= 3_000_000);
    let evaluated = rows(&place, "s/evaluations.jsonl");
    assert!(evaluated.len() > 4);
    for row in evaluated.iter().chain(result["board"].as_array().unwrap()) {
        let cost = if row["cost"].is_null() {
            row
        } else {
            &row["cost"]
        };
        assert!(cost["latency_ns"].as_u64().unwrap() <= most, "{row}");
    }
    let config = String::from_utf8(place.read("s/run.toml")).unwrap();
    assert!(config.contains(&format!(
        "max_latency = \"{}\"",
        creamery_space::format_latency(most)
    )));

    // Layer by layer, to the same sum.
    let described = place.answer("describe s --latency-table phone.json");
    assert_eq!(described["latency_ns"], latency);
    let layers = described["layers"].as_array().unwrap();
    let sum: u64 = layers
        .iter()
        .map(|layer| layer["latency_ns"].as_u64().unwrap())
        .sum();
    assert_eq!(sum + 40_000, latency);
    assert_eq!(described["latency_table"]["device"], "a phone");
    let text = place.done("describe s --latency-table phone.json");
    assert!(text.contains("of latency"), "{text}");
    assert!(place.answer("describe s").get("latency_ns").is_none());
}

#[test]
fn a_run_keeps_its_table_and_goes_on_with_no_other() {
    let place = place();
    let (_, flag) = third(&table(0));
    place.done(&format!(
        "-q search {TINY} {TINY_SEARCH} --max-latency {flag} --latency-table phone.json --out s"
    ));
    let kept = LatencyTable::read(&place.path("s/latency.json")).unwrap();
    assert_eq!(kept.fingerprint(), table(0).fingerprint());
    let architecture = place.json("s/result.json")["architecture"].clone();

    place.write("other.json", table(1).to_json());
    for finished in [true, false] {
        let line = "search --resume --out s --latency-table other.json";
        let (own, other) = (table(0).fingerprint(), table(1).fingerprint());
        place.refused(2, line, &["latency table", &own, &other, "other.json"]);
        if finished {
            std::fs::remove_file(place.path("s/result.json")).unwrap();
        }
    }
    // The file itself is needed no more, and may lie elsewhere.
    std::fs::rename(place.path("phone.json"), place.path("moved.json")).unwrap();
    let resumed = place.answer("search --resume --out s");
    assert_eq!(resumed["architecture"], architecture);
    std::fs::remove_file(place.path("s/result.json")).unwrap();
    place.answer("search --resume --out s --latency-table moved.json");
    let line = format!("search --resume --out s --max-latency 9{flag}");
    place.refused(2, &line, &["`budget.max_latency`", "cannot become"]);
    // What others do with the run needs it no more either.
    place.answer(&format!(
        "select s --selector random --set select.candidates=3 {SMALL}"
    ));
}

#[test]
fn another_device_chooses_from_the_same_supernet() {
    let place = place();
    place.done(&format!("-q search {TINY} {TINY_SEARCH} --out s"));
    let (most, flag) = third(&table(0));
    let needs = ["latency bound needs --latency-table"];
    place.refused(2, &format!("select s --max-latency {flag}"), &needs);
    for selector in ["evolution", "nsga2"] {
        let line = format!(
            "select s --selector {selector} --max-latency {flag} --latency-table phone.json {SMALL} --out {selector}"
        );
        let answer = place.answer(&line);
        assert!(answer["latency_ns"].as_u64().unwrap() <= most);
        // The board's paths have the same table's costs, though the search had none.
        for row in answer["board"].as_array().unwrap() {
            assert!(row["cost"]["latency_ns"].as_u64().unwrap() > 0);
        }
    }
    // A selection that goes on needs its folder and the run, and keeps to its table.
    std::fs::remove_file(place.path("phone.json")).unwrap();
    let chosen = place.json("evolution/result.json")["architecture"].clone();
    std::fs::remove_file(place.path("evolution/result.json")).unwrap();
    let resumed = place.answer("select s --resume --out evolution");
    assert_eq!(resumed["architecture"], chosen);
    place.write("other.json", table(1).to_json());
    let line = "select s --resume --out evolution --latency-table other.json";
    place.refused(2, line, &["latency table", "other.json"]);
    // The board is searched by the new times.
    let board = place.json("nsga2/result.json")["board"].clone();
    let times = board.as_array().unwrap().iter();
    let fastest = times.map(|row| row["cost"]["latency_ns"].as_u64().unwrap());
    let fastest = fastest.min().unwrap();
    place.write("phone.json", table(0).to_json());
    let answer = place.answer(&format!(
        "select s --selector board --max-latency {fastest}ns --latency-table phone.json"
    ));
    assert_eq!(answer["latency_ns"], fastest);
}

#[test]
fn tables_and_bounds_that_cannot_be() {
    let place = place();
    for (flag, says) in [
        ("--max-latency 3", "with its unit"),
        ("--max-latency fast", "no latency"),
        ("--min-latency 0.5ns", "whole number"),
    ] {
        let output = place.run(&format!("search {flag}"));
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(says), "{text}");
    }
    let refused = |flags: &str, says: &[&str]| {
        let line = format!("search {TINY} {TINY_SEARCH} {flags} --out s");
        place.refused(2, &line, says);
        assert!(!place.path("s").exists(), "{flags}");
    };
    refused("--set budget.max_latency=3", &["budget.max_latency", "3ms"]);
    refused(
        "--max-latency 3ms",
        &[
            "a latency bound needs --latency-table FILE",
            "creamery profile",
        ],
    );
    let table_flag = "--max-latency 3ms --latency-table";
    refused(&format!("{table_flag} none.json"), &["none.json"]);
    refused(
        "--max-latency 1us --latency-table phone.json",
        &["at most 1us of latency", "the nearest found is"],
    );
    refused(
        "--min-latency 4ms --max-latency 3ms --latency-table phone.json",
        &["at least 4ms and at most 3ms of latency"],
    );
    let text = table(0).to_json();
    for (name, from, to, says) in [
        (
            "version.json",
            "\"creamery_latency\": 1",
            "\"creamery_latency\": 2",
            "`creamery_latency` is 2",
        ),
        (
            "block.json",
            "stages.1.0.3",
            "stages.1.0.7",
            "`stages.1.0.3` is missing",
        ),
        (
            "classes.json",
            "\"classes\": 10",
            "\"classes\": 11",
            "--resolution 28 --channels 1 --classes 10",
        ),
    ] {
        assert!(text.contains(from));
        place.write(name, text.replacen(from, to, 1));
        refused(&format!("{table_flag} {name}"), &[name, says]);
    }
    let large = Space::builtin("cream-224").unwrap();
    let line = "describe cream-14 --latency-table phone.json";
    place.refused(
        2,
        line,
        &[
            "phone.json",
            "`tiny-32`",
            "`cream-224`",
            &large.fingerprint(),
        ],
    );
    let line = "describe tiny.json --latency-table phone.json";
    place.refused(2, line, &["3 channels and 1000 classes", "--classes 1000"]);
    place.answer(&format!("{line} --channels 1 --classes 10"));
}

#[test]
fn a_profile_is_a_table_that_can_be_used_and_checked() {
    let place = place();
    let of = "--resolution 28 --channels 1 --classes 10";
    let answer = place.answer(&format!("profile {of} --runs 1 --out mine.json"));
    let table = LatencyTable::read(&place.path("mine.json")).unwrap();
    assert_eq!(answer["fingerprint"], table.fingerprint());
    assert_eq!((table.threads, table.runtime.as_str()), (1, "creamery"));
    assert_eq!(answer["blocks"], table.blocks.len());
    let described =
        place.answer("describe tiny.json --channels 1 --classes 10 --latency-table mine.json");
    assert_eq!(described["latency_ns"], answer["smallest_ns"]);

    let checked = place.answer("profile --check mine.json --networks 5 --runs 1");
    let networks = checked["networks"].as_array().unwrap();
    assert_eq!(networks.len(), 5);
    let error = |row: &Value| {
        let [predicted, measured] =
            ["predicted_ns", "measured_ns"].map(|key| row[key].as_f64().unwrap());
        (predicted - measured).abs() / measured
    };
    let mean = networks.iter().map(error).sum::<f64>() / 5.0;
    assert!((checked["mean_error"].as_f64().unwrap() - mean).abs() < 1e-9);
    assert!(checked["agreement"]["tau_b"]["value"].is_number());

    let says = [
        "`mine.json` was measured with 1 thread, not 2",
        "--threads 1",
    ];
    place.refused(2, "profile --check mine.json --threads 2", &says);
    let says = ["phone.json", "runtime `tflite`"];
    place.refused(2, "profile --check phone.json", &says);
    place.refused(
        2,
        "profile --out none/mine.json",
        &["--out none/mine.json", "no folder"],
    );
    place.refused(2, "profile --out digits", &["is a folder"]);
    place.refused(
        2,
        "profile --resolution 30 --out x.json",
        &["resolution 30"],
    );
    for line in [
        "profile",
        "profile --out x.json --runtime tflite",
        "profile --out x.json --runs 0",
        "profile --out x.json --check mine.json",
        "profile --check mine.json --classes 3",
    ] {
        assert_eq!(place.run(line).status.code(), Some(2), "{line}");
    }
    assert!(!place.path("x.json").exists());
}

#[test]
fn a_profile_that_is_stopped_leaves_no_file() {
    let place = Place::new();
    let start = std::time::Instant::now();
    let a_while = || start.elapsed() > std::time::Duration::from_millis(400);
    place.kill_when("profile --seconds 600 --out mine.json", a_while);
    let left: Vec<_> = std::fs::read_dir(place.path("")).unwrap().collect();
    assert_eq!(left.len(), 1, "tiny.json alone: {left:?}");
}
