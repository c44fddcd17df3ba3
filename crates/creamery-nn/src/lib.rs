//! The networks: layers, the supernet that holds every candidate, and the subnets cut out of it.
//!
//! A [`Layer`] is data: what it is ([`LayerSpec`](creamery_space::LayerSpec)), its weights as one
//! flat tensor, and the running statistics of its batch norms. What a layer computes is
//! in [`ops`], the one place that a faster implementation replaces. A [`Subnet`] is a list of layers
//! that runs; a [`SuperNet`] holds the shared layers and every candidate of every block, and hands out
//! the layers of one path as a [`Subnet`] without copying a weight.
//!
//! Feature maps are `[images, height, width, channels]` (NHWC). Weights have PyTorch's shapes
//! (`[out, in / groups, height, width]`) and names, so that they can be compared and exported.
//!
//! ```
//! use creamery_nn::{Device, Norm, SuperNet};
//! use creamery_space::Space;
//! use burn::tensor::Tensor;
//!
//! let space = Space::builtin("tiny-32").unwrap();
//! let device = Device::flex();
//! let supernet = SuperNet::new(&space, 1, 10, 0, &device)?;
//!
//! // The smallest network of the space, with the supernet's own weights.
//! let path = supernet.path(&space.smallest(28)?)?;
//! let images = Tensor::<4>::zeros([2, 28, 28, 1], &device);
//! let output = path.forward(images, Norm::Batch);
//! assert_eq!(output.logits.dims(), [2, 10]);
//! # Ok::<(), creamery_nn::NnError>(())
//! ```

mod device;
mod drops;
mod elastic;
mod error;
mod init;
mod layer;
pub mod loss;
pub mod ops;
mod ready;
mod state;
mod subnet;
mod supernet;

pub use burn::tensor::Device;
pub use device::{DeviceError, device, device_names, device_usage};
pub use drops::Drops;
pub use error::NnError;
pub use layer::{Layer, LayerParams, ParamKind, Slot, norms, slots};
pub use ops::{Across, Everywhere, Norm};
pub use ready::Ready;
pub use state::{NamedTensor, StateError};
pub use subnet::{Output, Subnet, Tracked, layer_name};
pub use supernet::{Gathered, Share, SuperNet, permuted};
