//! Steps that train several paths: gradients add up, and one update follows.

use burn::tensor::Tensor;
use burn::tensor::activation::softmax;
use creamery_data::Batch;
use creamery_nn::{Gathered, Subnet, loss};
use creamery_train::engine::StepReport;
use creamery_train::{Ranks, TrainError};

use crate::meta::Examples;
use crate::trainer::{Shared, Trainer};

/// The passes of one step, and what they add up to.
pub(crate) struct Passes<'a> {
    batch: &'a Batch,
    step: u64,
    gathered: Gathered,
    /// Loss and right first choices of each.
    passed: Vec<(f64, usize)>,
    macs: u64,
    /// Whether the ranks' passes have been put together already.
    shared: bool,
}

/// What one pass yields.
pub(crate) struct Passed {
    /// The path's softmax outputs, `[n, classes]`, outside of any graph.
    pub outputs: Tensor<2>,
    /// One flat gradient for each layer of the path.
    pub gradients: Vec<Tensor<1>>,
}

/// What a step's passes came to, over the portions of all ranks.
pub(crate) struct Updated {
    /// The means over the passes.
    pub report: StepReport,
    /// Loss of the last pass.
    pub loss: f64,
    /// Images of the batch whose first choice was right in the last pass.
    pub correct: usize,
}

impl<'a> Passes<'a> {
    /// No pass yet.
    pub fn new(batch: &'a Batch, step: u64) -> Self {
        Self {
            batch,
            step,
            gathered: Gathered::default(),
            passed: Vec::new(),
            macs: 0,
            shared: false,
        }
    }

    /// Runs a path forward and back and adds its gradients. `mask` is that of dropout.
    ///
    /// # Errors
    /// If the loss is not finite, or the path not one of the space.
    pub fn run(
        &mut self,
        trainer: &Trainer,
        path: &Subnet,
        examples: Examples,
        mask: Option<Tensor<2>>,
    ) -> Result<Passed, TrainError> {
        let pass = trainer.forward(path, examples, mask);
        let logits = pass.output.logits.clone().inner();
        let stats = pass.output.stats.clone();
        let (loss, gradients) = trainer.gradients(pass, self.step)?;
        let supernet = &trainer.supernet;
        supernet.gather(&mut self.gathered, path, gradients.clone(), stats);
        let correct = loss::correct(&logits, &self.batch.labels, 1);
        self.passed.push((loss, correct));
        self.macs += trainer.cost(&path.architecture)?.macs;
        Ok(Passed {
            outputs: softmax(logits, 1),
            gradients,
        })
    }

    /// [`run`](Self::run) of a step's only pass: what it yields is summed over the ranks while it goes on, and is that of
    /// the whole batch.
    ///
    /// # Errors
    /// As for [`run`](Self::run).
    pub fn run_only(
        &mut self,
        trainer: &Trainer,
        path: &Subnet,
        examples: Examples,
    ) -> Result<Passed, TrainError> {
        if trainer.ranks().is_alone() || !self.passed.is_empty() {
            return self.run(trainer, path, examples, None);
        }
        let pass = trainer.forward(path, examples, None);
        let logits = pass.output.logits.clone().inner();
        let correct = loss::correct(&logits, &self.batch.labels, 1);
        let Shared {
            gradients,
            stats,
            loss,
            correct,
        } = trainer.mean_gradients(pass, correct, self.step)?;
        let supernet = &trainer.supernet;
        supernet.gather(&mut self.gathered, path, gradients.clone(), stats);
        self.passed.push((loss, correct));
        self.shared = true;
        self.macs += trainer.cost(&path.architecture)?.macs;
        Ok(Passed {
            outputs: softmax(logits, 1),
            gradients,
        })
    }

    /// Whether the passes are those of the whole batch already.
    pub fn is_shared(&self) -> bool {
        self.shared
    }

    /// The next passes are of these images.
    pub fn turn_to(&mut self, batch: &'a Batch) {
        self.batch = batch;
    }

    /// Loss and right first choices of the last pass.
    pub fn last(&self) -> (f64, usize) {
        self.passed.last().copied().unwrap_or_default()
    }

    /// What the passes have yielded.
    pub fn into_gathered(self) -> Gathered {
        self.gathered
    }

    /// Updates the supernet by the sum of the gradients, those of all ranks included.
    ///
    /// Weights are updated in place if no path shares them any more.
    ///
    /// # Errors
    /// [`TrainError::NotFinite`]; the supernet is then unchanged.
    pub fn update(self, trainer: &mut Trainer) -> Result<Updated, TrainError> {
        let with = match self.shared {
            true => Ranks::default(),
            false => trainer.ranks(),
        };
        let share = with.size() as f64;
        let own = self.passed.iter();
        let mut passed: Vec<f64> = own
            .flat_map(|(loss, correct)| [loss / share, *correct as f64])
            .collect();
        let grad_norm = trainer.update(self.gathered, self.step, with, &mut passed)?;
        let passed = passed.as_chunks::<2>().0;
        let count = passed.len().max(1) as f64;
        let sums = (passed.iter()).fold([0.0; 2], |sums, pass| {
            [sums[0] + pass[0], sums[1] + pass[1]]
        });
        let [loss, correct] = *passed.last().unwrap_or(&[0.0; 2]);
        Ok(Updated {
            report: StepReport {
                loss: sums[0] / count,
                correct: (sums[1] / count).round() as usize,
                lr: trainer.lr(self.step),
                grad_norm,
                macs: self.macs / passed.len().max(1) as u64,
                teacher: None,
            },
            loss,
            correct: correct as usize,
        })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use creamery_nn::{Device, SuperNet};
    use creamery_space::{Architecture, Space};
    use creamery_train::{Decay, TrainSettings};

    /// A trainer whose update is the gradient: plain descent at rate 1 without decay, momentum or clipping.
    pub(crate) fn trainer(supernet: SuperNet) -> Trainer {
        let settings = TrainSettings {
            lr: 1.0,
            decay: Decay::Constant,
            momentum: 0.0,
            nesterov: false,
            weight_decay: 0.0,
            clip_norm: 0.0,
            ..TrainSettings::default()
        };
        Trainer::new(supernet, &settings, settings.schedule(1), 0)
    }

    /// Four grey images of 28 px.
    pub(crate) fn batch() -> Batch {
        let images = (0..4 * 28 * 28).map(|i| ((i * 37 % 101) as f32 / 50.0) - 1.0);
        Batch {
            images: images.collect(),
            labels: vec![0, 3, 1, 2],
            n: 4,
            size: 28,
            channels: 1,
            epoch: 0,
            index: 0,
        }
    }

    /// How far each of the supernet's values moved, layer after layer.
    fn moved(before: &SuperNet, after: &SuperNet) -> Vec<f32> {
        let values = |net: &SuperNet| -> Vec<f32> {
            let layers = net.layers().map(|layer| layer.params.to_data());
            let values = layers.map(|data| data.try_into_vec::<f32>().unwrap());
            values.flatten().collect()
        };
        let pairs = values(before).into_iter().zip(values(after));
        pairs.map(|(before, after)| before - after).collect()
    }

    #[test]
    fn a_step_of_several_passes_is_the_sum_of_their_steps() {
        let space = Space::builtin("tiny-32").unwrap();
        let device = Device::flex();
        let path = |choices: [&[i8]; 3]| {
            Architecture::new("tiny-32", 28, choices.map(<[i8]>::to_vec).to_vec())
        };
        // They share some operations, and in an elastic supernet all blocks.
        let paths = [
            path([&[0, 5], &[3], &[1, -1, 4]]),
            path([&[0], &[2, 3], &[1, 5]]),
        ];
        for elastic in [false, true] {
            let net = match elastic {
                true => SuperNet::elastic(&space, 1, 4, false, 7, &device),
                false => SuperNet::new(&space, 1, 4, 7, &device),
            };
            let net = net.unwrap();
            let batch = batch();
            let step = |chosen: &[Architecture]| -> Vec<f32> {
                let mut trainer = trainer(net.clone());
                let mut passes = Passes::new(&batch, 0);
                for path in chosen {
                    let path = trainer.supernet.path(path).unwrap();
                    let examples = trainer.examples(&batch);
                    passes.run(&trainer, &path, examples, None).unwrap();
                }
                passes.update(&mut trainer).unwrap();
                moved(&net, &trainer.supernet)
            };
            let sum = step(&paths);
            let (first, second) = (step(&paths[..1]), step(&paths[1..]));
            let mut touched = 0;
            for (sum, (a, b)) in sum.iter().zip(first.iter().zip(&second)) {
                assert!(
                    (sum - (a + b)).abs() <= 2e-6 + 1e-4 * sum.abs(),
                    "{sum} {a} {b}"
                );
                touched += usize::from(*a != 0.0 && *b != 0.0);
            }
            assert!(touched > 1000, "they meet in {touched} values");
        }
    }
}
