//! Networks that are made ready against themselves in training's form.

use burn::tensor::{Tensor, TensorData};
use creamery_fixtures::{on_each_device, relative, values};
use creamery_nn::{Device, Norm, Subnet};
use creamery_space::{Architecture, Budget, Sampler, Space};
use rand::RngExt;

/// A network whose norms have statistics of their own.
fn network(space: &Space, architecture: &Architecture, channels: usize, device: &Device) -> Subnet {
    let mut net = Subnet::new(space, architecture, channels, 10, 0, device).unwrap();
    let calibration = images(architecture.resolution, channels, 8);
    let side = architecture.resolution;
    let calibration = TensorData::new(calibration, [8, side, side, channels]);
    net.calibrate([Tensor::from_data(calibration, device)])
        .unwrap();
    net
}

fn images(side: usize, channels: usize, count: usize) -> Vec<f32> {
    let mut rng = creamery_rng::stream(0, "images", 0);
    (0..count * side * side * channels)
        .map(|_| rng.random_range(-1.7..1.7))
        .collect()
}

#[test]
fn what_is_ready_says_what_the_network_says() {
    on_each_device(|device| {
        for (name, resolution, channels) in [("tiny-32", 28, 1), ("cream-224", 64, 3)] {
            let space = Space::builtin(name).unwrap();
            let budget = Budget::default();
            let sampler = Sampler::new(&space, resolution, channels, 10, &budget).unwrap();
            for i in 0..3 {
                let architecture = sampler.draw(&mut creamery_rng::stream(0, "ready", i));
                let net = network(&space, &architecture, channels, device);
                let ready = net.ready();
                for count in [1, 3] {
                    let images = images(resolution, channels, count);
                    assert_eq!(images.len(), count * ready.image_len());
                    let found = ready.infer(&images).unwrap();
                    let shape = [count, resolution, resolution, channels];
                    let images = Tensor::from_data(TensorData::new(images, shape), device);
                    let expected = values(net.forward(images, Norm::Running).logits);
                    let error = relative(&found, &expected);
                    assert!(error < 5e-5, "{architecture}, {count} images: {error}");
                }
            }
        }
    });
}

#[test]
fn part_of_an_image_is_refused() {
    on_each_device(|device| {
        let space = Space::builtin("tiny-32").unwrap();
        let architecture = space.smallest(28).unwrap();
        let ready = network(&space, &architecture, 1, device).ready();
        let error = ready.infer(&[0.0; 28 * 28 + 1]).unwrap_err().to_string();
        assert!(
            error.contains("785 values are not some images of 784"),
            "{error}"
        );
        assert!(ready.infer(&[]).unwrap().is_empty());
    });
}

/// The kernels' way of a stem of 1 x 1 does not take images as they come.
#[test]
fn a_pointwise_stem_is_no_trap() {
    let device = Device::flex();
    let mut space = Space::builtin("tiny-32").unwrap();
    space.stem.kernel = 1;
    space.stem.stride = 1;
    let architecture = space.smallest(28).unwrap();
    let net = network(&space, &architecture, 3, &device);
    let images = images(28, 3, 2);
    let found = net.ready().infer(&images).unwrap();
    let images = Tensor::from_data(TensorData::new(images, [2, 28, 28, 3]), &device);
    let expected = values(net.forward(images, Norm::Running).logits);
    assert!(relative(&found, &expected) < 1e-5);
}
