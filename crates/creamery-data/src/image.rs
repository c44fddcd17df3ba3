//! One picture in memory.

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
