//! Jobs that cannot be: one error, an exit code that is not 0, nothing left running.

use std::process::Command;

use crate::job::{assert_refused, mpirun, run, settings, turn};
use crate::support::{Place, TINY, TINY_SEARCH};

#[test]
fn nobody_has_started_a_job() {
    let place = Place::with_digits();
    let says = ["mpirun -n 4", "leave out --mpi"];
    place.refused(2, &format!("search {TINY} --mpi"), &says);
    assert!(!place.path("runs").exists());
}

#[test]
fn ranks_that_do_not_divide_a_batch() {
    let _turn = turn();
    let place = Place::with_digits();
    let output = run(&place, 3, &format!("search {TINY} {TINY_SEARCH} --out run"));
    assert_refused(&output, &["3 ranks", "batches of 8", "--batch 9"]);
    assert!(!place.path("run").exists());
    let line = format!("search {TINY} {TINY_SEARCH} --paths-per-step 3 --out run");
    assert_refused(&run(&place, 2, &line), &["paths_per_step", "2 ranks"]);
    // More ranks than there is anything to share.
    let output = run(&place, 9, &format!("retrain tiny.json {TINY} --out run"));
    assert_refused(&output, &["9 ranks", "--batch 9"]);
}

#[test]
fn ranks_with_other_commands() {
    let _turn = turn();
    let place = Place::with_digits();
    let line = |seed| format!("retrain tiny.json {TINY} --mpi --seed {seed} --out run --threads 1");
    let output = mpirun(&place, &[(1, &line(0)), (1, &line(1))]).output();
    assert_refused(&output.unwrap(), &["rank 1", "command line", "--seed 1"]);
    assert!(!place.path("run").exists());
}

/// Machines with a file system of their own each.
fn apart(place: &Place, line: &str) -> Command {
    let mut command = Command::new("mpirun");
    let rank = "${OMPI_COMM_WORLD_RANK:-$PMI_RANK}";
    let creamery = env!("CARGO_BIN_EXE_creamery");
    let script = format!("cd {rank} && exec {creamery} {line} --mpi --threads 1");
    command.args(["-n", "2", "sh", "-c", &script]);
    settings(&mut command, place);
    command
}

#[test]
fn ranks_with_other_images_or_settings() {
    let _turn = turn();
    let place = Place::new();
    for (folder, shift) in [("0", 0), ("1", 1)] {
        place.digits(&format!("{folder}/digits"), shift);
        place.write(&format!("{folder}/tiny.json"), place.read("tiny.json"));
        let settings = format!("seed = {shift}\n");
        place.write(&format!("{folder}/own.toml"), settings);
    }
    let line = format!("retrain tiny.json {TINY} --out run");
    let output = apart(&place, &line).output().unwrap();
    assert_refused(&output, &["rank 1", "another data"]);
    let output = apart(&place, &format!("{line} -c own.toml"))
        .output()
        .unwrap();
    assert_refused(&output, &["rank 1", "setting `seed`", "`1`, not `0`"]);
    assert!(!place.path("0/run").exists() && !place.path("1/run").exists());

    // A rank that cannot even begin.
    std::fs::remove_dir_all(place.path("1/digits")).unwrap();
    let output = apart(&place, &line).output().unwrap();
    assert_refused(&output, &["rank 1", "digits"]);
}

#[test]
fn a_device_that_is_not_there() {
    let _turn = turn();
    let place = Place::with_digits();
    let line = format!("retrain tiny.json {TINY} --device rocm:7 --out run");
    assert_refused(&run(&place, 2, &line), &["rank 0", "device `rocm:7`"]);
}
