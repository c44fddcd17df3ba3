//! A rank that is lost, and what comes after.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::job::{done, mpirun, turn};
use crate::support::Place;

/// Four steps an epoch, which two and three ranks share.
const LINE: &str = "retrain tiny.json --data mnist:digits --batch 12 --set data.validation=0.2 --set train.lr=0.05";

/// The processes whose command line has `text` in it.
fn processes(text: &str) -> Vec<u32> {
    let of_process = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.ok()?.path();
        let pid: u32 = path.file_name()?.to_str()?.parse().ok()?;
        let line = std::fs::read(path.join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        // The launcher has the ranks' command line in its own.
        (line.contains(text) && !line.starts_with("mpirun")).then_some(pid)
    };
    std::fs::read_dir("/proc")
        .unwrap()
        .filter_map(of_process)
        .collect()
}

#[test]
fn one_rank_killed_ends_the_job_and_another_number_goes_on() {
    let _turn = turn();
    let place = Place::with_digits();
    // A name that no other process has.
    let name = format!("lost-{}", std::process::id());
    let line = format!("{LINE} --epochs 4000 -q --out {name}");
    let mut job = mpirun(&place, &[(2, &format!("{line} --mpi --threads 1"))]);
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
    let ranks = processes(&name);
    assert_eq!(ranks.len(), 2);
    let since = Instant::now();
    let killed = std::process::Command::new("kill")
        .args(["-9", &ranks[1].to_string()])
        .status();
    assert!(killed.unwrap().success());
    assert!(!job.wait().unwrap().success());
    assert!(
        since.elapsed() < Duration::from_secs(10),
        "{:?}",
        since.elapsed()
    );
    std::thread::sleep(Duration::from_millis(200));
    assert!(processes(&name).is_empty());

    // The checkpoint is whole, and one process or three ranks go on from it.
    let steps = |run: &str| place.json(&format!("{run}/result.json"))["epochs"].clone();
    let copy = format!("{name}-3");
    copy_folder(&place.path(&name), &place.path(&copy));
    let epochs = {
        let before = creamery_train::Checkpoint::load(&checkpoint).unwrap();
        creamery_train::engine::position(&before).unwrap().epoch + 30
    };
    // Fewer epochs than planned are refused, so the plan is cut in the files, as if it had been so.
    for run in [&name, &copy] {
        let text = String::from_utf8(place.read(&format!("{run}/run.toml"))).unwrap();
        place.write(
            &format!("{run}/run.toml"),
            text.replace("epochs = 4000", &format!("epochs = {epochs}")),
        );
    }
    place.done(&format!("retrain --resume -q --out {name} --threads 1"));
    done(&place, 3, &format!("retrain --resume -q --out {copy}"));
    assert_eq!(steps(&name), epochs);
    assert_eq!(steps(&copy), epochs);
    let top1 = |run: &str| place.json(&format!("{run}/result.json"))["validation"]["top1"].as_f64();
    let (one, three) = (top1(&name).unwrap(), top1(&copy).unwrap());
    // Bright rows are easily told apart: both know all or nearly all of the 12 images.
    assert!(
        (one - three).abs() <= 25.0 && one.min(three) > 50.0,
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

/// A signal to stop reaches one rank first; all stop before the same step.
#[test]
fn a_job_that_is_asked_to_stop_saves_and_goes_on() {
    let _turn = turn();
    let place = Place::with_digits();
    let name = format!("stopped-{}", std::process::id());
    let line = format!("{LINE} --epochs 2000 -q --out {name}");
    let mut job = mpirun(&place, &[(2, &format!("{line} --mpi --threads 1"))]);
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
    let rank = processes(&name)[1].to_string();
    let asked = std::process::Command::new("kill")
        .args(["-TERM", &rank])
        .status();
    assert!(asked.unwrap().success());
    let code = job.wait().unwrap().code();
    assert_eq!(code, Some(130));
    let events = crate::job::events(&place, &name, "checkpoint");
    assert!(!events.is_empty());
    assert!(processes(&name).is_empty());
}
