//! What a run did so far, as far as the view shows it.

use std::time::{Duration, Instant};

use creamery_train::event::{BoardRow, Event, Images};

use crate::record::Curve;
use crate::standing::Standing;

/// Buckets that a curve keeps: more than a terminal has columns.
const POINTS: usize = 512;
/// Points of a curve that are drawn, at most.
const DRAWN: usize = 60;
/// Warnings that are kept.
const WARNINGS: usize = 50;

/// What a run did so far.
#[derive(Clone, Debug)]
pub(super) struct History {
    pub title: String,
    pub standing: Standing,
    since: Instant,
    pub images: Option<Images>,
    pub epochs: u64,
    steps_per_epoch: u64,
    batch: usize,
    /// The share of the last epoch in which the training waited for images.
    pub waited: Option<f64>,
    /// The loss of the steps, their top-1, and that of the images held out.
    pub loss: Curve,
    pub top1: Curve,
    pub validation: Curve,
    pub lr: Curve,
    /// The weight of the teacher.
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
        let curve = || Curve::new(POINTS);
        Self {
            title: title.to_owned(),
            standing: Standing::default(),
            since: Instant::now(),
            images: None,
            epochs: 0,
            steps_per_epoch: 0,
            batch: 0,
            waited: None,
            loss: curve(),
            top1: curve(),
            validation: curve(),
            lr: curve(),
            rho: curve(),
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

    /// A curve over epochs, as the means of neighbours: what single batches say jumps too much to be read.
    pub fn points(&self, curve: &Curve) -> Vec<(f64, f64)> {
        let steps = self.steps_per_epoch.max(1) as f64;
        let neighbours = curve.buckets().len().div_ceil(DRAWN).max(1);
        let chunks = curve.buckets().chunks(neighbours);
        chunks
            .map(|chunk| {
                let mut all = chunk[0];
                chunk[1..].iter().for_each(|next| all.take_in(next));
                let middle = (all.first + all.last) as f64 / 2.0;
                ((middle + 1.0) / steps, all.mean)
            })
            .collect()
    }

    pub fn update(&mut self, event: &Event) {
        match event {
            Event::Started {
                epochs,
                steps_per_epoch,
                images,
                batch,
                ..
            } => {
                self.since = Instant::now();
                self.images = Some(*images);
                (self.epochs, self.steps_per_epoch) = (*epochs, *steps_per_epoch);
                self.batch = *batch;
            }
            Event::Step {
                step,
                loss,
                top1,
                lr,
                teacher,
                ..
            } => {
                self.loss.push(*step, *loss);
                self.top1.push(*step, *top1);
                self.lr.push(*step, *lr);
                if let Some(teacher) = teacher {
                    self.last_rho = Some(teacher.rho);
                    self.rho.push(*step, teacher.rho);
                }
            }
            Event::Board { board, .. } => self.board.clone_from(board),
            Event::Epoch {
                epoch,
                validation,
                images_per_second,
                data_wait,
                ..
            } => {
                if let Some(accuracy) = validation {
                    let last = ((epoch + 1) * self.steps_per_epoch).saturating_sub(1);
                    self.validation.push(last, accuracy.top1);
                }
                let images = self.steps_per_epoch as f64 * self.batch as f64;
                let share = data_wait * images_per_second / images;
                self.waited = Some(share).filter(|share| share.is_finite());
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
