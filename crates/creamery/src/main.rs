//! The command line of Creamery. See the library of the same name.

use std::io::Write;
use std::panic;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Feature maps live for one step each; their memory is taken up again by the next.
    creamery_kernels::keep_freed_memory();
    // A defect should read like any other error: one line, whatever RUST_BACKTRACE says.
    panic::set_hook(Box::new(|info| {
        let defect = info.to_string().replace('\n', " ");
        let _ = writeln!(
            std::io::stderr(),
            "error: a defect of this program, please report it: {defect}"
        );
    }));
    let run = || creamery::run(std::env::args_os(), &mut std::io::stdout().lock());
    ExitCode::from(panic::catch_unwind(run).unwrap_or(1))
}
