//! `creamery data`: what a data set holds.

use creamery_data::{DataSet, Normalisation, OpenOptions};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::cli::Global;
use crate::commands::note_skipped;
use crate::error::CommandError;
use crate::overview::{Overview, exact, plural, table};

const EXAMPLES: &str = "\
Data sets:
  fashion-mini           8,000 + 2,000 images of Fashion-MNIST, built in
  fashion-mnist[:DIR]    all of Fashion-MNIST, IDX files plain or .gz
  mnist:DIR              MNIST, likewise
  cifar10:DIR            the binary version of CIFAR-10
  cifar100:DIR           the binary version of CIFAR-100
  folder:DIR             JPEG and PNG files in DIR/train/CLASS/ and DIR/val/CLASS/

Examples:
  creamery data
  creamery data folder:pets --skip-bad-images";

/// Show what a data set holds, and whether it can be used
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The data set
    #[arg(value_name = "D", default_value = "fashion-mini")]
    data: String,
    /// Leave out files that are no images, instead of stopping at them
    #[arg(long)]
    skip_bad_images: bool,
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<Answer, CommandError> {
    let options = OpenOptions {
        skip_bad_images: args.skip_bad_images,
    };
    let set = DataSet::open(&args.data, &options)?;
    note_skipped(&set.skipped, global);
    let normalisation = Normalisation::of(&set.train)?;
    let (train, test) = (set.train.class_counts(), set.test.class_counts());
    Ok(Answer::done(
        text(&set, &normalisation, &train, &test),
        json(&set, &normalisation, &train, &test),
    ))
}

fn text(set: &DataSet, normalisation: &Normalisation, train: &[usize], test: &[usize]) -> String {
    let size = match (set.height, set.width) {
        (Some(height), Some(width)) => format!("{width}x{height}"),
        _ => "varies".to_owned(),
    };
    let colour = if set.channels == 1 { "grey" } else { "colour" };
    let values = |values: &[f32]| {
        let values: Vec<String> = values.iter().map(|value| format!("{value:.4}")).collect();
        values.join(" ")
    };
    let mut overview = Overview::default();
    overview
        .row("data set", &set.name)
        .row(
            "to train on",
            format!("{} images", exact(set.train.len() as u64)),
        )
        .row(
            "to test on",
            format!("{} images", exact(set.test.len() as u64)),
        )
        .row(
            "size",
            format!("{size}, {} ({colour})", plural(set.channels, "channel")),
        )
        .row("mean", values(&normalisation.mean))
        .row("std", values(&normalisation.std))
        .row("classes", exact(set.classes.len() as u64));
    if !set.skipped.is_empty() {
        overview.row("left out", plural(set.skipped.len(), "file"));
    }
    let rows = set.classes.iter().enumerate().map(|(label, class)| {
        vec![
            class.clone(),
            label.to_string(),
            exact(train[label] as u64),
            exact(test[label] as u64),
        ]
    });
    let classes = table(&["class", "label", "train", "test"], &[], rows.collect());
    format!("{overview}\n{classes}")
}

fn json(set: &DataSet, normalisation: &Normalisation, train: &[usize], test: &[usize]) -> Value {
    let classes: Vec<Value> = set
        .classes
        .iter()
        .enumerate()
        .map(|(label, name)| {
            json!({ "label": label, "name": name, "train": train[label], "test": test[label] })
        })
        .collect();
    let skipped: Vec<Value> = set
        .skipped
        .iter()
        .map(|file| json!({ "path": file.path.display().to_string(), "fault": file.fault.to_string() }))
        .collect();
    json!({
        "kind": "data",
        "dataset": set.name,
        "fingerprint": set.fingerprint(),
        "train": set.train.len(),
        "test": set.test.len(),
        "width": set.width,
        "height": set.height,
        "channels": set.channels,
        "mean": normalisation.mean,
        "std": normalisation.std,
        "classes": classes,
        "skipped": skipped,
    })
}
