//! Measured latency: how long each block of a space takes on a device.

mod file;
mod measured;

use std::path::PathBuf;

use serde::Serialize;

pub(crate) use measured::Measured;

/// How long each block of a space takes on a device, as it was measured there.
///
/// A network's latency is the sum over its blocks, and `overhead_ns`. [`Space::with_latency`](crate::Space::with_latency)
/// makes it a part of every [`Cost`](crate::Cost) of the space. All times are nanoseconds for one pass of a batch of `batch`
/// images.
///
/// # The file of a table
///
/// JSON of this form. Unknown keys are errors; every key must be there but `low_ns`, `high_ns` and `runs`. There is
/// one entry for each of [`Space::blocks`](crate::Space::blocks), in any order.
///
/// ```
/// use creamery_space::{Architecture, LatencyTable, Space};
///
/// let mut space = Space::builtin("tiny-32").unwrap();
/// space.operations.truncate(1);
/// space.stages.truncate(1);
/// space.stages[0].blocks = 2;
/// let fingerprint = space.fingerprint();
/// let text = format!(r#"{{
///   "creamery_latency": 1,
///   "space": "tiny-32", "space_fingerprint": "{fingerprint}",
///   "resolution": 28, "channels": 1, "classes": 10,
///   "device": "a phone", "runtime": "its own", "batch": 1, "threads": 1,
///   "overhead_ns": 1000,
///   "blocks": [
///     {{"name": "stem", "median_ns": 9000}},
///     {{"name": "first", "median_ns": 8000, "low_ns": 7900, "high_ns": 8200, "runs": 50}},
///     {{"name": "stages.0.0.0", "median_ns": 30000}},
///     {{"name": "stages.0.1.0", "median_ns": 20000}},
///     {{"name": "last", "median_ns": 5000}},
///     {{"name": "head", "median_ns": 2000}},
///     {{"name": "classifier", "median_ns": 1000}}
///   ]
/// }}"#);
/// let table = LatencyTable::from_json(&text, "phone.json")?;
/// let space = space.with_latency(table)?;
/// let one_block = Architecture::new("tiny-32", 28, vec![vec![0]]);
/// assert_eq!(space.cost(&one_block, 1, 10)?.latency_ns, 56_000);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LatencyTable {
    /// Where it is from, for messages; no part of the table.
    #[serde(skip)]
    pub origin: String,
    /// The space's name.
    pub space: String,
    /// The space's [fingerprint](crate::Space::fingerprint).
    pub space_fingerprint: String,
    /// Pixels a side of the input.
    pub resolution: usize,
    /// Channels of an image.
    pub channels: usize,
    /// Classes.
    pub classes: usize,
    /// What ran the blocks, in words.
    pub device: String,
    /// The program that ran them, in a word: `creamery` for its own.
    pub runtime: String,
    /// Images of a pass.
    pub batch: usize,
    /// Threads that computed.
    pub threads: usize,
    /// What a whole network takes beyond the sum of its blocks; below 0 if it takes less.
    pub overhead_ns: i64,
    /// The blocks.
    pub blocks: Vec<BlockTime>,
}

/// How long a block takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BlockTime {
    /// `stem`, `first`, `stages.<stage>.<block>.<operation>`, `last`, `head` or `classifier`.
    pub name: String,
    /// The median of the runs, which counts.
    pub median_ns: u64,
    /// First quartile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low_ns: Option<u64>,
    /// Third quartile.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high_ns: Option<u64>,
    /// Runs that were timed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runs: Option<u64>,
}

impl LatencyTable {
    /// A short hash, 16 hexadecimal digits, of all that the table says, however it is laid out in its file.
    pub fn fingerprint(&self) -> String {
        blake3::hash(self.to_json().as_bytes()).to_hex()[..16].to_string()
    }
}

/// Why a latency table cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LatencyTableError {
    /// The file cannot be read.
    #[error("cannot read the latency table {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not JSON of the form that [`LatencyTable`] shows.
    #[error("{origin}, line {line}: {message}; docs/latency.md has the form of a latency table")]
    Form {
        /// Where the text is from.
        origin: String,
        /// Line of the text, from 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
    /// JSON of another version, or no latency table at all.
    #[error(
        "{origin}: `creamery_latency` is {found}, but must be {}: make the table with `creamery profile` of this version",
        file::VERSION
    )]
    Version {
        /// Where the text is from.
        origin: String,
        /// What stands there.
        found: String,
    },
    /// A value that no measurement can have.
    #[error("{origin}: `{key}` {message}")]
    Value {
        /// Where the table is from.
        origin: String,
        /// The key.
        key: &'static str,
        /// What it is and what is allowed.
        message: String,
    },
    /// A block that is missing, unknown, there twice, or has an impossible time.
    #[error("{origin}: block `{block}` {message}")]
    Block {
        /// Where the table is from.
        origin: String,
        /// Its name.
        block: String,
        /// What is wrong with it and what would do.
        message: String,
    },
    /// The times of another space's blocks.
    #[error(
        "{origin} has the times of the space {found}, not of {expected}: make a table with `creamery profile --space {name}`"
    )]
    OtherSpace {
        /// Where the table is from.
        origin: String,
        /// Name and fingerprint of the table's space.
        found: String,
        /// Name and fingerprint of this space.
        expected: String,
        /// Name of this space.
        name: String,
    },
    /// Times for images of another size, or for other classes.
    #[error(
        "{origin} has times for {found}, not for {expected}: make a table with `creamery profile {flags}`"
    )]
    OtherInput {
        /// Where the table is from.
        origin: String,
        /// What the table is for.
        found: String,
        /// What is asked for.
        expected: String,
        /// What asks `creamery profile` for that.
        flags: String,
    },
}
