//! `creamery eval`: measures a trained network.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use creamery_data::{DataSet, Split};
use creamery_train::{
    Confusion, DataSettings, Model, RunData, Views, evaluate_each, write_atomically,
};
use serde_json::json;

use crate::answer::Answer;
use crate::cli::Global;
use crate::commands::note_skipped;
use crate::error::CommandError;
use crate::model_file::{self, RunSettings};
use crate::overview::{Overview, exact};
use crate::per_class;
use crate::run_args::device_help;

const EXAMPLES: &str = "\
Examples:
  creamery eval runs/retrain-fashion-mini-1
      a run, on the data that it was trained for
  creamery eval model.safetensors --data folder:pets
      a model, on images of the same classes
  creamery eval imported.safetensors --data folder:imagenet
      weights of timm's or PyTorch's, after creamery import
  creamery eval runs/cream-fashion-mini-1 --split validation
      a search's winner with the supernet's weights, on the images that chose it
  creamery eval runs/retrain-fashion-mini-1 --per-class --confusion confusion.json
      class by class, and what is taken for what
  creamery eval runs/retrain-pets-1 --tta flip
      mean predictions of each image and its mirror image, for twice the work
  creamery eval runs/retrain-fashion-mini-1 --predictions predicted.csv
      image by image, to compare with another program";

/// Measure a trained network's accuracy
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A run's folder, a result.json, or a model.safetensors
    #[arg(value_name = "MODEL")]
    model: String,
    /// Images [default: those that the model was trained for]
    #[arg(long, value_name = "D")]
    data: Option<String>,
    /// Leave out files that are no images, instead of stopping at them
    #[arg(long)]
    skip_bad_images: bool,
    /// The images that nothing was decided by, or those that the run held out of training
    #[arg(long, value_enum, default_value_t = SplitName::Test)]
    split: SplitName,
    /// Images at a time
    #[arg(long, value_name = "N", default_value_t = 256, value_parser = batch)]
    batch: usize,
    /// Test-time augmentation: predict each image by the mean of several views of it, each of which costs a pass
    #[arg(long, value_enum, default_value_t = Tta::None)]
    tta: Tta,
    /// Tell the accuracy on each class, and which classes are confused most
    #[arg(long)]
    per_class: bool,
    /// Write how often each class is taken for each, as JSON
    #[arg(long, value_name = "FILE")]
    confusion: Option<PathBuf>,
    /// Write the class of every image and the one that the network gives it, both as numbers from 0, to a CSV
    #[arg(long, value_name = "FILE")]
    predictions: Option<PathBuf>,
    #[arg(long, value_name = "NAME", default_value = "cpu", help = device_help())]
    device: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum SplitName {
    Test,
    Validation,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Tta {
    /// The middle of the image alone
    None,
    /// The middle and its mirror image: 2 passes an image
    Flip,
    /// Four corners and the middle, each with its mirror image: 10 passes an image
    Crops,
}

impl Tta {
    fn views(self) -> Views {
        match self {
            Self::None => Views::One,
            Self::Flip => Views::Flip,
            Self::Crops => Views::Crops,
        }
    }
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<Answer, CommandError> {
    let device = creamery_nn::device(&args.device)?;
    let path = model_file::find(&args.model)?;
    let settings = RunSettings::of(path.parent().unwrap_or(Path::new("")))?;
    let model = Model::load(&path, &device)?;
    let data = args.data_settings(&model, settings.as_ref());
    if data.source.is_empty() {
        return Err(CommandError::Usage(
            "the model does not say which images it was trained for: name some with --data".into(),
        ));
    }
    let set = RunData::open(&data)?;
    note_skipped(&set.skipped, global);
    model.input.check(&set)?;
    let resolution = model.net.architecture.resolution;
    let name = set.name.clone();
    let split = match args.split {
        SplitName::Test => set.test.clone(),
        SplitName::Validation => args.held_out(set, &data, settings.as_ref(), resolution)?,
    };
    let (mut index, mut table) = (0, "index,label,predicted\n".to_owned());
    let mut confusion = Confusion::new(&model.input.classes);
    let list = |label: usize, predicted: Option<usize>| {
        confusion.add(label, predicted);
        let predicted = predicted.map(|class| class.to_string());
        let _ = writeln!(table, "{index},{label},{}", predicted.unwrap_or_default());
        index += 1;
    };
    let views = args.tta.views();
    let pipeline = model.input.pipeline(resolution);
    let (batch, workers) = (args.batch, data.workers);
    let accuracy = evaluate_each(
        &model.net, &split, &pipeline, views, batch, workers, &device, list,
    )?;
    if let Some(path) = &args.predictions {
        write_atomically(path, table.as_bytes())?;
    }
    if let Some(path) = &args.confusion {
        let text = serde_json::to_string(&confusion).expect("counts are plain data");
        write_atomically(path, text.as_bytes())?;
    }

    let (space, architecture) = (&model.space, &model.net.architecture);
    let cost = space.cost(
        architecture,
        model.input.channels,
        model.input.classes.len(),
    )?;
    let which = match args.split {
        SplitName::Test => "test",
        SplitName::Validation => "validation",
    };
    let images = exact(accuracy.images as u64);
    let mut overview = Overview::default();
    overview
        .row("model", path.display().to_string())
        .network(space, architecture)?
        .cost(&cost, space)
        .row(
            "top-1",
            format!(
                "{:.2}% on the {images} {which} images of {name}",
                accuracy.top1
            ),
        )
        .row("top-5", format!("{:.2}%", accuracy.top5))
        .row("loss", format!("{:.4}", accuracy.loss));
    if views != Views::One {
        let count = views.count();
        let each = "the mean of so many views of each image, each as much work as one without";
        overview.row("views", format!("{count}: {each}"));
    }
    let mut text = overview.to_string();
    if args.per_class {
        text.push_str(&per_class::table(&confusion));
    }
    let mut json = json!({
        "kind": "eval",
        "model": path.display().to_string(),
        "dataset": name,
        "split": which,
        "architecture": architecture,
        "macs": cost.macs,
        "params": cost.params,
        "flops_thop": cost.flops_thop,
        "top1": accuracy.top1,
        "top5": accuracy.top5,
        "loss": accuracy.loss,
        "images": accuracy.images,
        "views": views.count(),
    });
    if args.per_class {
        json["classes"] = per_class::json(&confusion);
    }
    Ok(Answer::done(text, json))
}

impl Args {
    /// The data as the flags say, or else as the model's run had them.
    fn data_settings(&self, model: &Model, run: Option<&RunSettings>) -> DataSettings {
        let trained = run.map(|run| run.data.clone()).unwrap_or_default();
        let source = self
            .data
            .clone()
            .unwrap_or_else(|| model.input.data.clone());
        let same = source == trained.source;
        DataSettings {
            skip_bad_images: self.skip_bad_images || (same && trained.skip_bad_images),
            source,
            ..trained
        }
    }

    /// The images that the model's run held out.
    fn held_out(
        &self,
        set: DataSet,
        data: &DataSettings,
        run: Option<&RunSettings>,
        resolution: usize,
    ) -> Result<Split, CommandError> {
        // Without the run's seed and share, images that were trained on would pass as held out.
        let Some(run) = run.filter(|run| run.data.source == data.source) else {
            return Err(CommandError::Usage(
                "--split validation: only the folder of its run says which images of its data were held out; \
                 name that as MODEL, without --data"
                    .into(),
            ));
        };
        RunData::prepare(set, data, resolution, run.seed)?
            .validation
            .ok_or_else(|| {
                CommandError::Usage("--split validation: the run held no images out".into())
            })
    }
}

fn batch(text: &str) -> Result<usize, String> {
    const MOST: usize = 1 << 16;
    match text.parse() {
        Ok(batch @ 1..=MOST) => Ok(batch),
        _ => Err(format!("give 1 to {MOST}")),
    }
}
