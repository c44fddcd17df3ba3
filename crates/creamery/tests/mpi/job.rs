//! Jobs of a few ranks on this machine.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use creamery_nn::NamedTensor;
use serde_json::Value;

use crate::support::Place;

/// Jobs run one after the other: their ranks need the cores.
static ALONE: Mutex<()> = Mutex::new(());

pub fn turn() -> MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// `mpirun` with the settings that a small machine needs, which is to run `ranks`: parts of its command line, each a number
/// of ranks and their command.
pub fn mpirun(place: &Place, ranks: &[(usize, &str)]) -> Command {
    let mut command = Command::new("mpirun");
    for (part, (count, line)) in ranks.iter().enumerate() {
        if part > 0 {
            command.arg(":");
        }
        command
            .args(["-n", &count.to_string()])
            .arg(env!("CARGO_BIN_EXE_creamery"))
            .args(line.split_whitespace());
    }
    settings(&mut command, place);
    command
}

/// What Open MPI needs on a machine with fewer cores than ranks, in a container, as root; others ignore it.
pub fn settings(command: &mut Command, place: &Place) {
    command
        .current_dir(place.path(""))
        .env("OMPI_ALLOW_RUN_AS_ROOT", "1")
        .env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
        .env("OMPI_MCA_rmaps_base_oversubscribe", "1")
        .env("OMPI_MCA_hwloc_base_binding_policy", "none")
        .env("OMPI_MCA_btl_vader_single_copy_mechanism", "none")
        .env("OMPI_MCA_mpi_yield_when_idle", "1")
        .stdin(Stdio::null());
}

pub fn run(place: &Place, ranks: usize, line: &str) -> Output {
    let line = format!("{line} --mpi --threads 1");
    mpirun(place, &[(ranks, &line)]).output().unwrap()
}

/// Runs a job that must succeed; its standard output.
pub fn done(place: &Place, ranks: usize, line: &str) -> String {
    let output = run(place, ranks, line);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{ranks} x {line}\n{errors}");
    String::from_utf8(output.stdout).unwrap()
}

/// Asserts that a job failed with an error that says all of `says`, and only one.
pub fn assert_refused(output: &Output, says: &[&str]) {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{errors}");
    let told: Vec<&str> = errors
        .lines()
        .filter(|line| line.starts_with("error: "))
        .collect();
    assert_eq!(told.len(), 1, "{errors}");
    for part in says {
        assert!(told[0].contains(part), "lacks `{part}`: {}", told[0]);
    }
    assert!(!errors.contains("panicked"), "{errors}");
}

/// The events of a kind in a run's metrics.
pub fn events(place: &Place, run: &str, kind: &str) -> Vec<Value> {
    let text = String::from_utf8(place.read(&format!("{run}/metrics.jsonl"))).unwrap();
    let events = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    events.filter(|event| event["event"] == kind).collect()
}

/// The losses of a run, step after step.
pub fn losses(place: &Place, run: &str) -> Vec<f64> {
    let steps = events(place, run, "step").into_iter();
    steps.map(|step| step["loss"].as_f64().unwrap()).collect()
}

/// The largest difference between the weights of two safetensors files, and how many there are.
pub fn difference(a: &Path, b: &Path) -> (f32, usize) {
    let [a, b] = [a, b].map(weights);
    assert_eq!(a.len(), b.len());
    let (mut most, mut count) = (0.0f32, 0);
    for (a, b) in a.iter().zip(&b) {
        assert_eq!((&a.name, &a.shape), (&b.name, &b.shape));
        for (a, b) in a.values.iter().zip(&b.values) {
            most = most.max((a - b).abs());
            count += 1;
        }
    }
    (most, count)
}

/// The weights in a checkpoint or a model.
fn weights(path: &Path) -> Vec<NamedTensor> {
    let (mut tensors, _) = creamery_train::checkpoint::read_weights(path).unwrap();
    tensors.retain(|tensor| {
        !tensor.name.contains(".running_") && !tensor.name.starts_with("optimizer:")
    });
    tensors
}
