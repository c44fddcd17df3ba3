//! Spaces as files, and the networks in them.

use std::fs;

use creamery_space::{Architecture, LayerSpec, SKIP, Space, SpaceError};
use proptest::collection::vec;
use proptest::prelude::*;

fn tiny() -> Space {
    Space::builtin("tiny-32").unwrap()
}

fn message(text: &str) -> String {
    Space::from_toml(text, "mine.toml").unwrap_err().to_string()
}

#[test]
fn built_in_spaces_are_known_and_read_back() {
    let names: Vec<_> = Space::builtin_names().collect();
    assert_eq!(names, ["cream-224", "tiny-32"]);
    for name in names {
        let space = Space::builtin(name).unwrap();
        assert_eq!(space.name, name);
        let again = Space::from_toml(&space.to_toml(), "written").unwrap();
        assert_eq!(again, space);
        assert_eq!(again.fingerprint(), space.fingerprint());
    }
    assert!(Space::builtin("cream").is_none());
}

/// Saved supernets name the fingerprint of their space: a change would orphan them.
#[test]
fn fingerprints_do_not_change_between_versions() {
    assert_eq!(
        Space::builtin("cream-224").unwrap().fingerprint(),
        "1d0f95ed985826a0"
    );
    assert_eq!(tiny().fingerprint(), "4f05dc43ac2da529");
}

#[test]
fn the_fingerprint_sees_shapes_and_nothing_else() {
    let change = |edit: fn(&mut Space)| {
        let mut space = tiny();
        edit(&mut space);
        space.fingerprint()
    };
    let same = tiny().fingerprint();
    assert_eq!(change(|space| space.name = "other".into()), same);
    assert_eq!(change(|space| space.resolutions.push(64)), same);
    assert_eq!(change(|space| space.recommended.search.epochs = None), same);
    let edits: [fn(&mut Space); 9] = [
        |space| space.stem.channels += 8,
        |space| space.first.kernel = 5,
        |space| space.operations[2].expansion = 4,
        |space| space.operations.swap(0, 1),
        |space| space.stages[1].channels += 8,
        |space| space.stages[1].blocks += 1,
        |space| space.last_channels += 8,
        |space| space.head_channels += 8,
        |space| space.se_ratio = 0.5,
    ];
    let mut seen: Vec<_> = edits.map(change).into();
    seen.push(same);
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 10);
}

#[test]
fn spaces_come_by_name_or_from_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    let path = path.to_str().unwrap();
    assert!(matches!(Space::resolve(path), Err(SpaceError::Read { .. })));
    let mut mine = tiny();
    mine.name = "mine".into();
    mine.stages.pop();
    fs::write(path, mine.to_toml()).unwrap();
    assert_eq!(Space::resolve(path).unwrap(), mine);
    assert_eq!(Space::resolve("tiny-32").unwrap(), tiny());

    mine.name = "tiny-32".into();
    fs::write(path, mine.to_toml()).unwrap();
    let message = Space::resolve(path).unwrap_err().to_string();
    assert!(message.contains("that of a different built-in space"));

    let message = Space::resolve("tiny-23").unwrap_err().to_string();
    assert_eq!(
        message,
        "unknown space `tiny-23`, did you mean `tiny-32`?; known are cream-224, tiny-32, or give the path of a .toml file"
    );
    assert!(
        !Space::resolve("zzz")
            .unwrap_err()
            .to_string()
            .contains("mean")
    );
    assert!(Space::resolve("").is_err());

    fs::write(path, [0xff, 0xfe, 0x00]).unwrap();
    assert!(matches!(Space::resolve(path), Err(SpaceError::Read { .. })));
    fs::write(path, " ".repeat((1 << 20) + 1)).unwrap();
    let message = Space::resolve(path).unwrap_err().to_string();
    assert!(message.contains("more than 1048576 bytes"), "{message}");
}

#[test]
fn a_misspelt_key_has_its_line_and_the_right_one() {
    let text = include_str!("../spaces/tiny-32.toml");
    for (from, to, says) in [
        (
            "last_channels",
            "last_chanels",
            "unknown key `last_chanels`, did you mean `last_channels`?",
        ),
        (
            "[recommended.search]",
            "[recommended.serch]",
            "did you mean `search`?",
        ),
        ("tau =", "tua =", "did you mean `tau`?"),
        (
            "{ channels = 24, stride",
            "{ channels = 24, strid",
            "did you mean `stride`?",
        ),
        (
            "expansion = 2",
            "wide = 2",
            "unknown key `wide`, expected `kernel` or `expansion`",
        ),
        ("max_macs = \"6M\"", "max_macs = \"6X\"", "`6X` is no count"),
        (
            "\"sgd\"",
            "\"adam\"",
            "unknown variant `adam`, expected `sgd` or `rmsprop`",
        ),
        ("blocks = 2", "blocks = \"2\"", "invalid type: string \"2\""),
        ("blocks = 2", "blocks = -2", "-2"),
        ("kernel = 3", "kernel = ", "mine.toml, line 10"),
        ("head_channels = 512\n", "", "missing key `head_channels`"),
    ] {
        let broken = text.replacen(from, to, 1);
        assert_ne!(text, broken, "{from}");
        // The line of the change; what is missing is missing from the whole file.
        let line = match to {
            "" => 1,
            _ => 1 + text[..text.find(from).unwrap()].matches('\n').count(),
        };
        let message = message(&broken);
        assert!(
            message.starts_with(&format!("mine.toml, line {line}: ")),
            "{message}"
        );
        assert!(message.contains(says), "{message}");
        assert!(!message.contains('\n'), "{message}");
    }
}

#[test]
fn values_that_no_network_has_are_named() {
    let text = include_str!("../spaces/tiny-32.toml");
    for (from, to, says) in [
        ("tiny-32\"", "tiny 32\"", "name must be 1 to 64 letters"),
        ("tiny-32\"", "\"", "name must be"),
        ("[28, 32]", "[]", "number of resolutions must be 1 to"),
        (
            "[28, 32]",
            "[28, 5000]",
            "resolutions[1] must be 1 to 1024, not 5000",
        ),
        (
            "se_ratio = 0.25",
            "se_ratio = nan",
            "se_ratio must be 0 to 1, not NaN",
        ),
        ("= 128", "= 0", "last_channels must be 1 to 8192, not 0"),
        (
            "{ channels = 16, kernel = 3",
            "{ channels = 16, kernel = 4",
            "stem.kernel must be an odd",
        ),
        (
            "expansion = 2",
            "expansion = 17",
            "operations[0].expansion must be 1 to 16",
        ),
        ("expansion = 2", "expansion = 3", "operations[1] repeats"),
        (
            "stride = 1, blocks = 2",
            "stride = 0, blocks = 2",
            "stages[0].stride must be 1 to 4",
        ),
        (
            "blocks = 4",
            "blocks = 0",
            "stages[2].blocks must be 1 to 32, not 0",
        ),
        ("blocks = 4", "blocks = 1000000000", "stages[2].blocks"),
        (
            "resolution = 28",
            "resolution = 29",
            "recommended.resolution must be one of [28, 32]",
        ),
        (
            "batch = 64",
            "batch = 0",
            "recommended.search.batch must be at least 1",
        ),
        (
            "lr = 0.1",
            "lr = inf",
            "recommended.search.lr must be a finite",
        ),
        (
            "dropout = 0.1",
            "dropout = 1.5",
            "recommended.retrain.dropout must be 0 to 1",
        ),
    ] {
        let broken = text.replacen(from, to, 1);
        assert_ne!(text, broken, "{from}");
        let message = message(&broken);
        assert!(message.contains(says), "{message}");
        assert!(message.len() < 200, "{message}");
    }
    let mut deep = tiny();
    deep.stages = vec![deep.stages[2]; 16];
    deep.stages.iter_mut().for_each(|stage| stage.blocks = 32);
    let message = deep.check().unwrap_err().to_string();
    assert!(message.contains("more than 2^128 paths"), "{message}");
}

#[test]
fn architectures_of_elsewhere_are_refused() {
    let space = tiny();
    let refuse = |resolution, choices: &[&[i8]], says: &str| {
        let choices = choices.iter().map(|stage| stage.to_vec()).collect();
        let architecture = Architecture::new("tiny-32", resolution, choices);
        let message = space.validate(&architecture).unwrap_err().to_string();
        assert!(message.contains(says), "{message}");
        assert!(space.layers(&architecture, 3, 10).is_err());
        assert!(space.to_timm(&architecture).is_err());
    };
    refuse(
        224,
        &[&[0], &[0], &[0]],
        "resolution 224 is not one of `tiny-32`: [28, 32]",
    );
    refuse(28, &[&[0], &[0]], "has 2 stages; `tiny-32` has 3");
    refuse(
        28,
        &[&[0], &[0, 1, 2, 3], &[0]],
        "stage 1 has 4 blocks; `tiny-32` has at most 3",
    );
    refuse(
        28,
        &[&[0], &[], &[0]],
        "choice -1 of stage 1, block 0 is not allowed: 0 to 5, because",
    );
    refuse(28, &[&[0], &[-1, 2], &[0]], "choice -1 of stage 1, block 0");
    refuse(
        28,
        &[&[0], &[0, 6], &[0]],
        "choice 6 of stage 1, block 1 is not allowed: 0 to 5, or -1",
    );
    refuse(
        28,
        &[&[0], &[0], &[-128]],
        "choice -128 of stage 2, block 0",
    );
    let foreign = Architecture::new("cream-224", 28, vec![vec![0]; 3]);
    let message = space.validate(&foreign).unwrap_err().to_string();
    assert_eq!(
        message,
        "the architecture belongs to the space `cream-224`, not to `tiny-32`"
    );
}

#[test]
fn padded_architectures_are_as_good_as_trimmed_ones() {
    let space = tiny();
    let mut padded = space.smallest(28).unwrap();
    let cost = space.cost(&padded, 1, 10).unwrap();
    padded.choices[1].extend([SKIP; 9]);
    assert_eq!(space.cost(&padded, 1, 10).unwrap(), cost);
    assert_eq!(space.to_timm(&padded).unwrap()[2].len(), 1);
}

#[test]
fn impossible_inputs_are_refused() {
    let space = tiny();
    let architecture = space.smallest(28).unwrap();
    for (channels, classes, says) in [
        (0, 10, "image channels must be 1 to 8192, not 0"),
        (usize::MAX, 10, "image channels must be"),
        (1, 0, "classes must be 1 to 16777216, not 0"),
        (1, usize::MAX, "classes must be"),
    ] {
        let message = space
            .cost(&architecture, channels, classes)
            .unwrap_err()
            .to_string();
        assert!(message.contains(says), "{message}");
    }
}

/// The dearest space that is allowed costs less than a `u64` holds.
#[test]
fn no_cost_overflows() {
    let mut space = tiny();
    space.resolutions = vec![1024];
    space.recommended.resolution = None;
    space.se_ratio = 1.0;
    space.last_channels = 8192;
    space.head_channels = 1 << 16;
    for fixed in [&mut space.stem, &mut space.first] {
        (fixed.channels, fixed.kernel, fixed.stride) = (8192, 15, 1);
    }
    space.operations.truncate(1);
    (space.operations[0].kernel, space.operations[0].expansion) = (15, 16);
    space.stages = vec![space.stages[0]; 16];
    // One operation and the skip: 2^(16 * 7) paths; with one block more there would be too many.
    for stage in &mut space.stages {
        (stage.channels, stage.stride, stage.blocks) = (8192, 1, 8);
    }
    space.check().unwrap();
    let cost = space
        .cost(&space.largest(1024).unwrap(), 8192, 1 << 24)
        .unwrap();
    assert!(cost.macs > u64::MAX / 100 && cost.flops_thop > cost.macs);
}

#[test]
fn images_get_the_nearest_resolution() {
    let tiny = tiny();
    assert_eq!(tiny.resolution_for(Some(28)), 28);
    assert_eq!(tiny.resolution_for(Some(30)), 32);
    assert_eq!(tiny.resolution_for(Some(usize::MAX)), 32);
    assert_eq!(tiny.resolution_for(None), 28);
    let cream = Space::builtin("cream-224").unwrap();
    assert_eq!(cream.resolution_for(Some(28)), 32);
    assert_eq!(cream.resolution_for(None), 224);
}

#[test]
fn a_network_layer_by_layer() {
    let space = tiny();
    let architecture = Architecture::new("tiny-32", 28, vec![vec![0], vec![5, SKIP, 1], vec![2]]);
    let layers = space.layers(&architecture, 1, 10).unwrap();
    let seen: Vec<_> = layers
        .iter()
        .map(|layer| {
            (
                layer.name.as_str(),
                layer.input_size,
                layer.output_size,
                layer.choice,
            )
        })
        .collect();
    assert_eq!(
        seen,
        [
            ("stem", 28, 14, None),
            ("first", 14, 14, None),
            ("stages.0.0", 14, 14, Some((0, 0, 0))),
            ("stages.1.0", 14, 7, Some((1, 0, 5))),
            ("stages.1.2", 7, 7, Some((1, 2, 1))),
            ("stages.2.0", 7, 4, Some((2, 0, 2))),
            ("last", 4, 4, None),
            ("head", 4, 1, None),
            ("classifier", 1, 1, None),
        ]
    );
    assert_eq!(
        layers[3].spec,
        LayerSpec::InvertedResidual {
            in_channels: 24,
            mid_channels: 144,
            out_channels: 32,
            kernel: 5,
            stride: 2,
            squeeze: 40,
        }
    );
    assert!(layers[4].spec.has_residual());
}

/// Any path of the space, as places choose it.
fn any_path() -> impl Strategy<Value = Architecture> {
    let stage = |blocks: usize| {
        (0i8..6, vec(-1i8..6, blocks - 1)).prop_map(|(first, rest)| {
            let mut choices = vec![first];
            choices.extend(rest);
            choices
        })
    };
    (
        stage(2),
        stage(3),
        stage(4),
        prop_oneof![Just(28usize), Just(32)],
    )
        .prop_map(|(a, b, c, resolution)| Architecture::new("tiny-32", resolution, vec![a, b, c]))
}

proptest! {
    #[test]
    fn layers_fit_together(architecture in any_path(), grey: bool) {
        let space = tiny();
        let channels = if grey { 1 } else { 3 };
        let layers = space.layers(&architecture, channels, 10).unwrap();
        prop_assert_eq!(layers[0].spec.in_channels(), channels);
        prop_assert_eq!(layers[0].input_size, architecture.resolution);
        prop_assert_eq!(layers.last().unwrap().spec.out_channels(), 10);
        for pair in layers.windows(2) {
            prop_assert_eq!(pair[0].output_size, pair[1].input_size);
            prop_assert_eq!(pair[0].spec.out_channels(), pair[1].spec.in_channels());
        }
        prop_assert_eq!(layers.len(), architecture.depth() + 5);
        for layer in &layers {
            if let Some((stage, block, op)) = layer.choice {
                prop_assert_eq!(&layer.spec, &space.candidate(stage, block, op));
            }
        }
        let cost = space.cost(&architecture, channels, 10).unwrap();
        prop_assert_eq!(cost, layers.iter().map(|layer| layer.cost).sum());
        prop_assert_eq!(cost, space.cost(&architecture.packed(), channels, 10).unwrap());
    }

    #[test]
    fn extremes_bound_every_path(architecture in any_path()) {
        let space = tiny();
        let cost = |architecture: &Architecture| space.cost(architecture, 1, 10).unwrap();
        let any = cost(&architecture);
        let least = cost(&space.smallest(architecture.resolution).unwrap());
        let most = cost(&space.largest(architecture.resolution).unwrap());
        prop_assert!(least.macs <= any.macs && any.macs <= most.macs);
        prop_assert!(least.params <= any.params && any.params <= most.params);
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,80}") {
        prop_assert!(Space::from_toml(&text, "text").is_err());
    }

    /// One byte of a good file replaced by another.
    #[test]
    fn damaged_files_do_not_panic(at in 0usize..2000, byte in 0u8..128) {
        let mut bytes = include_bytes!("../spaces/tiny-32.toml").to_vec();
        let at = at % bytes.len();
        bytes[at] = byte;
        let _ = Space::from_toml(&String::from_utf8(bytes).unwrap(), "damaged");
    }
}

#[test]
fn places_are_the_supernet_in_order() {
    let space = tiny();
    let places: Vec<_> = space.places().collect();
    assert_eq!(places.len(), 2 + 3 + 4);
    for place in &places {
        assert_eq!(place.may_skip, place.block > 0);
        let candidate = space.candidate(place.stage, place.block, 0);
        assert_eq!(candidate.in_channels(), place.in_channels);
        assert_eq!(candidate.out_channels(), place.out_channels);
        assert_eq!(candidate.stride(), place.stride);
    }
    assert_eq!(space.paths(), 6 * 7 * 6 * 49 * 6 * 343);
    assert!(Space::builtin("cream-224").unwrap().paths() > 10u128.pow(22));
}
