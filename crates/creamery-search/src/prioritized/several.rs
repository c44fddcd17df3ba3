//! A step of several paths, each on a part of the batch of its own, which ranks may share out.
//!
//! A rank matches and trains its own paths only. What the others have found goes round in two messages: whom each path
//! learns from, and, with the sum of the gradients, how each path did. From these every rank makes the same
//! decisions about board and meta network.

use burn::tensor::Tensor;
use creamery_data::Batch;
use creamery_space::Architecture;
use creamery_train::TrainError;
use creamery_train::collective::mean;
use creamery_train::engine::{Position, StepReport};
use creamery_train::event::{Event, Events, Teacher};
use serde::{Deserialize, Serialize};

use super::{Match, Prioritized};
use crate::matching::Matching;
use crate::meta::{rho_gradient_along, taught_targets, teaching_gradient};
use crate::parts::Parts;
use crate::passes::Passes;
use crate::strategy::draw;
use crate::trainer::Trainer;

/// Whom a path learns from, as all ranks need to know it.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Found {
    /// The number of the path in its step.
    path: usize,
    /// The teacher's place on the board of the path's bucket, and the bits of the weight of what it says, which JSON
    /// has no word for where it is not a number.
    teacher: Option<(usize, u64)>,
    /// Values of phi, where it was needed.
    phi: usize,
}

/// What the pass of a path yields to the meta network's lesson.
struct Lesson {
    gradient: Vec<Tensor<1>>,
    change: Vec<Tensor<1>>,
}

impl Prioritized {
    pub(super) fn step_of_several(
        &mut self,
        at: Position,
        batch: &Batch,
        trainer: &mut Trainer,
        events: &mut Events,
    ) -> Result<StepReport, TrainError> {
        let step = at.step;
        let mut rng = creamery_rng::stream(trainer.seed(), "path", step);
        let drawn: Vec<_> = (0..self.paths)
            .map(|_| draw(&self.samplers, &mut rng))
            .collect();
        let parts = Parts::new(self.paths, trainer.ranks());
        let own = parts.of(batch);
        let matches = self.match_own(at, &own, &drawn, trainer)?;
        let teachers = self.agree(&matches, &drawn, parts, trainer);

        self.state.since_lesson += 1;
        let learns = self.settings.matching == Matching::Meta
            && self.state.since_lesson >= self.settings.tau
            && teachers[0].is_some();
        let mut passes = Passes::new(batch, step);
        let mut passed = Vec::new();
        let mut lesson = None;
        for ((index, images), matched) in own.iter().zip(&matches) {
            let path = trainer.supernet.path(&drawn[*index].1)?;
            passes.turn_to(images);
            let examples = trainer.examples(images);
            let mut taught = examples.clone();
            let mut answer = None;
            if let Some(matched) = matched {
                let teacher = self.ask(matched, &examples, trainer, &mut passes)?;
                taught.targets = taught_targets(taught.targets, teacher.clone(), matched.rho);
                answer = Some(teacher);
            }
            let run = passes.run(trainer, &path, taught, None)?;
            let (loss, correct) = passes.last();
            passed.push((*index, loss, correct));
            if let (0, true, Some(answer)) = (*index, learns, answer) {
                let change = teaching_gradient(&path, &examples, answer, trainer.norm());
                let gradient = run.gradients;
                lesson = Some(Lesson { gradient, change });
            }
        }
        if let (true, Some(teacher)) = (learns, teachers[0]) {
            self.learn(at, &drawn[0], teacher, lesson, trainer, events)?;
        }

        let mut paths: Vec<&Architecture> = drawn.iter().map(|(_, path)| path).collect();
        let entries: Vec<Architecture> = match self.teachers_learn {
            true => self.teaching(&drawn, &teachers),
            false => Vec::new(),
        };
        paths.extend(&entries);
        let gathered = passes.into_gathered();
        let totals = trainer.update_union(gathered, step, parts, &paths, &passed)?;
        let mut report = totals.report(trainer, step, &paths)?;
        report.teacher = teachers[0].map(|(rank, rho)| Teacher { rank, rho });

        let images = trainer.portion(batch.n).batch() / self.paths;
        let mut changed = false;
        for ((bucket, architecture), (_, correct)) in drawn.into_iter().zip(totals.paths) {
            let top1 = 100.0 * correct as f64 / images as f64;
            if self.state.usual.exceeded_by(top1) {
                changed |= self.nominate(step, bucket, architecture, trainer)?;
            }
        }
        self.finish_step(step, changed, trainer, events)?;
        Ok(report)
    }

    /// The teachers of this rank's paths.
    fn match_own(
        &mut self,
        at: Position,
        own: &[(usize, Batch)],
        drawn: &[(usize, Architecture)],
        trainer: &Trainer,
    ) -> Result<Vec<Option<Match>>, TrainError> {
        let mut matches = Vec::new();
        for (index, _) in own {
            let (bucket, architecture) = &drawn[*index];
            let path = trainer.supernet.path(architecture)?;
            let key = at.step.wrapping_mul(self.paths as u64) + *index as u64;
            let rng = creamery_rng::stream(trainer.seed(), "teacher", key);
            matches.push(self.match_by(rng, at, *bucket, architecture, &path, trainer));
        }
        Ok(matches)
    }

    /// The teachers of all paths, counted; and the meta network is there on all ranks if it is on any.
    fn agree(
        &mut self,
        matches: &[Option<Match>],
        drawn: &[(usize, Architecture)],
        parts: Parts,
        trainer: &Trainer,
    ) -> Vec<Option<(usize, f64)>> {
        let own = parts.own().zip(matches).map(|(path, matched)| Found {
            path,
            teacher: matched
                .as_ref()
                .map(|matched| (matched.rank, matched.rho.to_bits())),
            phi: matched.as_ref().map_or(0, |matched| matched.phi.len()),
        });
        let found: Vec<Found> = own.collect();
        let mut teachers = vec![None; drawn.len()];
        for found in trainer.ranks().gather(&found).into_iter().flatten() {
            let teacher = found.teacher;
            teachers[found.path] = teacher.map(|(rank, rho)| (rank, f64::from_bits(rho)));
            if found.phi > 0 {
                self.meta(&vec![0.0; found.phi], trainer.seed());
            }
        }
        for (teacher, (bucket, _)) in teachers.iter().zip(drawn) {
            if let Some((rank, _)) = teacher {
                self.state.boards[*bucket].entry_mut(*rank).taught += 1;
            }
        }
        teachers
    }

    /// The networks that teach.
    fn teaching(
        &self,
        drawn: &[(usize, Architecture)],
        teachers: &[Option<(usize, f64)>],
    ) -> Vec<Architecture> {
        let pairs = drawn.iter().zip(teachers);
        let teacher = |((bucket, _), teacher): (&(usize, _), &Option<(usize, f64)>)| {
            let (rank, _) = (*teacher)?;
            let entry = &self.state.boards[*bucket].entries()[rank];
            Some(entry.architecture.clone())
        };
        pairs.filter_map(teacher).collect()
    }

    /// The meta network learns from the first path of the step. Ranks that have not trained it add nothing to its
    /// gradients.
    fn learn(
        &mut self,
        at: Position,
        (bucket, architecture): &(usize, Architecture),
        (rank, rho): (usize, f64),
        lesson: Option<Lesson>,
        trainer: &Trainer,
        events: &mut Events,
    ) -> Result<(), TrainError> {
        let step = at.step;
        let parts = Parts::new(self.paths, trainer.ranks());
        let path = trainer.supernet.path(architecture)?;
        let zeros = || path.layers().iter().map(|layer| layer.params.zeros_like());
        let Lesson {
            mut gradient,
            mut change,
        } = lesson.unwrap_or_else(|| Lesson {
            gradient: zeros().collect(),
            change: zeros().collect(),
        });
        let ranks = trainer.ranks();
        mean(ranks, gradient.iter_mut().chain(&mut change), &mut []);
        // The mean is over all ranks, but only some have it.
        let share = ranks.size() as f64 / parts.sharers() as f64;
        let whole = |sum: Vec<Tensor<1>>| sum.into_iter().map(|tensor| tensor * share).collect();
        let (gradient, change): (Vec<_>, Vec<_>) = (whole(gradient), whole(change));

        let classes = trainer.supernet.classes();
        let held_out = self.judge.lesson(self.state.lessons, classes);
        let lr = trainer.lr(step);
        let learned = rho_gradient_along(&path, &gradient, &change, &held_out, lr);
        if learned.d_rho.is_finite() {
            let phi = self.judge.phi(&path);
            let entry = self.state.boards[*bucket].entries()[rank].phi.clone();
            let lr = self.settings.meta_lr;
            let meta = self.meta(&phi, trainer.seed());
            let gradient = meta.gradient(&phi, &entry, rho, learned.d_rho);
            meta.descend(&gradient, lr);
        }
        self.state.since_lesson = 0;
        self.state.lessons += 1;
        events.emit(Event::Meta {
            step,
            loss: learned.loss,
            gradient: learned.d_rho,
            rho,
        })?;
        Ok(())
    }
}
