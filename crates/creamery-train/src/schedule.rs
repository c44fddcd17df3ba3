//! Learning-rate schedules.

use serde::{Deserialize, Serialize};

/// How the rate falls after warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Decay {
    /// It does not.
    Constant,
    /// In a straight line to 0 after the last step.
    Linear,
    /// Along half a cosine to 0 after the last step (Loshchilov and Hutter 2017).
    Cosine,
    /// In stairs, each a share of the one before, as EfficientNet has it: see [`Stairs`].
    Step,
}

/// The stairs of [`Decay::Step`]: after every `steps` steps, counted from the first of the training, the rate is
/// multiplied by `factor`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Stairs {
    /// What the rate is multiplied by.
    pub factor: f64,
    /// Steps on one stair, which need not be whole.
    pub steps: f64,
}

/// The learning rate of every step of a training.
///
/// ```
/// use creamery_train::{Decay, Schedule, Stairs};
///
/// let stairs = Stairs { factor: 0.97, steps: 24.0 };
/// let schedule =
///     Schedule { base: 0.1, decay: Decay::Linear, stairs, warmup_from: 0.0, warmup: 10, steps: 110 };
/// assert_eq!(schedule.lr(0), 0.0);
/// assert_eq!(schedule.lr(10), 0.1);
/// assert_eq!(schedule.lr(60), 0.05);
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The rate after warm-up.
    pub base: f64,
    /// How the rate falls after warm-up.
    pub decay: Decay,
    /// The stairs of [`Decay::Step`].
    pub stairs: Stairs,
    /// The rate of the first warm-up step.
    pub warmup_from: f64,
    /// Steps of warm-up, in a straight line from `warmup_from` to `base`.
    pub warmup: u64,
    /// Steps in all, warm-up included.
    pub steps: u64,
}

impl Schedule {
    /// The learning rate of a step, counted from 0.
    pub fn lr(&self, step: u64) -> f64 {
        if step < self.warmup {
            let part = step as f64 / self.warmup as f64;
            return self.warmup_from + (self.base - self.warmup_from) * part;
        }
        let span = self.steps.saturating_sub(self.warmup).max(1) as f64;
        let part = ((step - self.warmup) as f64 / span).min(1.0);
        match self.decay {
            Decay::Constant => self.base,
            Decay::Linear => self.base * (1.0 - part),
            Decay::Cosine => self.base * 0.5 * (1.0 + (std::f64::consts::PI * part).cos()),
            Decay::Step => {
                let fallen = (step as f64 / self.stairs.steps).floor();
                self.base * self.stairs.factor.powf(fallen)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAIRS: Stairs = Stairs {
        factor: 0.5,
        steps: 2.5,
    };

    #[test]
    fn stairs_fall_at_their_edges_and_nowhere_else() {
        let schedule = Schedule {
            base: 0.8,
            decay: Decay::Step,
            stairs: STAIRS,
            warmup_from: 0.0,
            warmup: 1,
            steps: 9,
        };
        let rates: Vec<f64> = (0..9).map(|step| schedule.lr(step)).collect();
        assert_eq!(rates, [0.0, 0.8, 0.8, 0.4, 0.4, 0.2, 0.2, 0.2, 0.1]);
    }

    /// The authors' linear schedule is right only for a base rate of 1.
    #[test]
    fn the_shape_does_not_depend_on_the_base_rate() {
        for decay in [Decay::Constant, Decay::Linear, Decay::Cosine, Decay::Step] {
            let schedule = |base| Schedule {
                base,
                decay,
                stairs: STAIRS,
                warmup_from: 0.0,
                warmup: 3,
                steps: 20,
            };
            for step in 0..20 {
                let ratio = schedule(0.25).lr(step) - 0.25 * schedule(1.0).lr(step);
                assert!(ratio.abs() < 1e-12, "{decay:?} at {step}");
            }
        }
    }

    #[test]
    fn the_rate_ends_near_zero_and_never_below() {
        for decay in [Decay::Linear, Decay::Cosine] {
            let schedule = Schedule {
                base: 1.0,
                decay,
                stairs: STAIRS,
                warmup_from: 1e-6,
                warmup: 0,
                steps: 100,
            };
            assert!(schedule.lr(99) > 0.0 && schedule.lr(99) < 0.02);
            assert_eq!(schedule.lr(100).max(0.0), schedule.lr(5000).max(0.0));
        }
    }
}
