//! What all charts on two axes have around their data: title, axes, grid, caption.

use super::palette::{GREY, GRID, INK};
use super::scale::Scale;
use super::svg::{Anchor, Font, Svg};
use super::text::{balanced, width, wrapped};
use super::{Axis, ChartError, LARGEST};

/// The width of a chart in pixels.
pub(super) const WIDTH: f64 = 480.0;

/// The width of a chart that stands in a page, which scales it: its text is readable where a telephone shrinks it.
pub(super) const PAGE_WIDTH: f64 = 420.0;

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
    /// The width of the whole chart, and its height.
    pub(super) width: f64,
    height: f64,
}

/// What a chart on two axes is to look like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Looks<'a> {
    /// What it shows; may be empty.
    pub(super) title: &'a str,
    /// What is said below; may be empty.
    pub(super) caption: &'a str,
    pub(super) axes: [&'a Axis; 2],
    /// Pixels of the whole.
    pub(super) width: f64,
    /// Pixels from the top to the bottom of the data.
    pub(super) plot_height: f64,
    /// Pixels at the right of the data for what is written there.
    pub(super) aside: f64,
    /// The axes on which equal distances are equal factors.
    pub(super) log: [bool; 2],
    /// Whether the horizontal axis ends where the data do.
    pub(super) tight: bool,
}

impl<'a> Looks<'a> {
    /// That of a chart by itself.
    pub(super) fn new(title: &'a str, caption: &'a str, axes: [&'a Axis; 2]) -> Self {
        Self {
            title,
            caption,
            axes,
            width: WIDTH,
            plot_height: PLOT_HEIGHT,
            aside: 0.0,
            log: [false; 2],
            tight: false,
        }
    }
}

impl Frame {
    /// Draws the frame for data at `x` and `y`, of which there must be some.
    pub(super) fn draw(
        svg: &mut Svg,
        looks: &Looks<'_>,
        x: impl Iterator<Item = f64> + Clone,
        y: impl Iterator<Item = f64> + Clone,
    ) -> Self {
        let [_, y_axis] = looks.axes;
        let lines = |text: &str, font: Font| wrapped(text, font, looks.width - 2.0 * EDGE);
        let mut base = heading(svg, looks.title, looks.width);
        for line in lines(&y_axis.heading(), PLAIN) {
            base += LINE;
            svg.text(&line, [EDGE, base - 4.0], Anchor::Start, PLAIN);
        }
        let y = Scale::of(y, TICKS[0], looks.log[1], false);
        let mut frame = Self::below(svg, looks, base, x, y, y.ticks());
        frame.under(svg, looks);
        frame
    }

    /// Draws the frame for data that lie in lanes, from the top to the bottom, at `x`, of which there must be some.
    pub(super) fn lanes(
        svg: &mut Svg,
        looks: &Looks<'_>,
        x: impl Iterator<Item = f64> + Clone,
    ) -> Self {
        let base = heading(svg, looks.title, looks.width);
        let y = Scale::of([0.0, 1.0].into_iter(), TICKS[0], false, true);
        let mut frame = Self::below(svg, looks, base, x, y, Vec::new());
        frame.under(svg, looks);
        frame
    }

    /// Axes with their grid, below `base`.
    fn below(
        svg: &mut Svg,
        looks: &Looks<'_>,
        base: f64,
        x: impl Iterator<Item = f64> + Clone,
        y: Scale,
        y_ticks: Vec<(f64, String)>,
    ) -> Self {
        let label_width = |label: &str| width(label, PLAIN);
        let widest = |ticks: &[(f64, String)]| {
            let widths = ticks.iter().map(|(_, label)| label_width(label));
            widths.fold(0.0, f64::max)
        };
        let beside = match y_ticks.is_empty() {
            true => 0.0,
            false => widest(&y_ticks) + 8.0,
        };
        let (top, left) = (base + 8.0, EDGE + beside);
        let (bottom, right) = (top + looks.plot_height, looks.width - EDGE - looks.aside);
        let scales = TICKS.map(|ticks| Scale::of(x.clone(), ticks, looks.log[0], looks.tight));
        let fits = |scale: &&Scale| {
            let ticks = scale.ticks();
            ticks.len() as f64 * (widest(&ticks) + GAP) <= right - left
        };
        let x = *scales.iter().find(fits).unwrap_or(&scales[TICKS.len() - 1]);

        let frame = Self {
            x,
            y,
            left,
            right,
            top,
            bottom,
            width: looks.width,
            height: 0.0,
        };
        for (value, label) in y_ticks {
            let at = frame.bottom - frame.y.place(value) * (frame.bottom - frame.top);
            svg.line([left, at], [right, at], GRID);
            svg.text(&label, [left - 8.0, at + 4.5], Anchor::End, PLAIN);
        }
        for (value, label) in x.ticks() {
            let at = frame.left + frame.x.place(value) * (frame.right - frame.left);
            svg.line([at, top], [at, bottom], GRID);
            // A label at the end of the axis stays on the paper.
            let half = label_width(&label) / 2.0;
            let middle = at.min(looks.width - half - 2.0);
            svg.text(&label, [middle, bottom + LINE], Anchor::Middle, PLAIN);
        }
        svg.line([left, bottom], [right, bottom], GREY);
        svg.line([left, top], [left, bottom], GREY);
        frame
    }

    /// The heading of the horizontal axis, and the caption.
    fn under(&mut self, svg: &mut Svg, looks: &Looks<'_>) {
        let mut base = self.bottom + LINE + 2.0;
        let heading = looks.axes[0].heading();
        for line in wrapped(&heading, PLAIN, looks.width - 2.0 * EDGE) {
            base += LINE;
            svg.text(&line, [self.right, base], Anchor::End, PLAIN);
        }
        base = caption(svg, looks.caption, base, looks.width);
        self.height = base + EDGE;
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
        [self.width, self.height]
    }

    /// What a point called `name` says when it is pointed at.
    pub(super) fn says(
        &self,
        name: &str,
        [x_axis, y_axis]: [&Axis; 2],
        [x, y]: [f64; 2],
    ) -> String {
        let (of_x, of_y) = (&x_axis.title, &y_axis.title);
        let x = x_axis.quantity(&self.x.number(x));
        let y = y_axis.quantity(&self.y.number(y));
        format!("{name}\n{of_x}: {x}\n{of_y}: {y}")
    }
}

/// Writes the title at the top, and returns where what follows begins.
pub(super) fn heading(svg: &mut Svg, title: &str, width: f64) -> f64 {
    let mut base = EDGE;
    for line in balanced(title, TITLE, width - 2.0 * EDGE) {
        base += 19.0;
        svg.text(&line, [EDGE, base - 4.0], Anchor::Start, TITLE);
    }
    base + 8.0
}

/// Writes what follows from the chart below `base`, and returns where that ends.
pub(super) fn caption(svg: &mut Svg, text: &str, base: f64, width: f64) -> f64 {
    let ink = Font {
        colour: INK,
        ..PLAIN
    };
    let mut base = base + 8.0;
    for line in wrapped(text, ink, width - 2.0 * EDGE) {
        base += LINE;
        svg.text(&line, [EDGE, base], Anchor::Start, ink);
    }
    base
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
