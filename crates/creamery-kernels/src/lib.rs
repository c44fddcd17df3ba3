//! CPU kernels for training mobile networks: whole operators on plain slices, forward and backward.
//!
//! Most of the time of a small network goes into passes over memory, not into multiplications: a norm, an
//! activation and a squeeze-excite each read and write all of a feature map. So the unit here is a whole
//! operator: [`block`] (inverted residual, depthwise-separable), [`conv`] (a convolution with its norm and
//! activation) and [`head`]. [`update`] is what follows a step's gradients. Feature maps are NHWC, weights lie
//! as PyTorch has them, all of them `f32`.
//!
//! ```
//! use creamery_kernels::conv::{self, ConvShape, ConvWeights};
//! use creamery_kernels::NormWeights;
//!
//! // Two images of 8 x 8 pixels with 3 channels through a 3 x 3 convolution of stride 2 to 4 channels.
//! let shape = ConvShape {
//!     images: 2, height: 8, width: 8, in_channels: 3, out_channels: 4, kernel: 3, stride: 2, silu: true,
//! };
//! let weight: Vec<f32> = (0..4 * 3 * 9).map(|i| (i as f32).sin()).collect();
//! let norm = NormWeights { gamma: &[1.0; 4], beta: &[0.0; 4] };
//! let weights = ConvWeights { weight: &weight, norm };
//! let x: Vec<f32> = (0..shape.input_len()).map(|i| (i as f32).cos()).collect();
//!
//! let forward = conv::forward(&shape, &weights, &x)?;
//! assert_eq!(forward.y.len(), 2 * 4 * 4 * 4);
//! assert_eq!(forward.stats.mean.len(), 4);
//!
//! // The gradients of a loss that is the sum of all outputs.
//! let dy = vec![1.0; forward.y.len()];
//! let grads = conv::backward(&shape, &weights, &x, &forward.saved, &dy, true)?;
//! assert_eq!(grads.x.unwrap().len(), x.len());
//! assert_eq!(grads.weight.len(), weight.len());
//! # Ok::<(), creamery_kernels::KernelError>(())
//! ```
//!
//! # How it is done
//!
//! * **Layout.** Inside an operator a map is `[channels / 16][images][pixels][16]`: a vector of AVX-512 is a
//!   pixel's 16 channels, a depthwise convolution needs no shuffles, and a matrix product finds its operands as
//!   others would first have to pack them. Only input and output are NHWC.
//! * **Passes.** The statistics of a norm are summed while the product that makes the map is in registers;
//!   normalising and activating happens as the next step loads; pooling as the activation is stored. The
//!   backward pass computes activations again instead of keeping them, and finds the depthwise norm's sums from
//!   per-image sums before squeeze-excite's gradient is known.
//! * **Threads.** Work is cut into groups of channels and, where a map is large, chunks of images, by the shape
//!   alone; partial sums are joined in a fixed order. So results are the same bits for any number of threads. A
//!   small map's group goes through several steps at once, without waiting for other groups. Work runs on the
//!   rayon pool that the caller is in; call from inside a pool, or each operator wakes it anew; its threads stay awake through the steps of an operator.
//! * **Memory.** Buffers come from a pool ([`release_idle_buffers`]), outputs are plain vectors
//!   ([`keep_freed_memory`]).
//! * **Instructions.** Each kernel is written once, over vectors of 16 floats, and compiled for each [`Isa`].
//!
//! A norm's sums are single precision within a chunk, about a value of the channel so that they do not cancel,
//! and double precision across chunks.
//!
//! # When not to use it
//!
//! For kernels other than 1, 3, 5 and 7 or strides other than 1 and 2 in a [`block`], for other activations
//! and for dilation: these are errors, and composed operators do them.

mod across;
pub mod block;
pub mod conv;
mod depthwise;
mod elementwise;
mod error;
mod grid;
pub mod head;
pub mod inference;
mod isa;
mod map;
mod math;
mod norm;
mod partial;
mod passes;
mod pool;
pub mod primitives;
mod product;
mod shared;
mod simd;
mod team;
pub mod update;

pub use across::{Across, Everywhere};
pub use error::KernelError;
pub use isa::{Isa, with_isa};
pub use norm::{ChannelStats, EPSILON, NormGrads, NormWeights, RunningStats};
pub use pool::{keep_freed_memory, release_idle_buffers};
