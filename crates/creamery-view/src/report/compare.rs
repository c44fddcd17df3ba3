//! Runs beside each other.

use std::collections::{BTreeMap, BTreeSet};

use toml::{Table as Settings, Value};

use super::curves::Time;
use super::page::{Block, Kind, ReportError, Section, Table};
use super::result::{accuracy, number, readable, seconds, text};
use super::{found, front};
use crate::chart::{Axis, Group, Lines, Pareto, Series};
use crate::record::RunRecord;
use crate::rounded_count;

/// Differing settings that are listed, at most.
const MOST_SETTINGS: usize = 60;

/// The runs' results in a table, their curves and fronts over each other, and the settings that differ.
pub(super) fn section(
    runs: &[&RunRecord],
    names: &[String],
) -> Result<Option<Section>, ReportError> {
    let mut blocks = vec![Block::Table(results(runs, names))];
    let mut figures = Vec::new();
    for chart in charts(runs, names) {
        if chart.series.iter().any(|series| !series.points.is_empty()) {
            figures.push(chart.svg()?);
        }
    }
    figures.extend(fronts(runs, names)?);
    blocks.push(Block::Figures(figures));
    if let Some(settings) = differences(runs, names) {
        blocks.push(Block::Text("Settings that differ:".into()));
        blocks.push(Block::Table(settings));
    }
    Ok(Section::of("comparison", "Comparison", blocks))
}

fn results(runs: &[&RunRecord], names: &[String]) -> Table {
    let mut table = Table::new(&[
        ("run", Kind::Text),
        ("task", Kind::Text),
        ("method", Kind::Text),
        ("data", Kind::Text),
        ("top-1", Kind::Number),
        ("of", Kind::Text),
        ("MACs", Kind::Number),
        ("parameters", Kind::Number),
        ("time", Kind::Number),
        ("images/s", Kind::Number),
        ("state", Kind::Text),
    ]);
    for (run, name) in runs.iter().zip(names) {
        let none = || "–".to_owned();
        let count = |path: &str| number(run, path).map_or_else(none, |n| rounded_count(n as u64));
        let (top1, of) =
            accuracy(run).map_or((none(), ""), |(top1, of)| (format!("{top1:.2}%"), of));
        table.rows.push(vec![
            name.clone(),
            run.task().to_owned(),
            text(run, "method", "method").unwrap_or_else(none),
            text(run, "dataset", "data.source").unwrap_or_else(none),
            top1,
            of.trim_start_matches("top-1 on ").to_owned(),
            count("macs"),
            count("params"),
            seconds(run).and_then(readable).unwrap_or_else(none),
            count("timing.images_per_second"),
            run.state().name().to_owned(),
        ]);
    }
    table
}

fn charts(runs: &[&RunRecord], names: &[String]) -> [Lines; 2] {
    // A common axis: epochs where all know theirs.
    let in_epochs = runs.iter().all(|run| Time::of(run).in_epochs());
    let axis = Axis::new(if in_epochs { "epochs" } else { "steps" }, "");
    let chart = |title: &str, y: Axis, of: &dyn Fn(&RunRecord, Time) -> [Series; 2]| {
        let series = runs.iter().zip(names).flat_map(|(run, name)| {
            let time = if in_epochs {
                Time::of(run)
            } else {
                Time::in_steps()
            };
            let [training, held_out] = of(run, time);
            let both = !training.points.is_empty() && !held_out.points.is_empty();
            let training_name = name.clone();
            let held_out_name = if both { String::new() } else { name.clone() };
            [
                Series {
                    name: training_name,
                    range: Vec::new(),
                    ..training
                },
                Series {
                    name: held_out_name,
                    dashed: both,
                    ..held_out
                },
            ]
        });
        let series: Vec<Series> = series.collect();
        let dashed = series.iter().any(|series| series.dashed);
        Lines {
            title: title.into(),
            x: axis.clone(),
            y,
            series,
            log: [false, false],
            caption: match dashed {
                true => "Dashed: on held-out images.".into(),
                false => String::new(),
            },
        }
    };
    [
        chart("Loss", Axis::new("cross-entropy", ""), &|run, time| {
            [
                time.series("", &run.history().loss, false),
                time.epochs("", run, |e| e.validation?.loss),
            ]
        }),
        chart("Accuracy", Axis::new("top-1", "%"), &|run, time| {
            [
                time.series("", &run.history().top1, false),
                time.epochs("", run, |e| e.validation?.top1),
            ]
        }),
    ]
}

fn fronts(runs: &[&RunRecord], names: &[String]) -> Result<Option<String>, ReportError> {
    let groups = runs.iter().zip(names).filter_map(|(run, name)| {
        let winner = found::network(run).map(|found| found.architecture);
        let label =
            |of: &creamery_space::Architecture| (winner.as_ref() == Some(of)).then(String::new);
        // Of one measure only: scores of the board are of other images than evaluations.
        let mut groups = front::groups(run, |cost| cost.macs as f64, &label);
        (!groups.is_empty()).then(|| Group {
            name: name.clone(),
            ..groups.swap_remove(0)
        })
    });
    let groups: Vec<Group> = groups.collect();
    if groups.is_empty() {
        return Ok(None);
    }
    let chart = Pareto {
        title: "Accuracy against cost".into(),
        x: Axis::new("MACs", ""),
        y: Axis::new("top-1 on held-out images", "%"),
        groups,
        caption: "Larger: the runs' winners.".into(),
    };
    Ok(Some(chart.svg()?))
}

/// The settings that are not the same everywhere.
fn differences(runs: &[&RunRecord], names: &[String]) -> Option<Table> {
    let flat: Vec<BTreeMap<String, String>> = runs
        .iter()
        .map(|run| {
            let mut settings = BTreeMap::new();
            if let Some(config) = run.config() {
                flatten("", config, &mut settings);
            }
            settings
        })
        .collect();
    let keys: BTreeSet<&String> = flat.iter().flat_map(BTreeMap::keys).collect();
    // What one kind of run has and another has not is no difference between these.
    let same = |key: &String| {
        let all = runs.iter().zip(&flat);
        all.clone().all(|(run, settings)| {
            let value = settings.get(key);
            all.clone().all(|(other, others)| {
                let other_value = others.get(key);
                value == other_value
                    || (run.task() != other.task() && (value.is_none() || other_value.is_none()))
            })
        })
    };
    let differ = keys.into_iter().filter(|key| !same(key));
    let mut columns = vec![("setting".to_owned(), Kind::Text)];
    columns.extend(names.iter().map(|name| (name.clone(), Kind::Text)));
    let rows = differ.take(MOST_SETTINGS).map(|key| {
        let values = flat.iter().map(|settings| settings.get(key).cloned());
        let values = values.map(|value| value.unwrap_or_else(|| "–".into()));
        std::iter::once(key.clone()).chain(values).collect()
    });
    let rows: Vec<Vec<String>> = rows.collect();
    (!rows.is_empty()).then_some(Table { columns, rows })
}

/// The settings by their dotted names.
fn flatten(above: &str, settings: &Settings, into: &mut BTreeMap<String, String>) {
    for (key, value) in settings {
        let name = match above {
            "" => key.clone(),
            above => format!("{above}.{key}"),
        };
        match value {
            Value::Table(inner) => flatten(&name, inner, into),
            Value::String(text) => drop(into.insert(name, text.clone())),
            other => drop(into.insert(name, other.to_string())),
        }
    }
}
