//! Writing packed files.

use std::fs::{self, File};
use std::io::{BufWriter, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use jpeg_encoder::{ColorType, Encoder, EncodingError, SamplingFactor};

use crate::ahead::Ahead;
use crate::dataset::DataSet;
use crate::decode::{self, Format};
use crate::error::DataError;
use crate::image::Image;
use crate::packed::{About, CHECKED, Entry, HEADER, MAGIC, PackFormat, VERSION, checksum, crc};
use crate::split::Split;
use crate::store::Stored;
use crate::window::{resize_whole, resized_size};

/// How a data set is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackOptions {
    /// How images are kept.
    pub format: PackFormat,
    /// Images whose shorter side is longer are resized to it, antialiased; `None` leaves all as they are.
    pub shorter_side: Option<usize>,
    /// Quality of JPEG, 1 to 100. A JPEG file that needs no resizing is kept as it is.
    pub quality: u8,
    /// Threads that read, decode and resize.
    pub threads: usize,
}

impl Default for PackOptions {
    fn default() -> Self {
        Self {
            format: PackFormat::Raw,
            shorter_side: None,
            quality: 90,
            threads: 1,
        }
    }
}

/// Why a data set cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The data set cannot be read.
    #[error(transparent)]
    Data(#[from] DataError),

    /// The file cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },

    /// Images of one channel would come back from JPEG with three.
    #[error("grey images are packed raw: leave --format jpeg out")]
    GreyJpeg,

    /// A quality that JPEG does not have.
    #[error("a JPEG quality of {0} is not within 1 to 100")]
    Quality(u8),

    /// A side that images cannot be resized to.
    #[error("a shorter side of {0} px is not within 1 to {max}", max = decode::MAX_SIDE)]
    ShorterSide(usize),

    /// It was asked to stop.
    #[error("stopped; nothing was written")]
    Stopped,
}

/// An image as it is written.
struct Ready {
    entry: Entry,
    bytes: Vec<u8>,
}

/// Writes all images of a data set into one file, under another name at first, so that a file of this name is always whole.
///
/// `tell` is called with the number of images done, and says whether to go on.
///
/// # Errors
/// [`PackError`]; nothing is left behind.
pub fn pack(
    data: &DataSet,
    path: &Path,
    options: &PackOptions,
    mut tell: impl FnMut(usize) -> bool,
) -> Result<(), PackError> {
    if data.channels == 1 && options.format == PackFormat::Jpeg {
        return Err(PackError::GreyJpeg);
    }
    if !(1..=100).contains(&options.quality) {
        return Err(PackError::Quality(options.quality));
    }
    if let Some(side) = options
        .shorter_side
        .filter(|side| !(1..=decode::MAX_SIDE).contains(side))
    {
        return Err(PackError::ShorterSide(side));
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}.unfinished", std::process::id()));
    let unfinished = path.with_file_name(name);
    let written = write(data, &unfinished, options, &mut tell).and_then(|()| {
        fs::rename(&unfinished, path).map_err(|source| PackError::Write {
            path: path.to_owned(),
            source,
        })
    });
    if written.is_err() {
        // What is wrong has a name already; a file that was never made cannot be removed.
        let _ = fs::remove_file(&unfinished);
    }
    written
}

fn write(
    data: &DataSet,
    path: &Path,
    options: &PackOptions,
    tell: &mut impl FnMut(usize) -> bool,
) -> Result<(), PackError> {
    let io = |source| PackError::Write {
        path: path.to_owned(),
        source,
    };
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).map_err(io)?);
    file.write_all(&[0; HEADER]).map_err(io)?;
    let mut at = HEADER as u64;
    let about = About {
        source: data.name.clone(),
        fingerprint: data.fingerprint(),
        format: options.format,
        channels: data.channels,
        shorter_side: options.shorter_side,
        classes: data.classes.clone(),
        train: data.train.len(),
        test: data.test.len(),
        one_size: data.height.is_some(),
        crop_padding: data.augment.crop_padding,
        flip: data.augment.flip,
    };
    let json = serde_json::to_vec(&about).map_err(|error| io(error.into()))?;
    let mut tail = (json.len() as u64).to_le_bytes().to_vec();
    tail.extend(json);
    let mut done = 0;
    for split in [&data.train, &data.test] {
        for ready in Images::start(split, options)? {
            let Ready { entry, bytes } = ready?;
            file.write_all(&bytes).map_err(io)?;
            at += bytes.len() as u64;
            tail.extend(entry.to_bytes());
            done += 1;
            if !tell(done) {
                return Err(PackError::Stopped);
            }
        }
    }
    file.write_all(&tail).map_err(io)?;
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(&MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[12..20].copy_from_slice(&at.to_le_bytes());
    header[20..CHECKED].copy_from_slice(&(tail.len() as u64).to_le_bytes());
    let sum = checksum(&header, &tail);
    header[CHECKED..].copy_from_slice(&sum);
    file.seek(SeekFrom::Start(0)).map_err(io)?;
    file.write_all(&header).map_err(io)?;
    let file = file.into_inner().map_err(|error| io(error.into_error()))?;
    file.sync_all().map_err(io)
}

/// The images of a split, made ready by threads, in its order.
struct Images(Ahead<Result<Ready, DataError>>);

impl Images {
    fn start(split: &Split, options: &PackOptions) -> Result<Self, DataError> {
        let (split, options) = (split.clone(), *options);
        let ahead = Ahead::start(options.threads, 8 * options.threads, || {
            let split = split.clone();
            Box::new(move |index| {
                let index = index as usize;
                (index < split.len()).then(|| make(&split, index, &options))
            })
        })?;
        Ok(Self(ahead))
    }
}

impl Iterator for Images {
    type Item = Result<Ready, DataError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next().map(|ready| ready.and_then(|ready| ready))
    }
}

fn make(split: &Split, index: usize, options: &PackOptions) -> Result<Ready, DataError> {
    let stored = split.stored(index)?;
    let bad = |fault| match split.place(index) {
        Ok(place) => DataError::Image { place, fault },
        Err(error) => error,
    };
    let mut image = stored.decode().map_err(bad)?;
    let mut same = true;
    if let Some(side) = options
        .shorter_side
        .filter(|side| image.width.min(image.height) > *side)
    {
        let (width, height) = resized_size(image.width, image.height, side);
        image = resize_whole(&image, (width, height)).map_err(bad)?;
        same = false;
    }
    let (width, height) = (image.width as u16, image.height as u16);
    let bytes = match (options.format, stored) {
        (PackFormat::Raw, _) => image.pixels,
        (PackFormat::Jpeg, Stored::File(bytes))
            if same && matches!(decode::sniff(&bytes), Ok(Format::Jpeg)) =>
        {
            bytes.into_owned()
        }
        (PackFormat::Jpeg, _) => encode(&image, options.quality)
            .map_err(|error| DataError::Pipeline(error.to_string()))?,
    };
    let length = u32::try_from(bytes.len());
    let entry = Entry {
        bytes: length.map_err(|_| DataError::Pipeline("an image of more than 4 GiB".to_owned()))?,
        label: split.label(index) as u32,
        width,
        height,
        crc: crc(&bytes),
    };
    Ok(Ready { entry, bytes })
}

fn encode(image: &Image, quality: u8) -> Result<Vec<u8>, EncodingError> {
    let mut file = Vec::new();
    let mut encoder = Encoder::new(&mut file, quality);
    // What photographs have, and decoders are quickest with.
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.encode(
        &image.pixels,
        image.width as u16,
        image.height as u16,
        ColorType::Rgb,
    )?;
    Ok(file)
}
