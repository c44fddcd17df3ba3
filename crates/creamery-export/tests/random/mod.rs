//! Networks with all that a trained one has and a fresh one lacks.

use creamery_nn::NamedTensor;
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

/// Gives a network statistics, norms and biases that no layer may be without. Weights keep their initial distribution, so that
/// the maps keep their size from layer to layer.
pub fn randomise(state: &mut [NamedTensor], rng: &mut impl Rng) {
    for tensor in state {
        let (centre, spread) = match tensor.name.rsplit('.').next() {
            Some("running_var") => (1.0, 0.0),
            Some("running_mean" | "bias") => (0.0, 0.2),
            _ if tensor.shape.len() == 1 => (1.0, 0.2),
            _ => continue,
        };
        for value in &mut tensor.values {
            let noise: f32 = rng.sample(StandardNormal);
            *value = centre + spread * noise;
            if spread == 0.0 {
                *value = rng.random_range(0.5..2.0);
            }
        }
    }
}
