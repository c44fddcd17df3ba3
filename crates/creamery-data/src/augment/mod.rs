//! Random changes of training images beside crops and flips: policies, colours, erasing.
//!
//! Operations work on 8-bit samples and compute what Pillow does; policies are tables of names, and a name stands for a
//! function and a range ([`table`]). All that is random comes from the generator that is passed in.

mod auto;
mod colour;
mod erase;
mod filter;
mod jitter;
mod policy;
mod rotate;
mod shift;
mod table;
#[cfg(test)]
mod tests;

pub use auto::{AugmentError, AutoAugment};
pub(crate) use erase::Erasure;
pub(crate) use jitter::jitter;
