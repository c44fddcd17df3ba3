//! Which networks there are, what each costs, and how to draw one that a budget allows.
//!
//! A [`Space`] is the set of networks that a search looks through: a fixed beginning and end, and between
//! them stages of inverted residuals of which each place runs one of a few operations. An
//! [`Architecture`] is one network of it: the operations chosen, and the resolution. From both follow the
//! concrete [`Layer`]s with their [`Cost`]; a [`Sampler`] draws architectures within a [`Budget`], each
//! with the same probability. Nothing here knows of tensors.
//!
//! ```
//! use creamery_space::{Budget, Sampler, Space, preset};
//!
//! // A published network: its cost on ImageNet ...
//! let space = Space::builtin("cream-224").unwrap();
//! let published = preset("cream-114").unwrap().architecture;
//! let cost = space.cost(&published, 3, 1000)?;
//! assert_eq!(cost.macs, 109_623_680);
//! assert_eq!(cost.params, 4_410_120);
//!
//! // ... and its blocks as timm writes them.
//! assert_eq!(space.to_timm(&published)?[1], ["ir_r1_k3_s2_e4_c24_se0.25"]);
//!
//! // A random network for grey 28 px images of 10 classes, of at most 6M MACs.
//! let tiny = Space::builtin("tiny-32").unwrap();
//! let budget = Budget::up_to_macs(6_000_000);
//! let sampler = Sampler::new(&tiny, 28, 1, 10, &budget)?;
//! let drawn = sampler.draw(&mut creamery_rng::stream(7, "paths", 0));
//! for layer in tiny.layers(&drawn, 1, 10)? {
//!     println!("{:12} {:3} px {:>9} MACs", layer.name, layer.output_size, layer.cost.macs);
//! }
//! assert!(budget.contains(&tiny.cost(&drawn, 1, 10)?));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A user's own space is a TOML file; [`Space`] shows its form. With a [`LatencyTable`] of what its blocks take on a
//! device, costs and budgets know latency, too.

mod architecture;
mod budget;
mod cost;
mod error;
mod file;
mod latency;
mod layer;
mod network;
mod preset;
mod recommended;
mod sampler;
mod space;
mod time;
mod timm;

pub use architecture::{Architecture, SKIP};
pub use budget::{Budget, buckets};
pub use cost::{Cost, CountError, deserialize_count, format_count, parse_count};
pub use error::{BudgetError, SampleError, SpaceError};
pub use latency::{BlockTime, LatencyTable, LatencyTableError};
pub use layer::{Activation, Layer, LayerSpec, make_divisible};
pub use network::Place;
pub use preset::{Preset, preset, preset_names};
pub use recommended::{Optimizer, Recommended, RecommendedRetrain, RecommendedSearch};
pub use sampler::{PathCount, Sampler};
pub use space::{Fixed, MAX_CHANNELS, MAX_CLASSES, Operation, Space, Stage};
pub use time::{
    LatencyError, deserialize_latency, format_latency, parse_latency, serialize_latency,
};
