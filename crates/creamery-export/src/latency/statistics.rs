//! Medians and quartiles of times.

/// The quantile of `values` at `part` in [0, 1], linearly interpolated and rounded; 0 of no values.
pub(super) fn quantile(values: &[u64], part: f64) -> u64 {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let Some(last) = sorted.len().checked_sub(1) else {
        return 0;
    };
    let at = part * last as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    below + ((above - below) as f64 * at.fract()).round() as u64
}

/// The median of `values`, the lower one of two; 0 of no values.
pub(super) fn median_signed(mut values: Vec<i64>) -> i64 {
    values.sort_unstable();
    match values.len() {
        0 => 0,
        n => values[(n - 1) / 2],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_the_values_next_to_them() {
        let values = [50, 10, 30, 20, 40];
        let found = [0.0, 0.25, 0.5, 0.75, 1.0].map(|part| quantile(&values, part));
        assert_eq!(found, [10, 20, 30, 40, 50]);
        assert_eq!(quantile(&[1, 4], 0.5), 3);
        assert_eq!(quantile(&[7], 0.75), 7);
        assert_eq!(quantile(&[], 0.5), 0);
        assert_eq!(quantile(&[u64::MAX, u64::MAX], 0.5), u64::MAX);
    }

    #[test]
    fn a_median_may_be_below_zero() {
        assert_eq!(median_signed(vec![5, -9, -3]), -3);
        assert_eq!(median_signed(vec![4, 2]), 2);
        assert_eq!(median_signed(Vec::new()), 0);
    }
}
