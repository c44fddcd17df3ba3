//! Part of a photograph out of a JPEG file, without the work that the rest would be.
//!
//! A crop of a photograph needs neither the pixels around it nor, once it is resized, its colours at full size. So what is read
//! here is the usual kind of file, baseline with one interleaved scan of one or three components, and only what lies under a
//! [`Part`](crate::picture::Part): blocks outside are stepped over in the entropy-coded data, rows below it are not read at all. What
//! comes out are the planes as they are coded, colours at half size where the file has them so ([`Planes`]); they are resized
//! first and become red, green and blue then ([`crate::window`]).
//!
//! Everything else, progressive files, CMYK, odd sampling, and everything damaged, is [`None`] here and is left to the general
//! decoder ([`crate::decode`]), whose word on damage counts.

mod bits;
mod header;
mod huffman;
mod idct;
mod planes;
mod scan;
#[cfg(test)]
mod tests;

pub(crate) use header::Baseline;
pub(crate) use planes::{Plane, Planes};
