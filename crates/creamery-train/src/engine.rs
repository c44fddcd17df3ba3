//! The one loop that trains: epochs, steps, checkpoints, resumption, interruption.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use creamery_data::{Batch, Loader, Pipeline, Split};
use serde::{Deserialize, Serialize};

use crate::collective::Ranks;
use crate::event::{Accuracy, Event, Events, Images, Teacher};
use crate::memory::peak_memory;
use crate::run::MetricsFile;
use crate::{
    Checkpoint, CheckpointError, DataSettings, Identity, RunData, RunError, RunFolder, TrainError,
    TrainSettings,
};

/// What is trained: a supernet by a strategy, or a single network.
///
/// A task owns all the state that its steps depend on and can save and load it; the engine owns the
/// position in the data and in time.
pub trait Task {
    /// `search` or `retrain`.
    fn name(&self) -> &'static str;

    /// One training step on a batch.
    ///
    /// # Errors
    /// If the step fails; the state is then not used again.
    fn step(
        &mut self,
        at: Position,
        batch: &Batch,
        events: &mut Events,
    ) -> Result<StepReport, TrainError>;

    /// What follows the last step of an epoch. `at` is the position of the next step.
    ///
    /// # Errors
    /// If it fails; the state is then not used again.
    fn end_epoch(&mut self, at: Position, events: &mut Events) -> Result<Validation, TrainError>;

    /// Whether there is nothing more to gain, so that no further epoch begins.
    fn is_done(&self) -> bool {
        false
    }

    /// Adds all state to a checkpoint.
    fn save(&self, checkpoint: &mut Checkpoint);

    /// Takes all state out of a checkpoint.
    ///
    /// # Errors
    /// If the checkpoint lacks a part or holds one of another form.
    fn load(&mut self, checkpoint: &mut Checkpoint) -> Result<(), TrainError>;
}

/// Accuracy on held-out images at the end of an epoch, where the task measures it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Validation {
    /// Of the network that would be handed out.
    pub accuracy: Option<Accuracy>,
    /// Of the weights as they are trained, where others are handed out.
    pub raw: Option<Accuracy>,
}

/// Where in a training a step is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// Counted from 0.
    pub epoch: u64,
    /// Within the epoch, counted from 0.
    pub batch: u64,
    /// Over the whole training, counted from 0.
    pub step: u64,
}

/// What a step tells.
#[derive(Clone, Copy, Debug)]
pub struct StepReport {
    /// Loss of the batch before the update.
    pub loss: f64,
    /// Images of the batch whose first choice was right before the update.
    pub correct: usize,
    /// Learning rate.
    pub lr: f64,
    /// Global norm of the gradient before clipping.
    pub grad_norm: f64,
    /// MACs of the path trained.
    pub macs: u64,
    /// Who taught, if anyone.
    pub teacher: Option<Teacher>,
}

/// What the engine needs to know of a training.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Images to train on.
    pub train: Split,
    /// Images held out, counted for the events.
    pub validation_images: usize,
    /// Images for the final report, counted for the events.
    pub test_images: usize,
    /// How images become tensors.
    pub pipeline: Pipeline,
    /// Epochs in all.
    pub epochs: u64,
    /// Images per step.
    pub batch: usize,
    /// The run's seed, which orders the images.
    pub seed: u64,
    /// Threads that load ahead.
    pub workers: usize,
    /// The longest time between two checkpoints. The end of an epoch always makes one.
    pub checkpoint_every: Duration,
    /// What a run must share with the one that it resumes.
    pub identity: Identity,
    /// Who trains together.
    pub ranks: Ranks,
}

impl Plan {
    /// The plan of a run on `data`, which was opened by the settings `source`.
    pub fn new(
        data: &RunData,
        source: &DataSettings,
        train: &TrainSettings,
        seed: u64,
        identity: Identity,
    ) -> Self {
        Self {
            train: data.train.clone(),
            validation_images: data.validation_images(),
            test_images: data.set.test.len(),
            pipeline: data.pipeline.clone(),
            epochs: train.epochs,
            batch: train.batch,
            seed,
            workers: source.workers,
            checkpoint_every: train.checkpoint_every(),
            identity,
            ranks: data.ranks,
        }
    }

    /// Steps of one epoch; what does not fill a batch is left out of it.
    pub fn steps_per_epoch(&self) -> u64 {
        (self.train.len() / self.batch.max(1)) as u64
    }

    /// Steps in all.
    pub fn steps(&self) -> u64 {
        self.steps_per_epoch() * self.epochs
    }

    /// Refuses images that do not fill one batch, and batches that the ranks do not share evenly.
    ///
    /// # Errors
    /// [`TrainError::SmallerThanBatch`], [`TrainError::Uneven`].
    pub fn check(&self) -> Result<(), TrainError> {
        if self.batch == 0 || self.train.len() < self.batch {
            return Err(TrainError::SmallerThanBatch {
                images: self.train.len(),
                batch: self.batch,
            });
        }
        let (ranks, batch) = (self.ranks.size(), self.batch);
        if !batch.is_multiple_of(ranks) {
            let mend = (batch + ranks / 2) / ranks * ranks;
            return Err(TrainError::Uneven {
                ranks,
                batch,
                mend: mend.max(ranks),
            });
        }
        Ok(())
    }
}

/// How a training ended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ended {
    /// All epochs are done.
    Finished(Timing),
    /// It was asked to stop and saved its state; the next step would be this one.
    Stopped {
        /// The step.
        step: u64,
    },
}

/// The time that a training took, over all resumptions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Timing {
    /// Seconds of work.
    pub seconds: f64,
    /// Training images per second.
    pub images_per_second: f64,
    /// Seconds of it in which the next batch was not ready yet.
    #[serde(default)]
    pub data_wait: f64,
    /// The most memory that a process of it held, in bytes; 0 where the system does not tell.
    #[serde(default)]
    pub peak_memory_bytes: u64,
}

/// The engine's own state.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Progress {
    at: Position,
    /// Sums over the steps of the current epoch.
    loss: f64,
    correct: usize,
    seconds: f64,
    /// Seconds at the start of the current epoch.
    epoch_seconds: f64,
    /// Of `seconds`, those spent waiting for batches.
    #[serde(default)]
    data_wait: f64,
    /// That at the start of the current epoch.
    #[serde(default)]
    epoch_data_wait: f64,
    metrics_bytes: u64,
    /// Over all resumptions.
    #[serde(default)]
    peak_memory_bytes: u64,
    /// Whether the current position comes after an epoch whose end was not worked off yet.
    epoch_pending: bool,
}

/// Where the run in a folder keeps its checkpoint.
pub fn checkpoint_path(run: &Path) -> PathBuf {
    run.join("checkpoint").join("latest.safetensors")
}

/// Where the training was that a checkpoint is of.
///
/// # Errors
/// [`CheckpointError::Part`] if the checkpoint does not say.
pub fn position(checkpoint: &Checkpoint) -> Result<Position, CheckpointError> {
    Ok(checkpoint.get::<Progress>("engine")?.at)
}

/// Trains `task` as `plan` says, from the run's checkpoint if there is one.
///
/// The state is saved at the end of each epoch, at least every [`Plan::checkpoint_every`], and when
/// `stop` becomes true; a run that goes on from any of these ends in the same bits as one that was never
/// interrupted.
///
/// # Errors
/// If a step fails, the data cannot be read, the state cannot be saved, the checkpoint does not fit, or
/// the loss is not finite.
pub fn train(
    task: &mut dyn Task,
    plan: &Plan,
    run: &RunFolder,
    events: &mut Events,
    stop: &AtomicBool,
) -> Result<Ended, TrainError> {
    plan.check()?;
    let mut engine = Engine::start(task, plan, run, events)?;
    match engine.work(stop) {
        Err(TrainError::NotFinite {
            what,
            value,
            step,
            lr,
            ..
        }) => Err(TrainError::NotFinite {
            what,
            value,
            step,
            lr,
            last_good: Some(checkpoint_path(run.path())).filter(|path| path.exists()),
        }),
        other => other,
    }
}

struct Engine<'a> {
    task: &'a mut dyn Task,
    plan: &'a Plan,
    run: &'a RunFolder,
    events: &'a mut Events,
    progress: Progress,
    /// The end of the time that `progress.seconds` counts.
    clock: Instant,
    saved: Instant,
    /// Bytes that ranks have summed up to the start of the epoch, and the steps of it done by this process.
    summed: (u64, u64),
}

impl<'a> Engine<'a> {
    fn start(
        task: &'a mut dyn Task,
        plan: &'a Plan,
        run: &'a RunFolder,
        events: &'a mut Events,
    ) -> Result<Self, TrainError> {
        let path = checkpoint_path(run.path());
        let mut progress = Progress::default();
        if let Some(mut checkpoint) = load(&path, plan.ranks)? {
            plan.identity.check(&checkpoint.get("identity")?)?;
            progress = checkpoint.get("engine")?;
            task.load(&mut checkpoint)?;
        }
        if run.is_writer() {
            events.record_in(MetricsFile::open(run, progress.metrics_bytes)?);
        }
        let engine = Self {
            task,
            plan,
            run,
            events,
            progress,
            clock: Instant::now(),
            saved: Instant::now(),
            summed: (plan.ranks.summed_bytes(), 0),
        };
        engine.events.emit(Event::Started {
            task: engine.task.name().to_owned(),
            epochs: plan.epochs,
            steps_per_epoch: plan.steps_per_epoch(),
            batch: plan.batch,
            step: engine.progress.at.step,
            images: Images {
                train: plan.train.len(),
                validation: plan.validation_images,
                test: plan.test_images,
            },
        })?;
        Ok(engine)
    }

    fn work(&mut self, stop: &AtomicBool) -> Result<Ended, TrainError> {
        loop {
            if self.progress.epoch_pending {
                self.end_epoch()?;
            }
            if self.progress.at.epoch >= self.plan.epochs || self.task.is_done() {
                break;
            }
            let at = self.progress.at;
            let mut loader = Loader::train(
                &self.plan.train,
                &self.plan.pipeline,
                self.plan.ranks.portion(self.plan.batch),
                self.plan.seed,
                at.epoch,
                at.batch,
                self.plan.workers,
            )?;
            while self.progress.at.epoch == at.epoch {
                if self.plan.ranks.stop(stop.load(Ordering::Relaxed)) {
                    self.checkpoint()?;
                    return Ok(Ended::Stopped {
                        step: self.progress.at.step,
                    });
                }
                let asked = Instant::now();
                let batch = loader.next().expect("training batches have no end")?;
                self.progress.data_wait += asked.elapsed().as_secs_f64();
                self.step(&batch)?;
                if !self.progress.epoch_pending
                    && self.saved.elapsed() >= self.plan.checkpoint_every
                {
                    self.checkpoint()?;
                }
            }
        }
        self.tick();
        let Progress {
            seconds,
            data_wait,
            peak_memory_bytes,
            ..
        } = self.progress;
        let steps = self.progress.at.step;
        self.events.emit(Event::Finished { steps, seconds })?;
        let images = steps * self.plan.batch as u64;
        Ok(Ended::Finished(Timing {
            seconds,
            images_per_second: rate(images, seconds),
            data_wait,
            peak_memory_bytes,
        }))
    }

    fn step(&mut self, batch: &Batch) -> Result<(), TrainError> {
        let at = self.progress.at;
        let report = self.task.step(at, batch, self.events)?;
        self.progress.loss += report.loss;
        self.progress.correct += report.correct;
        self.events.emit(Event::Step {
            step: at.step,
            epoch: at.epoch,
            loss: report.loss,
            top1: percent(report.correct, self.plan.batch),
            lr: report.lr,
            grad_norm: report.grad_norm,
            macs: report.macs,
            teacher: report.teacher,
        })?;
        self.summed.1 += 1;
        let next = &mut self.progress.at;
        next.step += 1;
        next.batch += 1;
        if next.batch == self.plan.steps_per_epoch() {
            next.batch = 0;
            next.epoch += 1;
            self.progress.epoch_pending = true;
        }
        Ok(())
    }

    fn end_epoch(&mut self) -> Result<(), TrainError> {
        let at = self.progress.at;
        let Validation { accuracy, raw } = self.task.end_epoch(at, self.events)?;
        self.compare_ranks(at.epoch - 1)?;
        self.tick();
        let steps = self.plan.steps_per_epoch();
        let images = steps * self.plan.batch as u64;
        let seconds = self.progress.seconds - self.progress.epoch_seconds;
        let summed_bytes = self.summed_bytes();
        self.events.emit(Event::Epoch {
            epoch: at.epoch - 1,
            loss: self.progress.loss / steps as f64,
            top1: percent(self.progress.correct, images as usize),
            images_per_second: rate(images, seconds),
            data_wait: self.progress.data_wait - self.progress.epoch_data_wait,
            validation: accuracy,
            raw,
            summed_bytes,
        })?;
        self.progress.loss = 0.0;
        self.progress.correct = 0;
        self.progress.epoch_seconds = self.progress.seconds;
        self.progress.epoch_data_wait = self.progress.data_wait;
        self.progress.epoch_pending = false;
        self.checkpoint()
    }

    /// Bytes of gradients that a rank has summed with others in a step since the last call.
    fn summed_bytes(&mut self) -> Option<u64> {
        let ranks = self.plan.ranks;
        let (before, steps) = std::mem::replace(&mut self.summed, (ranks.summed_bytes(), 0));
        let bytes = ranks.summed_bytes() - before;
        (!ranks.is_alone() && steps > 0).then(|| bytes / steps)
    }

    /// Refuses to go on, or to save anything, if a rank's state is no longer that of the others.
    fn compare_ranks(&self, epoch: u64) -> Result<(), TrainError> {
        let ranks = self.plan.ranks;
        if ranks.is_alone() {
            return Ok(());
        }
        let mut state = Checkpoint::default();
        self.task.save(&mut state);
        let mut hashes = ranks.gather(&state.fingerprint()).into_iter().enumerate();
        let expected = hashes.next().map(|(_, hash)| hash).unwrap_or_default();
        match hashes.find(|(_, hash)| *hash != expected) {
            None => Ok(()),
            Some((rank, found)) => Err(TrainError::Drifted {
                rank,
                epoch,
                found,
                expected,
            }),
        }
    }

    fn checkpoint(&mut self) -> Result<(), TrainError> {
        self.tick();
        self.events.emit(Event::Checkpoint {
            step: self.progress.at.step,
        })?;
        if !self.run.is_writer() {
            return Ok(());
        }
        self.progress.metrics_bytes = self.events.recorded_bytes();
        let mut checkpoint = Checkpoint::default();
        checkpoint.put("engine", &self.progress);
        checkpoint.put("identity", &self.plan.identity);
        self.task.save(&mut checkpoint);
        checkpoint
            .save(&checkpoint_path(self.run.path()))
            .map_err(|e: CheckpointError| TrainError::from(e))?;
        self.saved = Instant::now();
        Ok(())
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.progress.seconds += now.duration_since(self.clock).as_secs_f64();
        self.clock = now;
        let peak = &mut self.progress.peak_memory_bytes;
        *peak = (*peak).max(peak_memory());
    }
}

/// The run's checkpoint, if it has one: rank 0 reads it for all.
fn load(path: &Path, ranks: Ranks) -> Result<Option<Checkpoint>, CheckpointError> {
    if !ranks.broadcast(path.exists()) {
        return Ok(None);
    }
    if ranks.is_alone() {
        return Checkpoint::load(path).map(Some);
    }
    let bytes = match ranks.is_root() {
        true => std::fs::read(path).map_err(|e| RunError::io("read", path, e))?,
        false => Vec::new(),
    };
    Checkpoint::from_bytes(path, &ranks.broadcast_bytes(bytes)).map(Some)
}

fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}

fn rate(images: u64, seconds: f64) -> f64 {
    if seconds > 0.0 {
        images as f64 / seconds
    } else {
        0.0
    }
}
