//! Shares in rows and columns.

use super::frame::PAGE_WIDTH;
use super::grid::{Cell, Grid};
use super::svg::Svg;
use super::{ChartError, Theme};

/// Shares in rows and columns, the darker the more: how often each operation ran at each place, say.
#[derive(Clone, Debug, PartialEq)]
pub struct HeatMap {
    /// What the chart shows.
    pub title: String,
    /// What the rows are, and the columns; may be empty.
    pub of: [String; 2],
    /// Names of the rows.
    pub rows: Vec<String>,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Row after row, shares from 0 to 1; what is not a number does not exist and stays empty.
    pub shares: Vec<Vec<f64>>,
    /// Row and column of cells that are pointed out.
    pub marked: Vec<(usize, usize)>,
    /// What follows from it, below; may be empty.
    pub caption: String,
}

impl HeatMap {
    /// The chart as a fragment of a page.
    ///
    /// # Errors
    /// [`ChartError::Empty`] if there are no cells.
    pub fn svg(&self) -> Result<String, ChartError> {
        if self.rows.is_empty() || self.columns.is_empty() {
            return Err(ChartError::Empty(self.title.clone()));
        }
        let cell = |i: usize, j: usize, share: f64| {
            let percent = format!("{:.0}", 100.0 * share);
            Cell {
                share: Some(share).filter(|share| share.is_finite()),
                says: format!("{}, {}: {percent}%", self.rows[i], self.columns[j]),
                text: percent,
                marked: self.marked.contains(&(i, j)),
            }
        };
        let rows = self.shares.iter().take(self.rows.len()).enumerate();
        let cells = rows.map(|(i, row)| {
            let row = row.iter().take(self.columns.len()).enumerate();
            row.map(|(j, share)| cell(i, j, *share)).collect()
        });
        let grid = Grid {
            title: &self.title,
            caption: &self.caption,
            of: [&self.of[0], &self.of[1]],
            rows: &self.rows,
            columns: &self.columns,
            cells: cells.collect(),
            width: PAGE_WIDTH,
            tallest: 20.0,
        };
        Ok(grid.draw(Svg::new(Theme::Page)))
    }
}
