//! The set of networks that a search looks through.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::SpaceError;
use crate::latency::Measured;
use crate::layer::make_divisible;
use crate::recommended::Recommended;

/// Most channels of a layer and of an image.
pub const MAX_CHANNELS: usize = 8192;
/// Most classes.
pub const MAX_CLASSES: usize = 1 << 24;
/// Most features of the head.
const MAX_HEAD: usize = 1 << 16;
pub(crate) const MAX_RESOLUTION: usize = 1024;
const MAX_KERNEL: usize = 15;
const MAX_STRIDE: usize = 4;
const MAX_EXPANSION: usize = 16;
const MAX_OPERATIONS: usize = 32;
const MAX_STAGES: usize = 16;
const MAX_BLOCKS: usize = 32;
const MAX_NAME: usize = 64;

/// Squeeze-excite's channels are a multiple of this, and so are those between the 1x1 convolutions.
const DIVISOR: usize = 8;

/// A search space: a fixed stem, one fixed depthwise-separable block, stages of inverted residuals of
/// which each is chosen, and a fixed end.
///
/// A place is a block of a stage. At each place one of the space's `operations` runs; every place of a
/// stage but the first may also be skipped, and this is how depth is chosen. The first block of a stage
/// takes its stride and changes the number of channels.
///
/// # The file of a space
///
/// Built-in spaces and a user's own are TOML of one form. Unknown keys are errors; every key of this
/// example but `about` and `[recommended]` must be there.
///
/// ```
/// let space = creamery_space::Space::from_toml(r#"
/// name = "pocket"                 # letters, digits, `.`, `-`, `_`
/// about = "Two stages for 16 px."
/// resolutions = [16, 32]          # pixels a side of the input that architectures may have
/// se_ratio = 0.25                 # squeeze-excite's channels, as a part of the expanded ones; 0: none
/// last_channels = 64              # 1x1 convolution with norm and SiLU after the last stage
/// head_channels = 128             # 1x1 convolution with bias and SiLU after the global pool
///
/// [stem]                          # convolution on the image
/// channels = 8
/// kernel = 3
/// stride = 2
///
/// [first]                         # depthwise-separable block after the stem
/// channels = 8
/// kernel = 3
/// stride = 1
///
/// [[operations]]                  # operation 0 of every place
/// kernel = 3
/// expansion = 3                   # channels between the 1x1 convolutions, as a multiple of the block's
///
/// [[operations]]                  # operation 1
/// kernel = 5
/// expansion = 6
///
/// [[stages]]                      # stage 0
/// channels = 16
/// stride = 1                      # of its first block
/// blocks = 3                      # at most; at least one
///
/// [[stages]]
/// channels = 32
/// stride = 2
/// blocks = 2
///
/// [recommended]                   # what a search uses unless told otherwise; all of it may be left out
/// resolution = 16
///
/// [recommended.search]
/// epochs = 10
/// max_macs = "500k"
/// "#, "pocket.toml")?;
/// assert_eq!(space.paths(), (2 * 3 * 3) * (2 * 3));
/// # Ok::<(), creamery_space::SpaceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Space {
    /// What architectures call it.
    pub name: String,
    /// What it is for, one line.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// Pixels a side of the input that an architecture may have.
    pub resolutions: Vec<usize>,
    /// Channels inside squeeze-excite as a part of the expanded channels; 0 leaves squeeze-excite out.
    pub se_ratio: f64,
    /// Channels of the 1x1 convolution after the last stage.
    pub last_channels: usize,
    /// Features that enter the classifier.
    pub head_channels: usize,
    /// The convolution on the image.
    pub stem: Fixed,
    /// The depthwise-separable block after the stem.
    pub first: Fixed,
    /// What may run at each place, in the order of the choices.
    pub operations: Vec<Operation>,
    /// The stages in order.
    pub stages: Vec<Stage>,
    /// What suits the space where a run's configuration says nothing.
    #[serde(default, skip_serializing_if = "Recommended::is_empty")]
    pub recommended: Recommended,
    /// Set by [`Space::with_latency`]; no part of the space's file, nor of its fingerprint.
    #[serde(skip)]
    pub(crate) latency: Option<Arc<Measured>>,
}

/// A layer that is the same in every network of the space.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fixed {
    /// Channels out.
    pub channels: usize,
    /// Pixels a side of the kernel, odd.
    pub kernel: usize,
    /// Step of the kernel.
    pub stride: usize,
}

/// An inverted residual that a place may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Operation {
    /// Pixels a side of the depthwise kernel, odd.
    pub kernel: usize,
    /// Channels between the 1x1 convolutions as a multiple of the channels that enter.
    pub expansion: usize,
}

/// Blocks that work on maps of one size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stage {
    /// Channels out of every block.
    pub channels: usize,
    /// Step of the first block.
    pub stride: usize,
    /// Most blocks; the first always runs.
    pub blocks: usize,
}

impl Space {
    /// Checks that networks can be built from the space and their costs and number counted.
    ///
    /// [`Space::from_toml`] has done so; a space put together in code may call it.
    ///
    /// # Errors
    /// [`SpaceError::Invalid`] with the first key that is wrong.
    pub fn check(&self) -> Result<(), SpaceError> {
        let plain = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if self.name.is_empty() || self.name.len() > MAX_NAME || !self.name.chars().all(plain) {
            return Err(self.invalid(
                "name",
                format!("must be 1 to {MAX_NAME} letters, digits, `.`, `-` or `_`"),
            ));
        }
        self.within("number of resolutions", self.resolutions.len(), 1, 1000)?;
        for (i, &resolution) in self.resolutions.iter().enumerate() {
            self.within(&format!("resolutions[{i}]"), resolution, 1, MAX_RESOLUTION)?;
        }
        if !(0.0..=1.0).contains(&self.se_ratio) {
            let message = format!("must be 0 to 1, not {}", self.se_ratio);
            return Err(self.invalid("se_ratio", message));
        }
        self.within("last_channels", self.last_channels, 1, MAX_CHANNELS)?;
        self.within("head_channels", self.head_channels, 1, MAX_HEAD)?;
        for (key, fixed) in [("stem", self.stem), ("first", self.first)] {
            self.within(&format!("{key}.channels"), fixed.channels, 1, MAX_CHANNELS)?;
            self.odd_kernel(&format!("{key}.kernel"), fixed.kernel)?;
            self.within(&format!("{key}.stride"), fixed.stride, 1, MAX_STRIDE)?;
        }
        let operations = self.operations.len();
        self.within("number of operations", operations, 1, MAX_OPERATIONS)?;
        for (i, operation) in self.operations.iter().enumerate() {
            self.odd_kernel(&format!("operations[{i}].kernel"), operation.kernel)?;
            let key = format!("operations[{i}].expansion");
            self.within(&key, operation.expansion, 1, MAX_EXPANSION)?;
            if self.operations[..i].contains(operation) {
                let message = "repeats an earlier one: each must differ".to_string();
                return Err(self.invalid(&format!("operations[{i}]"), message));
            }
        }
        self.within("number of stages", self.stages.len(), 1, MAX_STAGES)?;
        for (i, stage) in self.stages.iter().enumerate() {
            let key = |field: &str| format!("stages[{i}].{field}");
            self.within(&key("channels"), stage.channels, 1, MAX_CHANNELS)?;
            self.within(&key("stride"), stage.stride, 1, MAX_STRIDE)?;
            self.within(&key("blocks"), stage.blocks, 1, MAX_BLOCKS)?;
        }
        if self.checked_paths().is_none() {
            let message = "hold more than 2^128 paths: take fewer blocks or operations".to_string();
            return Err(self.invalid("stages", message));
        }
        let wrong = self.recommended.wrong_key(&self.resolutions);
        wrong.map_or(Ok(()), |(key, message)| {
            Err(self.invalid(&format!("recommended.{key}"), message))
        })
    }

    fn invalid(&self, place: &str, message: String) -> SpaceError {
        SpaceError::Invalid {
            space: self.name.chars().take(MAX_NAME).collect(),
            place: place.to_string(),
            message,
        }
    }

    fn within(&self, key: &str, value: usize, least: usize, most: usize) -> Result<(), SpaceError> {
        if (least..=most).contains(&value) {
            return Ok(());
        }
        Err(self.invalid(key, format!("must be {least} to {most}, not {value}")))
    }

    fn odd_kernel(&self, key: &str, kernel: usize) -> Result<(), SpaceError> {
        if kernel % 2 == 1 && kernel <= MAX_KERNEL {
            return Ok(());
        }
        let message = format!("must be an odd number from 1 to {MAX_KERNEL}, not {kernel}");
        Err(self.invalid(key, message))
    }

    /// The number of paths: architectures of one resolution that differ as paths of a supernet.
    ///
    /// A stage of `b` blocks has `n (n + 1)^(b - 1)` with `n` operations.
    ///
    /// # Panics
    /// If there are 2^128 or more, which [`Space::check`] refuses.
    pub fn paths(&self) -> u128 {
        self.checked_paths()
            .expect("a checked space has fewer than 2^128 paths")
    }

    fn checked_paths(&self) -> Option<u128> {
        let operations = self.operations.len() as u128;
        self.stages.iter().try_fold(1u128, |paths, stage| {
            let deeper = (operations + 1).checked_pow(stage.blocks as u32 - 1)?;
            paths.checked_mul(operations.checked_mul(deeper)?)
        })
    }

    /// The resolution for images of `image_size` pixels a side: the space's nearest, the larger of two.
    ///
    /// `None` asks for images that have no size of their own: the recommended resolution, or else the
    /// largest.
    pub fn resolution_for(&self, image_size: Option<usize>) -> usize {
        let largest = self.resolutions.iter().copied().max().unwrap_or(1);
        match image_size {
            Some(size) => {
                let nearest = |&resolution: &usize| {
                    let distance = resolution.abs_diff(size);
                    (distance, std::cmp::Reverse(resolution))
                };
                let resolutions = self.resolutions.iter().copied();
                resolutions.min_by_key(nearest).unwrap_or(largest)
            }
            None => self.recommended.resolution.unwrap_or(largest),
        }
    }

    /// A short hash, 16 hexadecimal digits, of everything that decides the shapes of weights.
    ///
    /// Two spaces with the same fingerprint have interchangeable supernet weights. The name, the
    /// resolutions and the recommendations do not count.
    pub fn fingerprint(&self) -> String {
        let fixed = |fixed: Fixed| [fixed.channels, fixed.kernel, fixed.stride];
        let mut numbers = [fixed(self.stem), fixed(self.first)].concat();
        numbers.push(self.operations.len());
        for operation in &self.operations {
            numbers.extend([operation.kernel, operation.expansion]);
        }
        numbers.push(self.stages.len());
        for stage in &self.stages {
            numbers.extend([stage.channels, stage.stride, stage.blocks]);
        }
        numbers.extend([self.last_channels, self.head_channels]);
        let mut hasher = blake3::Hasher::new();
        for number in numbers {
            hasher.update(&(number as u64).to_le_bytes());
        }
        hasher.update(&self.se_ratio.to_le_bytes());
        hasher.finalize().to_hex()[..16].to_string()
    }

    /// The kernels that the operations have, the largest first.
    pub fn kernels(&self) -> Vec<usize> {
        distinct(self.operations.iter().map(|operation| operation.kernel))
    }

    /// The expansions that the operations have, the largest first.
    pub fn expansions(&self) -> Vec<usize> {
        distinct(self.operations.iter().map(|operation| operation.expansion))
    }

    /// Channels between the 1x1 convolutions of an operation of `expansion` on `in_channels` channels.
    pub(crate) fn mid_channels(&self, expansion: usize, in_channels: usize) -> usize {
        make_divisible((in_channels * expansion) as f64, DIVISOR)
    }

    /// Channels inside squeeze-excite on `channels` channels, 0 for none.
    pub(crate) fn squeeze(&self, channels: usize) -> usize {
        if self.se_ratio == 0.0 {
            return 0;
        }
        make_divisible(self.se_ratio * channels as f64, DIVISOR)
    }
}

/// Each value once, the largest first.
fn distinct(values: impl Iterator<Item = usize>) -> Vec<usize> {
    let values: BTreeSet<usize> = values.collect();
    values.into_iter().rev().collect()
}
