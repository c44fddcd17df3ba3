//! Latency tables by measurement, and whole networks to hold them against.
//!
//! A block in a loop of its own runs faster than in a network: its weights, and the maps that it reads and writes, stay in
//! the caches. So blocks are timed where they are used. [`profile`] runs random networks layer by layer and reads the clock after
//! each layer; the layers' times then add up to the network's by construction, and each is that of a block whose input the
//! block before has just written, and whose weights were last used a whole network ago. docs/latency.md says
//! what the sum leaves out.

mod statistics;
mod timed;
#[cfg(feature = "tract")]
mod tract;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use creamery_nn::{Device, NnError, SuperNet};
use creamery_space::{
    Architecture, BlockTime, Budget, LatencyTable, LayerSpec, SKIP, SampleError, Sampler, Space,
};
use creamery_train::{ConfigError, TrainError};
use rand::RngExt;
use rand::seq::SliceRandom;

use statistics::{median_signed, quantile};
use timed::{Pass, Timed};

/// Timed passes of a network each time that its turn comes, after one that brings it into the caches as far as it
/// fits there.
const PASSES: usize = 4;

/// Whole networks that say what a table leaves out.
const WHOLE: usize = 8;

/// Rounds at least, however short the time.
const LEAST_ROUNDS: u64 = 3;

/// What runs the networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// Creamery's own operators.
    Creamery,
    /// tract, on networks and layers that are exported to ONNX; with the Cargo feature `tract`.
    #[cfg(feature = "tract")]
    Tract,
}

impl Runtime {
    /// Every runtime of this build.
    pub const ALL: &[Runtime] = &[
        Runtime::Creamery,
        #[cfg(feature = "tract")]
        Runtime::Tract,
    ];

    /// What tables call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Creamery => "creamery",
            #[cfg(feature = "tract")]
            Self::Tract => "tract",
        }
    }

    /// The threads that it computes with here: those of the current pool, or the one of a runtime that has one.
    pub fn threads(self) -> usize {
        match self {
            Self::Creamery => rayon::current_num_threads(),
            #[cfg(feature = "tract")]
            Self::Tract => 1,
        }
    }

    /// The runtime of that name.
    pub fn named(name: &str) -> Option<Runtime> {
        Self::ALL
            .iter()
            .copied()
            .find(|runtime| runtime.name() == name)
    }
}

/// The images of a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Input {
    /// Pixels a side.
    pub resolution: usize,
    /// Channels.
    pub channels: usize,
    /// Classes of the networks.
    pub classes: usize,
    /// Images of a pass.
    pub batch: usize,
}

/// What is measured.
#[derive(Clone, Copy, Debug)]
pub struct Machine<'a> {
    /// What runs the networks.
    pub runtime: Runtime,
    /// What computes; a runtime other than Creamery's own computes on the CPU whatever this says.
    pub device: &'a Device,
}

/// How long to measure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Effort {
    /// Until everything was timed so often.
    Runs(u64),
    /// So long, but for three rounds at least.
    Time(Duration),
}

/// How far a measurement is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Progress {
    /// Rounds that were done.
    pub rounds: u64,
    /// The part that was done, in [0, 1].
    pub part: f64,
}

/// Times every block of the space at every place.
///
/// A round runs as many random networks as the space has operations, so that each operation runs once at each place, and
/// some whole networks, all in random order: what else the machine does then hits all alike. Blocks of the same shape on maps of the
/// same size share their times. The median counts. `overhead_ns` is the median over the whole networks of what they take (their
/// own median) beyond the sum of their blocks.
///
/// `name` is what the table calls the device; see [`Runtime::threads`] for the threads.
///
/// # Errors
/// If the space has not this resolution, a size is 0, or the device fails.
pub fn profile(
    space: &Space,
    input: Input,
    effort: Effort,
    seed: u64,
    (machine, name): (Machine<'_>, &str),
    tell: &mut dyn FnMut(Progress),
) -> Result<LatencyTable, TrainError> {
    let mut bench = Bench::new(space, input, seed, machine)?;
    let blocks = space
        .blocks(input.resolution, input.channels, input.classes)
        .map_err(NnError::from)?;
    let mut times = Times::default();
    let whole = draw(space, input, WHOLE, "profile networks", seed)?;
    let mut whole_times = vec![Vec::new(); whole.len()];
    let start = Instant::now();
    for round in 0.. {
        let chains = covering(space, input.resolution, seed, round);
        let mut turns: Vec<usize> = (0..chains.len() + whole.len()).collect();
        turns.shuffle(&mut creamery_rng::stream(seed, "profile turns", round));
        for turn in turns {
            match turn.checked_sub(chains.len()) {
                None => bench.time_layers(&chains[turn], &mut times)?,
                Some(index) => bench.time_whole(&whole[index], &mut whole_times[index])?,
            }
        }
        let least = blocks.iter().map(|block| times.of(block).len() as u64);
        let part = effort.part(least.min().unwrap_or(0), start.elapsed(), round + 1);
        tell(Progress {
            rounds: round + 1,
            part,
        });
        if part >= 1.0 {
            break;
        }
    }
    let block = |block: &creamery_space::Layer| {
        let times = times.of(block);
        // A clock may be too coarse for a small block.
        let at = |part: f64| quantile(times, part).max(1);
        BlockTime {
            name: block.block_name(),
            median_ns: at(0.5),
            low_ns: Some(at(0.25)),
            high_ns: Some(at(0.75)),
            runs: Some(times.len() as u64),
        }
    };
    let mut table = LatencyTable {
        origin: "the measurement".into(),
        space: space.name.clone(),
        space_fingerprint: space.fingerprint(),
        resolution: input.resolution,
        channels: input.channels,
        classes: input.classes,
        device: name.to_owned(),
        runtime: machine.runtime.name().to_owned(),
        batch: input.batch,
        threads: machine.runtime.threads(),
        overhead_ns: 0,
        blocks: blocks.iter().map(block).collect(),
    };
    table.overhead_ns = overhead(space, &table, &whole, &whole_times)?;
    Ok(table)
}

/// Times whole networks of the space: the median nanoseconds of each, all having their turn in every round.
///
/// # Errors
/// If one is not of the space, a size is 0, or the device fails.
pub fn measure(
    space: &Space,
    networks: &[Architecture],
    input: Input,
    effort: Effort,
    seed: u64,
    machine: Machine<'_>,
    tell: &mut dyn FnMut(Progress),
) -> Result<Vec<u64>, TrainError> {
    let mut bench = Bench::new(space, input, seed, machine)?;
    let mut times = vec![Vec::new(); networks.len()];
    let start = Instant::now();
    for round in 0.. {
        let mut turns: Vec<usize> = (0..networks.len()).collect();
        turns.shuffle(&mut creamery_rng::stream(seed, "measure turns", round));
        for turn in turns {
            bench.time_whole(&networks[turn], &mut times[turn])?;
        }
        let least = times.iter().map(Vec::len).min().unwrap_or(0) as u64;
        let part = effort.part(least, start.elapsed(), round + 1);
        tell(Progress {
            rounds: round + 1,
            part,
        });
        if part >= 1.0 || networks.is_empty() {
            break;
        }
    }
    Ok(times.iter().map(|times| quantile(times, 0.5)).collect())
}

/// Random networks of the space, each with the same probability.
///
/// # Errors
/// If the space has not this resolution, or no network for such images.
pub fn draw(
    space: &Space,
    input: Input,
    count: usize,
    purpose: &str,
    seed: u64,
) -> Result<Vec<Architecture>, TrainError> {
    let Input {
        resolution,
        channels,
        classes,
        ..
    } = input;
    let sampler = Sampler::new(space, resolution, channels, classes, &Budget::default());
    let sampler = sampler.map_err(|error| match error {
        SampleError::Space(error) => TrainError::from(NnError::from(error)),
        other => ConfigError::Value(other.to_string()).into(),
    })?;
    let mut rng = creamery_rng::stream(seed, purpose, 0);
    Ok((0..count).map(|_| sampler.draw(&mut rng)).collect())
}

impl Effort {
    /// The part that is done after so many runs of what ran least, so much time, and so many rounds.
    fn part(self, runs: u64, time: Duration, rounds: u64) -> f64 {
        let part = match self {
            Self::Runs(most) => runs as f64 / most.max(1) as f64,
            Self::Time(most) => {
                let rounds = rounds as f64 / LEAST_ROUNDS as f64;
                rounds.min(time.as_secs_f64() / most.as_secs_f64().max(f64::MIN_POSITIVE))
            }
        };
        part.min(1.0)
    }
}

/// Times by what decides them.
#[derive(Default)]
struct Times(HashMap<(LayerSpec, usize), Vec<u64>>);

impl Times {
    fn of(&self, layer: &creamery_space::Layer) -> &[u64] {
        let key = (layer.spec.clone(), layer.input_size);
        self.0.get(&key).map_or(&[], Vec::as_slice)
    }
}

/// Every candidate of the space with weights, and images. Blocks of equal shape have weights of their own, as in a
/// network.
struct Bench {
    supernet: SuperNet,
    images: Vec<f32>,
    batch: usize,
    device: Device,
    #[cfg(feature = "tract")]
    tract: Option<tract::Tract>,
}

impl Bench {
    fn new(
        space: &Space,
        input: Input,
        seed: u64,
        machine: Machine<'_>,
    ) -> Result<Self, TrainError> {
        let Input {
            resolution,
            channels,
            classes,
            batch,
        } = input;
        if batch == 0 {
            return Err(ConfigError::Value("the batch is 0: give at least 1".into()).into());
        }
        let images = images(batch, resolution, channels, seed);
        Ok(Self {
            supernet: SuperNet::new(space, channels, classes, seed, machine.device)?,
            batch,
            device: machine.device.clone(),
            #[cfg(feature = "tract")]
            tract: (machine.runtime == Runtime::Tract)
                .then(|| tract::Tract::new(space, input, &images)),
            images,
        })
    }

    /// What runs a path: layer by layer, or as a whole.
    fn timed(&mut self, path: &Architecture, whole: bool) -> Result<Box<dyn Pass>, TrainError> {
        let net = self.supernet.path(path)?;
        #[cfg(feature = "tract")]
        if let Some(tract) = &mut self.tract {
            return match whole {
                true => tract.whole(net),
                false => tract.layers(&net),
            };
        }
        let _ = whole;
        let images = self.images.clone();
        Ok(Box::new(Timed::new(net, images, self.batch, &self.device)))
    }

    fn time_layers(&mut self, path: &Architecture, times: &mut Times) -> Result<(), TrainError> {
        let net = &self.supernet;
        let layers = net.space().layers(path, net.in_channels(), net.classes());
        let layers = layers.map_err(NnError::from)?;
        let timed = self.timed(path, false)?;
        timed.layers()?;
        for _ in 0..PASSES {
            for (layer, time) in layers.iter().zip(timed.layers()?) {
                let key = (layer.spec.clone(), layer.input_size);
                times.0.entry(key).or_default().push(time);
            }
        }
        Ok(())
    }

    fn time_whole(&mut self, path: &Architecture, times: &mut Vec<u64>) -> Result<(), TrainError> {
        let timed = self.timed(path, true)?;
        timed.whole()?;
        for _ in 0..PASSES {
            times.push(timed.whole()?);
        }
        Ok(())
    }
}

/// Random images `[batch][resolution][resolution][channels]`.
fn images(batch: usize, resolution: usize, channels: usize, seed: u64) -> Vec<f32> {
    let mut rng = creamery_rng::stream(seed, "profile images", 0);
    (0..batch * resolution * resolution * channels)
        .map(|_| rng.random_range(-1.7..1.7))
        .collect()
}

/// As many networks as there are operations, in which each operation runs once at each place that is not skipped. The second block of
/// a stage always runs: those behind it have its shape, so that every shape is timed in every round. Depths are random
/// beyond that, because blocks are used in networks of any size.
fn covering(space: &Space, resolution: usize, seed: u64, round: u64) -> Vec<Architecture> {
    let mut rng = creamery_rng::stream(seed, "profile paths", round);
    let operations = space.operations.len();
    let mut choices = vec![vec![Vec::new(); space.stages.len()]; operations];
    for (stage, size) in space.stages.iter().enumerate() {
        for _ in 0..size.blocks {
            let mut order: Vec<i8> = (0..operations as i8).collect();
            order.shuffle(&mut rng);
            for (path, operation) in choices.iter_mut().zip(order) {
                path[stage].push(operation);
            }
        }
        for path in &mut choices {
            let depth = rng.random_range(size.blocks.min(2)..=size.blocks);
            path[stage][depth..].fill(SKIP);
        }
    }
    let path = |choices| Architecture::new(&space.name, resolution, choices);
    choices.into_iter().map(path).collect()
}

/// What whole networks take beyond the table's sums, at the median.
fn overhead(
    space: &Space,
    table: &LatencyTable,
    networks: &[Architecture],
    times: &[Vec<u64>],
) -> Result<i64, TrainError> {
    let of = |name: &str| {
        let block = table.blocks.iter().find(|block| block.name == name);
        block.map_or(0, |block| block.median_ns)
    };
    let mut differences = Vec::new();
    for (network, times) in networks.iter().zip(times) {
        let layers = space.layers(network, table.channels, table.classes);
        let layers = layers.map_err(NnError::from)?;
        let sum: u64 = layers.iter().map(|layer| of(&layer.block_name())).sum();
        differences.push(quantile(times, 0.5) as i64 - sum as i64);
    }
    // Noise must not make a table that no network could have.
    let fixed = ["stem", "first", "last", "head", "classifier"].map(of);
    let fixed = fixed.iter().sum::<u64>() as i64;
    Ok(median_signed(differences).max(1 - fixed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_runs_at_every_place_that_others_are_not_equal_to() {
        for name in Space::builtin_names() {
            let space = Space::builtin(name).unwrap();
            let resolution = space.resolution_for(None);
            let mut depths = std::collections::BTreeSet::new();
            for round in 0..5 {
                let paths = covering(&space, resolution, 3, round);
                for path in &paths {
                    space.validate(path).unwrap();
                    depths.insert(path.depth());
                }
                for place in space.places().filter(|place| place.block < 2) {
                    let here = |path: &Architecture| path.choices[place.stage][place.block];
                    let mut operations: Vec<i8> = paths.iter().map(here).collect();
                    operations.sort_unstable();
                    let all: Vec<i8> = (0..space.operations.len() as i8).collect();
                    assert_eq!(operations, all);
                }
            }
            assert!(depths.len() > 3, "{depths:?}");
            assert_ne!(
                covering(&space, resolution, 3, 0),
                covering(&space, resolution, 3, 1)
            );
        }
    }

    #[test]
    fn an_effort_ends_by_runs_or_by_time_but_not_before_three_rounds() {
        let second = Duration::from_secs(1);
        assert_eq!(Effort::Runs(8).part(4, second, 1), 0.5);
        assert_eq!(Effort::Runs(8).part(12, second, 3), 1.0);
        assert_eq!(Effort::Time(second).part(4, 2 * second, 1), 1.0 / 3.0);
        assert_eq!(Effort::Time(2 * second).part(4, second, 9), 0.5);
        assert_eq!(Effort::Time(Duration::ZERO).part(4, second, 3), 1.0);
    }

    /// Networks that take the sum of their blocks and 500 ns more, 700 or 900.
    #[test]
    fn the_overhead_is_what_the_median_network_takes_beyond_its_blocks() {
        let space = Space::builtin("tiny-32").unwrap();
        let blocks = space.blocks(28, 1, 10).unwrap();
        let times = |block: &creamery_space::Layer| BlockTime {
            name: block.block_name(),
            median_ns: 1000 + block.cost.macs,
            low_ns: None,
            high_ns: None,
            runs: None,
        };
        let table = LatencyTable {
            origin: String::new(),
            space: space.name.clone(),
            space_fingerprint: space.fingerprint(),
            resolution: 28,
            channels: 1,
            classes: 10,
            device: "none".into(),
            runtime: "none".into(),
            batch: 1,
            threads: 1,
            overhead_ns: 0,
            blocks: blocks.iter().map(times).collect(),
        };
        let input = Input {
            resolution: 28,
            channels: 1,
            classes: 10,
            batch: 1,
        };
        let networks = draw(&space, input, 3, "test", 0).unwrap();
        let timed = space.clone().with_latency(table.clone()).unwrap();
        let sum = |network: &Architecture| timed.cost(network, 1, 10).unwrap().latency_ns;
        let more = |more: [u64; 3]| -> Vec<Vec<u64>> {
            let networks = networks.iter().zip(more);
            networks
                .map(|(network, more)| vec![sum(network) + more; 3])
                .collect()
        };
        let found = |times: &[Vec<u64>]| overhead(&space, &table, &networks, times).unwrap();
        assert_eq!(found(&more([900, 500, 700])), 700);
        // However little they take, every network keeps some time.
        let least = found(&[vec![1], vec![1], vec![1]]);
        let table = LatencyTable {
            overhead_ns: least,
            ..table.clone()
        };
        assert!(least < 0 && space.clone().with_latency(table).is_ok());
    }
}
