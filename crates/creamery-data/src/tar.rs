//! Images in tar files, as WebDataset packs them.
//!
//! Files that follow each other and share a name up to its first dot are a sample: an image (`.jpg`, `.jpeg`, `.png`) and a label,
//! `.cls` (its number, or its name where classes have names) or `.json` (`{"label": ..}`); others do not count. The headers of
//! all shards are read once when a data set is opened; images are then read from their places in any order.

use std::borrow::Cow;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use ::tar::Archive;

use crate::dataset::{OpenOptions, Opened};
use crate::decode::{ImageError, MAX_FILE_BYTES, SIGNATURE_BYTES, sniff};
use crate::error::DataError;
use crate::files::OpenFiles;
use crate::parallel::map_in_order;
use crate::pattern;
use crate::split::Split;
use crate::store::{ImagePlace, Store, Stored};
use crate::usable::{Skipped, usable};

/// The most classes of a data set that does not name them: a larger label is taken for damage.
pub(crate) const MAX_CLASSES: usize = 1 << 17;
/// The longest label file of a sample, in bytes.
const MAX_LABEL_BYTES: u64 = 1 << 16;
/// A tar file is made of blocks of this size.
const BLOCK: u64 = 512;
/// The list of the classes' names, one a line, beside the shards.
const CLASSES: &str = "classes.txt";

/// Opens the shards that `pattern` stands for.
pub(crate) fn open(pattern: &str, options: &OpenOptions) -> Result<Opened, DataError> {
    let files = pattern::find(pattern, "tar")?;
    let names = class_names(&files.train[0])?;
    let mut skipped = Skipped::new(options);
    let train = scan(files.train, names.as_deref(), &mut skipped)?;
    let test = scan(files.test, names.as_deref(), &mut skipped)?;
    let classes = names.unwrap_or_else(|| numbered(train.classes().max(test.classes())));
    Ok(Opened {
        train: train.split(classes.len(), &mut skipped)?,
        test: test.split(classes.len(), &mut skipped)?,
        classes,
        skipped: skipped.finish()?,
    })
}

/// Names of classes that have none.
pub(crate) fn numbered(classes: usize) -> Vec<String> {
    (0..classes).map(|class| class.to_string()).collect()
}

/// The classes' names from the list beside a shard, if there is one.
fn class_names(shard: &Path) -> Result<Option<Vec<String>>, DataError> {
    let path = shard.with_file_name(CLASSES);
    if !path.is_file() {
        return Ok(None);
    }
    match std::fs::read_to_string(&path) {
        Ok(text) => Ok(Some(
            text.lines().map(|line| line.trim().to_owned()).collect(),
        )),
        Err(source) => Err(DataError::Io { path, source }),
    }
}

/// A label as a sample has it.
type Label = Result<u32, ImageError>;

/// Samples of a split, before their number of classes is known.
struct Found {
    shards: Shards,
    labels: Vec<Label>,
}

impl Found {
    /// Classes that the labels need.
    fn classes(&self) -> usize {
        let most = self.labels.iter().flatten().max();
        most.map_or(0, |&most| most as usize + 1)
    }

    fn split(self, classes: usize, skipped: &mut Skipped) -> Result<Split, DataError> {
        usable(Box::new(self.shards), self.labels, classes, skipped)
    }
}

/// Reads the headers of all shards.
fn scan(
    paths: Vec<PathBuf>,
    names: Option<&[String]>,
    skipped: &mut Skipped,
) -> Result<Found, DataError> {
    let scanned = map_in_order(paths.len(), |shard| scan_shard(&paths[shard], names));
    let mut found = Found {
        shards: Shards {
            files: OpenFiles::new(paths),
            samples: Vec::new(),
        },
        labels: Vec::new(),
    };
    for (shard, Scanned { samples, fault }) in scanned.into_iter().enumerate() {
        for (sample, label) in samples {
            found.shards.samples.push(Sample {
                shard: shard as u32,
                ..sample
            });
            found.labels.push(label);
        }
        if let Some(fault) = fault {
            let path = found.shards.files.path(shard).to_owned();
            skipped.add(ImagePlace::file(path), fault)?;
        }
    }
    Ok(found)
}

/// Where an image lies.
#[derive(Clone, Copy)]
struct Sample {
    shard: u32,
    /// Of the image's bytes; 0 if the sample has no image.
    offset: u64,
    /// Bytes of the image.
    bytes: u64,
    /// Of the sample's first header, which names it.
    header: u64,
}

/// What a shard holds, up to its first damage.
#[derive(Default)]
struct Scanned {
    samples: Vec<(Sample, Label)>,
    fault: Option<ImageError>,
}

/// The files of a sample that count, as they are met.
struct Sampling {
    key: Vec<u8>,
    header: u64,
    image: Option<(u64, u64)>,
    label: Option<Label>,
}

impl Sampling {
    fn finish(self, into: &mut Scanned) {
        let missing = || {
            Err(ImageError::Label(
                "a sample without a label: no .cls or .json file of its name".to_owned(),
            ))
        };
        let label = match (&self.image, self.label) {
            (None, None) => return,
            (None, Some(_)) => Err(ImageError::Missing),
            (Some(_), label) => label.unwrap_or_else(missing),
        };
        let (offset, bytes) = self.image.unwrap_or_default();
        let sample = Sample {
            shard: 0,
            offset,
            bytes,
            header: self.header,
        };
        into.samples.push((sample, label));
    }
}

fn scan_shard(path: &Path, names: Option<&[String]>) -> Scanned {
    let mut scanned = Scanned::default();
    scanned.fault = read_headers(path, names, &mut scanned).err();
    scanned
}

fn read_headers(
    path: &Path,
    names: Option<&[String]>,
    into: &mut Scanned,
) -> Result<(), ImageError> {
    let damaged =
        |error: std::io::Error| ImageError::Container(format!("a damaged tar file ({error})"));
    let file = File::open(path).map_err(ImageError::Unreadable)?;
    let length = file.metadata().map_err(ImageError::Unreadable)?.len();
    // A shard is read again for its labels, so that this one's place does not move.
    let labels = OpenFiles::new(vec![path.to_owned()]);
    let mut archive = Archive::new(BufReader::with_capacity(BLOCK as usize, file));
    let mut sample: Option<Sampling> = None;
    let mut end = 0;
    for entry in archive.entries_with_seek().map_err(damaged)? {
        let entry = entry.map_err(|error| match start_of(path) {
            Some([0x1f, 0x8b, ..]) => ImageError::Container(
                "compressed: unpack it by gunzip, images hardly shrink".to_owned(),
            ),
            _ => damaged(error),
        })?;
        let (offset, bytes) = (entry.raw_file_position(), entry.size());
        let cut = || {
            ImageError::Container(format!(
                "a tar file cut short: `{}` ends after its last byte ({length})",
                lossy(&entry.path_bytes())
            ))
        };
        let last = offset
            .checked_add(bytes)
            .filter(|&last| last <= length)
            .ok_or_else(cut)?;
        end = last.next_multiple_of(BLOCK);
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = entry.path_bytes();
        let Some((key, ending)) = parts(&name) else {
            continue;
        };
        if sample.as_ref().is_none_or(|sample| sample.key != key)
            && let Some(done) = sample.replace(Sampling {
                key: key.to_vec(),
                header: entry.raw_header_position(),
                image: None,
                label: None,
            })
        {
            done.finish(into);
        }
        let Some(sample) = &mut sample else { continue };
        match &ending.to_ascii_lowercase()[..] {
            b"jpg" | b"jpeg" | b"png" if sample.image.is_none() => {
                sample.image = Some((offset, bytes))
            }
            kind @ (b"cls" | b"json") if sample.label.is_none() => {
                let text = read_text(&labels, offset, bytes);
                sample.label = Some(text.and_then(|text| label(&text, kind == b"json", names)));
            }
            _ => {}
        }
    }
    if let Some(done) = sample {
        done.finish(into);
    }
    // What follows the last file is at least one block of zeros; the reader takes the file's end for it.
    if end.saturating_add(BLOCK) > length {
        return Err(ImageError::Container(format!(
            "a tar file cut short: it ends after {length} bytes without an end mark"
        )));
    }
    Ok(())
}

fn start_of(path: &Path) -> Option<[u8; 2]> {
    let mut start = [0; 2];
    OpenFiles::new(vec![path.to_owned()])
        .read(0, 0, &mut start)
        .ok()?;
    Some(start)
}

/// A name up to the first dot after its last slash, and what follows that dot.
fn parts(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let base = name
        .iter()
        .rposition(|&byte| byte == b'/')
        .map_or(0, |slash| slash + 1);
    let dot = base + name[base..].iter().position(|&byte| byte == b'.')?;
    (dot > base).then(|| (&name[..dot], &name[dot + 1..]))
}

fn lossy(name: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(name)
}

fn read_text(files: &OpenFiles, offset: u64, bytes: u64) -> Result<String, ImageError> {
    if bytes > MAX_LABEL_BYTES {
        return Err(ImageError::Label(format!("a label of {bytes} bytes")));
    }
    let mut text = vec![0; bytes as usize];
    files
        .read(0, offset, &mut text)
        .map_err(ImageError::Unreadable)?;
    Ok(lossy(&text).into_owned())
}

/// The class that a label file names.
fn label(text: &str, json: bool, names: Option<&[String]>) -> Label {
    let text = if json {
        let value: serde_json::Value = serde_json::from_str(text)
            .map_err(|error| ImageError::Label(format!("a label in damaged JSON ({error})")))?;
        match value.get("label").or_else(|| value.get("cls")) {
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(number) => number.to_string(),
            None => return Err(ImageError::Label("JSON without `label`".to_owned())),
        }
    } else {
        text.trim().to_owned()
    };
    let named = names.and_then(|names| names.iter().position(|name| *name == text));
    match named
        .map(|label| label as i64)
        .or_else(|| text.parse().ok())
    {
        Some(label) => class(label, names.map(<[String]>::len)),
        None => Err(ImageError::Label(format!(
            "its label `{}` is neither a number nor a class of {CLASSES}",
            text.chars().take(40).collect::<String>()
        ))),
    }
}

/// A label that is one of `classes`, or of as many as there can be.
pub(crate) fn class(label: i64, classes: Option<usize>) -> Label {
    let most = classes.unwrap_or(MAX_CLASSES);
    u32::try_from(label)
        .ok()
        .filter(|&label| (label as usize) < most)
        .ok_or_else(|| {
            ImageError::Label(format!(
                "its label {label} is outside the {} (0 to {})",
                match classes {
                    Some(classes) => format!("{classes} classes"),
                    None => "labels there can be".to_owned(),
                },
                most.saturating_sub(1)
            ))
        })
}

/// The images of a split's shards.
struct Shards {
    files: OpenFiles,
    samples: Vec<Sample>,
}

impl Shards {
    fn bytes(&self, index: usize, most: u64) -> Result<Vec<u8>, ImageError> {
        let sample = &self.samples[index];
        if sample.bytes > MAX_FILE_BYTES {
            return Err(ImageError::LargeFile {
                bytes: sample.bytes,
            });
        }
        let mut bytes = vec![0; sample.bytes.min(most) as usize];
        self.files
            .read(sample.shard as usize, sample.offset, &mut bytes)
            .map_err(ImageError::Unreadable)?;
        Ok(bytes)
    }
}

impl Store for Shards {
    fn read(&self, index: usize) -> Result<Stored<'_>, ImageError> {
        self.bytes(index, u64::MAX)
            .map(|bytes| Stored::File(Cow::Owned(bytes)))
    }

    fn check(&self, index: usize) -> Result<(), ImageError> {
        sniff(&self.bytes(index, SIGNATURE_BYTES as u64)?).map(|_| ())
    }

    /// The sample's name, read again from its header: kept in memory, the names of a million would be its larger part.
    fn place(&self, index: usize) -> ImagePlace {
        let sample = &self.samples[index];
        let shard = sample.shard as usize;
        let mut header = ::tar::Header::new_old();
        let named = self
            .files
            .read(shard, sample.header, header.as_mut_bytes())
            .is_ok();
        let name = header.path_bytes();
        let name = match parts(&name) {
            Some((key, _)) if named => lossy(key).into_owned(),
            _ => "a sample".to_owned(),
        };
        ImagePlace::within(
            self.files.path(shard),
            format_args!("{name} (at byte {})", sample.header),
        )
    }

    fn identify(&self, index: usize, hasher: &mut blake3::Hasher) {
        let sample = &self.samples[index];
        let name = self
            .files
            .path(sample.shard as usize)
            .file_name()
            .unwrap_or_default();
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_encoded_bytes());
        hasher.update(&sample.offset.to_le_bytes());
        hasher.update(&sample.bytes.to_le_bytes());
    }

    fn shard(&self, index: usize) -> u32 {
        self.samples[index].shard
    }
}
