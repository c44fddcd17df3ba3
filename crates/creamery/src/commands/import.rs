//! `creamery import`: a model of timm's or PyTorch's weights.

use std::path::{Path, PathBuf};

use creamery_export::import::{Imported, Request, import};
use creamery_space::Space;
use serde_json::json;

use crate::answer::Answer;
use crate::arch::{self, ArchOptions};
use crate::error::CommandError;
use crate::overview::{Overview, plural};
use crate::shell::quoted;

const EXAMPLES: &str = "\
Examples:
  creamery import fashion/model.safetensors --out model.safetensors
      what creamery export --format timm wrote: the model.json beside it says all else
  creamery import cream-114.pth.tar --arch cream-114 --classes imagenet.txt --out cream-114.safetensors
      a published checkpoint; without --arch the network is found by its shapes
  creamery import tuned.pth --space my.toml --resolution 96 --mean 0.5,0.5,0.5 --std 0.25,0.25,0.25 --out tuned.safetensors
      a network of your own space";

/// Make a model of weights that timm or PyTorch saved
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Safetensors, or a file of torch.save (.pth, .pt, .pth.tar); nothing in it is run
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The network: a preset, an architecture file, a run or its result.json [default: by the shapes]
    #[arg(long, value_name = "ARCH")]
    arch: Option<String>,
    /// The space that it belongs to [default: the built-in ones]
    #[arg(long, value_name = "S")]
    space: Option<String>,
    /// Pixels a side of the images [default: the network's, or the space's usual]
    #[arg(long, value_name = "R")]
    resolution: Option<usize>,
    /// Names of the classes in the order of the logits: parted by commas, or a file with one a line
    #[arg(long, value_name = "NAMES|FILE")]
    classes: Option<String>,
    /// Mean of each channel, pixels in 0..1 [default: ImageNet's]
    #[arg(
        long,
        value_name = "M,..",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    mean: Option<Vec<f32>>,
    /// Standard deviation of each channel [default: ImageNet's]
    #[arg(
        long,
        value_name = "D,..",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    std: Option<Vec<f32>>,
    /// Pixels that the shorter side of an image is resized to before the middle is cut out [default: 8/7 of the
    /// resolution]
    #[arg(long, value_name = "PX")]
    resize: Option<usize>,
    /// The model's file, which must not exist yet
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

pub(crate) fn run(args: &Args) -> Result<Answer, CommandError> {
    if args.out.symlink_metadata().is_ok() {
        return Err(CommandError::Usage(format!(
            "`{}` exists already: choose another file with --out",
            args.out.display()
        )));
    }
    let options = ArchOptions {
        bucket: None,
        space: args.space.clone(),
    };
    let named = args.arch.as_deref().map(|name| arch::find(name, &options));
    let named = named.transpose()?;
    let space = args.space.as_deref().map(Space::resolve).transpose()?;
    let request = Request {
        network: named
            .as_ref()
            .map(|found| (&found.space, &found.architecture)),
        space: space.as_ref(),
        resolution: args.resolution,
        classes: args.classes.as_deref().map(classes).transpose()?,
        mean: args.mean.clone(),
        std: args.std.clone(),
        shorter_side: args.resize,
    };
    let imported = import(&args.file, &request)?;
    imported.model.save(&args.out)?;
    answer(args, &imported)
}

/// Names that are given as they are, or in a file.
fn classes(text: &str) -> Result<Vec<String>, CommandError> {
    let path = Path::new(text);
    let (names, parted) = match path.is_file() {
        true => (arch::read(path)?, '\n'),
        false => (text.to_owned(), ','),
    };
    let names = names.split(parted).map(|name| name.trim().to_owned());
    Ok(names.filter(|name| !name.is_empty()).collect())
}

fn answer(args: &Args, imported: &Imported) -> Result<Answer, CommandError> {
    let (model, out) = (&imported.model, &args.out);
    let (input, architecture) = (&model.input, &model.net.architecture);
    let cost = model
        .space
        .cost(architecture, input.channels, input.classes.len())?;
    let mut from = format!("{} ({})", args.file.display(), imported.format);
    if let Some(card) = &imported.card {
        from += &format!(" and {}", card.display());
    }
    let tensors = model.net.state().len();
    let mut taken = plural(tensors, "tensor");
    if !imported.prefix.is_empty() {
        taken += &format!(" under `{}`", imported.prefix.trim_end_matches('.'));
    }
    if imported.others > 0 {
        taken += &format!("; {} left aside", plural(imported.others, "other"));
    }
    let assumed = match imported.assumed.is_empty() {
        true => "nothing".to_owned(),
        false => imported.assumed.join("; "),
    };
    let data = match input.data.is_empty() {
        true => " --data D",
        false => "",
    };
    let mut overview = Overview::default();
    overview
        .row("from", from)
        .row("taken", taken)
        .network(&model.space, architecture)?
        .cost(&cost, &model.space)
        .row("classes", input.classes.len().to_string())
        .row("assumed", assumed)
        .row("weights", out.display().to_string())
        .row("next", format!("creamery eval {}{data}", quoted(out)));
    let json = json!({
        "kind": "import",
        "file": args.file.display().to_string(),
        "format": imported.format,
        "prefix": imported.prefix,
        "tensors": tensors,
        "others": imported.others,
        "architecture": architecture,
        "macs": cost.macs,
        "params": cost.params,
        "flops_thop": cost.flops_thop,
        "input": input,
        "assumed": imported.assumed,
        "weights": out.display().to_string(),
    });
    Ok(Answer::done(overview.to_string(), json))
}
