//! `creamery bench`.

use crate::support::{Place, TINY};

const SMALL: &str =
    "bench step --space tiny-32 --size 28 --batch 4 --anchors 2 --board 2 --rounds 1";

#[test]
fn each_mode_is_timed_on_the_paths_of_the_file() {
    let place = Place::new();
    place.write(
        "paths.json",
        "[[[0, 1], [2], [3]], [[5], [0, -1, 1], [2, 2]]]",
    );
    let answer = place.answer(&format!("{SMALL} --paths paths.json"));
    for mode in ["spos_ms", "cream_ms", "meta_ms", "eval_ms"] {
        assert!(answer[mode].as_f64().unwrap() > 0.0, "{mode}: {answer}");
    }
    assert_eq!(answer["paths"], 2);
    assert_eq!(answer["batch"], 4);
    let only = place.answer(&format!("{SMALL} --modes eval"));
    assert!(only.get("spos_ms").is_none() && only["eval_ms"].is_number());
}

#[test]
fn bad_paths_are_told_with_their_place() {
    let place = Place::new();
    for (text, says) in [
        ("", "not a list of paths"),
        ("[]", "holds no path"),
        ("{\"a\": 1}", "line 1"),
        ("[[[0], [1], [2]],\n [[0], [1], [300]]]", "line 2"),
        ("[[[0], [1], [2]], [[0], [6], [0]]]", "path 2"),
        ("[[[0], [1]]]", "path 1"),
    ] {
        place.write("paths.json", text);
        let line = format!("{SMALL} --paths paths.json");
        place.refused(1, &line, &["paths.json", says]);
    }
    place.refused(2, &format!("{SMALL} --paths none.json"), &["none.json"]);
    place.refused(2, "bench step --size 33", &["33"]);
}

#[test]
fn inference_is_timed_with_the_sizes_of_the_network() {
    let place = Place::with_digits();
    place.done(&format!("-q retrain tiny.json {TINY} --out run"));
    let answer = place.answer("bench infer run --rounds 2 --batch 3");
    assert!(answer["infer_ms"].as_f64().unwrap() > 0.0, "{answer}");
    let sizes = ["batch", "channels", "classes"].map(|size| answer[size].as_u64().unwrap());
    assert_eq!(sizes, [3, 1, 10]);
    let answer = place.answer("bench infer tiny.json --rounds 1 --channels 3 --classes 7");
    let sizes = ["batch", "channels", "classes"].map(|size| answer[size].as_u64().unwrap());
    assert_eq!(sizes, [1, 3, 7]);
    place.refused(2, "bench infer cream-15", &["did you mean `cream-14`"]);
}
