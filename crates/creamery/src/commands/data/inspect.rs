//! `creamery data inspect`: a look at every image.

use std::path::PathBuf;

use creamery_data::{
    DataError, DataSet, Inspection, OpenOptions, Packed, Sheet, contact_sheet, inspect,
};
use serde_json::json;

use super::{DataArgs, bad_list, class_list, class_table, numbers};
use crate::answer::Answer;
use crate::cli::Global;
use crate::error::CommandError;
use crate::interrupt::stop_flag;
use crate::overview::{Overview, exact, plural};

/// Sizes and bad images that are told; all are in the JSON.
const TOLD: usize = 8;

/// Decode every image: sizes, mean and spread, what cannot be used, a contact sheet
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(flatten)]
    of: DataArgs,
    /// Write a picture with some training images of each class, a row each
    #[arg(long, value_name = "FILE.png")]
    contact_sheet: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<Answer, CommandError> {
    let options = args.of.options();
    // Most data sets have no bad image that shows before it is decoded; then nothing is decoded twice.
    let set = match DataSet::open(&args.of.data, &options) {
        Err(DataError::Image { .. } | DataError::TooManyBad { .. }) => {
            let all = OpenOptions {
                skip_bad_images: true,
                max_bad_images: usize::MAX,
                ..options
            };
            DataSet::open(&args.of.data, &all)?
        }
        other => other?,
    };
    if let Some(path) = args.of.data.strip_prefix("packed:") {
        Packed::open(path.as_ref())?.verify()?;
    }
    let stop = stop_flag()?;
    let look = |name: &str, split| {
        inspect(split, |done| {
            if done % 10_000 == 0 {
                global.note(&format!("{} {name} images seen", exact(done as u64)));
            }
            !stop.load(std::sync::atomic::Ordering::Relaxed)
        })
    };
    let train = look("training", &set.train)?;
    let test = look("test", &set.test)?;
    let mut overview = Overview::default();
    overview.row("data set", &set.name);
    for (name, split, found) in [
        ("to train on", &set.train, &train),
        ("to test on", &set.test, &test),
    ] {
        overview.row(name, plural(split.len(), "image"));
        sizes(&mut overview, found);
    }
    let bad: Vec<_> = (set.skipped.iter().chain(&train.bad))
        .chain(&test.bad)
        .collect();
    overview
        .row("mean", numbers(&train.normalisation.mean))
        .row("std", numbers(&train.normalisation.std))
        .row("classes", exact(set.classes.len() as u64))
        .row("bad images", exact(bad.len() as u64));
    for image in bad.iter().take(TOLD) {
        overview.row("", format!("{}: {}", image.place, image.fault));
    }
    if bad.len() > TOLD {
        overview.row(
            "",
            format!("and {} more; --json has them all", bad.len() - TOLD),
        );
    }
    let mut rows = Vec::new();
    if let Some(path) = &args.contact_sheet {
        let (image, classes) = contact_sheet(&set.train, &Sheet::default())?;
        let written = image.to_png().and_then(|png| std::fs::write(path, png));
        written.map_err(|source| CommandError::Write {
            path: path.clone(),
            source,
        })?;
        let names = classes.iter().map(|&class| &set.classes[class]);
        rows = names.collect();
        overview.row(
            "contact sheet",
            format!("{}, a row for each class", path.display()),
        );
    }
    let (of_train, of_test) = (set.train.class_counts(), set.test.class_counts());
    let stopped = stop.load(std::sync::atomic::Ordering::Relaxed);
    let text = format!(
        "{}{overview}\n{}",
        if stopped {
            "stopped: these are the images seen so far\n"
        } else {
            ""
        },
        class_table(&set, &of_train, &of_test)
    );
    let mut all_bad = bad_list(&set.skipped);
    all_bad.extend(bad_list(&train.bad));
    all_bad.extend(bad_list(&test.bad));
    let json = json!({
        "kind": "inspection",
        "dataset": set.name,
        "fingerprint": set.fingerprint(),
        "complete": !stopped,
        "train": set.train.len(),
        "test": set.test.len(),
        "channels": set.channels,
        "train_sizes": size_list(&train),
        "test_sizes": size_list(&test),
        "mean": train.normalisation.mean,
        "std": train.normalisation.std,
        "classes": class_list(&set, &of_train, &of_test),
        "bad": all_bad,
        "contact_sheet_rows": rows,
    });
    Ok(Answer {
        text,
        json,
        stopped,
    })
}

/// Lines with the range of sizes, and the most frequent.
fn sizes(overview: &mut Overview, found: &Inspection) {
    let range = |side: fn(&(usize, usize)) -> usize| {
        let sides = || found.sizes.keys().map(side);
        let (least, most) = (sides().min().unwrap_or(0), sides().max().unwrap_or(0));
        if least == most {
            least.to_string()
        } else {
            format!("{least}..{most}")
        }
    };
    overview.row(
        "",
        format!("{} x {} pixels", range(|size| size.0), range(|size| size.1)),
    );
    let frequent = found.frequent_sizes();
    if frequent.len() > 1 {
        let told = frequent.iter().take(TOLD / 2);
        let told: Vec<String> = told
            .map(|((width, height), count)| format!("{width}x{height}: {}", exact(*count as u64)))
            .collect();
        let more = if frequent.len() > told.len() {
            ", .."
        } else {
            ""
        };
        overview.row("", format!("{}{more}", told.join(", ")));
    }
}

fn size_list(found: &Inspection) -> Vec<serde_json::Value> {
    let sizes = found.frequent_sizes().into_iter();
    sizes
        .map(
            |((width, height), count)| json!({ "width": width, "height": height, "images": count }),
        )
        .collect()
}
