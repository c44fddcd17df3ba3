//! The processes that train together: what they say to each other, and how gradients are summed.
//!
//! A job of several machines is as many processes as devices, the *ranks*. All of them run the same program on the
//! same state; each reads its own portion of every batch, and what its passes yield is summed over all. Whatever
//! decides anything (losses, accuracies, boards) is summed or gathered first, so that every rank decides alike.
//!
//! [`Collective`] is what they need of each other. There are two: that of a process alone, which costs nothing, and
//! MPI (`Mpi`, with the Cargo feature `mpi`). [`Ranks`] is the handle that everything else holds.

mod alone;
mod flat;
#[cfg(feature = "mpi")]
mod mpi;

use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::Receiver;

use creamery_data::Portion;
use creamery_nn::{Across, Device, Everywhere, Layer, NnError, Norm, ops};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::ConfigError;

pub use alone::Alone;
pub use flat::{BUCKET, Flat, Sums, mean, mean_gradients};
#[cfg(feature = "mpi")]
pub use mpi::{Mpi, MpiError};

/// What processes that train together need of each other.
///
/// All ranks must make the same calls in the same order. Results are the same bits on every rank. An implementation
/// that loses a rank ends the process: there is nothing to go on with but the last checkpoint.
pub trait Collective: fmt::Debug + Send + Sync {
    /// The number of this process, from 0.
    fn rank(&self) -> usize;

    /// How many processes there are.
    fn size(&self) -> usize;

    /// The number of this process among those of its machine, from 0: the number of its device.
    fn local_rank(&self) -> usize;

    /// Begins to sum values over all ranks, which must have equally many. The sums of a rank come in the order in which
    /// it began them.
    fn begin_sum(&self, values: Vec<f32>) -> Summing;

    /// Sums values over all ranks in double precision.
    fn sum(&self, values: &mut Vec<f64>);

    /// Replaces the bytes by those of rank 0.
    fn broadcast(&self, bytes: &mut Vec<u8>);

    /// The bytes of every rank, in their order.
    fn gather(&self, bytes: Vec<u8>) -> Vec<Vec<u8>>;

    /// Waits until all ranks are here.
    fn barrier(&self);

    /// Leaves the job: to be called when all is done, and only then.
    fn finish(&self) {}

    /// Ends the whole job with an exit code, whatever the other ranks are doing.
    fn abort(&self, code: i32) -> !;
}

/// A sum that may still be under way.
#[derive(Debug)]
pub enum Summing {
    /// It is done.
    Done(Vec<f32>),
    /// It will come.
    Coming(Receiver<Vec<f32>>),
}

impl Summing {
    /// The sum.
    ///
    /// # Panics
    /// If the thread that was to send it has gone.
    pub fn wait(self) -> Vec<f32> {
        match self {
            Self::Done(values) => values,
            Self::Coming(sum) => sum.recv().expect("sums are delivered or the job ends"),
        }
    }
}

/// The ranks of a job, or this process alone: a handle that lives as long as the process.
#[derive(Clone, Copy)]
pub struct Ranks(&'static Job);

struct Job {
    collective: Box<dyn Collective>,
    /// Whether this rank was asked to stop.
    asked: AtomicBool,
    /// Whether any rank was, as of the last sum.
    agreed: AtomicBool,
    /// Bytes that this rank has given to sums of gradients.
    summed: AtomicU64,
}

impl fmt::Debug for Ranks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "rank {} of {}", self.rank(), self.size())
    }
}

impl Default for Ranks {
    /// This process alone.
    fn default() -> Self {
        static ALONE: LazyLock<Job> = LazyLock::new(|| Job::new(Alone));
        Self(&ALONE)
    }
}

impl Job {
    fn new(collective: impl Collective + 'static) -> Self {
        Self {
            collective: Box::new(collective),
            asked: AtomicBool::new(false),
            agreed: AtomicBool::new(false),
            summed: AtomicU64::new(0),
        }
    }
}

impl Ranks {
    /// The ranks of a collective, which is kept until the process ends.
    pub fn new(collective: impl Collective + 'static) -> Self {
        Self(Box::leak(Box::new(Job::new(collective))))
    }

    /// The collective.
    pub fn collective(self) -> &'static dyn Collective {
        self.0.collective.as_ref()
    }

    /// The number of this process.
    pub fn rank(self) -> usize {
        self.0.collective.rank()
    }

    /// How many processes there are.
    pub fn size(self) -> usize {
        self.0.collective.size()
    }

    /// Whether there is only this process.
    pub fn is_alone(self) -> bool {
        self.size() == 1
    }

    /// Whether this process is the one that writes and shows things.
    pub fn is_root(self) -> bool {
        self.rank() == 0
    }

    /// What this rank reads of every batch of `batch` images.
    pub fn portion(self, batch: usize) -> Portion {
        Portion::of(batch, self.rank(), self.size())
    }

    /// Those of `count` things that this rank works on: every `size`-th.
    pub fn own(self, count: usize) -> impl Iterator<Item = usize> {
        (self.rank()..count).step_by(self.size())
    }

    /// The sums of some values over all ranks.
    pub fn sum<const N: usize>(self, values: [f64; N]) -> [f64; N] {
        if self.is_alone() {
            return values;
        }
        let mut sums = values.to_vec();
        self.0.collective.sum(&mut sums);
        sums.try_into().expect("as many sums as values")
    }

    /// What `make` makes of each of `count` things, each made by one rank and known to all.
    ///
    /// # Errors
    /// Those of `make` on this rank; the others then wait until the job ends.
    pub fn share_out<T, E>(
        self,
        count: usize,
        mut make: impl FnMut(usize) -> Result<T, E>,
    ) -> Result<Vec<T>, E>
    where
        T: Serialize + DeserializeOwned,
    {
        if self.is_alone() {
            return (0..count).map(make).collect();
        }
        let own: Vec<T> = self.own(count).map(&mut make).collect::<Result<_, E>>()?;
        let mut all: Vec<_> = self.gather(&own).into_iter().map(Vec::into_iter).collect();
        let size = self.size();
        Ok((0..count)
            .map(|index| all[index % size].next().expect("each rank made its own"))
            .collect())
    }

    /// A value of every rank, in their order.
    pub fn gather<T: Serialize + DeserializeOwned>(self, value: &T) -> Vec<T> {
        let bytes = serde_json::to_vec(value).expect("what ranks gather is plain data");
        let all = self.0.collective.gather(bytes);
        let read = |bytes: Vec<u8>| serde_json::from_slice(&bytes);
        all.into_iter()
            .map(|bytes| read(bytes).expect("ranks of one version speak alike"))
            .collect()
    }

    /// The value of rank 0; that of the others is made for nothing.
    pub fn broadcast<T: Serialize + DeserializeOwned>(self, value: T) -> T {
        if self.is_alone() {
            return value;
        }
        let mut bytes = serde_json::to_vec(&value).expect("what ranks say is plain data");
        self.0.collective.broadcast(&mut bytes);
        serde_json::from_slice(&bytes).expect("ranks of one version speak alike")
    }

    /// Bytes of rank 0; those of the others are replaced.
    pub fn broadcast_bytes(self, mut bytes: Vec<u8>) -> Vec<u8> {
        if !self.is_alone() {
            self.0.collective.broadcast(&mut bytes);
        }
        bytes
    }

    /// Whether it is so on any rank.
    pub fn any(self, here: bool) -> bool {
        self.sum([f64::from(u8::from(here))]) != [0.0]
    }

    /// Waits until all ranks are here.
    pub fn barrier(self) {
        if !self.is_alone() {
            self.0.collective.barrier();
        }
    }

    /// Whether to stop, if this rank was asked to or not. Alone that is all there is to it; else the others hear of it
    /// with the next sum of gradients, and the answer is what all knew as of the last: the same on all ranks.
    pub fn stop(self, asked: bool) -> bool {
        if self.is_alone() {
            return asked;
        }
        self.0.asked.store(asked, Ordering::Relaxed);
        self.0.agreed.load(Ordering::Relaxed)
    }

    /// The device of this rank: that of the name, or without an index in it, where there are other ranks, the one that
    /// has the number of this rank among those of its machine.
    ///
    /// # Errors
    /// If there is no such device.
    pub fn device(self, name: &str) -> Result<Device, NnError> {
        if self.is_alone() || name == "cpu" || name.contains(':') {
            return creamery_nn::device(name);
        }
        let own = format!("{name}:{}", self.0.collective.local_rank());
        creamery_nn::device(&own)
    }

    /// Bytes that this rank has given to sums of gradients so far.
    pub fn summed_bytes(self) -> u64 {
        self.0.summed.load(Ordering::Relaxed)
    }
}

/// The sums that batch norms need; see [`creamery_nn::Norm::Synchronised`].
impl Across for Job {
    fn parts(&self) -> usize {
        self.collective.size()
    }

    fn sum(&self, values: &mut Vec<f64>) {
        self.collective.sum(values);
    }
}

impl Ranks {
    /// Refuses synchronised norms where the device does not have them for a layer.
    ///
    /// # Errors
    /// [`ConfigError::Value`] that names the layer.
    pub fn check_norm<'l>(
        self,
        synchronised: bool,
        device: &Device,
        layers: impl IntoIterator<Item = &'l Layer>,
    ) -> Result<(), ConfigError> {
        if self.norm(synchronised) == Norm::Batch {
            return Ok(());
        }
        let mut layers = layers.into_iter();
        match layers.find(|layer| !ops::synchronises(device, &layer.spec)) {
            None => Ok(()),
            Some(layer) => Err(ConfigError::Value(format!(
                "`train.sync_norm` is on, but norms are synchronised by the CPU's own operators only, which do not compute layer `{}` here: leave it off",
                layer.name
            ))),
        }
    }

    /// Batch norm by the statistics of the whole batch, if `synchronised` asks for it and there are other ranks, else
    /// of this rank's portion.
    pub fn norm(self, synchronised: bool) -> Norm {
        match synchronised && !self.is_alone() {
            true => Norm::Synchronised(Everywhere(self.0)),
            false => Norm::Batch,
        }
    }
}
