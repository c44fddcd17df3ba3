//! `creamery bench step`: how fast this machine trains.

use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::ValueEnum;
use creamery_search::{StepBench, StepMode, StepSizes};
use creamery_space::{Architecture, Space};
use serde_json::{Map, Value, json};

use super::{Times, count, hundredths};
use crate::answer::Answer;
use crate::arch;
use crate::cli::Global;
use crate::error::CommandError;
use crate::overview::table;
use crate::run_args::device_help;

const EXAMPLES: &str = "\
Examples:
  creamery bench step
      the sizes of small images
  creamery bench step --size 224 --batch 8 --classes 1000 --modes spos,cream
      the sizes of ImageNet, without the meta network's lessons
  creamery bench step --paths paths.json --json
      given paths, for a program; bench/compare.py in the sources compares with PyTorch this way

PATHS.json holds a list of paths; a path is a list of stages, a stage a list of operations' indices. Blocks
that a stage leaves out at its end are skipped.";

/// Paths that are drawn where none are given.
const DRAWN: usize = 8;

/// Paths that warm up before each mode is timed.
const WARM_UP: usize = 2;

/// Time supernet steps on random images; each time is the median over paths and rounds
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// A built-in space or a TOML file
    #[arg(long, value_name = "S", default_value = "cream-224")]
    space: String,
    /// Pixels a side of an image
    #[arg(long, value_name = "PX", default_value_t = 32)]
    size: usize,
    /// Images of a batch
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = count(2))]
    batch: usize,
    /// Classes
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = count(1))]
    classes: usize,
    /// Entries of the board
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = count(1))]
    board: usize,
    /// Images that paths are compared on
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = count(1))]
    anchors: usize,
    /// What steps do: train a path (spos), with matching and a teacher (cream), with a lesson of the meta
    /// network too (meta); or run it (eval)
    #[arg(
        long,
        value_name = "M",
        value_delimiter = ',',
        default_value = "spos,cream,meta,eval"
    )]
    modes: Vec<Mode>,
    /// Steps of each path in each mode
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = count(1))]
    rounds: usize,
    /// Paths, a JSON file [default: 8 random ones]
    #[arg(long, value_name = "PATHS.json")]
    paths: Option<PathBuf>,
    /// Decides weights, images and random paths
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    #[arg(long, value_name = "NAME", default_value = "cpu", help = device_help())]
    device: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Mode {
    Spos,
    Cream,
    Meta,
    Eval,
}

impl Mode {
    fn step(self) -> (&'static str, StepMode) {
        match self {
            Self::Spos => ("spos", StepMode::Spos),
            Self::Cream => ("cream", StepMode::Cream),
            Self::Meta => ("meta", StepMode::Meta),
            Self::Eval => ("eval", StepMode::Eval),
        }
    }
}

pub(super) fn run(args: &Args, global: &Global) -> Result<Answer, CommandError> {
    let device = creamery_nn::device(&args.device)?;
    let space = Space::resolve(&args.space)?;
    let sizes = StepSizes {
        batch: args.batch,
        resolution: args.size,
        classes: args.classes,
        board: args.board,
        anchors: args.anchors,
    };
    let paths = match &args.paths {
        Some(file) => read_paths(file, &space, args.size)?,
        None => StepBench::paths(&space, sizes, DRAWN, args.seed)?,
    };
    let mut bench = StepBench::new(&space, sizes, args.seed, &device)?;
    let mut answer = Map::new();
    let mut rows = Vec::new();
    for mode in &args.modes {
        let (name, mode) = mode.step();
        global.note(&format!(
            "{name}: {} paths, {} rounds",
            paths.len(),
            args.rounds
        ));
        for path in paths.iter().take(WARM_UP) {
            bench.step(mode, path)?;
        }
        let mut times = Vec::new();
        for path in std::iter::repeat_n(&paths, args.rounds).flatten() {
            let start = Instant::now();
            bench.step(mode, path)?;
            times.push(start.elapsed());
        }
        let Times {
            median,
            least,
            most,
        } = Times::of(times);
        answer.insert(format!("{name}_ms"), hundredths(median));
        rows.push(vec![
            name.to_owned(),
            format!("{median:.1}"),
            format!("{least:.1}"),
            format!("{most:.1}"),
            format!("{:.0}", args.batch as f64 / median * 1e3),
        ]);
    }
    let threads = rayon::current_num_threads();
    let peak = peak_mib();
    let header = ["step", "median ms", "least", "most", "images/s"];
    let mut text = table(&header, &[0], rows);
    text += &format!(
        "\n{} images of {} px, {threads} threads",
        args.batch, args.size
    );
    if let Some(peak) = peak {
        text += &format!(", {peak} MiB at the peak");
    }
    text.push('\n');
    answer.extend(
        json!({
            "kind": "bench step",
            "space": space.name,
            "size": args.size,
            "batch": args.batch,
            "classes": args.classes,
            "board": args.board,
            "anchors": args.anchors,
            "paths": paths.len(),
            "rounds": args.rounds,
            "threads": threads,
            "device": args.device,
            "peak_mib": peak,
        })
        .as_object()
        .cloned()
        .unwrap_or_default(),
    );
    Ok(Answer::done(text, Value::Object(answer)))
}

/// The most memory that this process has held, where the system tells.
fn peak_mib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib.div_ceil(1024))
}

/// The paths of a file, each checked against the space.
fn read_paths(file: &Path, space: &Space, size: usize) -> Result<Vec<Architecture>, CommandError> {
    let wrong = |line: Option<usize>, message: String| CommandError::File {
        path: file.to_owned(),
        line,
        message,
    };
    let text = arch::read(file)?;
    let choices: Vec<Vec<Vec<i8>>> = serde_json::from_str(&text).map_err(|error| {
        let line = Some(error.line()).filter(|line| *line > 0);
        wrong(
            line,
            format!("not a list of paths, such as [[[0, 1], [2]]]: {error}"),
        )
    })?;
    if choices.is_empty() {
        return Err(wrong(None, "holds no path".into()));
    }
    let path = |(number, choices): (usize, Vec<Vec<i8>>)| {
        let architecture = Architecture::new(space.name.clone(), size, choices);
        space
            .validate(&architecture)
            .map_err(|error| wrong(None, format!("path {number}: {error}")))?;
        Ok(architecture)
    };
    (1..).zip(choices).map(path).collect()
}
