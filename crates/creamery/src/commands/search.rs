//! `creamery search`: trains a supernet and hands back its best network under a budget.

use std::path::{Path, PathBuf};

use creamery_data::DataSet;
use creamery_search::{SearchConfig, SearchResult, search};
use creamery_space::Space;
use creamery_train::event::Events;
use creamery_train::{Outcome, RunData};
use toml::{Table, Value};

use crate::answer::Answer;
use crate::budget_args::BudgetArgs;
use crate::cli::Global;
use crate::commands::{note_skipped, stopped, winner};
use crate::error::CommandError;
use crate::interrupt;
use crate::ranks;
use crate::recorded::{Task, table};
use crate::run_args::RunArgs;
use crate::run_folder::{self, Previous, Start};

const EXAMPLES: &str = "\
Trains one supernet that holds every network of the space, in the way of --method (by default the best
networks teach the others), and hands back the winner with its weights.

Examples:
  creamery search
      the built-in images, the space tiny-32, minutes on a CPU
  creamery search --data folder:pets --space cream-224 --max-macs 300M --out runs/pets
      your images, a network for a phone
  creamery search --max-latency 3ms --latency-table laptop.json
      the best that is fast enough; creamery profile measures laptop.json
  creamery search --min-macs 1M --max-macs 8M --buckets 4
      a family of four networks from one run
  creamery search --method cream-elastic
      a network that is used as it is, without retraining
  creamery search --selector evolution
      the winner from among all networks under the budget, instead of from the board
  creamery search --set train.lr=0.05 --set cream.matching=none
      other settings; those of a finished run are in its run.toml
  mpirun -n 4 creamery search --mpi --data folder:pets --out runs/pets
      four processes as one, with four devices or on four machines: docs/cluster.md
  creamery search --resume --out runs/pets
      a run that was stopped or killed";

/// Find the best network of a space under a budget
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES, next_help_heading = "What to search for")]
pub(crate) struct Args {
    /// The networks to search among: tiny-32, cream-224, or a TOML file
    #[arg(long, value_name = "S")]
    space: Option<String>,
    /// How to search: cream, spos, fairnas, ofa, bignas, cream-elastic
    #[arg(long, value_name = "M")]
    method: Option<String>,
    /// What chooses the winner: board, evolution, nsga2, random, reinforce [default: the method's own]
    #[arg(long, value_name = "NAME")]
    selector: Option<String>,
    #[command(flatten)]
    budget: BudgetArgs,
    /// Pixels a side of the input [default: the space's nearest to the images]
    #[arg(long, value_name = "PX")]
    resolution: Option<u32>,
    /// Paths that a step trains, each on a part of the batch of its own: with --mpi ranks then train different ones
    #[arg(long, value_name = "N")]
    paths_per_step: Option<u32>,
    #[command(flatten)]
    pub run: RunArgs,
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<Answer, CommandError> {
    let previous = Previous::open::<SearchConfig>(&args.run.place, Task::Search, global.ranks)?;
    let (config, space) = args.settings(previous.as_ref())?;
    config.check()?;
    if let Some(previous) = &previous
        && let Some(result) = previous.unchanged_result::<SearchResult>(&config)?
    {
        global.note("this run is finished; its result:");
        return winner::answer(&result, &space, previous.path());
    }
    let set = RunData::open(&config.data)?;
    note_skipped(&set.skipped, global);
    let start = match previous {
        Some(previous) => Start::GoOn(previous.into()),
        None => Start::New(run_folder::path(&args.run.place, &config.method, &set)),
    };
    let Searched {
        outcome,
        folder,
        steps,
    } = search_in(start, &config, &space, set, global)?;
    match outcome {
        Outcome::Done(result) => winner::answer(&result, &space, &folder),
        Outcome::Stopped { step } => {
            let when = match step < steps {
                true => format!("before step {step}"),
                false => "while choosing the winner".to_owned(),
            };
            let resume = Task::Search.resume_command(&folder);
            Ok(stopped(&folder, &when, ("step", step), &resume))
        }
    }
}

/// How a search ended, and where.
pub(crate) struct Searched {
    pub outcome: Outcome<SearchResult>,
    folder: PathBuf,
    /// Steps of the whole training.
    steps: u64,
}

/// Searches in a folder.
pub(crate) fn search_in(
    start: Start,
    config: &SearchConfig,
    space: &Space,
    set: DataSet,
    global: &Global,
) -> Result<Searched, CommandError> {
    let resolution = config.resolution_on(space, &set);
    // A resolution that the space or its latency table does not have is told before anything is written.
    space.cost(
        &space.smallest(resolution)?,
        set.channels,
        set.classes.len(),
    )?;
    let ranks = global.ranks;
    let data = RunData {
        ranks,
        ..RunData::prepare(set, &config.data, resolution, config.seed)?
    };
    ranks::check_training(ranks, &table(config), data.set.fingerprint())?;
    let place = start.workplace(config, space, &data.set, ranks)?;
    if !place.is_furnished() {
        place.furnish(space)?;
    }
    let stop = interrupt::stop_flag()?;
    let mut events = Events::default();
    interrupt::watch(&mut events, "search", &place.run, global);
    let outcome = search(config, space, &data, &place.run, &mut events, stop);
    drop(events);
    // What rank 0 has written is there for all.
    ranks.barrier();
    Ok(Searched {
        outcome: place.conclude(outcome.map_err(CommandError::from))?,
        folder: place.run.path().to_owned(),
        steps: (data.train.len() / config.train.batch) as u64 * config.train.epochs,
    })
}

impl Args {
    /// Flags, `--set` and file over what the run to go on with has, or else over what the space
    /// recommends; and the space.
    fn settings(&self, previous: Option<&Previous>) -> Result<(SearchConfig, Space), CommandError> {
        let text = |text: &Option<String>| text.clone().map(Value::String);
        let resolution = self.resolution.map(|px| Value::Integer(px.into()));
        let own = [
            ("space", text(&self.space)),
            ("method", text(&self.method)),
            ("select.selector", text(&self.selector)),
            ("resolution", resolution),
            (
                "paths_per_step",
                self.paths_per_step
                    .map(|paths| Value::Integer(paths.into())),
            ),
        ];
        let flags = self
            .run
            .flags(own.into_iter().chain(self.budget.flags()).collect());
        if let Some(previous) = previous {
            let config: SearchConfig = self.run.place.resolve(previous.config.clone(), flags)?;
            let before = previous.config.get("space").and_then(Value::as_str);
            let own = previous
                .space
                .clone()
                .filter(|_| before == Some(&config.space));
            let space = own.map_or_else(|| Space::resolve(&config.space), Ok)?;
            let space = previous.with_latency(space, config.latency_table.as_deref())?;
            return Ok((config, space));
        }
        // Any source may name the space, and the space has the last word of the defaults.
        let named: SearchConfig = self.run.place.resolve(Table::new(), flags.clone())?;
        let space = Space::resolve(&named.space)?;
        let config: SearchConfig = self
            .run
            .place
            .resolve(SearchConfig::defaults(&space), flags)?;
        let space = match &config.latency_table {
            Some(table) => space.with_latency_file(Path::new(table))?,
            None => space,
        };
        Ok((config, space))
    }
}
