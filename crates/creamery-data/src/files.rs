//! Files that are read in pieces by several threads at once.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Files that are kept open: systems allow a process about a thousand.
const OPEN: usize = 64;

/// Many files, of which those used last are open.
pub(crate) struct OpenFiles {
    paths: Vec<PathBuf>,
    /// The number of each open file; the one used last comes first.
    open: Mutex<VecDeque<(usize, Arc<File>)>>,
}

impl OpenFiles {
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self {
            paths,
            open: Mutex::default(),
        }
    }

    pub fn path(&self, file: usize) -> &Path {
        &self.paths[file]
    }

    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Fills `bytes` from place `offset` of a file.
    pub fn read(&self, file: usize, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
        read_at(&*self.get(file)?, offset, bytes)
    }

    fn get(&self, number: usize) -> io::Result<Arc<File>> {
        let lock = || self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let mut open = lock();
        if let Some(at) = open.iter().position(|(of, _)| *of == number)
            && let Some(found) = open.remove(at)
        {
            let file = Arc::clone(&found.1);
            open.push_front(found);
            return Ok(file);
        }
        // Others need not wait while a file is opened, which takes long over a network.
        drop(open);
        let file = Arc::new(File::open(&self.paths[number])?);
        let mut open = lock();
        open.push_front((number, Arc::clone(&file)));
        open.truncate(OPEN);
        Ok(file)
    }
}

#[cfg(unix)]
fn read_at(file: &File, offset: u64, bytes: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, bytes, offset)
}

#[cfg(windows)]
fn read_at(file: &File, mut offset: u64, mut bytes: &mut [u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, bytes, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                offset += read as u64;
                bytes = &mut bytes[read..];
            }
        }
    }
    Ok(())
}
