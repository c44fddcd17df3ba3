//! Stopping on request.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

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
        std::process::exit(130);
    }
    let _ = writeln!(
        std::io::stderr(),
        "stopping at the next step and saving; once more to stop at once"
    );
}
