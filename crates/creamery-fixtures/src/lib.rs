//! For tests: the numbers that PyTorch computed, from the folder `fixtures` of the workspace, and the devices
//! to hold against them.
//!
//! ```
//! use creamery_fixtures::Fixture;
//!
//! let fixture = Fixture::read("supernet_path");
//! assert_eq!(fixture.tensors["logits"].shape, [6, 7]);
//! assert!(fixture.number("loss") > 0.0);
//! ```

use std::collections::BTreeMap;
use std::path::PathBuf;

use burn::tensor::{Tensor, TensorData};
use creamery_nn::{Device, NamedTensor};
use creamery_space::{Architecture, Space};
use safetensors::{Dtype, SafeTensors};

/// One fixture: scalars, tensors by key, labels by key.
///
/// Everything panics on what is not there: a fixture is committed, and a test that cannot read it must fail.
pub struct Fixture {
    /// The scalars and settings.
    pub json: serde_json::Value,
    /// The f32 tensors by key, such as `grad/stem.conv.weight`; their names are without the prefix.
    pub tensors: BTreeMap<String, NamedTensor>,
    /// The integer tensors by key.
    pub labels: BTreeMap<String, Vec<usize>>,
}

impl Fixture {
    /// Reads `NAME.json` and `NAME.safetensors`.
    pub fn read(name: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
        let json = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap();
        let bytes = std::fs::read(folder.join(format!("{name}.safetensors"))).unwrap();
        let (mut tensors, mut labels) = (BTreeMap::new(), BTreeMap::new());
        for (key, view) in SafeTensors::deserialize(&bytes).unwrap().iter() {
            let data = view.data();
            if view.dtype() == Dtype::I64 {
                let values = data
                    .chunks_exact(8)
                    .map(|b| i64::from_le_bytes(b.try_into().unwrap()) as usize);
                labels.insert(key.to_owned(), values.collect());
            } else {
                assert_eq!(view.dtype(), Dtype::F32, "{key}");
                let values = data
                    .chunks_exact(4)
                    .map(|b| f32::from_le_bytes(b.try_into().unwrap()));
                let tensor = NamedTensor {
                    name: key.rsplit('/').next().unwrap().to_owned(),
                    shape: view.shape().to_vec(),
                    values: values.collect(),
                };
                tensors.insert(key.to_owned(), tensor);
            }
        }
        Self {
            json: serde_json::from_str(&json).unwrap(),
            tensors,
            labels,
        }
    }

    /// All tensors under `prefix/`.
    pub fn under(&self, prefix: &str) -> Vec<NamedTensor> {
        let prefix = format!("{prefix}/");
        self.tensors
            .iter()
            .filter(|(key, _)| key.starts_with(&prefix))
            .map(|(_, tensor)| tensor.clone())
            .collect()
    }

    /// Images, from PyTorch's NCHW to NHWC.
    pub fn images(&self, key: &str, device: &Device) -> Tensor<4> {
        let t = &self.tensors[key];
        let shape = [t.shape[0], t.shape[1], t.shape[2], t.shape[3]];
        Tensor::<4>::from_data(TensorData::new(t.values.clone(), shape), device)
            .permute([0, 2, 3, 1])
    }

    /// A scalar.
    pub fn number(&self, key: &str) -> f64 {
        self.json[key].as_f64().unwrap()
    }

    /// A list of scalars.
    pub fn numbers(&self, key: &str) -> Vec<f64> {
        let values = self.json[key].as_array().unwrap();
        values.iter().map(|v| v.as_f64().unwrap()).collect()
    }

    /// A list of names.
    pub fn names(&self, key: &str) -> Vec<&str> {
        let values = self.json[key].as_array().unwrap();
        values.iter().map(|v| v.as_str().unwrap()).collect()
    }

    /// A path of the fixtures' space.
    pub fn architecture(&self, key: &str) -> Architecture {
        let choices = serde_json::from_value(self.json[key].clone()).unwrap();
        Architecture::new("fixture", 32, choices)
    }
}

/// The space that the fixtures' supernet is drawn from.
pub fn space() -> Space {
    Space::from_toml(include_str!("space.toml"), "space.toml").unwrap()
}

/// Runs a test on every device of this build, the CPU first.
///
/// Panics if the machine lacks one: a test of a device that is not there must fail.
pub fn on_each_device(test: impl Fn(&Device)) {
    for name in creamery_nn::device_names() {
        // Cargo shows it if the test fails.
        println!("device {name}");
        let device = creamery_nn::device(name).unwrap_or_else(|error| panic!("{error}"));
        test(&device);
    }
}

/// The values of a tensor, on whatever device and in whatever graph it is.
pub fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.inner().into_data().try_into_vec().unwrap()
}

/// Norm of the difference relative to the norm of the expected values.
pub fn relative(found: &[f32], expected: &[f32]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let norm = |values: &mut dyn Iterator<Item = f64>| values.map(|v| v * v).sum::<f64>().sqrt();
    let pairs = found.iter().zip(expected);
    let difference = norm(&mut pairs.map(|(a, b)| f64::from(*a) - f64::from(*b)));
    difference / norm(&mut expected.iter().map(|v| f64::from(*v)))
}
