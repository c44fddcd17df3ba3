//! Checkpoints: all that the next step depends on, in one file.
//!
//! A checkpoint is a safetensors file. Its tensors are named `SECTION:NAME` (`supernet:stem.conv.weight`);
//! its metadata hold a format number and the scalar state as JSON. It is written to a temporary name,
//! synced and renamed, so that a crash leaves the previous one intact.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use creamery_nn::NamedTensor;
use safetensors::tensor::{Dtype, SafeTensors, View};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::run::{RunError, write_atomically};

const FORMAT: &str = "1";

/// Why a checkpoint cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// The file is not there or cannot be read.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The file is cut short or damaged.
    #[error(
        "checkpoint `{path}` is damaged ({reason}): delete it and start the run anew, or restore it from a copy"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file is a safetensors file, but no checkpoint that this version can read.
    #[error("`{path}` is no checkpoint of this version of Creamery ({reason})")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What is missing or different.
        reason: String,
    },
    /// A part of the state is missing or of another form.
    #[error(
        "the checkpoint has no usable `{part}` ({reason}): it belongs to another task or version"
    )]
    Part {
        /// The part.
        part: String,
        /// What is wrong.
        reason: String,
    },
    /// A model does not go with a data set.
    #[error(
        "the model has {what} `{found}`, the data set has `{expected}`: choose the data it was trained for with --data"
    )]
    Model {
        /// `channels`, `class count`, or the class of a number.
        what: String,
        /// The model's.
        found: String,
        /// The data set's.
        expected: String,
    },
    /// The checkpoint is of a run with other settings.
    #[error(
        "the checkpoint is of a run with {what} `{found}`, this one has `{expected}`: resume with the same {what}, or start a new run with --out"
    )]
    Other {
        /// `space`, `data` or another setting.
        what: String,
        /// In the checkpoint.
        found: String,
        /// In this run.
        expected: String,
    },
}

/// The state of a run at the start of a step.
#[derive(Clone, Debug, Default)]
pub struct Checkpoint {
    json: BTreeMap<String, serde_json::Value>,
    tensors: BTreeMap<String, Vec<NamedTensor>>,
}

/// What a run must have in common with the one that it resumes, by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity(pub BTreeMap<String, String>);

impl Identity {
    /// Compares with the identity in a checkpoint.
    ///
    /// # Errors
    /// [`CheckpointError::Other`] with the first thing that differs.
    pub fn check(&self, saved: &Identity) -> Result<(), CheckpointError> {
        for (what, expected) in &self.0 {
            let found = saved.0.get(what).cloned().unwrap_or_default();
            if found != *expected {
                return Err(CheckpointError::Other {
                    what: what.clone(),
                    found,
                    expected: expected.clone(),
                });
            }
        }
        Ok(())
    }
}

impl Checkpoint {
    /// Adds scalar state.
    pub fn put(&mut self, part: &str, value: &impl Serialize) {
        let value = serde_json::to_value(value).expect("state is plain data");
        self.json.insert(part.to_owned(), value);
    }

    /// Reads scalar state.
    ///
    /// # Errors
    /// [`CheckpointError::Part`].
    pub fn get<T: DeserializeOwned>(&self, part: &str) -> Result<T, CheckpointError> {
        let error = |reason: String| CheckpointError::Part {
            part: part.to_owned(),
            reason,
        };
        let value = self
            .json
            .get(part)
            .ok_or_else(|| error("it is missing".into()))?;
        serde_path_to_error::deserialize(value).map_err(|e| error(e.to_string()))
    }

    /// Adds tensors under a section's name.
    pub fn put_tensors(&mut self, section: &str, tensors: Vec<NamedTensor>) {
        self.tensors.insert(section.to_owned(), tensors);
    }

    /// Takes the tensors of a section out. A section without tensors is empty.
    pub fn take_tensors(&mut self, section: &str) -> Vec<NamedTensor> {
        self.tensors.remove(section).unwrap_or_default()
    }

    /// Writes the checkpoint, whole or not at all.
    ///
    /// # Errors
    /// If the file cannot be written; one that was there before is then intact.
    pub fn save(&self, path: &Path) -> Result<(), CheckpointError> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|e| RunError::io("create", folder, e))?;
        }
        let state = serde_json::to_string(&self.json).expect("state is plain data");
        let metadata = HashMap::from([
            ("creamery_checkpoint".to_owned(), FORMAT.to_owned()),
            ("state".to_owned(), state),
        ]);
        let bytes = to_bytes(
            self.tensors.iter().flat_map(|(section, tensors)| {
                tensors
                    .iter()
                    .map(move |t| (format!("{section}:{}", t.name), t))
            }),
            metadata,
        );
        Ok(write_atomically(path, &bytes)?)
    }

    /// Reads a checkpoint.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn load(path: &Path) -> Result<Self, CheckpointError> {
        let bytes = fs::read(path).map_err(|e| RunError::io("read", path, e))?;
        Self::from_bytes(path, &bytes)
    }

    /// Reads a checkpoint out of the bytes of the file that `path` names.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, CheckpointError> {
        let (tensors, metadata) = parse(path, bytes)?;
        let json = scalar_state(path, &metadata)?;
        let mut sections: BTreeMap<String, Vec<NamedTensor>> = BTreeMap::new();
        for mut tensor in tensors {
            let (section, name) = tensor
                .name
                .split_once(':')
                .ok_or_else(|| foreign(path, "a tensor has no section"))?;
            let (section, name) = (section.to_owned(), name.to_owned());
            tensor.name = name;
            sections.entry(section).or_default().push(tensor);
        }
        Ok(Self {
            json,
            tensors: sections,
        })
    }

    /// A short hash of all of it, 16 hexadecimal digits.
    pub fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let state = serde_json::to_vec(&self.json).expect("state is plain data");
        hasher.update(&state);
        for (section, tensors) in &self.tensors {
            hasher.update(section.as_bytes());
            for tensor in tensors {
                hasher.update(tensor.name.as_bytes());
                for value in &tensor.values {
                    hasher.update(&value.to_le_bytes());
                }
            }
        }
        hasher.finalize().to_hex()[..16].to_owned()
    }

    /// Reads the scalar state of a checkpoint, and none of its tensors.
    ///
    /// # Errors
    /// [`CheckpointError`].
    pub fn load_scalars(path: &Path) -> Result<Self, CheckpointError> {
        let json = scalar_state(path, &read_metadata(path)?)?;
        Ok(Self {
            json,
            tensors: BTreeMap::new(),
        })
    }
}

fn foreign(path: &Path, reason: &str) -> CheckpointError {
    CheckpointError::Foreign {
        path: path.to_owned(),
        reason: reason.to_owned(),
    }
}

/// The scalar state that the metadata of a checkpoint hold.
fn scalar_state(
    path: &Path,
    metadata: &HashMap<String, String>,
) -> Result<BTreeMap<String, serde_json::Value>, CheckpointError> {
    let foreign = |reason: &str| foreign(path, reason);
    match metadata.get("creamery_checkpoint").map(String::as_str) {
        Some(FORMAT) => {}
        Some(other) => return Err(foreign(&format!("its format is {other}, not {FORMAT}"))),
        None => return Err(foreign("it does not say it is one")),
    }
    let state = metadata
        .get("state")
        .ok_or_else(|| foreign("it has no state"))?;
    serde_json::from_str(state).map_err(|e| CheckpointError::Damaged {
        path: path.to_owned(),
        reason: format!("its state: {e}"),
    })
}

/// A tensor to be written, as safetensors wants to see it.
struct Bytes<'a>(&'a NamedTensor);

impl View for Bytes<'_> {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        &self.0.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        self.0
            .values
            .iter()
            .flat_map(|v| v.to_le_bytes())
            .collect::<Vec<_>>()
            .into()
    }
    fn data_len(&self) -> usize {
        self.0.values.len() * 4
    }
}

fn to_bytes<'a>(
    tensors: impl Iterator<Item = (String, &'a NamedTensor)>,
    metadata: HashMap<String, String>,
) -> Vec<u8> {
    let views = tensors.map(|(name, tensor)| (name, Bytes(tensor)));
    let bytes = safetensors::serialize(views, Some(metadata)).expect("shapes and lengths agree");
    with_sorted_header(bytes)
}

/// A safetensors file with the keys of its header sorted: it comes with the metadata in the order of a
/// hash map, which differs from process to process, and equal runs must write equal files.
fn with_sorted_header(mut bytes: Vec<u8>) -> Vec<u8> {
    type Sorted = BTreeMap<String, serde_json::Value>;
    const OWN: &str = "safetensors reads its own header";
    let length = u64::from_le_bytes(bytes[..8].try_into().expect(OWN)) as usize;
    let mut header: Sorted = serde_json::from_slice(&bytes[8..8 + length]).expect(OWN);
    if let Some(metadata) = header.get_mut("__metadata__") {
        let sorted: Sorted = serde_json::from_value(metadata.take()).expect(OWN);
        *metadata = sorted.into_iter().collect();
    }
    let mut text = serde_json::to_vec(&header).expect(OWN);
    // The data that follow are aligned to eight bytes.
    text.resize(text.len().next_multiple_of(8), b' ');
    bytes.splice(..8, (text.len() as u64).to_le_bytes());
    bytes.splice(8..8 + length, text);
    bytes
}

/// Writes weights and metadata as a safetensors file, whole or not at all.
///
/// # Errors
/// [`CheckpointError::Run`].
pub fn write_weights(
    path: &Path,
    tensors: &[NamedTensor],
    metadata: HashMap<String, String>,
) -> Result<(), CheckpointError> {
    let bytes = to_bytes(tensors.iter().map(|t| (t.name.clone(), t)), metadata);
    Ok(write_atomically(path, &bytes)?)
}

/// Reads weights and metadata of a safetensors file of f32 tensors.
///
/// # Errors
/// [`CheckpointError`] if the file is missing, damaged, or holds tensors of another type.
pub fn read_weights(
    path: &Path,
) -> Result<(Vec<NamedTensor>, HashMap<String, String>), CheckpointError> {
    read(path)
}

/// The metadata of a safetensors file: its header is read and nothing else.
pub(crate) fn read_metadata(path: &Path) -> Result<HashMap<String, String>, CheckpointError> {
    // The format allows no longer header.
    const MOST: u64 = 100_000_000;
    #[derive(Deserialize)]
    struct Header {
        #[serde(default, rename = "__metadata__")]
        metadata: HashMap<String, String>,
    }
    let fail = |e| RunError::io("read", path, e);
    let damaged = |reason: String| CheckpointError::Damaged {
        path: path.to_owned(),
        reason,
    };
    let mut file = File::open(path).map_err(fail)?;
    let mut length = [0; 8];
    file.read_exact(&mut length)
        .map_err(|e| damaged(e.to_string()))?;
    let length = u64::from_le_bytes(length).min(MOST);
    let mut text = Vec::new();
    file.take(length).read_to_end(&mut text).map_err(fail)?;
    if (text.len() as u64) < length {
        return Err(damaged("its header ends too early".into()));
    }
    let header: Header = serde_json::from_slice(&text).map_err(|e| damaged(e.to_string()))?;
    Ok(header.metadata)
}

fn read(path: &Path) -> Result<(Vec<NamedTensor>, HashMap<String, String>), CheckpointError> {
    let bytes = fs::read(path).map_err(|e| RunError::io("read", path, e))?;
    parse(path, &bytes)
}

/// The tensors, by name, and the metadata of a safetensors file.
fn parse(
    path: &Path,
    bytes: &[u8],
) -> Result<(Vec<NamedTensor>, HashMap<String, String>), CheckpointError> {
    let damaged = |reason: String| CheckpointError::Damaged {
        path: path.to_owned(),
        reason,
    };
    let (_, header) = SafeTensors::read_metadata(bytes).map_err(|e| damaged(e.to_string()))?;
    let file = SafeTensors::deserialize(bytes).map_err(|e| damaged(e.to_string()))?;
    let mut tensors = Vec::new();
    for (name, view) in file.iter() {
        if view.dtype() != Dtype::F32 {
            return Err(CheckpointError::Foreign {
                path: path.to_owned(),
                reason: format!("tensor `{name}` is {:?}, not F32", view.dtype()),
            });
        }
        let values = view
            .data()
            .chunks_exact(4)
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        tensors.push(NamedTensor {
            name: name.to_owned(),
            shape: view.shape().to_vec(),
            values,
        });
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok((tensors, header.metadata().clone().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Checkpoint {
        let mut checkpoint = Checkpoint::default();
        checkpoint.put("engine", &(3u64, 0.1f64));
        checkpoint.put_tensors(
            "supernet",
            vec![NamedTensor {
                name: "a.weight".into(),
                shape: vec![2, 1],
                values: vec![1.5, -0.0],
            }],
        );
        checkpoint
    }

    #[test]
    fn a_checkpoint_comes_back_in_the_same_bits() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/er.safetensors");
        sample().save(&path).unwrap();
        let mut back = Checkpoint::load(&path).unwrap();
        assert_eq!(back.get::<(u64, f64)>("engine").unwrap(), (3, 0.1));
        let mut scalars = Checkpoint::load_scalars(&path).unwrap();
        assert_eq!(scalars.get::<(u64, f64)>("engine").unwrap(), (3, 0.1));
        assert!(scalars.take_tensors("supernet").is_empty());
        let tensors = back.take_tensors("supernet");
        assert_eq!(tensors[0].shape, [2, 1]);
        assert_eq!(tensors[0].values[1].to_bits(), (-0.0f32).to_bits());
        let missing = back.get::<u64>("board").unwrap_err().to_string();
        assert!(missing.contains("`board`"), "{missing}");
    }

    #[test]
    fn every_truncation_is_an_error_and_never_a_panic() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("c.safetensors");
        sample().save(&path).unwrap();
        let bytes = fs::read(&path).unwrap();
        for length in 0..bytes.len() {
            fs::write(&path, &bytes[..length]).unwrap();
            let error = Checkpoint::load(&path).unwrap_err();
            assert!(
                matches!(error, CheckpointError::Damaged { .. }),
                "{length}: {error}"
            );
        }
        let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        for length in 0..header {
            fs::write(&path, &bytes[..length]).unwrap();
            assert!(Checkpoint::load_scalars(&path).is_err(), "{length}");
        }
        fs::write(&path, b"\xff\xff\xff\xff\xff\xff\xff\xffgarbage").unwrap();
        assert!(Checkpoint::load(&path).is_err());
        assert!(Checkpoint::load_scalars(&path).is_err());
    }

    #[test]
    fn equal_contents_are_equal_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let tensors = sample().take_tensors("supernet");
        let mut files = Vec::new();
        for _ in 0..10 {
            // A hash map's order is drawn anew for each.
            let metadata: HashMap<_, _> = (0..9)
                .map(|i| (format!("key {i}"), format!("\"{i}\"")))
                .collect();
            write_weights(&path, &tensors, metadata.clone()).unwrap();
            assert_eq!(read_weights(&path).unwrap(), (tensors.clone(), metadata));
            files.push(fs::read(&path).unwrap());
        }
        assert!(files.iter().all(|file| *file == files[0]));
        assert_eq!(files[0].len() % 8, 0);
    }

    #[test]
    fn weights_are_no_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let tensors = sample().take_tensors("supernet");
        write_weights(&path, &tensors, HashMap::new()).unwrap();
        for error in [
            Checkpoint::load(&path).unwrap_err(),
            Checkpoint::load_scalars(&path).unwrap_err(),
        ] {
            assert!(matches!(error, CheckpointError::Foreign { .. }), "{error}");
        }
    }

    #[test]
    fn another_space_is_told() {
        let identity = |space: &str| Identity(BTreeMap::from([("space".into(), space.into())]));
        let error = identity("a").check(&identity("b")).unwrap_err().to_string();
        assert!(error.contains("`a`") && error.contains("`b`"), "{error}");
    }
}
