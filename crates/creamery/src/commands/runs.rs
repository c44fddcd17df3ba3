//! `creamery runs`: the list of runs, and what of them can go.

use std::fmt::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::ValueEnum;
use creamery_serve::{Filter, Index, Order, Plan, Prune, SortKey, Summary, prune};
use creamery_view::{duration, rounded_count};
use serde_json::{Value, json};

use crate::answer::Answer;
use crate::cli::Global;
use crate::error::CommandError;
use crate::overview::{plural, table};

const EXAMPLES: &str = "\
Examples:
  creamery runs
      all runs in runs/, however deep, the last written first
  creamery runs --method cream --data fashion-mini --sort top1
      the best of some
  creamery runs experiments --state running --json
      for a program
  creamery runs --prune checkpoints
      what the checkpoints of finished runs take; nothing is removed
  creamery runs --prune checkpoints --method spos --yes
      removes them: weights and results stay, but select, rank and more epochs need the checkpoint
  creamery runs --prune unfinished --older-than 30 --yes
      removes runs that were stopped without a result 30 days ago or more

--prune leaves alone what is running, what cannot be asked, and folders that hold other files than a run's.";

/// List the runs of a folder, or remove what is no longer needed of them
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The folder of runs, which may lie deeper in it
    #[arg(value_name = "RUNS", default_value = "runs")]
    runs: PathBuf,
    /// Words that must be in the name, the space, the architecture, ..
    #[arg(long, value_name = "WORDS")]
    search: Option<String>,
    /// Only of this command: search, retrain, select, rank or ablate
    #[arg(long, value_name = "NAME")]
    task: Option<String>,
    /// Only searches by this method
    #[arg(long, value_name = "NAME")]
    method: Option<String>,
    /// Only of this data set
    #[arg(long, value_name = "D")]
    data: Option<String>,
    /// Only in this state
    #[arg(long, value_enum)]
    state: Option<State>,
    /// What decides the order: name, modified, top1, macs, params, seconds, state, task, method or data
    #[arg(long, value_name = "KEY", default_value = "modified")]
    sort: SortKey,
    /// The other way round
    #[arg(long)]
    reverse: bool,
    /// Say what could go of those runs, and with --yes remove it
    #[arg(long, value_enum)]
    prune: Option<What>,
    /// Only runs that were not written for so many days [default: 0 for checkpoints, 7 for unfinished]
    #[arg(long, value_name = "DAYS", requires = "prune")]
    older_than: Option<u32>,
    /// Remove it
    #[arg(long, requires = "prune")]
    yes: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum State {
    Running,
    Finished,
    Stopped,
    Unknown,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// The checkpoints of finished runs
    Checkpoints,
    /// Runs that were stopped without a result
    Unfinished,
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<Answer, CommandError> {
    if !args.runs.is_dir() {
        return Err(CommandError::Usage(format!(
            "`{}` is no folder: name the one that your runs are in",
            args.runs.display()
        )));
    }
    let mut index = Index::open(&args.runs)?;
    index.refresh(|_, _| {});
    for note in index.notes() {
        global.note(&format!("note: {note}"));
    }
    let state = args.state.and_then(|state| state.to_possible_value());
    let filter = Filter {
        q: args.search.clone(),
        task: args.task.clone(),
        method: args.method.clone(),
        data: args.data.clone(),
        state: state.map(|state| state.get_name().to_owned()),
    };
    match args.prune {
        Some(what) => pruned(args, what, &index, &filter),
        None => Ok(list(args, &index, &filter)),
    }
}

fn list(args: &Args, index: &Index, filter: &Filter) -> Answer {
    let usual = Order::by(args.sort);
    let order = Order {
        falling: usual.falling != args.reverse,
        ..usual
    };
    let runs = filter.apply(index.runs(), order);
    let header = [
        "run", "task", "method", "data", "state", "top-1", "MACs", "params", "time",
    ];
    let rows = runs.iter().map(|run| row(run)).collect();
    let of = index.runs().count();
    let mut text = String::new();
    if !runs.is_empty() {
        text = table(&header, &[1, 2, 3, 4], rows);
        text.push('\n');
    }
    let _ = writeln!(text, "{} of {}", runs.len(), plural(of, "run"));
    let noted = runs.iter().filter(|run| !run.notes.is_empty());
    for run in noted {
        let _ = writeln!(text, "note on {}: {}", run.id, run.notes.join("; "));
    }
    Answer::done(text, json!({ "kind": "runs", "runs": runs, "of": of }))
}

fn row(run: &Summary) -> Vec<String> {
    let none = || "-".to_owned();
    let text = |value: &Option<String>| value.clone().unwrap_or_else(none);
    let count = |value: Option<u64>| value.map_or_else(none, rounded_count);
    let time = run
        .seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let state = match run.share_done {
        Some(share) if share < 1.0 => format!("{} {:.0}%", run.state, 100.0 * share),
        _ => run.state.clone(),
    };
    vec![
        run.id.clone(),
        run.task.clone(),
        text(&run.method),
        text(&run.data),
        state,
        run.top1.map_or_else(none, |top1| format!("{top1:.2}%")),
        count(run.macs),
        count(run.params),
        time.map_or_else(none, duration),
    ]
}

fn pruned(args: &Args, what: What, index: &Index, filter: &Filter) -> Result<Answer, CommandError> {
    let (kind, days) = match what {
        What::Checkpoints => (Prune::Checkpoints, 0),
        What::Unfinished => (Prune::Unfinished, 7),
    };
    let days = u64::from(args.older_than.unwrap_or(days));
    let plan = prune(index, kind, filter, Duration::from_secs(days * 86_400));
    let mut failed = Vec::new();
    if args.yes {
        failed = plan
            .removals
            .iter()
            .filter_map(|removal| removal.apply().err())
            .collect();
    }
    let text = told(&plan, what, args.yes);
    let removals: Vec<Value> = (plan.removals.iter())
        .map(|removal| json!({ "run": removal.id, "files": removal.files, "bytes": removal.bytes }))
        .collect();
    let kept: Vec<Value> = (plan.kept.iter())
        .map(|kept| json!({ "run": kept.id, "reason": kept.reason }))
        .collect();
    let bytes: u64 = plan.removals.iter().map(|removal| removal.bytes).sum();
    if let Some(error) = failed.into_iter().next() {
        return Err(error.into());
    }
    let json = json!({
        "kind": "prune",
        "removed": args.yes,
        "removals": removals,
        "kept": kept,
        "bytes": bytes,
    });
    Ok(Answer::done(text, json))
}

fn told(plan: &Plan, what: What, removed: bool) -> String {
    let rows = plan
        .removals
        .iter()
        .map(|removal| vec![removal.id.clone(), megabytes(removal.bytes)]);
    let mut text = String::new();
    if !plan.removals.is_empty() {
        let head = match what {
            What::Checkpoints => ["checkpoint of", "size"],
            What::Unfinished => ["run", "size"],
        };
        text = table(&head, &[], rows.collect());
        text.push('\n');
    }
    for kept in &plan.kept {
        let _ = writeln!(text, "left alone: {}: {}", kept.id, kept.reason);
    }
    let bytes = megabytes(plan.removals.iter().map(|removal| removal.bytes).sum());
    let count = plan.removals.len();
    let things = match what {
        What::Checkpoints => plural(count, "checkpoint"),
        What::Unfinished => plural(count, "run"),
    };
    let _ = match (count, removed) {
        (0, _) => writeln!(text, "nothing to remove"),
        (_, true) => writeln!(text, "removed {things}, {bytes}"),
        (_, false) => writeln!(
            text,
            "{things}, {bytes}; nothing was removed: --yes does it"
        ),
    };
    text
}

fn megabytes(bytes: u64) -> String {
    format!("{:.1} MB", bytes as f64 / 1e6)
}
