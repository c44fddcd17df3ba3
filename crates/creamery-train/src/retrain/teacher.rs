//! A network that teaches the one that is trained.

use burn::tensor::activation::softmax;
use burn::tensor::{Device, Tensor};
use creamery_nn::{Norm, Subnet, loss};

use super::Distillation;
use crate::model::{Model, ModelInput};

pub(super) struct Teacher<'a> {
    net: &'a Subnet,
    /// From the images as the student sees them to those that the teacher knows: factor and summand of each channel,
    /// `[1, 1, 1, channels]`; `None` if both normalise alike.
    renormalise: Option<(Tensor<4>, Tensor<4>)>,
    weight: f64,
    temperature: f64,
}

impl<'a> Teacher<'a> {
    /// The teacher of a student whose images are made for `input`.
    pub fn new(
        model: &'a Model,
        settings: &Distillation,
        input: &ModelInput,
        device: &Device,
    ) -> Self {
        let alike = (&model.input.mean, &model.input.std) == (&input.mean, &input.std);
        let channels = |value: &dyn Fn(usize) -> f32| {
            let values: Vec<f32> = (0..input.channels).map(value).collect();
            Tensor::<1>::from_floats(&values[..], device).reshape([1, 1, 1, input.channels])
        };
        let renormalise = (!alike).then(|| {
            let factor = |c: usize| input.std[c] / model.input.std[c];
            let summand = |c: usize| (input.mean[c] - model.input.mean[c]) / model.input.std[c];
            (channels(&factor), channels(&summand))
        });
        Self {
            net: &model.net,
            renormalise,
            weight: settings.weight,
            temperature: settings.temperature,
        }
    }

    /// What the teacher says of the student's images: softmax outputs, `[n, classes]`.
    pub fn ask(&self, images: Tensor<4>) -> Tensor<2> {
        let images = match &self.renormalise {
            Some((factor, summand)) => images * factor.clone() + summand.clone(),
            None => images,
        };
        let logits = self.net.forward(images, Norm::Running).logits;
        softmax(logits / self.temperature, 1)
    }

    /// The student's loss: `(1 - weight) own + weight T^2 CE(logits / T, wanted)`. The square keeps the gradient of
    /// the second part the same size at every temperature T.
    pub fn join(&self, own: Tensor<1>, logits: Tensor<2>, wanted: Tensor<2>) -> Tensor<1> {
        let taught = loss::cross_entropy(logits / self.temperature, wanted);
        own * (1.0 - self.weight) + taught * (self.weight * self.temperature.powi(2))
    }
}
