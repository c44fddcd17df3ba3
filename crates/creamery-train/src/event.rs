//! Everything that happens in a run, as one stream.
//!
//! Whoever wants to know (a progress bar, the metrics file, later a dashboard) is an [`Observer`] of
//! this stream; nothing else reports.

use creamery_space::{Architecture, Cost};
use serde::{Deserialize, Serialize};

use crate::run::{MetricsFile, RunError};

/// Accuracy of a network on a split.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Accuracy {
    /// Share of the images whose first choice is right, in percent.
    pub top1: f64,
    /// Share of the images whose label is among the first five choices, in percent.
    pub top5: f64,
    /// Mean cross-entropy, without label smoothing.
    pub loss: f64,
    /// Number of images.
    pub images: usize,
}

/// One entry of a prioritized board, as observers see it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoardRow {
    /// The path.
    pub architecture: Architecture,
    /// Confirmed top-1 on held-out images, in percent.
    pub score: f64,
    /// What the path costs.
    pub cost: Cost,
    /// The step at which it entered.
    pub entered: u64,
    /// How often it was the teacher.
    pub taught: u64,
    /// The bucket of the budget that it belongs to, counted from 0.
    pub bucket: usize,
}

/// Something that happened in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// A run starts or goes on.
    Started {
        /// `search` or `retrain`.
        task: String,
        /// Epochs in all.
        epochs: u64,
        /// Steps of one epoch.
        steps_per_epoch: u64,
        /// Images of a step.
        batch: usize,
        /// The step at which it goes on, 0 for a new run.
        step: u64,
        /// Images trained on, held out, and kept for the report.
        images: Images,
    },
    /// A training step.
    Step {
        /// Counted from 0 over the whole run.
        step: u64,
        /// Counted from 0.
        epoch: u64,
        /// Loss of the batch before the update.
        loss: f64,
        /// Top-1 of the batch before the update, in percent.
        top1: f64,
        /// Learning rate.
        lr: f64,
        /// Global norm of the gradient before clipping.
        grad_norm: f64,
        /// MACs of the path trained.
        macs: u64,
        /// Distillation, where the path had a teacher.
        #[serde(skip_serializing_if = "Option::is_none")]
        teacher: Option<Teacher>,
    },
    /// The meta network learned.
    Meta {
        /// The step.
        step: u64,
        /// Cross-entropy on held-out images after the inner step.
        loss: f64,
        /// Derivative of that loss with respect to rho.
        gradient: f64,
        /// The weight that the teacher had.
        rho: f64,
    },
    /// The prioritized board changed, or its entries were scored again.
    Board {
        /// The step.
        step: u64,
        /// All entries, best first.
        board: Vec<BoardRow>,
    },
    /// An epoch ended.
    Epoch {
        /// Counted from 0.
        epoch: u64,
        /// Mean loss of the epoch's steps.
        loss: f64,
        /// Mean top-1 of the epoch's steps, in percent.
        top1: f64,
        /// Training images per second, everything included.
        images_per_second: f64,
        /// Seconds of the epoch in which the next batch was not ready yet.
        #[serde(default)]
        data_wait: f64,
        /// Accuracy on held-out images, where the task measures it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        validation: Option<Accuracy>,
        /// That of the weights as they are trained, where a moving average of them is handed out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        raw: Option<Accuracy>,
        /// Bytes of gradients that each rank sums with the others in a step of this epoch, where there are others.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        summed_bytes: Option<u64>,
    },
    /// A selector evaluated a path of the trained supernet.
    Evaluated {
        /// The path.
        architecture: Architecture,
        /// What it costs.
        cost: Cost,
        /// Its top-1 on held-out images, in percent.
        top1: f64,
        /// Paths evaluated so far, this one and those of earlier processes included.
        done: usize,
        /// Paths that will be evaluated at most.
        of: usize,
        /// Whether an earlier process evaluated it. Not written: a resumed run's events read like those of one
        /// that was never interrupted.
        #[serde(skip)]
        known: bool,
    },
    /// The state was saved.
    Checkpoint {
        /// The step that a resumed run would do next.
        step: u64,
    },
    /// Something the user should know.
    Warning {
        /// In a sentence.
        message: String,
    },
    /// The run is done.
    Finished {
        /// Steps in all.
        steps: u64,
        /// Seconds of work, over all resumptions.
        seconds: f64,
    },
}

/// Who taught a step.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Teacher {
    /// Its place on the board, best first.
    pub rank: usize,
    /// The weight of its distillation, in (0, 1).
    pub rho: f64,
}

/// How many images a run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Images {
    /// To train on.
    pub train: usize,
    /// Held out of training, to choose by.
    pub validation: usize,
    /// For the final report only.
    pub test: usize,
}

/// Someone who watches a run.
pub trait Observer {
    /// Called for every event, in order, on the training thread.
    fn observe(&mut self, event: &Event);
}

/// The observers of a run, and its metrics file.
#[derive(Default)]
pub struct Events {
    observers: Vec<Box<dyn Observer>>,
    metrics: Option<MetricsFile>,
}

impl Events {
    /// Adds an observer.
    pub fn add(&mut self, observer: impl Observer + 'static) {
        self.observers.push(Box::new(observer));
    }

    /// Tells all observers and writes the event to the run's metrics.
    ///
    /// # Errors
    /// If the metrics cannot be written.
    pub fn emit(&mut self, event: Event) -> Result<(), RunError> {
        for observer in &mut self.observers {
            observer.observe(&event);
        }
        match &mut self.metrics {
            Some(file) => file.write(&event),
            None => Ok(()),
        }
    }

    /// Sets the file that keeps the events from now on.
    pub fn record_in(&mut self, metrics: MetricsFile) {
        self.metrics = Some(metrics);
    }

    /// How far the metrics file reaches, in bytes; 0 if there is none.
    pub fn recorded_bytes(&self) -> u64 {
        self.metrics.as_ref().map_or(0, MetricsFile::bytes)
    }
}
