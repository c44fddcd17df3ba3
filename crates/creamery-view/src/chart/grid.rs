//! Cells in rows and columns, the darker the more.

use super::frame::{EDGE, PLAIN, caption, heading};
use super::palette::{BLUE, GRID, INK, PAPER, VERMILION};
use super::svg::{Anchor, Font, Svg, Tip};
use super::text::{clipped, width};

/// The widest that the names of rows get.
const NAMES: f64 = 110.0;

/// Cells with names of their rows and columns.
pub(super) struct Grid<'a> {
    pub(super) title: &'a str,
    pub(super) caption: &'a str,
    /// What the rows are, and the columns; may be empty.
    pub(super) of: [&'a str; 2],
    pub(super) rows: &'a [String],
    pub(super) columns: &'a [String],
    /// Row after row.
    pub(super) cells: Vec<Vec<Cell>>,
    /// Pixels of the whole.
    pub(super) width: f64,
    /// The most pixels of a cell's height.
    pub(super) tallest: f64,
}

/// A cell of a [`Grid`].
#[derive(Clone, Debug, Default)]
pub(super) struct Cell {
    /// How dark it is, 0 to 1; nothing is drawn without.
    pub(super) share: Option<f64>,
    /// What is written in it where there is room.
    pub(super) text: String,
    /// What it says when it is pointed at.
    pub(super) says: String,
    /// Whether it is pointed out.
    pub(super) marked: bool,
}

impl Grid<'_> {
    pub(super) fn draw(&self, mut svg: Svg) -> String {
        let longest = |names: &[String]| {
            let widths = names.iter().map(|name| width(name, PLAIN));
            widths.fold(0.0, f64::max).min(NAMES)
        };
        let mut top = heading(&mut svg, self.title, self.width);
        let [of_rows, of_columns] = self.of;
        if !of_rows.is_empty() || !of_columns.is_empty() {
            top += 14.0;
            svg.text(of_rows, [EDGE, top], Anchor::Start, PLAIN);
            svg.text(of_columns, [self.width - EDGE, top], Anchor::End, PLAIN);
        }
        let left = EDGE + longest(self.rows) + 8.0;
        let mut right = self.width - EDGE;
        let per_column = |right: f64| (right - left) / self.columns.len().max(1) as f64;
        let level = longest(self.columns) + 4.0 <= per_column(right);
        if let (Some(last), false) = (self.columns.last(), level) {
            // A turned name leans to the right of its column.
            let lean = 0.65 * width(last, PLAIN).min(NAMES) + 3.0 - per_column(right) / 2.0;
            right = right.min(self.width - lean.max(EDGE));
        }
        let across = per_column(right);
        let down = across.clamp(10.0, self.tallest);
        let named = match level {
            true => 20.0,
            // The height of a turned name.
            false => 0.77 * longest(self.columns) + 22.0,
        };
        top += named;
        for (i, name) in self.columns.iter().enumerate() {
            let middle = left + (i as f64 + 0.5) * across;
            match level {
                true => svg.text(name, [middle, top - 6.0], Anchor::Middle, PLAIN),
                false => {
                    let name = clipped(name, PLAIN, NAMES);
                    let at = [middle + 3.0, top - 6.0];
                    svg.turned_text(&name, at, Anchor::Start, PLAIN, -50.0);
                }
            }
        }
        for (i, (name, cells)) in self.rows.iter().zip(&self.cells).enumerate() {
            let y = top + i as f64 * down;
            let name = clipped(name, PLAIN, NAMES);
            svg.text(
                &name,
                [left - 8.0, y + down / 2.0 + 4.5],
                Anchor::End,
                PLAIN,
            );
            for (j, cell) in cells.iter().enumerate() {
                self.cell(
                    &mut svg,
                    cell,
                    [left + j as f64 * across, y],
                    [across, down],
                );
            }
        }
        let bottom = top + self.rows.len() as f64 * down;
        let bottom = caption(&mut svg, self.caption, bottom, self.width);
        svg.finish([self.width, bottom + EDGE], self.title)
    }

    fn cell(&self, svg: &mut Svg, cell: &Cell, [x, y]: [f64; 2], [across, down]: [f64; 2]) {
        let Some(share) = cell.share else {
            return;
        };
        let share = share.clamp(0.0, 1.0);
        let (corner, size) = ([x + 0.75, y + 0.75], [across - 1.5, down - 1.5]);
        let tip = Tip {
            title: &cell.says,
            ..Tip::default()
        };
        // The ground shows where a cell is empty, and carries what is told.
        svg.rect(corner, size, 2.0, GRID, 0.45, tip);
        if share > 0.0 {
            svg.rect(corner, size, 2.0, BLUE, 0.06 + 0.94 * share, tip);
        }
        let font = Font {
            size: 11.0_f64.min(down - 3.0),
            colour: if share > 0.5 { PAPER } else { INK },
            bold: cell.marked,
        };
        if width(&cell.text, font) <= across - 2.0 && font.size >= 8.0 {
            let middle = [x + across / 2.0, y + down / 2.0 + 0.36 * font.size];
            svg.text(&cell.text, middle, Anchor::Middle, font);
        }
        if cell.marked {
            svg.outline(corner, size, 2.0, VERMILION, 2.0);
        }
    }
}
