//! The training engine: schedules, optimizers, checkpoints, the run's folder and its events; and the
//! training and evaluation of single networks.
//!
//! [`engine::train`] is the one loop. What a step does is a [`engine::Task`]: a [`retrain()`] trains one
//! network, a search trains a supernet by a strategy. Everything that happens is an [`event::Event`].
//!
//! ```
//! use creamery_space::{Architecture, Space};
//! use creamery_train::{Candidate, Outcome, RetrainConfig, RunData, RunFolder, retrain};
//! use std::sync::atomic::AtomicBool;
//!
//! let space = Space::builtin("tiny-32").unwrap();
//! let architecture = space.smallest(28)?;
//!
//! let mut config = RetrainConfig::default();
//! config.train.epochs = 1;
//! config.train.batch = 16;
//! config.data.validation = 0.25;
//! # let mut set = RunData::open(&config.data)?;
//! # let few: Vec<usize> = (0..64).map(|i| i * 100).collect();
//! # set.train = set.train.subset(&few)?;
//! # set.test = set.test.subset(&few[..16])?;
//! # let data = RunData::prepare(set, &config.data, 28, 0)?;
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! // let set = RunData::open(&config.data)?;
//! // let data = RunData::prepare(set, &config.data, 28, config.seed)?;
//! let run = RunFolder::create(&folder.join("run"), &toml::to_string(&config)?)?;
//! let candidate = Candidate { space: &space, architecture: &architecture, inherited: None, teacher: None };
//! let stop = AtomicBool::new(false);
//! match retrain(&config, &candidate, &data, &run, &mut Default::default(), &stop)? {
//!     Outcome::Done(result) => println!("{:.1}% top-1", result.top1),
//!     Outcome::Stopped { step } => println!("stopped before step {step}"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod checkpoint;
pub mod collective;
mod config;
mod confusion;
mod data;
mod dropout;
pub mod engine;
mod error;
mod eval;
pub mod event;
mod init;
mod memory;
mod model;
pub mod optim;
mod recipe;
mod retrain;
mod run;
mod schedule;
mod settings;

pub use checkpoint::{Checkpoint, CheckpointError, Identity};
pub use collective::Ranks;
pub use config::{ConfigError, Layers, merge, nearest};
pub use confusion::{ClassAccuracy, Confusion};
pub use data::RunData;
pub use dropout::{dropout_mask, own_images};
pub use error::TrainError;
pub use eval::{Answers, Tally, Views, evaluate, evaluate_across, evaluate_each, images};
pub use init::{Init, start_from};
pub use memory::peak_memory;
pub use model::{Model, ModelInput};
pub use recipe::{RECIPES, Recipe};
pub use retrain::{
    BestEpoch, Candidate, Distillation, Keep, Outcome, RetrainConfig, RetrainResult, finite,
    retrain,
};
pub use run::{MetricsFile, RunError, RunFolder, write_atomically};
pub use schedule::{Decay, Schedule, Stairs};
pub use settings::{DataSettings, ShuffleKind, TrainSettings};
