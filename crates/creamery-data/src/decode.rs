//! JPEG and PNG to 8-bit colour.
//!
//! The format is told by the first bytes, never by the file's name: data sets from the web are full of
//! PNG files called `.jpg`. Grey images become colour by repetition, palettes and fewer bits are
//! expanded, 16 bits keep their high byte, alpha is dropped. An orientation in EXIF is not applied.

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

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

    /// The resizer gave up.
    #[error("an image that cannot be resized ({0})")]
    Resize(String),

    /// The PNG decoder gave up.
    #[error("a damaged PNG image ({0})")]
    Png(String),

    /// A sample or row has no image in it.
    #[error("no image in it")]
    Missing,

    /// A sample or row has no label, or one that names no class.
    #[error("{0}")]
    Label(String),

    /// The file that the image is a part of is damaged.
    #[error("{0}")]
    Container(String),
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

/// Refuses a file that does not begin like an image.
pub(crate) fn check_start(file: io::Result<File>) -> Result<(), ImageError> {
    let mut start = Vec::with_capacity(SIGNATURE_BYTES);
    file.and_then(|file| file.take(SIGNATURE_BYTES as u64).read_to_end(&mut start))
        .map_err(ImageError::Unreadable)?;
    sniff(&start).map(|_| ())
}

/// Reads and decodes an image file to three channels.
pub(crate) fn read(path: &Path) -> Result<Image, ImageError> {
    decode(&std::fs::read(path).map_err(ImageError::Unreadable)?)
}

/// Decodes a whole JPEG or PNG file to three channels.
pub(crate) fn decode(file: &[u8]) -> Result<Image, ImageError> {
    match sniff(file)? {
        Format::Jpeg => decode_jpeg(file),
        Format::Png => decode_png(file),
    }
}

/// Refuses what no photograph is, before memory is taken for it.
pub(crate) fn check_size(width: usize, height: usize) -> Result<(), ImageError> {
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

#[cfg(test)]
mod tests {
    use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
    use proptest::prelude::*;

    use super::*;

    /// A smooth picture, which JPEG keeps nearly as it is.
    fn gradient(width: usize, height: usize, channels: usize) -> Vec<u8> {
        (0..width * height * channels)
            .map(|i| {
                let (x, y, c) = (i / channels % width, i / channels / width, i % channels);
                (30 + x * 120 / width + y * 60 / height + c * 20) as u8
            })
            .collect()
    }

    fn jpeg(width: usize, height: usize, color: ColorType, progressive: bool) -> Vec<u8> {
        sampled_jpeg(width, height, color, progressive, SamplingFactor::F_1_1)
    }

    fn sampled_jpeg(
        width: usize,
        height: usize,
        color: ColorType,
        progressive: bool,
        sampling: SamplingFactor,
    ) -> Vec<u8> {
        let channels = if color == ColorType::Luma { 1 } else { 3 };
        let mut file = Vec::new();
        let mut encoder = Encoder::new(&mut file, 95);
        encoder.set_progressive(progressive);
        encoder.set_sampling_factor(sampling);
        let pixels = gradient(width, height, channels);
        encoder
            .encode(&pixels, width as u16, height as u16, color)
            .unwrap();
        file
    }

    fn png(width: u32, color: png::ColorType, depth: png::BitDepth, data: &[u8]) -> Vec<u8> {
        let row = color.samples() * width as usize * depth as usize / 8;
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, width, (data.len() / row) as u32);
        encoder.set_color(color);
        encoder.set_depth(depth);
        if color == png::ColorType::Indexed {
            encoder.set_palette(vec![1, 2, 3, 10, 20, 30, 100, 110, 120, 255, 254, 253]);
            encoder.set_trns(vec![0, 128, 255, 255]);
        }
        encoder
            .write_header()
            .unwrap()
            .write_image_data(data)
            .unwrap();
        file
    }

    #[test]
    fn png_of_every_kind_becomes_colour() {
        use png::BitDepth::{Eight, Four, One, Sixteen, Two};
        use png::ColorType::{Grayscale, GrayscaleAlpha, Indexed, Rgb, Rgba};
        for (color, depth, data, wanted) in [
            (Rgb, Eight, &[1, 2, 3, 4, 5, 6][..], [1, 2, 3, 4, 5, 6]),
            (Rgba, Eight, &[1, 2, 3, 0, 4, 5, 6, 128], [1, 2, 3, 4, 5, 6]),
            (Grayscale, Eight, &[7, 9], [7, 7, 7, 9, 9, 9]),
            (GrayscaleAlpha, Eight, &[7, 0, 9, 255], [7, 7, 7, 9, 9, 9]),
            (Grayscale, Sixteen, &[7, 99, 9, 255], [7, 7, 7, 9, 9, 9]),
            (
                Rgb,
                Sixteen,
                &[1, 9, 2, 9, 3, 9, 4, 9, 5, 9, 6, 255],
                [1, 2, 3, 4, 5, 6],
            ),
            (Indexed, Eight, &[3, 1], [255, 254, 253, 10, 20, 30]),
        ] {
            let image = decode(&png(2, color, depth, data)).unwrap();
            assert_eq!((image.width, image.height, image.channels), (2, 1, 3));
            assert_eq!(image.pixels, wanted, "{color:?} {depth:?}");
        }
        // Fewer bits than a byte: eight pixels a row.
        for (color, depth, data, wanted) in [
            (Grayscale, One, &[0b1010_0000][..], [255, 0, 255, 0]),
            (Grayscale, Two, &[0b1101_1000, 0], [255, 85, 170, 0]),
            (Grayscale, Four, &[0xf0, 0x80, 0, 0], [255, 0, 136, 0]),
            (Indexed, Two, &[0b1101_1000, 0], [255, 10, 100, 1]),
        ] {
            let image = decode(&png(8, color, depth, data)).unwrap();
            let reds: Vec<u8> = image
                .pixels
                .chunks_exact(3)
                .map(|pixel| pixel[0])
                .take(4)
                .collect();
            assert_eq!(reds, wanted, "{color:?} {depth:?}");
        }
    }

    #[test]
    fn jpeg_of_every_kind_is_near_its_source() {
        for (width, height) in [(1, 1), (8, 8), (17, 9), (40, 33)] {
            for color in [ColorType::Rgb, ColorType::Luma] {
                for progressive in [false, true] {
                    let image = decode(&jpeg(width, height, color, progressive)).unwrap();
                    assert_eq!(
                        (image.width, image.height, image.channels),
                        (width, height, 3)
                    );
                    let channels = if color == ColorType::Luma { 1 } else { 3 };
                    let source = gradient(width, height, channels);
                    for (pixel, found) in image.pixels.chunks_exact(3).enumerate() {
                        for (c, found) in found.iter().enumerate() {
                            let wanted = source[pixel * channels + c % channels];
                            let off = found.abs_diff(wanted);
                            assert!(off <= 6, "{width}x{height} {color:?}: off by {off}");
                        }
                    }
                }
            }
        }
    }

    /// Amounts of ink, stored inverted as Adobe's programs do: some photographs of ImageNet are such.
    /// What is left of white is `(255 - ink) * (255 - black) / 255`.
    #[test]
    fn jpeg_in_cmyk_becomes_colour() {
        let mut file = Vec::new();
        let ink = [200, 100, 50, 128].repeat(64);
        Encoder::new(&mut file, 95)
            .encode(&ink, 8, 8, ColorType::Cmyk)
            .unwrap();
        for pixel in decode(&file).unwrap().pixels.chunks_exact(3) {
            for (found, wanted) in pixel.iter().zip([27, 77, 102]) {
                assert!(found.abs_diff(wanted) <= 3, "{pixel:?}");
            }
        }
    }

    #[test]
    fn what_is_no_image_is_told_apart() {
        assert!(matches!(decode(b""), Err(ImageError::Empty)));
        assert!(matches!(decode(b"GIF89a......"), Err(ImageError::Unknown)));
        assert!(matches!(decode(b"\x89PNG"), Err(ImageError::Unknown)));
        assert!(matches!(decode(&PNG_SIGNATURE), Err(ImageError::Png(_))));
        assert!(matches!(
            decode(&[0xff, 0xd8, 0xff, 0xe0]),
            Err(ImageError::CutShort { bytes: 4 })
        ));
    }

    #[test]
    fn every_cut_is_an_error() {
        let images = [
            jpeg(24, 24, ColorType::Rgb, false),
            jpeg(24, 24, ColorType::Luma, true),
            png(
                8,
                png::ColorType::Rgb,
                png::BitDepth::Eight,
                &gradient(8, 8, 3),
            ),
        ];
        for whole in images {
            // The last chunk of a PNG file says nothing: what comes before it is the whole image.
            let needed = if whole[0] == 0x89 {
                whole.len() - 12
            } else {
                whole.len()
            };
            for length in 0..needed {
                assert!(
                    decode(&whole[..length]).is_err(),
                    "{length} of {}",
                    whole.len()
                );
            }
        }
    }

    #[test]
    fn the_end_of_a_thumbnail_is_not_the_end_of_the_image() {
        let whole = jpeg(16, 16, ColorType::Rgb, false);
        let mut with_thumbnail = whole[..2].to_vec();
        with_thumbnail.extend([0xff, 0xe5, 0, 8, 0xff, 0xd8, 0xff, 0xd9, 0xff, 0xd9]);
        with_thumbnail.extend(&whole[2..]);
        assert!(decode(&with_thumbnail).is_ok());
        let cut = &with_thumbnail[..with_thumbnail.len() - 2];
        assert!(matches!(decode(cut), Err(ImageError::CutShort { .. })));
    }

    #[test]
    fn absurd_sizes_are_refused_before_anything_is_allocated() {
        let with_size = |width: u32, height: u32| {
            let mut file = png(1, png::ColorType::Rgb, png::BitDepth::Eight, &[1, 2, 3]);
            file[16..20].copy_from_slice(&width.to_be_bytes());
            file[20..24].copy_from_slice(&height.to_be_bytes());
            let crc = crc32(&file[12..29]);
            file[29..33].copy_from_slice(&crc.to_be_bytes());
            file
        };
        for (width, height) in [
            (1 << 30, 1 << 30),
            (16_385, 1),
            (1, 16_385),
            (16_384, 16_384),
        ] {
            match decode(&with_size(width, height)) {
                Err(ImageError::TooLarge {
                    width: w,
                    height: h,
                }) => {
                    assert_eq!((w, h), (width as usize, height as usize));
                }
                other => panic!("{other:?}"),
            }
        }
        let mut file = jpeg(16, 16, ColorType::Rgb, false);
        let frame = file
            .windows(2)
            .position(|pair| pair == [0xff, 0xc0])
            .unwrap();
        file[frame + 5..frame + 9].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
        assert!(matches!(decode(&file), Err(ImageError::TooLarge { .. })));
    }

    fn crc32(bytes: &[u8]) -> u32 {
        let mut crc = flate2::Crc::new();
        crc.update(bytes);
        crc.sum()
    }

    proptest! {
        #[test]
        fn damage_never_panics(
            kind in 0usize..6,
            damage in prop::collection::vec((0.0f64..1.0, any::<u8>()), 1..6),
        ) {
            let mut file = match kind {
                0 => jpeg(24, 17, ColorType::Rgb, false),
                1 => jpeg(24, 17, ColorType::Rgb, true),
                2 => jpeg(9, 9, ColorType::Luma, false),
                3 => sampled_jpeg(40, 17, ColorType::Rgb, false, SamplingFactor::F_2_2),
                4 => sampled_jpeg(40, 17, ColorType::Rgb, true, SamplingFactor::F_2_1),
                _ => png(8, png::ColorType::Indexed, png::BitDepth::Two, &[0x1b; 16]),
            };
            for (place, byte) in damage {
                let at = (place * file.len() as f64) as usize;
                file[at] = byte;
            }
            if let Ok(image) = decode(&file) {
                prop_assert_eq!(image.pixels.len(), image.width * image.height * 3);
            }
        }

        #[test]
        fn noise_after_a_signature_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..300), jpeg: bool) {
            let signature: &[u8] = if jpeg { &JPEG_SIGNATURE } else { &PNG_SIGNATURE };
            let _ = decode(&[signature, &bytes].concat());
        }
    }
}
