//! Data that cannot be used: a message that names it, an exit code, and no trace of a run.

use crate::support::{Place, idx_images, idx_labels, png_image};

/// Every command that opens data must refuse `data` in the same way.
fn refused_everywhere(place: &Place, code: i32, data: &str, says: &[&str]) {
    for command in [
        format!("data {data}"),
        format!("--json retrain tiny.json --data {data}"),
        format!("search --data {data}"),
    ] {
        place.refused(code, &command, says);
    }
    assert!(!place.path("runs").exists(), "a run was begun with {data}");
}

#[test]
fn an_unknown_data_set() {
    let place = Place::new();
    refused_everywhere(
        &place,
        2,
        "fasion-mini",
        &[
            "`fasion-mini`",
            "did you mean `fashion-mini`?",
            "cifar10:DIR",
        ],
    );
    refused_everywhere(&place, 2, "mnist", &["write `mnist:DIR`"]);
}

#[test]
fn a_missing_folder_or_file() {
    let place = Place::with_digits();
    refused_everywhere(&place, 2, "mnist:nowhere", &["no folder `nowhere`"]);
    refused_everywhere(&place, 2, "folder:digits", &["no folder `digits/train`"]);
    std::fs::remove_file(place.path("digits/t10k-labels-idx1-ubyte")).unwrap();
    refused_everywhere(
        &place,
        2,
        "mnist:digits",
        &["t10k-labels-idx1-ubyte", "`digits`"],
    );
}

#[test]
fn a_truncated_idx_file() {
    let place = Place::with_digits();
    let bytes = place.read("digits/train-images-idx3-ubyte");
    place.write("digits/train-images-idx3-ubyte", &bytes[..bytes.len() - 1]);
    refused_everywhere(
        &place,
        1,
        "mnist:digits",
        &[
            "digits/train-images-idx3-ubyte",
            "cut short",
            "47056 bytes expected, 47055 found",
        ],
    );
}

#[test]
fn images_where_labels_belong() {
    let place = Place::with_digits();
    place.write("digits/t10k-labels-idx1-ubyte", idx_images(&[0; 20]));
    refused_everywhere(
        &place,
        1,
        "mnist:digits",
        &[
            "digits/t10k-labels-idx1-ubyte",
            "holds images where labels belong",
        ],
    );
}

#[test]
fn a_label_outside_the_classes() {
    let place = Place::with_digits();
    let mut labels = [1; 20];
    labels[7] = 10;
    place.write("digits/t10k-labels-idx1-ubyte", idx_labels(&labels));
    refused_everywhere(
        &place,
        1,
        "mnist:digits",
        &["label 10 of image 7", "10 classes (0 to 9)"],
    );
}

#[test]
fn counts_that_differ() {
    let place = Place::with_digits();
    place.write("digits/train-labels-idx1-ubyte", idx_labels(&[0; 59]));
    refused_everywhere(&place, 1, "mnist:digits", &["60 images", "59 labels"]);
}

#[test]
fn a_truncated_cifar_file() {
    let place = Place::new();
    let record = |label: u8| [vec![label], vec![90; 3072]].concat();
    for batch in 1..=5 {
        place.write(&format!("c/data_batch_{batch}.bin"), record(batch));
    }
    place.write("c/test_batch.bin", record(0));
    let names = [
        "plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    ];
    place.write("c/batches.meta.txt", names.join("\n"));
    assert_eq!(
        place.answer("data cifar10:c")["classes"][9]["name"],
        "truck"
    );
    place.write("c/data_batch_4.bin", &record(4)[..3000]);
    refused_everywhere(
        &place,
        1,
        "cifar10:c",
        &["c/data_batch_4.bin", "cut short", "3000 bytes"],
    );
    place.write("c/data_batch_4.bin", record(10));
    refused_everywhere(
        &place,
        1,
        "cifar10:c",
        &["c/data_batch_4.bin", "label 10", "record 0"],
    );
}

#[test]
fn an_empty_class_folder() {
    let place = Place::new();
    place.pictures("pets", &["cat", "dog"], 2);
    std::fs::create_dir(place.path("pets/train/eel")).unwrap();
    refused_everywhere(
        &place,
        1,
        "folder:pets",
        &["`pets/train/eel`", "no usable image"],
    );
}

#[test]
fn one_class() {
    let place = Place::new();
    place.pictures("pets", &["cat"], 2);
    refused_everywhere(
        &place,
        1,
        "folder:pets",
        &["one class (`cat`)", "at least two"],
    );
}

#[test]
fn a_file_that_is_no_image() {
    let place = Place::new();
    place.pictures("pets", &["cat", "dog"], 10);
    place.write("pets/train/cat/notes.txt", "not an image");
    let says = ["pets/train/cat/notes.txt", "--skip-bad-images"];
    refused_everywhere(&place, 1, "folder:pets", &says);

    // A picture that only turns out to be cut short when it is decoded.
    place.write("pets/val/dog/9.png", &png_image([1, 2, 3])[..80]);
    let answer = place.answer("data folder:pets --skip-bad-images");
    assert_eq!(
        (&answer["train"], &answer["test"]),
        (&20.into(), &19.into())
    );
    let left_out: Vec<&str> = (answer["skipped"].as_array().unwrap().iter())
        .map(|file| file["path"].as_str().unwrap())
        .collect();
    assert_eq!(left_out, ["pets/train/cat/notes.txt", "pets/val/dog/9.png"]);
    let output = place.run("data folder:pets --skip-bad-images");
    let notes = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        notes.contains("left out pets/train/cat/notes.txt"),
        "{notes}"
    );

    // The settings of a run keep it, so that the next commands need no flag.
    let train = "-q retrain tiny.json --epochs 1 --batch 8 --data folder:pets";
    place.refused(1, train, &says);
    place.done(&format!("{train} --skip-bad-images --out a"));
    place.done(&format!("{train} --set data.skip_bad_images=true --out b"));
    assert_eq!(place.answer("eval a")["images"], 19);
    place.done("-q retrain a --epochs 1 --batch 8 --out c");
    place.refused(
        1,
        "eval a/model.safetensors --data folder:./pets",
        &["pets/train/cat/notes.txt"],
    );
    place.done("eval a/model.safetensors --data folder:./pets --skip-bad-images");
}

#[test]
fn fewer_images_than_a_batch() {
    let place = Place::with_digits();
    let says = ["54 training images", "one batch of 55", "--batch"];
    place.refused(
        2,
        "retrain tiny.json --data mnist:digits --batch 55 --out r",
        &says,
    );
    place.refused(2, "search --data mnist:digits --batch 55 --out r", &says);
    assert!(!place.path("r").exists());
}

#[test]
fn images_that_a_model_was_not_trained_for() {
    let place = Place::with_digits();
    place.pictures("pets", &["cat", "dog"], 6);
    place.done("-q retrain tiny.json --data mnist:digits --epochs 1 --batch 8 --out r");
    place.refused(
        2,
        "eval r --data folder:pets",
        &["channels `1`", "`3`", "--data"],
    );
    place.refused(
        2,
        "eval r --data fashion-mini",
        &["class 0 `0`", "`T-shirt/top`"],
    );
    place.refused(
        2,
        "retrain r --init inherit --data fashion-mini --out i",
        &["class 0 `0`"],
    );
    assert!(!place.path("i").exists());
    // The same classes, but other images: which of them were held out of training is not known.
    place.digits("others", 1);
    place.done("eval r --data mnist:others");
    let validation = "--split validation";
    place.refused(
        2,
        &format!("eval r --data mnist:others {validation}"),
        &[validation],
    );
    std::fs::copy(
        place.path("r/model.safetensors"),
        place.path("m.safetensors"),
    )
    .unwrap();
    place.done("eval m.safetensors");
    place.refused(
        2,
        &format!("eval m.safetensors {validation}"),
        &[validation],
    );
}
