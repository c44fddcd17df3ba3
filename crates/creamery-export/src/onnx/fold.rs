//! Batch norms folded into the convolutions before them.

use creamery_nn::ops::NORM_EPSILON;

/// Parameters and running statistics of a batch norm, one value a channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct BatchNorm<'a> {
    pub scale: &'a [f32],
    pub shift: &'a [f32],
    pub mean: &'a [f32],
    pub variance: &'a [f32],
}

/// Weight and bias of the convolution that does what one of `weight` (output channel by output channel) and the
/// norm after it do: `gain weight` and `shift - gain mean`, `gain` being `scale / sqrt(variance + epsilon)`.
///
/// In double precision, so that only the results are rounded.
pub(super) fn fold(weight: &[f32], norm: &BatchNorm<'_>) -> (Vec<f32>, Vec<f32>) {
    let channels = norm.scale.len();
    let inputs = weight.len() / channels;
    let (mut folded, mut bias) = (
        Vec::with_capacity(weight.len()),
        Vec::with_capacity(channels),
    );
    for (c, row) in weight.chunks_exact(inputs).enumerate() {
        let gain = f64::from(norm.scale[c]) / (f64::from(norm.variance[c]) + NORM_EPSILON).sqrt();
        folded.extend(row.iter().map(|&w| (gain * f64::from(w)) as f32));
        bias.push((f64::from(norm.shift[c]) - gain * f64::from(norm.mean[c])) as f32);
    }
    (folded, bias)
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// A convolution's output is an inner product with the pixels under its kernel.
        #[test]
        fn folded_is_convolved_and_then_normalised(
            (inputs, channels) in (1usize..20, 1usize..6),
            seed in vec((-2.0f32..2.0, -2.0f32..2.0, -2.0f32..2.0, 1e-4f32..4.0), 6),
            values in vec(-1.0f32..1.0, 140),
        ) {
            let part = |f: fn(&(f32, f32, f32, f32)) -> f32| seed[..channels].iter().map(f).collect::<Vec<_>>();
            let (scale, shift) = (part(|p| p.0), part(|p| p.1));
            let (mean, variance) = (part(|p| p.2), part(|p| p.3));
            let norm = BatchNorm { scale: &scale, shift: &shift, mean: &mean, variance: &variance };
            let (pixels, weight) = values[..inputs * (channels + 1)].split_at(inputs);
            let product = |row: &[f32]| row.iter().zip(pixels).map(|(&w, &x)| f64::from(w) * f64::from(x)).sum::<f64>();

            let (folded, bias) = fold(weight, &norm);
            prop_assert_eq!((folded.len(), bias.len()), (weight.len(), channels));
            for c in 0..channels {
                let row = c * inputs..(c + 1) * inputs;
                let deviation = (f64::from(variance[c]) + 1e-5).sqrt();
                let normalised = (product(&weight[row.clone()]) - f64::from(mean[c])) / deviation;
                let expected = normalised * f64::from(scale[c]) + f64::from(shift[c]);
                let found = product(&folded[row]) + f64::from(bias[c]);
                // Each folded value is rounded once, by at most 2^-24 of itself.
                let size = (inputs as f64 + 2.0) / deviation * 2.0 + 2.0;
                prop_assert!((found - expected).abs() <= size * 2f64.powi(-24), "{} {}", found, expected);
            }
        }
    }
}
