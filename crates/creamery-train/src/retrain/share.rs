//! The part of a batch that goes through the network at once.

use std::ops::Range;

use burn::tensor::{Device, Tensor, TensorData};
use creamery_data::{Batch, Mixed, Portion};
use creamery_nn::{Drops, Subnet, loss};

use super::RetrainConfig;
use crate::dropout::{drop_path_masks, dropout_mask, own_images};

/// Some images of a batch.
pub(super) struct Share<'a> {
    batch: &'a Batch,
    range: Range<usize>,
    portion: Portion,
}

impl<'a> Share<'a> {
    /// Cuts a batch, which is this portion of that of all ranks, into `count` shares that differ by one image at most.
    pub fn of(batch: &'a Batch, portion: Portion, count: usize) -> impl Iterator<Item = Self> {
        let edge = move |share: usize| share * batch.n / count;
        (0..count).map(move |share| Self {
            batch,
            range: edge(share)..edge(share + 1),
            portion,
        })
    }

    pub fn labels(&self) -> &[usize] {
        &self.batch.labels[self.range.clone()]
    }

    /// What this share's mean counts in that of the batch.
    pub fn weight(&self) -> f64 {
        self.range.len() as f64 / self.batch.n as f64
    }

    /// `[n, size, size, channels]`.
    pub fn images(&self, device: &Device) -> Tensor<4> {
        let Batch { size, channels, .. } = *self.batch;
        let image = size * size * channels;
        let values = &self.batch.images[self.range.start * image..self.range.end * image];
        let shape = [self.range.len(), size, size, channels];
        Tensor::from_data(TensorData::new(values.to_vec(), shape), device)
    }

    /// What a step drops of these images: the same, however the batch is cut.
    pub fn drops(&self, net: &Subnet, config: &RetrainConfig, step: u64, device: &Device) -> Drops {
        let n = self.portion.batch();
        let shape = [n, net.head_features()];
        let features = dropout_mask(config.dropout, config.seed, step, shape, device);
        let rates = match config.drop_path {
            0.0 => Vec::new(),
            rate => net.drop_path_rates(rate),
        };
        let branches = drop_path_masks(&rates, config.seed, step, n, device);
        let branches = branches.into_iter();
        Drops {
            features: features.map(|mask| self.cut(mask)),
            branches: branches
                .map(|mask| mask.map(|mask| self.cut(mask)))
                .collect(),
        }
    }

    /// What there is of these images of something that there is of each image of the whole batch.
    fn cut<const D: usize>(&self, of_all: Tensor<D>) -> Tensor<D> {
        own_images(of_all, self.portion).slice([self.range.clone()])
    }
}

/// What the network is to say of a batch.
pub(super) struct Targets<'a> {
    pub classes: usize,
    pub smoothing: f64,
    pub mixed: Option<&'a Mixed>,
}

impl Targets<'_> {
    /// The cross-entropy of a share's logits, `[n, classes]`; mixed images count for both their classes, by their
    /// shares.
    pub fn loss(&self, logits: Tensor<2>, share: &Share<'_>, device: &Device) -> Tensor<1> {
        let smoothed =
            |labels: &[usize]| loss::smoothed_targets(labels, self.classes, self.smoothing, device);
        let own = smoothed(share.labels());
        let targets = match self.mixed {
            None => own,
            Some(Mixed {
                partners,
                share: own_share,
            }) => own * *own_share + smoothed(&partners[share.range.clone()]) * (1.0 - own_share),
        };
        loss::cross_entropy(logits, targets)
    }
}
