//! Accuracy against cost of all that was evaluated.

use creamery_space::{Architecture, Cost};

use super::found;
use super::page::{Block, ReportError, Section};
use crate::chart::{Axis, Group, Pareto, Point};
use crate::record::RunRecord;

pub(super) fn section(run: &RunRecord) -> Result<Option<Section>, ReportError> {
    let winner = found::network(run).map(|found| (found.architecture, found.why));
    let label = |architecture: &Architecture| {
        let (of, why) = winner.as_ref()?;
        (of == architecture).then(|| (*why).to_owned())
    };
    let groups = |x: fn(&Cost) -> f64| groups(run, x, &label);
    let macs = groups(|cost| cost.macs as f64);
    if macs.is_empty() {
        return Ok(None);
    }
    let timed = |group: &Group| group.points.iter().all(|point| point.x > 0.0);
    let chart = |x: Axis, groups: Vec<Group>| Pareto {
        title: format!("Accuracy against {}", x.title),
        x,
        y: Axis::new("top-1 on held-out images", "%"),
        groups,
        caption: String::new(),
    };
    let mut figures = vec![chart(Axis::new("MACs", ""), macs).svg()?];
    let latency = groups(|cost| cost.latency_ns as f64 / 1e6);
    if latency.iter().all(timed) {
        figures.push(chart(Axis::new("latency", "ms"), latency).svg()?);
    }
    let params = groups(|cost| cost.params as f64);
    figures.push(chart(Axis::new("parameters", ""), params).svg()?);
    let evaluations = &run.history().evaluations;
    let text = match (evaluations.done, run.history().board.tenures().len()) {
        (0, board) => format!("{board} paths that were on the board, by their last score."),
        (done, 0) => format!("{done} paths that were evaluated."),
        (done, board) => format!(
            "{done} paths that were evaluated at the end, and {board} that were on the board while it trained, by their last score."
        ),
    };
    let text = format!("{text} The line is the front: for each cost the best that can be had.");
    let blocks = vec![Block::Text(text), Block::Figures(figures)];
    Ok(Section::of("front", "Accuracy against cost", blocks))
}

/// The evaluated paths, and those of the board.
pub(super) fn groups(
    run: &RunRecord,
    x: fn(&Cost) -> f64,
    label: &dyn Fn(&Architecture) -> Option<String>,
) -> Vec<Group> {
    let history = run.history();
    let point = |architecture: &Architecture, cost: &Cost, y: f64, label: Option<String>| Point {
        x: x(cost),
        y,
        name: architecture.to_string(),
        label,
    };
    let mut labelled = false;
    let evaluated = history.evaluations.kept().iter();
    let evaluated: Vec<Point> = evaluated
        .filter(|e| e.top1.is_finite())
        .map(|e| {
            let label = label(&e.architecture).filter(|_| !labelled);
            labelled |= label.is_some();
            point(&e.architecture, &e.cost, e.top1, label)
        })
        .collect();
    let tenures = history.board.tenures().iter();
    let board: Vec<Point> = tenures
        .filter_map(|t| {
            let label = label(&t.architecture).filter(|_| !labelled);
            labelled |= label.is_some();
            Some(point(&t.architecture, &t.cost, t.score?, label))
        })
        .collect();
    [("evaluated", evaluated), ("board", board)]
        .into_iter()
        .filter(|(_, points)| !points.is_empty())
        .map(|(name, points)| Group {
            name: name.to_owned(),
            points,
        })
        .collect()
}
