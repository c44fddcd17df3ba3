//! Dropout in front of the classifier.

use burn::tensor::{Device, Tensor, TensorData};
use rand::RngExt;

/// The mask of a step, `[images, features]`: 0 where a feature is dropped, `1 / (1 - rate)` where it is kept. None at
/// a rate of 0.
pub fn dropout_mask(
    rate: f64,
    seed: u64,
    step: u64,
    shape: [usize; 2],
    device: &Device,
) -> Option<Tensor<2>> {
    if rate == 0.0 {
        return None;
    }
    let mut rng = creamery_rng::stream(seed, "dropout", step);
    let kept = (1.0 / (1.0 - rate)) as f32;
    let mask: Vec<f32> = (0..shape.iter().product())
        .map(|_| if rng.random_bool(rate) { 0.0 } else { kept })
        .collect();
    Some(Tensor::from_data(TensorData::new(mask, shape), device))
}
