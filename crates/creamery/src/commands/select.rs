//! `creamery select`: chooses a winner from a supernet that was trained before.

use std::path::{Path, PathBuf};

use creamery_search::{SearchConfig, SelectConfig, Trained, select};
use creamery_train::event::Events;
use creamery_train::{Outcome, RunFolder};
use toml::{Table, Value};

use crate::answer::Answer;
use crate::budget_args::BudgetArgs;
use crate::cli::Global;
use crate::commands::{note_skipped, stopped, winner};
use crate::error::CommandError;
use crate::interrupt;
use crate::overview::{exact, plural};
use crate::ranks;
use crate::recorded::{Task, table};
use crate::run_args::{PlaceArgs, device_help, flags};
use crate::run_folder::{Previous, Workplace};
use crate::shell::quoted;

const EXAMPLES: &str = "\
Takes the supernet of a search, finished or stopped, and looks for the best of its paths: each is
judged by top-1 on held-out images, its batch norms calibrated. The search's own result stays.

Examples:
  creamery select runs/cream-fashion-mini-1 --selector evolution --max-macs 3M
      the best under another budget, without training anew
  creamery select runs/cream-fashion-mini-1 --selector nsga2 --min-macs 1M --max-macs 8M --buckets 4
      the front of accuracy against cost, and a winner in each of four ranges
  creamery select runs/pets --selector evolution --max-latency 20ms --latency-table phone.json
      the best that is fast enough on another device
  creamery select runs/cream-fashion-mini-1 --selector random --set select.candidates=200 --seed 1
      the best of 200 random paths, to compare with
  creamery select runs/pets --resume --out runs/pets/select-evolution-1
      a selection that was stopped or killed";

/// Choose another winner from a trained supernet
#[derive(clap::Args, Debug)]
#[command(
    after_help = EXAMPLES,
    next_help_heading = "What to choose [defaults: as RUN was configured]",
    mut_arg("out", |out| out.help("The selection's folder [default: a new one in RUN]")),
    mut_arg("resume", |resume| resume.help("Go on with the selection in --out, where it was stopped or killed")),
    mut_arg("config", |config| config.help("Read settings from a TOML file, such as the run.toml of another selection")),
    mut_arg("sets", |sets| sets.help("Change one setting, such as select.population=20; may be given several times")),
)]
pub(crate) struct Args {
    /// The folder of a search
    #[arg(help_heading = None, value_name = "RUN")]
    run: PathBuf,
    /// What chooses: board, evolution, nsga2, random, reinforce [default: the method's own]
    #[arg(long, value_name = "NAME")]
    selector: Option<String>,
    #[command(flatten)]
    budget: BudgetArgs,
    /// Decides the selector's random choices
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    seed: Option<u64>,
    /// The images of RUN, if they lie elsewhere now
    #[arg(long, value_name = "D")]
    data: Option<String>,
    #[arg(long, value_name = "NAME", help = device_help())]
    device: Option<String>,
    #[command(flatten)]
    pub place: PlaceArgs,
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<Answer, CommandError> {
    let previous = Previous::open::<SelectConfig>(&args.place, Task::Select, global.ranks)?;
    let own = Trained::config(&args.run)?;
    let config = args.config(previous.as_ref(), &own)?;
    config.check(&own)?;
    let own = SearchConfig {
        data: config.data.clone(),
        device: config.device.clone(),
        ..own
    };
    let ranks = global.ranks;
    let own_table = own.latency_table.clone();
    let mut trained = Trained::open_among(ranks, &args.run, own)?;
    if let Some(table) = &config.latency_table
        && config.latency_table != own_table
    {
        let space = trained.space.clone();
        trained.space = match &previous {
            Some(previous) => previous.with_latency(space, Some(table))?,
            None => space.with_latency_file(Path::new(table))?,
        };
    }
    note_skipped(&trained.data.set.skipped, global);
    ranks::check_training(ranks, &table(&config), trained.data.set.fingerprint())?;
    ranks.barrier();
    let selector = config.select.selector(trained.board.is_some())?;
    let (steps, budget) = (exact(trained.step), config.budget.budget());
    global.note(&format!(
        "select: {selector}, from a supernet of {steps} steps, paths that cost {budget}"
    ));
    let place = match previous {
        Some(previous) => {
            Workplace::resumed(previous.go_on(&config, &trained.space, &trained.data.set)?)
        }
        None => {
            let free = || RunFolder::free_name(&args.run, &format!("select-{selector}"));
            let path = args.place.out.clone().unwrap_or_else(free);
            Workplace::create(&ranks::common_path(ranks, path), &config, ranks)?
        }
    };
    if !place.is_furnished() {
        place.furnish(&trained.space)?;
    }
    let stop = interrupt::stop_flag()?;
    let mut events = Events::default();
    interrupt::watch(&mut events, "select", &place.run, global);
    let outcome = select(&trained, &config, &place.run, &mut events, stop);
    drop(events);
    let folder = place.run.path();
    match place.conclude(outcome.map_err(CommandError::from))? {
        Outcome::Done(result) => winner::answer(&result, &trained.space, folder),
        Outcome::Stopped { step: done } => {
            let when = format!("after {}", plural(done as usize, "evaluation"));
            let (run, out) = (quoted(&args.run), quoted(folder));
            let resume = format!("creamery select {run} --resume --out {out}");
            Ok(stopped(folder, &when, ("evaluations", done), &resume))
        }
    }
}

impl Args {
    /// Flags, `--set` and file over what the selection to go on with has, or else the run.
    fn config(
        &self,
        previous: Option<&Previous>,
        run: &SearchConfig,
    ) -> Result<SelectConfig, CommandError> {
        let text = |text: &Option<String>| text.clone().map(Value::String);
        let own = [
            ("select.selector", text(&self.selector)),
            ("select.seed", self.seed.map(|n| Value::Integer(n as i64))),
            ("data.source", text(&self.data)),
            ("device", text(&self.device)),
        ];
        let flags = flags(own.into_iter().chain(self.budget.flags()));
        let defaults = match previous {
            Some(previous) => previous.config.clone(),
            None => Table::try_from(SelectConfig::of(run)).expect("settings are plain data"),
        };
        Ok(self.place.resolve(defaults, flags)?)
    }
}
