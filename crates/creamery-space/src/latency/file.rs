//! Latency tables as JSON.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{BlockTime, LatencyTable, LatencyTableError};
use crate::cost::shorten;
use crate::space::{MAX_CHANNELS, MAX_CLASSES, MAX_RESOLUTION};

/// The version of the form that is read and written here.
pub(super) const VERSION: u64 = 1;

/// Most bytes of a table's file.
const MAX_BYTES: u64 = 16 << 20;

/// Longest time of a block, an hour.
const MAX_NS: f64 = 3.6e12;

/// Most threads, and most images of a pass.
const MAX_COUNT: usize = 1 << 30;

/// Longest text of a value.
const MAX_TEXT: usize = 200;

/// The one key that every version has.
#[derive(Deserialize)]
struct Head {
    creamery_latency: Option<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(rename = "creamery_latency")]
    _version: u64,
    space: String,
    space_fingerprint: String,
    resolution: usize,
    channels: usize,
    classes: usize,
    device: String,
    runtime: String,
    batch: usize,
    threads: usize,
    overhead_ns: f64,
    blocks: Vec<WrittenBlock>,
}

/// Programs write times with fractions, and null for what is no number.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenBlock {
    name: String,
    median_ns: Option<f64>,
    low_ns: Option<f64>,
    high_ns: Option<f64>,
    runs: Option<u64>,
}

#[derive(Serialize)]
struct Versioned<'a> {
    creamery_latency: u64,
    #[serde(flatten)]
    table: &'a LatencyTable,
}

impl LatencyTable {
    /// Reads a table from a file.
    ///
    /// # Errors
    /// [`LatencyTableError::Read`], and those of [`LatencyTable::from_json`].
    pub fn read(path: &Path) -> Result<LatencyTable, LatencyTableError> {
        let text = read_bounded(path).map_err(|source| LatencyTableError::Read {
            path: path.to_owned(),
            source,
        })?;
        LatencyTable::from_json(&text, &path.display().to_string())
    }

    /// Reads a table from JSON of the form that [`LatencyTable`] shows. Fractions of nanoseconds are rounded. `origin` says in
    /// errors where the text is from. Whether the blocks are those of a space, [`Space::with_latency`](crate::Space::with_latency) says.
    ///
    /// # Errors
    /// [`LatencyTableError::Form`] with the line, [`LatencyTableError::Version`], [`LatencyTableError::Value`] or
    /// [`LatencyTableError::Block`].
    pub fn from_json(text: &str, origin: &str) -> Result<LatencyTable, LatencyTableError> {
        let form = |error: serde_json::Error| LatencyTableError::Form {
            origin: origin.to_owned(),
            line: error.line().max(1),
            message: first_line(&error),
        };
        let head: Head = serde_json::from_str(text).map_err(form)?;
        if head.creamery_latency != Some(VERSION.into()) {
            return Err(LatencyTableError::Version {
                origin: origin.to_owned(),
                found: match head.creamery_latency {
                    Some(found) => shorten(&found.to_string()),
                    None => "missing".to_owned(),
                },
            });
        }
        let written: Written = serde_json::from_str(text).map_err(form)?;
        let overhead_ns = written.overhead_ns;
        let wrong = |key, message| LatencyTableError::Value {
            origin: origin.to_owned(),
            key,
            message,
        };
        if overhead_ns.abs() > MAX_NS {
            let message = format!("is {overhead_ns}, but must be within an hour");
            return Err(wrong("overhead_ns", message));
        }
        let mut blocks = Vec::with_capacity(written.blocks.len());
        for written in written.blocks {
            let name = shorten(&written.name);
            blocks.push(block(written).map_err(|message| LatencyTableError::Block {
                origin: origin.to_owned(),
                block: name,
                message,
            })?);
        }
        let table = LatencyTable {
            origin: origin.to_owned(),
            space: written.space,
            space_fingerprint: written.space_fingerprint,
            resolution: written.resolution,
            channels: written.channels,
            classes: written.classes,
            device: written.device,
            runtime: written.runtime,
            batch: written.batch,
            threads: written.threads,
            overhead_ns: overhead_ns.round() as i64,
            blocks,
        };
        table
            .wrong_key()
            .map_or(Ok(table), |(key, message)| Err(wrong(key, message)))
    }

    /// The table as JSON that [`LatencyTable::from_json`] reads back.
    pub fn to_json(&self) -> String {
        let versioned = Versioned {
            creamery_latency: VERSION,
            table: self,
        };
        let mut text = serde_json::to_string_pretty(&versioned).expect("a table is plain data");
        text.push('\n');
        text
    }

    /// The first of the keys before the blocks that no measurement can have, and what it must be.
    fn wrong_key(&self) -> Option<(&'static str, String)> {
        let counts = [
            ("resolution", self.resolution, MAX_RESOLUTION),
            ("channels", self.channels, MAX_CHANNELS),
            ("classes", self.classes, MAX_CLASSES),
            ("batch", self.batch, MAX_COUNT),
            ("threads", self.threads, MAX_COUNT),
        ];
        for (key, count, most) in counts {
            if !(1..=most).contains(&count) {
                return Some((key, format!("is {count}, but must be 1 to {most}")));
            }
        }
        let texts = [
            ("space", &self.space),
            ("space_fingerprint", &self.space_fingerprint),
            ("device", &self.device),
            ("runtime", &self.runtime),
        ];
        let line = |text: &str| {
            (1..=MAX_TEXT).contains(&text.chars().count()) && !text.chars().any(char::is_control)
        };
        let (key, _) = texts.into_iter().find(|(_, text)| !line(text))?;
        Some((key, format!("must be one line of 1 to {MAX_TEXT} letters")))
    }
}

/// A block whose times can be, or what is wrong with it.
fn block(written: WrittenBlock) -> Result<BlockTime, String> {
    let time = |key: &str, time: f64| {
        if (0.5..=MAX_NS).contains(&time) {
            return Ok(time.round() as u64);
        }
        Err(format!(
            "has `{key}` {time}, but must have 1 ns to an hour: measure it again, or give 1 to what takes no time of its own"
        ))
    };
    let median = written
        .median_ns
        .ok_or("has no `median_ns`: give the nanoseconds that it takes")?;
    let block = BlockTime {
        median_ns: time("median_ns", median)?,
        low_ns: written.low_ns.map(|low| time("low_ns", low)).transpose()?,
        high_ns: written
            .high_ns
            .map(|high| time("high_ns", high))
            .transpose()?,
        runs: written.runs,
        name: written.name,
    };
    let [low, high] = [block.low_ns, block.high_ns].map(|end| end.unwrap_or(block.median_ns));
    if !(low..=high).contains(&block.median_ns) {
        return Err(format!(
            "has `median_ns` {}, but `low_ns` {low} and `high_ns` {high}, which must lie around it",
            block.median_ns
        ));
    }
    match block.runs {
        Some(0) => Err("has `runs` 0: leave the key out, or give the runs that were timed".into()),
        _ => Ok(block),
    }
}

/// The message of an error without its place, which stands before it already.
fn first_line(error: &serde_json::Error) -> String {
    let message = error.to_string().replace(['\n', '\r'], " ");
    let message = message.split(" at line ").next().unwrap_or_default();
    message.chars().take(MAX_TEXT).collect()
}

fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(MAX_BYTES + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        let message = format!("it has more than {MAX_BYTES} bytes, which no latency table needs");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
    }
    Ok(text)
}
