//! `creamery search`: trains a supernet and hands back its best network under a budget.

use std::path::{Path, PathBuf};

use creamery_data::DataSet;
use creamery_search::{SearchConfig, SearchResult, search};
use creamery_space::{Space, parse_count};
use creamery_train::event::Events;
use creamery_train::{Outcome, RunData};
use creamery_view::{Progress, rounded_count};
use toml::{Table, Value};

use crate::answer::Answer;
use crate::cli::Global;
use crate::commands::{note_skipped, stopped, time, validated, with_run};
use crate::error::CommandError;
use crate::interrupt;
use crate::overview::{Overview, table};
use crate::recorded::Task;
use crate::run_args::RunArgs;
use crate::run_folder::{self, Previous, Start};
use crate::shell::quoted;

const EXAMPLES: &str = "\
Trains one supernet that holds every network of the space, lets the best ones teach the others, and
hands back the winner with its weights.

Examples:
  creamery search
      the built-in images, the space tiny-32, minutes on a CPU
  creamery search --data folder:pets --space cream-224 --max-macs 300M --out runs/pets
      your images, a network for a phone
  creamery search --min-macs 1M --max-macs 8M --buckets 4
      a family of four networks from one run
  creamery search --set train.lr=0.05 --set cream.matching=none
      other settings; those of a finished run are in its run.toml
  creamery search --resume --out runs/pets
      a run that was stopped or killed";

/// Find the best network of a space under a budget
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES, next_help_heading = "What to search for")]
pub(crate) struct Args {
    /// The networks to search among: tiny-32, cream-224, or a TOML file
    #[arg(long, value_name = "S")]
    space: Option<String>,
    /// How to search: cream
    #[arg(long, value_name = "M")]
    method: Option<String>,
    /// Most multiply-accumulates of the winner, such as 5M
    #[arg(long, value_name = "COUNT", value_parser = count)]
    max_macs: Option<String>,
    /// Fewest multiply-accumulates
    #[arg(long, value_name = "COUNT", value_parser = count)]
    min_macs: Option<String>,
    /// Most parameters, such as 300k
    #[arg(long, value_name = "COUNT", value_parser = count)]
    max_params: Option<String>,
    /// Fewest parameters
    #[arg(long, value_name = "COUNT", value_parser = count)]
    min_params: Option<String>,
    /// Ranges of MACs within the budget, each with a winner of its own
    #[arg(long, value_name = "N")]
    buckets: Option<u32>,
    /// Pixels a side of the input [default: the space's nearest to the images]
    #[arg(long, value_name = "PX")]
    resolution: Option<u32>,
    #[command(flatten)]
    run: RunArgs,
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<Answer, CommandError> {
    let previous = Previous::open::<SearchConfig>(&args.run, Task::Search)?;
    let (config, space) = args.settings(previous.as_ref())?;
    config.check()?;
    if let Some(previous) = &previous
        && let Some(result) = previous.unchanged_result::<SearchResult>(&config)?
    {
        global.note("this run is finished; its result:");
        return answer(&result, &space, previous.path());
    }
    let set = RunData::open(&config.data)?;
    note_skipped(&set, global);
    let start = match previous {
        Some(previous) => Start::GoOn(previous.into()),
        None => Start::New(run_folder::path(&args.run, &config.method, &set)),
    };
    let (outcome, folder) = search_in(start, &config, &space, set, global)?;
    match outcome {
        Outcome::Done(result) => answer(&result, &space, &folder),
        Outcome::Stopped { step } => Ok(stopped(Task::Search, &folder, step)),
    }
}

/// Searches in a folder, which is returned with how it ended.
pub(crate) fn search_in(
    start: Start,
    config: &SearchConfig,
    space: &Space,
    set: DataSet,
    global: &Global,
) -> Result<(Outcome<SearchResult>, PathBuf), CommandError> {
    let resolution = config.resolution_on(space, &set);
    // A resolution that the space does not have is told before anything is written.
    space.smallest(resolution)?;
    let data = RunData::prepare(set, &config.data, resolution, config.seed)?;
    let place = start.workplace(config, space, &data.set)?;
    if !place.is_furnished() {
        place.furnish(space)?;
    }
    let stop = interrupt::stop_flag()?;
    let mut events = Events::default();
    events.add(Progress::stderr(global.quiet));
    let outcome = search(config, space, &data, &place.run, &mut events, stop);
    drop(events);
    let outcome = place.conclude(outcome.map_err(CommandError::from))?;
    Ok((outcome, place.run.path().to_owned()))
}

impl Args {
    /// Flags, `--set` and file over what the run to go on with has, or else over what the space
    /// recommends; and the space.
    fn settings(&self, previous: Option<&Previous>) -> Result<(SearchConfig, Space), CommandError> {
        let text = |text: &Option<String>| text.clone().map(Value::String);
        let number = |number: Option<u32>| number.map(|n| Value::Integer(n.into()));
        let flags = self.run.flags(vec![
            ("space", text(&self.space)),
            ("method", text(&self.method)),
            ("budget.max_macs", text(&self.max_macs)),
            ("budget.min_macs", text(&self.min_macs)),
            ("budget.max_params", text(&self.max_params)),
            ("budget.min_params", text(&self.min_params)),
            ("budget.buckets", number(self.buckets)),
            ("resolution", number(self.resolution)),
        ]);
        if let Some(previous) = previous {
            let config: SearchConfig = self.run.resolve(previous.config.clone(), flags)?;
            let before = previous.config.get("space").and_then(Value::as_str);
            let own = previous
                .space
                .clone()
                .filter(|_| before == Some(&config.space));
            let space = own.map_or_else(|| Space::resolve(&config.space), Ok)?;
            return Ok((config, space));
        }
        // Any source may name the space, and the space has the last word of the defaults.
        let named: SearchConfig = self.run.resolve(Table::new(), flags.clone())?;
        let space = Space::resolve(&named.space)?;
        let config = self.run.resolve(SearchConfig::defaults(&space), flags)?;
        Ok((config, space))
    }
}

/// A count in the form that configurations take, checked here so that the flag is named.
fn count(text: &str) -> Result<String, creamery_space::CountError> {
    parse_count(text).map(|count| count.to_string())
}

fn answer(result: &SearchResult, space: &Space, folder: &Path) -> Result<Answer, CommandError> {
    let mut overview = Overview::default();
    overview
        .network(space, &result.architecture.architecture)?
        .cost(&result.cost)
        .row("validation", validated(&result.validation))
        .row("time", time(&result.timing))
        .row(
            "weights",
            folder.join(&result.weights).display().to_string(),
        )
        .row("result", folder.join("result.json").display().to_string());
    let command = format!("creamery retrain {}", quoted(&folder.join("result.json")));
    overview.row("next", &command);
    let mut text = overview.to_string();
    if !result.family.is_empty() {
        let rows = result.family.iter().map(|member| {
            vec![
                member.bucket.to_string(),
                rounded_count(member.cost.macs),
                rounded_count(member.cost.params),
                format!("{:.2}%", member.validation.top1),
                member.architecture.architecture.to_string(),
            ]
        });
        let header = ["bucket", "MACs", "params", "validation", "architecture"];
        text = format!(
            "{text}\nThe family; train a member with {command} --bucket N\n{}",
            table(&header, &[4], rows.collect())
        );
    }
    Ok(Answer::done(text, with_run(result, folder)))
}
