//! What changed over the training.

use super::page::{Block, ReportError, Section};
use crate::chart::{Axis, Lines, Series};
use crate::record::{Bucket, Curve, EpochRecord, RunRecord};

/// Points of a drawn curve, at most.
const POINTS: usize = 160;

pub(super) fn section(run: &RunRecord) -> Result<Option<Section>, ReportError> {
    let history = run.history();
    let time = Time::of(run);
    let stepwise = |name: &str, curve: &Curve| time.series(name, curve, true);
    let epochwise = |name: &str, of: fn(&EpochRecord) -> Option<f64>| time.epochs(name, run, of);
    let lines = |title: &str, y: Axis, series: Vec<Series>| Lines {
        title: title.into(),
        x: time.axis(),
        y,
        series,
        log: [false, false],
        caption: String::new(),
    };
    let raw = Series {
        dashed: true,
        ..epochwise("raw weights", |e| e.raw?.top1)
    };
    let charts = [
        lines(
            "Loss",
            Axis::new("cross-entropy", ""),
            vec![
                stepwise("training", &history.loss),
                epochwise("held out", |e| e.validation?.loss),
            ],
        ),
        lines(
            "Accuracy",
            Axis::new("top-1", "%"),
            vec![
                stepwise("training", &history.top1),
                epochwise("held out", |e| e.validation?.top1),
                raw,
            ],
        ),
        lines(
            "Learning rate",
            Axis::new("learning rate", ""),
            vec![time.series("", &history.lr, false)],
        ),
        lines(
            "How much the teachers count",
            Axis::new("rho, the weight of distillation", ""),
            vec![stepwise("", &history.rho)],
        ),
        Lines {
            log: [false, true],
            ..lines(
                "Gradient",
                Axis::new("global norm before clipping", ""),
                vec![stepwise("", &history.grad_norm)],
            )
        },
        lines(
            "Cost of the paths trained",
            Axis::new("MACs", ""),
            match constant(&history.macs) {
                true => Vec::new(),
                false => vec![stepwise("", &history.macs)],
            },
        ),
        lines(
            "The meta network's lessons",
            Axis::new("cross-entropy on held-out images", ""),
            vec![stepwise("", &history.meta_loss)],
        ),
    ];
    let mut figures = Vec::new();
    for chart in charts {
        if chart.series.iter().any(|series| !series.points.is_empty()) {
            figures.push(chart.svg()?);
        }
    }
    if figures.is_empty() {
        return Ok(None);
    }
    let mut blocks = vec![Block::Figures(figures)];
    if history.loss.buckets().len() > POINTS || history.loss.steps_per_bucket() > 1 {
        let text = "Curves of single steps are means of neighbours; the area around them is from the least to the most.";
        blocks.insert(0, Block::Text(text.into()));
    }
    Ok(Section::of("curves", "Training", blocks))
}

/// Whether a curve has one value only.
fn constant(curve: &Curve) -> bool {
    let mut ends = curve.buckets().iter().flat_map(|b| [b.min, b.max]);
    let first = ends.next();
    ends.all(|end| Some(end) == first)
}

/// The horizontal axis of all curves: epochs, or steps where it is not known how many an epoch has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Time {
    steps_per_epoch: Option<u64>,
}

impl Time {
    pub(super) fn of(run: &RunRecord) -> Self {
        let start = run.history().start.as_ref();
        Self {
            steps_per_epoch: start.map(|s| s.steps_per_epoch).filter(|steps| *steps > 0),
        }
    }

    /// Steps, whatever is known.
    pub(super) fn in_steps() -> Self {
        Self {
            steps_per_epoch: None,
        }
    }

    pub(super) fn axis(&self) -> Axis {
        Axis::new(if self.in_epochs() { "epochs" } else { "steps" }, "")
    }

    pub(super) fn in_epochs(&self) -> bool {
        self.steps_per_epoch.is_some()
    }

    /// When so many steps were done.
    pub(super) fn at(&self, steps: f64) -> f64 {
        steps / self.steps_per_epoch.unwrap_or(1) as f64
    }

    /// A quantity of single steps; with the range around its means if `range`.
    pub(super) fn series(&self, name: &str, curve: &Curve, range: bool) -> Series {
        let thinned = thinned(curve.buckets());
        let range = range && thinned.iter().any(|bucket| bucket.count > 1);
        let points = thinned.iter().map(|b| {
            let middle = b.first as f64 / 2.0 + b.last as f64 / 2.0 + 1.0;
            [self.at(middle), b.mean]
        });
        Series {
            name: name.to_owned(),
            points: points.collect(),
            range: match range {
                true => thinned.iter().map(|b| [b.min, b.max]).collect(),
                false => Vec::new(),
            },
            dashed: false,
        }
    }

    /// A quantity of epochs.
    pub(super) fn epochs(
        &self,
        name: &str,
        run: &RunRecord,
        of: fn(&EpochRecord) -> Option<f64>,
    ) -> Series {
        let history = run.history();
        let epochs = &history.epochs;
        let steps = history
            .start
            .as_ref()
            .map_or(0, |start| start.steps_per_epoch);
        let every = epochs.len().div_ceil(POINTS).max(1);
        // The last one counts.
        let shown = epochs.iter().rev().step_by(every).collect::<Vec<_>>();
        let points = shown.into_iter().rev().filter_map(|epoch| {
            let end = (epoch.epoch as f64 + 1.0) * steps as f64;
            Some([self.at(end), of(epoch).filter(|value| value.is_finite())?])
        });
        Series {
            name: name.to_owned(),
            points: match steps {
                // Nobody knows where they would be.
                0 => Vec::new(),
                _ => points.collect(),
            },
            ..Series::default()
        }
    }
}

/// Neighbours merged until there are few enough to draw.
fn thinned(buckets: &[Bucket]) -> Vec<Bucket> {
    let every = buckets.len().div_ceil(POINTS).max(1);
    buckets
        .chunks(every)
        .map(|chunk| {
            let mut all = chunk[0];
            for bucket in &chunk[1..] {
                all.take_in(bucket);
            }
            all
        })
        .collect()
}
