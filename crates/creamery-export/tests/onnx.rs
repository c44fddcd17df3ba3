//! The files themselves: what they hold, and what is refused.

mod random;

use std::collections::BTreeSet;

use creamery_export::onnx::proto::{Dimension, ModelProto, ValueInfoProto};
use creamery_export::onnx::{self, ExportError, OPSETS, OnnxOptions, block_bytes};
use creamery_nn::{Device, Layer};
use creamery_space::{Architecture, LayerSpec, Sampler, Space};
use creamery_train::{Model, ModelInput};
use proptest::prelude::*;
use prost::Message;

fn model(architecture: Architecture) -> Model {
    let space = Space::builtin("tiny-32").unwrap();
    let net = random::network(&space, &architecture, 1, 3, 0).unwrap();
    let input = ModelInput {
        data: "mnist:my digits".into(),
        classes: ["T-shirt/top", "a \"quoted\", one", "größer"]
            .map(String::from)
            .to_vec(),
        channels: 1,
        shorter_side: 32,
        interpolation: Default::default(),
        mean: vec![0.286_040_6],
        std: vec![0.353_024_4],
    };
    Model { net, space, input }
}

fn smallest() -> Model {
    model(Space::builtin("tiny-32").unwrap().smallest(28).unwrap())
}

#[test]
fn the_page_has_the_example_as_it_is_compiled() {
    let page = include_str!("../../../docs/onnx.md");
    let example = include_str!("../examples/tract.rs");
    let code = &example[example.find("use std::error::Error;").unwrap()..];
    assert!(page.contains(&format!("```rust\n{code}```\n")));
}

fn shape(value: &ValueInfoProto) -> Vec<String> {
    let tensor = value.r#type.as_ref().unwrap().tensor_type.as_ref().unwrap();
    let dims = &tensor.shape.as_ref().unwrap().dim;
    dims.iter()
        .map(|dim| match dim.value.as_ref().unwrap() {
            Dimension::Value(len) => len.to_string(),
            Dimension::Param(name) => name.clone(),
        })
        .collect()
}

/// Reads a file back, every byte of it, and holds its graph to ONNX's rules.
fn sound(bytes: &[u8]) -> ModelProto {
    let file = ModelProto::decode(bytes).unwrap();
    assert_eq!(file.encode_to_vec(), bytes);
    let graph = file.graph.as_ref().unwrap();
    let mut nodes = BTreeSet::new();
    let mut values: BTreeSet<&str> = BTreeSet::new();
    for input in &graph.input {
        assert!(values.insert(&input.name), "{}", input.name);
    }
    for tensor in &graph.initializer {
        assert!(values.insert(&tensor.name), "{}", tensor.name);
        let len: i64 = tensor.dims.iter().product();
        assert_eq!(tensor.raw_data.len() as i64, 4 * len, "{}", tensor.name);
    }
    let mut used = BTreeSet::new();
    for node in &graph.node {
        assert!(nodes.insert(&node.name), "{}", node.name);
        for input in &node.input {
            assert!(values.contains(&input[..]), "{} takes {input}", node.name);
            used.insert(&input[..]);
        }
        for output in &node.output {
            assert!(values.insert(output), "{output}");
        }
    }
    used.extend(graph.output.iter().map(|output| &output.name[..]));
    assert_eq!(used, values, "values that nothing takes");
    file
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn random_networks_are_sound_files(seed: u64, opset in OPSETS, softmax: bool) {
        let space = Space::builtin("tiny-32").unwrap();
        let sampler = Sampler::new(&space, 28, 1, 3, &Default::default()).unwrap();
        let model = model(sampler.draw(&mut creamery_rng::stream(seed, "test architectures", 0)));
        let options = OnnxOptions { opset, softmax };
        let file = sound(&onnx::bytes(&model, &options).unwrap());
        prop_assert_eq!(file.opset_import.len(), 1);
        prop_assert_eq!(file.opset_import[0].version, i64::from(opset));
        let graph = file.graph.unwrap();
        prop_assert_eq!(&graph.name, &model.net.architecture.to_string());
        prop_assert_eq!((&graph.input[0].name[..], shape(&graph.input[0])), ("images", ["N", "1", "28", "28"].map(String::from).to_vec()));
        prop_assert_eq!((&graph.output[0].name[..], shape(&graph.output[0])), (options.output(), ["N", "3"].map(String::from).to_vec()));
        prop_assert!(graph.node.iter().all(|node| node.op_type != "BatchNormalization"));
    }
}

#[test]
fn metadata_say_how_images_are_prepared() {
    let model = smallest();
    let file = sound(&onnx::bytes(&model, &OnnxOptions::default()).unwrap());
    assert_eq!(file.producer_name, "creamery");
    assert_eq!(file.producer_version, env!("CARGO_PKG_VERSION"));
    let get = |key: &str| {
        let mut found = file.metadata_props.iter().filter(|entry| entry.key == key);
        let entry = found.next().unwrap_or_else(|| panic!("no {key}"));
        assert!(found.next().is_none(), "{key} twice");
        &entry.value[..]
    };
    assert_eq!((get("mean"), get("std")), ("[0.2860406]", "[0.3530244]"));
    assert_eq!(
        (get("resolution"), get("shorter_side"), get("channels")),
        ("28", "32", "1")
    );
    assert_eq!(get("data"), "mnist:my digits");
    assert_eq!(get("creamery_version"), env!("CARGO_PKG_VERSION"));
    let classes: Vec<String> = serde_json::from_str(get("classes")).unwrap();
    assert_eq!(classes, model.input.classes);
    let architecture: Architecture = serde_json::from_str(get("architecture")).unwrap();
    assert_eq!(architecture, model.net.architecture);
    let space = Space::from_toml(get("space"), "metadata").unwrap();
    assert_eq!(space.fingerprint(), model.space.fingerprint());
}

#[test]
fn single_layers_are_sound_files() {
    let space = Space::builtin("cream-224").unwrap();
    for layer in space.layers(&space.smallest(64).unwrap(), 3, 10).unwrap() {
        let spec = &layer.spec;
        let weights = Layer::new(&layer.name, spec, 0, &Device::flex());
        let file = sound(&block_bytes(&weights, layer.input_size, 17).unwrap());
        let graph = file.graph.unwrap();
        let shape_of = |channels: usize, size: usize, flat: bool| {
            let mut shape = vec!["N".to_owned(), channels.to_string()];
            if !flat {
                shape.extend([size.to_string(), size.to_string()]);
            }
            shape
        };
        let classifier = matches!(spec, LayerSpec::Classifier { .. });
        let flat = classifier || matches!(spec, LayerSpec::Head { .. });
        assert_eq!(
            shape(&graph.input[0]),
            shape_of(spec.in_channels(), layer.input_size, classifier)
        );
        assert_eq!(
            shape(&graph.output[0]),
            shape_of(spec.out_channels(), layer.output_size, flat)
        );
        assert_eq!(
            (&graph.input[0].name[..], &graph.output[0].name[..]),
            ("input", "output")
        );
    }
}

#[test]
fn other_opsets_are_refused() {
    let model = smallest();
    for opset in [0, 16, 22] {
        let options = OnnxOptions {
            opset,
            ..OnnxOptions::default()
        };
        let error = onnx::bytes(&model, &options).unwrap_err();
        assert!(error.is_usage());
        let message = format!("unsupported opset {opset}: give 17 to 21");
        assert_eq!(error.to_string(), message);
        assert!(block_bytes(&model.net.layers()[0], 28, opset).is_err());
    }
}

#[test]
fn damaged_weights_are_refused_and_the_file_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.onnx");
    std::fs::write(&path, "old").unwrap();
    for (name, value, tensor) in [
        ("stem.conv.weight", f32::NAN, "stem.conv.weight"),
        (
            "stages.0.0.0.norm2.running_var",
            -1.0,
            "stages.0.0.0.depthwise.weight",
        ),
        ("last.norm.running_mean", f32::INFINITY, "last.conv.bias"),
        ("classifier.bias", f32::NEG_INFINITY, "classifier.bias"),
    ] {
        let mut model = smallest();
        let mut state = model.net.state();
        let damaged = state.iter_mut().find(|t| t.name == name).unwrap();
        damaged.values[0] = value;
        model.net.load(state, &Device::flex()).unwrap();
        let error = onnx::write(&path, &model, &OnnxOptions::default()).unwrap_err();
        assert!(
            matches!(&error, ExportError::NotFinite { tensor: found, .. } if found == tensor),
            "{name}: {error}"
        );
    }
    assert_eq!(std::fs::read(&path).unwrap(), b"old");
    let bytes = onnx::write(&path, &smallest(), &OnnxOptions::default()).unwrap();
    assert_eq!(std::fs::read(&path).unwrap().len(), bytes);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
