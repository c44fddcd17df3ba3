//! What people look at, while a run works and after it.
//!
//! [`chart`] draws results as SVG. [`Progress`] is an [`Observer`](creamery_train::event::Observer) of a run's events: on a terminal it
//! draws a bar, elsewhere it writes a line for each epoch, and when told to be quiet it does nothing.
//! Everything that it shows comes from the events, so that it can watch any task.
//!
//! ```
//! use creamery_train::event::{Event, Events, Images};
//! use creamery_view::Progress;
//!
//! let mut events = Events::default();
//! events.add(Progress::lines(std::io::stderr()));
//!
//! let images = Images { train: 7200, validation: 800, test: 2000 };
//! events.emit(Event::Started {
//!     task: "search".into(), epochs: 8, steps_per_epoch: 112, batch: 64, step: 0, images,
//! })?;
//! // Writes: epoch 1/8  loss 1.234  train 61.5%  1,400 images/s  36s left
//! events.emit(Event::Epoch {
//!     epoch: 0, loss: 1.234, top1: 61.5, images_per_second: 1400.0, validation: None, raw: None,
//!     summed_bytes: None,
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod chart;
mod numbers;
mod progress;
mod standing;

pub use numbers::{duration, rounded_count, rounded_latency};
pub use progress::Progress;
