//! Settings and arguments that cannot be: the place, what is wrong, what would do.

use crate::support::{Place, TINY};

#[test]
fn an_unknown_key() {
    let place = Place::new();
    place.write("my.toml", "seed = 1\n\n[train]\nepoch = 3\n");
    for command in ["search", "retrain tiny.json"] {
        place.refused(
            2,
            &format!("{command} -c my.toml"),
            &["my.toml, line 4", "`epoch`", "did you mean `epochs`?"],
        );
        place.refused(
            2,
            &format!("{command} --set train.epoch=3"),
            &["--set train.epoch=3", "did you mean `epochs`?"],
        );
    }
    place.refused(
        2,
        "search --set cream.tua=3",
        &["--set cream.tua=3", "did you mean `tau`?"],
    );
    place.refused(
        2,
        "retrain tiny.json --set seed",
        &["--set seed", "key=value"],
    );
    place.refused(2, "search -c none.toml", &["`none.toml`"]);
}

#[test]
fn a_value_of_the_wrong_type_or_out_of_range() {
    let place = Place::new();
    place.write("my.toml", "[train]\nepochs = \"many\"\n");
    place.write("broken.toml", "[train]\nepochs = = 3\n");
    for command in ["search", "retrain tiny.json"] {
        place.refused(
            2,
            &format!("{command} -c my.toml"),
            &["my.toml, line 2", "string \"many\""],
        );
        place.refused(
            2,
            &format!("{command} -c broken.toml"),
            &["broken.toml, line 2"],
        );
        place.refused(
            2,
            &format!("{command} --set train.lr=fast"),
            &["--set train.lr=fast"],
        );
        for (setting, says) in [
            ("data.augment=randd-m9", "did you mean `rand`?"),
            ("data.augment=rand-m9-q1", "`q1` is not one of"),
            ("data.crop_scale=0", "above 0"),
            ("data.color_jitter=-1", "in [0, 10]"),
            ("data.erasing=1.5", "in [0, 1]"),
        ] {
            let key = setting.split('=').next().unwrap();
            let line = format!("{command} --set {setting}");
            place.refused(2, &line, &[&format!("`{key}`"), says]);
        }
        place.refused(
            2,
            &format!("{command} --set train.momentum=1"),
            &["`train.momentum` is 1", "[0, 1)"],
        );
        place.refused(
            2,
            &format!("{command} --epochs 0"),
            &["`train.epochs`", "at least 1"],
        );
        place.refused(
            2,
            &format!("{command} --set data.validation=0.9"),
            &["`data.validation` is 0.9"],
        );
        place.refused(2, &format!("{command} --device tpu"), &["`tpu`", "cpu"]);
        #[cfg(not(feature = "cuda"))]
        place.refused(
            2,
            &format!("{command} --device cuda"),
            &["`cuda`", "--features cuda"],
        );
    }
    place.refused(2, "retrain tiny.json --lr NaN", &["`train.lr`", "above 0"]);
    place.refused(
        2,
        "search --set data.validation=0",
        &["`data.validation` is 0", "held-out"],
    );
    assert!(!place.path("runs/cream-fashion-mini-1").exists());
}

/// Of a machine whose Vulkan loader finds no driver.
#[cfg(feature = "vulkan")]
#[test]
fn a_device_that_the_machine_has_not() {
    let place = Place::new();
    let says = [
        "`vulkan`",
        "found no vulkan device on this machine",
        "driver",
    ];
    let no_driver = [("VK_DRIVER_FILES", "none"), ("VK_ICD_FILENAMES", "none")];
    place.refused_with(&no_driver, 2, "search --device vulkan", &says);
    assert!(!place.path("runs/cream-fashion-mini-1").exists());
}

#[test]
fn a_method_or_space_that_is_not_known() {
    let place = Place::new();
    place.refused(
        2,
        "search --method craem",
        &["`craem`", "did you mean `cream`?"],
    );
    place.refused(2, "search --method evolution", &["`evolution`", "cream"]);
    place.refused(
        2,
        "search --space tiny-23",
        &["`tiny-23`", "did you mean `tiny-32`?"],
    );
    place.refused(2, "search --space none.toml", &["none.toml"]);
    place.write("my.toml", "name = \"x\"\nresolution = [3]\n");
    place.refused(
        2,
        "search --space my.toml",
        &["my.toml, line 2", "did you mean `resolutions`?"],
    );
    place.refused(2, "search --set space=my.toml", &["my.toml, line 2"]);
    place.refused(2, "search --resolution 30", &["30", "28, 32"]);
}

#[test]
fn a_budget_that_nothing_fits() {
    let place = Place::with_digits();
    for command in ["search", "search --data mnist:digits --out r"] {
        place.refused(
            2,
            &format!("{command} --max-macs 1k"),
            &[
                "at most 1k MACs",
                "the nearest found is",
                "tiny-32@28:0/0/0",
            ],
        );
        place.refused(
            2,
            &format!("{command} --min-macs 1G --max-macs 2G"),
            &["between 1G and 2G MACs", "nearest"],
        );
        place.refused(
            2,
            &format!("{command} --min-macs 5M --max-macs 1M"),
            &["5M", "1M", "exchange"],
        );
    }
    assert!(
        !place.path("r").exists(),
        "the folder is free for the right command"
    );
    let wrong = place.run("search --max-macs 5X");
    let message = String::from_utf8_lossy(&wrong.stderr).into_owned();
    assert_eq!(wrong.status.code(), Some(2));
    assert!(
        message.contains("--max-macs") && message.contains("write it like `5M`"),
        "{message}"
    );
}

#[test]
fn an_architecture_that_is_none() {
    let place = Place::new();
    place.refused(
        2,
        "describe craem-14",
        &["`craem-14`", "did you mean `cream-14`?"],
    );
    place.write(
        "wrong.json",
        r#"{"space": "tiny-32", "resolution": 28, "choices": [[0], [9], [0]]}"#,
    );
    place.refused(2, "describe wrong.json", &["choice 9", "stage 1"]);
    place.refused(2, "retrain wrong.json", &["choice 9"]);
    place.write("cut.json", "{\"space\": \"tiny-32\",\n");
    place.refused(1, "describe cut.json", &["`cut.json`, line 2"]);
    place.write("run/run.toml", "");
    place.refused(2, "describe run", &["`run`", "finished?"]);
    place.refused(
        2,
        "retrain tiny.json --init inherit",
        &["inherit", "--init scratch"],
    );
    place.refused(2, "describe cream-14 --bucket 1", &["--bucket"]);
    place.refused(2, "describe cream-14 --classes 0", &["classes", "not 0"]);
    place.refused(2, "describe cream-14 --resolution 65", &["65", "64"]);
}

#[test]
fn a_model_that_is_none() {
    let place = Place::new();
    place.refused(2, "eval none", &["`none`", "model.safetensors"]);
    place.write("model.safetensors", "not a model");
    place.refused(
        1,
        "eval model.safetensors",
        &["`model.safetensors`", "damaged"],
    );
    place.refused(1, "eval .", &["`./model.safetensors`", "damaged"]);
}

#[test]
fn commands_that_clap_refuses() {
    let place = Place::new();
    for line in [
        "",
        "serach",
        "retrain",
        "search --resume",
        "eval",
        "export model.safetensors --out net.onnx",
        "export model.safetensors --format pdf --out net.pdf",
        "data a b",
        "--threads 0 data",
        "search --seed -1",
    ] {
        let output = place.run(line);
        assert_eq!(output.status.code(), Some(2), "creamery {line}");
        assert!(
            output.stdout.is_empty() && !output.stderr.is_empty(),
            "creamery {line}"
        );
    }
}

#[test]
fn a_loss_that_is_not_finite() {
    let place = Place::with_digits();
    let diverge =
        "--set train.lr=1e30 --set train.clip_norm=0 --set train.checkpoint_seconds=0 --out r";
    place.refused(
        1,
        &format!("retrain tiny.json {TINY} {diverge}"),
        &[
            "of step ",
            "learning rate",
            "train.lr",
            "r/checkpoint/latest.safetensors",
        ],
    );
    assert!(place.path("r/checkpoint/latest.safetensors").exists());
    assert!(!place.path("r/result.json").exists());
}
