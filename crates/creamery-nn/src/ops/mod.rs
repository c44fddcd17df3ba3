//! The operators: what each kind of layer computes.
//!
//! [`feature_map`], [`head`] and [`linear`] are all that the modules above call. They stand for whole
//! blocks rather than single convolutions, because a block is the unit in which an implementation can
//! save work: normalise as the next product loads, pool while it stores. [`composed`] writes them in
//! Burn's operations for every device and is the reference for any faster body.

pub mod composed;

use burn::tensor::{Device, Tensor};
use creamery_space::LayerSpec;

/// Added to the variance inside the root of every batch norm.
pub const NORM_EPSILON: f64 = 1e-5;

/// Which statistics a batch norm uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// Those of the batch itself. They are returned, and nothing is updated: whoever runs a training
    /// step decides whether they enter the running statistics.
    Batch,
    /// The running ones.
    Running,
}

/// Running statistics of one batch norm.
#[derive(Clone, Debug)]
pub struct Running {
    /// Mean of each channel.
    pub mean: Tensor<1>,
    /// Unbiased variance of each channel, as PyTorch keeps it.
    pub var: Tensor<1>,
}

impl Running {
    /// Mean 0, variance 1.
    pub fn fresh(channels: usize, device: &Device) -> Self {
        Self {
            mean: Tensor::zeros([channels], device),
            var: Tensor::ones([channels], device),
        }
    }
}

/// What one batch norm saw in one batch, outside any gradient graph.
#[derive(Clone, Debug)]
pub struct BatchStats {
    /// Mean of each channel.
    pub mean: Tensor<1>,
    /// Biased variance of each channel.
    pub var: Tensor<1>,
    /// Values per channel (images x height x width).
    pub count: usize,
}

impl BatchStats {
    /// The unbiased variance. With one value per channel there is none; the biased one (0) stands in.
    pub fn unbiased_var(&self) -> Tensor<1> {
        let n = self.count as f64;
        self.var.clone() * (n / (n - 1.0).max(1.0))
    }
}

/// Runs a layer from feature map to feature map: `[n, h, w, c]` to `[n, h', w', c']`.
///
/// `params` are the layer's parameters in the order of [`slots`](crate::slots). With [`Norm::Batch`]
/// the statistics of each batch norm come back in order; with [`Norm::Running`] there are none.
///
/// # Panics
/// If `spec` is a head or a classifier, which do not yield a feature map.
pub fn feature_map(
    spec: &LayerSpec,
    x: Tensor<4>,
    params: &[Tensor<1>],
    running: &[Running],
    norm: Norm,
) -> (Tensor<4>, Vec<BatchStats>) {
    composed::feature_map(spec, x, params, running, norm)
}

/// Global average pool, 1x1 convolution with bias, SiLU: `[n, h, w, c]` to `[n, head]`.
pub fn head(x: Tensor<4>, weight: Tensor<1>, bias: Tensor<1>) -> Tensor<2> {
    composed::head(x, weight, bias)
}

/// Linear layer: `[n, in]` to `[n, out]`.
pub fn linear(x: Tensor<2>, weight: Tensor<1>, bias: Tensor<1>) -> Tensor<2> {
    composed::linear(x, weight, bias)
}
