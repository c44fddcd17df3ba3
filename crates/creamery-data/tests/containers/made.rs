//! Small data sets in every container, made of the same images.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use creamery_data::{DataError, DataSet, OpenOptions};
use jpeg_encoder::{ColorType, Encoder};
use parquet::basic::Compression;
use parquet::column::writer::ColumnWriter;
use parquet::data_type::{ByteArray, ByteArrayType, DataType, Int64Type};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use tempfile::TempDir;

pub const CLASSES: [&str; 3] = ["ant", "bee", "cat"];

/// A photograph of sorts: image `number` of any of these sets.
pub fn jpeg(number: usize) -> Vec<u8> {
    let (width, height) = (24 + number % 5 * 3, 20 + number % 7 * 2);
    let pixels: Vec<u8> = (0..width * height * 3)
        .map(|i| (i / 3 % width * 5 + i / 3 / width * 7 + i % 3 * 40 + number * 13) as u8)
        .collect();
    let mut file = Vec::new();
    Encoder::new(&mut file, 90)
        .encode(&pixels, width as u16, height as u16, ColorType::Rgb)
        .unwrap();
    file
}

/// Images with labels: those of the training split, or those of the other.
pub fn images(train: bool) -> Vec<(Vec<u8>, i64)> {
    let (first, count) = if train { (0, 48) } else { (48, 9) };
    // Class by class, as folders have them; the first class is the largest.
    let mut images: Vec<_> = (0..count)
        .map(|i| (jpeg(first + i), [0, 0, 1, 2, 0, 1][i % 6]))
        .collect();
    images.sort_by_key(|(_, label)| *label);
    images
}

/// A folder for a data set.
pub struct Place {
    folder: TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self {
            folder: TempDir::with_prefix("data sets ").unwrap(),
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    /// What a source of this place says.
    pub fn open(&self, source: &str, options: &OpenOptions) -> Result<DataSet, DataError> {
        let (kind, name) = source.split_once(':').unwrap();
        DataSet::open(&format!("{kind}:{}", self.path(name).display()), options)
    }

    pub fn opened(&self, source: &str) -> DataSet {
        self.open(source, &OpenOptions::default()).unwrap()
    }

    /// The message of a data set that cannot be opened.
    pub fn refusal(&self, source: &str) -> String {
        let error = self.open(source, &OpenOptions::default()).unwrap_err();
        assert!(!error.is_usage(), "{error}");
        error.to_string()
    }

    /// `folder/train/CLASS/NUMBER.jpg`, `folder/val/..`.
    pub fn folder(&self) {
        for (train, name) in [(true, "train"), (false, "val")] {
            for (number, (image, label)) in images(train).into_iter().enumerate() {
                let class = CLASSES[label as usize];
                self.write(&format!("folder/{name}/{class}/{number:04}.jpg"), image);
            }
        }
    }

    /// `shards/train-0000.tar` and more with classes' names beside them, of `size` images each.
    pub fn shards(&self, size: usize) {
        self.write("shards/classes.txt", CLASSES.join("\n"));
        for (train, name) in [(true, "train"), (false, "val")] {
            for (shard, images) in images(train).chunks(size).enumerate() {
                let samples: Vec<_> = images
                    .iter()
                    .enumerate()
                    .flat_map(|(i, (image, label))| {
                        let key = format!("{shard:02}/{i:06}");
                        let label = if i % 2 == 0 {
                            (format!("{key}.cls"), label.to_string().into_bytes())
                        } else {
                            (
                                format!("{key}.json"),
                                format!("{{\"label\": {label}}}").into_bytes(),
                            )
                        };
                        [(format!("{key}.JPG"), image.clone()), label]
                    })
                    .collect();
                self.write(&format!("shards/{name}-{shard:04}.tar"), tar(&samples));
            }
        }
    }

    /// `rows/train-00000-of-00002.parquet` and more, with row groups of `group` rows.
    pub fn rows(&self, group: usize, compression: Compression) {
        for (train, name) in [(true, "train"), (false, "validation")] {
            let images = images(train);
            for (file, images) in images.chunks(images.len().div_ceil(2)).enumerate() {
                let rows = images
                    .iter()
                    .map(|(image, label)| (Some(image.clone()), Some(*label)));
                let rows: Vec<_> = rows.collect();
                self.write(&format!("rows/{name}-{file:05}-of-00002.parquet"), "");
                let path = self.path(&format!("rows/{name}-{file:05}-of-00002.parquet"));
                parquet(&path, &rows, group, compression);
            }
        }
    }
}

/// A tar file of named files.
pub fn tar(files: &[(String, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, &bytes[..]).unwrap();
    }
    builder.into_inner().unwrap()
}

/// A row: an image and a label, if it has them.
pub type Row = (Option<Vec<u8>>, Option<i64>);

/// A file as `datasets` writes them: images in a structure of bytes and path, the classes' names in the metadata.
pub fn parquet(path: &Path, rows: &[Row], group: usize, compression: Compression) {
    let schema = "message schema { optional group image { optional binary bytes; optional binary path (UTF8); } optional int64 label; }";
    let features = format!(
        r#"{{"info": {{"features": {{"image": {{"_type": "Image"}}, "label": {{"names": {CLASSES:?}, "_type": "ClassLabel"}}}}}}}}"#
    );
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_data_page_size_limit(2000)
        .set_dictionary_page_size_limit(3000)
        .set_write_batch_size(2)
        .set_key_value_metadata(Some(vec![KeyValue::new(
            "huggingface".to_owned(),
            features,
        )]))
        .build();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer =
        SerializedFileWriter::new(File::create(path).unwrap(), schema, Arc::new(properties))
            .unwrap();
    for rows in rows.chunks(group) {
        let mut group = writer.next_row_group().unwrap();
        let images: Vec<Option<ByteArray>> = rows
            .iter()
            .map(|(image, _)| image.clone().map(ByteArray::from))
            .collect();
        let paths: Vec<Option<ByteArray>> = rows.iter().map(|_| None).collect();
        let labels: Vec<Option<i64>> = rows.iter().map(|(_, label)| *label).collect();
        for column in 0..3 {
            let mut writer = group.next_column().unwrap().unwrap();
            match writer.untyped() {
                ColumnWriter::ByteArrayColumnWriter(writer) => {
                    let values = if column == 0 { &images } else { &paths };
                    write::<ByteArrayType>(writer, values, 2);
                }
                ColumnWriter::Int64ColumnWriter(writer) => write::<Int64Type>(writer, &labels, 1),
                _ => unreachable!("the schema has no other columns"),
            }
            writer.close().unwrap();
        }
        group.close().unwrap();
    }
    writer.close().unwrap();
}

fn write<T: DataType>(
    writer: &mut parquet::column::writer::ColumnWriterImpl<'_, T>,
    values: &[Option<T::T>],
    full: i16,
) {
    let levels: Vec<i16> = values
        .iter()
        .map(|value| if value.is_some() { full } else { full - 1 })
        .collect();
    let values: Vec<T::T> = values.iter().flatten().cloned().collect();
    writer.write_batch(&values, Some(&levels), None).unwrap();
}
