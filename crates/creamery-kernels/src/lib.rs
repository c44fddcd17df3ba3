//! CPU kernels for mobile networks.

pub mod block;
mod depthwise;
mod elementwise;
mod error;
mod grid;
mod isa;
mod math;
mod norm;
mod partial;
mod pool;
mod product;
mod shared;
mod simd;

pub use error::KernelError;
pub use isa::{Isa, with_isa};
pub use norm::{ChannelStats, EPSILON, NormGrads, NormWeights, RunningStats};
pub use pool::release_idle_buffers;
