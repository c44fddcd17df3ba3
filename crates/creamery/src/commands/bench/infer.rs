//! `creamery bench infer`: how fast this machine infers.

use std::hint::black_box;
use std::time::Instant;

use creamery_nn::Subnet;
use serde_json::json;

use super::{Times, count, hundredths};
use crate::answer::Answer;
use crate::arch::{self, ArchArgs};
use crate::error::CommandError;
use crate::overview::{Overview, plural};
use crate::run_args::device_help;

const EXAMPLES: &str = "\
Examples:
  creamery bench infer cream-287 --threads 1
      a published network
  creamery bench infer runs/final --batch 32
      the network of a run, many images at a time";

/// Runs that warm up before any is timed.
const WARM_UP: usize = 3;

/// Time a network as it is used, with weights packed once; the weights themselves are random, the time does not depend
/// on them
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    #[command(flatten)]
    arch: ArchArgs,
    /// Images at a time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = count(1))]
    batch: usize,
    /// Times that the network is run
    #[arg(long, value_name = "N", default_value_t = 50, value_parser = count(1))]
    rounds: usize,
    /// Classes [default: those of the network's run, else 1000]
    #[arg(long, value_name = "N", value_parser = count(1))]
    classes: Option<usize>,
    /// Channels of an image [default: those of the network's run, else 3]
    #[arg(long, value_name = "N", value_parser = count(1))]
    channels: Option<usize>,
    #[arg(long, value_name = "NAME", default_value = "cpu", help = device_help())]
    device: String,
}

pub(super) fn run(args: &Args) -> Result<Answer, CommandError> {
    let device = creamery_nn::device(&args.device)?;
    let found = arch::find(&args.arch.arch, &args.arch.of)?;
    let (channels, classes) = found.input(args.channels, args.classes)?;
    let (space, architecture) = (&found.space, &found.architecture);
    let net = Subnet::new(space, architecture, channels, classes, 0, &device)?.ready();
    let images: Vec<f32> = (0..args.batch * net.image_len())
        .map(|i| (i % 251) as f32 / 125.0 - 1.0)
        .collect();
    for _ in 0..WARM_UP {
        black_box(net.infer(&images)?);
    }
    let mut times = Vec::new();
    for _ in 0..args.rounds {
        let start = Instant::now();
        black_box(net.infer(&images)?);
        times.push(start.elapsed());
    }
    let times = Times::of(times);
    let per_second = args.batch as f64 / times.median * 1e3;
    let cost = space.cost(architecture, channels, classes)?;
    let (side, threads) = (architecture.resolution, rayon::current_num_threads());
    let mut overview = Overview::default();
    overview
        .network(space, architecture)?
        .cost(&cost, space)
        .row(
            "input",
            format!(
                "{} of {side}x{side} px, {}",
                plural(args.batch, "image"),
                plural(threads, "thread")
            ),
        )
        .row(
            "time",
            format!(
                "{:.2} ms, {:.2} to {:.2} in {} runs",
                times.median, times.least, times.most, args.rounds
            ),
        )
        .row("images/s", format!("{per_second:.0}"));
    let json = json!({
        "kind": "bench infer",
        "space": space.name,
        "architecture": architecture,
        "macs": cost.macs,
        "batch": args.batch,
        "channels": channels,
        "classes": classes,
        "threads": threads,
        "device": args.device,
        "rounds": args.rounds,
        "infer_ms": hundredths(times.median),
        "least_ms": hundredths(times.least),
        "most_ms": hundredths(times.most),
        "images_per_second": hundredths(per_second),
    });
    Ok(Answer::done(overview.to_string(), json))
}
