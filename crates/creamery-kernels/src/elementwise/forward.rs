//! Passes of the forward direction, and those of both.

use super::{at, lanes, put};
use crate::isa::Kernel;
use crate::math::{silu, silu_and_slope};
use crate::norm::NormBlock;
use crate::simd::{Arithmetic, LANES, Simd};

/// `map = SiLU(raw * scale + shift)` and its mean over each image's pixels.
pub(crate) struct Activate<'a> {
    pub(crate) norm: NormBlock<'a>,
    pub(crate) pixels: usize,
    /// What is activated, or nothing if it is what `map` holds.
    pub(crate) raw: Option<&'a [f32]>,
    pub(crate) map: &'a mut [f32],
    /// Per image.
    pub(crate) mean: &'a mut [f32],
}

impl Kernel for Activate<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let images = self.mean.len() / LANES;
        let count = images * self.pixels * LANES;
        assert!(
            self.map.len() >= count && self.raw.is_none_or(|raw| raw.len() >= count),
            "the maps hold the images"
        );
        let (scale, shift) = (lanes(s, self.norm.scale), lanes(s, self.norm.shift));
        let four = s.four();
        let (scales, shifts) = ([[scale; 2]; 2], [[shift; 2]; 2]);
        let share = s.splat(1.0 / self.pixels as f32);
        let to = self.map.as_mut_ptr();
        let from = self.raw.map_or(to.cast_const(), <[f32]>::as_ptr);
        for image in 0..images {
            let mut sum = s.splat(0.0);
            let (first, end) = (image * self.pixels, (image + 1) * self.pixels);
            for pixel in (first..end - self.pixels % 4).step_by(4) {
                // SAFETY: the four pixels lie in both maps.
                unsafe {
                    let raw = s.load_four(from.add(pixel * LANES));
                    let value = silu(four, four.fma(raw, scales, shifts));
                    s.store_four(to.add(pixel * LANES), value);
                    let [[a, b], [c, d]] = value;
                    sum = s.add(sum, s.add(s.add(a, b), s.add(c, d)));
                }
            }
            for pixel in end - self.pixels % 4..end {
                // SAFETY: the pixel lies in both maps.
                unsafe {
                    let raw = s.load(from.add(pixel * LANES));
                    let value = silu(s, s.fma(raw, scale, shift));
                    s.store(to.add(pixel * LANES), value);
                    sum = s.add(sum, value);
                }
            }
            // SAFETY: `mean` holds a vector for each image.
            unsafe { put(s, self.mean, image, s.mul(sum, share)) };
        }
    }
}

/// `map *= gate` of each image.
pub(crate) struct Gate<'a> {
    pub(crate) pixels: usize,
    pub(crate) map: &'a mut [f32],
    /// Per image.
    pub(crate) gate: &'a [f32],
}

impl Kernel for Gate<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let images = self.gate.len() / LANES;
        assert!(
            self.map.len() >= images * self.pixels * LANES,
            "the map holds the images"
        );
        for image in 0..images {
            for pixel in image * self.pixels..(image + 1) * self.pixels {
                // SAFETY: the pixel lies in the map, and the gate holds a vector for each image.
                unsafe {
                    let value = s.mul(at(s, self.map, pixel), at(s, self.gate, image));
                    put(s, self.map, pixel, value);
                }
            }
        }
    }
}

/// Hard sigmoid, `min(max(x + 3, 0), 6) / 6`, in place.
pub(crate) struct HardSigmoid<'a>(pub(crate) &'a mut [f32]);

impl Kernel for HardSigmoid<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        for index in 0..self.0.len() / LANES {
            // SAFETY: the vector lies in the slice.
            unsafe {
                let x = s.add(at(s, self.0, index), s.splat(3.0));
                let x = s.min(s.max(x, s.splat(0.0)), s.splat(6.0));
                put(s, self.0, index, s.mul(x, s.splat(1.0 / 6.0)));
            }
        }
    }
}

/// Copies a block of channels into rows padded at both sides, which must be zero there already.
pub(crate) struct Fill<'a> {
    /// Rows of `width` pixels, `stride` floats from one to the next.
    pub(crate) from: &'a [f32],
    pub(crate) stride: usize,
    /// Channels of the block that exist.
    pub(crate) channels: usize,
    pub(crate) rows: usize,
    pub(crate) width: usize,
    /// Rows of `padded_width` vectors, of which `left` are zeros before the first pixel.
    pub(crate) to: &'a mut [f32],
    pub(crate) left: usize,
    pub(crate) padded_width: usize,
    /// SiLU of these is what is copied, rather than the values as they are.
    pub(crate) norm: Option<NormBlock<'a>>,
    /// Where the derivative of SiLU goes, not padded.
    pub(crate) slope: Option<&'a mut [f32]>,
}

impl Kernel for Fill<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let pixels = self.rows * self.width;
        assert!(
            pixels == 0 || (pixels - 1) * self.stride + self.channels <= self.from.len(),
            "the source holds the rows"
        );
        assert!(self.left + self.width <= self.padded_width, "a row fits");
        assert!(
            self.rows * self.padded_width * LANES <= self.to.len(),
            "the padded map holds the rows"
        );
        assert!(
            self.slope
                .as_ref()
                .is_none_or(|slope| slope.len() >= pixels * LANES),
            "the slope holds the rows"
        );
        assert!(
            self.norm.is_none() || self.stride == LANES,
            "what is activated lies in blocks"
        );
        match (&self.norm, &self.slope) {
            (Some(_), Some(_)) => self.rows::<S, true, true>(s),
            (Some(_), None) => self.rows::<S, true, false>(s),
            (None, _) => self.rows::<S, false, false>(s),
        }
    }
}

impl Fill<'_> {
    #[inline(always)]
    fn rows<S: Simd, const ACTIVATE: bool, const SLOPE: bool>(self, s: S) {
        let [scale, shift] = match self.norm {
            Some(norm) => [lanes(s, norm.scale), lanes(s, norm.shift)],
            None => [s.splat(1.0), s.splat(0.0)],
        };
        let to = self.to;
        let mut no_slope = [];
        let slopes = self.slope.unwrap_or(&mut no_slope);
        let pixels = self.rows * self.width;
        let (gap, mut place, mut column) = (self.padded_width - self.width, self.left, 0);
        // The place of the next pixel, one after the other, row after row.
        let mut next = || {
            let here = place;
            place += 1;
            column += 1;
            if column == self.width {
                column = 0;
                place += gap;
            }
            here
        };
        let mut pixel = 0;
        if ACTIVATE {
            let four = s.four();
            let (scales, shifts) = ([[scale; 2]; 2], [[shift; 2]; 2]);
            while pixels - pixel >= 4 {
                // SAFETY: `run` checked that all of them hold the four pixels, which lie in a row of blocks.
                unsafe {
                    let z = four.fma(
                        s.load_four(self.from.as_ptr().add(pixel * LANES)),
                        scales,
                        shifts,
                    );
                    let value = if SLOPE {
                        let (value, slope) = silu_and_slope(four, z);
                        s.store_four(slopes.as_mut_ptr().add(pixel * LANES), slope);
                        value
                    } else {
                        silu(four, z)
                    };
                    for v in [value[0][0], value[0][1], value[1][0], value[1][1]] {
                        put(s, to, next(), v);
                    }
                }
                pixel += 4;
            }
        }
        while pixel < pixels {
            // SAFETY: `run` checked that all of them hold the pixel.
            unsafe {
                let mut value =
                    s.load_part(self.from.as_ptr().add(pixel * self.stride), self.channels);
                if ACTIVATE {
                    let z = s.fma(value, scale, shift);
                    if SLOPE {
                        let slope;
                        (value, slope) = silu_and_slope(s, z);
                        put(s, slopes, pixel, slope);
                    } else {
                        value = silu(s, z);
                    }
                }
                put(s, to, next(), value);
            }
            pixel += 1;
        }
    }
}

/// Sums over pixels of `raw - shift` and of its square, added to `sum` and `squares`.
pub(crate) struct Moments<'a> {
    pub(crate) raw: &'a [f32],
    pub(crate) shift: &'a [f32],
    pub(crate) sum: &'a mut [f32],
    pub(crate) squares: &'a mut [f32],
}

impl Kernel for Moments<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let shift = lanes(s, self.shift);
        let (mut sum, mut squares) = (s.splat(0.0), s.splat(0.0));
        for pixel in 0..self.raw.len() / LANES {
            // SAFETY: the pixel lies in the map.
            let centred = s.sub(unsafe { at(s, self.raw, pixel) }, shift);
            sum = s.add(sum, centred);
            squares = s.fma(centred, centred, squares);
        }
        let (sum, squares) = (
            s.add(sum, lanes(s, self.sum)),
            s.add(squares, lanes(s, self.squares)),
        );
        // SAFETY: `lanes` checked that both hold a vector.
        unsafe {
            put(s, self.sum, 0, sum);
            put(s, self.squares, 0, squares);
        }
    }
}

/// `to = raw * scale + shift`, activated or not, plus what there is to add, from blocks to pixels in a row.
pub(crate) struct Apply<'a> {
    pub(crate) norm: NormBlock<'a>,
    pub(crate) silu: bool,
    pub(crate) raw: &'a [f32],
    /// Channels of the block that exist.
    pub(crate) channels: usize,
    /// Floats from one pixel to the next in `add` and `to`.
    pub(crate) stride: usize,
    /// From the block's first channel of the first pixel on.
    pub(crate) add: Option<&'a [f32]>,
    to: *mut f32,
}

impl<'a> Apply<'a> {
    /// The pass from `raw`, a block of all pixels.
    ///
    /// # Safety
    /// `to` must be valid for writes of the block's channels of each pixel, which no other task may use
    /// until the pass has been run.
    pub(crate) unsafe fn new(
        norm: NormBlock<'a>,
        raw: &'a [f32],
        [channels, stride]: [usize; 2],
        to: *mut f32,
    ) -> Self {
        Self {
            norm,
            silu: false,
            raw,
            channels,
            stride,
            add: None,
            to,
        }
    }
}

impl Kernel for Apply<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let pixels = self.raw.len() / LANES;
        let (scale, shift) = (lanes(s, self.norm.scale), lanes(s, self.norm.shift));
        if let Some(add) = self.add {
            assert!(
                pixels == 0 || (pixels - 1) * self.stride + self.channels <= add.len(),
                "what is added holds the pixels"
            );
        }
        for pixel in 0..pixels {
            // SAFETY: the pixel lies in `raw`, in `add` by the check, in `to` by the contract of `new`.
            unsafe {
                let mut value = s.fma(at(s, self.raw, pixel), scale, shift);
                if self.silu {
                    value = silu(s, value);
                }
                if let Some(add) = self.add {
                    value = s.add(
                        value,
                        s.load_part(add.as_ptr().add(pixel * self.stride), self.channels),
                    );
                }
                s.store_part(self.to.add(pixel * self.stride), value, self.channels);
            }
        }
    }
}

/// Copies a block of all pixels to pixels in a row, plus what there is to add.
pub(crate) struct Unblock<'a> {
    pub(crate) from: &'a [f32],
    pub(crate) channels: usize,
    pub(crate) stride: usize,
    /// From the block's first channel of the first pixel on.
    pub(crate) add: Option<&'a [f32]>,
    to: *mut f32,
}

impl<'a> Unblock<'a> {
    /// The pass from `from`, a block of all pixels.
    ///
    /// # Safety
    /// As for [`Apply::new`].
    pub(crate) unsafe fn new(
        from: &'a [f32],
        [channels, stride]: [usize; 2],
        to: *mut f32,
    ) -> Self {
        Self {
            from,
            channels,
            stride,
            add: None,
            to,
        }
    }
}

impl Kernel for Unblock<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let pixels = self.from.len() / LANES;
        if let Some(add) = self.add {
            assert!(
                pixels == 0 || (pixels - 1) * self.stride + self.channels <= add.len(),
                "what is added holds the pixels"
            );
        }
        for pixel in 0..pixels {
            // SAFETY: the pixel lies in `from`, in `add` by the check, in `to` by the contract of `new`.
            unsafe {
                let mut value = at(s, self.from, pixel);
                if let Some(add) = self.add {
                    value = s.add(
                        value,
                        s.load_part(add.as_ptr().add(pixel * self.stride), self.channels),
                    );
                }
                s.store_part(self.to.add(pixel * self.stride), value, self.channels);
            }
        }
    }
}
