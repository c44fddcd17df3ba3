//! The data set's sheet.

use super::found;
use super::page::{Block, Facts, Section};
use super::result::text;
use crate::record::RunRecord;
use crate::rounded_count;

/// Names of classes that are listed, at most.
const MOST_CLASSES: usize = 120;

pub(super) fn section(run: &RunRecord) -> Option<Section> {
    let mut facts = Facts::default();
    if let Some(name) = text(run, "dataset", "data.source") {
        facts.add("data set", name);
    }
    let images = run.history().start.as_ref().and_then(|start| start.images);
    if let Some(images) = images {
        let rows = [
            ("images to train on", images.train),
            ("images held out, to choose by", images.validation),
            ("images for the final test", images.test),
        ];
        for (name, count) in rows {
            facts.add(name, rounded_count(count as u64));
        }
    }
    let input = found::input(run);
    let shape = found::channels_and_classes(run);
    if let Some((channels, classes)) = shape {
        let colour = match channels {
            1 => "grey, 1 channel".to_owned(),
            3 => "colour, 3 channels".to_owned(),
            n => format!("{n} channels"),
        };
        facts.add("images", colour);
        facts.add("classes", rounded_count(classes as u64));
    }
    if let Some(network) = found::network(run) {
        let px = network.architecture.resolution;
        facts.add("seen at", format!("{px} × {px} px"));
    }
    if let Some(input) = &input {
        let numbers = |values: &[f32]| {
            let texts: Vec<String> = values.iter().map(|value| format!("{value:.4}")).collect();
            texts.join(", ")
        };
        facts.add("mean of the pixels, 0 to 1", numbers(&input.mean));
        facts.add("their standard deviation", numbers(&input.std));
        facts.add(
            "shorter side before the cut",
            format!("{} px", input.shorter_side),
        );
    }
    // Augmentation and what else was done to the images.
    let settings = run.setting("data").and_then(|data| data.as_table());
    for (key, value) in settings.into_iter().flatten() {
        if key != "source" && key != "workers" {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            facts.add(&format!("data.{key}"), value);
        }
    }
    let mut blocks = Vec::from_iter(facts.block());
    let counted = run.confusion().map(|confusion| &confusion.classes);
    let classes = input.as_ref().map(|input| &input.classes).or(counted);
    if let Some(classes) = classes.filter(|classes| !classes.is_empty()) {
        let mut names = classes
            .iter()
            .take(MOST_CLASSES)
            .cloned()
            .collect::<Vec<_>>()
            .join(", ");
        if classes.len() > MOST_CLASSES {
            names.push_str(&format!(" and {} more", classes.len() - MOST_CLASSES));
        }
        blocks.push(Block::Text(format!("Classes: {names}.")));
    }
    Section::of("data", "Data", blocks)
}
