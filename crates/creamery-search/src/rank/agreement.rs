//! The statistics of a comparison of two rankings, together.

use std::fmt;

use serde::Serialize;

use super::{Bootstrap, Estimate, RankError, bootstrap, kendall_tau_b, pearson_r, spearman_rho};

/// How well two lists of scores of the same architectures agree.
///
/// As text it is one line: `tau-b 0.62 [0.41, 0.78], Spearman 0.80 [0.57, 0.92], Pearson 0.83 [0.66, 0.92], n = 30`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Agreement {
    /// Kendall's tau-b: what of the pairs stands in the same order.
    pub tau_b: Estimate,
    /// Spearman's rho.
    pub spearman: Estimate,
    /// Pearson's r.
    pub pearson: Estimate,
    /// Architectures.
    pub n: usize,
}

impl Agreement {
    /// The statistics of the pairs `(a[i], b[i])`, all with intervals from the same resamples.
    ///
    /// # Errors
    /// As for [`bootstrap`].
    pub fn of(a: &[f64], b: &[f64], settings: &Bootstrap) -> Result<Self, RankError> {
        Ok(Self {
            tau_b: bootstrap(a, b, kendall_tau_b, settings)?,
            spearman: bootstrap(a, b, spearman_rho, settings)?,
            pearson: bootstrap(a, b, pearson_r, settings)?,
            n: a.len(),
        })
    }
}

impl fmt::Display for Agreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tau_b,
            spearman,
            pearson,
            n,
        } = self;
        write!(
            f,
            "tau-b {tau_b}, Spearman {spearman}, Pearson {pearson}, n = {n}"
        )
    }
}

impl fmt::Display for Estimate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The sum makes 0 of -0.
        let [value, low, high] =
            [self.value, self.low, self.high].map(|v| (v * 100.0).round() / 100.0 + 0.0);
        write!(f, "{value:.2} [{low:.2}, {high:.2}]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_it_all() {
        let estimate = |value, low, high| Estimate {
            value,
            low,
            high,
            redrawn: 0,
        };
        let agreement = Agreement {
            tau_b: estimate(0.617, 0.409, 0.781),
            spearman: estimate(-0.004, -0.5, 0.4),
            pearson: estimate(1.0, 0.999, 1.0),
            n: 30,
        };
        assert_eq!(
            agreement.to_string(),
            "tau-b 0.62 [0.41, 0.78], Spearman 0.00 [-0.50, 0.40], Pearson 1.00 [1.00, 1.00], n = 30"
        );
    }
}
