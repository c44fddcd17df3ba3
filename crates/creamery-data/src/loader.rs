//! Batches in a fixed order, made ahead by threads.
//!
//! A batch is cut into parcels of a few images. A free thread makes the next parcel, the consumer normalises them into one batch,
//! which costs what copying them would: so all threads work on one batch however large it is, and memory is bounded by two
//! batches of 8-bit samples (and the noise of what is erased) beside the one that is handed out. Every random choice is keyed by
//! its place in the run, never by the thread that happens to make it.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use crate::ahead::Ahead;
use crate::decode::ImageError;
use crate::error::DataError;
use crate::order;
use crate::picture::Picture;
use crate::pipeline::{Pipeline, Square, Transform};
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
    /// Batches for training: drawn anew each epoch as [`Split::sampling`] says, augmented, endless, from batch `start_batch` of
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
        split.sampling().check()?;
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
            epochs: Mutex::default(),
        });
        // Two batches ahead keep the threads busy even while a long step is computed.
        let ahead = 2 * plan.parcels_per_batch() as usize;
        let parcels = Ahead::start(threads, ahead, || {
            let plan = Arc::clone(&plan);
            Box::new(move |parcel| plan.make(parcel))
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
        let transform = &self.plan.transform;
        let Pipeline {
            resolution: size,
            channels,
            ..
        } = *transform.pipeline();
        let mut images = Vec::with_capacity(n * transform.pipeline().samples());
        let mut labels = Vec::with_capacity(n);
        while labels.len() < n {
            let parcel = self.parcels.next().unwrap_or_else(|| {
                Err(DataError::Worker {
                    message: "it ended too early".to_owned(),
                })
            })??;
            for (square, label) in parcel {
                transform.normalise(&square, &mut images);
                labels.push(label);
            }
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

/// The images of one epoch, in its order.
type Epoch = (u64, Arc<[u32]>);

/// A few images of one batch with their labels.
type Parcel = Vec<(Square, usize)>;

/// All that a thread needs to know to make any parcel.
struct Plan {
    split: Split,
    transform: Transform,
    /// What is made of each batch; in evaluation all of it.
    portion: Portion,
    order: Order,
    /// The orders of the epochs at hand: at an epoch's end threads work on two.
    epochs: Mutex<[Option<Epoch>; 2]>,
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
    fn make(&self, parcel: u64) -> Option<Result<Parcel, DataError>> {
        let (epoch, index) = self.position(parcel / self.parcels_per_batch())?;
        let start = (parcel % self.parcels_per_batch()) as usize * PARCEL;
        let own = start..(start + PARCEL).min(self.own(index));
        let first = index as usize * self.portion.batch();
        // Only the last batch of an evaluation has fewer parcels than the others.
        (!own.is_empty()).then(|| {
            let places = own.map(|image| first + self.portion.place(image));
            match self.order {
                Order::Shuffled { seed, .. } => self.training_parcel(seed, epoch, places),
                Order::AsTheyAre => self.evaluation_parcel(places),
            }
        })
    }

    /// The images at these places of the epoch's order.
    fn training_parcel(
        &self,
        seed: u64,
        epoch: u64,
        places: impl Iterator<Item = usize>,
    ) -> Result<Parcel, DataError> {
        let order = self.epoch(seed, epoch);
        let first_key = epoch.wrapping_mul(self.split.len() as u64);
        let repeats = self.split.sampling().balance > 0.0;
        let images = places.map(|place| (place, order[place] as usize));
        let make = |(place, image)| {
            // An image that is drawn again is changed in another way.
            let key = first_key.wrapping_add(if repeats { place } else { image } as u64);
            let mut rng = creamery_rng::stream(seed, "augment", key);
            self.labelled(image, |picture| self.transform.train(picture, &mut rng))
        };
        images.map(make).collect()
    }

    /// The order of an epoch, made by the first thread that needs it.
    fn epoch(&self, seed: u64, epoch: u64) -> Arc<[u32]> {
        // An order that was not finished is not there.
        let mut epochs = self.epochs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, order)) = epochs.iter().flatten().find(|(of, _)| *of == epoch) {
            return Arc::clone(order);
        }
        let order: Arc<[u32]> = order::epoch(&self.split, self.portion.batch(), seed, epoch).into();
        epochs.rotate_left(1);
        epochs[1] = Some((epoch, Arc::clone(&order)));
        order
    }

    fn evaluation_parcel(&self, places: impl Iterator<Item = usize>) -> Result<Parcel, DataError> {
        let make = |image| self.labelled(image, |picture| self.transform.evaluate(picture));
        places.map(make).collect()
    }

    /// What `change` makes of an image, with its label.
    fn labelled(
        &self,
        image: usize,
        change: impl FnOnce(&Picture) -> Result<Square, ImageError>,
    ) -> Result<(Square, usize), DataError> {
        let stored = self.split.stored(image)?;
        let square = Picture::of(&stored).and_then(|picture| change(&picture));
        let square = square.map_err(|fault| self.split.fault(image, fault))?;
        Ok((square, self.split.label(image)))
    }
}
