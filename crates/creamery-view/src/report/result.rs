//! What came out.

use serde_json::Value;

use super::page::{Block, Kind, ReportError, Section, Table, Tile, bytes, percent};
use crate::chart::ConfusionMatrix;
use crate::duration;
use crate::record::RunRecord;
use crate::rounded_count;

/// Rows of the table of classes, at most.
const MOST_CLASSES: usize = 200;

/// A number somewhere in the result.
pub fn number(run: &RunRecord, path: &str) -> Option<f64> {
    let mut keys = path.split('.');
    let first = run.result()?.get(keys.next()?)?;
    let found = keys.try_fold(first, |value, key| value.get(key))?;
    found.as_f64().filter(|number| number.is_finite())
}

/// A text of the result, or else a setting.
pub fn text(run: &RunRecord, of_result: &str, setting: &str) -> Option<String> {
    let found = run.result().and_then(|result| result.get(of_result));
    let found = found.and_then(Value::as_str).map(str::to_owned);
    found.or_else(|| {
        let setting = run.setting(setting)?;
        Some(
            setting
                .as_str()
                .map_or_else(|| setting.to_string(), str::to_owned),
        )
    })
}

/// A line about the run: what it is, of what, and whether it is done.
pub(super) fn lead(run: &RunRecord) -> String {
    let mut parts = vec![run.task().to_owned()];
    parts.extend(text(run, "method", "method"));
    let selector = text(run, "selector", "select.selector");
    parts.extend(selector.map(|selector| format!("winner by {selector}")));
    parts.extend(text(run, "space", "space"));
    parts.extend(text(run, "dataset", "data.source"));
    let seed = number(run, "seed").map(|seed| seed.to_string());
    let seed = seed.or_else(|| run.setting("seed").map(ToString::to_string));
    parts.extend(seed.map(|seed| format!("seed {seed}")));
    parts.push(run.state().name().to_owned());
    parts.join(" · ")
}

/// The accuracy that counts, in percent, and of what it is.
pub fn accuracy(run: &RunRecord) -> Option<(f64, &'static str)> {
    if let Some(top1) = number(run, "top1") {
        return Some((top1, "top-1 on test images"));
    }
    if let Some(top1) = number(run, "validation.top1") {
        return Some((top1, "top-1 on held-out images"));
    }
    let history = run.history();
    if let Some(best) = history.evaluations.best() {
        return Some((best.top1, "best top-1 so far"));
    }
    let scores = history.board.current().filter_map(|t| t.score);
    if let Some(best) = scores.reduce(f64::max) {
        return Some((best, "best on the board so far"));
    }
    let validated = history.epochs.iter().rev();
    let top1 = validated.filter_map(|e| e.validation?.top1).next()?;
    Some((top1, "top-1 on held-out images so far"))
}

/// Seconds of work.
pub fn seconds(run: &RunRecord) -> Option<f64> {
    let finished = run.history().finished.and_then(|(_, seconds)| seconds);
    number(run, "timing.seconds").or(finished)
}

/// Seconds for people; what no duration can be is not shown.
pub(super) fn readable(seconds: f64) -> Option<String> {
    std::time::Duration::try_from_secs_f64(seconds)
        .ok()
        .map(duration)
}

/// The numbers that are seen first.
pub(super) fn tiles(run: &RunRecord) -> Vec<Tile> {
    let mut tiles = Vec::new();
    let mut add = |name: &str, value: Option<String>| {
        tiles.extend(value.map(|value| Tile {
            name: name.to_owned(),
            value,
        }));
    };
    if let Some((top1, of)) = accuracy(run) {
        add(of, Some(format!("{top1:.2}%")));
    }
    let count = |path: &str| number(run, path).map(|n| rounded_count(n as u64));
    add("MACs", count("macs"));
    add("parameters", count("params"));
    add("time", seconds(run).and_then(readable));
    let speed = number(run, "timing.images_per_second").or(run.history().images_per_second());
    add("images/s", speed.map(|speed| rounded_count(speed as u64)));
    let memory = number(run, "timing.peak_memory_bytes").filter(|peak| *peak > 0.0);
    add("peak memory", memory.map(|peak| bytes(peak as u64)));
    tiles
}

/// Which classes the network takes for which.
pub(super) fn confusion(run: &RunRecord) -> Result<Option<Section>, ReportError> {
    let Some(confusion) = run.confusion().filter(|c| !c.classes.is_empty()) else {
        return Ok(None);
    };
    let matrix = ConfusionMatrix {
        title: "What images show, and what they are taken for".into(),
        confusion,
    };
    let mut table = Table::new(&[
        ("class", Kind::Text),
        ("images", Kind::Number),
        ("recall", Kind::Number),
        ("precision", Kind::Number),
    ]);
    let share = |value: f64| match value.is_finite() {
        true => percent(value),
        false => "–".to_owned(),
    };
    let classes = confusion.classes.iter().zip(&confusion.images);
    for ((class, images), accuracy) in classes.zip(confusion.by_class()).take(MOST_CLASSES) {
        let row = [
            class.clone(),
            rounded_count(*images),
            share(accuracy.recall),
            share(accuracy.precision),
        ];
        table.rows.push(row.into());
    }
    let mut blocks = vec![Block::Figures(vec![matrix.svg()?]), Block::Table(table)];
    if confusion.classes.len() > MOST_CLASSES {
        let rest = confusion.classes.len() - MOST_CLASSES;
        blocks.push(Block::Text(format!(
            "and {rest} more classes, in confusion.json"
        )));
    }
    Ok(Section::of("confusion", "Classes", blocks))
}
