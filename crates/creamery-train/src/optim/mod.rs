//! Parameter updates: optimizers, gradient clipping, moving averages of weights.

mod clip;
mod ema;
mod optimizer;
mod update;

pub use clip::{clip_factor, global_norm};
pub use ema::Ema;
pub use optimizer::{Optimizer, OptimizerKind, OptimizerSettings};
pub use update::Update;
