//! What a retraining starts from.

use std::fmt;
use std::path::{Path, PathBuf};

use creamery_nn::{Device, NamedTensor, Subnet};
use creamery_space::LayerSpec;
use serde::{Deserialize, Serialize};

use crate::{ConfigError, Model, TrainError};

/// Where a retraining's weights come from. A configuration has it as one word: `scratch`, `inherit`, or else a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum Init {
    /// Fresh ones.
    Scratch,
    /// Those the network had in the supernet.
    Inherit,
    /// Those of a model, which is the same network but for names and number of its classes.
    File(PathBuf),
}

impl From<String> for Init {
    fn from(word: String) -> Self {
        match word.as_str() {
            "scratch" => Self::Scratch,
            "inherit" => Self::Inherit,
            _ => Self::File(word.into()),
        }
    }
}

impl From<Init> for String {
    fn from(init: Init) -> Self {
        init.to_string()
    }
}

impl fmt::Display for Init {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Scratch => f.write_str("scratch"),
            Self::Inherit => f.write_str("inherit"),
            Self::File(path) => path.display().fmt(f),
        }
    }
}

impl Init {
    /// The model's file, if it is one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File(path) => Some(path),
            Self::Scratch | Self::Inherit => None,
        }
    }
}

/// Gives `net` the weights and statistics of a model of the same layers; the resolution may be another.
///
/// A classifier of another number of classes keeps the weights that `net` has: fine-tuning for other classes. Whether it
/// did is returned.
///
/// # Errors
/// [`ConfigError::Value`] if the networks differ elsewhere; `net` is then unchanged.
pub fn start_from(net: &mut Subnet, model: &Model, device: &Device) -> Result<bool, TrainError> {
    let (own, other) = (net.layers(), model.net.layers());
    let classifier = |spec: &LayerSpec| matches!(spec, LayerSpec::Classifier { .. });
    let same = own.len() == other.len()
        && (own.iter().zip(other))
            .all(|(a, b)| a.spec == b.spec || classifier(&a.spec) && classifier(&b.spec));
    if !same {
        let input = |net: &Subnet| net.layers()[0].spec.in_channels();
        return Err(ConfigError::Value(format!(
            "the weights to start from are of {} for {}-channel images, not of {} for {}-channel ones: choose those of the same network, or --init scratch",
            model.net.architecture,
            input(&model.net),
            net.architecture,
            input(net)
        ))
        .into());
    }
    let fresh = net.classes() != model.net.classes();
    let mut state: Vec<NamedTensor> = Vec::new();
    for (own, other) in own.iter().zip(other) {
        if fresh && classifier(&own.spec) {
            state.extend(own.state());
            continue;
        }
        // Equal networks may be different paths, whose blocks have other names.
        state.extend(other.state().into_iter().map(|tensor| NamedTensor {
            name: format!("{}{}", own.name, &tensor.name[other.name.len()..]),
            ..tensor
        }));
    }
    net.load(state, device)?;
    Ok(fresh)
}

#[cfg(test)]
mod tests {
    use super::*;
    use creamery_space::{Architecture, Space};

    use crate::ModelInput;

    fn model(choices: [Vec<i8>; 3], channels: usize, classes: usize, seed: u64) -> Model {
        let space = Space::builtin("tiny-32").unwrap();
        let architecture = Architecture::new("tiny-32", 28, choices.to_vec());
        let device = Device::flex();
        let input = ModelInput {
            data: String::new(),
            classes: (0..classes).map(|class| class.to_string()).collect(),
            channels,
            shorter_side: 28,
            interpolation: Default::default(),
            mean: vec![0.5; channels],
            std: vec![0.5; channels],
        };
        let net = Subnet::new(&space, &architecture, channels, classes, seed, &device).unwrap();
        Model { net, space, input }
    }

    fn values(net: &Subnet) -> Vec<Vec<f32>> {
        net.state()
            .into_iter()
            .map(|tensor| tensor.values)
            .collect()
    }

    #[test]
    fn equal_networks_give_all_their_weights_whatever_their_blocks_are_called() {
        let from = model([vec![0], vec![1, 3], vec![2]], 1, 4, 7);
        let mut to = model([vec![0], vec![1, -1, 3], vec![2]], 1, 4, 8).net;
        assert_ne!(values(&to), values(&from.net));
        assert!(!start_from(&mut to, &from, &Device::flex()).unwrap());
        assert_eq!(values(&to), values(&from.net));
    }

    #[test]
    fn other_classes_get_a_fresh_classifier() {
        let from = model([vec![0], vec![1], vec![2]], 1, 4, 7);
        let mut to = model([vec![0], vec![1], vec![2]], 1, 5, 8).net;
        let before = values(&to);
        assert!(start_from(&mut to, &from, &Device::flex()).unwrap());
        let (after, given) = (values(&to), values(&from.net));
        let trunk = after.len() - 2;
        assert_eq!(after[..trunk], given[..trunk]);
        assert_eq!(after[trunk..], before[trunk..]);
    }

    #[test]
    fn another_network_is_refused_and_changes_nothing() {
        let mut to = model([vec![0], vec![1], vec![2]], 1, 4, 8).net;
        let before = values(&to);
        for other in [
            model([vec![0], vec![1], vec![3]], 1, 4, 7),
            model([vec![0], vec![1, 1], vec![2]], 1, 4, 7),
            model([vec![0], vec![1], vec![2]], 3, 4, 7),
        ] {
            let error = start_from(&mut to, &other, &Device::flex()).unwrap_err();
            assert!(
                error.is_usage() && error.to_string().contains("--init scratch"),
                "{error}"
            );
        }
        assert_eq!(values(&to), before);
    }

    #[test]
    fn a_word_is_what_it_was() {
        for (word, init) in [
            ("scratch", Init::Scratch),
            ("inherit", Init::Inherit),
            (
                "my models/a.safetensors",
                Init::File("my models/a.safetensors".into()),
            ),
        ] {
            assert_eq!(Init::from(word.to_owned()), init);
            assert_eq!(String::from(init), word);
        }
    }
}
