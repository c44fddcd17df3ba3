//! What numbers of several seeds come to.

use serde::{Deserialize, Serialize};

/// Mean and spread of some numbers.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Their mean.
    pub mean: f64,
    /// Their sample standard deviation, the root of the squared deviations' sum over n - 1; `None` of one number.
    pub sd: Option<f64>,
}

impl Spread {
    /// That of `numbers`; `None` if there are none.
    ///
    /// ```
    /// use creamery_search::ablation::Spread;
    ///
    /// let spread = Spread::of(&[1.0, 3.0, 8.0]).unwrap();
    /// assert_eq!((spread.mean, spread.sd), (4.0, Some(13f64.sqrt())));
    /// ```
    pub fn of(numbers: &[f64]) -> Option<Self> {
        if numbers.is_empty() {
            return None;
        }
        let n = numbers.len() as f64;
        let mean = numbers.iter().sum::<f64>() / n;
        let squares: f64 = numbers.iter().map(|x| (x - mean) * (x - mean)).sum();
        let sd = (numbers.len() > 1).then(|| (squares / (n - 1.0)).sqrt());
        Some(Self { mean, sd })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_number_has_no_spread_and_none_has_no_mean() {
        assert_eq!(Spread::of(&[]), None);
        assert_eq!(
            Spread::of(&[2.5]),
            Some(Spread {
                mean: 2.5,
                sd: None
            })
        );
    }

    #[test]
    fn the_standard_deviation_is_that_of_a_sample() {
        // Deviations -3, -1, 0, 4 from 5: 26 over 3.
        let spread = Spread::of(&[2.0, 4.0, 5.0, 9.0]).unwrap();
        assert_eq!(spread.mean, 5.0);
        assert!((spread.sd.unwrap() - 2.943_920_288_775_949).abs() < 1e-12);
        assert_eq!(Spread::of(&[7.0, 7.0]).unwrap().sd, Some(0.0));
    }
}
