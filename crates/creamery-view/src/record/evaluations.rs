//! What selectors evaluated.

use creamery_space::{Architecture, Cost};

/// Evaluations that are kept, at most.
const MOST: usize = 20_000;

/// A path of the trained supernet and how well it does.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The path.
    pub architecture: Architecture,
    /// What it costs.
    pub cost: Cost,
    /// Its top-1 on held-out images, in percent.
    pub top1: f64,
}

/// What selectors evaluated, in order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Evaluations {
    kept: Vec<Evaluation>,
    /// How many there were.
    pub done: usize,
    /// How many there will be at most, where that is known.
    pub of: Option<usize>,
}

impl Evaluations {
    /// The evaluations. Of more than 20,000 a part is left out, but none that is on the front.
    pub fn kept(&self) -> &[Evaluation] {
        &self.kept
    }

    /// The highest top-1, and of those the least MACs.
    pub fn best(&self) -> Option<&Evaluation> {
        self.kept.iter().max_by(|a, b| {
            a.top1
                .total_cmp(&b.top1)
                .then(b.cost.macs.cmp(&a.cost.macs))
        })
    }

    pub(super) fn push(&mut self, evaluation: Evaluation) {
        self.done += 1;
        self.kept.push(evaluation);
        if self.kept.len() > MOST {
            self.thin();
        }
    }

    /// Drops every second that is not on the front.
    fn thin(&mut self) {
        let front = self.front();
        let mut index = 0;
        self.kept.retain(|_| {
            index += 1;
            front[index - 1] || index % 2 == 0
        });
        if self.kept.len() > MOST {
            // A front of so many is thinned, too.
            let mut index = 0;
            self.kept.retain(|_| {
                index += 1;
                index % 2 == 0
            });
        }
    }

    /// Which are beaten by none of the others in both top-1 and MACs.
    fn front(&self) -> Vec<bool> {
        let mut order: Vec<usize> = (0..self.kept.len()).collect();
        let of = |i: usize| (self.kept[i].cost.macs, self.kept[i].top1);
        order.sort_by(|&a, &b| {
            let ((macs, top1), (other_macs, other_top1)) = (of(a), of(b));
            macs.cmp(&other_macs).then(other_top1.total_cmp(&top1))
        });
        let mut on = vec![false; self.kept.len()];
        let mut best = f64::NEG_INFINITY;
        for index in order {
            let (_, top1) = of(index);
            if top1 > best {
                on[index] = true;
                best = top1;
            }
        }
        on
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_is_bounded_and_keeps_its_front() {
        let mut all = Evaluations::default();
        for i in 0..3 * MOST as u64 {
            // Every thousandth is better than all cheaper ones; the others are worse.
            let good = i % 1000 == 0;
            all.push(Evaluation {
                architecture: Architecture::new("s", 32, vec![vec![0]]),
                cost: Cost {
                    macs: i,
                    ..Cost::default()
                },
                top1: if good { i as f64 / 1000.0 } else { -1.0 },
            });
        }
        assert_eq!(all.done, 3 * MOST);
        assert!(all.kept().len() <= MOST);
        let front = all.kept().iter().filter(|e| e.top1 >= 0.0).count();
        assert_eq!(front, 3 * MOST / 1000);
        assert_eq!(all.best().unwrap().cost.macs, 3 * MOST as u64 - 1000);
    }
}
