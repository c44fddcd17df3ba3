//! Steps of a supernet on random images, to be timed: the work of a search without its data.

use burn::tensor::{Device, Tensor, TensorData};
use creamery_nn::{Gathered, Norm, SuperNet, loss};
use creamery_space::{Architecture, Budget, Sampler, Space};
use creamery_train::{ConfigError, Decay, Ranks, TrainError, TrainSettings};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use crate::board::Entry;
use crate::judge::Anchors;
use crate::matching::{MatchOn, Matching, choose};
use crate::meta::{Examples, MetaNetwork, rho_gradient, taught_targets};
use crate::trainer::Trainer;

/// Channels of the random images.
const CHANNELS: usize = 3;

/// Learning rate of the meta network, as the reference has it.
const META_LR: f64 = 1e-4;

/// What a step does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepMode {
    /// Trains one path on labels: forward, backward, clipping, update (SPOS).
    Spos,
    /// The same, after matching the path against the board and asking the teacher found (Cream).
    Cream,
    /// A step of Cream with a lesson of the meta network.
    Meta,
    /// Runs one path forward with its running statistics.
    Eval,
}

/// The sizes of a [`StepBench`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StepSizes {
    /// Images of a batch.
    pub batch: usize,
    /// Pixels a side of an image.
    pub resolution: usize,
    /// Classes.
    pub classes: usize,
    /// Entries of the board.
    pub board: usize,
    /// Images that paths are compared on.
    pub anchors: usize,
}

/// A supernet with a full board, ready to take steps.
pub struct StepBench {
    trainer: Trainer,
    anchors: Anchors,
    examples: Examples,
    entries: Vec<Entry>,
    meta: MetaNetwork,
    step: u64,
}

impl StepBench {
    /// A fresh supernet of `space`, with random images, labels and board by `seed`.
    ///
    /// # Errors
    /// If the space has not this resolution, or a size is zero.
    pub fn new(
        space: &Space,
        sizes: StepSizes,
        seed: u64,
        device: &Device,
    ) -> Result<Self, TrainError> {
        let StepSizes {
            batch,
            resolution,
            classes,
            board,
            anchors,
        } = sizes;
        if [batch, resolution, classes, board, anchors].contains(&0) {
            return Err(
                ConfigError::Value("a size of the bench is 0: give at least 1".into()).into(),
            );
        }
        let supernet = SuperNet::new(space, CHANNELS, classes, seed, device)?;
        let settings = TrainSettings {
            decay: Decay::Constant,
            ..TrainSettings::default()
        };
        let trainer = Trainer::new(supernet, &settings, settings.schedule(1), seed);

        let images = |name: &str, count: usize| {
            let mut rng = creamery_rng::stream(seed, name, 0);
            let values = (0..count * resolution * resolution * CHANNELS)
                .map(|_| rng.random_range(-1.7f32..1.7))
                .collect();
            let shape = [count, resolution, resolution, CHANNELS];
            Tensor::from_data(TensorData::new(values, shape), device)
        };
        let mut rng = creamery_rng::stream(seed, "bench labels", 0);
        let labels: Vec<usize> = (0..batch).map(|_| rng.random_range(0..classes)).collect();
        let examples = Examples {
            images: images("bench images", batch),
            targets: loss::smoothed_targets(&labels, classes, settings.label_smoothing, device),
        };
        let anchors = Anchors {
            images: images("bench anchors", anchors),
            match_on: MatchOn::Logits,
        };
        let mut bench = Self {
            meta: MetaNetwork::new(anchors.images.dims()[0] * classes, seed),
            trainer,
            anchors,
            examples,
            entries: Vec::new(),
            step: 0,
        };
        for architecture in draw(space, resolution, classes, board, seed, "bench board")? {
            let path = bench.trainer.supernet.path(&architecture)?;
            bench.entries.push(Entry {
                cost: bench.trainer.cost(&architecture)?,
                phi: bench.anchors.phi(&path),
                architecture,
                score: 0.0,
                phi_step: 0,
                entered: 0,
                taught: 0,
            });
        }
        Ok(bench)
    }

    /// Random paths of the space, by the bench's seed.
    ///
    /// # Errors
    /// If the space has no path of this resolution.
    pub fn paths(
        space: &Space,
        sizes: StepSizes,
        count: usize,
        seed: u64,
    ) -> Result<Vec<Architecture>, TrainError> {
        draw(
            space,
            sizes.resolution,
            sizes.classes,
            count,
            seed,
            "bench paths",
        )
    }

    /// Takes one step with a path.
    ///
    /// # Errors
    /// If the path is not one of the space, or the training diverges.
    pub fn step(&mut self, mode: StepMode, path: &Architecture) -> Result<(), TrainError> {
        let step = self.step;
        let trainer = &mut self.trainer;
        let path = trainer.supernet.path(path)?;
        if mode == StepMode::Eval {
            let output = path.forward(self.examples.images.clone(), Norm::Running);
            // To read is to wait for the device.
            std::hint::black_box(output.logits.into_data());
            return Ok(());
        }
        let mut matched = None;
        if mode != StepMode::Spos {
            let phi = self.anchors.phi(&path);
            let mut rng = creamery_rng::stream(trainer.seed(), "teacher", step);
            let choice = choose(
                Matching::Meta,
                &phi,
                &self.entries,
                None,
                &self.meta,
                0.5,
                &mut rng,
            )
            .expect("the board is not empty");
            let teacher = trainer
                .supernet
                .path(&self.entries[choice.index].architecture)?;
            let teacher = trainer.ask(&teacher, self.examples.images.clone());
            matched = Some((phi, choice, teacher));
        }
        let mut taught = self.examples.clone();
        if let Some((_, choice, teacher)) = &matched {
            taught.targets = taught_targets(taught.targets, teacher.clone(), choice.rho);
        }
        let pass = trainer.forward(&path, taught, None);
        let stats = pass.output.stats.clone();
        let (_, gradients) = trainer.gradients(pass, step)?;
        if let (StepMode::Meta, Some((phi, choice, teacher))) = (mode, matched) {
            let (examples, lr) = (&self.examples, trainer.lr(step));
            let learned = rho_gradient(&path, &gradients, examples, teacher, examples, lr);
            let entry = &self.entries[choice.index];
            let gradient = self
                .meta
                .gradient(&phi, &entry.phi, choice.rho, learned.d_rho);
            self.meta.descend(&gradient, META_LR);
        }
        let mut gathered = Gathered::default();
        let supernet = &trainer.supernet;
        supernet.gather(&mut gathered, &path, gradients, stats);
        // The path shares the weights; without it they are updated in place.
        drop(path);
        trainer.update(gathered, step, Ranks::default(), &mut [])?;
        self.step += 1;
        Ok(())
    }
}

/// Random paths, uniform over the space.
fn draw(
    space: &Space,
    resolution: usize,
    classes: usize,
    count: usize,
    seed: u64,
    purpose: &str,
) -> Result<Vec<Architecture>, TrainError> {
    let sampler = Sampler::new(space, resolution, CHANNELS, classes, &Budget::default())
        .map_err(|error| ConfigError::Value(error.to_string()))?;
    let mut rng = creamery_rng::stream(seed, purpose, 0);
    Ok((0..count).map(|_| sampler.draw(&mut rng)).collect())
}
