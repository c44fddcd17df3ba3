//! Steps in which parts of a batch train different paths, and ranks may train different ones.

use std::collections::HashSet;
use std::ops::Range;

use creamery_data::{Batch, Portion};
use creamery_nn::{Gathered, Share, ops};
use creamery_space::Architecture;
use creamery_train::engine::StepReport;
use creamery_train::optim::Update;
use creamery_train::{ConfigError, Ranks, TrainError};

use burn::tensor::Tensor;
use creamery_train::collective::Flat;

use crate::trainer::Trainer;

/// How the paths of a step are shared out: each has a part of the batch, and each rank has whole parts, or several ranks
/// have one together.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Parts {
    count: usize,
    ranks: Ranks,
}

impl Parts {
    /// `count` paths a step.
    pub fn new(count: usize, ranks: Ranks) -> Self {
        Self { count, ranks }
    }

    /// Refuses what cannot be shared out.
    ///
    /// # Errors
    /// [`ConfigError::Value`].
    pub fn check(self, batch: usize, sync_norm: bool) -> Result<(), ConfigError> {
        let (count, ranks) = (self.count, self.ranks.size());
        if count == 1 {
            return Ok(());
        }
        let wrong = |what: String| Err(ConfigError::Value(what));
        if !count.is_multiple_of(ranks) && !ranks.is_multiple_of(count) {
            return wrong(format!(
                "`paths_per_step` is {count}, which {ranks} ranks do not share evenly: give a multiple or a divisor of {ranks}"
            ));
        }
        let parts = count.max(ranks);
        if !batch.is_multiple_of(parts) || batch / parts < 2 {
            return wrong(format!(
                "`paths_per_step` is {count}: a batch of {batch} does not give each of {parts} parts the same number of images, two or more; give --batch {}",
                (batch.div_ceil(parts)).max(2) * parts
            ));
        }
        if sync_norm && ranks > 1 {
            return wrong(
                "`train.sync_norm` needs all ranks on one path, but `paths_per_step` lets them train different ones: leave one of them out".into(),
            );
        }
        Ok(())
    }

    /// How many ranks have a part together.
    pub fn sharers(self) -> usize {
        (self.ranks.size() / self.count).max(1)
    }

    /// The parts, and so the paths, of this rank.
    pub fn own(self) -> Range<usize> {
        let own = (self.count / self.ranks.size()).max(1);
        let first = self.ranks.rank() / self.sharers() * own;
        first..first + own
    }

    /// This rank's images of each of its parts, by the number of the part.
    pub fn of(self, batch: &Batch) -> Vec<(usize, Batch)> {
        let own = self.own();
        let cut = |index: usize| batch.portion(Portion::of(batch.n, index, own.len()));
        own.clone().zip((0..own.len()).map(cut)).collect()
    }
}

/// What a step of several paths came to, over all ranks: for each path its loss, and how many images of its part it got right.
pub(crate) struct Totals {
    pub grad_norm: f64,
    pub paths: Vec<(f64, usize)>,
}

impl Totals {
    /// The means over the paths.
    pub fn report(
        &self,
        trainer: &Trainer,
        step: u64,
        paths: &[&Architecture],
    ) -> Result<StepReport, TrainError> {
        let count = self.paths.len();
        let mut macs = 0;
        for path in &paths[..count] {
            macs += trainer.cost(path)?.macs;
        }
        Ok(StepReport {
            loss: self.paths.iter().map(|(loss, _)| loss).sum::<f64>() / count as f64,
            correct: self.paths.iter().map(|(_, correct)| correct).sum(),
            lr: trainer.lr(step),
            grad_norm: self.grad_norm,
            macs: macs / count as u64,
            teacher: None,
        })
    }
}

impl Trainer {
    /// Updates the layers of all `paths` by the gradient of the mean loss over their parts: what this rank has gathered
    /// is the sum over its own ones, whose loss and right choices `passed` has, by their number.
    ///
    /// # Errors
    /// [`TrainError::NotFinite`]; the supernet is then unchanged.
    pub(crate) fn update_union(
        &mut self,
        mut gathered: Gathered,
        step: u64,
        parts: Parts,
        paths: &[&Architecture],
        passed: &[(usize, f64, usize)],
    ) -> Result<Totals, TrainError> {
        let mut union = HashSet::new();
        for path in paths {
            union.extend(self.supernet.own_layers(path)?);
        }
        let (ranks, sharers) = (parts.ranks, parts.sharers() as f64);
        let mut flat = Flat::new(ranks);
        let mut counts = Vec::new();
        let device = self.device().clone();
        let layers: Vec<_> = self.supernet.layers_mut().collect();
        let layers: Vec<_> = (layers.into_iter())
            .filter(|layer| union.contains(&layer.name))
            .collect();
        for layer in &layers {
            let Share { gradient, stats } = gathered.remove(&layer.name).unwrap_or_else(|| Share {
                gradient: layer.params.zeros_like(),
                stats: Vec::new(),
            });
            flat.push(&gradient);
            if let Some(running) = &layer.running {
                // Elastic blocks have none.
                counts.push(stats.len() as f32);
                let mut sum = running.zeros_like();
                for stats in &stats {
                    ops::blend(1.0, &mut sum, 1.0, stats);
                }
                flat.push(&sum);
            }
        }
        flat.extend(&counts);
        let mut totals = vec![0.0; 2 * parts.count];
        for (index, loss, correct) in passed {
            totals[2 * index] = (loss / sharers) as f32;
            totals[2 * index + 1] = *correct as f32;
        }
        flat.extend(&totals);
        let mut sums = flat.finish();

        // The mean over the parts; sharers of one have means of their own.
        let factor = 1.0 / (ranks.size() * parts.own().len()) as f32;
        let mut gradients = Vec::new();
        let mut running: Vec<Option<Tensor<1>>> = Vec::new();
        for layer in &layers {
            gradients.push(sums.tensor(layer.params.dims()[0], factor, &device));
            let own = layer.running.as_ref();
            running.push(own.map(|own| sums.tensor(own.dims()[0], 1.0, &device)));
        }
        let counts = sums.next(counts.len()).to_vec();
        let mut counts = counts.into_iter();
        let stats = running.into_iter().map(|sum| {
            let mean = sum.and_then(|sum| {
                let count = counts.next().unwrap_or_default();
                (count > 0.0).then(|| sum / count)
            });
            Vec::from_iter(mean)
        });
        let update = Update {
            gradients,
            stats: stats.collect(),
            step,
            lr: self.lr(step),
        };
        let totals = sums.next(2 * parts.count).as_chunks::<2>().0;
        let path = |[loss, correct]: &[f32; 2]| (f64::from(*loss), *correct as usize);
        let paths = totals.iter().map(path).collect();
        let grad_norm = self.apply(update, &union)?;
        Ok(Totals { grad_norm, paths })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_shared_out_is_refused_with_what_would_do() {
        let alone = |count| Parts::new(count, Ranks::default());
        alone(1).check(7, true).unwrap();
        alone(4).check(8, true).unwrap();
        let error = alone(4).check(10, false).unwrap_err().to_string();
        assert!(error.contains("--batch 12"), "{error}");
        let error = alone(4).check(4, false).unwrap_err().to_string();
        assert!(error.contains("--batch 8"), "{error}");
    }
}
