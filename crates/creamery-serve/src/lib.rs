//! All runs of a folder: their index, and the dashboard that shows them in a browser.
//!
//! [`Index`] knows the runs below a folder, however deep, and keeps what it found in an SQLite file there, so that it need not read
//! them all each time. [`Dashboard`] shows them over HTTP while they are written: it only ever reads, and nothing outside of the folder.
//! [`prune`] says what of finished and abandoned runs can go.
//!
//! ```
//! use creamery_serve::{Filter, Index, Order};
//!
//! let runs = tempfile::tempdir()?;
//! std::fs::create_dir(runs.path().join("first"))?;
//! std::fs::write(runs.path().join("first/run.toml"), "method = \"cream\"\nseed = 7\n")?;
//!
//! let mut index = Index::open(runs.path())?;
//! index.refresh(|_, _| {});
//! let found = Filter { method: Some("cream".into()), ..Filter::default() }.apply(index.runs(), Order::default());
//! assert_eq!((found[0].id.as_str(), found[0].seed), ("first", Some(7)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod access;
mod api;
mod connection;
mod discover;
mod filter;
mod index;
mod live;
mod onnx;
mod pages;
mod prune;
mod server;
mod state;
mod summary;

pub use access::{Token, TokenError};
pub use filter::{Filter, Order, SortKey};
pub use index::{Index, IndexError};
pub use prune::{Kept, Plan, Prune, PruneError, Removal, prune};
pub use server::{Dashboard, ServeError};
pub use summary::Summary;
