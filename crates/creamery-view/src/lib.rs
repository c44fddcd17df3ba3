//! What people look at, while a run works and after it.
//!
//! [`Progress`] is an [`Observer`](creamery_train::event::Observer) of a run's events: on a terminal it
//! draws a bar, elsewhere it writes a line for each epoch, and when told to be quiet it does nothing. [`Live`] is one that fills a
//! terminal. Everything that they show comes from the events, so that they can watch any task.
//! [`record`] reads what a run's folder tells. [`report`] is a run on a page, [`chart`] draws results as SVG, [`tensorboard`] writes TensorBoard's event files.
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
//!     epoch: 0, loss: 1.234, top1: 61.5, images_per_second: 1400.0, data_wait: 0.0, validation: None, raw: None,
//!     summed_bytes: None,
//! })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod chart;
mod live;
mod numbers;
mod progress;
pub mod record;
pub mod report;
mod standing;
pub mod tensorboard;

pub use live::{Interrupt, Live, restore_terminal, terminal_is_taken};
pub use numbers::{duration, rounded_count, rounded_latency};
pub use progress::Progress;
