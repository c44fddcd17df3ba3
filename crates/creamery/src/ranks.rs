//! Several processes as one job: how they join it, what they must have in common, and how one that fails ends all.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use creamery_train::{Ranks, RunError, RunFolder, TrainError};
use toml::{Table, Value};

use crate::error::CommandError;
use crate::interrupt;

/// How long other ranks leave it to rank 0 to tell an error, so that what all run into is told once, even if rank 0 is late.
const GRACE: Duration = Duration::from_millis(1000);
/// How much longer each rank waits than the one before it, up to some.
const TURN: Duration = Duration::from_millis(200);
const TURNS: usize = 10;

/// Makes this process one of the job that it was started for.
///
/// # Errors
/// If this build has no MPI, or nobody has started a job.
#[cfg(feature = "mpi")]
pub(crate) fn join() -> Result<Ranks, CommandError> {
    use creamery_train::collective::Mpi;
    let mpi = Mpi::join().map_err(|error| CommandError::Usage(error.to_string()))?;
    Ok(Ranks::new(mpi))
}

/// Makes this process one of the job that it was started for.
///
/// # Errors
/// This build has no MPI.
#[cfg(not(feature = "mpi"))]
pub(crate) fn join() -> Result<Ranks, CommandError> {
    Err(CommandError::Usage(
        "--mpi needs a build with MPI: install an MPI library and libclang (in Debian libopenmpi-dev, openmpi-bin and \
         libclang-dev) and rebuild Creamery with `--features mpi`"
            .into(),
    ))
}

/// One of a job's ranks at work. Leaves the job in order when it is done, and ends all of it when it is dropped before, as
/// a panic does.
pub(crate) struct Member(Ranks);

impl Member {
    pub fn new(ranks: Ranks) -> Self {
        // The launcher ends ranks by signals: from now on they are heard.
        let _ = interrupt::stop_flag();
        Self(ranks)
    }

    /// Leaves the job: all is done.
    pub fn finish(self) {
        let ranks = self.0;
        std::mem::forget(self);
        ranks.collective().finish();
    }

    /// Tells an error with the rank that has met it, and ends the job.
    pub fn fail(self, error: &CommandError) -> ! {
        let ranks = self.0;
        std::mem::forget(self);
        let since = Instant::now();
        let patience = match ranks.rank() {
            0 => Duration::ZERO,
            rank => GRACE + TURN * ((rank - 1) % TURNS) as u32,
        };
        while since.elapsed() < patience {
            std::thread::sleep(GRACE / 50);
            // Another rank has ended the job, and told why.
            if interrupt::is_asked() {
                std::process::exit(error.exit_code().into());
            }
        }
        eprintln!("error: rank {}: {}", ranks.rank(), error.with_causes());
        ranks.collective().abort(error.exit_code().into())
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.0.collective().abort(1);
    }
}

/// Refuses a job whose ranks are not alike in `facts`, each a name with its value on this rank. To be called by all
/// ranks, before anything else that they do together.
///
/// # Errors
/// [`TrainError::RanksDiffer`] that names the first difference, the same on all ranks.
pub(crate) fn compare(ranks: Ranks, facts: Vec<(String, String)>) -> Result<(), CommandError> {
    if ranks.is_alone() {
        return Ok(());
    }
    let all = ranks.gather(&(host(), facts));
    let mut all = all.into_iter().enumerate();
    let Some((_, (root, expected))) = all.next() else {
        return Ok(());
    };
    for (rank, (host, found)) in all {
        let value = |facts: &[(String, String)], name: &str| {
            let fact = facts.iter().find(|(known, _)| known == name);
            fact.map_or_else(|| "none".to_owned(), |(_, value)| value.clone())
        };
        let names = expected.iter().chain(&found).map(|(name, _)| name);
        for what in names {
            let (expected, found) = (value(&expected, what), value(&found, what));
            if expected != found {
                return Err(CommandError::Train(TrainError::RanksDiffer {
                    rank,
                    host: host.into(),
                    root: root.into(),
                    what: what.as_str().into(),
                    found: found.into(),
                    expected: expected.into(),
                    mend: mend(what).into(),
                }));
            }
        }
    }
    Ok(())
}

/// What would do where ranks differ.
fn mend(what: &str) -> &'static str {
    match what {
        "program" => ": install the same build of Creamery on all machines",
        "instruction set" => {
            ": use machines whose processors are alike, as their results differ in the last bits"
        }
        "command line" => ": start all ranks with the same command",
        "data" => ": give all machines the same images, or the same shared folder",
        _ => "",
    }
}

/// What ranks of one job must have in common before they know what they will do.
pub(crate) fn check_program(ranks: Ranks, args: &[String]) -> Result<(), CommandError> {
    let version = env!("CARGO_PKG_VERSION");
    let own = env::current_exe().and_then(fs::read);
    let program = match own {
        Ok(bytes) => format!("{version} {}", &blake3::hash(&bytes).to_hex()[..16]),
        Err(_) => version.to_owned(),
    };
    let instructions = format!("{:?}", creamery_kernels::Isa::best());
    compare(
        ranks,
        vec![
            ("program".into(), program),
            ("instruction set".into(), instructions),
            ("command line".into(), args.join(" ")),
        ],
    )
}

/// What ranks of a training must have in common: every setting, and the images.
///
/// # Errors
/// [`TrainError::RanksDiffer`].
pub(crate) fn check_training(
    ranks: Ranks,
    config: &Table,
    data: String,
) -> Result<(), CommandError> {
    let mut facts = Vec::new();
    leaves(config, "", &mut facts);
    facts.push(("data".to_owned(), data));
    compare(ranks, facts)
}

/// Every setting of a table with its value.
fn leaves(table: &Table, path: &str, facts: &mut Vec<(String, String)>) {
    for (key, value) in table {
        match value {
            Value::Table(inner) => leaves(inner, &format!("{path}{key}."), facts),
            value => facts.push((format!("setting `{path}{key}`"), value.to_string())),
        }
    }
}

/// The name of this machine, as the system tells it.
fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").or_else(|_| env::var("HOSTNAME"));
    name.map_or_else(|_| "its machine".to_owned(), |name| name.trim().to_owned())
}

/// The path that rank 0 has found, on all ranks.
pub(crate) fn common_path(ranks: Ranks, path: PathBuf) -> PathBuf {
    // What is not text was given by the user, the same on all ranks.
    let text = path.to_str().map(str::to_owned);
    ranks.broadcast(text).map_or(path, PathBuf::from)
}

/// A run's folder: rank 0 opens it, the others watch.
///
/// # Errors
/// Those of `open`, on rank 0.
pub(crate) fn folder(
    ranks: Ranks,
    path: &Path,
    open: impl FnOnce(&Path) -> Result<RunFolder, RunError>,
) -> Result<RunFolder, RunError> {
    if ranks.is_root() {
        return open(path);
    }
    Ok(RunFolder::watched(path))
}
