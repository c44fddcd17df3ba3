//! A policy over the choices, by policy gradient.

use std::collections::HashMap;

use creamery_space::Architecture;
use rand::{Rng, RngExt};

use super::{
    Candidates, Evaluate, Halt, Pool, SelectSettings, Selected, Selector, Tried, by_bucket,
    in_each_bucket,
};

/// How often a sample is drawn anew that is outside of the budget.
const SAMPLE_TRIES: usize = 64;
/// Uniform draws whose marginals the policy starts from.
const START_DRAWS: usize = 1024;

/// REINFORCE (Williams 1992) over the choices: one categorical distribution at each place, skips among its
/// options where they are allowed, moved along `mean((reward - baseline) grad log pi(path)) / scale`.
///
/// The reward is top-1; the baseline is a moving average of the mean reward of the updates before; the
/// scale is the standard deviation of the rewards of all paths evaluated so far, so that one learning rate
/// serves supernets whose paths differ by a point and those where they differ by thirty. The best of all
/// paths evaluated wins. A path that is sampled again is not evaluated again, so that there are at
/// most `samples x updates` evaluations, 1000 with the default settings.
///
/// *The budget.* The policy starts from the marginals of the uniform distribution within the budget, so
/// that most of what it samples is within. A sample outside is rejected and drawn anew, a limited number of times.
/// What is accepted follows the policy conditioned on the budget, pi(path) / Z, whose gradient differs from
/// the one above by `grad log Z`: a term that is the same for all samples, and whose mean is 0 where
/// the baseline is the mean reward. Where all tries are rejected, a path drawn uniformly within the budget is
/// evaluated in its place: it can win, but the policy did not choose it and so has nothing to learn from it.
#[derive(Clone, Debug)]
pub struct Reinforce(pub SelectSettings);

impl Selector for Reinforce {
    fn evaluations(&self, pool: &Pool) -> usize {
        let settings = &self.0.reinforce;
        in_each_bucket(pool, settings.samples.saturating_mul(settings.updates))
    }

    fn select(&self, pool: &Pool, evaluate: &mut dyn Evaluate) -> Result<Selected, Halt> {
        by_bucket(pool, evaluate, |bucket, tried| {
            let mut rng = pool.stream("reinforce start", bucket, 0);
            let mut learner = Learner {
                policy: Policy::of_marginals(tried.candidates, &mut rng),
                baseline: None,
                rewards: HashMap::new(),
            };
            for update in 0..self.0.reinforce.updates as u64 {
                let mut rng = pool.stream("reinforce", bucket, update);
                learner.update(&self.0, tried, &mut rng)?;
            }
            Ok(())
        })
    }
}

/// A categorical distribution for each place, independent of each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    /// By place and option: unnormalised log-probabilities.
    pub logits: Vec<Vec<f64>>,
}

impl Policy {
    /// The marginals of the uniform distribution over the candidates, from draws.
    pub fn of_marginals(candidates: &Candidates, rng: &mut impl Rng) -> Self {
        let options = candidates.options();
        // One more than drawn of each: nothing is impossible.
        let mut counts: Vec<Vec<f64>> = options.iter().map(|o| vec![1.0; o.len()]).collect();
        for _ in 0..START_DRAWS {
            let genes = candidates.genes(&candidates.draw(rng));
            for (counts, index) in counts.iter_mut().zip(indices(&genes, options)) {
                counts[index] += 1.0;
            }
        }
        let logits = |counts: Vec<f64>| counts.into_iter().map(f64::ln).collect();
        Self {
            logits: counts.into_iter().map(logits).collect(),
        }
    }

    /// The probabilities of a place's options.
    fn probabilities(logits: &[f64]) -> Vec<f64> {
        let most = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let weights: Vec<f64> = logits.iter().map(|logit| (logit - most).exp()).collect();
        let sum: f64 = weights.iter().sum();
        weights.iter().map(|weight| weight / sum).collect()
    }

    /// Samples the index of an option for each place.
    pub fn sample(&self, rng: &mut impl Rng) -> Vec<usize> {
        let place = |logits: &Vec<f64>| {
            let mut left: f64 = rng.random();
            let probabilities = Self::probabilities(logits);
            let last = probabilities.len() - 1;
            let reached = probabilities.iter().position(|probability| {
                left -= probability;
                left < 0.0
            });
            // Rounding may leave a little.
            reached.unwrap_or(last)
        };
        self.logits.iter().map(place).collect()
    }

    /// log pi of the option chosen at each place.
    pub fn log_probability(&self, chosen: &[usize]) -> f64 {
        let places = self.logits.iter().zip(chosen);
        places
            .map(|(logits, &index)| Self::probabilities(logits)[index].ln())
            .sum()
    }

    /// The gradient of [`log_probability`](Self::log_probability) with respect to the logits: at each place 1
    /// for the option chosen, minus the probabilities.
    pub fn gradient(&self, chosen: &[usize]) -> Vec<Vec<f64>> {
        let places = self.logits.iter().zip(chosen);
        places
            .map(|(logits, &index)| {
                let mut gradient = Self::probabilities(logits);
                gradient.iter_mut().for_each(|g| *g = -*g);
                gradient[index] += 1.0;
                gradient
            })
            .collect()
    }

    /// `logits + step x gradient`.
    pub fn ascend(&mut self, gradient: &[Vec<f64>], step: f64) {
        let pairs = self.logits.iter_mut().flatten();
        for (logit, g) in pairs.zip(gradient.iter().flatten()) {
            *logit += step * g;
        }
    }
}

/// The standard deviation of some numbers.
fn deviation(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let n = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / n;
    let squares = values.map(|value| (value - mean).powi(2));
    (squares.sum::<f64>() / n).sqrt()
}

/// Where each gene stands among its place's options.
fn indices<'a>(genes: &'a [i8], options: &'a [Vec<i8>]) -> impl Iterator<Item = usize> + 'a {
    genes.iter().zip(options).map(|(gene, options)| {
        let found = options.iter().position(|option| option == gene);
        found.expect("paths are made of the options")
    })
}

struct Learner {
    policy: Policy,
    /// From the updates before.
    baseline: Option<f64>,
    rewards: HashMap<Architecture, f64>,
}

impl Learner {
    fn update(
        &mut self,
        settings: &SelectSettings,
        tried: &mut Tried<'_>,
        rng: &mut impl Rng,
    ) -> Result<(), Halt> {
        let settings = &settings.reinforce;
        let mut batch = Vec::new();
        for _ in 0..settings.samples {
            match self.sample(tried, rng) {
                Some((chosen, path)) => batch.push((chosen, self.reward(path, tried)?)),
                None => {
                    if let Some(path) = tried.fresh(rng) {
                        self.reward(path, tried)?;
                    }
                }
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        let n = batch.len() as f64;
        let mean = batch.iter().map(|(_, reward)| reward).sum::<f64>() / n;
        let baseline = self.baseline.unwrap_or(mean);
        let scale = deviation(tried.scored.iter().map(|scored| scored.top1));
        // Where all are equal there is nothing to learn.
        if scale > 0.0 {
            let before = self.policy.clone();
            for (chosen, reward) in &batch {
                let step = settings.lr * (reward - baseline) / scale / n;
                self.policy.ascend(&before.gradient(chosen), step);
            }
        }
        self.baseline = Some(settings.baseline * baseline + (1.0 - settings.baseline) * mean);
        Ok(())
    }

    /// A path that the policy chooses within the budget, and its options.
    fn sample(&self, tried: &Tried<'_>, rng: &mut impl Rng) -> Option<(Vec<usize>, Architecture)> {
        let options = tried.candidates.options();
        (0..SAMPLE_TRIES).find_map(|_| {
            let chosen = self.policy.sample(rng);
            let genes: Vec<i8> = options.iter().zip(&chosen).map(|(o, &i)| o[i]).collect();
            let path = tried.candidates.architecture(&genes);
            tried.fits(&path).then_some((chosen, path))
        })
    }

    fn reward(&mut self, path: Architecture, tried: &mut Tried<'_>) -> Result<f64, Halt> {
        if let Some(known) = self.rewards.get(&path) {
            return Ok(*known);
        }
        let reward = tried.evaluate(path.clone())?.top1;
        self.rewards.insert(path, reward);
        Ok(reward)
    }
}
