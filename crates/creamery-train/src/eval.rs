//! Accuracy of a network on a split.

use burn::tensor::{Tensor, TensorData};
use creamery_data::{Batch, Loader, Pipeline, Split};
use creamery_nn::{Device, Norm, Subnet, loss};

use crate::TrainError;
use crate::collective::Ranks;
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

    /// What all ranks have together.
    pub fn joined(self, ranks: Ranks) -> Self {
        let counts = [self.top1, self.top5, self.images].map(|count| count as f64);
        let [top1, top5, images, loss] = ranks.sum([counts[0], counts[1], counts[2], self.loss]);
        Self {
            top1: top1 as usize,
            top5: top5 as usize,
            loss,
            images: images as usize,
        }
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
    run_each(
        net,
        split,
        pipeline,
        batch,
        workers,
        device,
        |logits, labels| {
            tally.add(logits, labels);
            let choices = loss::first_choices(logits);
            for (&label, choice) in labels.iter().zip(choices) {
                each(label, choice);
            }
        },
    )?;
    Ok(tally.accuracy())
}

/// What a network says of a split's images.
#[derive(Clone, Debug)]
pub struct Answers {
    /// How good it is.
    pub accuracy: Accuracy,
    /// For each image, in no order that means anything, its label and the network's first choice
    /// ([`loss::first_choices`]).
    pub choices: Vec<(usize, Option<usize>)>,
}

/// [`evaluate_each`], whose batches the ranks share out; each knows all answers.
///
/// # Errors
/// If the images cannot be read.
pub fn evaluate_across(
    ranks: Ranks,
    net: &Subnet,
    split: &Split,
    pipeline: &Pipeline,
    batch: usize,
    workers: usize,
    device: &Device,
) -> Result<Answers, TrainError> {
    let mut choices = Vec::new();
    let own = match ranks.is_alone() {
        true => split.clone(),
        false => split.subset(&own_batches(ranks, split.len(), batch))?,
    };
    let mut tally = Tally::default();
    run_each(
        net,
        &own,
        pipeline,
        batch,
        workers,
        device,
        |logits, labels| {
            tally.add(logits, labels);
            let first = loss::first_choices(logits);
            choices.extend(labels.iter().copied().zip(first));
        },
    )?;
    if ranks.is_alone() {
        return Ok(Answers {
            accuracy: tally.accuracy(),
            choices,
        });
    }
    Ok(Answers {
        accuracy: tally.joined(ranks).accuracy(),
        choices: ranks.gather(&choices).into_iter().flatten().collect(),
    })
}

/// The places of the images of a rank's batches, where there are `count` images in batches of `batch`.
fn own_batches(ranks: Ranks, count: usize, batch: usize) -> Vec<usize> {
    let batch = batch.max(1);
    (ranks.own(count.div_ceil(batch)))
        .flat_map(|index| index * batch..count.min((index + 1) * batch))
        .collect()
}

/// Tells the logits and labels of each batch.
fn run_each(
    net: &Subnet,
    split: &Split,
    pipeline: &Pipeline,
    batch: usize,
    workers: usize,
    device: &Device,
    mut each: impl FnMut(&Tensor<2>, &[usize]),
) -> Result<(), TrainError> {
    if split.is_empty() {
        return Ok(());
    }
    for batch in Loader::evaluation(split, pipeline, batch, workers)? {
        let batch = batch?;
        let output = net.forward(images(&batch, device), Norm::Running);
        each(&output.logits, &batch.labels);
    }
    Ok(())
}
