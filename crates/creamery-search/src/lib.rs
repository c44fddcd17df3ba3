//! The search: how a supernet is trained, and which of its paths wins.
//!
//! A method is a [`Strategy`] and a [`Selector`](select::Selector); [`Method`] names the pairs of the field. The method
//! `cream` is [`Prioritized`], which trains one random path a step and lets the [`Board`]'s best paths teach it,
//! and [`BoardSelector`](select::BoardSelector), which takes the winner from the board. [`rho_gradient`] is how the
//! meta network learns whom to learn from, exactly and in first order. Another selector can be named
//! in a search's configuration, or run later by [`select()`] on a [`Trained`] supernet. [`ablation`] is for tables of
//! configurations, [`rank`] for how well a supernet's ranking of its paths agrees with another.
//!
//! ```
//! use creamery_search::{SearchConfig, search};
//! use creamery_space::Space;
//! use creamery_train::{Layers, Outcome, RunData, RunFolder};
//! use std::sync::atomic::AtomicBool;
//!
//! let space = Space::builtin("tiny-32").unwrap();
//! let layers = Layers { defaults: SearchConfig::defaults(&space), ..Layers::default() };
//! let mut config: SearchConfig = layers.resolve()?;
//! config.train.epochs = 1;
//! # config.train.batch = 16;
//! # config.cream.confirm_images = 16;
//! # config.cream.calibration_images = 16;
//!
//! let set = RunData::open(&config.data)?;
//! # let few: Vec<usize> = (0..64).map(|i| i * 100).collect();
//! # let mut set = set;
//! # set.train = set.train.subset(&few)?;
//! let data = RunData::prepare(set, &config.data, 28, config.seed)?;
//! # let folder = tempfile::tempdir()?;
//! # let folder = folder.path();
//! let run = RunFolder::create(&folder.join("run"), &toml::to_string(&config)?)?;
//! let stop = AtomicBool::new(false);
//! match search(&config, &space, &data, &run, &mut Default::default(), &stop)? {
//!     Outcome::Done(result) => println!("{} MACs", result.cost.macs),
//!     Outcome::Stopped { step } => println!("stopped before step {step}"),
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod ablation;
mod board;
mod config;
mod fair;
mod judge;
mod matching;
mod meta;
mod method;
mod parts;
mod passes;
mod prepared;
mod prioritized;
mod progressive;
pub mod rank;
mod result;
mod sandwich;
mod search;
pub mod select;
mod step_bench;
mod strategy;
mod trained;
mod trainer;
mod uniform;

pub use board::{Board, Entry};
pub use config::{BudgetSettings, CreamSettings, ElasticSettings, SearchConfig};
pub use fair::Fair;
pub use judge::{Anchors, Judge};
pub use matching::{Choice, MatchOn, Matching, choose};
pub use meta::{Examples, MetaNetwork, RhoGradient, rho_gradient, sigmoid, taught_targets};
pub use method::Method;
pub use prepared::check_start;
pub use prioritized::Prioritized;
pub use progressive::Progressive;
pub use result::{Found, Member, SearchResult};
pub use sandwich::Sandwich;
pub use search::search;
pub use select::{SelectConfig, SelectSettings, SelectorName, select};
pub use step_bench::{StepBench, StepMode, StepSizes};
pub use strategy::Strategy;
pub use trained::Trained;
pub use trainer::{Pass, Trainer};
pub use uniform::Uniform;
