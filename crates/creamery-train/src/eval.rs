//! Accuracy of a network on a split.

use burn::tensor::{Tensor, TensorData};
use creamery_data::{Batch, Loader, Pipeline, Split};
use creamery_nn::{Device, Norm, Subnet, loss};

use crate::TrainError;
use crate::event::Accuracy;

/// A batch's images on a device, `[n, size, size, channels]`.
pub fn images(batch: &Batch, device: &Device) -> Tensor<4> {
    let shape = [batch.n, batch.size, batch.size, batch.channels];
    Tensor::from_data(TensorData::new(batch.images.clone(), shape), device)
}

/// Sums that become an [`Accuracy`], batch by batch.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    top1: usize,
    top5: usize,
    loss: f64,
    images: usize,
}

impl Tally {
    /// Adds the logits of some images.
    pub fn add(&mut self, logits: &Tensor<2>, labels: &[usize]) {
        let [n, classes] = logits.dims();
        let targets = loss::smoothed_targets(labels, classes, 0.0, &logits.device());
        let mean: f32 = loss::cross_entropy(logits.clone(), targets).into_scalar();
        self.top1 += loss::correct(logits, labels, 1);
        self.top5 += loss::correct(logits, labels, 5);
        self.loss += f64::from(mean) * n as f64;
        self.images += n;
    }

    /// The accuracy so far.
    pub fn accuracy(&self) -> Accuracy {
        let n = self.images.max(1) as f64;
        Accuracy {
            top1: 100.0 * self.top1 as f64 / n,
            top5: 100.0 * self.top5 as f64 / n,
            loss: self.loss / n,
            images: self.images,
        }
    }
}

/// Runs every image of a split once through the network as it is used: running statistics, no
/// augmentation, no dropout.
///
/// # Errors
/// If the images cannot be read.
pub fn evaluate(
    net: &Subnet,
    split: &Split,
    pipeline: &Pipeline,
    batch: usize,
    workers: usize,
    device: &Device,
) -> Result<Accuracy, TrainError> {
    evaluate_each(net, split, pipeline, batch, workers, device, |_, _| ())
}

/// [`evaluate`], which tells `each`, for image after image in the split's order, its label and the network's first
/// choice ([`loss::first_choices`]).
///
/// # Errors
/// If the images cannot be read.
pub fn evaluate_each(
    net: &Subnet,
    split: &Split,
    pipeline: &Pipeline,
    batch: usize,
    workers: usize,
    device: &Device,
    mut each: impl FnMut(usize, Option<usize>),
) -> Result<Accuracy, TrainError> {
    let mut tally = Tally::default();
    for batch in Loader::evaluation(split, pipeline, batch, workers)? {
        let batch = batch?;
        let output = net.forward(images(&batch, device), Norm::Running);
        tally.add(&output.logits, &batch.labels);
        let choices = loss::first_choices(&output.logits);
        for (&label, choice) in batch.labels.iter().zip(choices) {
            each(label, choice);
        }
    }
    Ok(tally.accuracy())
}
