//! `creamery export`: writes a trained network for other programs.

mod onnx;
mod timm;

use std::path::PathBuf;

use clap::ValueEnum;
use creamery_export::onnx::OPSETS;
use creamery_train::Model;

use crate::answer::Answer;
use crate::error::CommandError;
use crate::model_file;

const EXAMPLES: &str = "\
Examples:
  creamery export runs/retrain-fashion-mini-1 --format timm --out fashion
      weights for timm and PyTorch, with the Python that builds the network
  creamery export runs/retrain-fashion-mini-1 --format onnx --out net.onnx
      for onnxruntime, tract and others; how images are prepared is in its metadata
  creamery export model.safetensors --format onnx --softmax --out net.onnx
      which gives probabilities instead of logits";

/// Write a trained network for other programs
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A run's folder, a result.json, or a model.safetensors
    #[arg(value_name = "MODEL")]
    model: String,
    /// Whom it is for
    #[arg(long, value_enum)]
    format: Format,
    /// Where to: for timm a new folder, for ONNX a file, which is replaced when the new one is whole
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    #[arg(long, value_name = "N", default_value_t = *OPSETS.start(), help = opset_help())]
    opset: u32,
    /// ONNX: end with a softmax, whose output is called `probabilities`
    #[arg(long)]
    softmax: bool,
}

fn opset_help() -> String {
    let (first, last) = (OPSETS.start(), OPSETS.end());
    format!("ONNX: version of the operators, {first} to {last}")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// Weights with the names of timm's MobileNetV3, and a README with the Python that loads them
    Timm,
    /// One file with batch norms folded in
    Onnx,
}

pub(crate) fn run(args: &Args) -> Result<Answer, CommandError> {
    let path = model_file::find(&args.model)?;
    if args.format == Format::Onnx {
        onnx::check_out(&args.out, &path)?;
    }
    let model = Model::load(&path, &creamery_nn::device("cpu")?)?;
    match args.format {
        Format::Timm => timm::export(&args.out, &path, &model),
        Format::Onnx => onnx::export(args, &path, &model),
    }
}
