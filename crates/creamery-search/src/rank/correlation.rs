//! Correlations of two lists of numbers that belong together in pairs.

use super::{RankError, check};

/// Kendall's tau-b of two lists of scores of the same `n` architectures, in [-1, 1].
///
/// `(concordant - discordant) / sqrt((pairs - tied in a) (pairs - tied in b))`: ties are corrected on both sides
/// (Kendall 1945). O(n log n), by counting the exchanges of a merge sort (Knight 1966).
///
/// # Errors
/// [`RankError::Length`] if the lists differ in length, [`RankError::Few`] if they hold less than two values,
/// [`RankError::NotFinite`] if one is no number, [`RankError::Constant`] if either has no two distinct values.
pub fn kendall_tau_b(a: &[f64], b: &[f64]) -> Result<f64, RankError> {
    check(a, b)?;
    let mut pairs: Vec<_> = average_ranks(a).into_iter().zip(average_ranks(b)).collect();
    pairs.sort_by(|x, y| x.0.total_cmp(&y.0).then(x.1.total_cmp(&y.1)));
    let tied_a = tied_pairs(&pairs, |x, y| x.0 == y.0);
    let tied_both = tied_pairs(&pairs, |x, y| x == y);
    let mut b: Vec<f64> = pairs.into_iter().map(|pair| pair.1).collect();
    // Within ties of a, b ascends already, so what is exchanged differs in both.
    let discordant = sort_counting(&mut b, &mut vec![0.0; a.len()]);
    let tied_b = tied_pairs(&b, |x, y| x == y);

    let all = pairs_among(a.len());
    let concordant = all + tied_both - tied_a - tied_b - discordant;
    let ranked = ((all - tied_a) as f64 * (all - tied_b) as f64).sqrt();
    let tau = (concordant as f64 - discordant as f64) / ranked;
    Ok(tau.clamp(-1.0, 1.0))
}

/// Spearman's rho: Pearson's r of the ranks, in [-1, 1]. Tied values share the mean of their ranks.
///
/// # Errors
/// As for [`kendall_tau_b`].
pub fn spearman_rho(a: &[f64], b: &[f64]) -> Result<f64, RankError> {
    check(a, b)?;
    Ok(correlation(&average_ranks(a), &average_ranks(b)))
}

/// Pearson's r, in [-1, 1]: how near the pairs are to a straight line.
///
/// # Errors
/// As for [`kendall_tau_b`].
pub fn pearson_r(a: &[f64], b: &[f64]) -> Result<f64, RankError> {
    check(a, b)?;
    Ok(correlation(a, b))
}

/// Pearson's r of lists that have been checked.
fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let (a, b) = (directions(a), directions(b));
    let product: f64 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
    product.clamp(-1.0, 1.0)
}

/// The deviations from the mean, scaled to a sum of squares of 1.
fn directions(values: &[f64]) -> Vec<f64> {
    // Scaled before and after, so that no square or sum leaves the range of numbers. The largest stays apart from
    // every other value, so that some deviation remains.
    let scaled = by_largest(values.to_vec());
    let mean = scaled.iter().sum::<f64>() / scaled.len() as f64;
    let deviations = by_largest(scaled.into_iter().map(|value| value - mean).collect());
    let norm = deviations.iter().map(|d| d * d).sum::<f64>().sqrt();
    deviations.into_iter().map(|d| d / norm).collect()
}

/// The values divided by the largest magnitude among them.
fn by_largest(mut values: Vec<f64>) -> Vec<f64> {
    let largest = values.iter().fold(0.0, |most: f64, v| most.max(v.abs()));
    values.iter_mut().for_each(|value| *value /= largest);
    values
}

/// The rank of each value, from 1; tied values share the mean of theirs.
fn average_ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    // Not `total_cmp`, by which -0 would be below 0.
    order.sort_by(|&i, &j| values[i].partial_cmp(&values[j]).expect("finite values"));
    let mut ranks = vec![0.0; values.len()];
    let mut before = 0;
    for tied in order.chunk_by(|&i, &j| values[i] == values[j]) {
        let rank = (2 * before + tied.len() + 1) as f64 / 2.0;
        tied.iter().for_each(|&index| ranks[index] = rank);
        before += tied.len();
    }
    ranks
}

/// Pairs of equal values in a sorted list.
fn tied_pairs<T>(sorted: &[T], equal: impl FnMut(&T, &T) -> bool) -> u64 {
    let groups = sorted.chunk_by(equal);
    groups.map(|group| pairs_among(group.len())).sum()
}

/// Pairs that can be taken of `n`.
fn pairs_among(n: usize) -> u64 {
    let n = n as u64;
    n * n.saturating_sub(1) / 2
}

/// Sorts the values, with as much room to work in, and counts the pairs that stood in descending order.
fn sort_counting(values: &mut [f64], room: &mut [f64]) -> u64 {
    let middle = values.len() / 2;
    if middle == 0 {
        return 0;
    }
    let (low, high) = values.split_at_mut(middle);
    let mut count = sort_counting(low, &mut room[..middle]);
    count += sort_counting(high, &mut room[middle..]);
    let (mut i, mut j) = (0, 0);
    for place in room.iter_mut() {
        if j == high.len() || (i < low.len() && low[i] <= high[j]) {
            *place = low[i];
            i += 1;
        } else {
            // It passes all that is left of the lower half.
            count += (low.len() - i) as u64;
            *place = high[j];
            j += 1;
        }
    }
    values.copy_from_slice(room);
    count
}
