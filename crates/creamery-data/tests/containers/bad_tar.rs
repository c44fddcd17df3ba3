//! Tar shards with something wrong.

use creamery_data::OpenOptions;
use proptest::prelude::*;

use super::made::{Place, jpeg, tar};

const SKIP: OpenOptions = OpenOptions {
    skip_bad_images: true,
    max_bad_images: 100,
    val_labels: None,
};

/// Files of a shard: names and bytes.
type Files = Vec<(String, Vec<u8>)>;

/// Something that goes wrong with them.
type Change = Box<dyn FnOnce(&mut Files)>;

fn samples() -> Files {
    (0..6)
        .flat_map(|i| {
            let label = (i % 2).to_string().into_bytes();
            [
                (format!("a/{i:03}.jpg"), jpeg(i)),
                (format!("a/{i:03}.cls"), label),
            ]
        })
        .collect()
}

fn with(change: impl FnOnce(&mut Files)) -> Place {
    let place = Place::new();
    let mut changed = samples();
    change(&mut changed);
    place.write("s/train-0.tar", tar(&samples()));
    place.write("s/train-1.tar", tar(&changed));
    place.write("s/val-0.tar", tar(&samples()));
    place
}

#[test]
fn every_fault_has_its_shard_and_sample() {
    let cases: [(&str, Change, usize); 7] = [
        ("no image in it", Box::new(|s| drop(s.remove(4))), 11),
        (
            "a sample without a label",
            Box::new(|s| drop(s.remove(5))),
            11,
        ),
        (
            "neither a JPEG nor a PNG",
            Box::new(|s| s[4].1 = b"GIF89a, not a JPEG".to_vec()),
            11,
        ),
        (
            "label `bee` is neither a number nor a class",
            Box::new(|s| s[5].1 = b"bee".to_vec()),
            11,
        ),
        (
            "label -1 is outside",
            Box::new(|s| s[5].1 = b"-1".to_vec()),
            11,
        ),
        (
            "label 4000000000 is outside",
            Box::new(|s| s[5].1 = b"4000000000".to_vec()),
            11,
        ),
        ("an empty file", Box::new(|s| s[4].1.clear()), 11),
    ];
    for (says, change, left) in cases {
        let place = with(change);
        let refusal = place.refusal("tar:s");
        assert!(
            refusal.contains("train-1.tar: a/002 (at byte "),
            "{refusal}"
        );
        assert!(
            refusal.contains(says) && refusal.contains("--skip-bad-images"),
            "{refusal}"
        );
        let data = place.open("tar:s", &SKIP).unwrap();
        assert_eq!((data.train.len(), data.skipped.len()), (left, 1));
        assert_eq!(data.skipped[0].place.path, place.path("s/train-1.tar"));
    }
}

#[test]
fn a_bad_picture_in_the_middle_is_met_on_the_way_or_skipped() {
    let place = with(|samples| {
        let half = samples[4].1.len() / 2;
        samples[4].1.truncate(half);
    });
    let data = place.opened("tar:s");
    let error = data.train.image(8).unwrap_err().to_string();
    assert!(
        error.contains("train-1.tar: a/002 (at byte") && error.contains("cut short"),
        "{error}"
    );
    let data = place.open("tar:s", &SKIP).unwrap();
    assert_eq!((data.train.len(), data.skipped.len()), (11, 1));
    let none = OpenOptions {
        max_bad_images: 0,
        ..SKIP
    };
    let error = place.open("tar:s", &none).unwrap_err().to_string();
    assert!(
        error.contains("1 images cannot be used, more than the 0") && error.contains("a/002"),
        "{error}"
    );
}

#[test]
fn labels_beyond_the_named_classes() {
    let place = with(|samples| samples[5].1 = b"2".to_vec());
    place.write("s/classes.txt", "zero\none\n");
    let refusal = place.refusal("tar:s");
    assert!(
        refusal.contains("a/002") && refusal.contains("label 2 is outside the 2 classes (0 to 1)"),
        "{refusal}"
    );
}

#[test]
fn a_shard_cut_anywhere_is_no_whole_one() {
    let place = with(|_| ());
    let whole = std::fs::read(place.path("s/train-1.tar")).unwrap();
    // What follows the last file is an end mark of two blocks, of which one will do.
    let end = whole.len() - 512;
    for length in (1..end)
        .step_by(97)
        .chain([512, 1024, end - 512, end - 513])
    {
        place.write("s/train-1.tar", &whole[..length]);
        let refusal = place.refusal("tar:s");
        assert!(refusal.contains("train-1.tar"), "{length}: {refusal}");
        let data = place.open("tar:s", &SKIP).unwrap();
        assert!(
            (6..=12).contains(&data.train.len()) && !data.skipped.is_empty(),
            "{length}"
        );
        for index in 0..data.train.len() {
            data.train.image(index).unwrap();
        }
    }
    place.write("s/train-1.tar", [0x1f, 0x8b, 8, 0].repeat(400));
    assert!(place.refusal("tar:s").contains("compressed: unpack it"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn damage_never_panics(damage in prop::collection::vec((0.0f64..1.0, any::<u8>()), 1..8)) {
        let place = with(|_| ());
        let mut bytes = std::fs::read(place.path("s/train-1.tar")).unwrap();
        for (place, byte) in damage {
            // Mostly headers: every second block is one.
            let at = (place * bytes.len() as f64) as usize;
            bytes[at] = byte;
        }
        place.write("s/train-1.tar", bytes);
        let _ = place.open("tar:s", &OpenOptions::default());
        if let Ok(data) = place.open("tar:s", &SKIP) {
            for index in 0..data.train.len() {
                prop_assert!(data.train.image(index).is_ok());
            }
        }
    }
}
