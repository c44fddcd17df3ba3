//! What is timed: a network that infers.
//!
//! This is the one place that knows how Creamery runs it. [`Pass::layers`] and [`Pass::whole`] must do the same work.

use std::hint::black_box;
use std::time::Instant;

use burn::tensor::{Tensor, TensorData};
use creamery_nn::{Device, Layer, Norm, Ready, Subnet, ops};
use creamery_space::LayerSpec;
use creamery_train::TrainError;

/// A network that can be run, and timed.
pub(super) trait Pass {
    /// Nanoseconds of each layer in one pass, which are those of the whole pass but for reading the clock.
    fn layers(&self) -> Result<Vec<u64>, TrainError>;

    /// Nanoseconds of one pass.
    fn whole(&self) -> Result<u64, TrainError>;
}

/// A network with the images that it is timed on: packed where that can be, as it is used.
pub(super) struct Timed {
    net: Subnet,
    ready: Ready,
    /// `[n][height][width][channels]`.
    images: Vec<f32>,
    batch: usize,
    device: Device,
}

/// What passes from layer to layer.
enum Map {
    Pixels(Tensor<4>),
    Features(Tensor<2>),
}

impl Timed {
    pub fn new(net: Subnet, images: Vec<f32>, batch: usize, device: &Device) -> Self {
        Self {
            ready: net.ready(),
            net,
            images,
            batch,
            device: device.clone(),
        }
    }

    fn tensor(&self) -> Tensor<4> {
        let side = self.net.architecture.resolution;
        let channels = self.images.len() / (self.batch * side * side);
        let shape = [self.batch, side, side, channels];
        Tensor::from_data(TensorData::new(self.images.clone(), shape), &self.device)
    }

    /// Waits for the device to be done; the CPU is.
    fn wait(&self) -> Result<(), TrainError> {
        let done = self.device.sync();
        done.map_err(|error| TrainError::Task(error.to_string().into()))
    }
}

impl Pass for Timed {
    fn layers(&self) -> Result<Vec<u64>, TrainError> {
        if let Some(network) = self.ready.packed() {
            let times = network.layer_times(&self.images);
            return times.map_err(|error| TrainError::Task(error.into()));
        }
        let mut map = Map::Pixels(self.tensor());
        let mut times = Vec::with_capacity(self.net.layers().len());
        let mut start = Instant::now();
        for layer in self.net.layers() {
            map = step(layer, map);
            self.wait()?;
            let end = Instant::now();
            times.push((end - start).as_nanos() as u64);
            start = end;
        }
        if let Map::Features(logits) = map {
            black_box(logits);
        }
        Ok(times)
    }

    fn whole(&self) -> Result<u64, TrainError> {
        if let Some(network) = self.ready.packed() {
            let start = Instant::now();
            let logits = network.run(&self.images);
            black_box(logits.map_err(|error| TrainError::Task(error.into()))?);
            return Ok(start.elapsed().as_nanos() as u64);
        }
        let images = self.tensor();
        let start = Instant::now();
        let output = self.net.forward(images, Norm::Running);
        self.wait()?;
        let time = start.elapsed().as_nanos() as u64;
        black_box(output);
        Ok(time)
    }
}

/// One layer, as [`Subnet::forward`] runs it.
fn step(layer: &Layer, map: Map) -> Map {
    match (&layer.spec, map) {
        (LayerSpec::Head { .. }, Map::Pixels(x)) => Map::Features(ops::head(x, &layer.params)),
        (_, Map::Pixels(x)) => {
            let running = layer.running.as_ref();
            let map = ops::feature_map(&layer.spec, x, &layer.params, running, Norm::Running);
            Map::Pixels(map.0)
        }
        (_, Map::Features(x)) => Map::Features(ops::linear(x, &layer.params)),
    }
}

#[cfg(test)]
mod tests {
    use creamery_space::Space;

    use super::*;

    /// What the steps of a network come to.
    fn stepped(net: &Subnet, images: Tensor<4>) -> Vec<f32> {
        let step = |map, layer| step(layer, map);
        match net.layers().iter().fold(Map::Pixels(images), step) {
            Map::Features(logits) => logits.into_data().try_into_vec().unwrap(),
            Map::Pixels(_) => unreachable!("every network ends with a classifier"),
        }
    }

    #[test]
    fn the_layers_are_those_of_the_whole_and_compute_with_ordinary_numbers() {
        let device = Device::flex();
        for name in Space::builtin_names() {
            let space = Space::builtin(name).unwrap();
            let resolution = *space.resolutions.iter().min().unwrap();
            for path in [space.smallest(resolution), space.largest(resolution)] {
                let net = Subnet::new(&space, &path.unwrap(), 3, 10, 0, &device).unwrap();
                let images = super::super::images(1, resolution, 3, 7);
                let timed = Timed::new(net, images, 1, &device);
                let whole = timed.net.forward(timed.tensor(), Norm::Running).logits;
                let whole: Vec<f32> = whole.into_data().try_into_vec().unwrap();
                assert_eq!(stepped(&timed.net, timed.tensor()), whole);
                // Random weights without training could make maps so small that the processor becomes slow.
                let largest = whole.iter().fold(0f32, |most, v| most.max(v.abs()));
                assert!((1e-20..1e20).contains(&largest), "{name}: {largest}");

                let layers = space.layers(&timed.net.architecture, 3, 10).unwrap();
                assert_eq!(timed.layers().unwrap().len(), layers.len());
                assert!(timed.whole().unwrap() > 0);
            }
        }
    }
}
