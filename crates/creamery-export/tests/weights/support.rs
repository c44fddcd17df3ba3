use std::path::{Path, PathBuf};

use burn::tensor::{Tensor, TensorData};
use creamery_export::import::{Imported, Request, import};
use creamery_nn::{Device, NamedTensor, Norm};
use creamery_train::Model;

/// A file of `fixtures/weights`.
pub fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fixtures/weights")
        .join(name)
}

pub fn json(name: &str) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(fixture(name)).unwrap()).unwrap()
}

/// A request that knows no more than how grey images are normalised.
pub fn grey() -> Request<'static> {
    Request {
        mean: Some(vec![0.5]),
        std: Some(vec![0.5]),
        ..Request::default()
    }
}

/// Imports a fixture of grey images, found by its shapes.
pub fn imported(name: &str) -> Imported {
    import(&fixture(name), &grey()).unwrap()
}

/// What a model says of images `[n, channels, side, side]`.
pub fn logits(model: &Model, images: Vec<f32>) -> Vec<f64> {
    let (channels, side) = (model.input.channels, model.net.architecture.resolution);
    let count = images.len() / (channels * side * side);
    let data = TensorData::new(images, [count, channels, side, side]);
    let images = Tensor::<4>::from_data(data, &Device::flex()).permute([0, 2, 3, 1]);
    let logits = model.net.forward(images, Norm::Running).logits.into_data();
    let logits = logits.try_into_vec::<f32>().unwrap();
    logits.into_iter().map(f64::from).collect()
}

/// Asserts that a model computes the logits of a description's images.
pub fn assert_logits(model: &Model, description: &serde_json::Value, key: &str) {
    let side = model.net.architecture.resolution;
    let images = values("images", &[2 * model.input.channels, side, side]);
    let expected: Vec<Vec<f64>> = serde_json::from_value(description[key].clone()).unwrap();
    let expected = expected.concat();
    let found = logits(model, images);
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(&expected) {
        assert!((found - expected).abs() < 1e-4, "{found} {expected}");
    }
    // A network that says the same of everything would agree with anything.
    let [least, most] = [f64::min, f64::max].map(|f| expected.iter().copied().reduce(f).unwrap());
    assert!(most - least > 0.1, "{expected:?}");
}

/// The state dict that a description tells the shapes of.
pub fn state(description: &serde_json::Value) -> Vec<NamedTensor> {
    let shapes: std::collections::BTreeMap<String, Vec<usize>> =
        serde_json::from_value(description["state"].clone()).unwrap();
    let tensors = shapes.into_iter().map(|(name, shape)| NamedTensor {
        values: values(&name, &shape),
        name,
        shape,
    });
    tensors.collect()
}

/// The values that the script gives to a tensor of that name.
pub fn values(name: &str, shape: &[usize]) -> Vec<f32> {
    let uniform = uniform(name, shape.iter().product());
    let matrix = shape.len() > 1;
    let halvings: i32 = match matrix {
        true => (shape[1..].iter().product::<usize>().ilog2() / 2) as i32,
        false => 0,
    };
    let positive = name.ends_with("running_var") || (name.ends_with("weight") && !matrix);
    let value = |u: f32| match (positive, matrix) {
        (true, _) => u + 0.5,
        (_, false) => u - 0.5,
        (_, true) => (u - 0.5) * 4.0 * 0.5f32.powi(halvings),
    };
    uniform.map(value).collect()
}

/// Multiples of 2^-24 in [0, 1): the upper bits of splitmix64, seeded by FNV-1a of the name.
fn uniform(name: &str, count: usize) -> impl Iterator<Item = f32> {
    let seed = name.bytes().fold(0xCBF2_9CE4_8422_2325u64, |seed, byte| {
        (seed ^ u64::from(byte)).wrapping_mul(0x100_0000_01B3)
    });
    (1..=count as u64).map(move |i| {
        let z = seed.wrapping_add(i.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f32 / (1u32 << 24) as f32
    })
}
