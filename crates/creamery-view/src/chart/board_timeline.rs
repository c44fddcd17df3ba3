//! The board over time: who entered, who left, who taught whom.

use super::frame::{EDGE, Frame, Looks, PAGE_WIDTH, PLAIN, check};
use super::palette::{BLUE, GREY, INK, PAPER, VERMILION};
use super::svg::{Anchor, Font, Stroke, Svg, Tip};
use super::text::width;
use super::{Axis, ChartError, Theme};

/// The height of a bar, and of the lane that it is in.
const BAR: f64 = 11.0;
const LANE: f64 = 15.0;

/// Entries of a prioritized board over time: a bar for each from its entry to its departure, the darker the better its
/// score. A line leads from the entry that taught a path to the path when it entered.
#[derive(Clone, Debug, PartialEq)]
pub struct BoardTimeline {
    /// What the chart shows.
    pub title: String,
    /// Time.
    pub x: Axis,
    /// Who was ever on the board, in the order of their entry.
    pub tenures: Vec<Tenure>,
    /// What follows from it, below; may be empty.
    pub caption: String,
}

/// One entry's time on the board.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenure {
    /// The path.
    pub name: String,
    /// When it entered.
    pub from: f64,
    /// When it left, or when the run was last heard of.
    pub to: f64,
    /// Its last score: top-1 in percent.
    pub score: f64,
    /// What is said of it besides when it is pointed at; lines.
    pub details: String,
    /// Which of the entries taught it when it entered, if one did.
    pub teacher: Option<usize>,
    /// What is written on it, if it is to be pointed out: a word.
    pub label: Option<String>,
    /// Entries of the same part of the board lie together.
    pub bucket: usize,
}

impl BoardTimeline {
    /// The chart as a fragment of a page.
    ///
    /// # Errors
    /// [`ChartError::Empty`] if nobody was ever on the board, [`ChartError::Value`] if a time or a score is NaN,
    /// infinite or beyond ±1e300.
    pub fn svg(&self) -> Result<String, ChartError> {
        if self.tenures.is_empty() {
            return Err(ChartError::Empty(self.title.clone()));
        }
        let score = Axis::new("score", "%");
        for tenure in &self.tenures {
            for time in [tenure.from, tenure.to] {
                check(&tenure.name, &self.x, time)?;
            }
            check(&tenure.name, &score, tenure.score)?;
        }
        let (lanes, count) = self.lanes();
        let mut svg = Svg::new(Theme::Page);
        let looks = Looks {
            width: PAGE_WIDTH,
            plot_height: LANE * count as f64 + 6.0,
            tight: true,
            ..Looks::new(&self.title, &self.caption, [&self.x, &score])
        };
        let times = self.tenures.iter().flat_map(|t| [t.from, t.to]);
        let frame = Frame::lanes(&mut svg, &looks, times);
        let middle = |lane: usize| frame.top + 3.0 + LANE * (lane as f64 + 0.5);
        let across = |time: f64| frame.place([time, 0.0])[0];

        for (i, tenure) in self.tenures.iter().enumerate() {
            let Some(teacher) = tenure.teacher.filter(|teacher| *teacher < i) else {
                continue;
            };
            let x = across(tenure.from);
            let line = [[x, middle(lanes[teacher])], [x, middle(lanes[i])]];
            let stroke = Stroke {
                thickness: 1.0,
                opacity: 0.55,
                dashed: false,
            };
            svg.path(&line, GREY, stroke);
            svg.disc(line[0], 2.2, GREY, 1.0, Tip::default());
        }
        let (low, high) = (self.tenures.iter()).fold((f64::MAX, f64::MIN), |(low, high), t| {
            (low.min(t.score), high.max(t.score))
        });
        for (tenure, lane) in self.tenures.iter().zip(&lanes) {
            let (from, to) = (across(tenure.from), across(tenure.to));
            let good = (tenure.score - low) / (high - low).max(f64::MIN_POSITIVE);
            let title = format!(
                "{}\n{:.1}% top-1\n{}",
                tenure.name, tenure.score, tenure.details
            );
            let tip = Tip {
                name: &tenure.name,
                at: Some([tenure.from, tenure.score]),
                title: title.trim_end(),
            };
            let corner = [from, middle(*lane) - BAR / 2.0];
            let size = [(to - from).max(1.5), BAR];
            svg.rect(corner, size, 2.0, PAPER, 1.0, Tip::default());
            svg.rect(corner, size, 2.0, BLUE, 0.22 + 0.78 * good, tip);
            let font = Font {
                size: 10.0,
                bold: true,
                colour: if good > 0.45 { PAPER } else { INK },
            };
            let text = match &tenure.label {
                Some(label) => {
                    svg.outline(corner, size, 2.0, VERMILION, 1.6);
                    format!("{label} {:.1}%", tenure.score)
                }
                None => format!("{:.1}%", tenure.score),
            };
            if width(&text, font) + 8.0 <= size[0] {
                let at = [to - 4.0, middle(*lane) + 3.6];
                svg.text(&text, at, Anchor::End, font);
            } else if let Some(label) = &tenure.label {
                let at = [from - 4.0, middle(*lane) + 4.0];
                svg.text(label, at, Anchor::End, PLAIN);
            }
        }
        debug_assert!(frame.left >= EDGE);
        Ok(svg.finish(frame.size(), &self.title))
    }

    /// The lane of each entry, and how many there are: an entry takes the first that is free, below those of the
    /// buckets before.
    fn lanes(&self) -> (Vec<usize>, usize) {
        let mut lanes = vec![0; self.tenures.len()];
        let mut first = 0;
        let buckets: std::collections::BTreeSet<usize> =
            self.tenures.iter().map(|t| t.bucket).collect();
        for bucket in buckets {
            let mut busy_until: Vec<f64> = Vec::new();
            let own = self.tenures.iter().enumerate();
            for (i, tenure) in own.filter(|(_, t)| t.bucket == bucket) {
                let free = busy_until.iter().position(|until| *until <= tenure.from);
                let lane = free.unwrap_or(busy_until.len());
                match busy_until.get_mut(lane) {
                    Some(until) => *until = tenure.to,
                    None => busy_until.push(tenure.to),
                }
                lanes[i] = first + lane;
            }
            first += busy_until.len();
        }
        (lanes, first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tenure(from: f64, to: f64, bucket: usize) -> Tenure {
        Tenure {
            name: "a".into(),
            from,
            to,
            score: 50.0,
            details: String::new(),
            teacher: None,
            label: None,
            bucket,
        }
    }

    #[test]
    fn a_lane_is_taken_again_when_it_is_free() {
        let timeline = BoardTimeline {
            title: "board".into(),
            x: Axis::new("epochs", ""),
            tenures: vec![
                tenure(0.0, 2.0, 0),
                tenure(1.0, 9.0, 1),
                tenure(1.0, 3.0, 0),
                tenure(2.0, 9.0, 0),
            ],
            caption: String::new(),
        };
        assert_eq!(timeline.lanes(), (vec![0, 2, 1, 0], 3));
        assert!(timeline.svg().is_ok());
    }
}
