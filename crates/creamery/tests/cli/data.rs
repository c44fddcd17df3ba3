//! `creamery data`, and trainings from what it packs.

use crate::support::{Place, png_image};

#[test]
fn inspecting_says_what_is_there_and_what_is_bad() {
    let place = Place::new();
    place.pictures("my pets", &["cat", "dog"], 4);
    std::fs::rename(place.path("my pets"), place.path("pets")).unwrap();
    place.write("pets/train/cat/notes.txt", "not an image");
    place.write("pets/val/dog/9.png", &png_image([1, 2, 3])[..80]);
    let answer = place.answer("data inspect folder:pets --contact-sheet sheet.png");
    assert_eq!(
        (&answer["train"], &answer["test"], &answer["complete"]),
        (&8.into(), &8.into(), &true.into())
    );
    let bad: Vec<&str> = (answer["bad"].as_array().unwrap().iter())
        .map(|image| image["path"].as_str().unwrap())
        .collect();
    assert_eq!(bad, ["pets/train/cat/notes.txt", "pets/val/dog/9.png"]);
    let side = &answer["train_sizes"][0];
    assert_eq!(side["images"], 8, "{side}");
    assert_eq!(
        answer["contact_sheet_rows"],
        serde_json::json!(["cat", "dog"])
    );
    assert!(place.read("sheet.png").starts_with(b"\x89PNG"));

    let text = place.done("data inspect folder:pets");
    assert!(
        text.contains("bad images") && text.contains("pets/train/cat/notes.txt: neither a JPEG"),
        "{text}"
    );
    place.refused(
        1,
        "data inspect folder:pets --contact-sheet no/sheet.png",
        &["cannot write `no/sheet.png`"],
    );
    place.refused(2, "data inspect folder:none", &["no folder `none`"]);
}

#[test]
fn a_packed_set_trains_like_its_source_and_resumes() {
    let place = Place::new();
    place.pictures("pets", &["cat", "dog"], 12);
    place.write("pets/train/cat/notes.txt", "not an image");
    place.refused(
        1,
        "data pack folder:pets --out pets.pack",
        &["notes.txt", "--skip-bad-images"],
    );
    assert!(!place.path("pets.pack").exists());
    let line = "data pack folder:pets --out pets.pack --skip-bad-images";
    let answer = place.answer(line);
    assert_eq!(
        (&answer["train"], &answer["dataset"]),
        (&24.into(), &"packed:pets.pack".into())
    );
    assert_eq!(answer["skipped"].as_array().unwrap().len(), 1);
    place.refused(2, line, &["`pets.pack` is there already", "--force"]);
    place.done(&format!("-q {line} --force --format jpeg --quality 80"));
    place.done(&format!("-q {line} --force"));
    assert_eq!(place.answer("data packed:pets.pack")["train"], 24);
    place.done("-q data inspect packed:pets.pack");

    let train = "-q retrain tiny.json --epochs 2 --batch 8 --data";
    place.done(&format!("{train} folder:pets --skip-bad-images --out a"));
    place.done(&format!(
        "{train} packed:pets.pack --out b --set data.shuffle=full"
    ));
    let accuracy = |run: &str| {
        place.json(&format!("{run}/result.json"))["top1"]
            .as_f64()
            .unwrap()
    };
    assert_eq!(accuracy("a"), accuracy("b"), "pixels are the same");

    let shards = "--set data.shuffle=shards --set data.shuffle_buffer=9 --set data.balance=1 --set data.readers=2";
    let run = format!("{train} packed:pets.pack {shards} --set train.checkpoint_seconds=0");
    place.done(&format!("{run} --out whole"));
    place.kill_when(&format!("{run} --out killed"), || {
        place.path("killed/checkpoint").exists()
    });
    place.done(&format!("{run} --out killed --resume --set data.workers=3"));
    assert_eq!(
        place.read("whole/model.safetensors"),
        place.read("killed/model.safetensors")
    );

    let mut bytes = place.read("pets.pack");
    bytes[70] ^= 1;
    place.write("pets.pack", &bytes);
    place.refused(
        1,
        "data inspect packed:pets.pack",
        &["image 0 has changed since it was packed"],
    );
    place.write("pets.pack", &bytes[..bytes.len() - 1]);
    place.refused(1, "data packed:pets.pack", &["pets.pack", "cut short"]);
}

#[test]
fn settings_of_order_are_checked() {
    let place = Place::with_digits();
    for (setting, says) in [
        (
            "data.balance=2",
            "`data.balance` is 2, but must be in [0, 1]",
        ),
        (
            "data.readers=0",
            "`data.readers` is 0, but must be at least 1",
        ),
        ("data.shuffle_buffer=0", "`data.shuffle_buffer` is 0"),
        ("data.shuffle=some", "data.shuffle"),
    ] {
        place.refused(
            2,
            &format!("retrain tiny.json --data mnist:digits --set {setting}"),
            &[says],
        );
    }
    place.refused(2, "data tar:none", &["`none`"]);
    place.refused(
        2,
        "data packed:none",
        &["no file `none`", "creamery data pack"],
    );
    place.refused(2, "data parquet", &["write `parquet:DIR`"]);
    place.refused(2, "data packed:", &["needs its file: write `packed:FILE`"]);
}

#[test]
fn images_without_class_folders() {
    let place = Place::new();
    place.pictures("pets", &["cat", "dog"], 3);
    std::fs::remove_dir_all(place.path("pets/val")).unwrap();
    for name in ["a", "b"] {
        place.write(&format!("pets/val/{name}.png"), png_image([9, 9, 9]));
    }
    place.refused(
        2,
        "data folder:pets",
        &["no class folders in `pets/val`", "pets/val_labels.txt"],
    );
    place.write("labels.csv", "a,dog\nb,cat\n");
    let answer = place.answer("data folder:pets --val-labels labels.csv");
    assert_eq!(answer["test"], 2);
    place.write("pets/val_labels.txt", "dog\nwolf\n");
    place.refused(
        1,
        "data folder:pets",
        &["pets/val_labels.txt, line 2: `wolf` is no class of train/"],
    );
}

#[test]
fn the_recipe_for_cifar_on_a_small_file() {
    let place = Place::new();
    let record = |i: usize| -> Vec<u8> {
        let label = (i % 10) as u8;
        let pixels = (0..3072).map(|at| label * 20 + ((at * (i + 3)) % 17) as u8);
        std::iter::once(label).chain(pixels).collect()
    };
    let batch = |first: usize| -> Vec<u8> { (first..first + 10).flat_map(record).collect() };
    for number in 1..=5 {
        place.write(&format!("c/data_batch_{number}.bin"), batch(number * 10));
    }
    place.write("c/test_batch.bin", batch(0));
    let names = [
        "plane", "car", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
    ];
    place.write("c/batches.meta.txt", names.join("\n"));
    let line = "-q retrain tiny.json --recipe cifar --data cifar10:c --epochs 2 --batch 10";
    place.done(&format!("{line} --out a"));
    place.done(&format!("{line} --set data.workers=2 --out b"));
    assert_eq!(
        place.read("a/model.safetensors"),
        place.read("b/model.safetensors")
    );
    let answer = place.answer("data pack cifar10:c --out c.pack");
    assert_eq!(answer["bytes"].as_u64().unwrap() / 3072, 60);
}
