//! Trained networks for other programs, and from them.
//!
//! [`timm`] writes a network with the names of timm's `MobileNetV3`; [`import`](mod@import) reads such weights, whoever
//! saved them, as a [`Model`](creamery_train::Model).

pub mod import;
pub mod timm;
