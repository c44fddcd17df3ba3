//! `creamery data pack`: all images in one file.

use std::num::NonZero;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::Instant;

use creamery_data::{DataSet, PackError, PackFormat, PackOptions, pack};
use creamery_view::duration;
use serde_json::json;

use super::DataArgs;
use crate::answer::Answer;
use crate::cli::Global;
use crate::commands::note_skipped;
use crate::error::CommandError;
use crate::interrupt::stop_flag;
use crate::overview::{Overview, exact, plural};

const EXAMPLES: &str = "\
Examples:
  creamery data pack folder:pets --out pets.pack
      decoded, the shorter side at most 256 px: the quickest to train from, some 260 KB an image
  creamery data pack tar:imagenet --resize 0 --format jpeg --out imagenet.pack
      the JPEG files as they are, in one file
  creamery search --data packed:pets.pack";

/// Write all images into one file that is mapped into memory: decoded once, for many epochs
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    of: DataArgs,
    /// The file to write
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Resize images whose shorter side is longer to this; 0 for none. Images of one size stay as they are unless it is given
    /// [default: 256]
    #[arg(long, value_name = "PX")]
    resize: Option<usize>,
    /// raw: decoded; jpeg: encoded anew where resized
    #[arg(long, value_name = "FORMAT", default_value = "raw", value_parser = ["raw", "jpeg"])]
    format: String,
    /// Quality of JPEG
    #[arg(long, value_name = "Q", default_value_t = 90, value_parser = clap::value_parser!(u8).range(1..=100))]
    quality: u8,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<Answer, CommandError> {
    if args.out.exists() && !args.force {
        return Err(CommandError::Usage(format!(
            "`{}` is there already: give another --out, or --force to replace it",
            args.out.display()
        )));
    }
    let set = DataSet::open(&args.of.data, &args.of.options())?;
    note_skipped(&set.skipped, global);
    let usual = if set.height.is_some() { 0 } else { 256 };
    let options = PackOptions {
        format: if args.format == "jpeg" {
            PackFormat::Jpeg
        } else {
            PackFormat::Raw
        },
        shorter_side: Some(args.resize.unwrap_or(usual)).filter(|&side| side > 0),
        quality: args.quality,
        threads: global
            .threads
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, NonZero::get)),
    };
    let images = set.train.len() + set.test.len();
    let (start, stop) = (Instant::now(), stop_flag()?);
    let mut tenths = 0;
    let tell = |done: usize| {
        if done * 10 / images > tenths {
            tenths = done * 10 / images;
            let left = start
                .elapsed()
                .mul_f64((images - done) as f64 / done as f64);
            global.note(&format!("packed {tenths}0%, {} left", duration(left)));
        }
        !stop.load(Ordering::Relaxed)
    };
    match pack(&set, &args.out, &options, tell) {
        Ok(()) => {}
        Err(PackError::Stopped) => {
            return Ok(Answer {
                text: "stopped; nothing was written\n".to_owned(),
                json: json!({ "kind": "stopped" }),
                stopped: true,
            });
        }
        Err(PackError::Data(error)) => return Err(error.into()),
        Err(PackError::Write { path, source }) => return Err(CommandError::Write { path, source }),
        Err(error) => return Err(CommandError::Usage(error.to_string())),
    }
    let bytes = std::fs::metadata(&args.out).map_or(0, |metadata| metadata.len());
    let mut overview = Overview::default();
    overview
        .row("packed", args.out.display().to_string())
        .row("images", exact(images as u64))
        .row("bytes", exact(bytes))
        .row("time", duration(start.elapsed()))
        .row(
            "next",
            format!(
                "creamery search --data {}",
                crate::shell::quoted(std::path::Path::new(&format!(
                    "packed:{}",
                    args.out.display()
                )))
            ),
        );
    if !set.skipped.is_empty() {
        overview.row("left out", plural(set.skipped.len(), "image"));
    }
    let json = json!({
        "kind": "pack",
        "file": args.out.display().to_string(),
        "dataset": format!("packed:{}", args.out.display()),
        "train": set.train.len(),
        "test": set.test.len(),
        "bytes": bytes,
        "skipped": super::bad_list(&set.skipped),
    });
    Ok(Answer::done(overview.to_string(), json))
}
