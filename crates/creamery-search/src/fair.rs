//! The strategy of FairNAS: every candidate of a block once, then one update.

use creamery_data::Batch;
use creamery_space::{Architecture, SKIP, Sampler};
use creamery_train::TrainError;
use creamery_train::engine::{Position, StepReport};
use creamery_train::event::Events;
use rand::Rng;
use rand::seq::SliceRandom;

use crate::passes::Passes;
use crate::strategy::{Strategy, draw};
use crate::trainer::Trainer;

/// Strict fairness (Chu et al. 2021): a step is a round of as many paths as a block has candidates, in which each
/// candidate of each block runs once; their gradients add up to one update.
///
/// The paper's space has no depth. Here a round leaves out the blocks that a random path within the budget leaves
/// out, so that blocks run as often as the budget has them, and the candidates of any one block equally
/// often at all times. Which operations meet in a path is random, so single paths of a round may be outside of
/// the budget.
pub struct Fair {
    samplers: Vec<Sampler>,
    operations: usize,
}

impl Fair {
    /// Takes depths from one sampler for each bucket of the budget; `operations` is the number of candidates.
    pub fn new(samplers: Vec<Sampler>, operations: usize) -> Self {
        Self {
            samplers,
            operations,
        }
    }
}

/// The paths of a round with the blocks of `depths`: as many as there are operations, each operation once in
/// each block.
fn round(depths: &Architecture, operations: usize, rng: &mut impl Rng) -> Vec<Architecture> {
    let mut paths = vec![depths.clone(); operations];
    for (stage, choices) in depths.choices.iter().enumerate() {
        for (block, choice) in choices.iter().enumerate() {
            if *choice == SKIP {
                continue;
            }
            let mut order: Vec<i8> = (0i8..).take(operations).collect();
            order.shuffle(rng);
            for (path, operation) in paths.iter_mut().zip(order) {
                path.choices[stage][block] = operation;
            }
        }
    }
    paths
}

impl Strategy for Fair {
    fn step(
        &mut self,
        at: Position,
        batch: &Batch,
        trainer: &mut Trainer,
        _events: &mut Events,
    ) -> Result<StepReport, TrainError> {
        let mut rng = creamery_rng::stream(trainer.seed(), "path", at.step);
        let (_, depths) = draw(&self.samplers, &mut rng);
        let examples = trainer.examples(batch);
        let mut passes = Passes::new(batch, at.step);
        for path in round(&depths, self.operations, &mut rng) {
            let path = trainer.supernet.path(&path)?;
            passes.run(trainer, &path, examples.clone(), None)?;
        }
        Ok(passes.update(trainer)?.report)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use creamery_space::{Budget, Space};

    /// After every round all candidates of a block have run equally often, and those of one that is never left out
    /// once a round.
    #[test]
    fn every_candidate_of_a_block_runs_equally_often() {
        let space = Space::builtin("tiny-32").unwrap();
        let budget = Budget::up_to_macs(3_000_000);
        let sampler = Sampler::new(&space, 28, 1, 10, &budget).unwrap();
        let operations = space.operations.len();
        let mut rng = creamery_rng::stream(1, "fair", 0);
        let mut counts: Vec<Vec<Vec<u32>>> = space
            .stages
            .iter()
            .map(|stage| vec![vec![0; operations]; stage.blocks])
            .collect();
        for rounds in 1..=40u32 {
            for path in round(&sampler.draw(&mut rng), operations, &mut rng) {
                space.validate(&path).unwrap();
                for (stage, choices) in path.choices.iter().enumerate() {
                    for (block, choice) in choices.iter().enumerate() {
                        if let Ok(operation) = usize::try_from(*choice) {
                            counts[stage][block][operation] += 1;
                        }
                    }
                }
            }
            for (block, counts) in counts.iter().flat_map(|stage| stage.iter().enumerate()) {
                assert!(counts.iter().all(|count| *count == counts[0]), "{counts:?}");
                assert!(block > 0 || counts[0] == rounds, "first blocks always run");
            }
        }
    }
}
