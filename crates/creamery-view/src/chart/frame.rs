//! What all charts on two axes have around their data: title, axes, grid, caption.

use super::palette::{GREY, GRID, INK};
use super::scale::Scale;
use super::svg::{Anchor, Font, Svg};
use super::text::{balanced, width, wrapped};
use super::{Axis, ChartError, LARGEST};

/// The width of a chart in pixels.
pub(super) const WIDTH: f64 = 480.0;

/// Room that stays free at the edges.
pub(super) const EDGE: f64 = 14.0;

/// The height of the part that holds the data.
const PLOT_HEIGHT: f64 = 290.0;

/// The least distance between two labels of an axis.
const GAP: f64 = 14.0;

/// Ticks from which the fitting number is taken.
const TICKS: [usize; 4] = [6, 5, 4, 3];

const TITLE: Font = Font {
    size: 15.0,
    bold: true,
    colour: INK,
};

/// All text but the title.
pub(super) const PLAIN: Font = Font {
    size: 12.5,
    bold: false,
    colour: GREY,
};

/// A line of plain text, base line to base line.
const LINE: f64 = 17.0;

/// The part of a chart that holds the data, with the frame drawn around it.
pub(super) struct Frame {
    pub(super) x: Scale,
    pub(super) y: Scale,
    /// Pixels of the sides.
    pub(super) left: f64,
    pub(super) right: f64,
    pub(super) top: f64,
    pub(super) bottom: f64,
    /// The height of the whole chart.
    height: f64,
}

impl Frame {
    /// Draws the frame for data at `x` and `y`, of which there must be some.
    pub(super) fn draw(
        svg: &mut Svg,
        title: &str,
        caption: &str,
        [x_axis, y_axis]: [&Axis; 2],
        x: impl Iterator<Item = f64> + Clone,
        y: impl Iterator<Item = f64> + Clone,
    ) -> Self {
        let lines = |text: &str, font: Font| wrapped(text, font, WIDTH - 2.0 * EDGE);
        let mut base = EDGE;
        for line in balanced(title, TITLE, WIDTH - 2.0 * EDGE) {
            base += 19.0;
            svg.text(&line, [EDGE, base - 4.0], Anchor::Start, TITLE);
        }
        base += 8.0;
        for line in lines(&y_axis.heading(), PLAIN) {
            base += LINE;
            svg.text(&line, [EDGE, base - 4.0], Anchor::Start, PLAIN);
        }

        let y = Scale::over(y, TICKS[0]);
        let label_width = |label: &str| width(label, PLAIN);
        let widest = |scale: &Scale| {
            let ticks = scale.ticks();
            ticks
                .iter()
                .fold(0.0, |most: f64, (_, label)| most.max(label_width(label)))
        };
        let (top, left) = (base + 8.0, EDGE + widest(&y) + 8.0);
        let (bottom, right) = (top + PLOT_HEIGHT, WIDTH - EDGE);
        let scales = TICKS.map(|ticks| Scale::over(x.clone(), ticks));
        let fits = |scale: &&Scale| {
            let ticks = scale.ticks().len() as f64;
            ticks * (widest(scale) + GAP) <= right - left
        };
        let x = *scales.iter().find(fits).unwrap_or(&scales[TICKS.len() - 1]);

        let mut frame = Self {
            x,
            y,
            left,
            right,
            top,
            bottom,
            height: 0.0,
        };
        for (value, label) in y.ticks() {
            let [_, at] = frame.place([0.0, value]);
            svg.line([left, at], [right, at], GRID);
            svg.text(&label, [left - 8.0, at + 4.5], Anchor::End, PLAIN);
        }
        for (value, label) in x.ticks() {
            let [at, _] = frame.place([value, 0.0]);
            svg.line([at, top], [at, bottom], GRID);
            // A label at the end of the axis stays on the paper.
            let half = label_width(&label) / 2.0;
            let middle = at.min(WIDTH - half - 2.0);
            svg.text(&label, [middle, bottom + LINE], Anchor::Middle, PLAIN);
        }
        svg.line([left, bottom], [right, bottom], GREY);
        svg.line([left, top], [left, bottom], GREY);

        let mut base = bottom + LINE + 2.0;
        for line in lines(&x_axis.heading(), PLAIN) {
            base += LINE;
            svg.text(&line, [right, base], Anchor::End, PLAIN);
        }
        base += 8.0;
        let ink = Font {
            colour: INK,
            ..PLAIN
        };
        for line in lines(caption, ink) {
            base += LINE;
            svg.text(&line, [EDGE, base], Anchor::Start, ink);
        }
        frame.height = base + EDGE;
        frame
    }

    /// Where a point of the data lies, in pixels.
    pub(super) fn place(&self, [x, y]: [f64; 2]) -> [f64; 2] {
        [
            self.left + self.x.place(x) * (self.right - self.left),
            self.bottom - self.y.place(y) * (self.bottom - self.top),
        ]
    }

    /// The size of the whole chart.
    pub(super) fn size(&self) -> [f64; 2] {
        [WIDTH, self.height]
    }
}

/// An error if the coordinate of what is called `name` cannot be drawn.
pub(super) fn check(name: &str, axis: &Axis, value: f64) -> Result<(), ChartError> {
    if value.abs() <= LARGEST {
        return Ok(());
    }
    Err(ChartError::Value {
        name: name.to_owned(),
        axis: axis.title.clone(),
        value,
    })
}
