//! `creamery ablate`: a table of configurations over several seeds.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use creamery_search::ablation::{Ablation, CellResult, Making, Report};
use creamery_train::{Layers, RunError, RunFolder};
use serde_json::{Value, json};

use crate::ablation_text::{markdown, text};
use crate::answer::Answer;
use crate::arch::read;
use crate::cells::{Cells, State};
use crate::cli::Global;
use crate::commands::{note_skipped, with_run};
use crate::error::CommandError;
use crate::interrupt;
use crate::overview::{Overview, plural, table};
use crate::ranks;
use crate::recorded::Task;
use crate::shell::quoted;

const EXAMPLES: &str = "\
FILE.toml names rows, each a configuration over that of the table, and seeds:

  name = \"teachers\"
  seeds = [0, 1, 2]
  [search]                        # as in the run.toml of a search
  data.source = \"fashion-mnist\"
  train.epochs = 4
  [retrain]                       # as in the run.toml of a retraining; left out for none
  train.epochs = 4
  [[rows]]
  name = \"no teacher\"
  search = { cream.matching = \"none\" }
  [[rows]]
  name = \"meta, trained longer\"
  search = { train.epochs = 8 }
  retrain = { train.epochs = 8 }  # or `retrain = false` for a network that is used as it is

Each row is searched and retrained with each seed in DIR/ROW/seed-N, seed by seed; DIR/table.md and
DIR/table.json have the results of the cells that are finished.

Examples:
  creamery ablate --config teachers.toml --out runs/teachers
  creamery ablate --resume --out runs/teachers
      a table that was stopped or killed
  creamery ablate --config teachers.toml --out runs/teachers --dry-run
      which cells there are, and how far each is
  creamery ablate --resume --out runs/teachers --set 'seeds=[0,1,2,3,4]'
      two more seeds; a file with more rows does the same for rows";

/// Run a table of configurations over several seeds, and compare them
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The table [default with --resume: as it was begun]
    #[arg(
        short,
        long,
        value_name = "FILE.toml",
        required_unless_present = "resume"
    )]
    config: Option<PathBuf>,
    /// The table's folder [default: a new one below runs/]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Go on with the table in --out; rows and seeds may have been added to its file
    #[arg(long, requires = "out")]
    resume: bool,
    /// Change one setting of the file, such as search.train.epochs=8; may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE")]
    sets: Vec<String>,
    /// List the cells and how far each is; train nothing
    #[arg(long)]
    dry_run: bool,
    /// Share the work with the other processes that mpirun or srun has started; see docs/cluster.md
    #[arg(long)]
    pub mpi: bool,
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<Answer, CommandError> {
    let global = &global.without_view();
    args.check_begun()?;
    let ablation = args.table()?;
    let sets = ablation.preflight()?;
    for opened in sets.iter() {
        note_skipped(&opened.set.skipped, global);
    }
    let fingerprints = sets
        .iter()
        .map(|opened| (opened.set.name.clone(), opened.fingerprint.clone()))
        .collect();
    let ranks = global.ranks;
    let table = toml::from_str(&ablation.file).unwrap_or_default();
    ranks::check_training(ranks, &table, format!("{fingerprints:?}"))?;
    let folder = ranks::common_path(ranks, args.folder(&ablation));
    let mut cells = Cells::new(&folder, sets, global);
    if args.dry_run {
        return listing(&ablation, &mut cells, &folder);
    }
    ranks.barrier();
    let run = ranks::folder(ranks, &folder, |folder| match args.resume {
        true => RunFolder::resume(folder),
        false => RunFolder::create(folder, &ablation.file),
    })?;
    ranks.barrier();
    let mut results = finished(&ablation, &mut cells)?;
    if run.is_writer() && read(&run.file("run.toml"))? != ablation.file {
        run.write("run.toml", ablation.file.as_bytes())?;
    }
    let paper = Paper {
        ablation: &ablation,
        run: &run,
        making: Making {
            command: args.command(&run)?,
            threads: rayon::current_num_threads(),
            fingerprints,
        },
    };
    let mut report = paper.write(&results)?;
    if report.finished == report.cells {
        global.note("this table is finished; its result:");
    }
    let stop = interrupt::stop_flag()?;
    let mut failed = Vec::new();
    for (number, (row, seed)) in (1..).zip(ablation.cells()) {
        if results.iter().any(|result| result.folder == row.cell(seed)) {
            continue;
        }
        global.note(&format!(
            "cell {number} of {}: {}, seed {seed}",
            report.cells, row.name
        ));
        let done = match ranks.any(stop.load(Ordering::Relaxed)) {
            true => None,
            false => match cells.work(&run, row, seed) {
                // A training that diverges is the row's own matter.
                Err(error) if error.diverged() => {
                    global.note(&format!("error: {}", error.with_causes()));
                    failed.push(error);
                    continue;
                }
                done => done?,
            },
        };
        let Some(result) = done else {
            return Ok(stopped(&report, &folder, &row.name, seed));
        };
        results.push(result);
        report = paper.write(&results)?;
    }
    match failed.len() {
        0 => answer(&ablation, &report, &folder),
        1 => Err(failed.remove(0)),
        count => Err(CommandError::Cells {
            first: Box::new(failed.remove(0)),
            others: count - 1,
        }),
    }
}

impl Args {
    /// Refuses a folder that holds no table, where there has to be one or one is looked at.
    fn check_begun(&self) -> Result<(), CommandError> {
        match &self.out {
            Some(out) if out.join("run.toml").exists() && (self.resume || self.dry_run) => {
                Task::Ablate.check(out)
            }
            Some(out) if self.resume => Err(RunError::Nothing(out.clone()).into()),
            _ => Ok(()),
        }
    }

    fn table(&self) -> Result<Ablation, CommandError> {
        let begun = self.out.as_ref().map(|out| out.join("run.toml"));
        let layers = Layers {
            file: self.config.as_deref().or(begun.as_deref()),
            sets: &self.sets,
            ..Layers::default()
        };
        Ok(Ablation::resolve(layers)?)
    }

    fn folder(&self, ablation: &Ablation) -> PathBuf {
        let name = || RunFolder::free_name(Path::new("runs"), &ablation.slug);
        self.out.clone().unwrap_or_else(name)
    }

    /// The command that makes the table, wherever it is made again.
    fn command(&self, run: &RunFolder) -> Result<String, CommandError> {
        if let Some(config) = &self.config {
            let mut command = format!("creamery ablate --config {}", quoted(config));
            for set in &self.sets {
                command += &format!(" --set {}", quoted(Path::new(set)));
            }
            return Ok(command);
        }
        let before = run.file("table.json");
        if self.sets.is_empty() && before.exists() {
            // The report is made anew from the cells, so a damaged one is no reason to stop.
            let report: Option<Value> = serde_json::from_str(&read(&before)?).ok();
            if let Some(command) = report
                .as_ref()
                .and_then(|report| report["command"].as_str())
            {
                return Ok(command.to_owned());
            }
        }
        let config = run.file("run.toml");
        Ok(format!("creamery ablate --config {}", quoted(&config)))
    }
}

/// The results that there are already. Refuses cells that were made otherwise, whether finished or not.
fn finished(ablation: &Ablation, cells: &mut Cells<'_>) -> Result<Vec<CellResult>, CommandError> {
    let mut results = Vec::new();
    for (row, seed) in ablation.cells() {
        if let State::Done(result) = cells.state(row, seed)? {
            results.push(result);
        }
    }
    Ok(results)
}

/// Where results are written down.
struct Paper<'a> {
    ablation: &'a Ablation,
    run: &'a RunFolder,
    making: Making,
}

impl Paper<'_> {
    fn write(&self, results: &[CellResult]) -> Result<Report, CommandError> {
        let report = Report::new(self.ablation, results, self.making.clone());
        self.run.write_json("table.json", &report)?;
        let page = markdown(self.ablation, &report);
        self.run.write("table.md", page.as_bytes())?;
        Ok(report)
    }
}

fn listing(
    ablation: &Ablation,
    cells: &mut Cells<'_>,
    folder: &Path,
) -> Result<Answer, CommandError> {
    let mut rows = Vec::new();
    let mut listed = Vec::new();
    let mut counts = BTreeMap::from([("done", 0), ("begun", 0), ("to do", 0)]);
    for (row, seed) in ablation.cells() {
        let state = cells.state(row, seed)?.name();
        *counts.entry(state).or_default() += 1;
        let cell = folder.join(row.cell(seed)).display().to_string();
        listed.push(json!({ "row": row.name, "seed": seed, "state": state, "folder": cell }));
        rows.push(vec![
            row.name.clone(),
            seed.to_string(),
            state.to_owned(),
            cell,
        ]);
    }
    let text = format!(
        "{}\n{}: {} done, {} begun, {} to do\n",
        table(&["row", "seed", "state", "folder"], &[2, 3], rows),
        plural(listed.len(), "cell"),
        counts["done"],
        counts["begun"],
        counts["to do"],
    );
    let json = json!({
        "kind": "ablate cells",
        "name": ablation.name,
        "run": folder.display().to_string(),
        "done": counts["done"],
        "begun": counts["begun"],
        "to_do": counts["to do"],
        "cells": listed,
    });
    Ok(Answer::done(text, json))
}

fn stopped(report: &Report, folder: &Path, row: &str, seed: u64) -> Answer {
    let resume = Task::Ablate.resume_command(folder);
    Answer {
        text: format!(
            "stopped in row `{row}`, seed {seed}, {} of {} cells finished; everything is saved. To go on:\n  {resume}\n",
            report.finished, report.cells
        ),
        json: json!({
            "kind": "stopped",
            "row": row,
            "seed": seed,
            "finished": report.finished,
            "cells": report.cells,
            "run": folder.display().to_string(),
            "resume": resume,
        }),
        stopped: true,
    }
}

fn answer(ablation: &Ablation, report: &Report, folder: &Path) -> Result<Answer, CommandError> {
    let mut files = Overview::default();
    for name in ["table.md", "table.json"] {
        files.row(name, folder.join(name).display().to_string());
    }
    let text = format!("{}\n{files}", text(ablation, report));
    Ok(Answer::done(text, with_run(report, folder)))
}
