//! Networks with all that a trained one has and a fresh one lacks.

use burn::tensor::{Tensor, TensorData};
use creamery_nn::{Device, NamedTensor, NnError, Subnet};
use creamery_space::{Architecture, Space};
use rand::{Rng, RngExt};
use rand_distr::StandardNormal;

/// Images whose statistics a network gets.
const CALIBRATION: usize = 8;

/// A network with norms and biases at random and the running statistics of random images.
///
/// With any other statistics the maps shrink beside the biases, layer by layer, until the network says nearly the same of
/// every image, and whoever compares logits would not see what is wrong with its early layers.
pub fn network(
    space: &Space,
    architecture: &Architecture,
    channels: usize,
    classes: usize,
    seed: u64,
) -> Result<Subnet, NnError> {
    let device = Device::flex();
    let mut rng = creamery_rng::stream(seed, "random networks", 0);
    let mut net = Subnet::new(space, architecture, channels, classes, seed, &device)?;
    let mut state = net.state();
    randomise(&mut state, &mut rng);
    net.load(state, &device)?;
    let side = architecture.resolution;
    let shape = [CALIBRATION, side, side, channels];
    let images = TensorData::new(noise(shape.iter().product(), &mut rng), shape);
    net.calibrate([Tensor::from_data(images, &device)])?;
    Ok(net)
}

/// Gives layers statistics, norms and biases that none may be without. Weights keep their initial distribution.
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

/// So many normally distributed values.
pub fn noise(count: usize, rng: &mut impl Rng) -> Vec<f32> {
    (0..count).map(|_| rng.sample(StandardNormal)).collect()
}
