//! The files of a run's folder, opened with care.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// A run's folder, and how far out of it a link may lead.
#[derive(Clone, Debug)]
pub(super) struct Files {
    folder: PathBuf,
    /// The canonical folder that no file may lie outside of.
    within: Option<PathBuf>,
}

impl Files {
    pub(super) fn new(folder: &Path, within: Option<&Path>) -> io::Result<Self> {
        let within = within.map(fs::canonicalize).transpose()?;
        let files = Self {
            folder: folder.to_owned(),
            within,
        };
        if !fs::metadata(folder)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        files.check(folder)?;
        Ok(files)
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    fn check(&self, path: &Path) -> io::Result<()> {
        match &self.within {
            Some(within) if !fs::canonicalize(path)?.starts_with(within) => Err(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "it is a link that leads out of the folder of runs",
            )),
            _ => Ok(()),
        }
    }

    /// Where a file is that may be read; `None` if there is none. Only ordinary files are: a pipe would wait for ever.
    pub(super) fn path(&self, name: &str) -> io::Result<Option<PathBuf>> {
        let path = self.folder.join(name);
        let found = match fs::metadata(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            found => found?,
        };
        if !found.is_file() {
            return Err(io::Error::other("it is no ordinary file"));
        }
        self.check(&path)?;
        Ok(Some(path))
    }

    /// Opens a file to read; `None` if there is none.
    pub(super) fn open(&self, name: &str) -> io::Result<Option<File>> {
        let Some(path) = self.path(name)? else {
            return Ok(None);
        };
        match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            file => file.map(Some),
        }
    }

    /// The text of a file of at most `limit` bytes; `None` if there is none.
    pub(super) fn text(&self, name: &str, limit: u64) -> io::Result<Option<String>> {
        let Some(file) = self.open(name)? else {
            return Ok(None);
        };
        let mut bytes = Vec::new();
        file.take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(io::Error::other(format!(
                "it has more than {} MiB, which no such file needs",
                limit >> 20
            )));
        }
        String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| io::Error::other("it is no text"))
    }

    /// What tells a file from what it was before: when it was written and how long it is.
    pub(super) fn stamp(&self, name: &str) -> Option<Stamp> {
        let found = fs::metadata(self.folder.join(name)).ok()?;
        Some((found.modified().ok()?, found.len()))
    }
}

/// See [`Files::stamp`].
pub(super) type Stamp = (std::time::SystemTime, u64);
