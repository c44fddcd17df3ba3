//! Weights to timm and back, and what goes on from them.

use std::fs;

use crate::support::{Place, TINY};

/// A place with digits, a trained network in `r`, and its export in `t`.
fn exported() -> Place {
    let place = Place::with_digits();
    place.done(&format!("-q retrain tiny.json {TINY} --out r"));
    place.done("-q export r --format timm --out t");
    place
}

#[test]
fn a_network_goes_to_timm_and_comes_back_the_same() {
    let place = exported();
    let answer = place.answer("export r/result.json --format timm --out again");
    assert_eq!(
        (&answer["kind"], &answer["format"]),
        (&"export".into(), &"timm".into())
    );
    assert_eq!(answer["files"].as_array().unwrap().len(), 3);
    for name in ["model.safetensors", "model.json", "README.md"] {
        assert_eq!(
            place.read(&format!("t/{name}")),
            place.read(&format!("again/{name}"))
        );
    }
    assert_eq!(
        place.json("t/model.json")["network"]["blocks"][1][0],
        "ir_r1_k3_s1_e2_c24_se0.25"
    );
    let readme = String::from_utf8(place.read("t/README.md")).unwrap();
    assert!(readme.contains("`tiny-32@28:0/0/0`, trained by Creamery on `mnist:digits`, for 1x28x28 images and 10 classes."), "{readme}");
    assert!(
        !readme.contains("{side}") && !readme.contains("{resize}"),
        "{readme}"
    );

    let answer = place.answer("import t/model.safetensors --out back.safetensors");
    assert_eq!(answer["assumed"].as_array().unwrap().len(), 0);
    assert_eq!(
        place.read("back.safetensors"),
        place.read("r/model.safetensors")
    );
    let top1 = |model: &str| place.answer(&format!("eval {model}"))["top1"].clone();
    assert_eq!(top1("back.safetensors"), top1("r"));
}

#[test]
fn a_path_with_spaces_is_written_and_quoted() {
    let place = exported();
    let shell = place.shell(
        "creamery export r --format timm --out 'my exports/a b' && creamery import 'my exports/a b/model.safetensors' --out 'my model.safetensors'",
    );
    let text = String::from_utf8_lossy(&shell.stdout);
    assert!(
        shell.status.success(),
        "{}",
        String::from_utf8_lossy(&shell.stderr)
    );
    assert!(text.contains("my exports/a b/README.md"), "{text}");
    assert!(
        text.contains("creamery eval 'my model.safetensors'"),
        "{text}"
    );
    assert!(place.path("my model.safetensors").is_file());
}

#[test]
fn weights_alone_are_found_by_their_shapes() {
    let place = exported();
    fs::remove_file(place.path("t/model.json")).unwrap();
    let names = "--classes 0,1,2,3,4,5,6,7,8,9 --mean 0.5 --std 0.25";
    let text = place.done(&format!(
        "import t/model.safetensors {names} --resize 28 --out m.safetensors"
    ));
    assert!(
        text.contains("tiny-32@28:0/0/0") && text.contains("28 px a side (--resolution)"),
        "{text}"
    );
    assert!(
        text.contains("creamery eval m.safetensors --data D"),
        "{text}"
    );
    place.refused(2, "eval m.safetensors", &["--data"]);
    let answer = place.answer("eval m.safetensors --data mnist:digits");
    assert_eq!(answer["images"], 20);
    // Names may come from a file.
    place.write("names.txt", "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    let from_file = place.answer("import t/model.safetensors --arch tiny.json --classes names.txt --mean 0.5 --std 0.25 --out n.safetensors");
    assert_eq!(from_file["input"]["classes"][9], "9");
}

#[test]
fn wrong_exports_and_imports_leave_nothing() {
    let place = exported();
    let before = entries(&place);
    for (line, says) in [
        ("export r --out x", "--format"),
        ("export r --format caffe --out x", "timm"),
        ("import t/model.safetensors --mean x --out x", "--mean"),
    ] {
        let output = place.run(line);
        assert_eq!(output.status.code(), Some(2), "{line}");
        assert!(
            String::from_utf8_lossy(&output.stderr).contains(says),
            "{line}"
        );
    }
    place.refused(
        2,
        "export none --format timm --out x",
        &["`none` is no file"],
    );
    place.refused(
        2,
        "export r --format timm --out digits",
        &["`digits` is not empty", "--out"],
    );
    place.refused(1, "export r --format timm --out tiny.json", &["tiny.json"]);
    place.refused(
        1,
        "export t/model.safetensors --format timm --out x",
        &["creamery import"],
    );
    place.refused(2, "import none.pth --out x", &["cannot read `none.pth`"]);
    place.refused(
        2,
        "import t/model.safetensors --out tiny.json",
        &["`tiny.json` exists already"],
    );
    place.refused(
        1,
        "import tiny.json --out x",
        &["neither a whole safetensors file nor"],
    );
    place.refused(
        1,
        "import t/model.safetensors --out no/such/x",
        &["cannot write `no/such/x`"],
    );
    place.refused(
        1,
        "import t/model.safetensors --arch cream-14 --out x",
        &["not those of cream-224@64", "missing"],
    );
    place.refused(
        2,
        "import t/model.safetensors --space nowhere --out x",
        &["unknown space `nowhere`"],
    );
    place.refused(
        2,
        "import t/model.safetensors --resolution 30 --out x",
        &["30", "28, 32"],
    );
    place.refused(
        2,
        "import t/model.safetensors --classes a,b --out x",
        &["10 classes apart, and 2 are named"],
    );
    assert_eq!(entries(&place), before);
}

#[cfg(unix)]
#[test]
fn a_folder_without_permission_is_told_and_nothing_is_left() {
    use std::os::unix::fs::PermissionsExt;
    let place = exported();
    let closed = place.path("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();
    if fs::write(closed.join("probe"), "").is_ok() {
        // Root may write anywhere; a file in the way of a folder stops even it.
        fs::remove_file(closed.join("probe")).unwrap();
        place.write("file", "");
        place.refused(1, "export r --format timm --out file/x", &["file"]);
        place.refused(1, "import t/model.safetensors --out file/x", &["file/x"]);
        return;
    }
    place.refused(
        1,
        "export r --format timm --out closed/x",
        &["cannot create `closed/x`", "ermission denied"],
    );
    place.refused(
        1,
        "import t/model.safetensors --out closed/x",
        &["cannot write `closed/x`", "ermission denied"],
    );
    assert_eq!(fs::read_dir(&closed).unwrap().count(), 0);
}

/// The names of what lies in a place.
fn entries(place: &Place) -> Vec<String> {
    let entries = fs::read_dir(place.path("")).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_retraining_begins_with_the_weights_of_any_model() {
    let place = exported();
    place.done("-q import t/model.safetensors --out m.safetensors");
    // A step so small that nothing changes but the statistics: the network says what it said.
    let still = "--data mnist:digits --batch 8 --epochs 1 --lr 0.000000001 --set ema=0.0 --set data.validation=0.2";
    let kept = place.answer(&format!("retrain --init m.safetensors {still} --out k"));
    assert_eq!(kept["init"], "m.safetensors");
    let close = |a: &str, b: &str, name: &str| {
        let [a, b] = [a, b].map(|file| {
            let (tensors, _) = creamery_train::checkpoint::read_weights(&place.path(file)).unwrap();
            tensors
                .into_iter()
                .find(|tensor| tensor.name == name)
                .unwrap()
                .values
        });
        a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5)
    };
    assert!(close(
        "k/model.safetensors",
        "m.safetensors",
        "classifier.weight"
    ));
    assert!(close(
        "k/model.safetensors",
        "m.safetensors",
        "stages.2.0.0.expand.weight"
    ));
    let scratch = place.answer(&format!("retrain tiny.json {still} --out s"));
    assert_eq!(scratch["init"], "scratch");
    assert!(!close(
        "s/model.safetensors",
        "m.safetensors",
        "stages.2.0.0.expand.weight"
    ));
    // A run and a result mean the model in it, and ARCH may be given as well.
    place.done(&format!("-q retrain tiny.json --init r {still} --out k2"));
    place.refused(
        2,
        "retrain --init none.safetensors --out x",
        &["scratch, inherit or a model", "none.safetensors"],
    );
    place.refused(2, "retrain --init scratch --out x", &["ARCH"]);
    let other = r#"{"space": "tiny-32", "resolution": 28, "choices": [[1], [0], [0]]}"#;
    place.write("other.json", other);
    place.refused(
        2,
        &format!("retrain other.json --init m.safetensors {still} --out x"),
        &["tiny-32@28:0/0/0", "tiny-32@28:1/0/0", "--init scratch"],
    );
    assert!(!place.path("x").exists());
}

#[test]
fn other_classes_begin_with_a_fresh_classifier_and_the_run_can_be_resumed() {
    let place = exported();
    place.pictures("pets", &["cat", "dog", "owl"], 4);
    let grey = place.run("retrain --init r --data folder:pets --out x");
    assert_eq!(
        grey.status.code(),
        Some(2),
        "{}",
        String::from_utf8_lossy(&grey.stderr)
    );
    assert!(!place.path("x").exists());

    // A network of colour images with ten classes, from random weights, saved after one epoch.
    place.pictures(
        "ten",
        &["a", "b", "c", "d", "e", "f", "g", "h", "i", "j"],
        2,
    );
    place.done("-q retrain tiny.json --data folder:ten --batch 4 --epochs 1 --set data.validation=0.0 --out base");
    let tuning = "--data folder:pets --batch 4 --set data.validation=0.0";
    let output = place.run(&format!("retrain --init base {tuning} --epochs 1 --out p"));
    let notes = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{notes}");
    assert!(
        notes.contains(
            "classifier begins afresh: the model tells 10 classes apart, folder:pets has 3"
        ),
        "{notes}"
    );
    assert!(place.path("p/inherited.safetensors").is_file());
    // The run needs no more than its folder to go on.
    fs::remove_dir_all(place.path("base")).unwrap();
    let longer = place.answer("retrain --resume --out p --epochs 2");
    assert_eq!(
        (&longer["epochs"], &longer["init"]),
        (&2.into(), &"base".into())
    );
    place.refused(
        2,
        "retrain --resume --out p --epochs 3 --init scratch",
        &["init"],
    );
}
