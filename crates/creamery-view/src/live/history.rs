//! What a run did so far, as far as the view shows it.

use std::time::{Duration, Instant};

use creamery_train::event::{BoardRow, Event, Images};

use crate::standing::Standing;

/// Points that a curve keeps: more than a terminal has columns.
const POINTS: usize = 512;
/// Warnings that are kept.
const WARNINGS: usize = 50;

/// A curve over the whole of a run in bounded memory: when it is full, every two neighbours become their mean, and
/// from then on twice as many values make a point.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    points: Vec<(f64, f64)>,
    /// Values that make a point.
    stride: usize,
    sum: f64,
    count: usize,
}

impl Default for Curve {
    fn default() -> Self {
        Self {
            points: Vec::new(),
            stride: 1,
            sum: 0.0,
            count: 0,
        }
    }
}

impl Curve {
    pub fn push(&mut self, x: f64, y: f64) {
        if !y.is_finite() {
            return;
        }
        self.sum += y;
        self.count += 1;
        if self.count < self.stride {
            return;
        }
        self.points.push((x, self.sum / self.count as f64));
        (self.sum, self.count) = (0.0, 0);
        if self.points.len() == POINTS {
            self.points = (self.points.chunks_exact(2))
                .map(|two| (two[1].0, (two[0].1 + two[1].1) / 2.0))
                .collect();
            self.stride *= 2;
        }
    }

    pub fn points(&self) -> &[(f64, f64)] {
        &self.points
    }
}

/// What a run did so far.
#[derive(Clone, Debug)]
pub(super) struct History {
    pub title: String,
    pub standing: Standing,
    since: Instant,
    pub images: Option<Images>,
    pub epochs: u64,
    pub steps_per_epoch: u64,
    /// Over epochs: the loss of the steps, their top-1, and that of the images held out.
    pub loss: Curve,
    pub top1: Curve,
    pub validation: Curve,
    pub lr: Curve,
    /// The weight of the teacher over epochs.
    pub rho: Curve,
    /// The latest, as it was.
    pub last_rho: Option<f64>,
    pub board: Vec<BoardRow>,
    /// Evaluations of the selection: MACs in millions and top-1.
    pub evaluated: Vec<(f64, f64)>,
    pub warnings: Vec<String>,
}

impl History {
    pub fn new(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            standing: Standing::default(),
            since: Instant::now(),
            images: None,
            epochs: 0,
            steps_per_epoch: 0,
            loss: Curve::default(),
            top1: Curve::default(),
            validation: Curve::default(),
            lr: Curve::default(),
            rho: Curve::default(),
            last_rho: None,
            board: Vec::new(),
            evaluated: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Since this process took the run up, or began to select.
    pub fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    pub fn update(&mut self, event: &Event) {
        match event {
            Event::Started {
                epochs,
                steps_per_epoch,
                images,
                ..
            } => {
                self.since = Instant::now();
                self.images = Some(*images);
                (self.epochs, self.steps_per_epoch) = (*epochs, *steps_per_epoch);
            }
            Event::Step {
                step,
                loss,
                top1,
                lr,
                teacher,
                ..
            } => {
                let at = (step + 1) as f64 / self.steps_per_epoch.max(1) as f64;
                self.loss.push(at, *loss);
                self.top1.push(at, *top1);
                self.lr.push(at, *lr);
                if let Some(teacher) = teacher {
                    self.last_rho = Some(teacher.rho);
                    self.rho.push(at, teacher.rho);
                }
            }
            Event::Board { board, .. } => self.board.clone_from(board),
            Event::Epoch {
                epoch, validation, ..
            } => {
                if let Some(accuracy) = validation {
                    self.validation.push((epoch + 1) as f64, accuracy.top1);
                }
            }
            Event::Evaluated {
                cost,
                top1,
                done,
                known,
                ..
            } => {
                if *done == 1 || *known {
                    self.since = Instant::now();
                }
                self.evaluated.push((cost.macs as f64 / 1e6, *top1));
            }
            Event::Warning { message } if self.warnings.len() < WARNINGS => {
                self.warnings.push(message.clone());
            }
            Event::Warning { .. }
            | Event::Meta { .. }
            | Event::Checkpoint { .. }
            | Event::Finished { .. } => {}
        }
        self.standing.update(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_stays_bounded_and_keeps_its_mean() {
        let mut curve = Curve::default();
        let count = 100_000;
        for i in 0..count {
            curve.push(f64::from(i), f64::from(i % 10));
        }
        assert!(curve.points().len() < POINTS && curve.points().len() >= POINTS / 4);
        assert!(curve.points().is_sorted_by(|a, b| a.0 < b.0));
        let last = curve.points().last().unwrap().0;
        assert!(last > f64::from(count) * 0.99, "{last}");
        for (_, y) in &curve.points()[1..] {
            assert!((y - 4.5).abs() < 0.1, "{y}");
        }
    }

    #[test]
    fn what_is_no_number_is_left_out() {
        let mut curve = Curve::default();
        curve.push(1.0, f64::NAN);
        curve.push(2.0, 1.0);
        assert_eq!(curve.points(), [(2.0, 1.0)]);
    }
}
