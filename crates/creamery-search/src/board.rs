//! The prioritized board: the best paths seen so far.

use creamery_space::{Architecture, Cost};
use serde::{Deserialize, Serialize};

/// A path on the board.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The path.
    pub architecture: Architecture,
    /// Confirmed top-1 on held-out images, in percent.
    pub score: f64,
    /// What the path costs.
    pub cost: Cost,
    /// phi: what the path says of the anchor images, flat, `[anchors x features]`.
    pub phi: Vec<f32>,
    /// The step at which phi was computed.
    pub phi_step: u64,
    /// The step at which the path entered.
    pub entered: u64,
    /// How often it was the teacher.
    pub taught: u64,
}

impl Entry {
    /// Whether `other` is worth keeping nowhere that this entry stands: this one is no worse in score
    /// and MACs, and better in one.
    fn dominates(&self, other: &Entry) -> bool {
        self.score >= other.score
            && self.cost.macs <= other.cost.macs
            && (self.score > other.score || self.cost.macs < other.cost.macs)
    }

    /// Best first: score, then fewer MACs, then the architecture itself, so that ties are decided the
    /// same way every time.
    fn order(&self, other: &Entry) -> std::cmp::Ordering {
        other
            .score
            .total_cmp(&self.score)
            .then(self.cost.macs.cmp(&other.cost.macs))
            .then_with(|| self.architecture.cmp(&other.architecture))
    }
}

/// At most `capacity` paths, best first, none twice and none dominated by another.
///
/// ```
/// use creamery_search::{Board, Entry};
/// use creamery_space::{Architecture, Cost};
///
/// let entry = |op: i8, score: f64, macs: u64| Entry {
///     architecture: Architecture::new("s", 32, vec![vec![op]]),
///     score,
///     cost: Cost { macs, ..Cost::default() },
///     phi: vec![],
///     phi_step: 0,
///     entered: 0,
///     taught: 0,
/// };
/// let mut board = Board::new(2, 5.0);
/// assert!(board.admit(entry(0, 60.0, 100)));
/// assert!(board.admit(entry(1, 70.0, 200)));
/// assert!(!board.admit(entry(2, 65.0, 300)), "costs more and is worse than the second");
/// assert!(board.admit(entry(3, 61.0, 90)), "beats the first at no more cost");
/// assert_eq!(board.entries().len(), 2);
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Board {
    capacity: usize,
    margin: f64,
    entries: Vec<Entry>,
}

impl Board {
    /// An empty board. `margin` is by how many points of top-1 a path that costs more must beat the worst
    /// entry of a full board.
    pub fn new(capacity: usize, margin: f64) -> Self {
        Self {
            capacity,
            margin,
            entries: Vec::new(),
        }
    }

    /// The entries, best first.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Whether the path is on the board.
    pub fn contains(&self, architecture: &Architecture) -> bool {
        self.entries.iter().any(|e| e.architecture == *architecture)
    }

    /// Lets a path in if it is new and no entry dominates it, and if the board has room (those it
    /// dominates leave first), or it beats the worst entry at no more cost, or beats it by the margin.
    ///
    /// Returns whether it is on the board now.
    pub fn admit(&mut self, entry: Entry) -> bool {
        let refused = self.contains(&entry.architecture)
            || !entry.score.is_finite()
            || self.entries.iter().any(|e| e.dominates(&entry));
        if refused || self.capacity == 0 {
            return false;
        }
        self.entries.retain(|e| !entry.dominates(e));
        if self.entries.len() == self.capacity {
            let worst = self.entries.last().expect("the board is full");
            let beats = entry.score > worst.score
                && (entry.cost.macs <= worst.cost.macs || entry.score >= worst.score + self.margin);
            if !beats {
                return false;
            }
            self.entries.pop();
        }
        self.entries.push(entry);
        self.entries.sort_by(Entry::order);
        true
    }

    /// Gives every entry a new score and drops those that are then dominated.
    ///
    /// # Errors
    /// Whatever `score` reports; the board is then unchanged.
    pub fn rescore<E>(
        &mut self,
        mut score: impl FnMut(&Architecture) -> Result<f64, E>,
    ) -> Result<(), E> {
        let scores = self
            .entries
            .iter()
            .map(|entry| score(&entry.architecture))
            .collect::<Result<Vec<_>, E>>()?;
        for (entry, score) in self.entries.iter_mut().zip(scores) {
            entry.score = score;
        }
        let all = self.entries.clone();
        self.entries
            .retain(|e| !all.iter().any(|other| other.dominates(e)));
        self.entries.sort_by(Entry::order);
        Ok(())
    }

    /// An entry, to note what it did.
    pub(crate) fn entry_mut(&mut self, index: usize) -> &mut Entry {
        &mut self.entries[index]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entry(op: i8, score: f64, macs: u64) -> Entry {
        Entry {
            architecture: Architecture::new("s", 32, vec![vec![op]]),
            score,
            cost: Cost {
                macs,
                ..Cost::default()
            },
            phi: vec![],
            phi_step: 0,
            entered: 0,
            taught: 0,
        }
    }

    #[test]
    fn a_full_board_asks_for_a_margin_from_those_that_cost_more() {
        let mut board = Board::new(2, 5.0);
        assert!(board.admit(entry(0, 60.0, 100)));
        assert!(board.admit(entry(1, 70.0, 200)));
        assert!(
            !board.admit(entry(2, 64.0, 150)),
            "better than the worst, but by less than 5"
        );
        assert!(board.admit(entry(3, 65.0, 150)), "by 5");
        let ops: Vec<_> = board
            .entries()
            .iter()
            .map(|e| e.architecture.choices[0][0])
            .collect();
        assert_eq!(ops, [1, 3]);
    }

    #[test]
    fn a_path_enters_once_and_a_score_that_is_no_number_never() {
        let mut board = Board::new(3, 5.0);
        assert!(board.admit(entry(0, 60.0, 100)));
        assert!(!board.admit(entry(0, 90.0, 100)));
        assert!(!board.admit(entry(1, f64::NAN, 1)));
    }

    #[test]
    fn a_lucky_score_does_not_stay() {
        let mut board = Board::new(3, 5.0);
        board.admit(entry(0, 90.0, 300));
        board.admit(entry(1, 60.0, 100));
        board
            .rescore(|a| Ok::<_, ()>(if a.choices[0][0] == 0 { 55.0 } else { 61.0 }))
            .unwrap();
        assert_eq!(board.entries().len(), 1);
        assert_eq!(board.entries()[0].score, 61.0);
        assert_eq!(board.rescore(|_| Err("no images")), Err("no images"));
        assert_eq!(board.entries()[0].score, 61.0);
    }

    proptest! {
        /// Whatever comes: never more than the capacity, none twice, none dominated, best first.
        #[test]
        fn the_board_keeps_its_promises(
            capacity in 0usize..6,
            margin in 0.0f64..10.0,
            arrivals in prop::collection::vec((0i8..20, 0u32..20, 0u64..20), 0..60),
        ) {
            let mut board = Board::new(capacity, margin);
            for (op, score, macs) in arrivals {
                let best = board.entries().first().map(|e| e.score);
                board.admit(entry(op, f64::from(score), macs));
                let entries = board.entries();
                prop_assert!(entries.len() <= capacity);
                for (i, a) in entries.iter().enumerate() {
                    for b in &entries[i + 1..] {
                        prop_assert!(a.architecture != b.architecture);
                        prop_assert!(!a.dominates(b) && !b.dominates(a));
                        prop_assert!(a.score >= b.score);
                    }
                }
                if let Some(best) = best {
                    prop_assert!(entries[0].score >= best, "the best is never lost");
                }
            }
        }
    }
}
