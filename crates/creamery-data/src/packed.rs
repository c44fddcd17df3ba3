//! One file with all images of a data set, decoded or encoded anew: written once, then mapped into memory.
//!
//! All numbers are little-endian.
//!
//! | place | bytes | |
//! |---|---|---|
//! | 0 | 8 | [`MAGIC`] |
//! | 8 | 4 | [`VERSION`] |
//! | 12 | 8 | where the tail begins |
//! | 20 | 8 | bytes of the tail |
//! | 28 | 32 | BLAKE3 of bytes 0 to 28 and of the tail |
//! | 60 | | the images, one after the other |
//! | the tail | 8 | bytes of its JSON ([`About`]) |
//! | | | the JSON |
//! | | 16 each | the index: for each image, training images first, its bytes (u32), label (u32), width (u16), height (u16), CRC-32 |
//!
//! An image lies where the one before it ends, so that no two can overlap. Nothing is believed that the checksum, the file's
//! size and the limits do not bear out; the images' own checksums are compared by [`Packed::verify`], since that reads all of the file.

use std::borrow::Cow;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use serde::{Deserialize, Serialize};

use crate::dataset::DataSet;
use crate::decode::{ImageError, MAX_PIXELS, MAX_SIDE};
use crate::error::DataError;
use crate::pipeline::Augment;
use crate::split::Split;
use crate::store::{ImagePlace, SHARD, Store, Stored};

/// How a packed file begins.
pub(crate) const MAGIC: [u8; 8] = *b"\x93CRMPACK";
/// The version of the format that is written, and read.
pub(crate) const VERSION: u32 = 1;
/// Bytes before the first image.
pub(crate) const HEADER: usize = 60;
/// Bytes of the header that its checksum covers.
pub(crate) const CHECKED: usize = 28;
/// Bytes of an image in the index.
pub(crate) const ENTRY: usize = 16;

/// How images are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PackFormat {
    /// Decoded: the quickest to read, and the largest.
    Raw,
    /// As image files.
    Jpeg,
}

/// What a packed file says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct About {
    /// The data set that was packed, by name and fingerprint.
    pub source: String,
    pub fingerprint: String,
    pub format: PackFormat,
    pub channels: usize,
    /// The shorter side that larger images were brought to.
    pub shorter_side: Option<usize>,
    pub classes: Vec<String>,
    pub train: usize,
    pub test: usize,
    /// Whether all images of the source have one size by its format.
    pub one_size: bool,
    /// The augmentation that suits the images.
    pub crop_padding: usize,
    pub flip: bool,
}

/// An image in the index.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub bytes: u32,
    pub label: u32,
    pub width: u16,
    pub height: u16,
    pub crc: u32,
}

impl Entry {
    pub fn to_bytes(self) -> [u8; ENTRY] {
        let mut out = [0; ENTRY];
        out[..4].copy_from_slice(&self.bytes.to_le_bytes());
        out[4..8].copy_from_slice(&self.label.to_le_bytes());
        out[8..10].copy_from_slice(&self.width.to_le_bytes());
        out[10..12].copy_from_slice(&self.height.to_le_bytes());
        out[12..].copy_from_slice(&self.crc.to_le_bytes());
        out
    }

    fn from_bytes(bytes: &[u8; ENTRY]) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = *bytes;
        Self {
            bytes: u32::from_le_bytes([a, b, c, d]),
            label: u32::from_le_bytes([e, f, g, h]),
            width: u16::from_le_bytes([i, j]),
            height: u16::from_le_bytes([k, l]),
            crc: u32::from_le_bytes([m, n, o, p]),
        }
    }
}

/// CRC-32 of an image's bytes.
pub(crate) fn crc(bytes: &[u8]) -> u32 {
    let mut crc = flate2::Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// The checksum of header and tail.
pub(crate) fn checksum(header: &[u8], tail: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&header[..CHECKED]);
    hasher.update(tail);
    *hasher.finalize().as_bytes()
}

/// A packed file, open and checked.
#[derive(Clone)]
pub struct Packed {
    inner: Arc<Inner>,
}

struct Inner {
    path: PathBuf,
    map: Mmap,
    about: About,
    /// Training images first.
    entries: Vec<Entry>,
    /// Where each image begins, and where the last ends.
    places: Vec<u64>,
}

impl Packed {
    /// Maps a file into memory and checks its header and index. The file must not change as long as it is open.
    ///
    /// # Errors
    /// [`DataError::Io`] if it cannot be read, [`DataError::Container`] that tells what is wrong with it.
    pub fn open(path: &Path) -> Result<Self, DataError> {
        let io = |source| DataError::Io {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(io)?;
        // Mapping a folder or a pipe fails with a message that helps nobody.
        if !file.metadata().map_err(io)?.is_file() {
            return Err(fault(path, "not a file"));
        }
        // SAFETY: the map is only read. Packed files are written under another name and renamed, so that none that is open is
        // written to by us; that nobody else changes one is what this function asks for.
        let map = unsafe { Mmap::map(&file) }.map_err(io)?;
        let (about, entries, places) = parse(&map).map_err(|text| fault(path, text))?;
        Ok(Self {
            inner: Arc::new(Inner {
                path: path.to_owned(),
                map,
                about,
                entries,
                places,
            }),
        })
    }

    /// The images as a data set called `name`.
    ///
    /// # Errors
    /// As [`DataSet::new`].
    pub fn data_set(&self, name: &str) -> Result<DataSet, DataError> {
        let About {
            ref classes,
            train,
            test,
            crop_padding,
            flip,
            ..
        } = self.inner.about;
        let split = |from: usize, images: usize| {
            let entries = &self.inner.entries[from..from + images];
            let labels = entries.iter().map(|entry| entry.label).collect();
            let part = Part {
                packed: self.clone(),
                from,
                size: self.size(from, images),
            };
            let members = (0..images as u32).collect();
            Split::from_store(Box::new(part), labels, classes.len(), members)
        };
        let augment = Augment::crop_and_flip(crop_padding, flip);
        DataSet::new(
            name,
            classes.clone(),
            split(0, train),
            split(train, test),
            augment,
        )
    }

    /// Compares every image with its checksum.
    ///
    /// # Errors
    /// [`DataError::Container`] that names the first image that has changed.
    pub fn verify(&self) -> Result<(), DataError> {
        for (index, entry) in self.inner.entries.iter().enumerate() {
            if crc(self.bytes(index)) != entry.crc {
                let text = format!("image {index} has changed since it was packed: pack it again");
                return Err(fault(&self.inner.path, text));
            }
        }
        Ok(())
    }

    /// The size of all images of a split, if its source has only one.
    fn size(&self, from: usize, images: usize) -> Option<(usize, usize)> {
        let entries = &self.inner.entries[from..from + images];
        let first = entries.first().filter(|_| self.inner.about.one_size)?;
        let size = |entry: &Entry| (usize::from(entry.height), usize::from(entry.width));
        entries
            .iter()
            .all(|entry| size(entry) == size(first))
            .then(|| size(first))
    }

    fn bytes(&self, index: usize) -> &[u8] {
        let places = &self.inner.places;
        // Both are within the map, which was checked when it was opened.
        &self.inner.map[places[index] as usize..places[index + 1] as usize]
    }
}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packed")
            .field("path", &self.inner.path)
            .field("about", &self.inner.about)
            .finish_non_exhaustive()
    }
}

/// Opens `packed:FILE`.
pub(crate) fn open(name: &str, path: &Path) -> Result<DataSet, DataError> {
    if !path.exists() {
        return Err(DataError::NoFiles {
            place: format!("no file `{}`", path.display()),
            mend: "packed:FILE needs a file that `creamery data pack D --out FILE` has written"
                .to_owned(),
        });
    }
    Packed::open(path)?.data_set(name)
}

fn fault(path: &Path, fault: impl Into<String>) -> DataError {
    DataError::Container {
        path: path.to_owned(),
        fault: fault.into(),
    }
}

/// What the file says, if all of it fits together.
fn parse(file: &[u8]) -> Result<(About, Vec<Entry>, Vec<u64>), String> {
    let number = |from: usize| {
        let bytes = file
            .get(from..from + 8)
            .and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(u64::MAX, u64::from_le_bytes)
    };
    if file.len() < HEADER || file[..8] != MAGIC {
        return Err("not a packed data set, or not a whole one".to_owned());
    }
    let version = number(8) as u32;
    if version != VERSION {
        return Err(format!(
            "a packed data set of version {version}, but this program reads version {VERSION}: pack it again"
        ));
    }
    let length = file.len() as u64;
    let (tail_at, tail_bytes) = (number(12), number(20));
    let end = tail_at.checked_add(tail_bytes);
    if tail_at < HEADER as u64 || end != Some(length) {
        return Err(format!(
            "its header announces {} bytes, but there are {length}: it is cut short or damaged, pack it again",
            end.map_or("too many".to_owned(), |end| end.to_string())
        ));
    }
    let tail = &file[tail_at as usize..];
    if checksum(file, tail) != file[CHECKED..HEADER] {
        return Err("damaged: its index does not have its checksum; pack it again".to_owned());
    }
    let damaged = |what: &str| format!("damaged: {what}; pack it again");
    let json_bytes = number(tail_at as usize);
    let (json, index) = usize::try_from(json_bytes)
        .ok()
        .and_then(|bytes| tail.get(8..)?.split_at_checked(bytes))
        .ok_or_else(|| damaged("its description is longer than the file"))?;
    let about: About = serde_json::from_slice(json).map_err(|error| damaged(&error.to_string()))?;
    let images = about.train.checked_add(about.test);
    if images.and_then(|images| images.checked_mul(ENTRY)) != Some(index.len()) {
        return Err(damaged("its index has another size than its images need"));
    }
    if !matches!(about.channels, 1 | 3) || about.channels == 1 && about.format == PackFormat::Jpeg {
        return Err(damaged("images of so many channels are not packed"));
    }
    let (entries, _) = index.as_chunks::<ENTRY>();
    let entries: Vec<Entry> = entries.iter().map(Entry::from_bytes).collect();
    let mut places = Vec::with_capacity(entries.len() + 1);
    let mut place = HEADER as u64;
    for (number, entry) in entries.iter().enumerate() {
        places.push(place);
        let (width, height) = (usize::from(entry.width), usize::from(entry.height));
        let pixels = width * height;
        let fits = match about.format {
            PackFormat::Raw => entry.bytes as usize == pixels * about.channels,
            PackFormat::Jpeg => entry.bytes > 0,
        };
        if !fits || pixels == 0 || width > MAX_SIDE || height > MAX_SIDE || pixels > MAX_PIXELS {
            return Err(damaged(&format!(
                "image {number} cannot have {width}x{height} pixels in {} bytes",
                entry.bytes
            )));
        }
        if entry.label as usize >= about.classes.len() {
            let classes = about.classes.len();
            return Err(damaged(&format!(
                "the label {} of image {number} is outside the {classes} classes",
                entry.label
            )));
        }
        // Fewer than 2^64 / 2^32 images fit into a file, so that the sum cannot wrap.
        place += u64::from(entry.bytes);
    }
    places.push(place);
    if place != tail_at {
        return Err(damaged("its images do not end where its index begins"));
    }
    Ok((about, entries, places))
}

/// The images of one split.
struct Part {
    packed: Packed,
    /// The first one's number in the file.
    from: usize,
    size: Option<(usize, usize)>,
}

impl Store for Part {
    fn read(&self, index: usize) -> Result<Stored<'_>, ImageError> {
        let number = self.from + index;
        let (bytes, entry) = (
            self.packed.bytes(number),
            &self.packed.inner.entries[number],
        );
        Ok(match self.packed.inner.about.format {
            PackFormat::Raw => Stored::Pixels {
                width: entry.width.into(),
                height: entry.height.into(),
                channels: self.channels(),
                pixels: bytes,
            },
            PackFormat::Jpeg => Stored::File(Cow::Borrowed(bytes)),
        })
    }

    /// The index was checked, and looking at every image would read all of the file.
    fn check(&self, _index: usize) -> Result<(), ImageError> {
        Ok(())
    }

    fn place(&self, index: usize) -> ImagePlace {
        ImagePlace::within(
            &self.packed.inner.path,
            format_args!("image {}", self.from + index),
        )
    }

    fn identify(&self, index: usize, hasher: &mut blake3::Hasher) {
        hasher.update(&self.packed.inner.entries[self.from + index].to_bytes());
    }

    fn shard(&self, index: usize) -> u32 {
        (index / SHARD) as u32
    }

    fn channels(&self) -> usize {
        self.packed.inner.about.channels
    }

    fn native_size(&self) -> Option<(usize, usize)> {
        self.size
    }
}
