//! `creamery bench`: how fast this machine is.

mod infer;
mod ranks;
mod step;

use std::time::Duration;

use clap::Subcommand;
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::cli::Global;
use crate::error::CommandError;

/// Measure how fast this machine trains and infers
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Step(step::Args),
    Infer(infer::Args),
    Ranks(ranks::Args),
}

impl Args {
    /// Whether all processes that mpirun or srun has started work together.
    pub fn mpi(&self) -> bool {
        matches!(&self.what, What::Ranks(args) if args.mpi)
    }
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<Answer, CommandError> {
    match &args.what {
        What::Step(args) => step::run(args, global),
        What::Infer(args) => infer::run(args),
        What::Ranks(args) => ranks::run(args, global),
    }
}

/// What some measurements say, in milliseconds.
struct Times {
    median: f64,
    least: f64,
    most: f64,
}

impl Times {
    /// Of at least one measurement.
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let ms = |index: usize| times[index].as_secs_f64() * 1e3;
        Self {
            median: (ms((times.len() - 1) / 2) + ms(times.len() / 2)) / 2.0,
            least: ms(0),
            most: ms(times.len() - 1),
        }
    }
}

/// A parser of counts that are not below `least`.
fn count(least: usize) -> impl Fn(&str) -> Result<usize, String> + Clone {
    const MOST: usize = 1 << 20;
    move |text| match text.parse() {
        Ok(count) if (least..=MOST).contains(&count) => Ok(count),
        _ => Err(format!("give {least} to {MOST}")),
    }
}

fn hundredths(value: f64) -> Value {
    json!((value * 100.0).round() / 100.0)
}
