//! Accuracy against cost, with the front.

use std::collections::HashSet;

use super::frame::{Frame, Looks, PAGE_WIDTH, check};
use super::palette::{INK, VERMILION, series as colour_of};
use super::scatter::{Area, LABEL, beside};
use super::svg::{Font, Stroke, Svg, Tip};
use super::{Axis, ChartError, Point, Theme};

/// Points closer than this many pixels are drawn as one.
const GRAIN: f64 = 3.0;

/// What was evaluated, less of `x` and more of `y` being better, and for each group the line of those that none of it
/// beats in both.
///
/// Points with a label stand out, also with an empty one. Where many lie on top of each other one of them is drawn; none of a front is lost.
#[derive(Clone, Debug, PartialEq)]
pub struct Pareto {
    /// What the chart shows.
    pub title: String,
    /// The cost.
    pub x: Axis,
    /// The accuracy.
    pub y: Axis,
    /// Points that belong together, such as those of a run.
    pub groups: Vec<Group>,
    /// What follows from it, below; may be empty.
    pub caption: String,
}

/// Points of a [`Pareto`] that have a front of their own.
#[derive(Clone, Debug, PartialEq)]
pub struct Group {
    /// What they are, in a word or two; written where the front ends if there are several groups.
    pub name: String,
    /// The points.
    pub points: Vec<Point>,
}

impl Pareto {
    /// The chart as a fragment of a page.
    ///
    /// # Errors
    /// [`ChartError::Empty`] if there are no points, [`ChartError::Value`] if a coordinate is NaN, infinite or beyond
    /// ±1e300.
    pub fn svg(&self) -> Result<String, ChartError> {
        let points = || self.groups.iter().flat_map(|group| group.points.iter());
        if points().next().is_none() {
            return Err(ChartError::Empty(self.title.clone()));
        }
        for point in points() {
            check(&point.name, &self.x, point.x)?;
            check(&point.name, &self.y, point.y)?;
        }
        let looks = Looks {
            width: PAGE_WIDTH,
            plot_height: 250.0,
            log: [true, false],
            ..Looks::new(&self.title, &self.caption, [&self.x, &self.y])
        };
        let mut svg = Svg::new(Theme::Page);
        let (xs, ys) = (points().map(|p| p.x), points().map(|p| p.y));
        let frame = Frame::draw(&mut svg, &looks, xs, ys);
        let place = |point: &Point| frame.place([point.x, point.y]);
        let fronts: Vec<Vec<&Point>> = self.groups.iter().map(|g| front(&g.points)).collect();
        for (n, (group, front)) in self.groups.iter().zip(&fronts).enumerate() {
            let of_front: HashSet<*const Point> = front.iter().map(|p| &raw const **p).collect();
            let mut drawn = HashSet::new();
            for point in &group.points {
                let cell = place(point).map(|pixel| (pixel / GRAIN) as i64);
                let on_front = of_front.contains(&(&raw const *point));
                if !on_front && point.label.is_none() && drawn.insert(cell) {
                    self.disc(&mut svg, &frame, point, 3.0, (n, 0.4));
                }
            }
        }
        for (n, front) in fronts.iter().enumerate() {
            let stroke = Stroke {
                thickness: 1.6,
                opacity: 0.9,
                dashed: false,
            };
            svg.path(&steps(front, &frame), colour_of(n), stroke);
            for point in front {
                self.disc(&mut svg, &frame, point, 4.0, (n, 1.0));
            }
        }
        self.labels(&mut svg, &frame, &fronts);
        Ok(svg.finish(frame.size(), &self.title))
    }

    /// A point, in the colour of its group and so opaque.
    fn disc(
        &self,
        svg: &mut Svg,
        frame: &Frame,
        point: &Point,
        radius: f64,
        (group, opacity): (usize, f64),
    ) {
        let title = frame.says(&point.name, [&self.x, &self.y], [point.x, point.y]);
        let tip = Tip {
            name: &point.name,
            at: Some([point.x, point.y]),
            title: &title,
        };
        let colour = match point.label {
            Some(_) if self.groups.len() == 1 => VERMILION,
            _ => colour_of(group),
        };
        svg.disc(
            frame.place([point.x, point.y]),
            radius,
            colour,
            opacity,
            tip,
        );
    }

    /// The points that stand out with what is said of them, and the names of the groups.
    fn labels(&self, svg: &mut Svg, frame: &Frame, fronts: &[Vec<&Point>]) {
        let place = |point: &Point| frame.place([point.x, point.y]);
        let mut taken: Vec<Area> = (fronts.iter().flatten())
            .map(|point| Area::around(place(point)))
            .collect();
        let mut write = |at: [f64; 2], text: &str, colour, svg: &mut Svg| {
            let (at, anchor, area) = beside(at, text, frame, &taken);
            taken.push(area);
            svg.label(text, at, anchor, Font { colour, ..LABEL });
        };
        for (n, group) in self.groups.iter().enumerate() {
            for point in &group.points {
                if let Some(label) = &point.label {
                    self.disc(svg, frame, point, 5.5, (n, 1.0));
                    if !label.is_empty() {
                        write(place(point), label, INK, svg);
                    }
                }
            }
        }
        if self.groups.len() > 1 {
            for (n, (group, front)) in self.groups.iter().zip(fronts).enumerate() {
                // A point that is all there is has said what it is.
                let said = matches!(front[..], [Point { label: Some(_), .. }]);
                if let Some(last) = front.last().filter(|_| !said) {
                    write(place(last), &group.name, colour_of(n), svg);
                }
            }
        }
    }
}

/// The points that no other beats in both, of least cost first; of equals the first.
fn front(points: &[Point]) -> Vec<&Point> {
    let mut order: Vec<&Point> = points.iter().collect();
    order.sort_by(|a, b| a.x.total_cmp(&b.x).then(b.y.total_cmp(&a.y)));
    let mut best = f64::NEG_INFINITY;
    order.retain(|point| {
        let better = point.y > best;
        best = best.max(point.y);
        better
    });
    order
}

/// The front as a line: at each cost, the best that can be had for it.
fn steps(front: &[&Point], frame: &Frame) -> Vec<[f64; 2]> {
    let mut line: Vec<[f64; 2]> = Vec::new();
    for point in front {
        let [x, y] = frame.place([point.x, point.y]);
        if let Some([_, before]) = line.last().copied() {
            line.push([x, before]);
        }
        line.push([x, y]);
    }
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn point(x: f64, y: f64) -> Point {
        Point {
            x,
            y,
            name: String::new(),
            label: None,
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn the_front_is_what_nothing_beats(at in prop::collection::vec((0u8..20, 0u8..20), 0..40)) {
            let points: Vec<Point> = at.iter().map(|(x, y)| point(f64::from(*x), f64::from(*y))).collect();
            let found: Vec<[f64; 2]> = front(&points).iter().map(|p| [p.x, p.y]).collect();
            let beaten = |p: &Point| points.iter().any(|q| {
                (q.x <= p.x && q.y > p.y) || (q.x < p.x && q.y >= p.y)
            });
            let mut expected: Vec<[f64; 2]> = points.iter().filter(|p| !beaten(p)).map(|p| [p.x, p.y]).collect();
            expected.sort_by(|a, b| a[0].total_cmp(&b[0]));
            expected.dedup();
            prop_assert_eq!(found, expected);
        }
    }
}
