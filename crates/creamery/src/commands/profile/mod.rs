//! `creamery profile`: how long the blocks of a space take on this machine.

mod check;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use creamery_export::latency::{Effort, Input, Machine, Progress, Runtime, profile};
use creamery_space::{LatencyTable, Space};
use creamery_train::write_atomically;
use creamery_view::{duration, rounded_latency};
use serde_json::json;

use crate::answer::Answer;
use crate::cli::Global;
use crate::error::CommandError;
use crate::overview::{Overview, plural};
use crate::run_args::device_help;
use crate::shell::quoted;

const EXAMPLES: &str = "\
Runs random networks of the space layer by layer and writes how long each block takes at each
place: a latency table, by which search and select bound latency and describe shows it. One thread
computes unless --threads says otherwise. Leave the machine alone meanwhile.

Examples:
  creamery profile --space tiny-32 --resolution 28 --channels 1 --classes 10 --out laptop.json
  creamery search --space tiny-32 --max-latency 500us --latency-table laptop.json
      the best network that is fast enough on this machine
  creamery profile --check laptop.json
      how well the table foretells the times of 30 whole networks
docs/latency.md in the sources has the form of the file, for tables of other devices.";

/// ImageNet, where nothing is said.
const IMAGENET: (usize, usize) = (3, 1000);

/// Threads that compute where nothing is said: a batch of one image has no work for more on a device.
pub(crate) const THREADS: usize = 1;

/// How long to measure where nothing is said: longer than what else the machine does in passing.
const SECONDS: u32 = 30;

/// Measure what the blocks of a space take on this machine
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// A built-in space or a TOML file [default: tiny-32, or that of the table to check]
    #[arg(long, value_name = "S")]
    space: Option<String>,
    /// Pixels a side of the input [default: the space's]
    #[arg(long, value_name = "PX", conflicts_with = "check")]
    resolution: Option<usize>,
    /// Classes [default: 1000]
    #[arg(long, value_name = "N", conflicts_with = "check")]
    classes: Option<usize>,
    /// Channels of an image [default: 3]
    #[arg(long, value_name = "N", conflicts_with = "check")]
    channels: Option<usize>,
    /// Images of a pass [default: 1]
    #[arg(long, value_name = "N", conflicts_with = "check", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    batch: Option<u64>,
    #[arg(long, value_name = "NAME", default_value = "cpu", help = device_help())]
    device: String,
    /// What runs the networks: creamery; or tract, in a build with the Cargo feature of that name
    #[arg(long, value_name = "NAME", default_value = "creamery", value_parser = runtime, conflicts_with = "check")]
    runtime: Runtime,
    /// Measure so long, but for three rounds at least [default: 30]
    #[arg(long, value_name = "S", conflicts_with = "runs", value_parser = clap::value_parser!(u32).range(1..))]
    seconds: Option<u32>,
    /// Measure until each block, or each network with --check, was timed so often instead
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    runs: Option<u64>,
    /// Decides weights, images and random networks
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Where the table goes; one that is there is replaced
    #[arg(
        long,
        value_name = "FILE.json",
        required_unless_present = "check",
        conflicts_with = "check"
    )]
    out: Option<PathBuf>,
    /// Hold a table against random whole networks instead
    #[arg(long, value_name = "FILE.json")]
    check: Option<PathBuf>,
    /// Networks to check by
    #[arg(long, value_name = "N", default_value_t = 30, requires = "check", value_parser = networks)]
    networks: usize,
}

fn runtime(name: &str) -> Result<Runtime, String> {
    Runtime::named(name).ok_or_else(|| format!("this build knows {}{}", runtimes(), hint(name)))
}

/// The runtimes of this build.
fn runtimes() -> String {
    let names: Vec<&str> = Runtime::ALL.iter().map(|runtime| runtime.name()).collect();
    names.join(", ")
}

/// How to get a runtime that other builds have.
fn hint(name: &str) -> &'static str {
    match name {
        "tract" => "; rebuild Creamery with `--features tract`",
        _ => "",
    }
}

fn networks(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 2..=10_000) => Ok(count),
        _ => Err("give 2 to 10000".to_owned()),
    }
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<Answer, CommandError> {
    match (&args.check, &args.out) {
        (Some(table), _) => check::run(args, table, global),
        (None, Some(out)) => measure(args, out, global),
        (None, None) => unreachable!("the definition requires one of them"),
    }
}

fn measure(args: &Args, out: &Path, global: &Global) -> Result<Answer, CommandError> {
    let device = creamery_nn::device(&args.device)?;
    let space = Space::resolve(args.space.as_deref().unwrap_or("tiny-32"))?;
    let input = Input {
        resolution: args
            .resolution
            .unwrap_or_else(|| space.resolution_for(None)),
        channels: args.channels.unwrap_or(IMAGENET.0),
        classes: args.classes.unwrap_or(IMAGENET.1),
        batch: args.batch.unwrap_or(1) as usize,
    };
    writable(out)?;
    if args.runtime != Runtime::Creamery && args.device != "cpu" {
        return Err(CommandError::Usage(format!(
            "--device {}: {} computes on the cpu",
            args.device,
            args.runtime.name()
        )));
    }
    let threads = rayon::current_num_threads();
    if threads != THREADS && args.runtime.threads() != threads {
        return Err(CommandError::Usage(format!(
            "--threads {threads}: {} computes on {} here",
            args.runtime.name(),
            plural(args.runtime.threads(), "thread")
        )));
    }
    let machine = Machine {
        runtime: args.runtime,
        device: &device,
    };
    let name = device_name(&args.device);
    let mut steps = Steps::new(global);
    let start = Instant::now();
    let mut table = profile(
        &space,
        input,
        args.effort(),
        args.seed,
        (machine, &name),
        &mut |progress| steps.tell(progress),
    )?;
    let taken = duration(start.elapsed());
    table.origin = out.display().to_string();
    // Whatever stops the program before, the file is whole or not there.
    write_atomically(out, table.to_json().as_bytes())?;

    let space = space.with_latency(table)?;
    let cost = |path| space.cost(&path, input.channels, input.classes);
    let smallest = cost(space.smallest(input.resolution)?)?.latency_ns;
    let largest = cost(space.largest(input.resolution)?)?.latency_ns;
    let table = space.latency_table().expect("the space was given one");
    let check = format!("creamery profile --check {}{}", quoted(out), args.again());
    let mut overview = Overview::default();
    overview
        .row("space", space.name.clone())
        .row("images", images(table))
        .row("measured on", measured_on(table))
        .row("blocks", plural(table.blocks.len(), "block"))
        .row("smallest network", rounded_latency(smallest))
        .row("largest network", rounded_latency(largest))
        .row("overhead", signed(table.overhead_ns))
        .row("time", taken)
        .row("table", out.display().to_string())
        .row("next", check);
    let json = json!({
        "kind": "profile",
        "table": out.display().to_string(),
        "fingerprint": table.fingerprint(),
        "space": space.name,
        "resolution": table.resolution,
        "channels": table.channels,
        "classes": table.classes,
        "batch": table.batch,
        "threads": table.threads,
        "device": table.device,
        "runtime": table.runtime,
        "blocks": table.blocks.len(),
        "overhead_ns": table.overhead_ns,
        "smallest_ns": smallest,
        "largest_ns": largest,
    });
    Ok(Answer::done(overview.to_string(), json))
}

impl Args {
    fn effort(&self) -> Effort {
        match self.runs {
            Some(runs) => Effort::Runs(runs),
            None => Effort::Time(Duration::from_secs(self.seconds.unwrap_or(SECONDS).into())),
        }
    }

    /// The flags that a check of the table needs once more.
    fn again(&self) -> String {
        let threads = rayon::current_num_threads();
        let mut flags = String::new();
        if let Some(space) = &self.space
            && Space::builtin(space).is_none()
        {
            flags += &format!(" --space {}", quoted(Path::new(space)));
        }
        if self.device != "cpu" {
            flags += &format!(" --device {}", self.device);
        }
        if threads != THREADS {
            flags += &format!(" --threads {threads}");
        }
        flags
    }
}

/// Refuses a place that no file can be written to, before minutes are spent on it.
fn writable(out: &Path) -> Result<(), CommandError> {
    let folder = out
        .parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."));
    let wrong = |what: String| {
        Err(CommandError::Usage(format!(
            "--out {}: {what}",
            quoted(out)
        )))
    };
    if out.is_dir() {
        return wrong("is a folder: name a file in it, such as laptop.json".to_owned());
    }
    if !folder.is_dir() {
        return wrong(format!("there is no folder {}", quoted(folder)));
    }
    Ok(())
}

/// The device in words: with the processor's name, where the system tells.
fn device_name(device: &str) -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("model name"));
    let model = line.and_then(|line| line.split_once(": "));
    match model {
        Some((_, model)) if device == "cpu" => {
            let printable = model.chars().filter(|c| !c.is_control());
            format!("cpu, {}", printable.take(100).collect::<String>().trim())
        }
        _ => device.to_owned(),
    }
}

fn images(table: &LatencyTable) -> String {
    format!(
        "{0}x{0}, {1}, {2}, {3} a pass",
        table.resolution,
        plural(table.channels, "channel"),
        plural(table.classes, "class"),
        plural(table.batch, "image")
    )
}

fn measured_on(table: &LatencyTable) -> String {
    let threads = plural(table.threads, "thread");
    format!("{}; {}, {threads}", table.device, table.runtime)
}

fn signed(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    format!("{sign}{}", rounded_latency(nanoseconds.unsigned_abs()))
}

/// Tells each tenth of a measurement.
struct Steps<'a> {
    global: &'a Global,
    start: Instant,
    told: u32,
}

impl<'a> Steps<'a> {
    fn new(global: &'a Global) -> Self {
        Self {
            global,
            start: Instant::now(),
            told: 0,
        }
    }

    fn tell(&mut self, progress: Progress) {
        let tenths = (progress.part * 10.0) as u32;
        if tenths <= self.told {
            return;
        }
        self.told = tenths;
        let left = self.start.elapsed().as_secs_f64() * (1.0 / progress.part - 1.0);
        let left = duration(Duration::try_from_secs_f64(left).unwrap_or_default());
        let rounds = plural(progress.rounds as usize, "round");
        self.global
            .note(&format!("measured {}0%, {rounds}, {left} left", tenths));
    }
}
