//! How far a statistic could lie from its value by the choice of the architectures alone.

use rand::RngExt;
use serde::Serialize;

use super::{RankError, check, constant};

/// How intervals are found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// Resamples, 10,000 by default.
    pub resamples: u64,
    /// The level of confidence, in (0, 1), 0.95 by default.
    pub level: f64,
    /// The seed of the resamples.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self {
            resamples: 10_000,
            level: 0.95,
            seed: 0,
        }
    }
}

/// A statistic and its interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The statistic of all pairs.
    pub value: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
    /// Resamples that had to be drawn again, see [`bootstrap`].
    pub redrawn: u64,
}

/// The statistic of the pairs `(a[i], b[i])`, with its percentile bootstrap interval (Efron 1979).
///
/// Each resample draws as many pairs as there are, with replacement, by `creamery_rng::stream(seed, "bootstrap",
/// number)`; the interval lies between the quantiles `(1 - level) / 2` and `(1 + level) / 2` of its statistics,
/// linearly interpolated. Of a resample in which one side is constant no correlation is defined: it is drawn
/// again, and counted in [`Estimate::redrawn`]. That is rare (once in 625 for five pairs without ties) unless
/// hardly any values of a side differ, and then the interval speaks only of the draws in which they do.
///
/// The interval's ends are within what resamples show: with few pairs it is rather too narrow, and no wider than
/// [-1, 1].
///
/// # Errors
/// Those of [`super::kendall_tau_b`], and of `statistic`; [`RankError::Level`] if the level is not between 0 and
/// 1, [`RankError::Resamples`] if there are none.
pub fn bootstrap(
    a: &[f64],
    b: &[f64],
    statistic: impl Fn(&[f64], &[f64]) -> Result<f64, RankError>,
    settings: &Bootstrap,
) -> Result<Estimate, RankError> {
    check(a, b)?;
    let Bootstrap {
        resamples,
        level,
        seed,
    } = *settings;
    if !(level > 0.0 && level < 1.0) {
        return Err(RankError::Level(level));
    }
    if resamples == 0 {
        return Err(RankError::Resamples);
    }
    let (mut of_a, mut of_b) = (a.to_vec(), b.to_vec());
    let mut redrawn = 0;
    let mut values = Vec::new();
    for number in 0..resamples {
        let mut rng = creamery_rng::stream(seed, "bootstrap", number);
        loop {
            for (to_a, to_b) in of_a.iter_mut().zip(&mut of_b) {
                let index = rng.random_range(0..a.len());
                (*to_a, *to_b) = (a[index], b[index]);
            }
            if !constant(&of_a) && !constant(&of_b) {
                break;
            }
            redrawn += 1;
        }
        values.push(statistic(&of_a, &of_b)?);
    }
    values.sort_by(f64::total_cmp);
    Ok(Estimate {
        value: statistic(a, b)?,
        low: quantile(&values, (1.0 - level) / 2.0),
        high: quantile(&values, (1.0 + level) / 2.0),
        redrawn,
    })
}

/// The quantile of sorted values, linearly interpolated between the two that it lies between.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = share * (sorted.len() - 1) as f64;
    let (below, above) = (
        sorted[place.floor() as usize],
        sorted[place.ceil() as usize],
    );
    below + (above - below) * place.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_interpolated() {
        let sorted = [1.0, 2.0, 4.0, 8.0, 16.0];
        for (share, expected) in [
            (0.0, 1.0),
            (0.25, 2.0),
            (0.3, 2.4),
            (0.875, 12.0),
            (1.0, 16.0),
        ] {
            assert!(
                (quantile(&sorted, share) - expected).abs() < 1e-12,
                "{share}"
            );
        }
        assert_eq!(quantile(&[3.0], 0.975), 3.0);
    }
}
