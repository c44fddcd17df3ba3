//! `creamery export`: a trained network for another program.

use std::path::PathBuf;

use clap::ValueEnum;
use creamery_export::timm;
use creamery_train::Model;
use serde_json::json;

use crate::answer::Answer;
use crate::error::CommandError;
use crate::model_file;
use crate::overview::Overview;

const EXAMPLES: &str = "\
Examples:
  creamery export runs/retrain-fashion-mini-1 --format timm --out fashion
      weights for timm and PyTorch, with the Python that builds the network";

/// Write a trained network for another program
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A run's folder, a result.json, or a model.safetensors
    #[arg(value_name = "MODEL")]
    model: String,
    /// Whom it is for
    #[arg(long, value_enum)]
    format: Format,
    /// Where it goes; for timm a new folder
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Weights with the names of timm's MobileNetV3, and a README with the Python that loads them
    Timm,
}

pub(crate) fn run(args: &Args) -> Result<Answer, CommandError> {
    let path = model_file::find(&args.model)?;
    let model = Model::load(&path, &creamery_nn::device("cpu")?)?;
    let files = match args.format {
        Format::Timm => {
            timm::export(&model, &args.out)?;
            timm::FILES.map(|name| args.out.join(name)).to_vec()
        }
    };
    let architecture = &model.net.architecture;
    let files: Vec<String> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    let mut overview = Overview::default();
    overview
        .row("model", path.display().to_string())
        .row("architecture", architecture.to_string());
    for (i, file) in files.iter().enumerate() {
        overview.row(if i == 0 { "written" } else { "" }, file);
    }
    let json = json!({
        "kind": "export",
        "format": args.format.to_possible_value().map(|value| value.get_name().to_owned()),
        "model": path.display().to_string(),
        "architecture": architecture,
        "files": files,
    });
    Ok(Answer::done(overview.to_string(), json))
}
