//! Trained networks for other programs, and from them; what networks take on a device.
//!
//! [`timm`] writes a network with the names of timm's `MobileNetV3`; [`import`](mod@import) reads such weights, whoever
//! saved them, as a [`Model`](creamery_train::Model). [`onnx`] writes a network as an ONNX file. [`latency`] measures tables
//! that latency can be bounded by.

pub mod import;
pub mod latency;
pub mod onnx;
pub mod timm;
