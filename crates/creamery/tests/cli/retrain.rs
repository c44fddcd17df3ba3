//! Recipes, teachers, and what a retraining and an evaluation tell.

use crate::support::{Place, TINY};

fn setting(place: &Place, run: &str, key: &str) -> toml::Value {
    let text = String::from_utf8(place.read(&format!("{run}/run.toml"))).unwrap();
    let mut value = toml::Value::Table(toml::from_str(&text).unwrap());
    for key in key.split('.') {
        value = value[key].clone();
    }
    value
}

#[test]
fn a_recipe_lies_under_what_is_said_and_over_what_the_space_recommends() {
    let place = Place::with_digits();
    place.write("own.toml", "dropout = 0.3\n");
    place.done(&format!(
        "-q retrain tiny.json {TINY} --recipe fashion -c own.toml --set data.erasing=0.5 --out r"
    ));
    assert_eq!(
        setting(&place, "r", "train.weight_decay").as_float(),
        Some(2e-4)
    );
    assert_eq!(
        setting(&place, "r", "data.crop_padding").as_integer(),
        Some(2)
    );
    assert_eq!(setting(&place, "r", "dropout").as_float(), Some(0.3));
    assert_eq!(setting(&place, "r", "data.erasing").as_float(), Some(0.5));
    assert_eq!(setting(&place, "r", "train.epochs").as_integer(), Some(2));
}

#[test]
fn an_unknown_recipe_is_told_with_the_one_that_was_meant() {
    let place = Place::with_digits();
    place.refused(
        2,
        &format!("retrain tiny.json {TINY} --recipe papers --out r"),
        &["did you mean `paper`?"],
    );
    assert!(!place.path("r").exists());
}

#[test]
fn what_weights_were_trained_on_is_not_held_out_from_them() {
    let place = Place::with_digits();
    place.done(&format!("-q retrain tiny.json {TINY} --seed 3 --out first"));
    let seed = |run: &str| setting(&place, run, "data.split_seed").as_integer();
    let notes = |line: &str| String::from_utf8(place.run(line).stderr).unwrap();
    // By its run, by its file, and as what an architecture comes with.
    let again = format!("--plain retrain first {TINY} --seed 4");
    for (run, init) in [
        ("a", "first"),
        ("b", "first/model.safetensors"),
        ("c", "inherit"),
    ] {
        let told = notes(&format!("{again} --init {init} --out {run}"));
        assert!(!told.contains("flatters"), "{told}");
        assert_eq!(seed(run), Some(3), "--init {init}");
    }
    let told = notes(&format!(
        "{again} --init first --set data.split_seed=4 --out other"
    ));
    assert!(
        told.contains("flatters") && told.contains("data.validation=0.2 --set data.split_seed=3"),
        "{told}"
    );
    let told = notes(&format!(
        "{again} --init first --set data.validation=0.3 --out more"
    ));
    assert!(told.contains("flatters"), "{told}");
    assert_eq!(seed("more"), Some(3));
    // Nothing was trained on, so the run's own seed decides.
    place.done(&format!("-q {} --out fresh", again.replace("--plain ", "")));
    let text = String::from_utf8(place.read("fresh/run.toml")).unwrap();
    assert!(!text.contains("split_seed"), "{text}");
}

#[test]
fn a_teacher_is_kept_with_the_run_that_it_teaches() {
    let place = Place::with_digits();
    place.done(&format!("-q retrain tiny.json {TINY} --out large"));
    place.done(&format!(
        "-q retrain tiny.json {TINY} --seed 1 --teacher large --out small"
    ));
    assert_eq!(
        place.read("small/teacher.safetensors"),
        place.read("large/model.safetensors")
    );
    place.refused(
        2,
        &format!("retrain tiny.json {TINY} --teacher nobody --out none"),
        &["--teacher takes a model", "nobody"],
    );
    assert!(!place.path("none").exists());
}

#[test]
fn what_is_taken_for_what() {
    let place = Place::with_digits();
    let answer = place.answer(&format!("retrain tiny.json {TINY} --out r"));
    assert!(
        answer["best"]["epoch"].is_u64() && answer["raw"]["top1"].is_f64(),
        "{answer}"
    );
    let evaluated = place.answer("eval r --per-class --confusion c.json");
    assert_eq!(evaluated["top1"], answer["top1"]);
    let classes = evaluated["classes"].as_array().unwrap();
    assert_eq!((classes.len(), &classes[3]["name"]), (10, &"3".into()));
    assert_eq!(classes[3]["images"], 2);
    let (own, written) = (place.json("r/confusion.json"), place.json("c.json"));
    assert_eq!(own, written);
    let right: u64 = (0..10)
        .map(|class| own["counts"][class][class].as_u64().unwrap())
        .sum();
    assert_eq!(
        100.0 * right as f64 / 20.0,
        answer["top1"].as_f64().unwrap()
    );
    let text = place.done("eval r --per-class");
    assert!(
        text.contains("recall") && text.contains("most often taken for another"),
        "{text}"
    );
}
