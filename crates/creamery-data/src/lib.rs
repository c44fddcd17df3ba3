//! Labelled images, from where they lie to the batches that a network is trained on.
//!
//! A [`DataSet`] is opened by name: `fashion-mini` is built in, the others read files (see [`KNOWN`]).
//! Its training [`Split`] is parted by [`hold_out`], a [`Pipeline`] says how an image becomes numbers,
//! and a [`Loader`] delivers [`Batch`]es.
//!
//! ```
//! use creamery_data::{DataSet, Loader, Normalisation, OpenOptions, hold_out};
//!
//! let data = DataSet::open("fashion-mini", &OpenOptions::default())?;
//! assert_eq!((data.train.len(), data.test.len()), (8_000, 2_000));
//! assert_eq!(data.classes[9], "Ankle boot");
//!
//! let (train, validation) = hold_out(&data.train, 1_000, 7)?;
//! let pipeline = data.pipeline(28, Normalisation::of(&train)?);
//!
//! // Endless, shuffled and augmented; from the first batch of epoch 0, made by two threads.
//! let mut batches = Loader::train(&train, &pipeline, 64, 7, 0, 0, 2)?;
//! let batch = batches.next().unwrap()?;
//! assert_eq!((batch.n, batch.size, batch.channels), (64, 28, 1));
//! assert_eq!(batch.images.len(), 64 * 28 * 28);
//!
//! // Every validation image once, in order.
//! let seen: usize = Loader::evaluation(&validation, &pipeline, 256, 2)?
//!     .map(|batch| Ok(batch?.n))
//!     .sum::<Result<usize, creamery_data::DataError>>()?;
//! assert_eq!(seen, 1_000);
//! # Ok::<(), creamery_data::DataError>(())
//! ```
//!
//! What is delivered depends on the data, the settings and the seed, never on the number of threads;
//! and any batch of any epoch can be had without those before it. So a run can stop anywhere and go on
//! elsewhere with the same numbers.

mod ahead;
mod augment;
mod cifar;
mod dataset;
mod decode;
mod error;
mod fashion_mini;
mod files;
mod folder;
mod hold_out;
mod idx;
mod image;
mod inspect;
mod jpeg;
mod labels;
mod loader;
mod mix;
mod normalisation;
mod order;
mod pack;
mod packed;
mod parallel;
mod parquet;
mod pattern;
mod picture;
mod pipeline;
mod portion;
mod resample;
mod sample;
mod sheet;
mod spec;
mod split;
mod store;
mod tar;
mod usable;
mod wide;
mod window;

pub use augment::{AugmentError, AutoAugment};
pub use cifar::CifarError;
pub use dataset::{DataSet, OpenOptions};
pub use decode::{ImageError, MAX_FILE_BYTES, MAX_PIXELS, MAX_SIDE};
pub use error::DataError;
pub use hold_out::hold_out;
pub use idx::IdxError;
pub use image::Image;
pub use inspect::{Inspection, inspect};
pub use loader::{Batch, Loader};
pub use mix::{Mix, Mixed};
pub use normalisation::{Normalisation, SAMPLE};
pub use order::{Sampling, Shuffle};
pub use pack::{PackError, PackOptions, pack};
pub use packed::{PackFormat, Packed};
pub use picture::Interpolation;
pub use pipeline::{Augment, MAX_RESOLUTION, Pipeline};
pub use portion::Portion;
pub use sheet::{Sheet, contact_sheet};
pub use spec::KNOWN;
pub use split::Split;
pub use store::{ImagePlace, SkippedImage};
