//! A picture as it is stored, of which parts are taken at any size.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use fast_image_resize::images::{TypedImage, TypedImageRef};
use fast_image_resize::pixels::{InnerPixel, U8, U8x3};
use fast_image_resize::{FilterType, PixelTrait, ResizeAlg, ResizeOptions, Resizer};

use crate::decode::{self, ImageError};
use crate::image::Image;
use crate::jpeg::{Baseline, Plane, Planes};
use crate::resample::{Columns, resample};
use crate::sample::rounded;
use crate::store::Stored;
use crate::wide::{Work, wide};

/// How a picture is resized, antialiased as Pillow does it: the filter widens as the picture shrinks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Interpolation {
    /// A triangle, two pixels wide where nothing shrinks.
    #[default]
    Bilinear,
    /// Keys's cubic with coefficient -0.5, four pixels wide.
    Bicubic,
}

impl fmt::Display for Interpolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bilinear => "bilinear",
            Self::Bicubic => "bicubic",
        })
    }
}

impl FromStr for Interpolation {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "bilinear" => Ok(Self::Bilinear),
            "bicubic" => Ok(Self::Bicubic),
            _ => Err(format!(
                "`{text}` is no interpolation: give `bilinear` or `bicubic`"
            )),
        }
    }
}

impl Interpolation {
    /// Pixels that count to each side, where nothing shrinks.
    pub(crate) fn radius(self) -> f64 {
        match self {
            Self::Bilinear => 1.0,
            Self::Bicubic => 2.0,
        }
    }

    /// How much a pixel counts that lies `x` pixels away.
    pub(crate) fn weight(self, x: f64) -> f64 {
        /// As in Pillow and, but for its sign, in Keys (1981).
        const A: f64 = -0.5;
        let x = x.abs();
        match self {
            Self::Bilinear => (1.0 - x).max(0.0),
            Self::Bicubic if x < 1.0 => ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0,
            Self::Bicubic if x < 2.0 => (((x - 5.0) * x + 8.0) * x - 4.0) * A,
            Self::Bicubic => 0.0,
        }
    }
}

/// A part of a picture: left, top, width and height in pixels.
pub(crate) type Part = [f64; 4];

/// A picture that parts can be taken of.
pub(crate) struct Picture<'a> {
    kind: Kind<'a>,
}

enum Kind<'a> {
    /// Decoded.
    Pixels(Pixels<'a>),
    /// The headers, and the whole file.
    Photograph(Baseline<'a>, &'a [u8]),
}

/// Rows of pixels, channels innermost.
struct Pixels<'a> {
    width: usize,
    height: usize,
    channels: usize,
    samples: Cow<'a, [u8]>,
}

impl<'a> From<&'a Image> for Picture<'a> {
    fn from(image: &'a Image) -> Self {
        let kind = Kind::Pixels(Pixels {
            width: image.width,
            height: image.height,
            channels: image.channels,
            samples: Cow::Borrowed(&image.pixels),
        });
        Self { kind }
    }
}

impl From<Image> for Pixels<'_> {
    fn from(image: Image) -> Self {
        Self {
            width: image.width,
            height: image.height,
            channels: image.channels,
            samples: Cow::Owned(image.pixels),
        }
    }
}

impl<'a> Picture<'a> {
    /// A stored image, ready for parts to be taken of it. Only what parts cannot be decoded of is decoded here.
    ///
    /// # Errors
    /// If it is none, or a damaged one that has to be decoded as a whole.
    pub fn of(stored: &'a Stored) -> Result<Self, ImageError> {
        let kind = match *stored {
            Stored::Pixels {
                width,
                height,
                channels,
                pixels,
            } => {
                let samples = Cow::Borrowed(pixels);
                Kind::Pixels(Pixels {
                    width,
                    height,
                    channels,
                    samples,
                })
            }
            Stored::File(ref bytes) => match Baseline::parse(bytes) {
                Some(photograph) => {
                    decode::check_size(photograph.width, photograph.height)?;
                    Kind::Photograph(photograph, bytes)
                }
                None => Kind::Pixels(decode::decode(bytes)?.into()),
            },
        };
        Ok(Self { kind })
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (usize, usize) {
        match &self.kind {
            Kind::Pixels(image) => (image.width, image.height),
            Kind::Photograph(photograph, ..) => (photograph.width, photograph.height),
        }
    }

    /// Samples per pixel of what is taken: 1 or 3.
    pub fn channels(&self) -> usize {
        match &self.kind {
            Kind::Pixels(image) => image.channels,
            Kind::Photograph(..) => 3,
        }
    }

    /// A part of the picture, resized to `size` (width and height): rows of samples, channels innermost.
    ///
    /// As with Pillow's `resize(box=..)`, pixels around the part count as far as the filter reaches. Mirrored left to right if
    /// `flip`.
    ///
    /// # Errors
    /// If the picture is damaged.
    pub fn take(
        &self,
        part: Part,
        size: [usize; 2],
        filter: Interpolation,
        flip: bool,
    ) -> Result<Vec<u8>, ImageError> {
        match &self.kind {
            Kind::Pixels(image) => resize_image(image, part, size, filter, flip),
            Kind::Photograph(photograph, file) => {
                let [columns, rows] = [0, 1].map(|axis| {
                    // Colours are at half size at the most, where a filter reaches twice as far.
                    let scale = (part[axis + 2] / size[axis] as f64).max(2.0);
                    let margin = filter.radius() * scale + 1.0;
                    // Casts saturate.
                    (part[axis] - margin) as usize
                        ..(part[axis] + part[axis + 2] + margin).ceil() as usize
                });
                match photograph.planes(columns, rows) {
                    Some(planes) => Ok(resize_planes(&planes, part, size, filter, flip)),
                    None => {
                        let image = decode::decode(file)?.into();
                        resize_image(&image, part, size, filter, flip)
                    }
                }
            }
        }
    }

    /// The pixels of a picture that needs no decoding.
    pub fn pixels(&self) -> Option<&[u8]> {
        match &self.kind {
            Kind::Pixels(image) => Some(&image.samples),
            Kind::Photograph(..) => None,
        }
    }
}

fn resize_image(
    image: &Pixels,
    part: Part,
    size: [usize; 2],
    filter: Interpolation,
    flip: bool,
) -> Result<Vec<u8>, ImageError> {
    if filter == Interpolation::Bicubic {
        return Ok(bicubic(image, part, size, flip));
    }
    let mut out = if image.channels == 1 {
        bilinear::<U8>(image, part, size)
    } else {
        bilinear::<U8x3>(image, part, size)
    }?;
    if flip {
        mirror(&mut out, size[0], image.channels);
    }
    Ok(out)
}

/// Mirrors rows of `width` pixels.
pub(crate) fn mirror(pixels: &mut [u8], width: usize, channels: usize) {
    for row in pixels.chunks_exact_mut(width * channels) {
        if channels == 1 {
            row.reverse();
        } else {
            row.as_chunks_mut::<3>().0.reverse();
        }
    }
}

/// Resizes each plane by itself, so that colours at half size are never brought to full size, and makes red, green and blue of
/// what is left.
fn resize_planes(
    planes: &Planes,
    part: Part,
    size: [usize; 2],
    filter: Interpolation,
    flip: bool,
) -> Vec<u8> {
    // Both colours at once, whose sizes are the same.
    let (brightness, colours) = planes.planes.split_at(1);
    let mut resized = Vec::with_capacity(planes.planes.len());
    for alike in [brightness, colours] {
        let Some(plane) = alike.first() else { break };
        let [left, top, width, height] = part;
        let (wide, high) = (plane.wide as f64, plane.high as f64);
        let part = [
            left / wide - plane.left as f64,
            top / high - plane.top as f64,
            width / wide,
            height / high,
        ];
        let columns: Vec<Columns> = alike.iter().map(Plane::columns).collect();
        resized.extend(resample(&columns, part, size, filter, flip));
    }
    let mut out = vec![0; 3 * size[0] * size[1]];
    wide(Colours {
        planes: &resized,
        out: &mut out,
    });
    out
}

/// Red, green and blue of brightness and the two colour differences of JFIF (ITU-R BT.601, all of 0 to 255), or of brightness
/// alone.
struct Colours<'a> {
    planes: &'a [Vec<f32>],
    out: &'a mut [u8],
}

impl Work for Colours<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        /// Pixels at a time.
        const TILE: usize = 32;
        let sample = |value: f32| rounded(value.clamp(0.0, 255.0));
        let out = self.out.chunks_mut(3 * TILE).enumerate();
        let [brightness, blue, red] = self.planes else {
            for (pixel, &grey) in self.out.chunks_exact_mut(3).zip(&self.planes[0]) {
                pixel.fill(sample(grey) as u8);
            }
            return;
        };
        for (tile, out) in out {
            let mut pixels = [0u32; TILE];
            let samples = tile * TILE..brightness.len().min((tile + 1) * TILE);
            let planes = brightness[samples.clone()]
                .iter()
                .zip(&blue[samples.clone()])
                .zip(&red[samples]);
            for (((&y, &blue), &red), pixel) in planes.zip(&mut pixels) {
                // Planes are bounded before they are mixed, as they are where whole files are decoded.
                let y = y.clamp(0.0, 255.0);
                let (blue, red) = (
                    blue.clamp(0.0, 255.0) - 128.0,
                    red.clamp(0.0, 255.0) - 128.0,
                );
                let r = sample(y + 1.402 * red);
                let g = sample(y - 0.344_136_3 * blue - 0.714_136_3 * red);
                let b = sample(y + 1.772 * blue);
                *pixel = r | g << 8 | b << 16;
            }
            // Four bytes are written as fast as one, and the fourth is written again.
            let mut at = 0;
            for pixel in pixels {
                match out.get_mut(at..at + 4) {
                    Some(four) => four.copy_from_slice(&pixel.to_le_bytes()),
                    None => {
                        let rest = out.get_mut(at..).unwrap_or_default();
                        rest.copy_from_slice(&pixel.to_le_bytes()[..rest.len()]);
                    }
                }
                at += 3;
            }
        }
    }
}

/// The part of an image, resized to `size`, bilinear.
fn bilinear<P: PixelTrait + InnerPixel>(
    image: &Pixels,
    [left, top, width, height]: Part,
    size: [usize; 2],
) -> Result<Vec<u8>, ImageError> {
    let failed = |error: &dyn std::fmt::Display| {
        ImageError::Resize(format!(
            "{}x{} pixels to {}x{}: {error}",
            image.width, image.height, size[0], size[1]
        ))
    };
    let whole = [image.width as u32, image.height as u32];
    let source = TypedImageRef::<P>::from_buffer(whole[0], whole[1], &image.samples)
        .map_err(|error| failed(&error))?;
    let mut out = vec![0; size[0] * size[1] * P::size()];
    let mut target = TypedImage::<P>::from_buffer(size[0] as u32, size[1] as u32, &mut out)
        .map_err(|error| failed(&error))?;
    let options = ResizeOptions::new()
        .resize_alg(ResizeAlg::Convolution(FilterType::Bilinear))
        .crop(left, top, width, height);
    Resizer::new()
        .resize_typed(&source, &mut target, &options)
        .map_err(|error| failed(&error))?;
    Ok(out)
}

/// The part of an image, resized to `size`, bicubic.
///
/// A cubic exceeds what 8 bits hold and is cut off after each pass, so the order of passes counts; `fast_image_resize` has the
/// other one than Pillow.
fn bicubic(image: &Pixels, part: Part, size: [usize; 2], flip: bool) -> Vec<u8> {
    let filter = Interpolation::Bicubic;
    let lengths = [image.width, image.height];
    let [columns, rows] = [0, 1].map(|axis| {
        let reach = filter.radius() * (part[axis + 2] / size[axis] as f64).max(1.0) + 1.0;
        // Casts saturate.
        let end = (part[axis] + part[axis + 2] + reach).ceil() as usize;
        (part[axis] - reach) as usize..end.min(lengths[axis])
    });
    let channels = image.channels;
    let columns_of = |channel: usize| {
        let mut samples = Vec::with_capacity(columns.len() * rows.len());
        for x in columns.clone() {
            let at = |y: usize| image.samples[(y * image.width + x) * channels + channel];
            samples.extend(rows.clone().map(at));
        }
        samples
    };
    let planes: Vec<Vec<u8>> = (0..channels).map(columns_of).collect();
    let as_columns = |samples| Columns {
        samples,
        stride: rows.len(),
        size: [columns.len(), rows.len()],
    };
    let planes: Vec<Columns> = planes.iter().map(|plane| as_columns(plane)).collect();
    let [left, top, width, height] = part;
    let part = [
        left - columns.start as f64,
        top - rows.start as f64,
        width,
        height,
    ];
    let resized = resample(&planes, part, size, filter, flip);
    let mut out = vec![0; channels * size[0] * size[1]];
    for (channel, plane) in resized.iter().enumerate() {
        for (sample, &value) in out.iter_mut().skip(channel).step_by(channels).zip(plane) {
            *sample = rounded(value.clamp(0.0, 255.0)) as u8;
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn fixture() -> Value {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/resize.json");
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
    }

    fn bytes(hex: &Value) -> Vec<u8> {
        let digits = hex.as_str().unwrap().as_bytes().as_chunks::<2>().0;
        let digit = |c: u8| char::from(c).to_digit(16).unwrap() as u8;
        digits
            .iter()
            .map(|&[high, low]| 16 * digit(high) + digit(low))
            .collect()
    }

    fn numbers<const N: usize>(list: &Value) -> [usize; N] {
        std::array::from_fn(|i| list[i].as_u64().unwrap() as usize)
    }

    /// Left, top, width and height of a box that Pillow tells by its corners.
    fn part(corners: &Value) -> Part {
        let [left, top, right, bottom] = numbers(corners).map(|value| value as f64);
        [left, top, right - left, bottom - top]
    }

    fn image(case: &Value, channels: usize) -> Image {
        let side = |key: &str| case[key].as_u64().unwrap() as usize;
        Image {
            width: side("width"),
            height: side("height"),
            channels,
            pixels: bytes(&case["pixels"]),
        }
    }

    fn most_apart(found: &[u8], wanted: &[u8]) -> u8 {
        assert_eq!(found.len(), wanted.len());
        found
            .iter()
            .zip(wanted)
            .map(|(a, b)| a.abs_diff(*b))
            .max()
            .unwrap_or(0)
    }

    /// Smaller and larger, whole and in part, of odd sizes.
    #[test]
    fn resizing_is_pillows() {
        for case in fixture()["cases"].as_array().unwrap() {
            let image = image(case, case["channels"].as_u64().unwrap() as usize);
            let (part, size) = (part(&case["box"]), numbers(&case["size"]));
            for resized in case["resized"].as_array().unwrap() {
                let name = resized["filter"].as_str().unwrap();
                let taken = Picture::from(&image).take(part, size, name.parse().unwrap(), false);
                let off = most_apart(&taken.unwrap(), &bytes(&resized["pixels"]));
                assert!(
                    off <= 1,
                    "{}x{} to {size:?}, {name}: off by {off}",
                    image.width,
                    image.height
                );
            }
        }
    }

    /// And so are files. Pillow makes halved colours whole before it resizes, which blurs them more: edges of colours differ.
    #[test]
    fn photographs_are_read_and_resized_as_pillow_does() {
        for (i, case) in fixture()["jpeg"].as_array().unwrap().iter().enumerate() {
            let whole = image(case, 3);
            let stored = Stored::File(bytes(&case["file"]).into());
            let picture = Picture::of(&stored).unwrap();
            assert!(picture.pixels().is_none(), "left to the general decoder");
            let take = |part, size| {
                picture
                    .take(part, size, Interpolation::Bilinear, false)
                    .unwrap()
            };
            let all = [0.0, 0.0, whole.width as f64, whole.height as f64];
            let off = most_apart(&take(all, [whole.width, whole.height]), &whole.pixels);
            assert!(off <= 3, "off by {off}");
            let taken = take(part(&case["box"]), numbers(&case["size"]));
            let wanted = bytes(&case["resized"]);
            let off = most_apart(&taken, &wanted);
            assert!(off <= if i == 0 { 2 } else { 6 }, "resized: off by {off}");
            let apart = taken
                .iter()
                .zip(&wanted)
                .map(|(a, b)| f64::from(a.abs_diff(*b)));
            let mean = apart.sum::<f64>() / taken.len() as f64;
            assert!(mean < 0.8, "resized: off by {mean} in the mean");
        }
    }

    #[test]
    fn interpolations_are_known_by_name() {
        for filter in [Interpolation::Bilinear, Interpolation::Bicubic] {
            assert_eq!(filter.to_string().parse(), Ok(filter));
        }
        assert!(
            "lanczos"
                .parse::<Interpolation>()
                .unwrap_err()
                .contains("bicubic")
        );
    }

    #[test]
    fn both_resizers_are_alike() {
        let image = image(&fixture()["cases"][0], 3);
        let columns: Vec<u8> = (0..image.width)
            .flat_map(|x| (0..image.height).map(move |y| (y, x)))
            .map(|(y, x)| image.pixels[(y * image.width + x) * 3])
            .collect();
        let plane = Columns {
            samples: &columns,
            stride: image.height,
            size: [image.width, image.height],
        };
        for filter in [Interpolation::Bilinear, Interpolation::Bicubic] {
            for (part, size) in [
                ([3.0, 2.0, 20.5, 17.0], [9, 30]),
                ([0.0, 0.0, 31.0, 23.0], [12, 5]),
            ] {
                for flip in [false, true] {
                    let taken = Picture::from(&image)
                        .take(part, size, filter, flip)
                        .unwrap();
                    let own = &resample(&[plane], part, size, filter, flip)[0];
                    for (found, wanted) in own.iter().zip(taken.iter().step_by(3)) {
                        let found = found.clamp(0.0, 255.0);
                        assert!(
                            (found - f32::from(*wanted)).abs() <= 1.6,
                            "{found}, not {wanted}"
                        );
                    }
                }
            }
        }
    }
}
