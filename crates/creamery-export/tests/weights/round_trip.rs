//! Out and in again: the same bits.

use std::fs;

use creamery_export::import::{Request, import};
use creamery_export::timm;
use creamery_nn::{Device, Subnet};
use creamery_space::{Architecture, Fixed, Space, preset, preset_names};
use creamery_train::{Model, ModelInput};
use proptest::prelude::*;

use crate::support::grey;

fn model(space: &Space, architecture: &Architecture, channels: usize, classes: usize) -> Model {
    let device = Device::flex();
    let mut net = Subnet::new(space, architecture, channels, classes, 5, &device).unwrap();
    // Running statistics and norms begin as 0 and 1, which would not show that two were exchanged.
    let mut state = net.state();
    for (i, value) in state.iter_mut().flat_map(|t| &mut t.values).enumerate() {
        *value += (i % 251) as f32 / 256.0;
    }
    net.load(state, &device).unwrap();
    let input = ModelInput {
        data: "folder:a b".to_owned(),
        classes: (0..classes)
            .map(|class| format!("class \"{class}\" é"))
            .collect(),
        channels,
        shorter_side: architecture.resolution + 3,
        interpolation: Default::default(),
        mean: vec![0.1; channels],
        std: vec![0.3; channels],
    };
    let space = space.clone();
    Model { net, space, input }
}

/// Exports a model, and imports it with the `model.json` and without.
fn assert_round_trip(model: &Model) {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("an export");
    timm::export(model, &out).unwrap();
    let mut files: Vec<_> = fs::read_dir(&out)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    files.sort();
    assert_eq!(files, ["README.md", "model.json", "model.safetensors"]);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);

    let weights = out.join("model.safetensors");
    let back = import(&weights, &Request::default()).unwrap();
    assert!(back.assumed.is_empty() && back.card.is_some());
    assert_eq!(back.model.net.architecture, model.net.architecture);
    assert_eq!(
        (&back.model.space, &back.model.input),
        (&model.space, &model.input)
    );
    let same = |other: &Model| {
        let bits = |model: &Model| -> Vec<Vec<u32>> {
            let state = model.net.state().into_iter();
            state
                .map(|t| t.values.into_iter().map(f32::to_bits).collect())
                .collect()
        };
        assert_eq!(bits(model), bits(other));
    };
    same(&back.model);

    fs::remove_file(out.join("model.json")).unwrap();
    let request = Request {
        resolution: Some(model.net.architecture.resolution),
        ..match model.input.channels {
            1 => grey(),
            _ => Request {
                ..Request::default()
            },
        }
    };
    let found = import(&weights, &request).unwrap();
    assert_eq!(
        found.model.net.architecture,
        model.net.architecture.clone().packed()
    );
    same(&found.model);
}

#[test]
fn every_preset_comes_back_in_the_same_bits() {
    let space = Space::builtin("cream-224").unwrap();
    for name in preset_names() {
        let architecture = preset(name).unwrap().architecture;
        assert_round_trip(&model(&space, &architecture, 3, 7));
    }
}

/// One choice of a stage's first block, and any of the others.
fn stage(operations: i8, blocks: usize) -> impl Strategy<Value = Vec<i8>> {
    (
        0..operations,
        prop::collection::vec(-1..operations, blocks - 1),
    )
        .prop_map(|(first, others)| [vec![first], others].concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_architecture_comes_back_in_the_same_bits(
        stages in (stage(6, 2), stage(6, 3), stage(6, 4)),
        grey: bool,
        classes in 1usize..12,
        small: bool,
    ) {
        let space = Space::builtin("tiny-32").unwrap();
        let resolution = if small { 28 } else { 32 };
        let architecture = Architecture::new("tiny-32", resolution, vec![stages.0, stages.1, stages.2]);
        assert_round_trip(&model(&space, &architecture, if grey { 1 } else { 3 }, classes));
    }
}

fn small() -> Model {
    let space = Space::builtin("tiny-32").unwrap();
    let architecture = space.smallest(28).unwrap();
    model(&space, &architecture, 1, 2)
}

#[test]
fn a_folder_with_anything_in_it_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("mine"), "x").unwrap();
    let error = timm::export(&small(), folder.path()).unwrap_err();
    assert!(
        error.is_usage() && error.to_string().contains("--out"),
        "{error}"
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    timm::export(&small(), &empty).unwrap();
    assert!(empty.join("README.md").is_file());
}

#[test]
fn a_space_that_timm_cannot_build_is_refused_and_nothing_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |change: &dyn Fn(&mut Space), says: &str| {
        let mut space = small().space;
        space.name = "mine".into();
        change(&mut space);
        let architecture = Architecture {
            space: "mine".into(),
            ..space.smallest(28).unwrap()
        };
        let model = model(&space, &architecture, 1, 2);
        let error = timm::export(&model, &folder.path().join("out")).unwrap_err();
        assert!(
            error.is_usage() && error.to_string().contains(says),
            "{error}"
        );
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    };
    let stem = |kernel, stride| Fixed {
        channels: 16,
        kernel,
        stride,
    };
    refused(&|space| space.stem = stem(5, 2), "not 5x5 of stride 2");
    refused(&|space| space.stem = stem(3, 1), "not 3x3 of stride 1");
    refused(&|space| space.stages[1].stride = 3, "not 3");
    refused(
        &|space| space.stages.extend([space.stages[2]; 3]),
        "this is 64",
    );
}

#[test]
fn a_json_that_says_something_else_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    timm::export(&small(), &out).unwrap();
    let (json, weights) = (out.join("model.json"), out.join("model.safetensors"));
    let text = fs::read_to_string(&json).unwrap();
    for (from, to, says) in [
        (
            "\"version\": 1",
            "\"version\": 2",
            "its version is 2, and 1 is read",
        ),
        ("\"resize\"", "\"size\"", "missing field `resize`"),
        ("{", "{{", "model.json"),
        ("\"choices\": [", "\"choices\": [[1],", "4 stages"),
        (
            "class \\\"1\\\" é\"",
            "x\", \"y\"",
            "2 classes apart, and 3 are named",
        ),
    ] {
        assert!(text.contains(from), "{from}");
        fs::write(&json, text.replacen(from, to, 1)).unwrap();
        let error = import(&weights, &Request::default())
            .unwrap_err()
            .to_string();
        assert!(error.contains(says), "{error}");
    }
    // Another program's file of that name is none of ours.
    fs::write(&json, "{\"format\": \"other\"}").unwrap();
    assert!(import(&weights, &grey()).unwrap().card.is_none());
}
