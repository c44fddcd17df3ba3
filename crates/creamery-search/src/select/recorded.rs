//! Evaluations that are remembered, told and stopped.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};

use creamery_space::Architecture;
use creamery_train::TrainError;
use creamery_train::event::{Event, Events};

use super::{Candidates, Evaluate, EvaluationLog, Halt, Scored};

/// Lets another [`Evaluate`] evaluate what the log does not know, and adds it there; tells every path once as
/// an [`Event::Evaluated`]; stops when asked to.
pub struct Recorded<'a> {
    /// What evaluates.
    pub inner: &'a mut dyn Evaluate,
    /// What was evaluated so far.
    pub log: EvaluationLog,
    /// What knows the cost of paths.
    pub candidates: &'a Candidates,
    /// Evaluations in all, at most.
    pub of: usize,
    /// Who is told.
    pub events: &'a mut Events,
    /// Asks to stop before the next evaluation.
    pub stop: &'a AtomicBool,
    /// The paths that this selection has asked about.
    pub asked: HashSet<Architecture>,
}

impl Evaluate for Recorded<'_> {
    fn top1(&mut self, architecture: &Architecture) -> Result<f64, Halt> {
        if self.stops(self.stop.load(Ordering::Relaxed)) {
            return Err(Halt::Stopped);
        }
        let known = self.log.get(architecture);
        let top1 = match known {
            Some(top1) => top1,
            None => self.inner.top1(architecture)?,
        };
        if !self.asked.insert(architecture.clone()) {
            return Ok(top1);
        }
        let scored = Scored {
            architecture: architecture.clone(),
            cost: self.candidates.cost(architecture),
            top1,
        };
        if known.is_none() {
            self.log.add(&scored).map_err(TrainError::from)?;
        }
        let event = Event::Evaluated {
            architecture: scored.architecture,
            cost: scored.cost,
            top1,
            done: self.asked.len(),
            of: self.of,
            known: known.is_some(),
        };
        self.events.emit(event).map_err(TrainError::from)?;
        Ok(top1)
    }

    fn expect(&mut self, architectures: &[Architecture]) {
        let unknown = architectures.iter();
        let unknown: Vec<_> = unknown
            .filter(|architecture| self.log.get(architecture).is_none())
            .cloned()
            .collect();
        self.inner.expect(&unknown);
    }

    fn stops(&mut self, asked: bool) -> bool {
        self.inner.stops(asked)
    }
}
