//! Charts as SVG: small files of plain text that any browser, page or printer shows.
//!
//! A chart is as high as its text needs, and scales. It is drawn in colours that the colour-blind tell apart (Okabe and
//! Ito), and needs neither scripts nor fonts: text is in whatever sans serif the viewer has.
//!
//! [`Scatter`], points on two axes, is a document of its own, on white. The others are fragments for a page, light or
//! dark, which has [`style`] once: [`Lines`], [`Pareto`], [`HeatMap`], [`Network`], [`BoardTimeline`] and
//! [`ConfusionMatrix`]. What can be pointed at in them has a `<title>`, the attribute `data-name` (of a network its
//! architecture) and, where there are axes, its numbers as `data-x` and `data-y`, for a page's own script.
//!
//! ```
//! use creamery_view::chart::{Axis, Point, Scatter};
//!
//! let point = |name: &str, x, y| Point { x, y, name: name.into(), label: None };
//! let chart = Scatter {
//!     title: "Does the supernet rank paths as training alone does?".into(),
//!     x: Axis::new("top-1 with the supernet's weights", "%"),
//!     y: Axis::new("top-1 trained alone", "%"),
//!     points: vec![point("tiny-32@28:1/05/3300", 45.5, 88.6), point("tiny-32@28:0/0/00", 39.5, 85.0)],
//!     caption: "tau-b 1.00, n = 2".into(),
//! };
//! assert!(chart.svg()?.starts_with("<svg"));
//! # Ok::<(), creamery_view::chart::ChartError>(())
//! ```

mod board_timeline;
mod confusion;
mod frame;
mod grid;
mod heat_map;
mod lines;
mod network;
mod palette;
mod pareto;
mod scale;
mod scatter;
mod svg;
mod text;

pub use board_timeline::{BoardTimeline, Tenure};
pub use confusion::ConfusionMatrix;
pub use heat_map::HeatMap;
pub use lines::{Lines, Series};
pub use network::Network;
pub use palette::style;
pub use pareto::{Group, Pareto};
pub use scatter::{Point, Scatter};

/// Where a chart stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Theme {
    /// By itself, on white.
    Paper,
    /// In a page, in whose colours it is drawn: those that [`style`] sets.
    Page,
}

/// The largest magnitude that is drawn: beyond it the ends of an axis would be no numbers any more.
const LARGEST: f64 = 1e300;

/// What one direction of a chart means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis {
    /// The quantity.
    pub title: String,
    /// Its unit, such as `%` or `ms`; empty if it has none. Counts get their `k` and `M` by themselves.
    pub unit: String,
}

impl Axis {
    /// An axis of a quantity in a unit, which may be empty.
    pub fn new(title: impl Into<String>, unit: impl Into<String>) -> Self {
        Self {
            title: title.into(),
            unit: unit.into(),
        }
    }

    /// `top-1 (%)`, or the title alone.
    fn heading(&self) -> String {
        if self.unit.is_empty() {
            self.title.clone()
        } else {
            format!("{} ({})", self.title, self.unit)
        }
    }

    /// A number of the axis with its unit: `45.5%`, `3.2 ms`.
    fn quantity(&self, number: &str) -> String {
        match self.unit.as_str() {
            "" => number.to_owned(),
            "%" => format!("{number}%"),
            unit => format!("{number} {unit}"),
        }
    }
}

/// Why a chart cannot be drawn.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ChartError {
    /// Nothing to draw.
    #[error("the chart `{0}` has no points: give at least one")]
    Empty(String),
    /// A coordinate that has no place on an axis.
    #[error(
        "`{name}` cannot be drawn, its `{axis}` is {value:e}: leave it out, or give a number within ±1e300"
    )]
    Value {
        /// Name of the point.
        name: String,
        /// Title of the axis.
        axis: String,
        /// The coordinate.
        value: f64,
    },
}
