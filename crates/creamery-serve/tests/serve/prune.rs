//! What of old runs goes, and what never.

use std::fs;
use std::time::Duration;

use creamery_serve::{Filter, Index, Plan, Prune, prune};
use creamery_train::RunFolder;

use crate::support::Runs;

fn plan(runs: &Runs, what: Prune, older_than: u64) -> Plan {
    let mut index = Index::open(runs.path()).unwrap();
    index.refresh(|_, _| {});
    prune(
        &index,
        what,
        &Filter::default(),
        Duration::from_secs(older_than),
    )
}

fn runs() -> Runs {
    let runs = Runs::new();
    for id in ["a", "b"] {
        runs.finished(id, "cream", 40.0);
        runs.write(&format!("{id}/checkpoint/latest.safetensors"), [0; 1000]);
    }
    runs.stopped("c");
    runs.write("c/checkpoint/latest.safetensors", [0; 500]);
    runs
}

fn ids(plan: &Plan) -> Vec<&str> {
    plan.removals
        .iter()
        .map(|removal| removal.id.as_str())
        .collect()
}

#[test]
fn checkpoints_of_finished_runs_go_and_nothing_else() {
    let runs = runs();
    let plan = plan(&runs, Prune::Checkpoints, 0);
    assert_eq!(ids(&plan), ["a", "b"]);
    assert_eq!(plan.removals[0].bytes, 1000);
    assert!(
        runs.file("a/checkpoint/latest.safetensors").exists(),
        "a plan removes nothing"
    );
    plan.removals[0].apply().unwrap();
    assert!(!runs.file("a/checkpoint").exists());
    assert!(runs.file("a/result.json").exists() && runs.file("a/metrics.jsonl").exists());
    assert!(runs.file("b/checkpoint/latest.safetensors").exists());
    assert!(runs.file("c/checkpoint/latest.safetensors").exists());
}

#[test]
fn stopped_runs_go_whole_and_only_old_ones() {
    let runs = runs();
    assert_eq!(
        ids(&plan(&runs, Prune::Unfinished, 3600)),
        Vec::<&str>::new()
    );
    let plan = plan(&runs, Prune::Unfinished, 0);
    assert_eq!(ids(&plan), ["c"]);
    plan.removals[0].apply().unwrap();
    assert!(!runs.file("c").exists() && runs.file("a/result.json").exists());
}

#[test]
fn what_runs_or_is_not_a_run_alone_stays() {
    let runs = runs();
    runs.write("c/thesis.tex", "mine");
    runs.stopped("d");
    runs.stopped("d/select-evolution-1");
    runs.stopped("e");
    fs::remove_file(runs.file("e/lock")).unwrap();
    runs.stopped("f");
    let removal = plan(&runs, Prune::Unfinished, 0);
    assert_eq!(ids(&removal), ["d/select-evolution-1", "f"]);
    let kept: Vec<_> = removal
        .kept
        .iter()
        .map(|kept| (kept.id.as_str(), kept.reason.contains("no file of a run")))
        .collect();
    assert_eq!(kept, [("c", true), ("d", true)]);
    // Taken up again between the plan and the deed.
    let held = RunFolder::resume(&runs.file("f")).unwrap();
    assert!(removal.removals[1].apply().is_err());
    assert!(runs.file("f/metrics.jsonl").exists());
    assert_eq!(
        ids(&plan(&runs, Prune::Unfinished, 0)),
        ["d/select-evolution-1"]
    );
    drop(held);

    runs.write("a/checkpoint/other.bin", "mine");
    let checkpoints = plan(&runs, Prune::Checkpoints, 0);
    assert_eq!(ids(&checkpoints), ["b"]);
    assert_eq!(checkpoints.kept[0].id, "a");
}

#[cfg(unix)]
#[test]
fn links_are_not_followed() {
    let runs = runs();
    runs.write("elsewhere/latest.safetensors", "precious");
    fs::remove_dir_all(runs.file("a/checkpoint")).unwrap();
    std::os::unix::fs::symlink(runs.file("elsewhere"), runs.file("a/checkpoint")).unwrap();
    let plan = plan(&runs, Prune::Checkpoints, 0);
    assert_eq!(ids(&plan), ["b"]);
    assert!(runs.file("elsewhere/latest.safetensors").exists());
}
