//! `model.json`: what timm's class and whoever prepares images must know of a network beside its weights.

use creamery_space::{Architecture, SpaceError};
use creamery_train::{Model, ModelInput};
use serde::{Deserialize, Serialize};

/// What [`Card::format`] says.
pub const FORMAT: &str = "creamery-timm";
/// The version that is written, and the only one that is read.
pub const VERSION: u32 = 1;

/// The contents of `model.json`; docs/timm.md explains each key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Card {
    /// [`FORMAT`].
    pub format: String,
    /// [`VERSION`].
    pub version: u32,
    /// The arguments of timm's class.
    pub network: Network,
    /// How images are prepared.
    pub input: Input,
    /// Names of the classes, in the order of the logits.
    pub classes: Vec<String>,
    /// The network as Creamery knows it.
    pub creamery: Origin,
}

/// The arguments of timm's `MobileNetV3`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Network {
    /// The class, `timm.models.mobilenetv3.MobileNetV3`.
    pub class: String,
    /// Block strings, stage by stage, for timm's `decode_arch_def`.
    pub blocks: Vec<Vec<String>>,
    /// Channels of an image.
    pub in_chans: usize,
    /// Channels of the convolution on the image, 3x3 of stride 2.
    pub stem_size: usize,
    /// Features that enter the classifier.
    pub num_features: usize,
    /// Number of classes.
    pub num_classes: usize,
    /// The activation outside squeeze-excite.
    pub act_layer: String,
    /// Squeeze-excite.
    pub squeeze_excite: SqueezeExcite,
    /// Added to the variance in batch norms.
    pub norm_eps: f64,
}

/// Squeeze-excite of all blocks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SqueezeExcite {
    /// Channels inside as a part of the expanded channels; 0 for no squeeze-excite.
    pub ratio: f64,
    /// The channels inside are a multiple of this.
    pub divisor: usize,
    /// The activation inside.
    pub act_layer: String,
    /// The gate.
    pub gate_layer: String,
}

/// How images are prepared, with the keys of timm's configurations where it has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Input {
    /// Channels, height, width.
    pub input_size: [usize; 3],
    /// Pixels that the shorter side of an image is resized to, before the middle square is cut out.
    pub resize: usize,
    /// Side of that square by `resize`.
    pub crop_pct: f64,
    /// How images are resized, with antialiasing: `bilinear` or `bicubic`.
    pub interpolation: String,
    /// Mean of each channel, pixels in 0..1.
    pub mean: Vec<f32>,
    /// Standard deviation of each channel, pixels in 0..1.
    pub std: Vec<f32>,
}

/// What Creamery needs to read the network back as it was.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Origin {
    /// The architecture.
    pub architecture: Architecture,
    /// Its space, as a space's TOML file has it.
    pub space: String,
    /// The data set that the network was trained on.
    pub data: String,
}

impl Card {
    /// The card of a model.
    ///
    /// # Errors
    /// If the architecture does not belong to the space.
    pub fn of(model: &Model) -> Result<Self, SpaceError> {
        let (space, architecture, input) = (&model.space, &model.net.architecture, &model.input);
        let side = architecture.resolution;
        Ok(Self {
            format: FORMAT.to_owned(),
            version: VERSION,
            network: Network {
                class: "timm.models.mobilenetv3.MobileNetV3".to_owned(),
                blocks: space.to_timm(architecture)?,
                in_chans: input.channels,
                stem_size: space.stem.channels,
                num_features: space.head_channels,
                num_classes: input.classes.len(),
                act_layer: "silu".to_owned(),
                squeeze_excite: SqueezeExcite {
                    ratio: space.se_ratio,
                    divisor: 8,
                    act_layer: "relu".to_owned(),
                    gate_layer: "hard_sigmoid".to_owned(),
                },
                norm_eps: 1e-5,
            },
            input: Input {
                input_size: [input.channels, side, side],
                resize: input.shorter_side,
                crop_pct: side as f64 / input.shorter_side as f64,
                interpolation: input.interpolation.to_string(),
                mean: input.mean.clone(),
                std: input.std.clone(),
            },
            classes: input.classes.clone(),
            creamery: Origin {
                architecture: architecture.clone(),
                space: space.to_toml(),
                data: input.data.clone(),
            },
        })
    }

    /// The input of the model that the card is of.
    pub fn model_input(&self) -> ModelInput {
        ModelInput {
            data: self.creamery.data.clone(),
            classes: self.classes.clone(),
            channels: self.network.in_chans,
            shorter_side: self.input.resize,
            // Of anything else that a card may say, the usual one is as near as the other.
            interpolation: self.input.interpolation.parse().unwrap_or_default(),
            mean: self.input.mean.clone(),
            std: self.input.std.clone(),
        }
    }
}
