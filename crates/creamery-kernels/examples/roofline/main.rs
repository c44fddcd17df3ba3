//! Measures every kernel beside what this machine could do at best: `roofline [--threads N] [--quick] [WORD]..`.
//!
//! Prints Markdown. First the machine: the best rate of the crate `gemm` (the peak), and the bandwidth of simple loops
//! by working set. Then a table for each kernel at the shapes of `cream-224`: the median time of a call, the rates that
//! it attains, and the roof, `min(peak, FLOPs / bytes x bandwidth)` with the bandwidth of a working set as large as the
//! call's. `benches/cases` tells how FLOPs and bytes are counted.
//!
//! Kernels that run on one thread run on each at once, every one with its share of the images; operators and updates
//! share the threads themselves. With words, only tables whose title has one of them are made.

#[path = "../../benches/cases/mod.rs"]
mod cases;
mod clock;
mod probe;
mod table;

use cases::{Case, Family, SETTINGS, Setting, Threads};
use clock::{Effort, seconds};
use probe::{Roofs, each_thread, on_each};
use table::Row;

const USAGE: &str = "roofline [--threads N] [--quick] [WORD]..";

const THOROUGH: Effort = Effort {
    budget: 0.3,
    sample: 5e-3,
};

/// Enough to see that it works, not to believe it.
const QUICK: Effort = Effort {
    budget: 0.0,
    sample: 1e-5,
};

struct Options {
    threads: usize,
    effort: Effort,
    words: Vec<String>,
}

impl Options {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut options = Self {
            threads: 1,
            effort: THOROUGH,
            words: Vec::new(),
        };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--threads" => {
                    let threads = arguments.next().and_then(|n| n.parse().ok());
                    let threads = threads.filter(|n| (1..=1024).contains(n));
                    options.threads = threads.ok_or("--threads needs a number from 1 to 1024")?;
                }
                "--quick" => options.effort = QUICK,
                flag if flag.starts_with('-') => {
                    return Err(format!("unknown option `{flag}`; usage: {USAGE}"));
                }
                word => options.words.push(word.to_lowercase()),
            }
        }
        Ok(options)
    }

    fn wants(&self, title: &str) -> bool {
        let title = title.to_lowercase();
        self.words.is_empty() || self.words.iter().any(|word| title.contains(word))
    }
}

fn main() -> std::process::ExitCode {
    let options = match Options::read(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return std::process::ExitCode::from(2);
        }
    };
    creamery_kernels::keep_freed_memory();
    cases::start_threads(Some(options.threads));
    let roofs = Roofs::measure(options.effort);
    table::machine(&roofs, options.threads);
    for setting in SETTINGS {
        let share = Setting {
            images: setting.images.div_ceil(options.threads),
            ..setting
        };
        let mut families = cases::kernels::families(share);
        families.extend(cases::operators::families(setting));
        for family in families {
            let title = format!("{}, {setting}", family.title);
            report(&options, &roofs, &title, family);
        }
    }
    let updates = cases::operators::updates();
    report(&options, &roofs, updates.title, updates);
    std::process::ExitCode::SUCCESS
}

/// Measures a family and prints its table.
fn report(options: &Options, roofs: &Roofs, title: &str, family: Family) {
    if !options.wants(title) {
        return;
    }
    let row = |case: &Case| {
        let (copies, time) = match family.threads {
            Threads::One => {
                let calls = each_thread(&case.prepare);
                let run = |times| on_each(&calls, times, |call| call());
                (options.threads as f64, seconds(options.effort, run))
            }
            Threads::All => {
                let mut call = (case.prepare)();
                let run = |times| (0..times).for_each(|_| call());
                (1.0, seconds(options.effort, run))
            }
        };
        let work = [case.flops, case.bytes, case.held].map(|amount| copies * amount);
        Row::new(roofs, work, time.median)
    };
    let mut rows: Vec<(&str, Row)> = family
        .cases
        .iter()
        .map(|case| (&case.name[..], row(case)))
        .collect();
    if family.path {
        let all = rows
            .iter()
            .fold(Row::default(), |sum, (_, row)| sum.after(row));
        rows.push(("all", all));
    }
    table::print(roofs, title, &rows);
}
