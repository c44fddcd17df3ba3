//! One picture in memory.

use crate::wide::{Work, wide};

/// One decoded picture: 8-bit samples, rows from the top, channels innermost (HWC).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// Samples per pixel: 1 (grey) or 3 (red, green, blue).
    pub channels: usize,
    /// `height * width * channels` samples; that of channel `c` at `(x, y)` lies at
    /// `(y * width + x) * channels + c`.
    pub pixels: Vec<u8>,
}

impl Image {
    /// The picture as a PNG file.
    ///
    /// # Errors
    /// Those of the encoder, of a picture without pixels.
    pub fn to_png(&self) -> Result<Vec<u8>, std::io::Error> {
        let mut file = Vec::new();
        let mut encoder = png::Encoder::new(&mut file, self.width as u32, self.height as u32);
        encoder.set_color(if self.channels == 1 {
            png::ColorType::Grayscale
        } else {
            png::ColorType::Rgb
        });
        encoder.set_depth(png::BitDepth::Eight);
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.pixels)?;
        writer.finish()?;
        Ok(file)
    }

    /// The picture's brightness, one sample per pixel: 0.299 red + 0.587 green + 0.114 blue, rounded (ITU-R BT.601,
    /// as PIL's mode `L` has it).
    pub(crate) fn to_grey(&self) -> Self {
        if self.channels == 1 {
            return self.clone();
        }
        let pixels = self.pixels.as_chunks().0;
        let mut grey = vec![0; pixels.len()];
        wide(Grey {
            pixels,
            grey: &mut grey,
        });
        Self {
            channels: 1,
            pixels: grey,
            ..*self
        }
    }
}

struct Grey<'a> {
    pixels: &'a [[u8; 3]],
    grey: &'a mut [u8],
}

impl Work for Grey<'_> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        for (pixel, grey) in self.pixels.iter().zip(self.grey) {
            *grey = brightness_of(*pixel);
        }
    }
}

/// 0.299 red + 0.587 green + 0.114 blue, rounded.
#[inline(always)]
pub(crate) fn brightness_of([red, green, blue]: [u8; 3]) -> u8 {
    // In 2^16ths, as integers; the weights sum up to 2^16, so white stays white.
    let sum = 19_595 * u32::from(red) + 38_470 * u32::from(green) + 7_471 * u32::from(blue);
    ((sum + 0x8000) >> 16) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_become_as_grey_as_they_are_bright() {
        let colours = [
            [255, 255, 255],
            [0, 0, 0],
            [77, 77, 77],
            [255, 0, 0],
            [0, 255, 0],
            [0, 0, 255],
            [10, 200, 30],
        ];
        let image = Image {
            width: colours.len(),
            height: 1,
            channels: 3,
            pixels: colours.concat(),
        };
        let grey = image.to_grey();
        // What PIL's `convert("L")` gives.
        assert_eq!(grey.pixels, [255, 0, 77, 76, 150, 29, 124]);
        assert_eq!(grey.to_grey(), grey);
    }
}
