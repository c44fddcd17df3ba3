//! Which classes a network takes for which.

use creamery_train::Confusion;

use super::frame::PAGE_WIDTH;
use super::grid::{Cell, Grid};
use super::svg::Svg;
use super::{ChartError, Theme};

/// Classes that are drawn, at most.
const MOST: usize = 24;

/// A confusion matrix: rows are what images show, columns what they are taken for, the darker the larger the share of
/// the row. Of many classes those are drawn that most mistakes are made with.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfusionMatrix<'a> {
    /// What the chart shows.
    pub title: String,
    /// The counts.
    pub confusion: &'a Confusion,
}

impl ConfusionMatrix<'_> {
    /// The chart as a fragment of a page.
    ///
    /// # Errors
    /// [`ChartError::Empty`] if there are no classes, or the counts are not those of the classes.
    pub fn svg(&self) -> Result<String, ChartError> {
        let Confusion {
            classes,
            images,
            counts,
        } = self.confusion;
        let square = counts.iter().all(|row| row.len() == classes.len());
        if classes.is_empty()
            || !square
            || counts.len() != classes.len()
            || images.len() != classes.len()
        {
            return Err(ChartError::Empty(self.title.clone()));
        }
        let shown = self.shown();
        let cell = |label: usize, choice: usize| {
            let count = counts[label][choice];
            let share = count as f64 / images[label].max(1) as f64;
            Cell {
                share: Some(share),
                text: if count == 0 {
                    String::new()
                } else {
                    count.to_string()
                },
                says: format!(
                    "{} taken for {}: {count} of {} ({:.1}%)",
                    classes[label],
                    classes[choice],
                    images[label],
                    100.0 * share
                ),
                marked: false,
            }
        };
        let cells = shown
            .iter()
            .map(|label| shown.iter().map(|choice| cell(*label, *choice)).collect());
        let names: Vec<String> = shown.iter().map(|class| classes[*class].clone()).collect();
        let grid = Grid {
            title: &self.title,
            caption: &self.caption(shown.len()),
            of: ["what it shows ↓", "what it is taken for →"],
            rows: &names,
            columns: &names,
            cells: cells.collect(),
            width: PAGE_WIDTH,
            tallest: 30.0,
        };
        Ok(grid.draw(Svg::new(Theme::Page)))
    }

    /// The classes that are drawn, in their order.
    fn shown(&self) -> Vec<usize> {
        let classes = self.confusion.classes.len();
        let mut wrong = vec![0u64; classes];
        for (label, row) in self.confusion.counts.iter().enumerate() {
            for (choice, count) in row.iter().enumerate().filter(|(c, _)| *c != label) {
                wrong[label] = wrong[label].saturating_add(*count);
                wrong[choice] = wrong[choice].saturating_add(*count);
            }
        }
        let mut shown: Vec<usize> = (0..classes).collect();
        shown.sort_by_key(|class| std::cmp::Reverse(wrong[*class]));
        shown.truncate(MOST);
        shown.sort_unstable();
        shown
    }

    fn caption(&self, shown: usize) -> String {
        let classes = &self.confusion.classes;
        let mistakes = self.confusion.mistakes();
        let most = mistakes.first().map(|(label, choice, count)| {
            format!(
                "Most often {} is taken for {} ({count} images).",
                classes[*label], classes[*choice]
            )
        });
        let left_out = (shown < classes.len()).then(|| {
            format!(
                "Drawn are the {shown} of {} classes with most mistakes.",
                classes.len()
            )
        });
        let parts: Vec<String> = most.into_iter().chain(left_out).collect();
        parts.join(" ")
    }
}
