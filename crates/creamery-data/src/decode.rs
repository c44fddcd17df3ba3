//! JPEG and PNG to 8-bit colour.
//!
//! The format is told by the first bytes, never by the file's name: data sets from the web are full of
//! PNG files called `.jpg`. Grey images become colour by repetition, palettes and fewer bits are
//! expanded, 16 bits keep their high byte, alpha is dropped. An orientation in EXIF is not applied.

use std::io::Cursor;

use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::image::Image;

/// The longest side of an image that is decoded.
pub const MAX_SIDE: usize = 16_384;
/// The most pixels of an image that is decoded: a header that announces more is taken for damage.
pub const MAX_PIXELS: usize = 64 << 20;
/// The largest image file that is read, in bytes.
pub const MAX_FILE_BYTES: u64 = 1 << 30;
/// Bytes from a file's start that tell its format.
pub(crate) const SIGNATURE_BYTES: usize = 8;

const JPEG_SIGNATURE: [u8; 3] = [0xff, 0xd8, 0xff];
const PNG_SIGNATURE: [u8; 8] = *b"\x89PNG\r\n\x1a\n";

/// Why a file cannot be used as an image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// A folder, pipe or device where an image belongs.
    #[error("not a file")]
    NotAFile,

    /// The system refused to read the file.
    #[error("cannot be read ({0})")]
    Unreadable(std::io::Error),

    /// No bytes at all.
    #[error("an empty file")]
    Empty,

    /// Neither JPEG nor PNG.
    #[error("neither a JPEG nor a PNG image")]
    Unknown,

    /// More bytes than [`MAX_FILE_BYTES`].
    #[error("{bytes} bytes, more than the {MAX_FILE_BYTES} that are read")]
    LargeFile {
        /// The file's size.
        bytes: u64,
    },

    /// Beyond [`MAX_SIDE`] or [`MAX_PIXELS`].
    #[error(
        "its header announces {width}x{height} pixels, more than the {MAX_SIDE} a side or {MAX_PIXELS} in all that are decoded"
    )]
    TooLarge {
        /// Width in pixels.
        width: usize,
        /// Height in pixels.
        height: usize,
    },

    /// A JPEG file that ends before its image does.
    #[error("a JPEG image cut short after {bytes} bytes")]
    CutShort {
        /// The file's size.
        bytes: usize,
    },

    /// The JPEG decoder gave up.
    #[error("a damaged JPEG image ({0})")]
    Jpeg(String),

    /// The PNG decoder gave up.
    #[error("a damaged PNG image ({0})")]
    Png(String),
}

/// An image format that can be decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Jpeg,
    Png,
}

/// The format of a file by its first [`SIGNATURE_BYTES`] bytes.
pub(crate) fn sniff(start: &[u8]) -> Result<Format, ImageError> {
    if start.is_empty() {
        Err(ImageError::Empty)
    } else if start.starts_with(&JPEG_SIGNATURE) {
        Ok(Format::Jpeg)
    } else if start.starts_with(&PNG_SIGNATURE) {
        Ok(Format::Png)
    } else {
        Err(ImageError::Unknown)
    }
}

/// Decodes a whole JPEG or PNG file to three channels.
pub(crate) fn decode(file: &[u8]) -> Result<Image, ImageError> {
    match sniff(file)? {
        Format::Jpeg => decode_jpeg(file),
        Format::Png => decode_png(file),
    }
}

fn check_size(width: usize, height: usize) -> Result<(), ImageError> {
    if width > MAX_SIDE || height > MAX_SIDE || width * height > MAX_PIXELS {
        Err(ImageError::TooLarge { width, height })
    } else {
        Ok(())
    }
}

fn decode_jpeg(file: &[u8]) -> Result<Image, ImageError> {
    let damaged =
        |error: zune_jpeg::errors::DecodeErrors| ImageError::Jpeg(one_line(&error.to_string()));
    // The decoder paints what is missing grey and calls that a success.
    if !has_end_of_image(file) {
        return Err(ImageError::CutShort { bytes: file.len() });
    }
    let options = DecoderOptions::default()
        .set_max_width(usize::from(u16::MAX))
        .set_max_height(usize::from(u16::MAX))
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(file), options);
    decoder.decode_headers().map_err(damaged)?;
    let (width, height) = decoder
        .dimensions()
        .ok_or_else(|| ImageError::Jpeg("no image in it".to_owned()))?;
    check_size(width, height)?;
    let pixels = decoder.decode().map_err(damaged)?;
    if pixels.len() != width * height * 3 {
        return Err(ImageError::Jpeg(format!(
            "{} samples for {width}x{height} pixels",
            pixels.len()
        )));
    }
    Ok(Image {
        width,
        height,
        channels: 3,
        pixels,
    })
}

/// Whether the segments of a JPEG file lead to its end-of-image marker.
///
/// Segments are stepped over by their length, so that a thumbnail's own end inside one does not count;
/// entropy-coded data escapes its 0xff bytes, so that any marker found in it is a real one.
fn has_end_of_image(file: &[u8]) -> bool {
    let mut at = 2;
    while let Some(found) = file
        .get(at..)
        .and_then(|rest| rest.iter().position(|&byte| byte == 0xff))
    {
        at += found + 1;
        match file.get(at) {
            None => return false,
            Some(0xd9) => return true,
            // A fill byte: the marker may still follow it.
            Some(0xff) => {}
            // An escaped 0xff, a restart or another marker without a segment.
            Some(0x00 | 0x01 | 0xd0..=0xd8) => at += 1,
            Some(_) => match file.get(at + 1..at + 3) {
                Some(&[high, low]) => at += 1 + usize::from(u16::from_be_bytes([high, low])),
                _ => return false,
            },
        }
    }
    false
}

fn decode_png(file: &[u8]) -> Result<Image, ImageError> {
    let damaged = |error: png::DecodingError| ImageError::Png(one_line(&error.to_string()));
    let mut decoder = png::Decoder::new(Cursor::new(file));
    decoder.set_transformations(png::Transformations::normalize_to_color8());
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let header = decoder.read_header_info().map_err(damaged)?;
    let (width, height) = (header.width as usize, header.height as usize);
    check_size(width, height)?;
    let mut reader = decoder.read_info().map_err(damaged)?;
    let bytes = reader
        .output_buffer_size()
        .ok_or(ImageError::TooLarge { width, height })?;
    let mut samples = vec![0; bytes];
    let frame = reader.next_frame(&mut samples).map_err(damaged)?;
    samples.truncate(frame.buffer_size());
    if (frame.width as usize, frame.height as usize) != (width, height) {
        return Err(ImageError::Png(
            "its first frame does not cover the image".to_owned(),
        ));
    }
    let pixels = match frame.color_type {
        png::ColorType::Rgb => samples,
        png::ColorType::Rgba => samples
            .chunks_exact(4)
            .flat_map(|p| [p[0], p[1], p[2]])
            .collect(),
        png::ColorType::Grayscale => samples.iter().flat_map(|&grey| [grey; 3]).collect(),
        png::ColorType::GrayscaleAlpha => samples.chunks_exact(2).flat_map(|p| [p[0]; 3]).collect(),
        png::ColorType::Indexed => {
            return Err(ImageError::Png("its palette is missing".to_owned()));
        }
    };
    Ok(Image {
        width,
        height,
        channels: 3,
        pixels,
    })
}

/// A decoder's message fitted for the middle of ours.
fn one_line(message: &str) -> String {
    message
        .split_whitespace()
        .collect::<Vec<_>>()
        .join(" ")
        .trim_matches('"')
        .to_owned()
}
