//! Batches in a fixed order, made ahead by threads.
//!
//! A batch is cut into parcels of a few images. Threads make parcels, the consumer puts them together:
//! so all threads work on one batch however large it is, and memory is bounded by two batches and what
//! the threads have in hand. Every random choice is keyed by its place in the run, never by the thread
//! that happens to make it.

use std::fmt;
use std::sync::Arc;

use rand::seq::SliceRandom;

use crate::ahead::Ahead;
use crate::error::DataError;
use crate::pipeline::{Pipeline, Transform};
use crate::portion::Portion;
use crate::split::Split;

/// Images in one parcel of work.
const PARCEL: usize = 16;

/// Some images as a network takes them, with their classes.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// `n * size * size * channels` normalised samples in the order NHWC.
    pub images: Vec<f32>,
    /// The `n` classes.
    pub labels: Vec<usize>,
    /// How many images there are.
    pub n: usize,
    /// Side of every image, in pixels.
    pub size: usize,
    /// Samples per pixel: 1 or 3.
    pub channels: usize,
    /// The epoch that the batch belongs to; 0 in evaluation.
    pub epoch: u64,
    /// The batch's place in its epoch, from 0.
    pub index: u64,
}

impl Batch {
    /// The images of one portion of this batch.
    ///
    /// # Panics
    /// If the portion is one of a larger batch.
    pub fn portion(&self, portion: Portion) -> Batch {
        let image = self.size * self.size * self.channels;
        let places = portion.places();
        let images = places.iter();
        Batch {
            images: images
                .flat_map(|place| &self.images[place * image..(place + 1) * image])
                .copied()
                .collect(),
            labels: places.iter().map(|place| self.labels[*place]).collect(),
            n: places.len(),
            ..*self
        }
    }
}

/// The batches of a split: without end for training, once through for evaluation.
///
/// What is delivered depends on the arguments alone, not on the number of threads. After an error the
/// loader ends. Dropping it stops its threads.
///
/// ```
/// # use creamery_data::*;
/// # let data = DataSet::open("fashion-mini", &OpenOptions::default())?;
/// # let pipeline = data.pipeline(28, Normalisation::of(&data.train)?);
/// // Batch 5 of epoch 3, as a run that was interrupted there would go on.
/// let resumed = Loader::train(&data.train, &pipeline, 64, 7, 3, 5, 2)?.next().unwrap()?;
/// let played = Loader::train(&data.train, &pipeline, 64, 7, 3, 0, 0)?.nth(5).unwrap()?;
/// assert_eq!(resumed, played);
/// # Ok::<(), DataError>(())
/// ```
pub struct Loader {
    parcels: Ahead<Result<Parcel, DataError>>,
    plan: Arc<Plan>,
    /// Batches handed out so far.
    delivered: u64,
    failed: bool,
}

impl Loader {
    /// Batches for training: shuffled anew each epoch, augmented, endless, from batch `start_batch` of
    /// epoch `epoch` on. Images that do not fill an epoch's last batch are left out of that epoch.
    ///
    /// A `start_batch` beyond the epoch's end means the epochs after it, so that the position after
    /// the last batch needs no care. `threads` is how many threads work ahead; with 0 the work is done by
    /// the caller.
    ///
    /// `batch` is the number of images, or the [`Portion`] of each batch that is made here: the images are those that
    /// the whole batch has in these places.
    ///
    /// # Errors
    /// [`DataError::ZeroBatch`], [`DataError::FewerThanBatch`], [`DataError::Resolution`] and
    /// [`DataError::Pipeline`] for settings that do not fit, [`DataError::Threads`].
    pub fn train(
        split: &Split,
        pipeline: &Pipeline,
        batch: impl Into<Portion>,
        seed: u64,
        epoch: u64,
        start_batch: u64,
        threads: usize,
    ) -> Result<Self, DataError> {
        let portion = batch.into();
        if portion.batch() > split.len() {
            return Err(DataError::FewerThanBatch {
                images: split.len(),
                batch: portion.batch(),
            });
        }
        Self::start(
            split,
            pipeline,
            portion,
            Order::Shuffled {
                seed,
                epoch,
                start_batch,
            },
            threads,
        )
    }

    /// Batches for evaluation: every image once, in the split's order, unchanged but for resizing and
    /// the middle crop. The last batch may be short.
    ///
    /// # Errors
    /// [`DataError::ZeroBatch`], [`DataError::Resolution`] and [`DataError::Pipeline`] for settings
    /// that do not fit, [`DataError::Threads`].
    pub fn evaluation(
        split: &Split,
        pipeline: &Pipeline,
        batch: usize,
        threads: usize,
    ) -> Result<Self, DataError> {
        // A batch larger than the split is the whole split.
        let batch = batch.min(split.len().max(1));
        Self::start(split, pipeline, batch.into(), Order::AsTheyAre, threads)
    }

    fn start(
        split: &Split,
        pipeline: &Pipeline,
        portion: Portion,
        order: Order,
        threads: usize,
    ) -> Result<Self, DataError> {
        if portion.is_empty() {
            return Err(DataError::ZeroBatch);
        }
        let transform = pipeline.ready()?;
        if split.channels() != pipeline.channels {
            return Err(DataError::Pipeline(format!(
                "images have {} channels, but the pipeline is made for {}",
                split.channels(),
                pipeline.channels
            )));
        }
        let plan = Arc::new(Plan {
            split: split.clone(),
            transform,
            portion,
            order,
        });
        // Two batches ahead keep the threads busy even while a long step is computed.
        let ahead = 2 * plan.parcels_per_batch() as usize;
        let parcels = Ahead::start(threads, ahead, || {
            let plan = Arc::clone(&plan);
            let mut shuffled = Shuffled::default();
            Box::new(move |parcel| plan.make(parcel, &mut shuffled))
        })?;
        Ok(Self {
            parcels,
            plan,
            delivered: 0,
            failed: false,
        })
    }

    /// Batches in one epoch: in training the full ones, in evaluation all.
    pub fn batches_per_epoch(&self) -> u64 {
        self.plan.batches_per_epoch()
    }

    fn next_batch(&mut self, epoch: u64, index: u64) -> Result<Batch, DataError> {
        let n = self.plan.own(index);
        let Pipeline {
            resolution: size,
            channels,
            ..
        } = *self.plan.transform.pipeline();
        let mut images = Vec::with_capacity(n * self.plan.transform.pipeline().samples());
        let mut labels = Vec::with_capacity(n);
        while labels.len() < n {
            let parcel = self.parcels.next().unwrap_or_else(|| {
                Err(DataError::Worker {
                    message: "it ended too early".to_owned(),
                })
            })??;
            images.extend(parcel.images);
            labels.extend(parcel.labels);
        }
        Ok(Batch {
            images,
            labels,
            n,
            size,
            channels,
            epoch,
            index,
        })
    }
}

impl Iterator for Loader {
    type Item = Result<Batch, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let (epoch, index) = self.plan.position(self.delivered)?;
        let batch = self.next_batch(epoch, index);
        self.delivered += 1;
        self.failed = batch.is_err();
        Some(batch)
    }
}

impl fmt::Debug for Loader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loader")
            .field("split", &self.plan.split)
            .field("portion", &self.plan.portion)
            .field("order", &self.plan.order)
            .field("delivered", &self.delivered)
            .finish_non_exhaustive()
    }
}

/// Which images make which batch.
#[derive(Clone, Copy, Debug)]
enum Order {
    Shuffled {
        seed: u64,
        epoch: u64,
        start_batch: u64,
    },
    AsTheyAre,
}

/// The order of one epoch, kept by a thread for as long as it works on that epoch.
#[derive(Default)]
struct Shuffled {
    epoch: Option<u64>,
    images: Vec<u32>,
}

/// A few images of one batch.
struct Parcel {
    images: Vec<f32>,
    labels: Vec<usize>,
}

/// All that a thread needs to know to make any parcel.
struct Plan {
    split: Split,
    transform: Transform,
    /// What is made of each batch; in evaluation all of it.
    portion: Portion,
    order: Order,
}

impl Plan {
    fn batches_per_epoch(&self) -> u64 {
        let batches = match self.order {
            Order::Shuffled { .. } => self.split.len() / self.portion.batch(),
            Order::AsTheyAre => self.split.len().div_ceil(self.portion.batch()),
        };
        batches as u64
    }

    fn parcels_per_batch(&self) -> u64 {
        self.portion.len().div_ceil(PARCEL) as u64
    }

    /// Epoch and place in it of the `delivered`th batch of this loader; `None` after the last.
    fn position(&self, delivered: u64) -> Option<(u64, u64)> {
        let batches = self.batches_per_epoch();
        match self.order {
            Order::Shuffled {
                epoch, start_batch, ..
            } => {
                let (epochs, first) = (start_batch / batches, start_batch % batches);
                let at = first + delivered;
                Some((
                    epoch.wrapping_add(epochs).wrapping_add(at / batches),
                    at % batches,
                ))
            }
            Order::AsTheyAre => (delivered < batches).then_some((0, delivered)),
        }
    }

    /// Images of batch `index` that are made here.
    fn own(&self, index: u64) -> usize {
        let rest = self.split.len() - index as usize * self.portion.batch();
        // Only the last batch of an evaluation may be short.
        self.portion.len().min(rest)
    }

    /// Parcel `parcel` of this loader; `None` after the last.
    fn make(&self, parcel: u64, shuffled: &mut Shuffled) -> Option<Result<Parcel, DataError>> {
        let (epoch, index) = self.position(parcel / self.parcels_per_batch())?;
        let start = (parcel % self.parcels_per_batch()) as usize * PARCEL;
        let own = start..(start + PARCEL).min(self.own(index));
        let first = index as usize * self.portion.batch();
        // Only the last batch of an evaluation has fewer parcels than the others.
        (!own.is_empty()).then(|| {
            let places = own.map(|image| first + self.portion.place(image));
            match self.order {
                Order::Shuffled { seed, .. } => self.training_parcel(seed, epoch, places, shuffled),
                Order::AsTheyAre => self.evaluation_parcel(places),
            }
        })
    }

    /// The images at these places of the epoch's order.
    fn training_parcel(
        &self,
        seed: u64,
        epoch: u64,
        places: impl ExactSizeIterator<Item = usize>,
        shuffled: &mut Shuffled,
    ) -> Result<Parcel, DataError> {
        if shuffled.epoch != Some(epoch) {
            shuffled.images = (0..self.split.len() as u32).collect();
            shuffled
                .images
                .shuffle(&mut creamery_rng::stream(seed, "shuffle", epoch));
            shuffled.epoch = Some(epoch);
        }
        let first_key = epoch.wrapping_mul(self.split.len() as u64);
        self.parcel(
            places.map(|place| shuffled.images[place] as usize),
            |image, out| {
                let key = first_key.wrapping_add(image as u64);
                let mut rng = creamery_rng::stream(seed, "augment", key);
                self.transform
                    .train(&self.split.image(image)?, &mut rng, out)
            },
        )
    }

    fn evaluation_parcel(
        &self,
        images: impl ExactSizeIterator<Item = usize>,
    ) -> Result<Parcel, DataError> {
        self.parcel(images, |image, out| {
            self.transform.evaluate(&self.split.image(image)?, out)
        })
    }

    fn parcel(
        &self,
        members: impl ExactSizeIterator<Item = usize>,
        append: impl Fn(usize, &mut Vec<f32>) -> Result<(), DataError>,
    ) -> Result<Parcel, DataError> {
        let mut parcel = Parcel {
            images: Vec::with_capacity(members.len() * self.transform.pipeline().samples()),
            labels: Vec::with_capacity(members.len()),
        };
        for image in members {
            append(image, &mut parcel.images)?;
            parcel.labels.push(self.split.label(image));
        }
        Ok(parcel)
    }
}
