//! The strategy of OFA: the largest network first, then elastic kernels, depth and width, one after the other.

use burn::tensor::Tensor;
use creamery_data::Batch;
use creamery_nn::{NamedTensor, Subnet};
use creamery_space::{Architecture, SKIP, Sampler, Space};
use creamery_train::engine::{Position, StepReport};
use creamery_train::event::Events;
use creamery_train::{Checkpoint, TrainError};
use rand::seq::index;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::config::ElasticSettings;
use crate::meta::{Examples, taught_targets};
use crate::passes::Passes;
use crate::strategy::{Strategy, draw};
use crate::trainer::Trainer;

/// Progressive shrinking (Cai et al. 2020), on a supernet with kernel transformations.
///
/// The largest network trains alone; then it is kept as it is and teaches smaller ones, which the phases let in
/// one dimension after the other. Before width the inner channels are sorted by importance.
pub struct Progressive {
    settings: ElasticSettings,
    samplers: Vec<Sampler>,
    shrinking: Shrinking,
    largest: Architecture,
    /// Steps of the whole training.
    steps: u64,
    teacher: Teacher,
    state: State,
}

/// The largest network as it was when the first phase ended.
enum Teacher {
    None,
    /// Out of a checkpoint.
    Saved(Vec<NamedTensor>),
    Ready(Subnet),
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct State {
    sorted: bool,
}

/// What may be smaller than in the largest network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing.
    Largest,
    Kernel,
    /// So many blocks of a stage may be left out.
    Depth(usize),
    /// So many expansions are let in, the largest first.
    Width(usize),
    /// Everything, within the budget.
    All,
}

impl Phase {
    /// The phase at a share of the training. Depth and width come in two halves, as in the paper: first one block
    /// or one expansion less, then all.
    fn at(share: f64, settings: &ElasticSettings) -> Self {
        let half = |from: f64, to: f64| share < (from + to) / 2.0;
        if share < settings.kernel_from {
            Phase::Largest
        } else if share < settings.depth_from {
            Phase::Kernel
        } else if share < settings.width_from {
            match half(settings.depth_from, settings.width_from) {
                true => Phase::Depth(1),
                false => Phase::Depth(usize::MAX),
            }
        } else if half(settings.width_from, 1.0) {
            Phase::Width(2)
        } else {
            Phase::All
        }
    }

    /// Paths of a step: 1, 2 and 4 (as the paper has them).
    fn paths(self) -> usize {
        match self {
            Phase::Largest | Phase::Kernel => 1,
            Phase::Depth(_) => 2,
            Phase::Width(_) | Phase::All => 4,
        }
    }

    fn is_wide(self) -> bool {
        matches!(self, Phase::Width(_) | Phase::All)
    }
}

/// Draws the paths of a phase.
struct Shrinking {
    space: Space,
}

impl Shrinking {
    /// A random path of the phase, whatever it costs: the operation of each block uniform over those let in,
    /// the number of blocks of each stage uniform, and which of them run too.
    fn draw(&self, phase: Phase, resolution: usize, rng: &mut impl Rng) -> Architecture {
        let expansions = match phase {
            Phase::Width(most) => most,
            _ => 1,
        };
        let skipped = match phase {
            Phase::Depth(most) => most,
            Phase::Width(_) => usize::MAX,
            _ => 0,
        };
        let operations = self.wide_operations(expansions);
        let stages = self.space.stages.iter().map(|stage| {
            let most = skipped.min(stage.blocks - 1);
            let skips = rng.random_range(0..=most);
            let mut choices: Vec<i8> = (0..stage.blocks)
                .map(|_| operations[rng.random_range(0..operations.len())])
                .collect();
            for block in index::sample(rng, stage.blocks - 1, skips) {
                choices[block + 1] = SKIP;
            }
            choices
        });
        let choices = stages.collect();
        Architecture::new(&self.space.name, resolution, choices)
    }

    /// The operations of the `most` largest expansions.
    fn wide_operations(&self, most: usize) -> Vec<i8> {
        let expansions: Vec<usize> = self.space.expansions().into_iter().take(most).collect();
        let operations = (0i8..).zip(&self.space.operations);
        operations
            .filter(|(_, operation)| expansions.contains(&operation.expansion))
            .map(|(index, _)| index)
            .collect()
    }
}

impl Progressive {
    /// Takes the paths of the last phase from one sampler for each bucket of the budget. `steps` are those of the
    /// whole training.
    pub fn new(
        settings: &ElasticSettings,
        space: &Space,
        samplers: Vec<Sampler>,
        largest: Architecture,
        steps: u64,
    ) -> Self {
        Self {
            settings: settings.clone(),
            samplers,
            shrinking: Shrinking {
                space: space.clone(),
            },
            largest,
            steps,
            teacher: Teacher::None,
            state: State::default(),
        }
    }

    /// What the kept largest network says of images.
    fn ask(&mut self, trainer: &Trainer, images: Tensor<4>) -> Result<Tensor<2>, TrainError> {
        if !matches!(self.teacher, Teacher::Ready(_)) {
            let mut net = trainer.supernet.path(&self.largest)?;
            if let Teacher::Saved(state) = std::mem::replace(&mut self.teacher, Teacher::None) {
                net.load(state, trainer.device())?;
            }
            self.teacher = Teacher::Ready(net);
        }
        let Teacher::Ready(net) = &self.teacher else {
            unreachable!("it was made ready above")
        };
        Ok(trainer.ask(net, images))
    }
}

impl Strategy for Progressive {
    fn step(
        &mut self,
        at: Position,
        batch: &Batch,
        trainer: &mut Trainer,
        _events: &mut Events,
    ) -> Result<StepReport, TrainError> {
        let phase = Phase::at(at.step as f64 / self.steps as f64, &self.settings);
        let mut examples = trainer.examples(batch);
        if phase != Phase::Largest {
            let teacher = self.ask(trainer, examples.images.clone())?;
            // Labels and teacher count alike.
            examples = Examples {
                targets: taught_targets(examples.targets, teacher, 1.0),
                ..examples
            };
        }
        if phase.is_wide() && !self.state.sorted {
            trainer.sort_channels();
            self.state.sorted = true;
        }
        let mut rng = creamery_rng::stream(trainer.seed(), "path", at.step);
        let mut passes = Passes::new(batch, at.step);
        for _ in 0..phase.paths() {
            let path = match phase {
                Phase::Largest => self.largest.clone(),
                Phase::All => draw(&self.samplers, &mut rng).1,
                phase => self
                    .shrinking
                    .draw(phase, self.largest.resolution, &mut rng),
            };
            let path = trainer.supernet.path(&path)?;
            match phase.paths() {
                1 => passes.run_only(trainer, &path, examples.clone())?,
                _ => passes.run(trainer, &path, examples.clone(), None)?,
            };
        }
        Ok(passes.update(trainer)?.report)
    }

    fn save(&self, checkpoint: &mut Checkpoint) {
        checkpoint.put("progressive", &self.state);
        match &self.teacher {
            Teacher::None => {}
            Teacher::Saved(state) => checkpoint.put_tensors("teacher", state.clone()),
            Teacher::Ready(net) => checkpoint.put_tensors("teacher", net.state()),
        }
    }

    fn load(&mut self, checkpoint: &mut Checkpoint) -> Result<(), TrainError> {
        self.state = checkpoint.get("progressive")?;
        let teacher = checkpoint.take_tensors("teacher");
        self.teacher = match teacher.is_empty() {
            true => Teacher::None,
            false => Teacher::Saved(teacher),
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::passes::tests::{batch, trainer};

    #[test]
    fn the_phases_come_in_turn_and_by_halves() {
        let settings = ElasticSettings {
            kernel_from: 0.2,
            depth_from: 0.4,
            width_from: 0.6,
            ..ElasticSettings::default()
        };
        let phases = [
            (0.0, Phase::Largest),
            (0.19, Phase::Largest),
            (0.2, Phase::Kernel),
            (0.4, Phase::Depth(1)),
            (0.51, Phase::Depth(usize::MAX)),
            (0.6, Phase::Width(2)),
            (0.79, Phase::Width(2)),
            (0.81, Phase::All),
            (1.0, Phase::All),
        ];
        for (share, phase) in phases {
            assert_eq!(Phase::at(share, &settings), phase, "{share}");
        }
    }

    /// The largest network learns, then teaches as it was, however far the supernet moves and its channels change
    /// places; through a checkpoint too.
    #[test]
    fn the_teacher_stays_what_it_was_when_it_began_to_teach() {
        let space = Space::builtin("tiny-32").unwrap();
        let device = creamery_nn::Device::flex();
        let net = creamery_nn::SuperNet::elastic(&space, 1, 4, true, 7, &device).unwrap();
        let mut trainer = trainer(net);
        let batch = batch();
        let settings = ElasticSettings::default();
        let largest = space.largest(28).unwrap();
        let begin = || {
            let budget = creamery_space::Budget::default();
            let samplers = vec![Sampler::new(&space, 28, 1, 4, &budget).unwrap()];
            Progressive::new(&settings, &space, samplers, largest.clone(), 10)
        };
        let mut strategy = begin();
        let images = trainer.examples(&batch).images;
        let says = |net: &Subnet, trainer: &Trainer| -> Vec<f32> {
            let says = trainer.ask(net, images.clone()).into_data();
            says.try_into_vec().unwrap()
        };
        let mut kept = Vec::new();
        for step in 0..10 {
            let own = trainer.supernet.path(&largest).unwrap();
            if step == 3 {
                kept = says(&own, &trainer);
            }
            let at = Position {
                step,
                ..Position::default()
            };
            let events = &mut Events::default();
            strategy.step(at, &batch, &mut trainer, events).unwrap();
            match &strategy.teacher {
                Teacher::None => assert!(step < 3, "it teaches from a quarter of the training"),
                Teacher::Ready(net) => {
                    assert_eq!(says(net, &trainer), kept, "step {step}");
                    assert_ne!(
                        says(&trainer.supernet.path(&largest).unwrap(), &trainer),
                        kept
                    );
                }
                Teacher::Saved(_) => panic!("it was used"),
            }
            let mut checkpoint = Checkpoint::default();
            strategy.save(&mut checkpoint);
            strategy = begin();
            strategy.load(&mut checkpoint).unwrap();
            if step >= 3 {
                let asked = strategy.ask(&trainer, images.clone()).unwrap();
                let asked: Vec<f32> = asked.into_data().try_into_vec().unwrap();
                assert_eq!(asked, kept, "read back at step {step}");
            }
        }
        assert!(strategy.state.sorted);
    }

    #[test]
    fn a_phase_lets_in_what_it_is_named_for_and_nothing_else() {
        let space = Space::builtin("tiny-32").unwrap();
        let shrinking = Shrinking {
            space: space.clone(),
        };
        let mut rng = creamery_rng::stream(1, "phases", 0);
        let mut draw = |phase| -> Vec<Architecture> {
            (0..200)
                .map(|_| shrinking.draw(phase, 28, &mut rng))
                .collect()
        };
        let whole: usize = space.stages.iter().map(|stage| stage.blocks).sum();
        let expansions = |paths: &[Architecture]| {
            let mut seen: Vec<usize> = paths
                .iter()
                .flat_map(|path| path.choices.concat())
                .filter_map(|choice| {
                    Some(space.operations[usize::try_from(choice).ok()?].expansion)
                })
                .collect();
            seen.sort_unstable();
            seen.dedup();
            seen
        };
        let depths = |paths: &[Architecture]| {
            let depths = paths.iter().map(Architecture::depth);
            (depths.clone().min().unwrap(), depths.max().unwrap())
        };
        let kernel = draw(Phase::Kernel);
        assert_eq!(
            (expansions(&kernel), depths(&kernel)),
            (vec![6], (whole, whole))
        );
        let depth = draw(Phase::Depth(1));
        assert_eq!(
            (expansions(&depth), depths(&depth)),
            (vec![6], (whole - 3, whole))
        );
        let depth = draw(Phase::Depth(usize::MAX));
        assert_eq!(depths(&depth), (3, whole));
        let width = draw(Phase::Width(2));
        assert_eq!(
            (expansions(&width), depths(&width)),
            (vec![3, 6], (3, whole))
        );
        for path in kernel.iter().chain(&depth).chain(&width) {
            space.validate(path).unwrap();
        }
    }
}
