//! Points on two axes.

use super::frame::{EDGE, Frame, Looks, PLAIN, check};
use super::palette::{BLUE, INK, VERMILION};
use super::svg::{Anchor, Font, Svg, Tip};
use super::text::width;
use super::{Axis, ChartError, Theme};

const RADIUS: f64 = 4.5;

pub(super) const LABEL: Font = Font {
    bold: true,
    colour: INK,
    ..PLAIN
};

/// Points on two axes, one for each architecture.
///
/// Pointed at, a point says its name and its numbers. Points with a label stand out, with the label beside them.
#[derive(Clone, Debug, PartialEq)]
pub struct Scatter {
    /// What the chart shows or asks.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The points.
    pub points: Vec<Point>,
    /// What follows from it, below; may be empty.
    pub caption: String,
}

/// A point of a [`Scatter`].
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// Where it lies on the horizontal axis.
    pub x: f64,
    /// Where it lies on the vertical axis.
    pub y: f64,
    /// What it is, such as the architecture.
    pub name: String,
    /// What is written beside it, if it is to be pointed out: a word or two.
    pub label: Option<String>,
}

impl Scatter {
    /// The chart as an SVG document, which may also stand in HTML as it is.
    ///
    /// # Errors
    /// [`ChartError::Empty`] if there are no points, [`ChartError::Value`] if a coordinate is NaN, infinite or beyond
    /// ±1e300.
    pub fn svg(&self) -> Result<String, ChartError> {
        if self.points.is_empty() {
            return Err(ChartError::Empty(self.title.clone()));
        }
        for point in &self.points {
            check(&point.name, &self.x, point.x)?;
            check(&point.name, &self.y, point.y)?;
        }
        let mut svg = Svg::new(Theme::Paper);
        let (x, y) = (
            self.points.iter().map(|p| p.x),
            self.points.iter().map(|p| p.y),
        );
        let looks = Looks::new(&self.title, &self.caption, [&self.x, &self.y]);
        let frame = Frame::draw(&mut svg, &looks, x, y);
        let places: Vec<_> = self
            .points
            .iter()
            .map(|p| frame.place([p.x, p.y]))
            .collect();
        // Those with a label lie above the others.
        for labelled in [false, true] {
            let points = self.points.iter().zip(&places);
            for (point, place) in points.filter(|(p, _)| p.label.is_some() == labelled) {
                let colour = if labelled { VERMILION } else { BLUE };
                let tip = Tip {
                    title: &self.says(point, &frame),
                    ..Tip::default()
                };
                svg.disc(*place, RADIUS, colour, 0.8, tip);
            }
        }
        let mut taken: Vec<_> = places.iter().map(|at| Area::around(*at)).collect();
        for (point, place) in self.points.iter().zip(&places) {
            if let Some(label) = &point.label {
                let (at, anchor, area) = beside(*place, label, &frame, &taken);
                taken.push(area);
                svg.text(label, at, anchor, LABEL);
            }
        }
        Ok(svg.finish(frame.size(), &self.title))
    }

    /// What a point says when it is pointed at.
    fn says(&self, point: &Point, frame: &Frame) -> String {
        frame.says(&point.name, [&self.x, &self.y], [point.x, point.y])
    }
}

/// A rectangle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Area {
    /// That of a point.
    pub(super) fn around([x, y]: [f64; 2]) -> Self {
        Self {
            left: x - RADIUS,
            right: x + RADIUS,
            top: y - RADIUS,
            bottom: y + RADIUS,
        }
    }

    /// What both cover, in square pixels.
    fn overlap(&self, other: &Self) -> f64 {
        let width = self.right.min(other.right) - self.left.max(other.left);
        let height = self.bottom.min(other.bottom) - self.top.max(other.top);
        width.max(0.0) * height.max(0.0)
    }

    /// Whether it lies within the frame's height and the paper's width.
    fn visible(&self, frame: &Frame) -> bool {
        self.left >= frame.left
            && self.right <= frame.width - EDGE / 2.0
            && self.top >= frame.top
            && self.bottom <= frame.bottom
    }
}

/// Where the label of a point goes: right of it, left, above, below or between these, whichever covers the least of
/// what is taken.
pub(super) fn beside(
    [x, y]: [f64; 2],
    label: &str,
    frame: &Frame,
    taken: &[Area],
) -> ([f64; 2], Anchor, Area) {
    let (away, rise) = (RADIUS + 4.0, 0.75 * LABEL.size);
    let width = width(label, LABEL);
    let [level, above, below] = [y + rise / 2.0, y - away, y + away + rise];
    let places = [
        (Anchor::Start, level),
        (Anchor::End, level),
        (Anchor::Middle, above),
        (Anchor::Middle, below),
        (Anchor::Start, above),
        (Anchor::End, above),
        (Anchor::Start, below),
        (Anchor::End, below),
    ];
    let places = places.map(|(anchor, base)| {
        // At a corner the point's own roundness gives some room.
        let side = if base == level { away } else { 0.5 * RADIUS };
        let (at, left) = match anchor {
            Anchor::Start => (x + side, x + side),
            Anchor::Middle => (x, x - width / 2.0),
            Anchor::End => (x - side, x - side - width),
        };
        let area = Area {
            left,
            right: left + width,
            top: base - rise,
            bottom: base + 3.0,
        };
        ([at, base], anchor, area)
    });
    // To be cut off is worse than any overlap.
    let cost = |area: &Area| {
        let overlap: f64 = taken.iter().map(|other| area.overlap(other)).sum();
        (!area.visible(frame), overlap)
    };
    let mut best = places[0];
    for place in places {
        if cost(&place.2) < cost(&best.2) {
            best = place;
        }
    }
    best
}
