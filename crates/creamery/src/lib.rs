//! The command line of Creamery: from labelled images to a finished network.
//!
//! `creamery search` trains a supernet and hands back the best network under a budget, `select` chooses
//! another from it, `retrain` trains that network alone, `eval` measures it, `export` and `import` take it to other programs and
//! back, `describe` says what a network
//! costs layer by layer, `data` what a data set holds, `rank` how well a supernet ranks its paths, `report` what a run did, on one page, `ablate` runs a
//! table of configurations over several seeds, `bench` says how fast this machine trains, and `profile` how long the blocks
//! of a space take on it. The binary does nothing but
//! call [`run`]:
//!
//! ```
//! let mut answer = Vec::new();
//! let code = creamery::run(["creamery", "describe", "cream-14", "--json"], &mut answer);
//! assert_eq!(code, 0);
//!
//! let answer: serde_json::Value = serde_json::from_slice(&answer)?;
//! assert_eq!(answer["macs"], 13_188_608);
//! assert_eq!(answer["layers"][2]["block"], "ir_r1_k3_s2_e4_c24_se0.25");
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! Answers go to standard output; progress, notes and errors go to standard error. The exit code is 0
//! when a command is done, 1 when it failed, 2 when it was wrong, and 130 when it was stopped by a signal
//! and can go on.

mod ablation_text;
mod answer;
mod arch;
mod budget_args;
mod cells;
mod cli;
mod commands;
mod error;
mod interrupt;
mod model_file;
mod overview;
mod per_class;
mod ranks;
mod recorded;
mod repeat;
mod run_args;
mod run_folder;
mod shell;
mod unfinished;

use std::ffi::OsString;
use std::io::{self, ErrorKind, Write};

use clap::Parser;

use answer::Answer;
use cli::{Cli, Global};
use error::CommandError;

/// Runs a command line, the program's name first, and returns the exit code. Answers go to `out`.
pub fn run<A>(args: impl IntoIterator<Item = A>, out: &mut dyn Write) -> u8
where
    A: Into<OsString> + Clone,
{
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    let mut cli = match Cli::try_parse_from(&args) {
        Ok(cli) => cli,
        Err(error) => {
            // Also the way of `--help`; a closed pipe is no reason to complain.
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(2);
        }
    };
    if !cli.command.is_mpi() {
        return work(&cli, out).unwrap_or_else(|error| tell(&error));
    }
    let ranks = match ranks::join() {
        Ok(ranks) => ranks,
        Err(error) => return tell(&error),
    };
    let member = ranks::Member::new(ranks);
    cli.global.ranks = ranks;
    // One rank speaks for all.
    cli.global.quiet |= !ranks.is_root();
    cli.global
        .note(&format!("{} ranks share the work", ranks.size()));
    let args = args.iter().map(|arg| arg.to_string_lossy().into_owned());
    let alike = ranks::check_program(ranks, &args.skip(1).collect::<Vec<_>>());
    match alike.and_then(|()| work(&cli, out)) {
        Ok(code) => {
            member.finish();
            code
        }
        Err(error) => member.fail(&error),
    }
}

/// Runs a command and prints its answer.
fn work(cli: &Cli, out: &mut dyn Write) -> Result<u8, CommandError> {
    let pool = threads(cli.global.threads.or(cli.command.threads()))?;
    // Operators called from within the pool need not wake its threads one by one.
    let answer = pool.install(|| cli.command.run(&cli.global))?;
    if cli.global.ranks.is_root() {
        print(&answer, &cli.global, out)?;
    }
    Ok(answer.exit_code())
}

fn tell(error: &CommandError) -> u8 {
    let _ = writeln!(io::stderr(), "error: {}", error.with_causes());
    error.exit_code()
}

/// The threads that compute: so many, or one for each core.
fn threads(threads: Option<usize>) -> Result<rayon::ThreadPool, CommandError> {
    let count = threads.unwrap_or(0);
    rayon::ThreadPoolBuilder::new()
        .num_threads(count)
        .build()
        .map_err(|error| CommandError::Usage(format!("--threads {count}: {error}")))
}

fn print(answer: &Answer, global: &Global, out: &mut dyn Write) -> Result<(), CommandError> {
    let text = if global.json {
        format!("{:#}\n", answer.json)
    } else {
        answer.text.clone()
    };
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Whoever read the answer has seen enough.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(CommandError::Output),
    }
}
