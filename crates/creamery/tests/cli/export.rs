//! Networks for other programs.

use creamery_export::onnx::{self, OnnxOptions};
use creamery_nn::Device;
use creamery_train::Model;

use crate::support::{Place, TINY};

/// A place with a trained network in `a run`.
fn trained() -> Place {
    let place = Place::with_digits();
    let done = place.shell(&format!(
        "creamery -q retrain tiny.json {TINY} --epochs 1 --out 'a run'"
    ));
    assert!(done.status.success());
    place
}

#[test]
fn an_onnx_file_is_that_of_the_library() {
    let place = trained();
    let model = Model::load(&place.path("a run/model.safetensors"), &Device::flex()).unwrap();
    let bytes = onnx::bytes(&model, &OnnxOptions::default()).unwrap();

    let done = place.shell("creamery export 'a run' --format onnx --out 'a net.onnx'");
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success() && done.stderr.is_empty());
    assert!(text.contains("tiny-32@28:0/0/0"), "{text}");
    assert!(text.contains("images [N, 1, 28, 28]"), "{text}");
    assert!(text.contains("logits [N, 10]"), "{text}");
    assert!(place.read("a net.onnx") == bytes);

    // The file is replaced, and nothing is left beside it.
    let copy = place.read("a run/model.safetensors");
    place.write("models/m.safetensors", copy);
    place.write("models/m.onnx", "old");
    let answer = place.answer(
        "export models/m.safetensors --format onnx --opset 21 --softmax --out models/m.onnx",
    );
    let options = OnnxOptions {
        opset: 21,
        softmax: true,
    };
    assert!(place.read("models/m.onnx") == onnx::bytes(&model, &options).unwrap());
    assert_eq!(std::fs::read_dir(place.path("models")).unwrap().count(), 2);
    assert_eq!(
        (&answer["kind"], &answer["format"], &answer["opset"]),
        (&"export".into(), &"onnx".into(), &21.into())
    );
    assert_eq!(answer["out"], "models/m.onnx");
    assert_eq!(answer["bytes"], place.read("models/m.onnx").len() as u64);
    assert_eq!(answer["output"]["name"], "probabilities");
    assert_eq!(
        answer["input"]["shape"],
        serde_json::json!(["N", 1, 28, 28])
    );
    assert_eq!(
        answer["macs"],
        place.answer("describe tiny.json --channels 1 --classes 10")["macs"]
    );
}

#[test]
fn what_cannot_be_exported_leaves_everything_as_it_was() {
    let place = trained();
    let model = place.read("a run/model.safetensors");
    place.write("m.safetensors", &model);
    place.write("damaged.safetensors", &model[..model.len() / 2]);
    place.write("net.onnx", "old");
    std::fs::create_dir(place.path("folder")).unwrap();
    for (code, line, says) in [
        (
            2,
            "m.safetensors --format onnx --opset 22 --out net.onnx",
            &["unsupported opset 22", "17 to 21"][..],
        ),
        (
            2,
            "none --format onnx --out net.onnx",
            &["`none`", "model.safetensors"],
        ),
        (
            2,
            "folder --format onnx --out net.onnx",
            &["`folder`", "finished?"],
        ),
        (
            1,
            "damaged.safetensors --format onnx --out net.onnx",
            &["`damaged.safetensors`", "damaged"],
        ),
        (
            2,
            "m.safetensors --format onnx --out folder",
            &["`folder`", "name of a file"],
        ),
        (
            2,
            "m.safetensors --format onnx --out nowhere/net.onnx",
            &["`nowhere/net.onnx`", "make it first"],
        ),
        (
            2,
            "m.safetensors --format onnx --out ./m.safetensors",
            &["the model itself"],
        ),
    ] {
        place.refused(code, &format!("export {line}"), says);
    }
    assert_eq!(place.read("net.onnx"), b"old");
    assert!(place.read("m.safetensors") == model);
    assert!(!place.path("nowhere").exists());
    assert!(!place.path("net.onnx.tmp").exists());
}

#[cfg(target_os = "linux")]
#[test]
fn a_file_that_cannot_be_written() {
    let place = trained();
    let output = place.shell("creamery export 'a run' --format onnx --out /proc/net.onnx");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(
        errors.starts_with("error: cannot write `/proc/net.onnx`"),
        "{errors}"
    );
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

#[test]
fn predictions_are_those_that_were_counted() {
    let place = Place::with_digits();
    place.done(&format!("-q retrain tiny.json {TINY} --out r"));
    let answer = place.answer("eval r --batch 7 --predictions predicted.csv");
    let table = String::from_utf8(place.read("predicted.csv")).unwrap();
    let mut lines = table.lines();
    assert_eq!(lines.next(), Some("index,label,predicted"));
    let rows: Vec<Vec<usize>> = lines
        .map(|line| line.split(',').map(|cell| cell.parse().unwrap()).collect())
        .collect();
    assert_eq!(rows.len(), 20);
    for (i, row) in rows.iter().enumerate() {
        // `Place::digits` has the classes in turn.
        assert_eq!((row.len(), row[0], row[1]), (3, i, i % 10));
    }
    let right = rows.iter().filter(|row| row[1] == row[2]).count();
    assert_eq!(answer["top1"].as_f64(), Some(100.0 * right as f64 / 20.0));
    place.refused(
        1,
        "eval r --predictions nowhere/p.csv",
        &["cannot write `nowhere/p.csv`"],
    );
}
