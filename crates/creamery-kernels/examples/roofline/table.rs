//! The tables, in Markdown.

use creamery_kernels::Isa;

use crate::probe::{Bandwidth, Roofs};

/// What a call, or several one after the other, did in which time.
#[derive(Default)]
pub struct Row {
    flops: f64,
    bytes: f64,
    seconds: f64,
    /// The least seconds that its roof allows.
    least: f64,
}

impl Row {
    /// Of so many FLOPs, so many bytes moved, and so many held.
    pub fn new(roofs: &Roofs, [flops, bytes, held]: [f64; 3], seconds: f64) -> Self {
        Self {
            flops,
            bytes,
            seconds,
            least: roofs.least(flops, bytes, held),
        }
    }

    /// Both, one after the other.
    pub fn after(self, other: &Self) -> Self {
        Self {
            flops: self.flops + other.flops,
            bytes: self.bytes + other.bytes,
            seconds: self.seconds + other.seconds,
            least: self.least + other.least,
        }
    }
}

/// What the machine can do.
pub fn machine(roofs: &Roofs, threads: usize) {
    let isa = Isa::best();
    println!("### This machine, {threads} thread(s), {isa:?}\n");
    println!(
        "Peak (`gemm` at its best): {} GFLOP/s.\n",
        digits(roofs.peak / 1e9)
    );
    println!("| working set | read, GB/s | in place, GB/s | triad, GB/s |\n|---|---|---|---|");
    let whole = |bandwidth: &&Bandwidth| bandwidth.working_set.is_power_of_two();
    for bandwidth in roofs.bandwidths.iter().filter(whole) {
        let size = match bandwidth.working_set >> 10 {
            kib @ ..1024 => format!("{kib} KiB"),
            kib => format!("{} MiB", kib >> 10),
        };
        let [read, in_place, triad] = bandwidth.rates.map(|rate| digits(rate / 1e9));
        println!("| {size} | {read} | {in_place} | {triad} |");
    }
}

/// The rows of a family.
pub fn print(roofs: &Roofs, title: &str, rows: &[(&str, Row)]) {
    println!("\n### {title}\n");
    println!("| | time | GFLOP/s | of peak | GB/s | FLOP/byte | roof, GFLOP/s | of roof |");
    println!("|---|---|---|---|---|---|---|---|");
    for (name, row) in rows {
        let rate = row.flops / row.seconds;
        println!(
            "| {name} | {} | {} | {} | {} | {} | {} | {} |",
            time(row.seconds),
            digits(rate / 1e9),
            percent(rate / roofs.peak),
            digits(row.bytes / row.seconds / 1e9),
            digits(row.flops / row.bytes),
            digits(row.flops / row.least / 1e9),
            percent(row.least / row.seconds),
        );
    }
}

fn percent(share: f64) -> String {
    format!("{:.0}%", 100.0 * share)
}

fn time(seconds: f64) -> String {
    if seconds < 1e-3 {
        format!("{} µs", digits(seconds * 1e6))
    } else {
        format!("{} ms", digits(seconds * 1e3))
    }
}

/// A number to three digits, or to all before its point.
fn digits(value: f64) -> String {
    let decimals = match value {
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{value:.decimals$}")
}
