//! Trained networks for other programs.

pub mod onnx;
