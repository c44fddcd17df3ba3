//! Curves over one axis.

use super::frame::{EDGE, Frame, Looks, PAGE_WIDTH, PLAIN, check};
use super::palette::series as colour_of;
use super::svg::{Anchor, Font, Stroke, Svg, Tip};
use super::text::{clipped, width};
use super::{Axis, ChartError, Theme};

/// Places of a curve that tell of themselves.
const SPOTS: usize = 48;

/// The height of the part that holds the curves.
const PLOT_HEIGHT: f64 = 210.0;

/// The least distance between the names of two curves, base line to base line.
const APART: f64 = 15.0;

/// Curves over one axis, each with its name at its end.
#[derive(Clone, Debug, PartialEq)]
pub struct Lines {
    /// What the chart shows.
    pub title: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// The curves; those without points are left out.
    pub series: Vec<Series>,
    /// Whether equal distances are equal factors, of the horizontal and the vertical axis. An axis that has values
    /// that are not positive stays linear.
    pub log: [bool; 2],
    /// What follows from it, below; may be empty.
    pub caption: String,
}

/// A curve of [`Lines`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    /// What it is, in a word or two; may be empty.
    pub name: String,
    /// Its points, ascending along the horizontal axis.
    pub points: Vec<[f64; 2]>,
    /// The least and the most around each point, where a point stands for many values; else empty.
    pub range: Vec<[f64; 2]>,
    /// Whether it is drawn in dashes: of the same kind as the curve before it, and in its colour.
    pub dashed: bool,
}

impl Lines {
    /// The chart as a fragment of a page.
    ///
    /// # Errors
    /// [`ChartError::Empty`] if there are no points, [`ChartError::Value`] if a coordinate is NaN, infinite or beyond
    /// ±1e300.
    pub fn svg(&self) -> Result<String, ChartError> {
        let series: Vec<&Series> = (self.series.iter())
            .filter(|series| !series.points.is_empty())
            .collect();
        if series.is_empty() {
            return Err(ChartError::Empty(self.title.clone()));
        }
        for one in &series {
            for [x, y] in &one.points {
                check(&one.name, &self.x, *x)?;
                check(&one.name, &self.y, *y)?;
            }
            for end in one.range.iter().flatten() {
                check(&one.name, &self.y, *end)?;
            }
        }
        let font = |n: usize| Font {
            bold: true,
            colour: colour_of(n),
            ..PLAIN
        };
        let limit = 0.3 * PAGE_WIDTH;
        let names: Vec<String> = series
            .iter()
            .map(|series| clipped(&series.name, font(0), limit))
            .collect();
        let widest = names
            .iter()
            .map(|name| width(name, font(0)))
            .fold(0.0, f64::max);
        let looks = Looks {
            width: PAGE_WIDTH,
            plot_height: PLOT_HEIGHT.max(APART * names.len() as f64),
            aside: if widest > 0.0 { widest + 2.0 } else { 0.0 },
            log: self.log,
            tight: true,
            ..Looks::new(&self.title, &self.caption, [&self.x, &self.y])
        };
        let mut svg = Svg::new(Theme::Page);
        let points = || series.iter().flat_map(|series| series.points.iter());
        let ends = series
            .iter()
            .flat_map(|series| series.range.iter().flatten());
        let xs = points().map(|[x, _]| *x);
        let ys = points().map(|[_, y]| *y).chain(ends.copied());
        let frame = Frame::draw(&mut svg, &looks, xs, ys);

        let mut colours = Vec::new();
        for one in &series {
            let last = colours.last().copied();
            colours.push(match (last, one.dashed) {
                (Some(last), true) => last,
                (Some(last), false) => last + 1,
                (None, _) => 0,
            });
        }
        for (one, n) in series.iter().zip(&colours) {
            let around = |end: usize| {
                let points = one.points.iter().zip(&one.range);
                points.map(move |([x, _], range)| [*x, range[end]])
            };
            let area: Vec<_> = around(0)
                .chain(around(1).rev())
                .map(|at| frame.place(at))
                .collect();
            if !area.is_empty() {
                svg.area(&area, colour_of(*n), 0.15);
            }
        }
        for (one, n) in series.iter().zip(&colours) {
            let places: Vec<_> = one.points.iter().map(|at| frame.place(*at)).collect();
            let stroke = Stroke {
                thickness: 1.8,
                opacity: 1.0,
                dashed: one.dashed,
            };
            svg.path(&places, colour_of(*n), stroke);
            if let [only] = places[..] {
                svg.disc(only, 3.0, colour_of(*n), 1.0, Tip::default());
            }
        }
        for one in &series {
            let every = one.points.len().div_ceil(SPOTS);
            for at in one.points.iter().step_by(every) {
                let title = frame.says(&one.name, [&self.x, &self.y], *at);
                let tip = Tip {
                    name: &one.name,
                    at: Some(*at),
                    title: &title,
                };
                svg.spot(frame.place(*at), tip);
            }
        }
        let named =
            (series.iter().zip(&names).zip(&colours)).filter(|((_, name), _)| !name.is_empty());
        let ends = named.clone().map(|((series, _), _)| {
            let last = series.points[series.points.len() - 1];
            frame.place(last)[1] + 4.5
        });
        let bases = spread(ends.collect(), [frame.top + 8.0, frame.bottom + 4.5]);
        for (((_, name), n), base) in named.zip(bases) {
            svg.text(name, [frame.right + 6.0, base], Anchor::Start, font(*n));
        }
        debug_assert!(frame.right + EDGE <= frame.width);
        Ok(svg.finish(frame.size(), &self.title))
    }
}

/// Base lines near `wanted` that lie apart, within the bounds as far as there is room.
fn spread(wanted: Vec<f64>, [top, bottom]: [f64; 2]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));
    let mut bases = wanted;
    let mut least = top;
    for i in &order {
        bases[*i] = bases[*i].max(least);
        least = bases[*i] + APART;
    }
    let mut most = bottom;
    for i in order.iter().rev() {
        bases[*i] = bases[*i].min(most);
        most = bases[*i] - APART;
    }
    bases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lie_apart_and_within() {
        let bases = spread(vec![100.0, 101.0, 99.0, 300.0], [0.0, 200.0]);
        assert_eq!(bases, [114.0, 129.0, 99.0, 200.0]);
        let crowded = spread(vec![50.0; 3], [0.0, 50.0]);
        assert_eq!(crowded, [20.0, 35.0, 50.0]);
    }
}
