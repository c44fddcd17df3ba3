//! Planes of a photograph, colours perhaps at half size.

use crate::resample::Columns;

/// A part of an image as it is coded: brightness alone, or brightness, blue and red.
pub(crate) struct Planes {
    /// One plane or three.
    pub planes: Vec<Plane>,
}

/// A part of one plane.
pub(crate) struct Plane {
    /// Columns of `stride` samples.
    pub samples: Vec<u8>,
    /// Samples from the top of a column to that of the next.
    pub stride: usize,
    /// Columns that belong to the image.
    pub width: usize,
    /// Samples of a column that belong to the image.
    pub height: usize,
    /// Columns of the whole plane to the left of this part.
    pub left: usize,
    /// Rows of the whole plane above this part.
    pub top: usize,
    /// Pixels of the image that a sample is as wide as: 1 or 2.
    pub wide: usize,
    /// Pixels of the image that a sample is as high as: 1 or 2.
    pub high: usize,
}

impl Plane {
    /// The samples that belong to the image.
    pub fn columns(&self) -> Columns<'_> {
        Columns {
            samples: &self.samples,
            stride: self.stride,
            size: [self.width, self.height],
        }
    }
}
