//! What commands answer when all is well.

use std::process::Stdio;

use crate::support::{Place, TINY, TINY_SEARCH};

#[test]
fn presets_cost_what_was_published() {
    let place = Place::new();
    for (preset, macs, params, mflops) in [
        ("cream-14", 13_188_608, 2_673_096, 13.84),
        ("cream-43", 40_655_232, 4_398_600, 42.41),
        ("cream-114", 109_623_680, 4_410_120, 114.48),
        ("cream-287", 276_262_016, 6_044_368, 287.19),
        ("cream-481", 460_398_080, 7_713_360, 481.59),
        ("cream-604", 578_698_368, 9_695_624, 604.32),
    ] {
        let answer = place.answer(&format!("describe {preset}"));
        assert_eq!(
            (&answer["macs"], &answer["params"]),
            (&macs.into(), &params.into()),
            "{preset}"
        );
        let thop = answer["flops_thop"].as_f64().unwrap() / 1e6;
        assert!((thop - mflops).abs() < 0.005, "{preset}: {thop}");
        let sum: u64 = (answer["layers"].as_array().unwrap().iter())
            .map(|layer| layer["macs"].as_u64().unwrap())
            .sum();
        assert_eq!(sum, macs);
    }
}

#[test]
fn a_description_for_people() {
    let text = Place::new().done("describe cream-114");
    for part in [
        "stages.0.0",
        "ir_r1_k3_s2_e4_c24_se0.25",
        "80>40",
        "cream-224@160:0/33/33/333/33",
        "109.6M (109,623,680)",
        "4.41M (4,410,120)",
        "72.8% top-1, 90.8% top-5",
    ] {
        assert!(text.contains(part), "lacks `{part}`:\n{text}");
    }
    let other = Place::new().done("describe cream-114 --resolution 96 --classes 2 --channels 1");
    assert!(other.contains("96x96, 1 channel, 2 classes"), "{other}");
}

#[test]
fn what_a_data_set_holds() {
    let place = Place::with_digits();
    let mini = place.answer("data");
    assert_eq!(
        (&mini["train"], &mini["test"]),
        (&8000.into(), &2000.into())
    );
    assert_eq!(mini["classes"][9]["name"], "Ankle boot");
    let digits = place.answer("data mnist:digits");
    assert_eq!(
        (&digits["width"], &digits["channels"]),
        (&28.into(), &1.into())
    );
    assert_eq!(digits["classes"][3]["train"], 6);
    let text = place.done("data mnist:digits");
    assert!(text.contains("28x28, 1 channel (grey)"), "{text}");
    assert!(
        text.lines()
            .any(|l| l.split_whitespace().eq(["3", "3", "6", "2"])),
        "{text}"
    );
}

/// The value of a line of an answer for people.
fn line<'a>(text: &'a str, name: &str) -> &'a str {
    let found = text.lines().find_map(|line| line.strip_prefix(name));
    found
        .unwrap_or_else(|| panic!("no `{name}`:\n{text}"))
        .trim()
}

#[test]
fn each_hint_leads_to_the_next_command() {
    let place = Place::with_digits();
    let found = place.shell(&format!(
        "creamery -q search {TINY} {TINY_SEARCH} --out 'my runs/a search'"
    ));
    let text = String::from_utf8_lossy(&found.stdout);
    assert!(
        found.status.success(),
        "{}",
        String::from_utf8_lossy(&found.stderr)
    );
    assert!(
        text.contains("tiny-32@28:") && text.contains("ds_r1_k3_s1_e1_c16_se0.25"),
        "{text}"
    );
    assert!(
        line(&text, "validation").ends_with("% top-1 on 12 held-out images"),
        "{text}"
    );
    let retrain = line(&text, "next");
    assert_eq!(retrain, "creamery retrain 'my runs/a search/result.json'");

    let retrained = place.shell(&format!("{retrain} --epochs 1 --batch 8"));
    let text = String::from_utf8_lossy(&retrained.stdout);
    let errors = String::from_utf8_lossy(&retrained.stderr);
    assert!(retrained.status.success(), "{errors}");
    assert!(
        errors.contains("epoch 1/1  loss"),
        "a line for each epoch:\n{errors}"
    );
    assert!(
        line(&text, "top-1").ends_with("% on the 20 test images of mnist:digits"),
        "{text}"
    );
    let eval = line(&text, "next");
    assert_eq!(eval, "creamery eval runs/retrain-mnist-1");

    let evaluated = place.shell(eval);
    let again = String::from_utf8_lossy(&evaluated.stdout);
    assert_eq!(line(&again, "top-1"), line(&text, "top-1"));
    assert_eq!(line(&again, "MACs"), line(&text, "MACs"));
}

#[test]
fn results_hold_what_was_promised() {
    let place = Place::with_digits();
    let search = place.answer(&format!(
        "search {TINY} {TINY_SEARCH} --buckets 2 --seed 3 --out s"
    ));
    let file = place.json("s/result.json");
    for (key, value) in [
        ("kind", "search".into()),
        ("method", "cream".into()),
        ("space", "tiny-32".into()),
        ("dataset", "mnist:digits".into()),
        ("seed", 3.into()),
    ] {
        assert_eq!((&search[key], &file[key]), (&value, &value));
    }
    assert_eq!(search["run"], "s");
    assert_eq!(search["validation"]["images"], 12);
    assert_eq!(search["architecture"]["resolution"], 28);
    let timm = search["architecture"]["timm"].as_array().unwrap();
    assert_eq!(timm.len(), 5);
    assert!(search["macs"].as_u64().unwrap() <= 3_000_000);
    assert!(search["timing"]["images_per_second"].as_f64().unwrap() > 0.0);
    let family = search["family"].as_array().unwrap();
    assert!(!family.is_empty() && !search["board"].as_array().unwrap().is_empty());

    // The winner costs what a description of it says, and its weights score what the search said.
    let described = place.answer("describe s");
    assert_eq!(described["classes"], 10);
    for key in ["macs", "params", "flops_thop"] {
        assert_eq!(described[key], search[key], "{key}");
    }
    let evaluated = place.answer("eval s --split validation");
    assert_eq!(evaluated["top1"], search["validation"]["top1"]);

    let bucket = &family.last().unwrap()["bucket"];
    let member = place.answer(&format!("describe s/result.json --bucket {bucket}"));
    assert_eq!(member["macs"], family.last().unwrap()["macs"]);

    let retrained =
        place.answer("retrain s --init inherit --epochs 1 --batch 8 --lr 0.001 --out r");
    assert_eq!(
        (&retrained["kind"], &retrained["init"]),
        (&"retrain".into(), &"inherit".into())
    );
    assert_eq!(retrained["dataset"], "mnist:digits");
    assert_eq!(retrained["test_images"], 20);
    assert_eq!(retrained["validation"]["images"], 12);
    let evaluated = place.answer("eval r/model.safetensors");
    assert_eq!(evaluated["top1"], retrained["top1"]);
    assert_eq!(evaluated["macs"], search["macs"]);
}

#[test]
fn a_space_of_ones_own_goes_with_its_runs() {
    let place = Place::with_digits();
    let text = include_str!("../../../creamery-space/spaces/tiny-32.toml");
    place.write(
        "my.toml",
        text.replace("name = \"tiny-32\"", "name = \"pocket\""),
    );
    place.done(&format!(
        "-q search {TINY} {TINY_SEARCH} --space my.toml --out s"
    ));
    std::fs::remove_file(place.path("my.toml")).unwrap();
    assert_eq!(place.answer("describe s")["space"], "pocket");
    let retrained = place.answer("retrain s --epochs 1 --batch 8 --out r");
    assert_eq!(retrained["space"], "pocket");
    assert_eq!(
        place.answer("describe r/result.json")["macs"],
        retrained["macs"]
    );
}

#[test]
fn quiet_is_quiet() {
    let place = Place::with_digits();
    let output = place.run(&format!("-q retrain tiny.json {TINY} --epochs 1"));
    assert!(output.status.success() && output.stderr.is_empty());
}

#[test]
fn threads_do_not_change_the_result() {
    let place = Place::with_digits();
    for threads in [1, 3] {
        place.done(&format!(
            "-q --threads {threads} retrain tiny.json {TINY} --out t{threads}"
        ));
    }
    assert!(place.read("t1/model.safetensors") == place.read("t3/model.safetensors"));
}

#[test]
fn settings_come_from_flags_over_set_over_file_over_the_space() {
    let place = Place::with_digits();
    place.write(
        "c.toml",
        "seed = 1\n[train]\nlr = 0.01\nbatch = 4\nepochs = 5\n",
    );
    place.done(
        "-q retrain tiny.json --data mnist:digits -c c.toml --set train.batch=6 --set train.epochs=4 --epochs 1 --out r",
    );
    let run: toml::Table = String::from_utf8(place.read("r/run.toml"))
        .unwrap()
        .parse()
        .unwrap();
    assert_eq!(run["seed"].as_integer(), Some(1));
    assert_eq!(run["train"]["lr"].as_float(), Some(0.01));
    assert_eq!(run["train"]["batch"].as_integer(), Some(6));
    assert_eq!(run["train"]["epochs"].as_integer(), Some(1));
    assert_eq!(
        run["ema"].as_float(),
        Some(0.999),
        "what the space recommends"
    );
}

#[test]
fn help_shows_examples() {
    let place = Place::new();
    assert!(
        place
            .done("--help")
            .contains("creamery search --out runs/first")
    );
    for command in [
        "search", "select", "retrain", "eval", "export", "describe", "data",
    ] {
        let help = place.done(&format!("{command} --help"));
        assert!(help.contains(&format!("  creamery {command}")), "{help}");
    }
}

#[cfg(unix)]
#[test]
fn a_closed_pipe_is_no_error() {
    let place = Place::new();
    let mut child = place
        .command("describe cream-604")
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
}

/// Names that are no text: JSON has none of them, but no command may fail for it.
#[cfg(target_os = "linux")]
#[test]
fn paths_that_are_no_text() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let place = Place::with_digits();
    let odd = OsStr::from_bytes(b"run-\xff");
    let output = place
        .command(&format!("--json -q retrain tiny.json {TINY} --out"))
        .arg(odd)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["run"], "run-\u{fffd}");
    assert!(place.path("").join(odd).join("result.json").exists());

    place.pictures("pets", &["cat", "dog"], 2);
    std::fs::write(place.path("pets/train/cat").join(odd), "no image").unwrap();
    let answer = place.answer("data folder:pets --skip-bad-images");
    assert_eq!(answer["skipped"][0]["path"], "pets/train/cat/run-\u{fffd}");
    place.refused(
        1,
        "data folder:pets",
        &["run-\u{fffd}", "--skip-bad-images"],
    );
}

#[cfg(target_os = "linux")]
#[test]
fn an_answer_that_cannot_be_written() {
    let place = Place::new();
    let full = std::fs::File::create("/dev/full").unwrap();
    let output = place
        .command("describe cream-14")
        .stdout(full)
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        message.starts_with("error: cannot write to standard output: "),
        "{message}"
    );
}
