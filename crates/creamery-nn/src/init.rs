//! EfficientNet's initialisation, as timm has it (`_init_weight_goog`).

use rand::RngExt;
use rand_distr::{Distribution, Normal, Uniform};

use crate::layer::{ParamKind, Slot};

/// Initial values of a parameter.
///
/// Convolutions: normal, standard deviation `sqrt(2 / fan_out)` with `fan_out = kernel area x outputs
/// per group`. Linear: uniform in `±1 / sqrt(fan_out)`. Biases 0, norm scales 1, norm shifts 0,
/// transformations of kernels the identity (as OFA has it).
pub(crate) fn values(slot: &Slot, seed: u64, name: &str) -> Vec<f32> {
    let mut rng = creamery_rng::stream(seed, &format!("init:{name}"), 0);
    let len = slot.len();
    match slot.kind {
        ParamKind::Bias | ParamKind::NormShift => vec![0.0; len],
        ParamKind::NormScale => vec![1.0; len],
        ParamKind::KernelTransform => {
            let side = slot.shape[0];
            let on_diagonal = |i: usize| i / side == i % side;
            (0..len)
                .map(|i| f32::from(u8::from(on_diagonal(i))))
                .collect()
        }
        ParamKind::Convolution => {
            let area: usize = slot.shape[2..].iter().product();
            // A depthwise kernel has one output per group; every other convolution has one group.
            let depthwise = slot.shape[1] == 1 && area > 1 && slot.name.starts_with("depthwise");
            let outputs = if depthwise { 1 } else { slot.shape[0] };
            let std = (2.0 / (area * outputs) as f64).sqrt();
            let normal = Normal::new(0.0, std).expect("a finite positive deviation");
            (0..len).map(|_| normal.sample(&mut rng) as f32).collect()
        }
        ParamKind::Linear => {
            let range = 1.0 / (slot.shape[0] as f64).sqrt();
            let uniform = Uniform::new(-range, range).expect("a finite non-empty range");
            (0..len).map(|_| rng.sample(uniform) as f32).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn deviation(slot: &Slot) -> f64 {
        let values = values(slot, 0, "x");
        (values.iter().map(|v| f64::from(*v).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
    }

    #[test]
    fn the_spread_follows_the_outputs_of_a_group() {
        let pointwise = Slot {
            name: "expand.weight".into(),
            shape: vec![200, 100, 1, 1],
            kind: ParamKind::Convolution,
        };
        assert!((deviation(&pointwise) - 0.1).abs() < 0.005);
        let depthwise = Slot {
            name: "depthwise.weight".into(),
            shape: vec![2000, 1, 5, 5],
            kind: ParamKind::Convolution,
        };
        assert!((deviation(&depthwise) - (2.0f64 / 25.0).sqrt()).abs() < 0.01);
        let linear = Slot {
            name: "weight".into(),
            shape: vec![25, 400],
            kind: ParamKind::Linear,
        };
        let values = values(&linear, 0, "x");
        assert!(values.iter().all(|v| v.abs() <= 0.2));
        assert!((deviation(&linear) - 0.2 / 3f64.sqrt()).abs() < 0.01);
    }
}
