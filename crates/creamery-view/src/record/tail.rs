//! Lines of a file that grows.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};

/// Most bytes of a line: a board of the largest networks has a hundredth of it.
const MAX_LINE: usize = 4 << 20;

/// Bytes before the reader's place that are remembered, to see whether the file is still the same.
const REMEMBERED: usize = 512;

/// A reader of whole lines that takes up where it was.
///
/// A run that was killed and resumed cuts its file back to the checkpoint and goes on from there. That is seen by the length, or,
/// where the file is longer again already, by the bytes before the reader's place.
#[derive(Debug, Default)]
pub(super) struct Tail {
    /// Bytes of whole lines that were read.
    position: u64,
    /// The last bytes before the position.
    before: Vec<u8>,
    /// Whether there are bytes after the last whole line.
    pub(super) half_line: bool,
    /// Lines so far.
    pub(super) lines: u64,
    /// Lines that were too long to be read.
    pub(super) too_long: u64,
}

/// What there was to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Lines after those of before, if any.
    On,
    /// The file is another than before: nothing was read, and [`Tail::default`] has to begin anew.
    Other,
}

impl Tail {
    /// Calls `line` for each whole line that was added, without its end.
    pub(super) fn read(&mut self, file: File, mut line: impl FnMut(&[u8])) -> io::Result<Progress> {
        let length = file.metadata()?.len();
        if length < self.position || !self.continues(&file)? {
            return Ok(Progress::Other);
        }
        // What is written meanwhile is for the next time: a fast writer could keep the reader for ever.
        let mut reader = BufReader::with_capacity(1 << 18, (&file).take(length - self.position));
        reader
            .get_mut()
            .get_mut()
            .seek(SeekFrom::Start(self.position))?;
        let mut bytes = Vec::new();
        self.half_line = false;
        loop {
            bytes.clear();
            let limit = MAX_LINE as u64 + 1;
            let mut read = reader.by_ref().take(limit).read_until(b'\n', &mut bytes)? as u64;
            let mut whole = bytes.last() == Some(&b'\n');
            let long = !whole && read == limit;
            if long {
                read += reader.skip_until(b'\n')? as u64;
                whole = self.position + read < length || ends_with_line(&file, length)?;
            }
            if !whole {
                self.half_line = read > 0;
                return Ok(Progress::On);
            }
            self.lines += 1;
            match long {
                true => {
                    self.too_long += 1;
                    self.position += read;
                    self.remember(&file)?;
                }
                false => {
                    self.position += read;
                    let keep = bytes.len().saturating_sub(REMEMBERED);
                    self.before.clear();
                    self.before.extend_from_slice(&bytes[keep..]);
                    line(&bytes[..bytes.len() - 1]);
                }
            }
        }
    }

    fn continues(&self, file: &File) -> io::Result<bool> {
        let mut now = vec![0; self.before.len()];
        let mut file = file;
        file.seek(SeekFrom::Start(self.position - now.len() as u64))?;
        file.read_exact(&mut now)?;
        Ok(now == self.before)
    }

    fn remember(&mut self, mut file: &File) -> io::Result<()> {
        let place = file.stream_position()?;
        self.before = vec![0; REMEMBERED];
        file.seek(SeekFrom::Start(self.position - REMEMBERED as u64))?;
        file.read_exact(&mut self.before)?;
        file.seek(SeekFrom::Start(place)).map(drop)
    }
}

fn ends_with_line(mut file: &File, length: u64) -> io::Result<bool> {
    let place = file.stream_position()?;
    let mut last = [0];
    file.seek(SeekFrom::Start(length - 1))?;
    file.read_exact(&mut last)?;
    file.seek(SeekFrom::Start(place))?;
    Ok(last == *b"\n")
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    struct Growing {
        folder: tempfile::TempDir,
        tail: Tail,
    }

    impl Growing {
        fn read(&mut self, text: impl AsRef<[u8]>) -> (Progress, Vec<String>) {
            let path = self.folder.path().join("f");
            fs::write(&path, text).unwrap();
            let mut lines = Vec::new();
            let line = |l: &[u8]| lines.push(String::from_utf8_lossy(l).into_owned());
            let read = self.tail.read(File::open(path).unwrap(), line).unwrap();
            (read, lines)
        }
    }

    fn growing() -> Growing {
        Growing {
            folder: tempfile::tempdir().unwrap(),
            tail: Tail::default(),
        }
    }

    fn on(lines: &[&str]) -> (Progress, Vec<String>) {
        (Progress::On, lines.iter().map(|&l| l.to_owned()).collect())
    }

    #[test]
    fn only_what_was_added_is_read_and_half_a_line_waits() {
        let mut file = growing();
        assert_eq!(file.read(""), on(&[]));
        assert_eq!(file.read("a\nb"), on(&["a"]));
        assert!(file.tail.half_line);
        assert_eq!(file.read("a\nbc\n\nd\n"), on(&["bc", "", "d"]));
        assert!(!file.tail.half_line);
        assert_eq!(file.read("a\nbc\n\nd\n"), on(&[]));
        assert_eq!(file.tail.lines, 4);
    }

    #[test]
    fn a_file_that_was_cut_back_is_another_even_when_it_is_longer_again() {
        let mut file = growing();
        file.read("one\ntwo\n");
        assert_eq!(file.read("one\n").0, Progress::Other);
        assert_eq!(file.read("one\nTWO\nthree\n").0, Progress::Other);
        assert_eq!(file.read("one\ntwo\nthree\n"), on(&["three"]));
    }

    #[test]
    fn a_line_without_end_takes_no_memory() {
        let mut file = growing();
        let long = "x".repeat(MAX_LINE + 7);
        assert_eq!(file.read(format!("a\n{long}")), on(&["a"]));
        assert!(file.tail.half_line && file.tail.too_long == 0);
        assert_eq!(file.read(format!("a\n{long}\n")), on(&[]));
        assert_eq!((file.tail.too_long, file.tail.half_line), (1, false));
        assert_eq!(file.read(format!("a\n{long}\nb\n")), on(&["b"]));
        let exact = "y".repeat(MAX_LINE);
        assert_eq!(file.read(format!("a\n{long}\nb\n{exact}\n")), on(&[&exact]));
    }
}
