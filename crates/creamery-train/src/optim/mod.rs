//! Parameter updates: optimizers, gradient clipping, moving averages of weights.

mod clip;
mod ema;
mod optimizer;

pub use clip::clip_global_norm;
pub use ema::Ema;
pub use optimizer::{Optimizer, OptimizerKind, OptimizerSettings};
