//! The folder of a run.

use std::fs::{self, File, TryLockError};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use serde::Serialize;

use crate::event::Event;

/// What can go wrong with a run's folder.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The folder holds a run already.
    #[error(
        "`{0}` holds a run already: add --resume to go on with it, or choose another folder with --out"
    )]
    Occupied(PathBuf),
    /// The folder holds something else.
    #[error("`{0}` is not empty and holds no run: choose another folder with --out")]
    Foreign(PathBuf),
    /// There is nothing to resume.
    #[error("`{0}` holds no run to resume (no run.toml): leave out --resume to start one there")]
    Nothing(PathBuf),
    /// Another process works in the folder.
    #[error("another process is working in `{0}`: wait for it or stop it first")]
    Busy(PathBuf),
    /// A file cannot be read or written.
    #[error("cannot {action} `{path}`: {source}")]
    Io {
        /// `create`, `read` or `write`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl RunError {
    pub(crate) fn io(action: &'static str, path: &Path, source: std::io::Error) -> Self {
        Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

/// How often a run asks again for the lock of its folder, and how long it waits in between.
const LOCK_TRIES: u32 = 20;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// The folder of one run, held by this process.
///
/// ```text
/// run.toml           the whole configuration, defaults resolved
/// metrics.jsonl      the events, one a line
/// board.json         the prioritized board (searches)
/// checkpoint/        all that the next step depends on
/// model.safetensors  the network that came out
/// result.json        what is to be said of it
/// ```
#[derive(Debug)]
pub struct RunFolder {
    path: PathBuf,
    /// Held for as long as the run lives; the system releases it when the process ends, however it ends. None of a rank
    /// that only watches.
    lock: Option<File>,
}

impl RunFolder {
    /// Makes a new run's folder and writes its configuration.
    ///
    /// # Errors
    /// If the folder holds anything, another process works in it, or it cannot be written.
    pub fn create(path: &Path, config: &str) -> Result<Self, RunError> {
        if path.join("run.toml").exists() {
            return Err(RunError::Occupied(path.to_owned()));
        }
        fs::create_dir_all(path).map_err(|e| RunError::io("create", path, e))?;
        let mut entries = fs::read_dir(path).map_err(|e| RunError::io("read", path, e))?;
        // What a process leaves that was killed before it had written the configuration.
        let begun = ["lock", "run.toml.tmp"];
        let foreign = entries
            .any(|entry| entry.map_or(true, |e| !begun.iter().any(|name| e.file_name() == *name)));
        if foreign {
            return Err(RunError::Foreign(path.to_owned()));
        }
        let run = Self::lock(path)?;
        run.write("run.toml", config.as_bytes())?;
        Ok(run)
    }

    /// Opens the folder of a run to go on with it.
    ///
    /// # Errors
    /// If there is no run, another process works in it, or it cannot be written.
    pub fn resume(path: &Path) -> Result<Self, RunError> {
        if !path.join("run.toml").exists() {
            return Err(RunError::Nothing(path.to_owned()));
        }
        Self::lock(path)
    }

    fn lock(path: &Path) -> Result<Self, RunError> {
        let file = path.join("lock");
        let lock = File::create(&file).map_err(|e| RunError::io("write", &file, e))?;
        let mut tries = 0;
        loop {
            match lock.try_lock() {
                Ok(()) => {
                    return Ok(Self {
                        path: path.to_owned(),
                        lock: Some(lock),
                    });
                }
                // Whoever only asks whether the folder is held has it for a moment.
                Err(TryLockError::WouldBlock) if tries < LOCK_TRIES => tries += 1,
                Err(TryLockError::WouldBlock) => return Err(RunError::Busy(path.to_owned())),
                Err(TryLockError::Error(e)) => return Err(RunError::io("write", &file, e)),
            }
            thread::sleep(LOCK_PAUSE);
        }
    }

    /// Whether a process works in a folder; `None` if that cannot be asked, because the folder has no lock or its file
    /// system knows none.
    ///
    /// To ask is to share the lock for a moment, which needs no permission to write. A run that starts in that very moment waits for it to pass.
    pub fn is_held(path: &Path) -> Option<bool> {
        let lock = path.join("lock");
        // Opening anything else might wait.
        if !fs::metadata(&lock).ok()?.is_file() {
            return None;
        }
        match File::open(lock).ok()?.try_lock_shared() {
            Ok(()) => Some(false),
            Err(TryLockError::WouldBlock) => Some(true),
            Err(TryLockError::Error(_)) => None,
        }
    }

    /// The folder of a run that another rank holds: nothing is written there.
    pub fn watched(path: &Path) -> Self {
        Self {
            path: path.to_owned(),
            lock: None,
        }
    }

    /// Whether this process writes the run's files.
    pub fn is_writer(&self) -> bool {
        self.lock.is_some()
    }

    /// The first of `runs/NAME-1`, `runs/NAME-2`, .. that does not exist.
    pub fn free_name(runs: &Path, name: &str) -> PathBuf {
        (1..)
            .map(|n| runs.join(format!("{name}-{n}")))
            .find(|path| !path.exists())
            .expect("there is always a larger number")
    }

    /// Where the run is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where a file of the run is.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file whole or not at all; a folder that is watched stays as it is.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn write(&self, name: &str, bytes: &[u8]) -> Result<(), RunError> {
        if !self.is_writer() {
            return Ok(());
        }
        write_atomically(&self.file(name), bytes)
    }

    /// Removes a file, if it is there and the folder is not only watched.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn remove(&self, name: &str) -> Result<(), RunError> {
        if !self.is_writer() {
            return Ok(());
        }
        let path = self.file(name);
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(RunError::io("remove", &path, error))
            }
            _ => Ok(()),
        }
    }

    /// Writes a value as indented JSON, whole or not at all.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn write_json(&self, name: &str, value: &impl Serialize) -> Result<(), RunError> {
        let mut text = serde_json::to_string_pretty(value)
            .map_err(|e| RunError::io("write", &self.file(name), e.into()))?;
        text.push('\n');
        self.write(name, text.as_bytes())
    }
}

/// Writes a file whole or not at all: to a temporary name beside `path`, synced and then renamed.
///
/// # Errors
/// [`RunError::Io`]; a file that was there before is then intact.
pub fn write_atomically(path: &Path, bytes: &[u8]) -> Result<(), RunError> {
    let fail = |e| RunError::io("write", path, e);
    // A file would take the place of a device or a pipe.
    if fs::metadata(path).is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        let error = io::Error::new(io::ErrorKind::InvalidInput, "it is there, and no file");
        return Err(fail(error));
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    let temporary = PathBuf::from(name);
    let mut file = File::create(&temporary).map_err(fail)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    let renamed = written.and_then(|()| fs::rename(&temporary, path));
    renamed.map_err(|error| {
        // The rest of a full disk is not for half a file.
        let _ = fs::remove_file(&temporary);
        fail(error)
    })
}

/// The file `metrics.jsonl`: every event of the run, one a line.
///
/// The engine keeps in each checkpoint how far the file reached, so that a resumed run cuts off what a
/// killed one wrote afterwards and the file reads as if nothing had happened.
#[derive(Debug)]
pub struct MetricsFile {
    path: PathBuf,
    file: File,
    bytes: u64,
}

impl MetricsFile {
    /// Opens the file and goes on at byte `position`, 0 for a new run.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn open(run: &RunFolder, position: u64) -> Result<Self, RunError> {
        let path = run.file("metrics.jsonl");
        let fail = |e| RunError::io("write", &path, e);
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(fail)?;
        let length = file.metadata().map_err(fail)?.len();
        // A file shorter than the checkpoint knew lost its end; go on from what there is.
        let bytes = position.min(length);
        file.set_len(bytes).map_err(fail)?;
        file.seek(SeekFrom::Start(bytes)).map_err(fail)?;
        Ok(Self { path, file, bytes })
    }

    /// Adds an event.
    ///
    /// # Errors
    /// [`RunError::Io`].
    pub fn write(&mut self, event: &Event) -> Result<(), RunError> {
        let mut line = serde_json::to_vec(event).expect("events are plain data");
        line.push(b'\n');
        self.file
            .write_all(&line)
            .map_err(|e| RunError::io("write", &self.path, e))?;
        self.bytes += line.len() as u64;
        Ok(())
    }

    /// How far the file reaches.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}
