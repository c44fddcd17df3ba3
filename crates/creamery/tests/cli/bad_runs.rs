//! Folders and checkpoints that a run cannot use; whatever was there before stays.

use crate::support::{Place, TINY, TINY_SEARCH};

#[test]
fn a_folder_that_holds_another_run() {
    let place = Place::with_digits();
    place.done(&format!("-q retrain tiny.json {TINY} --epochs 1 --out r"));
    let model = place.read("r/model.safetensors");
    place.refused(
        2,
        &format!("retrain tiny.json {TINY} --out r"),
        &["`r` holds a run already", "--resume"],
    );
    place.refused(
        2,
        &format!("search {TINY} --out r"),
        &["`r` holds a run already", "--out"],
    );
    place.refused(
        2,
        "search --resume --out r",
        &["another command", "creamery retrain --resume --out r"],
    );
    assert!(place.read("r/model.safetensors") == model);
}

#[test]
fn a_folder_that_holds_something_else() {
    let place = Place::with_digits();
    place.write("mine/notes.txt", "mine");
    place.refused(
        2,
        &format!("retrain tiny.json {TINY} --out mine"),
        &["`mine` is not empty", "--out"],
    );
    assert_eq!(std::fs::read_dir(place.path("mine")).unwrap().count(), 1);
    place.refused(
        2,
        "retrain --resume --out mine",
        &["`mine` holds no run to resume"],
    );
    place.refused(
        2,
        "search --resume --out nowhere",
        &["`nowhere` holds no run to resume"],
    );
    assert!(!place.path("nowhere").exists());
}

#[test]
fn a_folder_in_which_a_run_was_about_to_begin() {
    let place = Place::with_digits();
    place.write("r/lock", "");
    place.write("r/run.toml.tmp", "se");
    place.done(&format!("-q retrain tiny.json {TINY} --out r"));
}

#[test]
fn a_folder_that_cannot_be_written() {
    let place = Place::with_digits();
    place.write("file", "");
    place.refused(
        1,
        &format!("retrain tiny.json {TINY} --out file/run"),
        &["cannot create `file/run`"],
    );
    place.refused(1, &format!("search {TINY} --out file"), &["`file`"]);
}

#[test]
fn a_folder_in_which_another_process_works() {
    let place = Place::with_digits();
    place.done(&format!("-q retrain tiny.json {TINY} --out r"));
    let lock = std::fs::File::open(place.path("r/lock")).unwrap();
    lock.lock().unwrap();
    place.refused(2, "retrain --resume --out r", &["another process", "`r`"]);
    drop(lock);
    place.done("-q retrain --resume --out r");
}

#[test]
fn a_checkpoint_that_is_cut_short_or_foreign() {
    let place = Place::with_digits();
    place.done(&format!("-q retrain tiny.json {TINY} --out r"));
    std::fs::remove_file(place.path("r/result.json")).unwrap();
    let checkpoint = "r/checkpoint/latest.safetensors";
    let good = place.read(checkpoint);

    place.write(checkpoint, &good[..good.len() / 2]);
    place.refused(1, "retrain --resume --out r", &[checkpoint, "damaged"]);
    place.write(checkpoint, place.read("r/model.safetensors"));
    place.refused(
        1,
        "retrain --resume --out r",
        &[checkpoint, "no checkpoint"],
    );
    place.write(checkpoint, "");
    place.refused(1, "retrain --resume --out r", &[checkpoint, "damaged"]);

    place.write(checkpoint, good);
    place.done("-q retrain --resume --out r");
}

#[test]
fn resuming_with_another_space_or_other_data() {
    let place = Place::with_digits();
    place.digits("others", 1);
    place.digits("moved", 0);
    place.done(&format!("-q search {TINY} {TINY_SEARCH} --out s"));
    std::fs::remove_file(place.path("s/result.json")).unwrap();
    let config = place.read("s/run.toml");
    place.refused(
        2,
        "search --resume --out s --space cream-224",
        &["with space `tiny-32`", "`cream-224`", "--out"],
    );
    let text = include_str!("../../../creamery-space/spaces/tiny-32.toml");
    let larger = text.replace("name = \"tiny-32\"", "name = \"larger\"");
    place.write(
        "larger.toml",
        larger.replace("channels = 24", "channels = 40"),
    );
    place.refused(
        2,
        "search --resume --out s --space larger.toml",
        &["`tiny-32`", "`larger`"],
    );
    place.refused(
        2,
        "search --resume --out s --data mnist:others",
        &["with data `mnist:digits [", "`mnist:others [", "--out"],
    );
    assert!(place.read("s/run.toml") == config, "the run is as it was");
    // The same images elsewhere are the same data.
    place.done("-q search --resume --out s --data mnist:moved");
}

#[test]
fn resuming_with_settings_that_the_state_depends_on() {
    let place = Place::with_digits();
    place.done(&format!("-q retrain tiny.json {TINY} --out r"));
    let other = r#"{"space": "tiny-32", "resolution": 28, "choices": [[1], [0], [0]]}"#;
    place.write("other.json", other);
    // Whether the run is finished or not.
    for finished in [true, false] {
        for (flag, says) in [
            ("--batch 16", "`train.batch` 8, which cannot become 16"),
            ("--seed 5", "`seed` 0, which cannot become 5"),
            (
                "--set data.validation=0.1",
                "`data.validation` 0.2, which cannot become 0.1",
            ),
            (
                "--set data.split_seed=1",
                "`data.split_seed` none, which cannot become 1",
            ),
            ("--set train.optimizer=rmsprop", "`train.optimizer` \"sgd\""),
            ("--epochs 1", "`train.epochs` 2, which cannot become 1"),
        ] {
            let line = format!("retrain --resume --out r {flag}");
            place.refused(2, &line, &["`r` was started with", says]);
        }
        let line = "retrain other.json --resume --out r";
        place.refused(2, line, &["tiny-32@28:0/0/0", "tiny-32@28:1/0/0"]);
        if finished {
            std::fs::remove_file(place.path("r/result.json")).unwrap();
        }
    }
    place.done("-q retrain tiny.json --resume --out r --set data.workers=2");

    place.done(&format!("-q search {TINY} {TINY_SEARCH} --out s"));
    let says = ["`budget.max_macs` 3000000, which cannot become 4000000"];
    place.refused(2, "search --resume --out s --max-macs 4M", &says);
    let says = ["`resolution` none, which cannot become 32"];
    place.refused(2, "search --resume --out s --resolution 32", &says);
    place.refused(
        2,
        "search --resume --out s --set cream.tau=9",
        &["`cream.tau` 3"],
    );
}
