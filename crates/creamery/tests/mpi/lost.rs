//! A rank that is lost, and what comes after.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::job::{done, events, mpirun, turn};
use crate::support::Place;

/// Four epochs of Fashion-MNIST's small part, in batches that one, two and three ranks share.
const LINE: &str = "retrain tiny.json --batch 96 --epochs 4 --lr 0.1 --set train.optimizer=sgd --set ema=0 -q --out";

/// Creamery's processes whose command line has `text` in it.
fn processes(text: &str) -> Vec<u32> {
    let of_process = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.ok()?.path();
        let pid: u32 = path.file_name()?.to_str()?.parse().ok()?;
        let line = std::fs::read(path.join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line);
        // Launchers have the ranks' command line in their own.
        (line.contains(text) && line.starts_with(env!("CARGO_BIN_EXE_creamery"))).then_some(pid)
    };
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(of_process)
        .collect()
}

/// Starts a job of two ranks, and waits for its first checkpoint.
fn begun(place: &Place, line: &str, name: &str) -> Child {
    let mut job = mpirun(place, &[(2, &format!("{line} {name} --mpi --threads 1"))]);
    let mut job = job
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let checkpoint = place.path(&format!("{name}/checkpoint/latest.safetensors"));
    while !checkpoint.exists() {
        assert_eq!(job.try_wait().unwrap(), None, "it ended too early");
        std::thread::sleep(Duration::from_millis(5));
    }
    job
}

fn signal(signal: &str, process: u32) {
    let mut kill = Command::new("kill");
    let told = kill.args([signal, &process.to_string()]).status();
    assert!(told.unwrap().success());
}

#[test]
fn one_rank_killed_ends_the_job_and_another_number_goes_on() {
    let _turn = turn();
    let place = Place::new();
    // A name that no other process has.
    let name = format!("lost-{}", std::process::id());
    let mut job = begun(&place, LINE, &name);
    let ranks = processes(&name);
    assert_eq!(ranks.len(), 2);
    let since = Instant::now();
    signal("-9", ranks[1]);
    assert!(!job.wait().unwrap().success());
    let took = since.elapsed();
    assert!(took < Duration::from_secs(10), "{took:?}");
    std::thread::sleep(Duration::from_millis(200));
    assert!(processes(&name).is_empty());
    assert!(!place.path(&format!("{name}/result.json")).exists());

    // The checkpoint is whole, and one process or three ranks go on from it.
    let copy = format!("{name}-3");
    copy_folder(&place.path(&name), &place.path(&copy));
    place.done(&format!("retrain --resume -q --out {name} --threads 1"));
    done(&place, 3, &format!("retrain --resume -q --out {copy}"));
    let [one, three] = [&name, &copy].map(|run| {
        assert_eq!(events(&place, run, "step").len(), 4 * 75);
        let result = place.json(&format!("{run}/result.json"));
        result["validation"]["top1"].as_f64().unwrap()
    });
    // The standard deviation of either is below 2 points: there are 800 images.
    assert!(
        (one - three).abs() < 7.0 && one.min(three) > 60.0,
        "{one} and {three}"
    );
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        match entry.file_type().unwrap().is_dir() {
            true => copy_folder(&entry.path(), &to),
            false => _ = std::fs::copy(entry.path(), to).unwrap(),
        }
    }
}

/// A signal to stop reaches one rank only; all stop before the same step.
#[test]
fn a_job_that_is_asked_to_stop_saves_and_goes_on() {
    let _turn = turn();
    let place = Place::with_digits();
    let name = format!("stopped-{}", std::process::id());
    let line = "retrain tiny.json --data mnist:digits --batch 12 --set data.validation=0.2 --epochs 2000 -q --out";
    let mut job = begun(&place, line, &name);
    signal("-TERM", processes(&name)[1]);
    assert_eq!(job.wait().unwrap().code(), Some(130));
    assert!(processes(&name).is_empty());
    let steps = events(&place, &name, "step").len();
    let saved = events(&place, &name, "checkpoint").pop().unwrap();
    assert_eq!(saved["step"], steps);
}
