//! What a step drops: features in front of the classifier, and whole blocks.

use burn::tensor::{Device, Tensor, TensorData};
use creamery_data::Portion;
use rand::{Rng, RngExt};

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
    let mask = factors(rate, shape.iter().product(), &mut rng);
    Some(Tensor::from_data(TensorData::new(mask, shape), device))
}

/// What there is of a portion's images of something that there is of each image of the whole batch.
pub fn own_images<const D: usize>(of_all: Tensor<D>, portion: Portion) -> Tensor<D> {
    if portion.len() == portion.batch() {
        return of_all;
    }
    let images = portion.places().into_iter();
    let images = images.map(|place| of_all.clone().narrow(0, place, 1));
    Tensor::cat(images.collect(), 0)
}

/// The masks of drop-path of a step, one for each rate, each `[images, 1, 1, 1]` as [`dropout_mask`]'s; none at a rate
/// of 0.
pub(crate) fn drop_path_masks(
    rates: &[f64],
    seed: u64,
    step: u64,
    images: usize,
    device: &Device,
) -> Vec<Option<Tensor<4>>> {
    let mut rng = creamery_rng::stream(seed, "drop path", step);
    let mut mask = |rate: f64| {
        let mask = factors(rate, images, &mut rng);
        Tensor::from_data(TensorData::new(mask, [images, 1, 1, 1]), device)
    };
    (rates.iter())
        .map(|&rate| (rate > 0.0).then(|| mask(rate)))
        .collect()
}

/// 0 at the rate given, `1 / (1 - rate)` elsewhere.
fn factors(rate: f64, count: usize, rng: &mut impl Rng) -> Vec<f32> {
    let kept = (1.0 / (1.0 - rate)) as f32;
    (0..count)
        .map(|_| if rng.random_bool(rate) { 0.0 } else { kept })
        .collect()
}
