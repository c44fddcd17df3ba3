//! Operations against Pillow's, ranges against timm's, policies by what they do.

use serde_json::Value;

use super::auto::AutoAugment;
use super::filter::Filter;
use super::table::{OPERATIONS, operation};
use crate::image::Image;

fn fixture() -> Value {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/augment.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn bytes(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().unwrap().as_bytes();
    let digit = |c: u8| (c as char).to_digit(16).unwrap() as u8;
    hex.chunks(2)
        .map(|pair| 16 * digit(pair[0]) + digit(pair[1]))
        .collect()
}

fn picture(fixture: &Value) -> Image {
    let size = |key: &str| fixture[key].as_u64().unwrap() as usize;
    Image {
        width: size("width"),
        height: size("height"),
        channels: 3,
        pixels: bytes(&fixture["pixels"]),
    }
}

#[test]
fn operations_are_pillows() {
    let fixture = fixture();
    for case in fixture["cases"].as_array().unwrap() {
        let mut image = picture(&fixture);
        let filter = match case["filter"].as_str() {
            Some("bicubic") => Filter::Bicubic,
            _ => Filter::Bilinear,
        };
        let name = case["operation"].as_str().unwrap();
        let argument = case["argument"].as_f64().unwrap();
        operation(name).apply(&mut image, argument, filter);
        let expected = bytes(&case["pixels"]);
        let differ = image.pixels.iter().zip(&expected).filter(|(a, b)| a != b);
        let differ: Vec<_> = differ.collect();
        // Places between pixels are computed in another order, so that what lies on a whole number may be cut to the one below.
        let most = usize::from(case["filter"].is_string()) * expected.len() / 25;
        assert!(
            differ.len() <= most && differ.iter().all(|(a, b)| a.abs_diff(**b) <= 1),
            "{name} {argument} {filter:?}: {} of {} differ: {differ:?}",
            differ.len(),
            expected.len()
        );
    }
}

#[test]
fn ranges_are_timms() {
    let fixture = fixture();
    let levels: Vec<f64> = fixture["levels"]
        .as_array()
        .unwrap()
        .iter()
        .map(|v| v.as_f64().unwrap())
        .collect();
    for (name, expected) in fixture["ranges"].as_object().unwrap() {
        for (level, expected) in levels.iter().zip(expected.as_array().unwrap()) {
            let mut found: Vec<f64> = (0..40)
                .map(|i| {
                    let mut rng = creamery_rng::stream(0, "ranges", i);
                    operation(name).range.argument(*level, &mut rng)
                })
                .collect();
            found.sort_by(f64::total_cmp);
            found.dedup();
            let expected: Vec<f64> = expected
                .as_array()
                .unwrap()
                .iter()
                .map(|v| v.as_f64().unwrap())
                .collect();
            let close = found.len() == expected.len() || expected == [0.0];
            let all = found
                .iter()
                .zip(&expected)
                .all(|(a, b)| (a - b).abs() < 1e-9);
            assert!(
                close && all,
                "{name} at {level}: {found:?}, not {expected:?}"
            );
        }
    }
}

/// Of grey images too, and of a single pixel.
#[test]
fn every_operation_works_on_every_image() {
    for (width, height, channels) in [(1, 1, 1), (1, 5, 3), (2, 1, 3), (7, 4, 1)] {
        let pixels: Vec<u8> = (0..width * height * channels)
            .map(|i| (i * 37 % 256) as u8)
            .collect();
        for operation in &OPERATIONS {
            for level in [0.0, 4.5, 10.0, 20.0] {
                let mut image = Image {
                    width,
                    height,
                    channels,
                    pixels: pixels.clone(),
                };
                let mut rng = creamery_rng::stream(0, "every", 0);
                let argument = operation.range.argument(level, &mut rng);
                operation.apply(&mut image, argument, Filter::Bicubic);
                assert_eq!(image.pixels.len(), pixels.len(), "{}", operation.name);
            }
        }
    }
}

#[test]
fn a_policy_changes_images_and_is_the_same_for_the_same_numbers() {
    let fixture = fixture();
    let original = picture(&fixture);
    for name in [
        "rand-m9-mstd0.5-inc1",
        "rand-m5-n3-p1",
        "original",
        "cifar-mstd0.5",
        "trivial",
        "rand-mstd101-m9",
    ] {
        let policy: AutoAugment = name.parse().unwrap();
        let run = |i| {
            let mut image = original.clone();
            policy.apply(&mut image, &mut creamery_rng::stream(0, "policy", i));
            image
        };
        let images: Vec<Image> = (0..60).map(run).collect();
        let changed = images.iter().filter(|image| **image != original).count();
        assert!(changed > 20, "{name}: {changed}");
        assert_eq!((0..60).map(run).collect::<Vec<_>>(), images, "{name}");
    }
    let nothing: AutoAugment = "rand-p0".parse().unwrap();
    let mut image = original.clone();
    nothing.apply(&mut image, &mut creamery_rng::stream(0, "policy", 0));
    assert_eq!(image, original);
}

#[test]
fn wrong_names_are_told_with_the_part_that_is_wrong() {
    for (text, says) in [
        ("randd-m9", "did you mean `rand`?"),
        ("", "give `rand-m9"),
        ("augmix", "`augmix` is no augmentation"),
        ("rand-m", "`m` is not one of"),
        ("rand-q5", "`q5` is not one of"),
        ("rand-m9-n0", "whole number of 1 to 20"),
        ("rand-n1.5", "whole number"),
        ("rand-p2", "probability"),
        ("rand-inc2", "`inc0` or `inc1`"),
        ("rand-m12", "raise that too"),
        ("rand-m1e999", "is not one of"),
        ("rand-mmax0", "above 0"),
        ("original-m9", "`mstd` and a number"),
        ("trivial-m9", "no settings"),
    ] {
        let message = text.parse::<AutoAugment>().unwrap_err().to_string();
        assert!(message.contains(says), "{text}: {message}");
    }
}
