//! `creamery data`: what a data set holds, and packing it.

mod inspect;
mod pack;

use creamery_data::{DataSet, Normalisation, OpenOptions, SkippedImage};
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
  folder:DIR             JPEG and PNG files in DIR/train/CLASS/ and DIR/val/CLASS/, or
                         DIR/val/ with DIR/val_labels.txt
  tar:DIR                WebDataset's shards, by their names: train-*.tar, val-*.tar; also
                         'tar:DIR/x-{train,val}-{0000..0146}.tar'
  parquet:DIR            Hugging Face's files: train-*.parquet, validation-*.parquet
  packed:FILE            what `creamery data pack` has written

Examples:
  creamery data
  creamery data folder:pets --skip-bad-images
  creamery data inspect folder:pets --contact-sheet pets.png
  creamery data pack folder:pets --out pets.pack";

/// Show what a data set holds, inspect every image, or pack it for many epochs
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    of: DataArgs,
}

#[derive(clap::Subcommand, Debug)]
enum Command {
    Inspect(inspect::Args),
    Pack(pack::Args),
}

/// A data set and how it is opened.
#[derive(clap::Args, Debug)]
struct DataArgs {
    /// The data set
    #[arg(value_name = "D", default_value = "fashion-mini")]
    data: String,
    /// Leave out images that cannot be used, instead of stopping at them
    #[arg(long)]
    skip_bad_images: bool,
    /// How many may be left out
    #[arg(long, value_name = "N", default_value_t = OpenOptions::default().max_bad_images)]
    max_bad_images: usize,
    /// The labels of a folder's val/ without class folders
    #[arg(long, value_name = "FILE")]
    val_labels: Option<std::path::PathBuf>,
}

impl DataArgs {
    fn options(&self) -> OpenOptions {
        OpenOptions {
            skip_bad_images: self.skip_bad_images,
            max_bad_images: self.max_bad_images,
            val_labels: self.val_labels.clone(),
        }
    }
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<Answer, CommandError> {
    match &args.command {
        Some(Command::Inspect(args)) => return inspect::run(args, global),
        Some(Command::Pack(args)) => return pack::run(args, global),
        None => {}
    }
    let set = DataSet::open(&args.of.data, &args.of.options())?;
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
        .row("mean", numbers(&normalisation.mean))
        .row("std", numbers(&normalisation.std))
        .row("classes", exact(set.classes.len() as u64));
    if !set.skipped.is_empty() {
        overview.row("left out", plural(set.skipped.len(), "image"));
    }
    format!("{overview}\n{}", class_table(set, train, test))
}

fn numbers(values: &[f32]) -> String {
    let values: Vec<String> = values.iter().map(|value| format!("{value:.4}")).collect();
    values.join(" ")
}

fn class_table(set: &DataSet, train: &[usize], test: &[usize]) -> String {
    let rows = set.classes.iter().enumerate().map(|(label, class)| {
        vec![
            class.clone(),
            label.to_string(),
            exact(train[label] as u64),
            exact(test[label] as u64),
        ]
    });
    table(&["class", "label", "train", "test"], &[], rows.collect())
}

fn json(set: &DataSet, normalisation: &Normalisation, train: &[usize], test: &[usize]) -> Value {
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
        "classes": class_list(set, train, test),
        "skipped": bad_list(&set.skipped),
    })
}

fn class_list(set: &DataSet, train: &[usize], test: &[usize]) -> Vec<Value> {
    let classes = set.classes.iter().enumerate();
    classes
        .map(|(label, name)| {
            json!({ "label": label, "name": name, "train": train[label], "test": test[label] })
        })
        .collect()
}

fn bad_list(images: &[SkippedImage]) -> Vec<Value> {
    let images = images.iter();
    images
        .map(|image| json!({ "path": image.place.to_string(), "fault": image.fault.to_string() }))
        .collect()
}
