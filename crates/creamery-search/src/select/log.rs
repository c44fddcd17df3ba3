//! The file `evaluations.jsonl`: what was evaluated so far.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use creamery_space::Architecture;
use creamery_train::{Identity, TrainError};
use serde::{Deserialize, Serialize};

use super::Scored;

/// Why evaluations cannot be kept or used again.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file cannot be read or written.
    #[error("cannot {action} `{path}`: {source}")]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A line that is none of this file.
    #[error("`{path}`, line {line}: {reason}: delete the file to evaluate everything anew")]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong.
        reason: String,
    },
    /// The evaluations are those of another supernet, or were made otherwise.
    #[error(
        "`{path}` has evaluations with {what} `{found}`, this selection has `{expected}`: resume with the same {what}, or start a new one with another --out"
    )]
    Other {
        /// `supernet`, `step`, `images` or another part of the identity.
        what: String,
        /// The file.
        path: PathBuf,
        /// In the file.
        found: String,
        /// In this selection.
        expected: String,
    },
}

impl From<LogError> for TrainError {
    fn from(error: LogError) -> Self {
        match &error {
            LogError::Other { .. } => creamery_train::ConfigError::Value(error.to_string()).into(),
            LogError::Io { .. } | LogError::Damaged { .. } => Self::Task(error.into()),
        }
    }
}

/// The first line of the file: of what the evaluations are.
#[derive(Serialize, Deserialize)]
struct Head {
    identity: Identity,
}

/// Evaluations that outlive the process: one JSON object a line, the first of them the identity.
///
/// A line is written as soon as its path is evaluated. One that was not written to its end is dropped when
/// the file is opened again.
#[derive(Debug)]
pub struct EvaluationLog {
    path: PathBuf,
    /// None where another rank writes the file.
    file: Option<File>,
    known: HashMap<Architecture, f64>,
}

impl EvaluationLog {
    /// Opens the file, or begins it.
    ///
    /// # Errors
    /// [`LogError::Other`] if it has another identity, [`LogError::Damaged`], [`LogError::Io`].
    pub fn open(path: &Path, identity: &Identity) -> Result<Self, LogError> {
        let io = |action| {
            move |source| LogError::Io {
                action,
                path: path.to_owned(),
                source,
            }
        };
        let text = match fs::read(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            read => read.map_err(io("read"))?,
        };
        // Whatever follows the last line's end was not written to its own.
        let whole = text
            .iter()
            .rposition(|&b| b == b'\n')
            .map_or(0, |end| end + 1);
        let mut lines = text[..whole].split_inclusive(|&b| b == b'\n').zip(1..);
        let head = lines.next();
        if let Some((line, _)) = head {
            let found: Head = parse(path, line, 1)?;
            check(path, identity, &found.identity)?;
        }
        let mut known = HashMap::new();
        for (line, number) in lines {
            let scored: Scored = parse(path, line, number)?;
            known.insert(scored.architecture, scored.top1);
        }
        let mut file = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(io("write"))?;
        file.set_len(whole as u64).map_err(io("write"))?;
        file.seek(SeekFrom::Start(whole as u64))
            .map_err(io("write"))?;
        let mut log = Self {
            path: path.to_owned(),
            file: Some(file),
            known,
        };
        if head.is_none() {
            log.write(&Head {
                identity: identity.clone(),
            })?;
        }
        Ok(log)
    }

    /// The log of a rank other than the one that has opened the file, which writes nothing.
    pub fn watched(path: &Path, known: Vec<(Architecture, f64)>) -> Self {
        Self {
            path: path.to_owned(),
            file: None,
            known: known.into_iter().collect(),
        }
    }

    /// What was evaluated before.
    pub fn known(&self) -> Vec<(Architecture, f64)> {
        let known = self.known.iter();
        known.map(|(path, top1)| (path.clone(), *top1)).collect()
    }

    /// Top-1 of a path that was evaluated before, in percent.
    pub fn get(&self, architecture: &Architecture) -> Option<f64> {
        self.known.get(architecture).copied()
    }

    /// Adds an evaluation.
    ///
    /// # Errors
    /// [`LogError::Io`].
    pub fn add(&mut self, scored: &Scored) -> Result<(), LogError> {
        self.write(scored)?;
        self.known.insert(scored.architecture.clone(), scored.top1);
        Ok(())
    }

    fn write(&mut self, line: &impl Serialize) -> Result<(), LogError> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        let mut bytes = serde_json::to_vec(line).expect("evaluations are plain data");
        bytes.push(b'\n');
        file.write_all(&bytes).map_err(|source| LogError::Io {
            action: "write",
            path: self.path.clone(),
            source,
        })
    }
}

fn parse<'a, T: Deserialize<'a>>(
    path: &Path,
    line: &'a [u8],
    number: usize,
) -> Result<T, LogError> {
    serde_json::from_slice(line).map_err(|error| {
        let reason = error.to_string();
        LogError::Damaged {
            path: path.to_owned(),
            line: number,
            // The line stands before the reason already.
            reason: reason
                .split(" at line ")
                .next()
                .unwrap_or_default()
                .to_owned(),
        }
    })
}

fn check(path: &Path, expected: &Identity, found: &Identity) -> Result<(), LogError> {
    let of = |identity: &BTreeMap<String, String>, what: &str| {
        identity.get(what).cloned().unwrap_or_default()
    };
    match expected
        .0
        .iter()
        .find(|(what, value)| of(&found.0, what) != **value)
    {
        None => Ok(()),
        Some((what, value)) => Err(LogError::Other {
            what: what.clone(),
            path: path.to_owned(),
            found: of(&found.0, what),
            expected: value.clone(),
        }),
    }
}
