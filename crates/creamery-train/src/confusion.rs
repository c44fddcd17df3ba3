//! Which classes a network takes for which.

use serde::{Deserialize, Serialize};

/// How often images of each class were taken for each class: the text of a `confusion.json`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confusion {
    /// The classes' names.
    pub classes: Vec<String>,
    /// Images of each class. Those without a first choice, because the network's output is not finite, are counted
    /// here only.
    pub images: Vec<u64>,
    /// `counts[label][choice]`: images of class `label` whose first choice was `choice`.
    pub counts: Vec<Vec<u64>>,
}

/// How a network does on one class, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct ClassAccuracy {
    /// Share of the class's images that are taken for it; not a number if there are none.
    pub recall: f64,
    /// Share of what is taken for the class that is of it; not a number if nothing is.
    pub precision: f64,
}

impl Confusion {
    /// No image yet.
    pub fn new(classes: &[String]) -> Self {
        Self {
            classes: classes.to_vec(),
            images: vec![0; classes.len()],
            counts: vec![vec![0; classes.len()]; classes.len()],
        }
    }

    /// Counts an image of class `label` by its first choice.
    ///
    /// # Panics
    /// If either is not below the number of classes.
    pub fn add(&mut self, label: usize, choice: Option<usize>) {
        self.images[label] += 1;
        if let Some(choice) = choice {
            self.counts[label][choice] += 1;
        }
    }

    /// Recall and precision of class after class.
    pub fn by_class(&self) -> Vec<ClassAccuracy> {
        (0..self.classes.len())
            .map(|class| {
                let right = self.counts[class][class];
                let taken: u64 = self.counts.iter().map(|row| row[class]).sum();
                let percent = |whole: u64| 100.0 * right as f64 / whole as f64;
                ClassAccuracy {
                    recall: percent(self.images[class]),
                    precision: percent(taken),
                }
            })
            .collect()
    }

    /// The pairs of classes that are confused, label and choice with their count, most often first.
    pub fn mistakes(&self) -> Vec<(usize, usize, u64)> {
        let mut mistakes: Vec<_> = (self.counts.iter().enumerate())
            .flat_map(|(label, row)| {
                (row.iter().enumerate())
                    .filter(move |(choice, count)| *choice != label && **count > 0)
                    .map(move |(choice, count)| (label, choice, *count))
            })
            .collect();
        mistakes.sort_by_key(|&(label, choice, count)| (std::cmp::Reverse(count), label, choice));
        mistakes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_for_what() {
        let classes = ["a", "b", "c"].map(str::to_owned);
        let mut confusion = Confusion::new(&classes);
        for (label, choice) in [
            (0, Some(0)),
            (0, Some(1)),
            (0, Some(1)),
            (1, Some(1)),
            (1, None),
        ] {
            confusion.add(label, choice);
        }
        assert_eq!(confusion.counts, [[1, 2, 0], [0, 1, 0], [0, 0, 0]]);
        assert_eq!(confusion.images, [3, 2, 0]);
        assert_eq!(confusion.mistakes(), [(0, 1, 2)]);
        let [a, b, c] = confusion.by_class()[..] else {
            panic!("three classes")
        };
        assert!((a.recall - 100.0 / 3.0).abs() < 1e-9 && a.precision == 100.0);
        assert!(b.recall == 50.0 && (b.precision - 100.0 / 3.0).abs() < 1e-9);
        assert!(c.recall.is_nan() && c.precision.is_nan());
    }
}
