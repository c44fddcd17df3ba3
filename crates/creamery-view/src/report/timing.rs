//! Time and memory.

use super::curves::Time;
use super::page::{Block, Facts, ReportError, Section, bytes, percent};
use super::result::{number, readable, seconds};
use crate::chart::{Axis, Lines};
use crate::record::RunRecord;
use crate::rounded_count;

pub(super) fn section(run: &RunRecord) -> Result<Option<Section>, ReportError> {
    let history = run.history();
    let mut facts = Facts::default();
    if let Some(text) = seconds(run).and_then(readable) {
        facts.add("work, over all resumptions", text);
    }
    if let Some(left) = history
        .seconds_left()
        .filter(|left| *left > 0.0)
        .and_then(readable)
    {
        facts.add("the rest takes about", left);
    }
    if let Some(speed) = number(run, "timing.images_per_second") {
        facts.add("training images per second", rounded_count(speed as u64));
    }
    if let Some(start) = &history.start {
        facts.add(
            "epochs",
            format!("{} of {}", done_epochs(run), start.epochs),
        );
        facts.add("steps", format!("{} of {}", history.steps, start.steps()));
        facts.add("images a step", start.batch.to_string());
    }
    if history.resumed > 0 {
        facts.add("resumed", format!("{} times", history.resumed));
    }
    if let Some(share) = waited(run) {
        facts.add("waiting for images", percent(share));
    }
    if let Some(peak) = number(run, "timing.peak_memory_bytes").filter(|peak| *peak > 0.0) {
        facts.add("peak memory of the process", bytes(peak as u64));
    }
    let evaluations = &history.evaluations;
    if evaluations.done > 0 {
        let of = evaluations
            .of
            .map_or(String::new(), |of| format!(" of at most {of}"));
        facts.add("paths evaluated", format!("{}{of}", evaluations.done));
    }
    let mut blocks = Vec::from_iter(facts.block());
    let time = Time::of(run);
    let speed = time.epochs("", run, |epoch| epoch.images_per_second);
    if speed.points.len() > 1 {
        let chart = Lines {
            title: "Speed".into(),
            x: time.axis(),
            y: Axis::new("training images per second, everything included", ""),
            series: vec![speed],
            log: [false, false],
            caption: String::new(),
        };
        blocks.push(Block::Figures(vec![chart.svg()?]));
    }
    Ok(Section::of("timing", "Time and memory", blocks))
}

fn done_epochs(run: &RunRecord) -> u64 {
    run.history()
        .epochs
        .last()
        .map_or(0, |last| last.epoch.saturating_add(1))
}

/// The share of the epochs' time in which the training waited for images, in percent.
fn waited(run: &RunRecord) -> Option<f64> {
    let history = run.history();
    let start = history.start.as_ref()?;
    let images = start.steps_per_epoch as f64 * start.batch as f64;
    let (mut waited, mut all) = (0.0, 0.0);
    for epoch in &history.epochs {
        if let (Some(wait), Some(speed)) = (epoch.data_wait, epoch.images_per_second) {
            waited += wait;
            all += images / speed;
        }
    }
    let share = 100.0 * waited / all;
    share.is_finite().then_some(share)
}
