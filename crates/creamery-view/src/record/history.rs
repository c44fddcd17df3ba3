//! What the events of a run come to.

use std::collections::BTreeMap;

use creamery_train::event::Images;

use super::board::BoardHistory;
use super::curve::Curve;
use super::evaluations::{Evaluation, Evaluations};
use super::line::{self, Line};

/// Buckets of a curve over all steps.
const CURVE: usize = 2048;
/// Epochs that are kept, at most.
const MOST_EPOCHS: usize = 10_000;
/// Warnings that are kept, at most.
const MOST_WARNINGS: usize = 100;
/// Unknown kinds of events that are told by name, at most.
const MOST_KINDS: usize = 8;

/// How a run was started or gone on with.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// `search` or `retrain`.
    pub task: String,
    /// Epochs in all.
    pub epochs: u64,
    /// Steps of one epoch.
    pub steps_per_epoch: u64,
    /// Images of a step.
    pub batch: usize,
    /// The step at which it went on, 0 for a new run.
    pub step: u64,
    /// Images trained on, held out, and kept for the report.
    pub images: Option<Images>,
}

impl Start {
    /// Steps of the whole run.
    pub fn steps(&self) -> u64 {
        self.epochs.saturating_mul(self.steps_per_epoch)
    }
}

/// Accuracy as an epoch's end has it; numbers that were not finite are `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Measured {
    /// Share of the images whose first choice is right, in percent.
    pub top1: Option<f64>,
    /// Mean cross-entropy, without label smoothing.
    pub loss: Option<f64>,
}

/// An epoch that has ended; numbers that were not finite are `None`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EpochRecord {
    /// Counted from 0.
    pub epoch: u64,
    /// Mean loss of its steps.
    pub loss: Option<f64>,
    /// Mean top-1 of its steps, in percent.
    pub top1: Option<f64>,
    /// Training images per second, everything included.
    pub images_per_second: Option<f64>,
    /// Seconds that the training waited for images.
    pub data_wait: Option<f64>,
    /// On held-out images, where the task measures it.
    pub validation: Option<Measured>,
    /// That of the weights as they are trained, where a moving average of them is handed out.
    pub raw: Option<Measured>,
}

/// What the events of a run come to, in memory that does not depend on how many there are.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// The latest start.
    pub start: Option<Start>,
    /// How often the run was gone on with after it had been started.
    pub resumed: u64,
    /// Steps done.
    pub steps: u64,
    /// Loss of the batch before the update.
    pub loss: Curve,
    /// Top-1 of the batch before the update, in percent.
    pub top1: Curve,
    /// Learning rate.
    pub lr: Curve,
    /// Global norm of the gradient before clipping.
    pub grad_norm: Curve,
    /// MACs of the path trained.
    pub macs: Curve,
    /// The weight of distillation, in (0, 1), of steps that had a teacher.
    pub rho: Curve,
    /// The meta network's loss on held-out images.
    pub meta_loss: Curve,
    /// Its derivative with respect to rho.
    pub meta_gradient: Curve,
    /// Epochs that have ended; of more than 10,000 every second, or fewer.
    pub epochs: Vec<EpochRecord>,
    /// The prioritized board.
    pub board: BoardHistory,
    /// What selectors evaluated.
    pub evaluations: Evaluations,
    /// Warnings, the first hundred.
    pub warnings: Vec<String>,
    /// How many warnings there were.
    pub warned: u64,
    /// The step that a resumed run would do next.
    pub saved: Option<u64>,
    /// Steps in all and seconds of work over all resumptions, once the training is done.
    pub finished: Option<(u64, Option<f64>)>,
    /// Events that were understood.
    pub events: u64,
    /// Lines that were not understood, and the number of the first of them, counted from 1.
    pub(super) misread: (u64, u64),
    /// Values that were not finite.
    pub(super) not_finite: u64,
    /// Kinds of events that this version does not know, with how many there were.
    pub(super) unknown: BTreeMap<String, u64>,
    pub(super) unknown_events: u64,
}

impl Default for History {
    fn default() -> Self {
        let curve = || Curve::new(CURVE);
        Self {
            start: None,
            resumed: 0,
            steps: 0,
            loss: curve(),
            top1: curve(),
            lr: curve(),
            grad_norm: curve(),
            macs: curve(),
            rho: curve(),
            meta_loss: curve(),
            meta_gradient: curve(),
            epochs: Vec::new(),
            board: BoardHistory::default(),
            evaluations: Evaluations::default(),
            warnings: Vec::new(),
            warned: 0,
            saved: None,
            finished: None,
            events: 0,
            misread: (0, 0),
            not_finite: 0,
            unknown: BTreeMap::new(),
            unknown_events: 0,
        }
    }
}

impl History {
    /// Takes a line of `metrics.jsonl` in, the `number`th, counted from 1.
    pub(super) fn take_in(&mut self, bytes: &[u8], number: u64) {
        match line::parse(bytes) {
            Some(Line::Unknown(kind)) => self.unknown(&kind),
            Some(line) => {
                self.events += 1;
                if !self.update(line, bytes) {
                    self.misread(number);
                }
            }
            None => self.misread(number),
        }
    }

    /// Takes a line of `evaluations.jsonl` in.
    pub(super) fn take_in_evaluation(&mut self, bytes: &[u8], number: u64) {
        match line::parse_evaluation(bytes) {
            Some(evaluated) => self.evaluated(evaluated),
            None if number == 1 && line::is_identity(bytes) => {}
            None => self.misread(number),
        }
    }

    fn misread(&mut self, number: u64) {
        let (count, first) = self.misread;
        self.misread = (count + 1, if count == 0 { number } else { first });
    }

    fn unknown(&mut self, kind: &str) {
        self.unknown_events += 1;
        let kind: String = kind.chars().take(40).collect();
        if self.unknown.len() < MOST_KINDS || self.unknown.contains_key(&kind) {
            *self.unknown.entry(kind).or_default() += 1;
        }
    }

    /// Takes in an event, of which `bytes` is the line. `false` if a part was not understood.
    fn update(&mut self, line: Line<'_>, bytes: &[u8]) -> bool {
        match line {
            Line::Started(started) => self.started(started),
            Line::Step(step) => self.step(&step),
            Line::Meta(meta) => {
                self.push(|h| &mut h.meta_loss, meta.step, meta.loss);
                self.push(|h| &mut h.meta_gradient, meta.step, meta.gradient);
            }
            Line::Board(board) => return self.board.update(&board, bytes),
            Line::Epoch(epoch) => self.epoch(epoch),
            Line::Evaluated(evaluated) => self.evaluated(*evaluated),
            Line::Checkpoint(checkpoint) => self.saved = Some(checkpoint.step),
            Line::Warning(warning) => {
                self.warned += 1;
                if self.warnings.len() < MOST_WARNINGS {
                    // A message is a sentence; what is longer is none.
                    self.warnings
                        .push(warning.message.chars().take(2000).collect());
                }
            }
            Line::Finished(finished) => {
                self.finished = Some((finished.steps, finished.seconds));
            }
            Line::Unknown(_) => unreachable!("told before"),
        }
        true
    }

    fn started(&mut self, started: line::Started) {
        if self.start.is_some() {
            self.resumed += 1;
        }
        self.finished = None;
        self.steps = started.step;
        self.start = Some(Start {
            task: started.task.chars().take(40).collect(),
            epochs: started.epochs,
            steps_per_epoch: started.steps_per_epoch,
            batch: started.batch,
            step: started.step,
            images: started.images,
        });
    }

    fn step(&mut self, told: &line::Step) {
        let step = told.step;
        self.steps = step.saturating_add(1);
        self.push(|h| &mut h.loss, step, told.loss);
        self.push(|h| &mut h.top1, step, told.top1);
        self.push(|h| &mut h.lr, step, told.lr);
        self.push(|h| &mut h.grad_norm, step, told.grad_norm);
        self.push(|h| &mut h.macs, step, told.macs.map(|macs| macs as f64));
        if let Some(teacher) = told.teacher {
            self.rho.push(step, teacher.rho);
        }
        self.board.taught(step, told.teacher);
    }

    fn push(&mut self, curve: fn(&mut Self) -> &mut Curve, step: u64, value: Option<f64>) {
        match value.filter(|value| value.is_finite()) {
            Some(value) => curve(self).push(step, value),
            // Also where an older version has no such value; what matters is that loss went wrong.
            None => self.not_finite += 1,
        }
    }

    fn epoch(&mut self, told: line::Epoch) {
        let measured = |m: line::Measured| Measured {
            top1: m.top1,
            loss: m.loss,
        };
        let epoch = EpochRecord {
            epoch: told.epoch,
            loss: told.loss,
            top1: told.top1,
            images_per_second: told.images_per_second,
            data_wait: told.data_wait,
            validation: told.validation.map(measured),
            raw: told.raw.map(measured),
        };
        // A run that was stopped between two lines may tell of an epoch twice.
        while self
            .epochs
            .last()
            .is_some_and(|last| last.epoch >= epoch.epoch)
        {
            self.epochs.pop();
        }
        self.epochs.push(epoch);
        if self.epochs.len() > MOST_EPOCHS {
            let mut index = 0;
            self.epochs.retain(|_| {
                index += 1;
                index % 2 == 1
            });
        }
    }

    fn evaluated(&mut self, told: line::Evaluated) {
        self.evaluations.of = told.of.or(self.evaluations.of);
        self.evaluations.push(Evaluation {
            architecture: told.architecture,
            cost: told.cost,
            top1: told.top1,
        });
    }

    /// The share of the steps that is done, from 0 to 1; `None` if there are none or their number is not known.
    pub fn share_done(&self) -> Option<f64> {
        let all = self.start.as_ref()?.steps();
        (all > 0).then(|| (self.steps as f64 / all as f64).min(1.0))
    }

    /// The latest speed, in training images per second: that of the last epoch.
    pub fn images_per_second(&self) -> Option<f64> {
        self.epochs
            .iter()
            .rev()
            .find_map(|epoch| epoch.images_per_second)
    }

    /// Seconds that the rest of the training takes at the latest speed.
    pub fn seconds_left(&self) -> Option<f64> {
        let start = self.start.as_ref().filter(|_| self.finished.is_none())?;
        let rest = start.steps().checked_sub(self.steps)? as f64 * start.batch as f64;
        let seconds = rest / self.images_per_second().filter(|speed| *speed > 0.0)?;
        seconds.is_finite().then_some(seconds)
    }
}
