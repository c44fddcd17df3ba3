//! The command line as clap reads it.

use clap::{Args, Parser, Subcommand};
use creamery_train::Ranks;

use crate::answer::Answer;
use crate::commands::{
    ablate, bench, data, describe, eval, export, import, predict, profile, rank, report, retrain,
    runs, search, select, serve,
};
use crate::error::CommandError;

const EXAMPLES: &str = "\
The whole way, with the built-in images:
  creamery search --out runs/first
  creamery retrain runs/first --out runs/final
  creamery eval runs/final

`creamery COMMAND --help` shows more examples.
Exit codes: 0 done, 1 failed, 2 wrong command or setting, 130 stopped and saved.";

/// Searches, trains and hands back small convolutional networks.
#[derive(Debug, Parser)]
#[command(name = "creamery", version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Everywhere")]
pub(crate) struct Global {
    /// Print one JSON object on standard output; everything else goes to standard error
    #[arg(long, global = true)]
    pub json: bool,
    /// No progress and no notes; errors only
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// A progress bar instead of the live view
    #[arg(long, global = true)]
    pub plain: bool,
    /// Write what a run tells for TensorBoard, too: to tensorboard/ in its folder
    #[arg(long, global = true)]
    pub tensorboard: bool,
    /// Threads that compute [default: all cores; one for profile]
    #[arg(long, value_name = "N", global = true, value_parser = threads)]
    pub threads: Option<usize>,
    /// Who works together: see [`Command::is_mpi`].
    #[arg(skip)]
    pub ranks: Ranks,
}

impl Global {
    /// For a command of many runs: a live view of one would hide what is noted between them.
    pub fn without_view(&self) -> Self {
        Self {
            plain: true,
            ..self.clone()
        }
    }

    /// Tells the user something that is no part of the answer.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            use std::io::Write;
            let _ = writeln!(std::io::stderr(), "{text}");
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Search(search::Args),
    Select(select::Args),
    Retrain(retrain::Args),
    Eval(eval::Args),
    Predict(predict::Args),
    Export(export::Args),
    Import(import::Args),
    Describe(describe::Args),
    Data(data::Args),
    Ablate(ablate::Args),
    Rank(rank::Args),
    Report(report::Args),
    Runs(runs::Args),
    Serve(serve::Args),
    Bench(bench::Args),
    Profile(profile::Args),
}

impl Command {
    pub fn run(&self, global: &Global) -> Result<Answer, CommandError> {
        match self {
            Self::Search(args) => search::run(args, global),
            Self::Select(args) => select::run(args, global),
            Self::Retrain(args) => retrain::run(args, global),
            Self::Eval(args) => eval::run(args, global),
            Self::Predict(args) => predict::run(args, global),
            Self::Export(args) => export::run(args),
            Self::Import(args) => import::run(args),
            Self::Describe(args) => describe::run(args),
            Self::Data(args) => data::run(args, global),
            Self::Ablate(args) => ablate::run(args, global),
            Self::Rank(args) => rank::run(args, global),
            Self::Report(args) => report::run(args, global),
            Self::Runs(args) => runs::run(args, global),
            Self::Serve(args) => serve::run(args, global),
            Self::Bench(args) => bench::run(args, global),
            Self::Profile(args) => profile::run(args, global),
        }
    }

    /// Whether it is to be one job of all processes that mpirun or srun has started.
    pub fn is_mpi(&self) -> bool {
        match self {
            Self::Search(args) => args.run.place.mpi,
            Self::Select(args) => args.place.mpi,
            Self::Retrain(args) => args.run.place.mpi,
            Self::Ablate(args) => args.mpi,
            Self::Rank(args) => args.mpi,
            Self::Bench(args) => args.mpi(),
            _ => false,
        }
    }

    /// Threads that compute where the user says nothing; all cores without.
    pub fn threads(&self) -> Option<usize> {
        match self {
            Self::Profile(_) => Some(profile::THREADS),
            _ => None,
        }
    }
}

fn threads(text: &str) -> Result<usize, String> {
    const MOST: usize = 1024;
    match text.parse() {
        Ok(threads @ 1..=MOST) => Ok(threads),
        _ => Err(format!("give 1 to {MOST}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        use clap::CommandFactory;
        Cli::command().debug_assert();
    }
}
