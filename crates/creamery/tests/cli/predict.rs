//! `creamery predict`.

use crate::support::{Place, TINY};

/// A place with two classes of pictures and a network that was trained on them.
fn trained() -> Place {
    let place = Place::new();
    place.pictures("pets", &["cat", "dog"], 6);
    place.done(
        "-q retrain tiny.json --data folder:pets --epochs 3 --batch 4 --set data.validation=0 --out run",
    );
    place
}

/// The likeliest class of each image is what `eval` counts.
#[test]
fn predictions_are_those_that_eval_counts() {
    let place = trained();
    let top1 = place.answer("eval run")["top1"].as_f64().unwrap();
    let mut right = 0;
    for class in ["cat", "dog"] {
        let images: Vec<String> = (0..6)
            .map(|i| format!("pets/val/{class}/{i}.png"))
            .collect();
        let answer = place.answer(&format!("predict run {}", images.join(" ")));
        let predictions = answer["predictions"].as_array().unwrap();
        assert_eq!(predictions.len(), 6);
        for (prediction, image) in predictions.iter().zip(&images) {
            assert_eq!(prediction["image"], image.as_str());
            let classes = prediction["classes"].as_array().unwrap();
            let sum: f64 = classes
                .iter()
                .map(|c| c["probability"].as_f64().unwrap())
                .sum();
            assert!(
                classes.len() == 2 && (sum - 1.0).abs() < 1e-9,
                "{prediction}"
            );
            right += usize::from(classes[0]["class"] == class);
        }
    }
    assert!(
        (100.0 * right as f64 / 12.0 - top1).abs() < 1e-6,
        "{right} of 12, {top1}%"
    );

    let text = place.done("predict run pets/val/cat/0.png pets/val/dog/1.png --top 1");
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3, "{text}");
    assert!(
        lines[0].starts_with("image") && lines[2].starts_with("pets/val/dog/1.png"),
        "{text}"
    );
}

#[test]
fn what_is_no_image_stops_or_is_left_out() {
    let place = trained();
    place.write("broken one.png", "no image");
    let mut command = place.command("--json -q predict run pets/val/cat/0.png");
    let output = command.arg("broken one.png").output().unwrap();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(
        message.contains("broken one.png: neither a JPEG nor a PNG"),
        "{message}"
    );

    let line = "--json -q predict run --skip-bad-images pets pets/val/cat/0.png none.png";
    let output = place.command(line).arg("broken one.png").output().unwrap();
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["predictions"].as_array().unwrap().len(), 1);
    let skipped = answer["skipped"].as_array().unwrap();
    let names: Vec<&str> = skipped
        .iter()
        .map(|s| s["image"].as_str().unwrap())
        .collect();
    assert_eq!(names, ["pets", "none.png", "broken one.png"]);

    for line in ["predict run", "predict run a.png --top 0"] {
        assert_eq!(place.run(line).status.code(), Some(2), "{line}");
    }
    place.refused(2, "predict nothing a.png", &["`nothing`"]);
    place.refused(1, "predict run none.png", &["none.png", "cannot be read"]);
}

/// A network of grey images takes colours by their brightness.
#[test]
fn colours_are_grey_to_a_network_of_grey_images() {
    let place = Place::with_digits();
    place.done(&format!("-q retrain tiny.json {TINY} --out run"));
    place.pictures("pets", &["cat"], 1);
    let answer = place.answer("predict run pets/val/cat/0.png --top 3");
    let classes = answer["predictions"][0]["classes"].as_array().unwrap();
    assert_eq!(classes.len(), 3);
}
