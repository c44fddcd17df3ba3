//! `creamery bench ranks`: how fast the ranks of a job sum.

use std::time::Instant;

use creamery_train::Ranks;
use creamery_train::collective::{BUCKET, Flat};
use serde_json::json;

use super::{Times, count, hundredths};
use crate::answer::Answer;
use crate::cli::Global;
use crate::error::CommandError;
use crate::overview::{Overview, table};

const EXAMPLES: &str = "\
Examples:
  mpirun -n 4 creamery bench ranks --mpi
      four ranks; docs/cluster.md says what the two constants predict";

/// Floats of the sums that are timed: up to a bucket, of which one value is a step's own, and four of them.
const SIZES: [usize; 6] = [1, 1 << 10, 1 << 14, 1 << 16, BUCKET - 1, 4 * BUCKET - 1];

/// The two of them that the constants are found by: small sums go other ways.
const LARGE: [usize; 2] = [3, 4];

/// Sums that warm up before any is timed: connections are made by the first.
const WARM_UP: usize = 3;

/// Time sums over the ranks of a job, as a step of training makes them
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The processes that mpirun or srun has started
    #[arg(long, required = true)]
    pub mpi: bool,
    /// Times that each sum is made
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = count(1))]
    rounds: usize,
}

/// What a network gives the sums of `ranks` ranks, by `t(s) = 2 log2(ranks) latency + 2 (ranks - 1) / ranks * s / bandwidth`.
struct Network {
    /// Milliseconds of one exchange but for its bytes.
    latency: f64,
    /// Bytes per millisecond.
    bandwidth: f64,
}

impl Network {
    /// By the times of the [`LARGE`] sums, in milliseconds.
    fn of(ranks: usize, times: [f64; 2]) -> Self {
        let exchanges = f64::from(ranks.next_power_of_two().ilog2()).max(1.0);
        let share = 2.0 * (ranks as f64 - 1.0) / ranks as f64;
        let [less, more] = LARGE.map(|index| (SIZES[index] * size_of::<f32>()) as f64);
        let per_byte = (times[1] - times[0]).max(f64::MIN_POSITIVE) / (more - less);
        let rest = (times[0] - less * per_byte).max(0.0);
        Self {
            latency: rest / (2.0 * exchanges),
            bandwidth: share / per_byte,
        }
    }
}

pub(super) fn run(args: &Args, global: &Global) -> Result<Answer, CommandError> {
    let ranks = global.ranks;
    let mut rows = Vec::new();
    let mut sums = Vec::new();
    let mut medians = Vec::new();
    for size in SIZES {
        let values = vec![1.0; size];
        let sum = |values: &[f32]| {
            let start = Instant::now();
            let mut flat = Flat::new(ranks);
            flat.extend(values);
            flat.finish();
            start.elapsed()
        };
        for _ in 0..WARM_UP {
            sum(&values);
        }
        let mut times = Vec::new();
        for _ in 0..args.rounds {
            ranks.barrier();
            times.push(sum(&values));
        }
        let times = Times::of(times);
        medians.push(times.median);
        let bytes = size * size_of::<f32>();
        rows.push(vec![
            bytes.to_string(),
            format!("{:.3}", times.median),
            format!("{:.3}", times.least),
            format!("{:.3}", times.most),
        ]);
        sums.push(json!({
            "bytes": bytes,
            "median_ms": times.median,
            "least_ms": times.least,
            "most_ms": times.most,
        }));
    }
    Ok(answer(ranks, args, rows, sums, &medians))
}

fn answer(
    ranks: Ranks,
    args: &Args,
    rows: Vec<Vec<String>>,
    sums: Vec<serde_json::Value>,
    medians: &[f64],
) -> Answer {
    let network = Network::of(ranks.size(), LARGE.map(|index| medians[index]));
    // Bytes per millisecond are kilobytes per second.
    let megabytes = network.bandwidth / 1e3;
    let mut overview = Overview::default();
    overview
        .row("ranks", ranks.size().to_string())
        .row("latency", format!("{:.3} ms", network.latency))
        .row(
            "bandwidth",
            format!("{megabytes:.1} MB/s, {:.2} Gbit/s", megabytes * 8e-3),
        );
    let header = ["bytes", "ms", "least", "most"];
    let text = format!("{}\n{overview}", table(&header, &[], rows));
    let json = json!({
        "kind": "bench ranks",
        "ranks": ranks.size(),
        "rounds": args.rounds,
        "latency_ms": network.latency,
        "megabytes_per_second": hundredths(megabytes),
        "sums": sums,
    });
    Answer::done(text, json)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The constants of a network come back out of the times that they give.
    #[test]
    fn constants_are_found_by_times() {
        for (ranks, exchanges) in [(2, 1.0), (4, 2.0), (16, 4.0)] {
            let (latency, bandwidth) = (0.05, 12_500.0);
            let share = 2.0 * (f64::from(ranks) - 1.0) / f64::from(ranks);
            let times = LARGE.map(|index| {
                let bytes = 4.0 * SIZES[index] as f64;
                2.0 * exchanges * latency + share * bytes / bandwidth
            });
            let found = Network::of(ranks as usize, times);
            assert!((found.latency - latency).abs() < 1e-9);
            assert!((found.bandwidth - bandwidth).abs() < 1e-6);
        }
    }
}
