use burn::tensor::Tensor;
use creamery_nn::ops;

/// The global L2 norm of gradients.
pub fn global_norm(grads: &[Tensor<1>]) -> f64 {
    let squares: Vec<_> = grads.iter().map(|grad| (grad, grad)).collect();
    ops::dot(&squares).sqrt()
}

/// What gradients of global norm `norm` are multiplied by so that it is at most `max`, or always 1 if `max` is 0.
///
/// The factor is `max / (norm + 1e-6)` where that is below 1, as in PyTorch.
pub fn clip_factor(norm: f64, max: f64) -> f64 {
    if max == 0.0 {
        return 1.0;
    }
    (max / (norm + 1e-6)).min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use creamery_nn::Device;

    fn grads(values: [f32; 2]) -> Vec<Tensor<1>> {
        values
            .map(|v| Tensor::from_data([v], &Device::flex()))
            .to_vec()
    }

    #[test]
    fn the_norm_is_global_and_small_gradients_stay() {
        let norm = global_norm(&grads([3.0, 4.0]));
        assert!((norm - 5.0).abs() < 1e-6);
        assert!((clip_factor(norm, 1.0) - 0.2).abs() < 1e-6);
        assert_eq!(clip_factor(0.5, 1.0), 1.0);
        assert_eq!(clip_factor(norm, 0.0), 1.0);
    }

    #[test]
    fn a_norm_that_is_not_finite_is_reported() {
        assert!(global_norm(&grads([f32::NAN, 1.0])).is_nan());
    }
}
