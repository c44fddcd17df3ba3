//! What images are kept in: read one by one, in any order, by several threads at once.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};

use crate::decode::{self, ImageError};
use crate::image::Image;

/// Where an image lies, as errors name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagePlace {
    /// The image's file, or the file that it is a part of.
    pub path: PathBuf,
    /// Where in that file, such as `cat/0001.jpg` or `row 17`.
    pub within: Option<String>,
}

impl ImagePlace {
    /// A file that is an image.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            within: None,
        }
    }

    /// A part of a file.
    pub fn within(path: impl Into<PathBuf>, within: impl fmt::Display) -> Self {
        Self {
            path: path.into(),
            within: Some(within.to_string()),
        }
    }
}

impl fmt::Display for ImagePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        match &self.within {
            Some(within) => write!(f, ": {within}"),
            None => Ok(()),
        }
    }
}

/// An image that cannot be used and was left out.
#[derive(Debug)]
pub struct SkippedImage {
    /// Where it lies.
    pub place: ImagePlace,
    /// What is wrong with it.
    pub fault: ImageError,
}

/// An image as its store holds it.
pub(crate) enum Stored<'a> {
    /// Samples, rows from the top, channels innermost.
    Pixels {
        width: usize,
        height: usize,
        channels: usize,
        pixels: &'a [u8],
    },
    /// The bytes of an image file.
    File(Cow<'a, [u8]>),
}

impl Stored<'_> {
    /// The decoded picture.
    pub fn decode(&self) -> Result<Image, ImageError> {
        match *self {
            Self::Pixels {
                width,
                height,
                channels,
                pixels,
            } => Ok(Image {
                width,
                height,
                channels,
                pixels: pixels.to_vec(),
            }),
            Self::File(ref bytes) => decode::decode(bytes),
        }
    }
}

/// Images with a number each, from 0.
pub(crate) trait Store: Send + Sync {
    /// Image `index` as it is stored.
    fn read(&self, index: usize) -> Result<Stored<'_>, ImageError>;

    /// What can be said of image `index` without reading all of it.
    fn check(&self, index: usize) -> Result<(), ImageError>;

    /// Where image `index` lies.
    fn place(&self, index: usize) -> ImagePlace;

    /// Feeds what tells image `index` from others to `hasher`.
    fn identify(&self, index: usize, hasher: &mut blake3::Hasher);

    /// The number of the piece of storage that image `index` lies in, which is quickest read from its start to its end. It
    /// does not fall as `index` rises.
    fn shard(&self, index: usize) -> u32;

    /// Samples per pixel of every image.
    fn channels(&self) -> usize {
        3
    }

    /// Height and width of every image, where all are known to have the same.
    fn native_size(&self) -> Option<(usize, usize)> {
        None
    }

    /// Whether reading an image costs next to nothing.
    fn is_decoded(&self) -> bool {
        false
    }
}

/// Images in one shard, where a store has no pieces of its own: about as many as lie side by side.
pub(crate) const SHARD: usize = 256;

/// Images in memory, all of one size.
pub(crate) struct Memory {
    pub height: usize,
    pub width: usize,
    pub channels: usize,
    pub pixels: Vec<u8>,
}

impl Memory {
    fn pixels(&self, index: usize) -> &[u8] {
        let size = self.height * self.width * self.channels;
        &self.pixels[index * size..(index + 1) * size]
    }
}

impl Store for Memory {
    fn read(&self, index: usize) -> Result<Stored<'_>, ImageError> {
        Ok(Stored::Pixels {
            width: self.width,
            height: self.height,
            channels: self.channels,
            pixels: self.pixels(index),
        })
    }

    fn check(&self, _index: usize) -> Result<(), ImageError> {
        Ok(())
    }

    fn place(&self, index: usize) -> ImagePlace {
        ImagePlace::file(format!("image {index} in memory"))
    }

    fn identify(&self, index: usize, hasher: &mut blake3::Hasher) {
        hasher.update(self.pixels(index));
    }

    fn shard(&self, index: usize) -> u32 {
        (index / SHARD) as u32
    }

    fn channels(&self) -> usize {
        self.channels
    }

    fn native_size(&self) -> Option<(usize, usize)> {
        Some((self.height, self.width))
    }

    fn is_decoded(&self) -> bool {
        true
    }
}

/// An image file of a folder, and its size in bytes.
#[derive(Clone, Debug)]
pub(crate) struct ImageFile {
    pub path: PathBuf,
    pub bytes: u64,
}

/// Image files.
pub(crate) struct Files(pub Vec<ImageFile>);

impl Files {
    fn path(&self, index: usize) -> &Path {
        &self.0[index].path
    }
}

impl Store for Files {
    fn read(&self, index: usize) -> Result<Stored<'_>, ImageError> {
        let bytes = std::fs::read(self.path(index)).map_err(ImageError::Unreadable)?;
        Ok(Stored::File(Cow::Owned(bytes)))
    }

    fn check(&self, index: usize) -> Result<(), ImageError> {
        decode::check_start(std::fs::File::open(self.path(index)))
    }

    fn place(&self, index: usize) -> ImagePlace {
        ImagePlace::file(self.path(index))
    }

    fn identify(&self, index: usize, hasher: &mut blake3::Hasher) {
        let file = &self.0[index];
        let name = file.path.file_name().unwrap_or_default();
        hasher.update(&(name.len() as u64).to_le_bytes());
        hasher.update(name.as_encoded_bytes());
        hasher.update(&file.bytes.to_le_bytes());
    }

    fn shard(&self, index: usize) -> u32 {
        (index / SHARD) as u32
    }
}
