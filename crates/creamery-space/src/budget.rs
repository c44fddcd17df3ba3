//! Bounds on what a network may cost, and their division into buckets.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::cost::{Cost, deserialize_count, format_count};
use crate::error::{BudgetError, SpaceError};
use crate::space::Space;
use crate::time::{deserialize_latency, format_latency, serialize_latency};

/// Bounds on MACs, parameters and latency, each inclusive and each optional.
///
/// Bounds on latency need a space with a [`LatencyTable`](crate::LatencyTable).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// Least MACs.
    #[serde(deserialize_with = "deserialize_count")]
    pub min_macs: Option<u64>,
    /// Most MACs.
    #[serde(deserialize_with = "deserialize_count")]
    pub max_macs: Option<u64>,
    /// Least parameters.
    #[serde(deserialize_with = "deserialize_count")]
    pub min_params: Option<u64>,
    /// Most parameters.
    #[serde(deserialize_with = "deserialize_count")]
    pub max_params: Option<u64>,
    /// Least latency in nanoseconds; a file says `"2ms"`.
    #[serde(
        deserialize_with = "deserialize_latency",
        serialize_with = "serialize_latency",
        skip_serializing_if = "Option::is_none"
    )]
    pub min_latency: Option<u64>,
    /// Most latency in nanoseconds; a file says `"3ms"`.
    #[serde(
        deserialize_with = "deserialize_latency",
        serialize_with = "serialize_latency",
        skip_serializing_if = "Option::is_none"
    )]
    pub max_latency: Option<u64>,
}

impl Budget {
    /// The budget with at most `macs` MACs and no other bound.
    pub fn up_to_macs(macs: u64) -> Budget {
        Budget {
            max_macs: Some(macs),
            ..Budget::default()
        }
    }

    /// Whether a network of that cost is within every bound.
    pub fn contains(&self, cost: &Cost) -> bool {
        self.macs().contains(cost.macs)
            && self.params().contains(cost.params)
            && self.latency().contains(cost.latency_ns)
    }

    /// Whether there is a bound on latency.
    pub fn bounds_latency(&self) -> bool {
        self.min_latency.is_some() || self.max_latency.is_some()
    }

    /// Checks that no lower bound is above its upper one.
    ///
    /// # Errors
    /// [`BudgetError::Order`] if one is.
    pub fn check(&self) -> Result<(), BudgetError> {
        for (what, bounds, format) in [
            ("MACs", self.macs(), format_count as fn(u64) -> String),
            ("params", self.params(), format_count),
            ("of latency", self.latency(), format_latency),
        ] {
            if bounds.min > bounds.max {
                return Err(BudgetError::Order {
                    what,
                    min: format(bounds.min),
                    max: format(bounds.max),
                });
            }
        }
        Ok(())
    }

    pub(crate) fn macs(&self) -> Bounds {
        Bounds::new(self.min_macs, self.max_macs)
    }

    pub(crate) fn params(&self) -> Bounds {
        Bounds::new(self.min_params, self.max_params)
    }

    pub(crate) fn latency(&self) -> Bounds {
        Bounds::new(self.min_latency, self.max_latency)
    }
}

/// Both bounds of one number, inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub min: u64,
    pub max: u64,
}

impl Bounds {
    fn new(min: Option<u64>, max: Option<u64>) -> Bounds {
        Bounds {
            min: min.unwrap_or(0),
            max: max.unwrap_or(u64::MAX),
        }
    }

    pub(crate) fn contains(&self, value: u64) -> bool {
        self.min <= value && value <= self.max
    }

    /// How far `value` is outside.
    pub(crate) fn distance(&self, value: u64) -> u64 {
        self.min
            .saturating_sub(value)
            .max(value.saturating_sub(self.max))
    }
}

/// `between 1M and 5M MACs and at most 3ms of latency`; `anything` without bounds.
impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut written = false;
        let count = format_count as fn(u64) -> String;
        for (what, min, max, format) in [
            ("MACs", self.min_macs, self.max_macs, count),
            ("params", self.min_params, self.max_params, count),
            (
                "of latency",
                self.min_latency,
                self.max_latency,
                format_latency,
            ),
        ] {
            let (min, max) = (min.map(format), max.map(format));
            let bounds = match (min, max) {
                (None, None) => continue,
                (Some(min), None) => format!("at least {min}"),
                (None, Some(max)) => format!("at most {max}"),
                (Some(min), Some(max)) => format!("between {min} and {max}"),
            };
            let and = if written { " and " } else { "" };
            write!(f, "{and}{bounds} {what}")?;
            written = true;
        }
        if !written {
            f.write_str("anything")?;
        }
        Ok(())
    }
}

/// Cuts the budget's range of MACs into `n` consecutive buckets that cover it without gap or overlap.
///
/// Their widths differ by one MAC at most; bounds on parameters and latency are the same in each. Both bounds on
/// MACs must be there: [`Space::reachable`] sets the ones that are not.
///
/// # Errors
/// [`BudgetError`] if a bound is missing, if they are in the wrong order, or if there are fewer counts of
/// MACs than buckets.
///
/// ```
/// use creamery_space::{Budget, buckets};
///
/// let budget = Budget { min_macs: Some(10), max_macs: Some(19), ..Budget::default() };
/// let ranges: Vec<String> = buckets(&budget, 3)?.iter().map(ToString::to_string).collect();
/// assert_eq!(ranges, ["between 10 and 12 MACs", "between 13 and 15 MACs", "between 16 and 19 MACs"]);
/// # Ok::<(), creamery_space::BudgetError>(())
/// ```
pub fn buckets(budget: &Budget, n: usize) -> Result<Vec<Budget>, BudgetError> {
    budget.check()?;
    let min = budget.min_macs.ok_or(BudgetError::Open("least MACs"))?;
    let max = budget.max_macs.ok_or(BudgetError::Open("most MACs"))?;
    let range = u128::from(max - min) + 1;
    if n == 0 || n as u128 > range {
        return Err(BudgetError::Buckets { buckets: n, range });
    }
    // No overflow: the range is at most 2^64 and i < n < 2^64.
    let edge = |i: usize| (range * i as u128 / n as u128) as u64;
    let last = range - 1;
    Ok((0..n)
        .map(|i| Budget {
            min_macs: Some(min + edge(i)),
            max_macs: Some(if i + 1 == n {
                min + last as u64
            } else {
                min + edge(i + 1) - 1
            }),
            ..*budget
        })
        .collect())
}

impl Space {
    /// The part of the budget's range of MACs that networks of the space can have, both ends set.
    ///
    /// The ends are the budget's or those of the space's smallest and largest architecture, whichever are
    /// closer together. A budget that lies wholly outside is returned with its own ends, so that the
    /// sampler can say what is nearest.
    ///
    /// # Errors
    /// Those of [`Space::cost`].
    pub fn reachable(
        &self,
        budget: &Budget,
        resolution: usize,
        in_channels: usize,
        classes: usize,
    ) -> Result<Budget, SpaceError> {
        let smallest = self.cost(&self.smallest(resolution)?, in_channels, classes)?;
        let largest = self.cost(&self.largest(resolution)?, in_channels, classes)?;
        let wished = budget.macs();
        let (min, max) = (wished.min.max(smallest.macs), wished.max.min(largest.macs));
        let (min, max) = if min <= max {
            (min, max)
        } else {
            (wished.min, wished.max)
        };
        Ok(Budget {
            min_macs: Some(min),
            max_macs: Some(max),
            ..*budget
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn macs(min: u64, max: u64) -> Budget {
        Budget {
            min_macs: Some(min),
            max_macs: Some(max),
            ..Budget::default()
        }
    }

    proptest! {
        #[test]
        fn buckets_cover_without_gap_or_overlap(a: u64, b: u64, n in 1usize..40) {
            let (min, max) = (a.min(b), a.max(b));
            prop_assume!(max - min >= 40);
            let cut = buckets(&macs(min, max), n).unwrap();
            prop_assert_eq!(cut.len(), n);
            prop_assert_eq!(cut[0].min_macs, Some(min));
            prop_assert_eq!(cut[n - 1].max_macs, Some(max));
            let widths: Vec<u64> =
                cut.iter().map(|b| b.max_macs.unwrap() - b.min_macs.unwrap()).collect();
            prop_assert!(widths.iter().max().unwrap() - widths.iter().min().unwrap() <= 1);
            for pair in cut.windows(2) {
                prop_assert_eq!(pair[0].max_macs.unwrap() + 1, pair[1].min_macs.unwrap());
            }
        }
    }

    #[test]
    fn the_widest_and_the_narrowest_cuts() {
        assert_eq!(buckets(&macs(0, u64::MAX), 1).unwrap(), [macs(0, u64::MAX)]);
        assert_eq!(buckets(&macs(3, 4), 2).unwrap(), [macs(3, 3), macs(4, 4)]);
    }

    #[test]
    fn wrong_buckets_are_refused() {
        for (budget, n, says) in [
            (macs(5, 4), 1, "exchange"),
            (macs(3, 4), 3, "into 3 buckets: give 1 to 2"),
            (macs(3, 4), 0, "into 0 buckets"),
            (Budget::up_to_macs(9), 2, "give the least MACs"),
            (
                Budget {
                    min_macs: Some(9),
                    ..Budget::default()
                },
                2,
                "give the most MACs",
            ),
        ] {
            let message = buckets(&budget, n).unwrap_err().to_string();
            assert!(message.contains(says), "{message}");
        }
    }

    #[test]
    fn bounds_are_inclusive() {
        let budget = Budget {
            min_params: Some(5),
            max_params: Some(6),
            ..macs(2, 3)
        };
        let within = |macs, params| {
            budget.contains(&Cost {
                macs,
                params,
                ..Cost::default()
            })
        };
        assert!(within(2, 5) && within(3, 6));
        assert!(!within(1, 5) && !within(4, 5) && !within(2, 4) && !within(2, 7));
    }

    #[test]
    fn budgets_are_written_as_people_say_them() {
        let mut budget = macs(1_000_000, 5_500_000);
        budget.max_params = Some(300_000);
        assert_eq!(
            budget.to_string(),
            "between 1M and 5.5M MACs and at most 300k params"
        );
        assert_eq!(Budget::default().to_string(), "anything");
        let budget = Budget {
            min_latency: Some(250_000),
            max_latency: Some(1_500_000),
            ..Budget::up_to_macs(5_000_000)
        };
        assert_eq!(
            budget.to_string(),
            "at most 5M MACs and between 250us and 1.5ms of latency"
        );
    }

    #[test]
    fn latency_is_bounded_like_the_rest_and_written_with_its_unit() {
        let budget: Budget = toml::from_str("min_latency = '250us'\nmax_latency = '3ms'").unwrap();
        assert!(budget.bounds_latency() && !Budget::default().bounds_latency());
        let within = |latency_ns| {
            budget.contains(&Cost {
                latency_ns,
                ..Cost::default()
            })
        };
        assert!(within(250_000) && within(3_000_000));
        assert!(!within(249_999) && !within(3_000_001));
        let text = toml::to_string(&budget).unwrap();
        assert!(text.contains("max_latency = \"3ms\""), "{text}");
        assert_eq!(toml::from_str::<Budget>(&text).unwrap(), budget);
        assert!(toml::from_str::<Budget>("max_latency = 3").is_err());
        let reversed = Budget {
            min_latency: Some(4_000_000),
            ..budget
        };
        assert_eq!(
            reversed.check().unwrap_err().to_string(),
            "the budget asks for at least 4ms and at most 3ms of latency: exchange them"
        );
    }

    #[test]
    fn files_may_write_counts_as_text() {
        let budget: Budget = toml::from_str("max_macs = '5M'\nmin_params = 7").unwrap();
        assert_eq!(budget.max_macs, Some(5_000_000));
        assert_eq!(budget.min_params, Some(7));
        for wrong in [
            "max_macs = '5X'",
            "max_macs = -1",
            "max_macs = true",
            "max_mac = 5",
        ] {
            assert!(toml::from_str::<Budget>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_reachable_part_lies_between_the_extremes() {
        let space = Space::builtin("tiny-32").unwrap();
        let reach = |budget: &Budget| space.reachable(budget, 28, 1, 10).unwrap();
        let all = reach(&Budget::default());
        let cost = |architecture| space.cost(&architecture, 1, 10).unwrap().macs;
        assert_eq!(all.min_macs, Some(cost(space.smallest(28).unwrap())));
        assert_eq!(all.max_macs, Some(cost(space.largest(28).unwrap())));
        assert_eq!(
            reach(&macs(2_000_000, 3_000_000)),
            macs(2_000_000, 3_000_000)
        );
        assert_eq!(reach(&Budget::up_to_macs(10)), macs(0, 10));
    }
}
