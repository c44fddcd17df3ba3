//! A trained network as a file: weights, and all that is needed to use them.

use std::collections::HashMap;
use std::path::Path;

use creamery_data::{Augment, DataSet, Interpolation, Normalisation, Pipeline};
use creamery_nn::{Device, NnError, Subnet};
use creamery_space::{Architecture, Space};
use serde::{Deserialize, Serialize};

use crate::checkpoint::{read_metadata, read_weights, write_weights};
use crate::{CheckpointError, RunData, TrainError};

const FORMAT: &str = "1";

/// A network with its weights and the way images must be prepared for it.
#[derive(Clone, Debug)]
pub struct Model {
    /// The network.
    pub net: Subnet,
    /// The space that its architecture belongs to.
    pub space: Space,
    /// How images are prepared and what the classes are called.
    pub input: ModelInput,
}

/// How images are prepared for a network, and what it says of them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelInput {
    /// The data set it was trained on; empty if that is not known.
    pub data: String,
    /// Names of the classes, in the order of the logits.
    pub classes: Vec<String>,
    /// Channels of an image, 1 or 3.
    pub channels: usize,
    /// Shorter side that images are resized to before the middle square is cut out, in pixels.
    pub shorter_side: usize,
    /// How they are resized; bilinear in files that do not say.
    #[serde(default)]
    pub interpolation: Interpolation,
    /// Mean of each channel, pixels in 0..1.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel, pixels in 0..1.
    pub std: Vec<f32>,
}

impl ModelInput {
    /// The input of networks trained on `data`.
    pub fn of(data: &RunData) -> Self {
        Self {
            data: data.set.name.clone(),
            classes: data.set.classes.clone(),
            channels: data.set.channels,
            shorter_side: data.pipeline.shorter_side,
            interpolation: data.pipeline.interpolation,
            mean: data.pipeline.normalisation.mean.clone(),
            std: data.pipeline.normalisation.std.clone(),
        }
    }

    /// From decoded images to the input of a network of `resolution` pixels, without augmentation.
    pub fn pipeline(&self, resolution: usize) -> Pipeline {
        Pipeline {
            resolution,
            shorter_side: self.shorter_side,
            interpolation: self.interpolation,
            channels: self.channels,
            augment: Augment::default(),
            normalisation: Normalisation {
                mean: self.mean.clone(),
                std: self.std.clone(),
            },
        }
    }

    /// Refuses a data set whose images or classes are not the network's.
    ///
    /// # Errors
    /// [`CheckpointError::Model`] that names both.
    pub fn check(&self, set: &DataSet) -> Result<(), CheckpointError> {
        let differ = |what: String, found: &dyn ToString, expected: &dyn ToString| {
            let (found, expected) = (found.to_string(), expected.to_string());
            if found == expected {
                return Ok(());
            }
            Err(CheckpointError::Model {
                what,
                found,
                expected,
            })
        };
        differ("channels".into(), &self.channels, &set.channels)?;
        differ(
            "class count".into(),
            &self.classes.len(),
            &set.classes.len(),
        )?;
        for (i, (found, expected)) in self.classes.iter().zip(&set.classes).enumerate() {
            differ(format!("class {i}"), found, expected)?;
        }
        Ok(())
    }
}

impl ModelInput {
    /// What a model's file says of its input, without reading its weights.
    ///
    /// # Errors
    /// If the file is missing, damaged, or does not say it.
    pub fn read(path: &Path) -> Result<Self, TrainError> {
        let metadata = read_metadata(path)?;
        let foreign = |reason: String| CheckpointError::Foreign {
            path: path.to_owned(),
            reason,
        };
        let input = metadata
            .get("input")
            .ok_or_else(|| foreign("it has no `input`".into()))?;
        Ok(serde_json::from_str(input).map_err(|e| foreign(format!("its `input`: {e}")))?)
    }
}

impl Model {
    /// Writes the model, whole or not at all.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), TrainError> {
        let plain = "models are plain data";
        let architecture = serde_json::to_string(&self.net.architecture).expect(plain);
        let input = serde_json::to_string(&self.input).expect(plain);
        let metadata = HashMap::from([
            ("creamery_model".to_owned(), FORMAT.to_owned()),
            ("architecture".to_owned(), architecture),
            ("input".to_owned(), input),
            ("space".to_owned(), self.space.to_toml()),
        ]);
        Ok(write_weights(path, &self.net.state(), metadata)?)
    }

    /// Reads a model.
    ///
    /// # Errors
    /// If the file is missing, damaged, no model, or its weights do not fit its architecture.
    pub fn load(path: &Path, device: &Device) -> Result<Self, TrainError> {
        let (tensors, metadata) = read_weights(path)?;
        let foreign = |reason: String| CheckpointError::Foreign {
            path: path.to_owned(),
            reason,
        };
        match metadata.get("creamery_model").map(String::as_str) {
            Some(FORMAT) => {}
            Some(other) => {
                return Err(foreign(format!("its format is {other}, not {FORMAT}")).into());
            }
            None => {
                let reason = "it does not say it is a model; creamery import makes one of timm's and PyTorch's weights";
                return Err(foreign(reason.into()).into());
            }
        }
        let part = |name: &str| {
            metadata
                .get(name)
                .ok_or_else(|| foreign(format!("it has no `{name}`")))
        };
        let bad = |name: &str, e: &dyn std::fmt::Display| foreign(format!("its `{name}`: {e}"));
        let architecture: Architecture =
            serde_json::from_str(part("architecture")?).map_err(|e| bad("architecture", &e))?;
        let input: ModelInput =
            serde_json::from_str(part("input")?).map_err(|e| bad("input", &e))?;
        let space = Space::from_toml(part("space")?, &path.display().to_string())
            .map_err(|e| bad("space", &e))?;
        let classes = input.classes.len();
        // Metadata alone could tell of a network that fills the memory.
        let cost = space.cost(&architecture, input.channels, classes);
        let params = cost.map_err(NnError::from)?.params;
        let values: usize = tensors.iter().map(|tensor| tensor.values.len()).sum();
        if params > values as u64 {
            let reason =
                format!("its architecture has {params} parameters, its tensors {values} values");
            return Err(foreign(reason).into());
        }
        let mut net = Subnet::new(&space, &architecture, input.channels, classes, 0, device)?;
        net.load(tensors, device)?;
        Ok(Self { net, space, input })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_without_their_weights_are_refused_before_the_network_is_built() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        let space = Space::builtin("tiny-32").unwrap();
        let architecture = space.smallest(28).unwrap();
        let device = Device::flex();
        let net = Subnet::new(&space, &architecture, 1, 2, 0, &device).unwrap();
        let input = ModelInput {
            data: String::new(),
            classes: vec!["a".into(), "b".into()],
            channels: 1,
            shorter_side: 28,
            interpolation: Interpolation::default(),
            mean: vec![0.5],
            std: vec![0.5],
        };
        Model { net, space, input }.save(&path).unwrap();
        let (tensors, metadata) = read_weights(&path).unwrap();
        assert!(Model::load(&path, &device).is_ok());
        write_weights(&path, &tensors[..1], metadata).unwrap();
        let error = Model::load(&path, &device).unwrap_err().to_string();
        assert!(error.contains("parameters, its tensors"), "{error}");
    }
}
