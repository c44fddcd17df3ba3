//! IDX, the format of MNIST and its kin: a magic number, one big-endian `u32` per dimension, then the
//! bytes. Parsers are pure functions over a file's bytes, gzipped or plain.
//!
//! Nothing is allocated on the word of a header: the buffer grows with the data that is really there,
//! and never beyond what the header announces.

use std::io::{ErrorKind, Read};

use flate2::read::MultiGzDecoder;

/// Unsigned bytes in three dimensions: images, rows, columns.
const IMAGES_MAGIC: u32 = 0x0000_0803;
/// Unsigned bytes in one dimension.
const LABELS_MAGIC: u32 = 0x0000_0801;
/// The first bytes of every gzip file.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// The most pixels read from one file, whatever its header says: 87 times MNIST.
const MAX_BYTES: u64 = 4 << 30;

/// What is wrong with an IDX file.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum IdxError {
    /// The file ends before its contents do.
    #[error("cut short: {expected} bytes expected, {found} found; fetch the file again")]
    CutShort {
        /// Bytes the header promises, header included and unpacked.
        expected: u64,
        /// Bytes there are.
        found: u64,
    },

    /// The file goes on after its contents end.
    #[error("longer than the {expected} bytes that its header promises; fetch the file again")]
    TooLong {
        /// Bytes the header promises, header included and unpacked.
        expected: u64,
    },

    /// Not an IDX file of unsigned bytes.
    #[error("no IDX file of {wanted}: it begins with 0x{found:08x} instead of 0x{expected:08x}")]
    Magic {
        /// `images` or `labels`.
        wanted: &'static str,
        /// The magic number of such a file.
        expected: u32,
        /// The magic number found.
        found: u32,
    },

    /// Images where labels belong, or the other way round.
    #[error("holds {found} where {wanted} belong: are the names of two files exchanged?")]
    Mislabelled {
        /// What the file should hold.
        wanted: &'static str,
        /// What it holds.
        found: &'static str,
    },

    /// The header announces no images, or images of no size.
    #[error("its header announces {count} images of {rows}x{columns} pixels: nothing to read")]
    Empty {
        /// Images announced.
        count: u32,
        /// Rows announced.
        rows: u32,
        /// Columns announced.
        columns: u32,
    },

    /// The header announces more than any data set of this kind holds.
    #[error(
        "its header announces {count} images of {rows}x{columns} pixels, more than the {MAX_BYTES} bytes that are read; fetch the file again"
    )]
    TooLarge {
        /// Images announced.
        count: u32,
        /// Rows announced.
        rows: u32,
        /// Columns announced.
        columns: u32,
    },

    /// The gzip layer is damaged.
    #[error("damaged gzip data ({0}); fetch the file again")]
    Gzip(String),
}

/// The contents of an images file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct IdxImages {
    pub count: usize,
    pub rows: usize,
    pub columns: usize,
    /// `count * rows * columns` bytes.
    pub pixels: Vec<u8>,
}

/// Reads a file of images (`train-images-idx3-ubyte`), gzipped or plain.
pub(crate) fn images(file: &[u8]) -> Result<IdxImages, IdxError> {
    let mut reader = Unpacked::new(file);
    reader.magic("images", IMAGES_MAGIC)?;
    let [count, rows, columns] = [reader.number(16)?, reader.number(16)?, reader.number(16)?];
    if count == 0 || rows == 0 || columns == 0 {
        return Err(IdxError::Empty {
            count,
            rows,
            columns,
        });
    }
    let size = u128::from(count) * u128::from(rows) * u128::from(columns);
    let size = u64::try_from(size)
        .ok()
        .filter(|&size| size <= MAX_BYTES)
        .ok_or(IdxError::TooLarge {
            count,
            rows,
            columns,
        })?;
    Ok(IdxImages {
        count: count as usize,
        rows: rows as usize,
        columns: columns as usize,
        pixels: reader.rest(size)?,
    })
}

/// Reads a file of labels (`train-labels-idx1-ubyte`), gzipped or plain.
pub(crate) fn labels(file: &[u8]) -> Result<Vec<u8>, IdxError> {
    let mut reader = Unpacked::new(file);
    reader.magic("labels", LABELS_MAGIC)?;
    let count = reader.number(8)?;
    reader.rest(u64::from(count))
}

/// The bytes of a file with its gzip layer, if any, taken off as they are read.
struct Unpacked<'a> {
    reader: Box<dyn Read + 'a>,
    read: u64,
}

impl<'a> Unpacked<'a> {
    fn new(file: &'a [u8]) -> Self {
        let reader: Box<dyn Read> = if file.starts_with(&GZIP_MAGIC) {
            Box::new(MultiGzDecoder::new(file))
        } else {
            Box::new(file)
        };
        Self { reader, read: 0 }
    }

    /// Up to `most` bytes; fewer only where the data ends. `expected` is the whole length for errors.
    fn bytes(&mut self, most: u64, expected: u64) -> Result<Vec<u8>, IdxError> {
        let mut bytes = Vec::new();
        let outcome = self.reader.by_ref().take(most).read_to_end(&mut bytes);
        self.read += bytes.len() as u64;
        match outcome {
            Ok(_) => Ok(bytes),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Err(IdxError::CutShort {
                expected,
                found: self.read,
            }),
            Err(error) => Err(IdxError::Gzip(error.to_string())),
        }
    }

    /// The next `u32` of a header that is `header` bytes long.
    fn number(&mut self, header: u64) -> Result<u32, IdxError> {
        let bytes = self.bytes(4, header)?;
        let bytes = <[u8; 4]>::try_from(bytes).map_err(|_| IdxError::CutShort {
            expected: header,
            found: self.read,
        })?;
        Ok(u32::from_be_bytes(bytes))
    }

    fn magic(&mut self, wanted: &'static str, expected: u32) -> Result<(), IdxError> {
        match self.number(4)? {
            found if found == expected => Ok(()),
            IMAGES_MAGIC => Err(IdxError::Mislabelled {
                wanted,
                found: "images",
            }),
            LABELS_MAGIC => Err(IdxError::Mislabelled {
                wanted,
                found: "labels",
            }),
            found => Err(IdxError::Magic {
                wanted,
                expected,
                found,
            }),
        }
    }

    /// The `size` bytes after the header, which must be the last of the file.
    fn rest(&mut self, size: u64) -> Result<Vec<u8>, IdxError> {
        let expected = self.read + size;
        // One byte more than announced is enough to know that there are too many.
        let bytes = self.bytes(size + 1, expected)?;
        match (bytes.len() as u64).cmp(&size) {
            std::cmp::Ordering::Equal => Ok(bytes),
            std::cmp::Ordering::Less => Err(IdxError::CutShort {
                expected,
                found: self.read,
            }),
            std::cmp::Ordering::Greater => Err(IdxError::TooLong { expected }),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};
    use proptest::prelude::*;

    use super::*;

    pub(crate) fn images_file(count: u32, rows: u32, columns: u32, pixels: &[u8]) -> Vec<u8> {
        let mut file = IMAGES_MAGIC.to_be_bytes().to_vec();
        for number in [count, rows, columns] {
            file.extend(number.to_be_bytes());
        }
        file.extend(pixels);
        file
    }

    pub(crate) fn labels_file(labels: &[u8]) -> Vec<u8> {
        let mut file = LABELS_MAGIC.to_be_bytes().to_vec();
        file.extend((labels.len() as u32).to_be_bytes());
        file.extend(labels);
        file
    }

    pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(count in 1u32..5, rows in 1u32..9, columns in 1u32..9, seed: u8) {
            let pixels: Vec<u8> =
                (0..count * rows * columns).map(|i| (i as u8).wrapping_mul(31) ^ seed).collect();
            let file = images_file(count, rows, columns, &pixels);
            let read = images(&file).unwrap();
            prop_assert_eq!((read.count, read.rows, read.columns), (count as usize, rows as usize, columns as usize));
            prop_assert_eq!(&read.pixels, &pixels);
            prop_assert_eq!(images(&gzip(&file)).unwrap(), read);
            prop_assert_eq!(labels(&gzip(&labels_file(&pixels))).unwrap(), labels(&labels_file(&pixels)).unwrap());
        }

        #[test]
        fn every_cut_is_an_error(cut in 0.0f64..1.0, packed: bool) {
            let noise: Vec<u8> = (0..192u32).map(|i| ((i * i * 37) >> 3) as u8).collect();
            let whole = images_file(3, 8, 8, &noise);
            let whole = if packed { gzip(&whole) } else { whole };
            let cut = (cut * whole.len() as f64) as usize;
            prop_assert!(images(&whole[..cut]).is_err());
        }

        #[test]
        fn noise_is_an_error_never_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), magic in 0usize..4) {
            let start: &[u8] = [&[][..], &[0, 0, 8, 3], &[0, 0, 8, 1], &GZIP_MAGIC][magic];
            let file = [start, &bytes].concat();
            let _ = images(&file);
            let _ = labels(&file);
        }
    }

    #[test]
    fn a_cut_file_tells_bytes_expected_and_found() {
        let file = images_file(10, 28, 28, &[0; 100]);
        assert_eq!(
            images(&file),
            Err(IdxError::CutShort {
                expected: 16 + 7840,
                found: 116
            })
        );
        assert_eq!(
            images(&gzip(&file)),
            Err(IdxError::CutShort {
                expected: 16 + 7840,
                found: 116
            })
        );
        assert_eq!(
            images(&file[..9]),
            Err(IdxError::CutShort {
                expected: 16,
                found: 9
            })
        );
        assert_eq!(
            labels(&[]),
            Err(IdxError::CutShort {
                expected: 4,
                found: 0
            })
        );
    }

    #[test]
    fn a_gzip_file_cut_short_says_so() {
        let noise: Vec<u8> = (0..7840u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8)
            .collect();
        let file = gzip(&images_file(10, 28, 28, &noise));
        match images(&file[..file.len() / 2]) {
            Err(IdxError::CutShort {
                expected: 7856,
                found,
            }) => assert!(found < 7856),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn damaged_gzip_data_is_named() {
        let mut file = gzip(&images_file(10, 28, 28, &[7; 7840]));
        let crc = file.len() - 8;
        file[crc] ^= 1;
        assert!(
            matches!(images(&file), Err(IdxError::Gzip(_))),
            "{:?}",
            images(&file)
        );
    }

    #[test]
    fn exchanged_and_foreign_files_are_named() {
        let (pictures, answers) = (images_file(1, 1, 1, &[0]), labels_file(&[0]));
        assert_eq!(
            images(&answers),
            Err(IdxError::Mislabelled {
                wanted: "images",
                found: "labels"
            })
        );
        assert_eq!(
            labels(&pictures),
            Err(IdxError::Mislabelled {
                wanted: "labels",
                found: "images"
            })
        );
        assert!(matches!(
            images(b"<html>404</html>"),
            Err(IdxError::Magic {
                found: 0x3c68_746d,
                ..
            })
        ));
    }

    #[test]
    fn a_header_is_not_believed() {
        let giant = images_file(u32::MAX, u32::MAX, u32::MAX, &[0; 9]);
        assert!(matches!(images(&giant), Err(IdxError::TooLarge { .. })));
        let large = images_file(1000, 1000, 1000, &[0; 9]);
        assert!(matches!(
            images(&large),
            Err(IdxError::CutShort {
                expected: 1_000_000_016,
                found: 25
            })
        ));
        assert!(matches!(
            images(&images_file(5, 0, 28, &[])),
            Err(IdxError::Empty { .. })
        ));
        assert!(matches!(
            images(&images_file(0, 28, 28, &[])),
            Err(IdxError::Empty { .. })
        ));
    }

    #[test]
    fn a_gzip_bomb_is_read_only_as_far_as_its_header_promises() {
        let bomb = gzip(&images_file(1, 2, 2, &vec![0; 50_000_000]));
        assert_eq!(images(&bomb), Err(IdxError::TooLong { expected: 20 }));
    }
}
