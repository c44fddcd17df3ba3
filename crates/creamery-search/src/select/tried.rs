//! The paths of one selection so far, and how new ones come about.

use std::collections::HashSet;

use creamery_space::Architecture;
use rand::Rng;

use super::candidates::Candidates;
use super::evaluate::{Evaluate, Halt, Scored};

/// How often a child is made anew that is outside of the budget or was there before.
const CHILD_TRIES: usize = 64;
/// How often a path is drawn anew that was there before.
const FRESH_TRIES: usize = 1024;

/// What a selection has evaluated among some candidates. No path is evaluated twice, and none outside of the
/// budget.
pub(super) struct Tried<'a> {
    /// The candidates.
    pub candidates: &'a Candidates,
    evaluate: &'a mut dyn Evaluate,
    claimed: HashSet<Architecture>,
    /// In the order of evaluation.
    pub scored: Vec<Scored>,
}

impl<'a> Tried<'a> {
    /// Nothing yet.
    pub fn new(candidates: &'a Candidates, evaluate: &'a mut dyn Evaluate) -> Self {
        Self {
            candidates,
            evaluate,
            claimed: HashSet::new(),
            scored: Vec::new(),
        }
    }

    /// Draws a path that is new; `None` if so many draws met none that there are few left, if any.
    pub fn fresh(&mut self, rng: &mut impl Rng) -> Option<Architecture> {
        if self.candidates.at_most(usize::MAX) <= self.claimed.len() {
            return None;
        }
        (0..FRESH_TRIES)
            .map(|_| self.candidates.draw(rng))
            .find(|drawn| self.claimed.insert(drawn.clone()))
    }

    /// Draws up to `count` new paths; fewer where there are no more.
    pub fn draw(&mut self, count: usize, rng: &mut impl Rng) -> Vec<Architecture> {
        (0..count).map_while(|_| self.fresh(rng)).collect()
    }

    /// A new path from the genes that `make` yields. They are made anew, a limited number of times, where
    /// the path is outside of the budget or was there before; then a fresh one takes its place.
    pub fn child<R: Rng>(
        &mut self,
        rng: &mut R,
        mut make: impl FnMut(&mut R) -> Vec<i8>,
    ) -> Option<Architecture> {
        for _ in 0..CHILD_TRIES {
            let child = self.candidates.architecture(&make(rng));
            if !self.claimed.contains(&child) && self.fits(&child) {
                self.claimed.insert(child.clone());
                return Some(child);
            }
        }
        self.fresh(rng)
    }

    /// Whether a path is within the budget.
    pub fn fits(&self, architecture: &Architecture) -> bool {
        let cost = self.candidates.cost(architecture);
        self.candidates.budget().contains(&cost)
    }

    /// Evaluates a path.
    ///
    /// # Errors
    /// Those of the evaluation.
    pub fn evaluate(&mut self, architecture: Architecture) -> Result<&Scored, Halt> {
        let scored = Scored {
            top1: self.evaluate.top1(&architecture)?,
            cost: self.candidates.cost(&architecture),
            architecture,
        };
        self.scored.push(scored);
        Ok(&self.scored[self.scored.len() - 1])
    }

    /// Evaluates several paths.
    ///
    /// # Errors
    /// Those of the evaluation.
    pub fn evaluate_all(&mut self, architectures: Vec<Architecture>) -> Result<(), Halt> {
        self.evaluate.expect(&architectures);
        for architecture in architectures {
            self.evaluate(architecture)?;
        }
        Ok(())
    }
}
