//! Watching a run, and stopping it on request.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use creamery_train::RunFolder;
use creamery_train::event::Events;
use creamery_view::tensorboard::TensorBoard;
use creamery_view::{Interrupt, Live, Progress};

use crate::cli::Global;
use crate::error::CommandError;

static STOP: AtomicBool = AtomicBool::new(false);

/// A flag that the first Ctrl-C (or SIGTERM) sets; the second ends the process.
///
/// # Errors
/// If the system refuses to deliver signals.
pub(crate) fn stop_flag() -> Result<&'static AtomicBool, CommandError> {
    static LISTENING: OnceLock<()> = OnceLock::new();
    if LISTENING.get().is_none() {
        ctrlc::set_handler(on_signal)?;
        let _ = LISTENING.set(());
    }
    Ok(&STOP)
}

/// Whether a signal has come.
pub(crate) fn is_asked() -> bool {
    STOP.load(Ordering::SeqCst)
}

fn on_signal() {
    if STOP.swap(true, Ordering::SeqCst) {
        creamery_view::restore_terminal();
        std::process::exit(130);
    }
    // The live view says it itself.
    if !creamery_view::terminal_is_taken() {
        let _ = writeln!(
            std::io::stderr(),
            "stopping at the next step and saving; once more to stop at once"
        );
    }
}

/// Shows the events of the run in a folder, which `command` makes, as the user wants them shown.
pub(crate) fn watch(events: &mut Events, command: &str, run: &RunFolder, global: &Global) {
    let title = format!("creamery {command} {}", run.path().display());
    let interrupt = Interrupt {
        asked: &STOP,
        ask: on_signal,
    };
    let live = match global.quiet || global.plain {
        true => None,
        false => Live::start(&title, interrupt),
    };
    match live {
        Some(live) => events.add(live),
        None => events.add(Progress::stderr(global.quiet)),
    }
    if global.tensorboard {
        events.add(TensorBoard::of(run.path()));
    }
}
