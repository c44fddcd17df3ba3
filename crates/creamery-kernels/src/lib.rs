//! CPU kernels for mobile networks.

pub mod block;
pub mod conv;
mod depthwise;
mod elementwise;
mod error;
mod grid;
pub mod head;
mod isa;
mod map;
mod math;
mod norm;
mod partial;
mod pool;
pub mod primitives;
mod product;
mod shared;
mod simd;

pub use error::KernelError;
pub use isa::{Isa, with_isa};
pub use norm::{ChannelStats, EPSILON, NormGrads, NormWeights, RunningStats};
pub use pool::{keep_freed_memory, release_idle_buffers};
