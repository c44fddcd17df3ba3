use burn::tensor::Tensor;

/// Scales all gradients by one factor so that their global L2 norm is at most `max`.
///
/// Returns the norm before clipping. The factor is `max / (norm + 1e-6)` where that is below 1, as in
/// PyTorch. A norm that is not finite leaves the gradients alone: the caller must stop.
pub fn clip_global_norm(grads: &mut [Tensor<1>], max: f64) -> f64 {
    if grads.is_empty() {
        return 0.0;
    }
    let squares: Vec<Tensor<1>> = grads.iter().map(|g| g.clone().square().sum()).collect();
    // One read for all of them: on a GPU each read waits for the device.
    let squares: Vec<f32> = Tensor::cat(squares, 0)
        .into_data()
        .try_into_vec()
        .expect("gradients are f32");
    let norm = squares.iter().map(|s| f64::from(*s)).sum::<f64>().sqrt();
    let factor = max / (norm + 1e-6);
    if norm.is_finite() && factor < 1.0 {
        for grad in grads {
            *grad = grad.clone() * factor;
        }
    }
    norm
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
        let mut long = grads([3.0, 4.0]);
        assert!((clip_global_norm(&mut long, 1.0) - 5.0).abs() < 1e-6);
        assert!((long[0].clone().into_scalar::<f32>() - 0.6).abs() < 1e-5);
        let mut short = grads([0.3, 0.4]);
        clip_global_norm(&mut short, 1.0);
        assert_eq!(short[1].clone().into_scalar::<f32>(), 0.4);
    }

    #[test]
    fn a_norm_that_is_not_finite_is_reported() {
        assert!(clip_global_norm(&mut grads([f32::NAN, 1.0]), 1.0).is_nan());
    }
}
