//! The strategy of Cream: one random path a step, taught by the prioritized paths.

mod several;

use std::rc::Rc;

use burn::tensor::Tensor;
use creamery_data::Batch;
use creamery_nn::Subnet;
use creamery_space::{Architecture, Sampler};
use creamery_train::collective::mean;
use creamery_train::engine::{Position, StepReport};
use creamery_train::event::{BoardRow, Event, Events, Teacher};
use creamery_train::{Checkpoint, TrainError};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::board::{Board, Entry};
use crate::config::CreamSettings;
use crate::judge::Judge;
use crate::matching::{Matching, choose};
use crate::meta::{Examples, MetaNetwork, rho_gradient_along, taught_targets, teaching_gradient};
use crate::passes::{Passes, Updated};
use crate::strategy::{Strategy, draw};
use crate::trainer::Trainer;

/// How fast the measure of usual batch accuracy follows.
const USUAL_MOMENTUM: f64 = 0.05;
/// Steps before that measure is trusted; until then every path may be confirmed.
const USUAL_STEPS: u64 = 16;

/// Prioritized paths, as "Cream of the Crop" has them.
pub struct Prioritized {
    settings: CreamSettings,
    judge: Rc<Judge>,
    /// One for each bucket of the budget.
    samplers: Vec<Sampler>,
    teachers_learn: bool,
    /// Paths of a step, each on a part of the batch.
    paths: usize,
    state: State,
}

/// All that the next step depends on beside the supernet.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct State {
    /// One for each bucket.
    boards: Vec<Board>,
    /// Made when the length of phi is known.
    meta: Option<MetaNetwork>,
    usual: Usual,
    /// Steps since the meta network learned.
    since_lesson: u64,
    lessons: u64,
}

/// Mean and variance of recent batch accuracies (percent), to tell what is above the usual.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Usual {
    steps: u64,
    mean: f64,
    variance: f64,
}

impl Usual {
    /// Whether an accuracy is one standard deviation above the usual, and notes it.
    fn exceeded_by(&mut self, top1: f64) -> bool {
        let early = self.steps < USUAL_STEPS;
        let exceeded = early || top1 > self.mean + self.variance.sqrt();
        let momentum = USUAL_MOMENTUM.max(1.0 / (self.steps + 1) as f64);
        let change = top1 - self.mean;
        self.mean += momentum * change;
        self.variance = (1.0 - momentum) * (self.variance + momentum * change * change);
        self.steps += 1;
        exceeded
    }
}

impl Prioritized {
    /// Starts with empty boards, one for each sampler.
    ///
    /// With `teachers_learn` a teacher is trained on the labels of every batch that it teaches, so that the best paths are
    /// networks ready for use.
    pub fn new(
        settings: &CreamSettings,
        samplers: Vec<Sampler>,
        judge: Rc<Judge>,
        teachers_learn: bool,
    ) -> Self {
        let board = Board::new(settings.board, settings.margin);
        let state = State {
            boards: vec![board; samplers.len()],
            meta: None,
            usual: Usual::default(),
            since_lesson: 0,
            lessons: 0,
        };
        Self {
            settings: settings.clone(),
            judge,
            samplers,
            teachers_learn,
            paths: 1,
            state,
        }
    }

    /// Trains so many paths a step, each on a part of the batch of its own.
    pub fn with_paths(self, paths: usize) -> Self {
        Self { paths, ..self }
    }

    fn rows(&self) -> Vec<BoardRow> {
        let rows = |(bucket, board): (usize, &Board)| {
            let row = move |entry: &Entry| BoardRow {
                architecture: entry.architecture.clone(),
                score: entry.score,
                cost: entry.cost,
                entered: entry.entered,
                taught: entry.taught,
                bucket,
            };
            board.entries().iter().map(row).collect::<Vec<_>>()
        };
        self.state
            .boards
            .iter()
            .enumerate()
            .flat_map(rows)
            .collect()
    }

    fn meta(&mut self, phi: &[f32], seed: u64) -> &mut MetaNetwork {
        let fresh = || MetaNetwork::new(phi.len(), seed);
        self.state.meta.get_or_insert_with(fresh)
    }

    /// The teacher of a path, by the settings' matching.
    fn match_teacher(
        &mut self,
        at: Position,
        bucket: usize,
        architecture: &Architecture,
        path: &Subnet,
        trainer: &Trainer,
    ) -> Option<Match> {
        let rng = creamery_rng::stream(trainer.seed(), "teacher", at.step);
        self.match_by(rng, at, bucket, architecture, path, trainer)
    }

    /// [`match_teacher`](Self::match_teacher), where chance decides by this generator.
    fn match_by(
        &mut self,
        mut rng: impl Rng,
        at: Position,
        bucket: usize,
        architecture: &Architecture,
        path: &Subnet,
        trainer: &Trainer,
    ) -> Option<Match> {
        let matching = self.settings.matching;
        let nobody = self.state.boards[bucket].entries().is_empty();
        if at.epoch < self.settings.warmup_epochs || matching == Matching::None || nobody {
            return None;
        }
        let phi = match matching.needs_phi() {
            true => self.judge.phi(path),
            false => Vec::new(),
        };
        let meta = self.meta(&phi, trainer.seed()).clone();
        let entries = self.state.boards[bucket].entries();
        let itself = entries.iter().position(|e| e.architecture == *architecture);
        let rho = self.settings.rho;
        let choice = choose(matching, &phi, entries, itself, &meta, rho, &mut rng)?;
        let entry = &entries[choice.index];
        Some(Match {
            rank: choice.index,
            rho: choice.rho,
            architecture: entry.architecture.clone(),
            entry_phi: entry.phi.clone(),
            phi,
        })
    }

    /// What the teacher says of the images. Where teachers learn, it learns from the labels in the same pass.
    fn ask(
        &self,
        matched: &Match,
        examples: &Examples,
        trainer: &Trainer,
        passes: &mut Passes<'_>,
    ) -> Result<Tensor<2>, TrainError> {
        let teacher = trainer.supernet.path(&matched.architecture)?;
        match self.teachers_learn {
            true => Ok(passes
                .run(trainer, &teacher, examples.clone(), None)?
                .outputs),
            false => Ok(trainer.ask(&teacher, examples.images.clone())),
        }
    }

    /// Tells of the boards if a path has entered one, and keeps their phi fresh.
    fn finish_step(
        &mut self,
        step: u64,
        changed: bool,
        trainer: &Trainer,
        events: &mut Events,
    ) -> Result<(), TrainError> {
        if changed {
            let board = self.rows();
            events.emit(Event::Board { step, board })?;
        }
        if self.settings.matching.needs_phi() && step.is_multiple_of(self.settings.refresh) {
            self.refresh_oldest(step, trainer)?;
        }
        Ok(())
    }

    /// Recomputes phi of the entry whose phi is oldest.
    fn refresh_oldest(&mut self, step: u64, trainer: &Trainer) -> Result<(), TrainError> {
        let board_of = |(b, board): (usize, &Board)| {
            let entry_of = move |(i, e): (usize, &Entry)| (e.phi_step, b, i);
            board
                .entries()
                .iter()
                .enumerate()
                .map(entry_of)
                .collect::<Vec<_>>()
        };
        let boards = self.state.boards.iter().enumerate();
        let Some((_, bucket, index)) = boards.flat_map(board_of).min() else {
            return Ok(());
        };
        let entry = self.state.boards[bucket].entry_mut(index);
        entry.phi = self.judge.phi(&trainer.supernet.path(&entry.architecture)?);
        entry.phi_step = step;
        Ok(())
    }

    /// Confirms a path on held-out images and lets it into the board by the board's rule.
    fn nominate(
        &mut self,
        step: u64,
        bucket: usize,
        architecture: Architecture,
        trainer: &Trainer,
    ) -> Result<bool, TrainError> {
        if self.state.boards[bucket].contains(&architecture) {
            return Ok(false);
        }
        let path = trainer.supernet.path(&architecture)?;
        let entry = Entry {
            cost: trainer.cost(&architecture)?,
            score: self.judge.confirm(path.clone())?,
            phi: match self.settings.matching.needs_phi() {
                true => self.judge.phi(&path),
                false => Vec::new(),
            },
            architecture,
            phi_step: step,
            entered: step,
            taught: 0,
        };
        Ok(self.state.boards[bucket].admit(entry))
    }
}

/// A teacher, found.
struct Match {
    rank: usize,
    rho: f64,
    architecture: Architecture,
    /// phi of the teacher, and of the path, when they were compared.
    entry_phi: Vec<f32>,
    phi: Vec<f32>,
}

impl Strategy for Prioritized {
    fn step(
        &mut self,
        at: Position,
        batch: &Batch,
        trainer: &mut Trainer,
        events: &mut Events,
    ) -> Result<StepReport, TrainError> {
        if self.paths > 1 {
            return self.step_of_several(at, batch, trainer, events);
        }
        let step = at.step;
        let mut rng = creamery_rng::stream(trainer.seed(), "path", step);
        let (bucket, architecture) = draw(&self.samplers, &mut rng);
        let path = trainer.supernet.path(&architecture)?;
        let matched = self.match_teacher(at, bucket, &architecture, &path, trainer);
        if let Some(matched) = &matched {
            self.state.boards[bucket].entry_mut(matched.rank).taught += 1;
        }

        let examples = trainer.examples(batch);
        let mut passes = Passes::new(batch, step);
        let teacher = match &matched {
            Some(matched) => Some(self.ask(matched, &examples, trainer, &mut passes)?),
            None => None,
        };
        let mut taught = examples.clone();
        if let (Some(teacher), Some(matched)) = (&teacher, &matched) {
            taught.targets = taught_targets(taught.targets, teacher.clone(), matched.rho);
        }
        let passed = passes.run_only(trainer, &path, taught)?;

        self.state.since_lesson += 1;
        if let (Some(matched), Some(teacher)) = (&matched, teacher)
            && self.settings.matching == Matching::Meta
            && self.state.since_lesson >= self.settings.tau
        {
            let lesson = self
                .judge
                .lesson(self.state.lessons, trainer.supernet.classes());
            let lr = trainer.lr(step);
            let mut gradient = passed.gradients;
            let mut change = teaching_gradient(&path, &examples, teacher, trainer.norm());
            let own = gradient.iter_mut().filter(|_| !passes.is_shared());
            mean(trainer.ranks(), own.chain(&mut change), &mut []);
            let learned = rho_gradient_along(&path, &gradient, &change, &lesson, lr);
            let lr_meta = self.settings.meta_lr;
            let meta = self.meta(&matched.phi, trainer.seed());
            let gradient =
                meta.gradient(&matched.phi, &matched.entry_phi, matched.rho, learned.d_rho);
            // A lesson that went wrong teaches nothing; the step's own checks stop the run.
            if learned.d_rho.is_finite() {
                meta.descend(&gradient, lr_meta);
            }
            self.state.since_lesson = 0;
            self.state.lessons += 1;
            events.emit(Event::Meta {
                step,
                loss: learned.loss,
                gradient: learned.d_rho,
                rho: matched.rho,
            })?;
        }

        let macs = trainer.cost(&architecture)?.macs;
        // The path shares the weights; without it they are updated in place.
        drop(path);
        let Updated {
            mut report,
            loss,
            correct,
        } = passes.update(trainer)?;
        // What the path did, whatever its teacher learned beside it.
        report.loss = loss;
        report.correct = correct;
        report.macs = macs;
        report.teacher = matched.map(|m| Teacher {
            rank: m.rank,
            rho: m.rho,
        });

        let images = trainer.portion(batch.n).batch();
        let top1 = 100.0 * correct as f64 / images as f64;
        let changed = self.state.usual.exceeded_by(top1)
            && self.nominate(step, bucket, architecture, trainer)?;
        self.finish_step(step, changed, trainer, events)?;
        Ok(report)
    }

    fn end_epoch(
        &mut self,
        at: Position,
        trainer: &Trainer,
        events: &mut Events,
    ) -> Result<(), TrainError> {
        for board in &mut self.state.boards {
            let entries = board.entries();
            let scores = trainer.ranks().share_out(entries.len(), |index| {
                let path = trainer.supernet.path(&entries[index].architecture)?;
                self.judge.confirm_alone(path)
            })?;
            let mut scores = scores.into_iter();
            let next = |_: &Architecture| Ok::<_, TrainError>(scores.next().unwrap_or_default());
            board.rescore(next)?;
        }
        if self.settings.matching.needs_phi() {
            for bucket in 0..self.state.boards.len() {
                for index in 0..self.state.boards[bucket].entries().len() {
                    let entry = self.state.boards[bucket].entry_mut(index);
                    entry.phi = self.judge.phi(&trainer.supernet.path(&entry.architecture)?);
                    entry.phi_step = at.step;
                }
            }
        }
        let board = self.rows();
        events.emit(Event::Board {
            step: at.step,
            board,
        })?;
        Ok(())
    }

    fn board(&self) -> Vec<BoardRow> {
        self.rows()
    }

    fn save(&self, checkpoint: &mut Checkpoint) {
        checkpoint.put("prioritized", &self.state);
    }

    fn load(&mut self, checkpoint: &mut Checkpoint) -> Result<(), TrainError> {
        self.state = checkpoint.get("prioritized")?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_usual_does_not_qualify() {
        let mut usual = Usual::default();
        for step in 0..200u64 {
            usual.exceeded_by(if step.is_multiple_of(2) { 48.0 } else { 52.0 });
        }
        assert!((usual.mean - 50.0).abs() < 1.0);
        assert!((usual.variance.sqrt() - 2.0).abs() < 0.5);
        assert!(!usual.clone().exceeded_by(51.0));
        assert!(usual.clone().exceeded_by(54.0));
    }

    #[test]
    fn the_first_paths_all_qualify() {
        let mut usual = Usual::default();
        assert!(usual.exceeded_by(90.0));
        assert!(usual.exceeded_by(1.0));
    }
}
