//! Sums of tensors in few flat buckets.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::atomic::Ordering;

use burn::tensor::{Device, Tensor, TensorData};
use creamery_nn::Tracked;

use super::{Ranks, Summing};

/// Values of a bucket, 1 MiB: large enough that its sum is bound by the network's bandwidth rather than its latency, small
/// enough that sums begin early in the backward pass.
pub const BUCKET: usize = 1 << 18;

/// Flat tensors on their way through a sum over all ranks.
///
/// Tensors go in one after the other; each full bucket is under way while the next is filled. The last bucket has a
/// few scalars too, and whether this rank was asked to stop, so that a step needs no sum beside its gradients'.
#[derive(Debug)]
pub struct Flat {
    ranks: Ranks,
    bucket: Vec<f32>,
    begun: Vec<Summing>,
}

impl Flat {
    /// Nothing yet.
    pub fn new(ranks: Ranks) -> Self {
        Self {
            ranks,
            bucket: Vec::new(),
            begun: Vec::new(),
        }
    }

    /// Adds a tensor's values.
    pub fn push(&mut self, tensor: &Tensor<1>) {
        let data = tensor.clone().into_data();
        self.extend(data.as_slice::<f32>().expect("what is summed is f32"));
    }

    /// Adds values.
    pub fn extend(&mut self, mut values: &[f32]) {
        while !values.is_empty() {
            let room = (BUCKET - self.bucket.len()).min(values.len());
            let (own, rest) = values.split_at(room);
            self.bucket.extend_from_slice(own);
            values = rest;
            if self.bucket.len() == BUCKET {
                self.begin();
            }
        }
    }

    fn begin(&mut self) {
        let bucket = std::mem::take(&mut self.bucket);
        let bytes = (bucket.len() * size_of::<f32>()) as u64;
        let job = self.ranks.0;
        job.summed.fetch_add(bytes, Ordering::Relaxed);
        self.begun.push(job.collective.begin_sum(bucket));
    }

    /// The sums, to be taken out as they were put in.
    pub fn finish(mut self) -> Sums {
        let job = self.ranks.0;
        let asked = job.asked.load(Ordering::Relaxed);
        self.bucket.push(f32::from(u8::from(asked)));
        self.begin();
        let mut values = Vec::new();
        for sum in self.begun {
            let sum = sum.wait();
            match values.is_empty() {
                true => values = sum,
                false => values.extend(sum),
            }
        }
        let asked = values.pop().is_some_and(|ranks| ranks > 0.0);
        job.agreed.store(asked, Ordering::Relaxed);
        Sums { values, start: 0 }
    }
}

/// What came out of a [`Flat`] sum.
#[derive(Debug)]
pub struct Sums {
    values: Vec<f32>,
    start: usize,
}

impl Sums {
    /// The next tensor of `len` values, times `factor`.
    pub fn tensor(&mut self, len: usize, factor: f32, device: &Device) -> Tensor<1> {
        let values = self.next(len).iter().map(|value| value * factor).collect();
        Tensor::from_data(TensorData::new::<f32, _>(values, [len]), device)
    }

    /// The next `len` values.
    pub fn next(&mut self, len: usize) -> &[f32] {
        let start = self.start;
        self.start += len;
        &self.values[start..self.start]
    }
}

/// Replaces tensors by their means over all ranks, and scalars by their sums; alone all stay as they are.
pub fn mean<'t>(
    ranks: Ranks,
    tensors: impl IntoIterator<Item = &'t mut Tensor<1>>,
    scalars: &mut [f64],
) {
    if !ranks.is_alone() {
        let tensors = tensors.into_iter().collect();
        mean_after(Flat::new(ranks), Vec::new(), tensors, scalars);
    }
}

/// [`mean`] of what is in `flat` already, the values of `before`, and of more.
fn mean_after(
    mut flat: Flat,
    before: Vec<&mut Tensor<1>>,
    more: Vec<&mut Tensor<1>>,
    scalars: &mut [f64],
) {
    let factor = 1.0 / flat.ranks.size() as f32;
    more.iter().for_each(|tensor| flat.push(tensor));
    let own: Vec<f32> = scalars.iter().map(|scalar| *scalar as f32).collect();
    flat.extend(&own);
    let mut sums = flat.finish();
    for tensor in before.into_iter().chain(more) {
        *tensor = sums.tensor(tensor.dims()[0], factor, &tensor.device());
    }
    let sums = sums.next(scalars.len());
    let pairs = scalars.iter_mut().zip(sums);
    pairs.for_each(|(scalar, sum)| *scalar = f64::from(*sum));
}

/// The means over all ranks of a pass's gradients, one for each layer, and of the statistics `stats`; sums `scalars`. Sums begin
/// while the backward pass goes on, where the device tells of its layers one by one.
pub fn mean_gradients<'t>(
    ranks: Ranks,
    tracked: &Tracked,
    loss: &Tensor<1>,
    stats: impl IntoIterator<Item = &'t mut Tensor<1>>,
    scalars: &mut [f64],
) -> Vec<Tensor<1>> {
    if ranks.is_alone() {
        return tracked.gradients(loss);
    }
    let mut stats: Vec<_> = stats.into_iter().collect();
    let stats = stats.iter_mut().map(|stats| &mut **stats);
    if !tracked.tells() {
        let mut gradients = tracked.gradients(loss);
        mean(ranks, gradients.iter_mut().chain(stats), scalars);
        return gradients;
    }
    let flat = Rc::new(RefCell::new(Flat::new(ranks)));
    let told = Rc::clone(&flat);
    let listener = Box::new(move |gradient: &[f32]| told.borrow_mut().extend(gradient));
    let mut gradients = tracked.gradients_told(loss, listener);
    // The listener is gone, and with it the other owner.
    let flat = Rc::into_inner(flat).expect("nobody listens any more");
    if let Some((classifier, layers)) = gradients.split_last_mut() {
        let before = layers.iter_mut().rev().collect();
        let more = std::iter::once(classifier).chain(stats).collect();
        mean_after(flat.into_inner(), before, more, scalars);
    }
    gradients
}
