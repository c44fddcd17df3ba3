//! Tables of configurations: which part of a method does what, over several seeds.
//!
//! A file names rows, each a configuration of search and retraining over that of the table, and seeds; a
//! cell is one row with one seed. [`Ablation::resolve`] reads the file and [`Ablation::preflight`] asks
//! all that can be asked before anything is trained. Whoever runs the cells makes a [`CellResult`] of each
//! and a [`Report`] of all.
//!
//! ```
//! use creamery_search::ablation::Ablation;
//! use creamery_train::Layers;
//!
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! std::fs::write(folder.join("table.toml"), r#"
//!     name = "teachers"
//!     seeds = [0, 1, 2]
//!     search.train.epochs = 4
//!     [[rows]]
//!     name = "no teacher"
//!     search.cream.matching = "none"
//!     [[rows]]
//!     name = "the nearest"
//!     search.cream.matching = "cosine"
//! "#)?;
//! let file = folder.join("table.toml");
//! let table = Ablation::resolve(Layers { file: Some(&file), ..Layers::default() })?;
//! let cells: Vec<String> = table.cells().map(|(row, seed)| row.cell(seed)).collect();
//! assert_eq!(cells[..3], ["no-teacher/seed-0", "the-nearest/seed-0", "no-teacher/seed-1"]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod file;
mod plan;
mod preflight;
mod report;
mod spread;

pub use plan::{Ablation, Row, Settings};
pub use preflight::{DataSets, Opened};
pub use report::{CellResult, Difference, Making, Report, ReportRow};
pub use spread::Spread;
