//! Mobile blocks: inverted residuals and depthwise-separable convolutions, whole.
//!
//! ```text
//! x --1x1--> E --norm, SiLU--> --depthwise--> D --norm, SiLU--> A --gate--> --1x1--> P --norm--> (+ x) --> y
//!                                                               |             ^
//!                                                               +-pool-1x1-ReLU-1x1-hard sigmoid
//! ```
//!
//! A depthwise-separable block is the same without the first product and its norm, and x in the place of
//! the activated E. x is added where it has the shape of y: as many channels, and stride 1. Squeeze-excite
//! may be left out.

mod backward;
mod convolve;
mod covariance;
mod expansion;
mod forward;
mod no_grad;
mod project;
mod squeeze;
mod stage;

pub use backward::backward;
pub use forward::{forward, forward_across};
pub use no_grad::{forward_no_grad, infer};

pub(crate) use no_grad::check_running;
pub(crate) use project::{GateRows, LARGE_IMAGE};

use crate::depthwise::Window;
use crate::error::{KernelError, length, positive};
use crate::map::SavedMap;
use crate::norm::{ChannelStats, NormGrads, NormWeights, RunningStats};
use squeeze::SavedSqueeze;

/// Sizes of a block. Feature maps are NHWC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BlockShape {
    /// Images in the batch.
    pub images: usize,
    /// Rows of the input.
    pub height: usize,
    /// Columns of the input.
    pub width: usize,
    /// Channels of the input.
    pub in_channels: usize,
    /// Channels of the depthwise convolution; without an expansion, those of the input.
    pub mid_channels: usize,
    /// Channels of the output.
    pub out_channels: usize,
    /// Rows and columns of the depthwise kernel: 1, 3, 5 or 7. The padding is half of it.
    pub kernel: usize,
    /// Stride of the depthwise convolution: 1 or 2.
    pub stride: usize,
    /// Channels inside squeeze-excite, where there is one.
    pub squeeze: usize,
}

impl BlockShape {
    /// Rows of the output.
    pub fn out_height(&self) -> usize {
        self.height.div_ceil(self.stride)
    }

    /// Columns of the output.
    pub fn out_width(&self) -> usize {
        self.width.div_ceil(self.stride)
    }

    /// Values of the input: images x height x width x in_channels.
    pub fn input_len(&self) -> usize {
        self.images * self.height * self.width * self.in_channels
    }

    /// Values of the output: images x out_height x out_width x out_channels.
    pub fn output_len(&self) -> usize {
        self.images * self.out_height() * self.out_width() * self.out_channels
    }

    /// Whether the input is added to the output.
    pub fn residual(&self) -> bool {
        self.in_channels == self.out_channels && self.stride == 1
    }

    /// Multiplications (with their additions) of the convolutions and squeeze-excite in a forward pass.
    pub fn macs(&self, expand: bool, squeeze: bool) -> usize {
        let (inner, outer) = (
            self.height * self.width,
            self.out_height() * self.out_width(),
        );
        let mut macs = outer * self.mid_channels * (self.kernel * self.kernel + self.out_channels);
        if expand {
            macs += inner * self.in_channels * self.mid_channels;
        }
        if squeeze {
            macs += 2 * self.mid_channels * self.squeeze;
        }
        self.images * macs
    }
}

/// The pointwise convolution that an inverted residual begins with.
#[derive(Clone, Copy, Debug)]
pub struct ExpandWeights<'a> {
    /// `[mid][in]`.
    pub weight: &'a [f32],
    /// Norm of the mid channels.
    pub norm: NormWeights<'a>,
}

/// Squeeze-excite: mean over pixels, pointwise, ReLU, pointwise, hard sigmoid.
#[derive(Clone, Copy, Debug)]
pub struct SqueezeWeights<'a> {
    /// `[squeeze][mid]`.
    pub reduce: &'a [f32],
    /// `[squeeze]`.
    pub reduce_bias: &'a [f32],
    /// `[mid][squeeze]`.
    pub expand: &'a [f32],
    /// `[mid]`.
    pub expand_bias: &'a [f32],
}

/// Weights of a block, in PyTorch's layouts.
#[derive(Clone, Copy, Debug)]
pub struct BlockWeights<'a> {
    /// The expansion; none in a depthwise-separable block.
    pub expand: Option<ExpandWeights<'a>>,
    /// `[mid][1][kernel][kernel]`.
    pub depthwise: &'a [f32],
    /// Norm of the depthwise output.
    pub depthwise_norm: NormWeights<'a>,
    /// Squeeze-excite, if the block has one.
    pub squeeze: Option<SqueezeWeights<'a>>,
    /// `[out][mid]`.
    pub project: &'a [f32],
    /// Norm of the output.
    pub project_norm: NormWeights<'a>,
}

/// Running statistics of a block's norms.
#[derive(Clone, Copy, Debug)]
pub struct BlockRunningStats<'a> {
    /// Of the expansion, where there is one.
    pub expand: Option<RunningStats<'a>>,
    /// Of the depthwise output.
    pub depthwise: RunningStats<'a>,
    /// Of the output.
    pub project: RunningStats<'a>,
}

/// Statistics of a batch in a block's norms.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockStats {
    /// Of the expansion, where there is one.
    pub expand: Option<ChannelStats>,
    /// Of the depthwise output.
    pub depthwise: ChannelStats,
    /// Of the output.
    pub project: ChannelStats,
}

/// What a forward pass in training leaves.
#[derive(Debug)]
pub struct BlockForward {
    /// The output, NHWC.
    pub y: Vec<f32>,
    /// What the backward pass needs.
    pub saved: BlockSaved,
    /// Statistics of the batch, for running averages.
    pub stats: BlockStats,
}

/// What the backward pass of a block needs of its forward pass: the raw outputs of its convolutions,
/// the statistics and the gates. Activations are computed again.
#[derive(Debug)]
pub struct BlockSaved {
    expand: Option<SavedMap>,
    depthwise: SavedMap,
    squeeze: Option<SavedSqueeze>,
    project: SavedMap,
}

/// Gradients of an expansion.
#[derive(Clone, Debug, PartialEq)]
pub struct ExpandGrads {
    /// Of [`ExpandWeights::weight`].
    pub weight: Vec<f32>,
    /// Of [`ExpandWeights::norm`].
    pub norm: NormGrads,
}

/// Gradients of squeeze-excite.
#[derive(Clone, Debug, PartialEq)]
pub struct SqueezeGrads {
    /// Of [`SqueezeWeights::reduce`].
    pub reduce: Vec<f32>,
    /// Of [`SqueezeWeights::reduce_bias`].
    pub reduce_bias: Vec<f32>,
    /// Of [`SqueezeWeights::expand`].
    pub expand: Vec<f32>,
    /// Of [`SqueezeWeights::expand_bias`].
    pub expand_bias: Vec<f32>,
}

/// Gradients of a block's input and weights, in the layouts of these.
#[derive(Clone, Debug, PartialEq)]
pub struct BlockGrads {
    /// Of the input, if it was asked for.
    pub x: Option<Vec<f32>>,
    /// Of [`BlockWeights::expand`].
    pub expand: Option<ExpandGrads>,
    /// Of [`BlockWeights::depthwise`].
    pub depthwise: Vec<f32>,
    /// Of [`BlockWeights::depthwise_norm`].
    pub depthwise_norm: NormGrads,
    /// Of [`BlockWeights::squeeze`].
    pub squeeze: Option<SqueezeGrads>,
    /// Of [`BlockWeights::project`].
    pub project: Vec<f32>,
    /// Of [`BlockWeights::project_norm`].
    pub project_norm: NormGrads,
}

/// Checks a shape against the weights and the input, and gives the window of its depthwise convolution.
fn check(shape: &BlockShape, weights: &BlockWeights<'_>, x: &[f32]) -> Result<Window, KernelError> {
    let window = check_weights(shape, weights)?;
    length("x", x.len(), shape.input_len())?;
    Ok(window)
}

/// Checks a shape against the weights.
pub(crate) fn check_weights(
    shape: &BlockShape,
    weights: &BlockWeights<'_>,
) -> Result<Window, KernelError> {
    let BlockShape {
        images,
        height,
        width,
        in_channels,
        mid_channels,
        out_channels,
        kernel,
        squeeze,
        ..
    } = *shape;
    for (what, found) in [
        ("images", images),
        ("height", height),
        ("width", width),
        ("in_channels", in_channels),
        ("mid_channels", mid_channels),
        ("out_channels", out_channels),
    ] {
        positive(what, found)?;
    }
    let window = Window::new(height, width, kernel, shape.stride)?;
    let widest = in_channels
        .max(mid_channels)
        .max(out_channels)
        .checked_next_multiple_of(64);
    let values = widest.and_then(|widest| {
        [images, height, width, 8]
            .into_iter()
            .try_fold(widest, usize::checked_mul)
    });
    if values.is_none_or(|values| values > isize::MAX as usize / size_of::<f32>()) {
        return Err(KernelError::TooLarge);
    }
    match &weights.expand {
        Some(expand) => {
            length(
                "expand weight",
                expand.weight.len(),
                mid_channels * in_channels,
            )?;
            expand
                .norm
                .check(["expand norm gamma", "expand norm beta"], mid_channels)?;
        }
        None if mid_channels != in_channels => {
            return Err(KernelError::Mismatch {
                what: "mid_channels other than in_channels",
                other: "an expansion",
            });
        }
        None => {}
    }
    length(
        "depthwise weight",
        weights.depthwise.len(),
        mid_channels * kernel * kernel,
    )?;
    weights.depthwise_norm.check(
        ["depthwise norm gamma", "depthwise norm beta"],
        mid_channels,
    )?;
    if let Some(weights) = &weights.squeeze {
        positive("squeeze", squeeze)?;
        length(
            "squeeze reduce weight",
            weights.reduce.len(),
            squeeze * mid_channels,
        )?;
        length("squeeze reduce bias", weights.reduce_bias.len(), squeeze)?;
        length(
            "squeeze expand weight",
            weights.expand.len(),
            mid_channels * squeeze,
        )?;
        length(
            "squeeze expand bias",
            weights.expand_bias.len(),
            mid_channels,
        )?;
    }
    length(
        "project weight",
        weights.project.len(),
        out_channels * mid_channels,
    )?;
    weights
        .project_norm
        .check(["project norm gamma", "project norm beta"], out_channels)?;
    Ok(window)
}
