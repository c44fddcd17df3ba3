//! Images and labels in Parquet files, as Hugging Face's `datasets` writes them.
//!
//! The column of images holds the bytes of image files, by itself or as the field `bytes` of a structure; that of labels, whole
//! numbers. Which they are, and the classes' names, is in the files' metadata under `huggingface`; without it columns are known by
//! their usual names. Labels are read when a data set is opened, images when they are asked for: a row group at once if it is
//! asked for again and again, as in a shuffle by shards, and else only the pages that a row lies in.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::VecDeque;
use std::io::Read;
use std::panic::{self, AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once, PoisonError};

use ::parquet::basic::Type as Physical;
use ::parquet::column::reader::{ColumnReader, ColumnReaderImpl};
use ::parquet::data_type::{ByteArray, DataType};
use ::parquet::errors::{ParquetError, Result as ParquetResult};
use ::parquet::file::reader::{ChunkReader, FileReader, Length, SerializedFileReader};

use crate::dataset::{OpenOptions, Opened};
use crate::decode::ImageError;
use crate::error::DataError;
use crate::files::OpenFiles;
use crate::parallel::map_in_order;
use crate::pattern;
use crate::split::Split;
use crate::store::{ImagePlace, Store, Stored};
use crate::tar::{class, numbered};
use crate::usable::{Skipped, usable};

/// Bytes of row groups that a split keeps read.
const KEPT: u64 = 256 << 20;
/// The largest row group that is read at once.
const MAX_GROUP: u64 = KEPT / 4;
/// A row group that is asked for twice among so many rows is read at once.
const REMEMBERED: usize = 512;
/// Usual names of columns.
const IMAGE_NAMES: [&str; 3] = ["image", "img", "jpg"];
const LABEL_NAMES: [&str; 4] = ["label", "fine_label", "labels", "cls"];

/// Opens the files that `pattern` stands for.
pub(crate) fn open(pattern: &str, options: &OpenOptions) -> Result<Opened, DataError> {
    let files = pattern::find(pattern, "parquet")?;
    let mut skipped = Skipped::new(options);
    let train = Found::open(files.train)?;
    let test = Found::open(files.test)?;
    let classes = match train.names.clone() {
        Some(names) => names,
        None => numbered(train.classes().max(test.classes())),
    };
    Ok(Opened {
        train: train.split(&classes, &mut skipped)?,
        test: test.split(&classes, &mut skipped)?,
        classes,
        skipped: skipped.finish()?,
    })
}

/// The rows of a split.
struct Found {
    rows: Rows,
    labels: Vec<Option<i64>>,
    /// The classes' names, if the files have them.
    names: Option<Vec<String>>,
}

impl Found {
    fn open(paths: Vec<PathBuf>) -> Result<Self, DataError> {
        let files = Arc::new(OpenFiles::new(paths));
        let opened = map_in_order(files.paths().len(), |file| {
            let refused = |fault| DataError::Container {
                path: files.path(file).to_owned(),
                fault,
            };
            unbroken(|| ParquetFile::open(&files, file)).map_err(refused)
        });
        let mut found = Self {
            rows: Rows::default(),
            labels: Vec::new(),
            names: None,
        };
        for file in opened {
            let (file, labels) = file?;
            found.names = found.names.take().or_else(|| file.columns.classes.clone());
            let number = found.rows.files.len();
            for (group, labels) in labels.into_iter().enumerate() {
                found.rows.groups.push(Group {
                    file: number,
                    group,
                    first: found.labels.len(),
                });
                found.labels.extend(labels);
            }
            found.rows.files.push(file);
        }
        Ok(found)
    }

    /// Classes that the labels need.
    fn classes(&self) -> usize {
        let labels = self.labels.iter().flatten();
        let most = labels.filter_map(|&label| class(label, None).ok()).max();
        most.map_or(0, |most| most as usize + 1)
    }

    fn split(self, classes: &[String], skipped: &mut Skipped) -> Result<Split, DataError> {
        let labels = self.labels.iter().map(|label| match label {
            Some(label) => class(*label, Some(classes.len())),
            None => Err(ImageError::Label("a row without a label".to_owned())),
        });
        let labels = labels.collect();
        usable(Box::new(self.rows), labels, classes.len(), skipped)
    }
}

/// A file of a split, as the reader sees it.
#[derive(Clone)]
struct Bytes {
    files: Arc<OpenFiles>,
    file: usize,
    length: u64,
}

impl Length for Bytes {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Bytes {
    type T = std::io::BufReader<FromPlace>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        Ok(std::io::BufReader::with_capacity(
            1024,
            FromPlace(self.clone(), start),
        ))
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<bytes::Bytes> {
        let end = start.checked_add(length as u64);
        if end.is_none_or(|end| end > self.length) {
            return Err(ParquetError::EOF(format!(
                "{length} bytes at {start} of {}",
                self.length
            )));
        }
        let mut bytes = vec![0; length];
        self.files.read(self.file, start, &mut bytes)?;
        Ok(bytes.into())
    }
}

/// A file from a place on.
struct FromPlace(Bytes, u64);

impl Read for FromPlace {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let Self(
            Bytes {
                files,
                file,
                length,
            },
            place,
        ) = self;
        let most = length.saturating_sub(*place).min(into.len() as u64) as usize;
        files.read(*file, *place, &mut into[..most])?;
        *place += most as u64;
        Ok(most)
    }
}

/// Which columns count.
struct Columns {
    image: usize,
    label: usize,
    classes: Option<Vec<String>>,
}

/// The labels of a row group, where rows have one.
type Labels = Vec<Option<i64>>;

struct ParquetFile {
    path: PathBuf,
    bytes: u64,
    reader: SerializedFileReader<Bytes>,
    columns: Columns,
}

impl ParquetFile {
    /// Opens a file; with the labels of each row group.
    fn open(files: &Arc<OpenFiles>, file: usize) -> Result<(Self, Vec<Labels>), String> {
        let path = files.path(file).to_owned();
        let length = std::fs::metadata(&path)
            .map_err(|error| format!("cannot be read ({error})"))?
            .len();
        let bytes = Bytes {
            files: Arc::clone(files),
            file,
            length,
        };
        let reader = SerializedFileReader::new(bytes).map_err(damaged)?;
        let columns = Columns::of(&reader)?;
        let opened = Self {
            path,
            bytes: length,
            reader,
            columns,
        };
        let groups = 0..opened.reader.metadata().num_row_groups();
        let labels = groups
            .map(|group| opened.labels(group))
            .collect::<Result<_, _>>()?;
        Ok((opened, labels))
    }

    /// The labels of a row group.
    fn labels(&self, group: usize) -> Result<Labels, String> {
        let rows = self.rows(group)?;
        let full = self.full_level(self.columns.label);
        let labels = match self.column(group, self.columns.label)? {
            ColumnReader::Int64ColumnReader(reader) => values(reader, full, 0, rows)?,
            ColumnReader::Int32ColumnReader(reader) => {
                let narrow = values(reader, full, 0, rows)?;
                narrow
                    .into_iter()
                    .map(|label| label.map(i64::from))
                    .collect()
            }
            _ => return Err("the column of labels holds no whole numbers".to_owned()),
        };
        Ok(labels)
    }

    /// Images of a row group, from row `first` on.
    fn images(
        &self,
        group: usize,
        first: usize,
        rows: usize,
    ) -> Result<Vec<Option<ByteArray>>, String> {
        let full = self.full_level(self.columns.image);
        unbroken(|| match self.column(group, self.columns.image)? {
            ColumnReader::ByteArrayColumnReader(reader) => values(reader, full, first, rows),
            _ => Err("the column of images holds no bytes".to_owned()),
        })
    }

    /// The definition level of a value that is there.
    fn full_level(&self, column: usize) -> i16 {
        let metadata = self.reader.metadata().file_metadata();
        metadata.schema_descr().column(column).max_def_level()
    }

    fn column(&self, group: usize, column: usize) -> Result<ColumnReader, String> {
        // The reader panics on a place before the file.
        let told = self.reader.metadata().row_group(group).column(column);
        let places = [
            Some(told.data_page_offset()),
            told.dictionary_page_offset(),
            Some(told.compressed_size()),
        ];
        if places.into_iter().flatten().any(|place| place < 0) {
            return Err(format!(
                "row group {group} has a column of a negative place or size"
            ));
        }
        let group = self.reader.get_row_group(group).map_err(damaged)?;
        group.get_column_reader(column).map_err(damaged)
    }

    fn rows(&self, group: usize) -> Result<usize, String> {
        let rows = self.reader.metadata().row_group(group).num_rows();
        // Every label takes some bits at least, so that a file's claims stay in proportion to its size.
        usize::try_from(rows)
            .ok()
            .filter(|&rows| rows as u64 <= self.bytes.saturating_mul(64))
            .ok_or_else(|| {
                format!(
                    "row group {group} announces {rows} rows in a file of {} bytes",
                    self.bytes
                )
            })
    }

    /// Bytes of a row group's images, unpacked.
    fn image_bytes(&self, group: usize) -> u64 {
        let column = self
            .reader
            .metadata()
            .row_group(group)
            .column(self.columns.image);
        u64::try_from(column.uncompressed_size()).unwrap_or(u64::MAX)
    }
}

/// The message of the reader in ours.
fn damaged(error: ParquetError) -> String {
    match error {
        ParquetError::General(text) if text.contains("codec") || text.contains("compression") => {
            format!("{text}: write it anew with compression=\"snappy\"")
        }
        error => format!("a damaged Parquet file ({error})"),
    }
}

/// What `read` finds in a file, or that it is damaged: the reader asserts what damaged pages break, and a panic of its is no one else's.
fn unbroken<T>(read: impl FnOnce() -> Result<T, String>) -> Result<T, String> {
    static HOOKED: Once = Once::new();
    thread_local! {
        static READING: Cell<bool> = const { Cell::new(false) };
    }
    HOOKED.call_once(|| {
        let tell = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !READING.get() {
                tell(info);
            }
        }));
    });
    READING.set(true);
    let found = catch_unwind(AssertUnwindSafe(read));
    READING.set(false);
    found.unwrap_or_else(|_| {
        Err("a damaged Parquet file (a page holds something else than it announces)".to_owned())
    })
}

/// `rows` values of a column from row `first` on; `None` where there is none, which is where the level is below `full`.
fn values<T: DataType>(
    mut reader: ColumnReaderImpl<T>,
    full: i16,
    first: usize,
    rows: usize,
) -> Result<Vec<Option<T::T>>, String> {
    let skipped = reader.skip_records(first).map_err(damaged)?;
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    let mut read = 0;
    while read < rows && skipped == first {
        let (records, ..) = reader
            .read_records(rows - read, Some(&mut levels), None, &mut values)
            .map_err(damaged)?;
        if records == 0 {
            break;
        }
        read += records;
    }
    if read < rows {
        return Err(format!(
            "a damaged Parquet file: row {} of a group is missing",
            skipped + read
        ));
    }
    // A column whose values are all there has no levels.
    if full == 0 {
        return Ok(values.into_iter().map(Some).collect());
    }
    let mut values = values.into_iter();
    Ok(levels
        .iter()
        .map(|&level| if level == full { values.next() } else { None })
        .collect())
}

impl Columns {
    /// The columns by the file's metadata, or by their names.
    fn of(reader: &SerializedFileReader<Bytes>) -> Result<Self, String> {
        let metadata = reader.metadata().file_metadata();
        let told = metadata.key_value_metadata().into_iter().flatten();
        let told = told
            .filter(|pair| pair.key == "huggingface")
            .find_map(|pair| pair.value.as_deref());
        let told: serde_json::Value = told
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        let features = told
            .pointer("/info/features")
            .and_then(|features| features.as_object());
        let of_kind = |kind: &str| -> Vec<&str> {
            let is = |value: &serde_json::Value| {
                value.get("_type").and_then(|kind| kind.as_str()) == Some(kind)
            };
            let features = features.into_iter().flatten();
            features
                .filter(|(_, value)| is(value))
                .map(|(name, _)| name.as_str())
                .collect()
        };
        let schema = metadata.schema_descr();
        let find = |name: &str, kinds: &[Physical]| {
            let is = |column: &::parquet::schema::types::ColumnDescriptor| {
                let parts = column.path().parts();
                let at = parts.first().is_some_and(|first| first == name);
                let whole = parts.len() == 1 || parts.len() == 2 && parts[1] == "bytes";
                at && whole
                    && column.max_rep_level() == 0
                    && kinds.contains(&column.physical_type())
            };
            schema.columns().iter().position(|column| is(column))
        };
        let first = |told: &[&str], usual: &[&str], kinds: &[Physical]| {
            // Where several are told, one by a usual name goes first.
            let usual_told = usual.iter().filter(|name| told.contains(name));
            let names = usual_told.chain(told).chain(usual).copied();
            names
                .into_iter()
                .find_map(|name| find(name, kinds).map(|column| (column, name.to_owned())))
        };
        let names: Vec<&str> = schema
            .columns()
            .iter()
            .map(|column| column.name())
            .take(20)
            .collect();
        let lacks = |what: &str, usual: &[&str]| {
            format!(
                "no column of {what} (by the name of {}) among its columns {}",
                usual.join(", "),
                names.join(", ")
            )
        };
        let (image, _) = first(&of_kind("Image"), &IMAGE_NAMES, &[Physical::BYTE_ARRAY])
            .ok_or_else(|| lacks("images", &IMAGE_NAMES))?;
        let (label, name) = first(
            &of_kind("ClassLabel"),
            &LABEL_NAMES,
            &[Physical::INT64, Physical::INT32],
        )
        .ok_or_else(|| lacks("labels", &LABEL_NAMES))?;
        let names = features.and_then(|features| features.get(&name)?.get("names")?.as_array());
        let classes = names.map(|names| {
            names
                .iter()
                .map(|name| name.as_str().unwrap_or_default().to_owned())
                .collect()
        });
        Ok(Self {
            image,
            label,
            classes,
        })
    }
}

/// A row group.
struct Group {
    file: usize,
    group: usize,
    /// Its first row's number in the split.
    first: usize,
}

/// The images of a split's rows.
#[derive(Default)]
struct Rows {
    files: Vec<ParquetFile>,
    groups: Vec<Group>,
    kept: Mutex<Kept>,
}

/// The images of a row group.
type Images = Arc<Vec<Option<ByteArray>>>;

/// Row groups that are kept read.
#[derive(Default)]
struct Kept {
    /// The group used last comes first.
    groups: VecDeque<(usize, u64, Images)>,
    /// Groups that were asked for and not read at once, the last first.
    asked: VecDeque<usize>,
}

impl Kept {
    fn find(&mut self, group: usize) -> Option<Images> {
        let at = self.groups.iter().position(|(of, ..)| *of == group)?;
        let found = self.groups.remove(at)?;
        let images = Arc::clone(&found.2);
        self.groups.push_front(found);
        Some(images)
    }

    /// Whether a group was asked for lately.
    fn ask(&mut self, group: usize) -> bool {
        let again = self.asked.contains(&group);
        self.asked.push_front(group);
        self.asked.truncate(REMEMBERED);
        again
    }

    fn keep(&mut self, group: usize, bytes: u64, images: &Images) {
        self.groups.push_front((group, bytes, Arc::clone(images)));
        while self.groups.iter().map(|(_, bytes, _)| bytes).sum::<u64>() > KEPT {
            self.groups.pop_back();
        }
    }
}

impl Rows {
    /// The number of the group that a row lies in, and its place there.
    fn group(&self, row: usize) -> (usize, usize) {
        let group = self.groups.partition_point(|group| group.first <= row) - 1;
        (group, row - self.groups[group].first)
    }

    fn image(&self, row: usize) -> Result<Option<ByteArray>, String> {
        let (number, place) = self.group(row);
        let Group { file, group, .. } = self.groups[number];
        let file = &self.files[file];
        let bytes = file.image_bytes(group);
        let lock = || self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let again = {
            let mut kept = lock();
            if let Some(images) = kept.find(number) {
                return Ok(images[place].clone());
            }
            kept.ask(number)
        };
        if !again || bytes > MAX_GROUP {
            return file
                .images(group, place, 1)
                .map(|mut images| images.pop().flatten());
        }
        // Read without the lock: two threads may read the same group, but none waits for another's disk.
        let images = Arc::new(file.images(group, 0, file.rows(group)?)?);
        lock().keep(number, bytes, &images);
        Ok(images[place].clone())
    }
}

impl Store for Rows {
    fn read(&self, index: usize) -> Result<Stored<'_>, ImageError> {
        match self.image(index).map_err(ImageError::Container)? {
            // The reader's pages are shared, so that an image that outlives them is a copy.
            Some(image) => Ok(Stored::File(Cow::Owned(image.data().to_vec()))),
            None => Err(ImageError::Missing),
        }
    }

    /// Images are looked at when they are asked for: that needs all of them to be unpacked.
    fn check(&self, _index: usize) -> Result<(), ImageError> {
        Ok(())
    }

    fn place(&self, index: usize) -> ImagePlace {
        let (number, _) = self.group(index);
        let file = self.groups[number].file;
        let first = self.groups.partition_point(|group| group.file < file);
        let row = index - self.groups[first].first;
        ImagePlace::within(&self.files[file].path, format_args!("row {row}"))
    }

    fn identify(&self, index: usize, hasher: &mut blake3::Hasher) {
        let (number, place) = self.group(index);
        let Group { file, group, .. } = self.groups[number];
        let file = &self.files[file];
        let name = Path::file_name(&file.path).unwrap_or_default();
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_encoded_bytes());
        for number in [file.bytes, group as u64, place as u64] {
            hasher.update(&number.to_le_bytes());
        }
    }

    fn shard(&self, index: usize) -> u32 {
        self.group(index).0 as u32
    }
}
