//! The operators: what each kind of layer computes.
//!
//! [`feature_map`], [`head`] and [`linear`] are all that the modules above call. They stand for whole
//! blocks rather than single convolutions, because a block is the unit in which an implementation can
//! save work: normalise as the next product loads, pool while it stores. [`composed`] writes them in
//! Burn's operations for every device and is the reference; on the CPU, blocks from
//! `creamery-kernels` stand in for it.
//!
//! [`sgd`], [`rmsprop`], [`adamw`], [`blend`] and [`dot`] work on the flat parameters of whole layers, in place where
//! nobody else holds them.

pub mod composed;
mod fused;
pub(crate) mod told;
mod update;

use burn::tensor::{Device, Tensor};
use creamery_space::LayerSpec;

pub use creamery_kernels::update::{Adamw, Rmsprop, Sgd};
pub use creamery_kernels::{Across, Everywhere};
pub use told::Listener;
pub use update::{adamw, blend, dot, rmsprop, sgd};

/// Added to the variance inside the root of every batch norm.
pub const NORM_EPSILON: f64 = 1e-5;

/// Which statistics a batch norm uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Norm {
    /// Those of the batch itself. They are returned, and nothing is updated: whoever runs a training
    /// step decides whether they enter the running statistics.
    Batch,
    /// Those of a batch that several processes have parts of. They are returned, as with [`Norm::Batch`]. Only the
    /// CPU's kernels have it; see [`synchronises`].
    Synchronised(Everywhere),
    /// The running ones.
    Running,
}

/// Whether a device has a layer, from feature map to feature map, with [`Norm::Synchronised`].
pub fn synchronises(device: &Device, spec: &LayerSpec) -> bool {
    match spec {
        LayerSpec::Head { .. } | LayerSpec::Classifier { .. } => fused::on_cpu(device),
        spec => fused::serves(device, spec),
    }
}

/// Runs a layer from feature map to feature map: `[n, h, w, c]` to `[n, h', w', c']`.
///
/// `params` and `running` lie as in a [`Layer`](crate::Layer). With [`Norm::Batch`] the statistics of the
/// batch come back in the layout of `running` (for each batch norm its mean and its unbiased variance),
/// outside any gradient graph; with [`Norm::Running`] there are none.
///
/// # Panics
/// If `spec` is a head or a classifier, which do not yield a feature map, or the device does not synchronise it where that
/// is asked for.
pub fn feature_map(
    spec: &LayerSpec,
    x: Tensor<4>,
    params: &Tensor<1>,
    running: Option<&Tensor<1>>,
    norm: Norm,
) -> (Tensor<4>, Option<Tensor<1>>) {
    // The fused inference has no gradient.
    let differentiable = norm != Norm::Running || !(x.is_autodiff() || params.is_autodiff());
    if differentiable && fused::serves(&x.device(), spec) {
        return fused::feature_map(spec, x, params, running, norm);
    }
    composed::feature_map(spec, x, params, running, norm)
}

/// The layer for one image at a time, its weights packed; see [`crate::Layer::ready`].
pub(crate) fn ready(
    spec: &LayerSpec,
    size: usize,
    params: &Tensor<1>,
    running: Option<&Tensor<1>>,
) -> Option<creamery_kernels::inference::Layer> {
    if !fused::on_cpu(&params.device()) {
        return None;
    }
    fused::ready(spec, size, params, running)
}

/// Global average pool, 1x1 convolution with bias, SiLU: `[n, h, w, c]` to `[n, head]`. `params` are the
/// weight and the bias.
pub fn head(x: Tensor<4>, params: &Tensor<1>) -> Tensor<2> {
    if fused::on_cpu(&x.device()) {
        return fused::head(x, params);
    }
    composed::head(x, params)
}

/// Linear layer: `[n, in]` to `[n, out]`. `params` are the weight and the bias.
pub fn linear(x: Tensor<2>, params: &Tensor<1>) -> Tensor<2> {
    composed::linear(x, params)
}
