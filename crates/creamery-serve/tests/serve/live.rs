//! Runs that are shown while they are written.

use std::fs::File;
use std::io::Write;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use creamery_train::RunFolder;

use crate::support::{LONG, Runs, started, steps, wait};

fn begin(runs: &Runs, id: &str) -> (RunFolder, File) {
    let run = RunFolder::create(&runs.file(id), "method = \"cream\"\n").unwrap();
    let mut metrics = File::create(run.file("metrics.jsonl")).unwrap();
    metrics
        .write_all((started() + &steps(0..3)).as_bytes())
        .unwrap();
    (run, metrics)
}

#[test]
fn a_hundred_viewers_see_what_is_added() {
    let runs = Runs::new();
    let (_run, mut metrics) = begin(&runs, "search");
    let served = runs.serve();
    served.wait_for_runs(1);
    assert_eq!(
        served.json("/api/run/search")["summary"]["state"],
        "running"
    );
    const VIEWERS: usize = 100;
    let ready = Barrier::new(VIEWERS + 1);
    let watching = AtomicUsize::new(VIEWERS);
    std::thread::scope(|scope| {
        for _ in 0..VIEWERS {
            scope.spawn(|| {
                let mut events = served.events("/api/run/search/live");
                let first = events.next();
                assert_eq!(first["state"], "running");
                assert!(
                    first["parts"]
                        .as_array()
                        .unwrap()
                        .iter()
                        .all(|part| part["html"].is_string())
                );
                ready.wait();
                let mut version = first["version"].clone();
                for _ in 0..3 {
                    let news = events.next();
                    assert_ne!(news["version"], version);
                    version = news["version"].clone();
                    let parts = news["parts"].as_array().unwrap();
                    let curves = parts.iter().find(|part| part["id"] == "curves").unwrap();
                    assert!(curves["html"].as_str().unwrap().contains("<svg"));
                    let settings = parts
                        .iter()
                        .find(|part| part["id"] == "configuration")
                        .unwrap();
                    assert!(
                        settings["html"].is_null(),
                        "what is as before is not sent again"
                    );
                }
                watching.fetch_sub(1, Ordering::Relaxed);
            });
        }
        ready.wait();
        let begun = Instant::now();
        let mut next = 3;
        while watching.load(Ordering::Relaxed) > 0 && begun.elapsed() < LONG {
            metrics.write_all(steps(next..next + 1).as_bytes()).unwrap();
            next += 1;
            std::thread::sleep(Duration::from_millis(100));
        }
    });
}

#[test]
fn the_list_tells_of_new_ended_and_removed_runs() {
    let runs = Runs::new();
    let served = runs.serve();
    served.wait_for_runs(0);
    let mut events = served.events("/api/runs/live");
    assert_eq!(events.next()["runs"], 0);
    let (run, _metrics) = begin(&runs, "new");
    wait(|| (events.next()["runs"] == 1).then_some(()));
    run.write("result.json", br#"{"kind":"search"}"#).unwrap();
    drop(run);
    wait(|| {
        events.next();
        (served.json("/api/runs")["runs"][0]["state"] == "finished").then_some(())
    });
    std::fs::remove_dir_all(runs.file("new")).unwrap();
    wait(|| (events.next()["runs"] == 0).then_some(()));
}

#[test]
fn a_run_that_is_watched_may_end_be_resumed_and_vanish() {
    let runs = Runs::new();
    let (run, metrics) = begin(&runs, "a");
    let served = runs.serve();
    served.wait_for_runs(1);
    let mut events = served.events("/api/run/a/live");
    assert_eq!(events.next()["state"], "running");
    drop(run);
    let ended = events.next();
    assert_eq!(ended["state"], "stopped");
    let run = RunFolder::resume(&runs.file("a")).unwrap();
    metrics.set_len(started().len() as u64).unwrap();
    assert_eq!(
        wait(|| Some(events.next()).filter(|news| news["state"] == "running"))["state"],
        "running"
    );
    wait(|| (served.json("/api/run/a")["steps"] == 0).then_some(()));
    drop(run);
    std::fs::remove_dir_all(runs.file("a")).unwrap();
    wait(|| {
        events.next()["head"]
            .as_str()
            .unwrap()
            .contains("folder is gone")
            .then_some(())
    });
}
