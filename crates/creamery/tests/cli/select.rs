//! Other winners from a supernet that is there already.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Place, TINY, TINY_SEARCH};

/// A selection of at most a dozen paths.
const SMALL: &str = "--set select.population=4 --set select.generations=3 --set select.images=8 \
    --set select.reinforce.samples=4 --set select.reinforce.updates=3";

const SELECTORS: [&str; 5] = ["board", "evolution", "nsga2", "random", "reinforce"];

/// A place with a small search in `s`.
fn searched() -> Place {
    let place = Place::with_digits();
    place.done(&format!("-q search {TINY} {TINY_SEARCH} --out s"));
    place
}

fn without_time(mut result: Value) -> Value {
    result.as_object_mut().unwrap().remove("timing").unwrap();
    result
}

/// Lines of a selection's evaluations so far.
fn lines(place: &Place, run: &str) -> usize {
    let path = place.path(run).join("evaluations.jsonl");
    let text = std::fs::read_to_string(path).unwrap_or_default();
    text.lines().count()
}

#[test]
fn every_selector_chooses_within_the_budget_what_other_commands_can_take() {
    let place = searched();
    let before = place.read("s/result.json");
    for name in SELECTORS {
        // The board of so short a search may have nothing below another budget than its own.
        let most = if name == "board" { "3M" } else { "2500k" };
        let line = format!("select s --selector {name} --max-macs {most} --seed 5 {SMALL}");
        let answer = place.answer(&line);
        let run = format!("s/select-{name}-1");
        assert_eq!(answer["run"], run.as_str());
        for (key, value) in [("kind", "select"), ("selector", name), ("method", "cream")] {
            assert_eq!(answer[key], value);
        }
        let most = if name == "board" {
            3_000_000
        } else {
            2_500_000
        };
        assert!(answer["macs"].as_u64().unwrap() <= most, "{name}");
        assert_eq!(answer["seed"], 5);
        assert_eq!(answer["front"].is_array(), name == "nsga2");
        let evaluations = answer["evaluations"].as_u64().unwrap();
        assert!((1..=12).contains(&evaluations));
        assert_eq!(lines(&place, &run) as u64, 1 + evaluations);

        let described = place.answer(&format!("describe {run}"));
        assert_eq!(described["macs"], answer["macs"]);
        let evaluated = place.answer(&format!("eval {run} --split validation"));
        assert_eq!(evaluated["top1"], answer["validation"]["top1"], "{name}");
    }
    let retrained = place.answer(
        "retrain s/select-evolution-1 --init inherit --epochs 1 --batch 8 --lr 0.001 --out r",
    );
    assert_eq!(retrained["dataset"], "mnist:digits");
    assert!(
        place.read("s/result.json") == before,
        "the search's own result stays"
    );
    // The next one has a folder of its own.
    let again = place.answer(&format!("select s --selector random {SMALL}"));
    assert_eq!(again["run"], "s/select-random-2");
}

#[test]
fn a_front_and_a_family_for_people() {
    let place = searched();
    let text = place.done(&format!(
        "-q select s --selector nsga2 --min-macs 1500k --max-macs 6M --buckets 2 {SMALL} --out f"
    ));
    let line = |start: &str| text.lines().find(|line| line.starts_with(start));
    let chosen = line("chosen by").unwrap_or_else(|| panic!("{text}"));
    assert!(chosen.ends_with("nsga2, 12 paths evaluated"), "{chosen}");
    assert!(
        text.contains("The family") && text.contains("The front"),
        "{text}"
    );
    assert_eq!(
        line("next").unwrap(),
        "next          creamery retrain f/result.json"
    );
    let front = place.json("f/result.json")["front"].clone();
    for path in front.as_array().unwrap() {
        let macs = path["macs"].as_u64().unwrap();
        assert!((1_500_000..=6_000_000).contains(&macs));
    }
    let bucket = place.json("f/result.json")["family"][0]["bucket"].clone();
    place.answer(&format!("describe f --bucket {bucket}"));
}

#[test]
fn a_search_can_end_with_any_selector() {
    let place = Place::with_digits();
    let answer = place.answer(&format!(
        "search {TINY} {TINY_SEARCH} {SMALL} --selector evolution --out s"
    ));
    assert_eq!(
        (&answer["kind"], &answer["selector"]),
        (&"search".into(), &"evolution".into())
    );
    assert_eq!(answer["evaluations"], 12);
    assert_eq!(answer, place.answer("search --resume --out s"));
    // What the run was configured with is what a selection does unless told otherwise.
    let chosen = place.answer("select s --out t");
    assert_eq!(chosen["architecture"], answer["architecture"]);
    assert!(place.read("t/model.safetensors") == place.read("s/model.safetensors"));
}

/// Long enough to be killed.
#[cfg(unix)]
const LONG: &str = "--selector evolution --set select.population=10 --set select.generations=8";

#[cfg(unix)]
#[test]
fn a_selection_that_was_killed() {
    let place = searched();
    place.done(&format!("-q select s {LONG} --out whole"));
    assert_eq!(lines(&place, "whole"), 81);
    for until in [1, 25, 60] {
        let line = match until {
            1 => format!("-q select s {LONG} --out killed"),
            _ => "-q select s --resume --out killed".to_owned(),
        };
        place.kill_when(&line, || lines(&place, "killed") >= until);
        assert!(!place.path("killed/result.json").exists());
    }
    place.done("-q select s --resume --out killed");
    let result = |run: &str| without_time(place.json(&format!("{run}/result.json")));
    assert_eq!(result("killed"), result("whole"));
    for file in ["evaluations.jsonl", "model.safetensors"] {
        let read = |run: &str| place.read(&format!("{run}/{file}"));
        assert!(read("killed") == read("whole"), "{file}");
    }
    let again = place.answer("select s --resume --out killed");
    assert_eq!(
        without_time(again)["architecture"],
        result("whole")["architecture"]
    );
    // Even a finished selection does not answer for another supernet.
    place.done(&format!(
        "-q search {TINY} {TINY_SEARCH} --epochs 1 --out other"
    ));
    let says = ["evaluations.jsonl", "step"];
    place.refused(2, "select other --resume --out killed", &says);
}

/// Stopped by SIGINT: the exit code tells, and the command that it prints goes on.
#[cfg(unix)]
#[test]
fn a_selection_that_was_stopped_says_how_to_go_on() {
    let place = searched();
    let mut child = place
        .command(&format!("select s {LONG}"))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while lines(&place, "s/select-evolution-1") < 5 {
        let ended = child.try_wait().unwrap();
        assert_eq!(ended, None, "it ended before it could be stopped");
        std::thread::sleep(Duration::from_millis(1));
    }
    let id = child.id().to_string();
    let killed = std::process::Command::new("kill")
        .args(["-INT", &id])
        .status();
    assert!(killed.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert!(text.starts_with("stopped after "), "{text}");
    let hint = text.lines().last().unwrap().trim();
    assert_eq!(
        hint,
        "creamery select s --resume --out s/select-evolution-1"
    );
    let resumed = place.shell(hint);
    let errors = String::from_utf8_lossy(&resumed.stderr).into_owned();
    assert!(resumed.status.success(), "{errors}");
    assert!(
        errors.contains("evaluated 80/80"),
        "a line for each tenth:\n{errors}"
    );
    assert_eq!(lines(&place, "s/select-evolution-1"), 81);
}

#[test]
fn what_cannot_be_selected() {
    let place = searched();
    let says = ["`evoluton`", "did you mean `evolution`?"];
    place.refused(2, "select s --selector evoluton", &says);
    place.refused(2, &format!("search {TINY} --selector evoluton"), &says);
    place.refused(
        2,
        "search --set select.selector=best",
        &["select.selector", "board, evolution"],
    );
    place.refused(
        2,
        "select s --set select.populaton=3",
        &["did you mean `population`?"],
    );
    place.refused(2, "select s --set train.lr=1", &["`train`"]);
    place.refused(
        2,
        "select s --set select.images=0",
        &["`select.images` is 0"],
    );
    place.refused(
        2,
        "select s --set select.crossover=60",
        &["60 + 0 children", "50"],
    );
    place.refused(2, "select s --set seed=3", &["`seed` is 3", "--seed"]);
    place.refused(
        2,
        "select s --set data.validation=0.3",
        &["`data.validation` is 0.3"],
    );
    place.refused(
        2,
        "select s --max-macs 1k",
        &["at most 1k MACs", "the nearest found is"],
    );
    place.refused(
        2,
        "select s --min-macs 9M --max-macs 11M",
        &["no path of the board", "evolution"],
    );
    place.refused(2, "select s --device tpu", &["`tpu`", "cpu"]);
    let left = std::fs::read_dir(place.path("s")).unwrap();
    let left = left.filter(|entry| entry.as_ref().unwrap().path().is_dir());
    assert_eq!(left.count(), 1, "the checkpoint alone");

    place.refused(2, "select nowhere", &["`nowhere` holds no run", "a search"]);
    place.write("empty/notes.txt", "");
    place.refused(2, "select empty", &["`empty` holds no run"]);
    place.done(&format!("-q retrain tiny.json {TINY} --epochs 1 --out r"));
    place.refused(2, "select r", &["`r` holds no search"]);
    place.refused(2, "select s --out r", &["`r` holds a run already"]);
    place.refused(
        2,
        "select s --resume --out r",
        &["another command", "creamery retrain --resume"],
    );

    let says = ["`select.selector` none", "creamery select s"];
    place.refused(2, "search --resume --out s --selector nsga2", &says);

    place.digits("others", 1);
    place.refused(2, "select s --data mnist:others", &["data"]);
    place.digits("moved", 0);
    place.done(&format!(
        "-q select s --data mnist:moved --selector random {SMALL} --out m"
    ));
    place.refused(
        2,
        "search --resume --out m",
        &["another command", "creamery select RUN --resume"],
    );
    let says = ["`select.population` 4, which cannot become 5"];
    place.refused(
        2,
        "select s --resume --out m --set select.population=5",
        &says,
    );
    let says = ["`budget.max_macs` 3000000, which cannot become 2000000"];
    place.refused(2, "select s --resume --out m --max-macs 2M", &says);
}

#[test]
fn evaluations_that_are_damaged() {
    let place = searched();
    place.done(&format!("-q select s --selector random {SMALL} --out t"));
    std::fs::remove_file(place.path("t/result.json")).unwrap();
    let text = String::from_utf8(place.read("t/evaluations.jsonl")).unwrap();
    place.write(
        "t/evaluations.jsonl",
        text.replacen("\"top1\"", "\"top\"", 1),
    );
    place.refused(
        1,
        "select s --resume --out t",
        &["evaluations.jsonl`, line 2", "delete"],
    );
    place.write(
        "t/evaluations.jsonl",
        text.replacen("\"images\":\"8\"", "\"images\":\"9\"", 1),
    );
    place.refused(
        2,
        "select s --resume --out t",
        &["images `9`", "`8`", "--out"],
    );
    place.write("t/evaluations.jsonl", &text);
    place.done("-q select s --resume --out t");

    let checkpoint = place.read("s/checkpoint/latest.safetensors");
    place.write(
        "s/checkpoint/latest.safetensors",
        &checkpoint[..checkpoint.len() / 2],
    );
    place.refused(1, "select s", &["latest.safetensors", "damaged"]);
    std::fs::remove_dir_all(place.path("s/checkpoint")).unwrap();
    place.refused(
        2,
        "select s",
        &["`s` has no checkpoint", "creamery search --resume"],
    );
}
