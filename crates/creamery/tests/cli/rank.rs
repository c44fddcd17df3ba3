//! `creamery rank`: rankings that are made, killed, shared, refused.

use serde_json::Value;

use crate::support::{Place, TINY, TINY_SEARCH};

const RANK: &str =
    "--subnets 5 --epochs 5 --set ema=0 --set train.batch=8 --set train.checkpoint_seconds=0";

fn with_searches(methods: &[&str]) -> Place {
    let place = Place::with_digits();
    for method in methods {
        place.done(&format!("-q search {TINY} {TINY_SEARCH} --set select.images=8 --set select.population=2 --set select.generations=1 --set select.parents=1 --method {method} --out {method}"));
    }
    place
}

fn trained(place: &Place, folder: &str) -> usize {
    let Ok(paths) = std::fs::read_dir(place.path(folder)) else {
        return 0;
    };
    paths
        .filter(|path| path.as_ref().unwrap().path().join("result.json").exists())
        .count()
}

/// A ranking without where it lies.
fn without_place(mut ranking: Value) -> Value {
    ranking.as_object_mut().unwrap().remove("run");
    ranking
}

#[test]
fn a_ranking_compares_what_the_supernet_says_with_what_came_of_it() {
    let place = with_searches(&["spos", "bignas"]);
    let ranking = place.answer(&format!("rank spos {RANK} --out r"));
    assert_eq!(ranking["method"], "spos");
    let paths = ranking["paths"].as_array().unwrap();
    assert_eq!(paths.len(), 5);
    for path in paths {
        assert!(path["macs"].as_u64().unwrap() <= 3_000_000);
        let text = serde_json::to_string(&path["choices"]).unwrap();
        assert!(
            paths
                .iter()
                .filter(|p| p["architecture"] == path["architecture"])
                .count()
                == 1,
            "{text}"
        );
        assert!(path["supernet"]["images"].as_u64().unwrap() > 0);
        assert!((0.0..=100.0).contains(&path["alone"].as_f64().unwrap()));
    }
    let tau = &ranking["agreement"]["tau_b"];
    let number = |key: &str| tau[key].as_f64().unwrap();
    assert!(number("low") <= number("value") && number("value") <= number("high"));
    let svg = String::from_utf8(place.read("r/rank.svg")).unwrap();
    assert!(svg.contains("tau-b") && svg.contains("tiny-32@28"));
    assert_eq!(without_place(ranking.clone()), place.json("r/rank.json"));

    // The paths are the same for another supernet, and are not trained again.
    let first = std::fs::read_dir(place.path("r/alone")).unwrap().next();
    let first = format!(
        "r/alone/{}",
        first.unwrap().unwrap().file_name().to_str().unwrap()
    );
    assert!(first.starts_with("r/alone/tiny-32@28_"), "{first}");
    let trained_once = place.read(&format!("{first}/result.json"));
    let other = place.answer(&format!("rank bignas {RANK} --out other --alone r/alone"));
    assert!(!place.path("other/alone").exists());
    assert_eq!(place.read(&format!("{first}/result.json")), trained_once);
    for (a, b) in paths.iter().zip(other["paths"].as_array().unwrap()) {
        assert_eq!(
            (&a["architecture"], &a["alone"]),
            (&b["architecture"], &b["alone"])
        );
    }
    // Not in another way, and not on other images, whatever the checkpoints say.
    let elsewise = format!("rank bignas {RANK} --set train.lr=0.01 --out third --alone r/alone");
    place.refused(2, &elsewise, &["train.lr", "--alone"]);
    place.digits("others", 3);
    let tiny = TINY.replace("mnist:digits", "mnist:others");
    place.done(&format!("-q search {tiny} {TINY_SEARCH} --out others-run"));
    let others = format!("rank others-run {RANK} --out third --alone r/alone");
    place.refused(2, &others, &["mnist:others"]);
    std::fs::remove_dir_all(place.path(&format!("{first}/checkpoint"))).unwrap();
    place.refused(2, &others, &["mnist:others"]);
    assert!(!place.path("third").exists());
}

#[cfg(unix)]
#[test]
fn a_ranking_that_was_killed_ends_as_one_that_was_not() {
    let place = with_searches(&["cream"]);
    let whole = place.answer(&format!("rank cream {RANK} --out whole"));
    let line = format!("-q rank cream {RANK} --out killed");
    place.kill_when(&line, || trained(&place, "killed/alone") >= 2);
    assert!(place.json("killed/rank.json")["agreement"].is_null());
    // Runs may be moved: the trainings go with the ranking, and the supernet can be named anew.
    std::fs::rename(place.path("cream"), place.path("moved")).unwrap();
    std::fs::rename(place.path("killed"), place.path("elsewhere")).unwrap();
    let resumed = place.answer("rank moved --resume --out elsewhere");
    assert_eq!(without_place(resumed), without_place(whole));
}

#[test]
fn rankings_that_cannot_be_are_refused_before_anything_is_written() {
    let place = with_searches(&["spos"]);
    let refused = |line: &str, says: &[&str]| {
        place.refused(2, line, says);
        assert!(!place.path("spos/rank-1").exists(), "{line}");
    };
    refused("rank spos --subnets 4", &["5 or more"]);
    refused("rank spos --set train.leraning_rate=1", &["leraning_rate"]);
    refused(
        "rank spos --set data.source=fashion-mini",
        &["mnist:digits", "data.source"],
    );
    refused("rank spos --set init=inherit", &["`init`", "scratch"]);
    refused("rank spos --set train.batch=4096", &["4096"]);
    refused("rank spos --set device=abacus", &["abacus"]);
    refused("rank digits", &["`digits`", "no run"]);
    refused("rank --resume --out spos", &["creamery search --resume"]);
    refused("rank --resume --out nowhere", &["`nowhere`", "--resume"]);
}
