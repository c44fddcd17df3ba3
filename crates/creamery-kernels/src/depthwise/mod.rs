//! Depthwise convolutions, 16 channels at a time.
//!
//! A task copies the images it works on into a scratch map that is padded with zeros at the left and the
//! right of each row (activating them on the way), so that the inner loops know no borders. Rows outside
//! the image are left out instead of padded: on the small maps at the end of a network most are.
//!
//! Where a kernel is larger than its image, columns of it that never meet the image are cropped on both
//! sides: on a map of 1 x 1 every kernel is one tap.

mod band;
mod forward;
mod input;
mod row;
mod weight;

pub(crate) use band::{Band, Rows};
pub(crate) use forward::Forward;
pub(crate) use input::{InputGrad, InputPlan};
pub(crate) use weight::WeightGrad;

use crate::error::KernelError;
use crate::simd::LANES;

/// Floats of scratch up to which images are worked on together: half of the smallest first-level cache.
const SCRATCH: usize = 1 << 13;

/// The shape of a depthwise convolution with padding `kernel / 2`.
#[derive(Clone, Debug)]
pub(crate) struct Window {
    /// Rows and columns of the input.
    pub(crate) height: usize,
    pub(crate) width: usize,
    /// Rows and columns of the output.
    pub(crate) out_height: usize,
    pub(crate) out_width: usize,
    /// Taps in each direction: 1, 3, 5 or 7.
    pub(crate) kernel: usize,
    /// 1 or 2.
    pub(crate) stride: usize,
    /// Rows and columns of the kernel that never meet the image, on either side.
    pub(crate) crop_rows: usize,
    pub(crate) crop_columns: usize,
}

impl Window {
    /// The window of an image of `height` by `width`.
    ///
    /// # Errors
    /// [`KernelError::Unsupported`] if kernel or stride are none of those above.
    pub(crate) fn new(
        height: usize,
        width: usize,
        kernel: usize,
        stride: usize,
    ) -> Result<Self, KernelError> {
        if !matches!(kernel, 1 | 3 | 5 | 7) {
            return Err(KernelError::Unsupported {
                what: "kernel",
                found: kernel,
                allowed: "1, 3, 5 or 7",
            });
        }
        if !matches!(stride, 1 | 2) {
            return Err(KernelError::Unsupported {
                what: "stride",
                found: stride,
                allowed: "1 or 2",
            });
        }
        let (out_height, out_width) = (height.div_ceil(stride), width.div_ceil(stride));
        let pad = kernel / 2;
        // The first tap that any output can use and the last one, as far as both sides agree.
        let crop = |size: usize, out: usize| {
            let first = pad.saturating_sub((out - 1) * stride);
            let last = (kernel - 1).min(size - 1 + pad);
            first.min(kernel - 1 - last)
        };
        let (crop_rows, crop_columns) = (crop(height, out_height), crop(width, out_width));
        Ok(Self {
            height,
            width,
            out_height,
            out_width,
            kernel,
            stride,
            crop_rows,
            crop_columns,
        })
    }

    /// Zeros before the first row and column.
    pub(crate) fn pad(&self) -> usize {
        self.kernel / 2
    }

    /// Taps of a row that are used.
    pub(crate) fn taps(&self) -> usize {
        self.kernel - 2 * self.crop_columns
    }

    /// Columns of zeros before a row of the padded input.
    pub(crate) fn left(&self) -> usize {
        self.pad() - self.crop_columns
    }

    /// Columns of the padded input.
    pub(crate) fn padded_width(&self) -> usize {
        (self.left() + self.width).max((self.out_width - 1) * self.stride + self.taps())
    }

    /// Floats of a block of channels of an image of the padded input.
    pub(crate) fn padded_len(&self) -> usize {
        self.height * self.padded_width() * LANES
    }

    /// Images to be worked on together.
    pub(crate) fn batch(&self) -> usize {
        (SCRATCH / self.padded_len()).max(1)
    }

    /// The rows of the kernel that meet the image at an output row, and the input row of the first.
    pub(crate) fn kernel_rows(&self, out_row: usize) -> (std::ops::Range<usize>, usize) {
        let top = out_row * self.stride;
        let first = self.pad().saturating_sub(top);
        let end = self.kernel.min(self.height + self.pad() - top);
        (first..end, top + first - self.pad())
    }
}
