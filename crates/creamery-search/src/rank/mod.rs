//! How well one ranking of architectures foretells another, such as the supernet's the one of networks trained alone.
//!
//! [`Agreement`] holds the three usual statistics of two lists of scores in the same order, each with a bootstrap
//! interval; [`Ranking`] is what it is for, a supernet's paths beside the same networks trained alone. One list is nothing but numbers here: higher need not be better, but it should mean the same in both.
//!
//! ```
//! use creamery_search::rank::{Agreement, Bootstrap, kendall_tau_b};
//!
//! // Top-1 of five paths with the supernet's weights, and of the same architectures trained alone.
//! let supernet = [41.0, 45.5, 43.0, 47.0, 39.5];
//! let alone = [86.1, 87.9, 88.2, 88.6, 85.0];
//!
//! // One of the ten pairs stands in the other order.
//! assert_eq!(kendall_tau_b(&supernet, &alone)?, 0.8);
//!
//! let agreement = Agreement::of(&supernet, &alone, &Bootstrap::default())?;
//! assert_eq!(agreement.tau_b.value, 0.8);
//! // Five networks say little: the interval is wide.
//! assert!(agreement.tau_b.low < 0.5 && agreement.tau_b.high == 1.0);
//! # Ok::<(), creamery_search::rank::RankError>(())
//! ```

mod agreement;
mod bootstrap;
mod correlation;
mod ranking;

pub use agreement::Agreement;
pub use bootstrap::{Bootstrap, Estimate, bootstrap};
pub use correlation::{kendall_tau_b, pearson_r, spearman_rho};
pub use ranking::{FEWEST, RankedPath, Ranking};

/// Why two lists cannot be compared.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RankError {
    /// Lists that cannot be paired.
    #[error(
        "{first} values cannot be paired with {second}: give one of each for every architecture"
    )]
    Length {
        /// Values of the first list.
        first: usize,
        /// Values of the second.
        second: usize,
    },
    /// Less than two architectures.
    #[error("{0} architectures cannot be ranked: give at least 2")]
    Few(usize),
    /// A list that ranks nothing.
    #[error(
        "all values of the {side} list are {value}, which ranks nothing: score on more images, or longer trained networks"
    )]
    Constant {
        /// `first` or `second`.
        side: &'static str,
        /// What they all are.
        value: f64,
    },
    /// Infinity or NaN, such as the score of a training that diverged.
    #[error("value {index} of the {side} list is {value}: leave that architecture out of both")]
    NotFinite {
        /// `first` or `second`.
        side: &'static str,
        /// Its place, from 0.
        index: usize,
        /// What it is.
        value: f64,
    },
    /// A level of confidence that no interval has.
    #[error("the confidence level is {0}: give a number between 0 and 1, such as 0.95")]
    Level(f64),
    /// An interval of no resamples.
    #[error("a bootstrap interval needs resamples: give at least 1, better 1,000 or more")]
    Resamples,
}

/// An error unless correlations of the two lists are defined.
fn check(first: &[f64], second: &[f64]) -> Result<(), RankError> {
    if first.len() != second.len() {
        return Err(RankError::Length {
            first: first.len(),
            second: second.len(),
        });
    }
    if first.len() < 2 {
        return Err(RankError::Few(first.len()));
    }
    for (side, values) in [("first", first), ("second", second)] {
        if let Some(index) = values.iter().position(|value| !value.is_finite()) {
            let value = values[index];
            return Err(RankError::NotFinite { side, index, value });
        }
        if constant(values) {
            let value = values[0];
            return Err(RankError::Constant { side, value });
        }
    }
    Ok(())
}

/// Whether no two values differ.
fn constant(values: &[f64]) -> bool {
    values.windows(2).all(|pair| pair[0] == pair[1])
}
