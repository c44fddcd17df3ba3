//! `creamery export`: writes a trained network for other programs.

use std::path::{Path, PathBuf};

use clap::ValueEnum;
use creamery_export::onnx::{self, OPSETS, OnnxOptions};
use creamery_nn::Device;
use creamery_train::Model;
use serde_json::json;

use crate::answer::Answer;
use crate::error::CommandError;
use crate::model_file;
use crate::overview::{Overview, count};

const EXAMPLES: &str = "\
Examples:
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
    /// What is written
    #[arg(long, value_enum)]
    format: Format,
    /// Where to; a file that is there is replaced when the new one is whole
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
    /// One file with batch norms folded in
    Onnx,
}

pub(crate) fn run(args: &Args) -> Result<Answer, CommandError> {
    let path = model_file::find(&args.model)?;
    check_out(&args.out, &path)?;
    let model = Model::load(&path, &Device::flex())?;
    match args.format {
        Format::Onnx => args.onnx(&path, &model),
    }
}

impl Args {
    fn onnx(&self, path: &Path, model: &Model) -> Result<Answer, CommandError> {
        let options = OnnxOptions {
            opset: self.opset,
            softmax: self.softmax,
        };
        let bytes = onnx::write(&self.out, model, &options)?;
        let (input, architecture) = (&model.input, &model.net.architecture);
        let (side, channels, classes) =
            (architecture.resolution, input.channels, input.classes.len());
        let cost = model.space.cost(architecture, channels, classes)?;
        let mut overview = Overview::default();
        overview
            .row("model", path.display().to_string())
            .network(&model.space, architecture)?
            .cost(&cost)
            .row("input", format!("images [N, {channels}, {side}, {side}]"))
            .row("output", format!("{} [N, {classes}]", options.output()))
            .row("opset", options.opset.to_string())
            .row(
                "written",
                format!("{}, {} bytes", self.out.display(), count(bytes as u64)),
            );
        let json = json!({
            "kind": "export",
            "format": "onnx",
            "model": path.display().to_string(),
            "out": self.out.display().to_string(),
            "bytes": bytes,
            "opset": options.opset,
            "input": { "name": "images", "shape": ["N", channels, side, side] },
            "output": { "name": options.output(), "shape": ["N", classes] },
            "architecture": architecture,
            "macs": cost.macs,
            "params": cost.params,
            "flops_thop": cost.flops_thop,
        });
        Ok(Answer::done(overview.to_string(), json))
    }
}

/// Refuses a place that cannot be written, before the work, and one that holds the model itself.
fn check_out(out: &Path, model: &Path) -> Result<(), CommandError> {
    let wrong = |what: &str| CommandError::Usage(format!("--out `{}`: {what}", out.display()));
    if out.is_dir() {
        return Err(wrong("it is a folder; give the name of a file"));
    }
    let folder = out.parent().filter(|folder| *folder != Path::new(""));
    if folder.is_some_and(|folder| !folder.is_dir()) {
        return Err(wrong("its folder does not exist; make it first"));
    }
    let same = |a: &Path, b: &Path| a.canonicalize().ok() == b.canonicalize().ok();
    if out.exists() && same(out, model) {
        return Err(wrong("it is the model itself; give another name"));
    }
    Ok(())
}
