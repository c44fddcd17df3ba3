//! Runs that are killed, stopped and gone on with end as if nothing had happened.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::support::{Place, TINY, TINY_SEARCH};

/// Lines of a run's metrics so far.
fn lines(place: &Place, run: &str) -> usize {
    let text = std::fs::read_to_string(place.path(run).join("metrics.jsonl")).unwrap_or_default();
    text.lines().count()
}

/// The events of each step, in order, without what a resumption repeats or the clock decides.
fn steps(place: &Place, run: &str) -> Vec<Value> {
    String::from_utf8(place.read(&format!("{run}/metrics.jsonl")))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|event| ["step", "meta", "board"].contains(&event["event"].as_str().unwrap()))
        .collect()
}

fn without_time(mut result: Value) -> Value {
    result.as_object_mut().unwrap().remove("timing").unwrap();
    result
}

/// Kills a run three times, resumes it each time, and compares it with one that was left alone.
#[cfg(unix)]
fn killed_three_times(command: &str, resume: &str) {
    let place = Place::with_digits();
    let command = format!("-q {command} --set train.checkpoint_seconds=0");
    place.done(&format!("{command} --out whole"));
    let all = lines(&place, "whole");
    for (kill, part) in [(0, 0.2), (1, 0.5), (2, 0.8)] {
        let line = match kill {
            0 => format!("{command} --out killed"),
            _ => format!("-q {resume} --resume --out killed"),
        };
        let until = (all as f64 * part) as usize;
        place.kill_when(&line, || lines(&place, "killed") >= until);
        assert!(!place.path("killed/result.json").exists());
    }
    let answer = place.answer(&format!("{resume} --resume --out killed"));

    let whole = place.json("whole/result.json");
    let killed = place.json("killed/result.json");
    assert_eq!(answer["architecture"], whole["architecture"]);
    assert_eq!(without_time(killed), without_time(whole));
    assert_eq!(steps(&place, "killed"), steps(&place, "whole"));
    assert!(place.read("killed/model.safetensors") == place.read("whole/model.safetensors"));
    if place.path("whole/board.json").exists() {
        assert!(place.read("killed/board.json") == place.read("whole/board.json"));
    }
}

#[cfg(unix)]
#[test]
fn a_retraining_that_was_killed() {
    killed_three_times(&format!("retrain tiny.json {TINY} --epochs 3"), "retrain");
}

#[cfg(unix)]
#[test]
fn a_search_that_was_killed() {
    killed_three_times(
        &format!("search {TINY} {TINY_SEARCH} --buckets 2"),
        "search",
    );
}

/// Stopped by SIGINT: all is saved, the exit code tells, and the command that it prints goes on.
#[cfg(unix)]
#[test]
fn a_run_that_was_stopped_says_how_to_go_on() {
    let place = Place::with_digits();
    place.done(&format!("-q retrain tiny.json {TINY} --out whole"));
    let mut child = place
        .command(
            "retrain tiny.json --data mnist:digits --batch 8 --set data.validation=0.2 --epochs 2",
        )
        .args(["--out", "my runs/it's stopped"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while lines(&place, "my runs/it's stopped") < 3 {
        assert_eq!(
            child.try_wait().unwrap(),
            None,
            "it ended before it could be stopped"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    let id = child.id().to_string();
    assert!(
        std::process::Command::new("kill")
            .args(["-INT", &id])
            .status()
            .unwrap()
            .success()
    );
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(130), "{text}");
    let hint = text.lines().last().unwrap().trim();
    assert_eq!(
        hint,
        r"creamery retrain --resume --out 'my runs/it'\''s stopped'"
    );

    let resumed = place.shell(hint);
    let errors = String::from_utf8_lossy(&resumed.stderr).into_owned();
    assert!(resumed.status.success(), "{errors}");
    assert!(errors.contains("going on at step"), "{errors}");
    let model = place.read("my runs/it's stopped/model.safetensors");
    assert!(model == place.read("whole/model.safetensors"));
}

#[test]
fn a_finished_run_prints_its_result_again() {
    let place = Place::with_digits();
    let first = place.answer(&format!("retrain tiny.json {TINY} --out r"));
    let again = place.answer("retrain --resume --out r");
    assert_eq!(first, again);
    let output = place.run("retrain --resume --out r");
    assert!(String::from_utf8_lossy(&output.stderr).contains("finished"));

    let first = place.answer(&format!("search {TINY} {TINY_SEARCH} --out s"));
    assert_eq!(first, place.answer("search --resume --out s"));
}

#[test]
fn a_finished_run_can_have_more_epochs() {
    let place = Place::with_digits();
    place.done(&format!("-q retrain tiny.json {TINY} --epochs 1 --out r"));
    let more = place.answer("retrain --resume --epochs 2 --out r");
    assert_eq!(more["epochs"], 2);
    // The longer plan is the run's own from now on.
    assert_eq!(place.answer("retrain --resume --out r")["epochs"], 2);

    // Stopped before it has come to its end, it has no result, least of all the old one.
    let line = "-q retrain --resume --epochs 200 --set train.checkpoint_seconds=0 --out r";
    let before = lines(&place, "r");
    place.kill_when(line, || lines(&place, "r") > before);
    assert!(!place.path("r/result.json").exists());
    let most = "-q --json retrain --resume --epochs 3 --out r";
    place.refused(2, most, &["train.epochs", "200"]);
}

#[test]
fn phases_of_a_training_stay_where_they_are() {
    let place = Place::with_digits();
    let small = "--set select.images=8 --set select.population=2 --set select.generations=1";
    place.done(&format!(
        "-q search {TINY} {TINY_SEARCH} {small} --method ofa --out s"
    ));
    let result = place.read("s/result.json");
    place.refused(
        2,
        "search --resume --epochs 9 --out s",
        &["train.epochs", "9"],
    );
    assert_eq!(place.read("s/result.json"), result);
}

/// A retraining with inherited weights goes on even if the search that they came from is gone.
#[test]
fn a_run_needs_nothing_but_its_folder() {
    let place = Place::with_digits();
    place.done(&format!("-q search {TINY} {TINY_SEARCH} --out s"));
    place.done("-q retrain s --init inherit --epochs 1 --batch 8 --out r");
    std::fs::remove_dir_all(place.path("s")).unwrap();
    std::fs::remove_file(place.path("tiny.json")).unwrap();
    std::fs::remove_file(place.path("r/result.json")).unwrap();
    assert_eq!(place.answer("retrain --resume --out r")["init"], "inherit");
}

/// The shortest life of a run: its folder and its configuration are there, and nothing else.
#[test]
fn a_run_that_was_killed_at_birth() {
    let place = Place::with_digits();
    for (begin, resume) in [
        (format!("search {TINY} {TINY_SEARCH}"), "search"),
        (format!("retrain tiny.json {TINY}"), "retrain tiny.json"),
    ] {
        place.done(&format!("-q {begin} --out whole"));
        place.write("killed/run.toml", place.read("whole/run.toml"));
        if resume != "search" {
            place.refused(2, "retrain --resume --out killed", &["ARCH"]);
        }
        place.done(&format!("-q {resume} --resume --out killed"));
        let model = place.read("whole/model.safetensors");
        assert!(place.read("killed/model.safetensors") == model);
        std::fs::remove_dir_all(place.path("whole")).unwrap();
        std::fs::remove_dir_all(place.path("killed")).unwrap();
    }
}
