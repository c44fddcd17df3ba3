//! Accuracy of a network on a split.

use burn::tensor::activation::softmax;
use burn::tensor::{Tensor, TensorData};
use creamery_data::{Batch, Loader, Pipeline, Split};
use creamery_nn::{Device, Norm, Subnet, loss};

use crate::collective::Ranks;
use crate::event::Accuracy;
use crate::{ConfigError, TrainError};

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

/// The views of an image whose predictions are averaged: test-time augmentation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Views {
    /// The middle square alone.
    #[default]
    One,
    /// The middle square and its mirror image.
    Flip,
    /// The corners of the image's middle square and its centre, each with its mirror image (Krizhevsky et al. 2012).
    Crops,
}

impl Views {
    /// Passes through the network for each image.
    pub fn count(self) -> usize {
        match self {
            Self::One => 1,
            Self::Flip => 2,
            Self::Crops => 10,
        }
    }

    /// The pipeline that loads what all views are cut from.
    ///
    /// # Errors
    /// [`ConfigError::Value`] where images have no more pixels than one view.
    fn pipeline(self, pipeline: &Pipeline) -> Result<Pipeline, TrainError> {
        let mut wide = pipeline.clone();
        if self == Self::Crops {
            if pipeline.shorter_side == pipeline.resolution {
                return Err(ConfigError::Value(format!(
                    "images are resized to the {0} px that the network takes, which leaves no room for other crops: \
                     use flips alone",
                    pipeline.resolution
                ))
                .into());
            }
            wide.resolution = pipeline.shorter_side;
        }
        Ok(wide)
    }

    /// The logarithms of the mean probabilities, or with one view the logits.
    fn logits(self, net: &Subnet, images: Tensor<4>) -> Tensor<2> {
        let forward = |images| net.forward(images, Norm::Running).logits;
        if self == Self::One {
            return forward(images);
        }
        let side = net.architecture.resolution;
        let [n, loaded, _, channels] = images.dims();
        let (last, middle) = (loaded - side, (loaded - side) / 2);
        let places: &[[usize; 2]] = match self {
            Self::Crops => &[[0, 0], [0, last], [last, 0], [last, last], [middle, middle]],
            _ => &[[middle, middle]],
        };
        let mut sum: Option<Tensor<2>> = None;
        for &[y, x] in places {
            let view = images
                .clone()
                .slice([0..n, y..y + side, x..x + side, 0..channels]);
            for view in [view.clone(), view.flip([2])] {
                let seen = softmax(forward(view), 1);
                sum = Some(match sum {
                    Some(sum) => sum + seen,
                    None => seen,
                });
            }
        }
        let sum = sum.expect("there are views");
        // What no view gives any chance is as unlikely as a float can tell.
        (sum / self.count() as f32)
            .clamp_min(f32::MIN_POSITIVE)
            .log()
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
    let one = Views::One;
    evaluate_each(net, split, pipeline, one, batch, workers, device, |_, _| ())
}

/// [`evaluate`] by several views of each image, which tells `each`, for image after image in the split's order, its label and the network's first
/// choice ([`loss::first_choices`]).
///
/// # Errors
/// If the images cannot be read, or are too small for the views.
#[expect(
    clippy::too_many_arguments,
    reason = "those of `evaluate` and two more"
)]
pub fn evaluate_each(
    net: &Subnet,
    split: &Split,
    pipeline: &Pipeline,
    views: Views,
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
        views,
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

/// [`evaluate_each`] by one view, whose batches the ranks share out; each knows all answers.
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
        Views::One,
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
#[expect(clippy::too_many_arguments, reason = "those of `evaluate_each`")]
fn run_each(
    net: &Subnet,
    split: &Split,
    pipeline: &Pipeline,
    views: Views,
    batch: usize,
    workers: usize,
    device: &Device,
    mut each: impl FnMut(&Tensor<2>, &[usize]),
) -> Result<(), TrainError> {
    if split.is_empty() {
        return Ok(());
    }
    let pipeline = views.pipeline(pipeline)?;
    for batch in Loader::evaluation(split, &pipeline, batch, workers)? {
        let batch = batch?;
        let logits = views.logits(net, images(&batch, device));
        each(&logits, &batch.labels);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use creamery_data::{Augment, Normalisation};
    use creamery_space::{Architecture, Space};

    use super::*;

    const SIDE: usize = 28;
    const LOADED: usize = 32;
    const CLASSES: usize = 4;

    fn net(device: &Device) -> Subnet {
        let space = Space::builtin("tiny-32").unwrap();
        let architecture = Architecture::new("tiny-32", SIDE, vec![vec![0], vec![1], vec![2]]);
        Subnet::new(&space, &architecture, 1, CLASSES, 3, device).unwrap()
    }

    fn pipeline(shorter_side: usize) -> Pipeline {
        Pipeline {
            resolution: SIDE,
            shorter_side,
            interpolation: Default::default(),
            channels: 1,
            augment: Augment::default(),
            normalisation: Normalisation {
                mean: vec![0.5],
                std: vec![0.25],
            },
        }
    }

    fn sample(y: usize, x: usize) -> u8 {
        (x * 37 + y * 91 + x * y % 11 * 13) as u8
    }

    /// Each view an image of its own, without the code under test.
    #[test]
    fn views_are_crops_and_mirror_images() {
        let device = Device::flex();
        let net = net(&device);
        let all: Vec<u8> = (0..LOADED * LOADED)
            .map(|i| sample(i / LOADED, i % LOADED))
            .collect();
        let whole = Split::from_pixels([LOADED, LOADED, 1], all, &[1], CLASSES).unwrap();
        for (views, places) in [
            (Views::Flip, &[[2, 2]][..]),
            (Views::Crops, &[[0, 0], [0, 4], [4, 0], [4, 4], [2, 2]]),
        ] {
            let mut pixels = Vec::new();
            for &[top, left] in places {
                for mirrored in [false, true] {
                    for i in 0..SIDE * SIDE {
                        let x = if mirrored {
                            SIDE - 1 - i % SIDE
                        } else {
                            i % SIDE
                        };
                        pixels.push(sample(top + i / SIDE, left + x));
                    }
                }
            }
            let n = 2 * places.len();
            assert_eq!(views.count(), n);
            let apart = Split::from_pixels([SIDE, SIDE, 1], pixels, &vec![1; n], CLASSES).unwrap();
            let batch = Loader::evaluation(&apart, &pipeline(SIDE), n, 0).unwrap();
            let batch = batch.map(Result::unwrap).next().unwrap();
            let logits = net.forward(images(&batch, &device), Norm::Running).logits;
            let mean = softmax(logits, 1).mean_dim(0).into_data();
            let mean = mean.as_slice::<f32>().unwrap()[1];
            let pipeline = pipeline(LOADED);
            let mut choices = Vec::new();
            let each = |label, choice: Option<usize>| choices.push((label, choice));
            let seen = evaluate_each(&net, &whole, &pipeline, views, 8, 0, &device, each).unwrap();
            assert!(
                (seen.loss + f64::from(mean).ln()).abs() < 1e-5,
                "{views:?}: {seen:?}, {mean}"
            );
            assert_eq!((seen.images, choices.len()), (1, 1));
        }
    }

    #[test]
    fn crops_need_room() {
        let device = Device::flex();
        let split = Split::from_pixels([SIDE, SIDE, 1], vec![9; SIDE * SIDE], &[0], 1).unwrap();
        let crops = Views::Crops;
        let error = evaluate_each(
            &net(&device),
            &split,
            &pipeline(SIDE),
            crops,
            8,
            0,
            &device,
            |_, _| (),
        );
        let error = error.unwrap_err().to_string();
        assert!(error.contains("no room for other crops"), "{error}");
    }
}
