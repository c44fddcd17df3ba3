//! The prioritized board over time.

use creamery_space::{Architecture, Cost};

use super::curve::Curve;
use super::line;
use super::path_key::PathKey;

/// Paths that a history of a board keeps, at most.
const MOST_TENURES: usize = 4096;

/// Buckets of the curves of one path.
const CURVE: usize = 64;

/// A path's time on the board. A path that left and entered again has two.
#[derive(Clone, Debug, PartialEq)]
pub struct BoardTenure {
    /// The path.
    pub architecture: Architecture,
    /// What it costs.
    pub cost: Cost,
    /// The bucket of the budget that it belongs to, counted from 0.
    pub bucket: usize,
    /// The step at which it entered.
    pub entered: u64,
    /// The step at which it was seen to have left; `None` while it is on the board.
    pub left: Option<u64>,
    /// Its latest score: top-1 on held-out images, in percent; `None` if that is not a number.
    pub score: Option<f64>,
    /// Its scores over the steps.
    pub scores: Curve,
    /// How often it was the teacher: as the board last said, or as often as the steps have it since.
    pub taught: u64,
    /// The weight rho of its distillation, over the steps that it taught.
    pub rho: Curve,
    /// Who taught it in the step in which it entered, as an index into [`BoardHistory::tenures`].
    pub teacher: Option<usize>,
}

/// Who was on the board, when.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct BoardHistory {
    tenures: Vec<BoardTenure>,
    /// What each tenure's path is known again by.
    keys: Vec<PathKey>,
    /// The board now, as indices, best first.
    current: Vec<usize>,
    /// The board before the admission of the step that is under way: whose ranks its teacher is told by.
    before: Option<Vec<usize>>,
    /// Times the board was told of.
    changes: u64,
    /// Departed paths that were let go because there were too many.
    dropped: usize,
}

impl BoardHistory {
    /// Everyone who was ever on the board, in the order of their entry; beyond a few thousand, those that stayed shortest
    /// are left out.
    pub fn tenures(&self) -> &[BoardTenure] {
        &self.tenures
    }

    /// The board as it was last told of, best first.
    pub fn current(&self) -> impl ExactSizeIterator<Item = &BoardTenure> + Clone {
        self.current.iter().map(|&index| &self.tenures[index])
    }

    /// How often the board was told of.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    /// Departed paths that are not among the [`tenures`](Self::tenures) because there were too many.
    pub fn dropped(&self) -> usize {
        self.dropped
    }

    /// Takes in what the board became, of which `bytes` is the line. `false` if a path cannot be read; it is then left out.
    pub(super) fn update(&mut self, told: &line::Board, bytes: &[u8]) -> bool {
        self.changes += 1;
        let mut readable = true;
        let mut now = Vec::with_capacity(told.board.len());
        // Read only if somebody is new.
        let mut entrants = None;
        for (place, row) in told.board.iter().enumerate() {
            let known = self.current.iter().copied().find(|&index| {
                self.keys[index] == row.path && self.tenures[index].entered == row.entered
            });
            let index = known.or_else(|| {
                let entrants = entrants.get_or_insert_with(|| line::entrants(bytes));
                Some(self.enter(row, entrants.as_ref()?.get(place)?))
            });
            let Some(index) = index else {
                readable = false;
                continue;
            };
            let tenure = &mut self.tenures[index];
            tenure.score = row.score.filter(|score| score.is_finite());
            tenure.taught = row.taught;
            if let Some(score) = tenure.score {
                tenure.scores.push(told.step, score);
            }
            now.push(index);
        }
        for &index in &self.current {
            if !now.contains(&index) {
                self.tenures[index].left = Some(told.step);
            }
        }
        let admission = told.board.iter().any(|row| row.entered == told.step);
        let earlier = std::mem::replace(&mut self.current, now);
        if admission {
            self.before = Some(earlier);
        }
        if self.tenures.len() > MOST_TENURES {
            self.forget();
        }
        readable
    }

    fn enter(&mut self, row: &line::Row, entrant: &line::Entrant) -> usize {
        self.tenures.push(BoardTenure {
            architecture: entrant.architecture.clone(),
            cost: entrant.cost,
            bucket: row.bucket,
            entered: row.entered,
            left: None,
            score: None,
            scores: Curve::new(CURVE),
            taught: 0,
            rho: Curve::new(CURVE),
            teacher: None,
        });
        self.keys.push(row.path);
        self.tenures.len() - 1
    }

    /// Notes whom a step's teacher was. Ranks are those of one bucket's board, so where there are several it is not known who is meant.
    pub(super) fn taught(&mut self, step: u64, teacher: Option<creamery_train::event::Teacher>) {
        let before = self.before.take();
        let Some(teacher) = teacher else { return };
        let board = before.as_ref().unwrap_or(&self.current);
        let buckets = |indices: &[usize]| indices.iter().any(|&i| self.tenures[i].bucket != 0);
        if buckets(board) {
            return;
        }
        let Some(&index) = board.get(teacher.rank) else {
            return;
        };
        if before.is_some() {
            let new = self
                .current
                .iter()
                .find(|&&i| self.tenures[i].entered == step);
            if let Some(&new) = new {
                self.tenures[new].teacher = Some(index);
            }
        }
        let tenure = &mut self.tenures[index];
        // The board of this step was told of after the teacher had been counted.
        if before.is_none() {
            tenure.taught += 1;
        }
        tenure.rho.push(step, teacher.rho);
    }

    /// Lets the half of the departed go that stayed shortest.
    fn forget(&mut self) {
        let stay = |t: &BoardTenure| t.left.map(|left| left.saturating_sub(t.entered));
        let mut stays: Vec<u64> = self.tenures.iter().filter_map(stay).collect();
        if stays.is_empty() {
            return;
        }
        let middle = stays.len() / 2;
        let (_, &mut median, _) = stays.select_nth_unstable(middle);
        let mut room = stays.len() - middle;
        let mut places = vec![None; self.tenures.len()];
        let (mut tenures, mut keys) = (Vec::new(), Vec::new());
        for (index, tenure) in self.tenures.drain(..).enumerate() {
            let keep = match stay(&tenure) {
                None => true,
                Some(stayed) => stayed >= median && room > 0,
            };
            if keep {
                room -= usize::from(tenure.left.is_some());
                places[index] = Some(tenures.len());
                tenures.push(tenure);
                keys.push(self.keys[index]);
            } else {
                self.dropped += 1;
            }
        }
        for tenure in &mut tenures {
            tenure.teacher = tenure.teacher.and_then(|index| places[index]);
        }
        // Nobody who departed just now is asked for again.
        for indices in std::iter::once(&mut self.current).chain(&mut self.before) {
            *indices = indices.iter().filter_map(|&i| places[i]).collect();
        }
        (self.tenures, self.keys) = (tenures, keys);
    }
}
