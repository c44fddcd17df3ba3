//! Networks in tract, whole and layer by layer.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use creamery_nn::Subnet;
use creamery_space::{Architecture, LayerSpec, Space};
use creamery_train::{Model, ModelInput, TrainError};
use tract_onnx::prelude::*;

use super::Input;
use super::timed::Pass;
use crate::onnx::{OnnxOptions, block_bytes, bytes};

type Plan = Arc<TypedRunnableModel>;

/// What was made ready so far. To optimize a layer takes tract far longer than to run it, so that equal ones share theirs, weights
/// included.
pub(super) struct Tract {
    space: Space,
    input: Input,
    images: TValue,
    layers: HashMap<(LayerSpec, usize), Plan>,
    wholes: HashMap<Architecture, Plan>,
}

impl Tract {
    /// For images `[batch][resolution][resolution][channels]`.
    pub fn new(space: &Space, input: Input, images: &[f32]) -> Self {
        let Input {
            resolution: side,
            channels,
            batch,
            ..
        } = input;
        let shape = (batch, channels, side, side);
        let planes = tract_ndarray::Array4::from_shape_fn(shape, |(n, c, y, x)| {
            images[((n * side + y) * side + x) * channels + c]
        });
        Self {
            space: space.clone(),
            input,
            images: Tensor::from(planes).into(),
            layers: HashMap::new(),
            wholes: HashMap::new(),
        }
    }

    /// A network, layer by layer.
    pub fn layers(&mut self, net: &Subnet) -> Result<Box<dyn Pass>, TrainError> {
        let mut size = self.input.resolution;
        let mut plans = Vec::new();
        for layer in net.layers() {
            let key = (layer.spec.clone(), size);
            if !self.layers.contains_key(&key) {
                let opset = OnnxOptions::default().opset;
                let file = block_bytes(layer, size, opset).map_err(task)?;
                let mut shape = vec![self.input.batch, layer.spec.in_channels()];
                if !matches!(layer.spec, LayerSpec::Classifier { .. }) {
                    shape.extend([size; 2]);
                }
                self.layers.insert(key.clone(), plan(&file, &shape)?);
            }
            plans.push(self.layers[&key].clone());
            size = layer.spec.output_size(size);
        }
        Ok(self.chain(plans))
    }

    /// A network as a whole.
    pub fn whole(&mut self, net: Subnet) -> Result<Box<dyn Pass>, TrainError> {
        let Input {
            resolution: side,
            channels,
            classes,
            batch,
        } = self.input;
        let architecture = net.architecture.clone();
        if !self.wholes.contains_key(&architecture) {
            let model = Model {
                net,
                space: self.space.clone(),
                input: ModelInput {
                    data: String::new(),
                    classes: (0..classes).map(|class| class.to_string()).collect(),
                    channels,
                    shorter_side: side,
                    interpolation: Default::default(),
                    mean: vec![0.0; channels],
                    std: vec![1.0; channels],
                },
            };
            let file = bytes(&model, &OnnxOptions::default()).map_err(task)?;
            let plan = plan(&file, &[batch, channels, side, side])?;
            self.wholes.insert(architecture.clone(), plan);
        }
        Ok(self.chain(vec![self.wholes[&architecture].clone()]))
    }

    fn chain(&self, plans: Vec<Plan>) -> Box<dyn Pass> {
        let images = self.images.clone();
        Box::new(Chain { plans, images })
    }
}

/// An ONNX file, made ready for an input of one shape.
fn plan(file: &[u8], shape: &[usize]) -> Result<Plan, TrainError> {
    let plan = tract_onnx::onnx()
        .model_for_read(&mut &file[..])
        .and_then(|model| model.with_input_fact(0, f32::fact(shape).into()))
        .and_then(|model| model.into_optimized())
        .and_then(|model| model.into_runnable());
    plan.map_err(|error| task(format!("tract: {error:#}")))
}

fn task(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> TrainError {
    TrainError::Task(error.into())
}

/// Parts of a network, one after the other.
struct Chain {
    plans: Vec<Plan>,
    images: TValue,
}

impl Pass for Chain {
    fn layers(&self) -> Result<Vec<u64>, TrainError> {
        let mut map = self.images.clone();
        let mut times = Vec::with_capacity(self.plans.len());
        let mut start = Instant::now();
        for plan in &self.plans {
            let output = plan.run(tvec!(map));
            map = output
                .map_err(|error| task(format!("tract: {error:#}")))?
                .remove(0);
            let end = Instant::now();
            times.push((end - start).as_nanos() as u64);
            start = end;
        }
        black_box(map);
        Ok(times)
    }

    fn whole(&self) -> Result<u64, TrainError> {
        Ok(self.layers()?.iter().sum())
    }
}
