//! `creamery report`: a run on one page.

use std::path::{Path, PathBuf};

use creamery_train::write_atomically;
use creamery_view::record::{RecordError, RunRecord, RunState};
use creamery_view::report::Report;
use creamery_view::tensorboard;
use serde_json::json;

use crate::answer::Answer;
use crate::cli::Global;
use crate::error::CommandError;
use crate::repeat;

const EXAMPLES: &str = "\
Examples:
  creamery report runs/cream-fashion-mini-1
      writes runs/cream-fashion-mini-1/report.html
  creamery report runs/pets --compare runs/pets-ema runs/pets-adamw --out pets.html
      with a table of all three, their curves and their fronts over each other
  creamery report runs/pets/select-evolution-1
      a selection: what was evaluated, and the front
  creamery report runs/pets --tensorboard
      runs/pets/tensorboard/ as well, as if the run had been made with --tensorboard";

/// Write a run's charts and numbers as one HTML file
#[derive(clap::Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// The folder of a search, a retraining or a selection, which may be under way or cut off
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Runs to show beside it
    #[arg(long, value_name = "RUN", num_args = 1..)]
    compare: Vec<PathBuf>,
    /// The file [default: report.html in RUN]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, global: &Global) -> Result<Answer, CommandError> {
    let run = read(&args.run)?;
    let compared = args.compare.iter().map(|path| read(path));
    let compared = compared.collect::<Result<Vec<_>, _>>()?;
    let report = Report {
        run: &run,
        compared: &compared,
        command: repeat::command(&run),
    };
    let html = report.html()?;
    let out = match &args.out {
        Some(out) => out.clone(),
        None => run.path().join("report.html"),
    };
    write_atomically(&out, html.as_bytes())?;
    let mut notes = run.notes();
    if global.tensorboard {
        // A process that writes there itself would go on in a file that is gone.
        match run.state() {
            RunState::Running => {
                notes.push("the run is under way: give it --tensorboard itself".into())
            }
            _ => drop(tensorboard::convert(run.path())?),
        }
    }
    for note in &notes {
        global.note(&format!("note: {note}"));
    }
    let text = format!("{}\n", out.display());
    let json = json!({
        "report": out.display().to_string(),
        "run": run.path().display().to_string(),
        "state": run.state().name(),
        "events": run.history().events,
        "notes": notes,
    });
    Ok(Answer::done(text, json))
}

/// A run by its folder, or by a file in it.
fn read(path: &Path) -> Result<RunRecord, CommandError> {
    let folder = match path.is_file() {
        true => path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty()),
        false => Some(path),
    };
    RunRecord::read(folder.unwrap_or(Path::new("."))).map_err(|error| match error {
        RecordError::Io { path, source } => CommandError::Read { path, source },
        error => CommandError::Usage(error.to_string()),
    })
}
