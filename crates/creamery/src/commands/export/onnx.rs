//! `creamery export --format onnx`.

use std::path::Path;

use creamery_export::onnx::{self, OnnxOptions};
use creamery_train::Model;
use serde_json::json;

use super::Args;
use crate::answer::Answer;
use crate::error::CommandError;
use crate::overview::{Overview, count};

/// Writes the file.
pub(super) fn export(args: &Args, path: &Path, model: &Model) -> Result<Answer, CommandError> {
    let options = OnnxOptions {
        opset: args.opset,
        softmax: args.softmax,
    };
    let bytes = onnx::write(&args.out, model, &options)?;
    let (input, architecture) = (&model.input, &model.net.architecture);
    let (side, channels, classes) = (architecture.resolution, input.channels, input.classes.len());
    let cost = model.space.cost(architecture, channels, classes)?;
    let mut overview = Overview::default();
    overview
        .row("model", path.display().to_string())
        .network(&model.space, architecture)?
        .cost(&cost, &model.space)
        .row("input", format!("images [N, {channels}, {side}, {side}]"))
        .row("output", format!("{} [N, {classes}]", options.output()))
        .row("opset", options.opset.to_string())
        .row(
            "written",
            format!("{}, {} bytes", args.out.display(), count(bytes as u64)),
        );
    let json = json!({
        "kind": "export",
        "format": "onnx",
        "model": path.display().to_string(),
        "out": args.out.display().to_string(),
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

/// Refuses a place that cannot be written, before the work, and one that holds the model itself.
pub(super) fn check_out(out: &Path, model: &Path) -> Result<(), CommandError> {
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
