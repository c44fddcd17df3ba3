//! `creamery report`: a run on one page.

use std::path::{Path, PathBuf};

use creamery_train::write_atomically;
use creamery_view::record::{RecordError, RunRecord};
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
  creamery report runs/pets --tensorboard-dir runs/pets/tensorboard
      TensorBoard's event file as well, as search --tensorboard writes it";

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
    /// Write an event file for TensorBoard to this folder, too
    #[arg(long = "tensorboard-dir", value_name = "DIR")]
    tensorboard: Option<PathBuf>,
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
    if let Some(folder) = &args.tensorboard {
        tensorboard::convert(run.path(), folder)?;
    }
    let notes = run.notes();
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
        true => path.parent().filter(|folder| !folder.as_os_str().is_empty()),
        false => Some(path),
    };
    RunRecord::read(folder.unwrap_or(Path::new("."))).map_err(|error| match error {
        RecordError::Io { path, source } => CommandError::Read { path, source },
        error => CommandError::Usage(error.to_string()),
    })
}
