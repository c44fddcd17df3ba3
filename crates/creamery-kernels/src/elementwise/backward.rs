//! Passes of the backward direction.

use super::{at, lanes, put};
use crate::isa::Kernel;
use crate::math::silu_and_slope;
use crate::norm::{NormBlock, NormSlope};
use crate::simd::{Arithmetic, LANES, Simd};

/// The gradient of normalised values, from pixels in a row to a block, and its sums for the norm.
pub(crate) struct OutputSlope<'a> {
    pub(crate) norm: NormBlock<'a>,
    /// Whether the output was activated.
    pub(crate) silu: bool,
    pub(crate) raw: &'a [f32],
    /// The output's gradient, from the block's first channel of the first pixel on.
    pub(crate) slope: &'a [f32],
    pub(crate) channels: usize,
    pub(crate) stride: usize,
    pub(crate) out: &'a mut [f32],
    /// Grow by the sums of the gradient, and of it times the normalised values.
    pub(crate) sums: [&'a mut [f32]; 2],
}

impl Kernel for OutputSlope<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let pixels = self.raw.len() / LANES;
        assert!(
            pixels == 0 || (pixels - 1) * self.stride + self.channels <= self.slope.len(),
            "the slope holds the pixels"
        );
        assert!(
            self.out.len() >= pixels * LANES,
            "the result holds the pixels"
        );
        let (scale, shift) = (lanes(s, self.norm.scale), lanes(s, self.norm.shift));
        let (mean, root) = (lanes(s, self.norm.mean), lanes(s, self.norm.root));
        let [mut sum, mut along] = [s.splat(0.0); 2];
        for pixel in 0..pixels {
            // SAFETY: the pixel lies in all three, as checked.
            unsafe {
                let raw = at(s, self.raw, pixel);
                let mut dz =
                    s.load_part(self.slope.as_ptr().add(pixel * self.stride), self.channels);
                if self.silu {
                    dz = s.mul(dz, silu_and_slope(s, s.fma(raw, scale, shift)).1);
                }
                put(s, self.out, pixel, dz);
                sum = s.add(sum, dz);
                along = s.fma(dz, s.mul(s.sub(raw, mean), root), along);
            }
        }
        for (total, part) in self.sums.into_iter().zip([sum, along]) {
            let all = s.add(lanes(s, total), part);
            // SAFETY: `lanes` checked that it holds a vector.
            unsafe { put(s, total, 0, all) };
        }
    }
}

/// `map = slope * from + along * raw + constant`: the gradient of raw values from that of normalised ones.
pub(crate) struct RawSlope<'a> {
    pub(crate) slope: NormSlope<'a>,
    pub(crate) raw: &'a [f32],
    /// The map itself if there is none.
    pub(crate) from: Option<&'a [f32]>,
    pub(crate) map: &'a mut [f32],
}

impl Kernel for RawSlope<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let len = self.map.len();
        assert!(self.raw.len() >= len, "the raw values cover the map");
        assert!(
            self.from.is_none_or(|from| from.len() >= len),
            "the gradient covers the map"
        );
        let slope = lanes(s, self.slope.slope);
        let (along, constant) = (lanes(s, self.slope.along), lanes(s, self.slope.constant));
        for pixel in 0..len / LANES {
            // SAFETY: the pixel lies in all of them, as checked.
            unsafe {
                let rest = s.fma(at(s, self.raw, pixel), along, constant);
                let from = at(s, self.from.unwrap_or(self.map), pixel);
                put(s, self.map, pixel, s.fma(from, slope, rest));
            }
        }
    }
}

/// Quantities that [`GateSlope`] sums over each image's pixels.
pub(crate) const GATE_SUMS: usize = 5;

/// The backward of `gated = activated * gate`, as far as it goes before the gate's own gradient is known.
///
/// The gradient of the normalised values is `dz = u + p v`, where `u = gated' gate silu'`, `v = silu'` and
/// `p`, one value per image, comes back through squeeze-excite. The sums over each image, from which the
/// norm's own are made once `p` is known, are those of `gated' activated` (the gate's gradient), `u`, `v`,
/// `u * normalised` and `v * normalised`.
pub(crate) struct GateSlope<'a> {
    pub(crate) norm: NormBlock<'a>,
    pub(crate) pixels: usize,
    pub(crate) raw: &'a [f32],
    /// Per image.
    pub(crate) gate: &'a [f32],
    /// `gated'`, which becomes `u`.
    pub(crate) u: &'a mut [f32],
    pub(crate) v: &'a mut [f32],
    /// What was gated, computed again.
    pub(crate) gated: &'a mut [f32],
    /// Per image; each grows.
    pub(crate) sums: [&'a mut [f32]; GATE_SUMS],
}

impl Kernel for GateSlope<'_> {
    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let images = self.gate.len() / LANES;
        let count = images * self.pixels * LANES;
        let maps = [self.raw.len(), self.u.len(), self.v.len(), self.gated.len()];
        assert!(
            maps.iter().all(|len| *len >= count),
            "the maps hold the images"
        );
        assert!(
            self.sums.iter().all(|sum| sum.len() >= images * LANES),
            "the sums hold the images"
        );
        let (scale, shift) = (lanes(s, self.norm.scale), lanes(s, self.norm.shift));
        let (mean, root) = (lanes(s, self.norm.mean), lanes(s, self.norm.root));
        let four = s.four();
        let (scales, shifts) = ([[scale; 2]; 2], [[shift; 2]; 2]);
        for image in 0..images {
            // SAFETY: the gate holds a vector for each image.
            let gate = unsafe { at(s, self.gate, image) };
            let mut sums = [s.splat(0.0); GATE_SUMS];
            let (first, end) = (image * self.pixels, (image + 1) * self.pixels);
            for pixel in (first..end - self.pixels % 4).step_by(4) {
                // SAFETY: the four pixels lie in all maps, as checked.
                unsafe {
                    let raw = s.load_four(self.raw.as_ptr().add(pixel * LANES));
                    let (value, slope) = silu_and_slope(four, four.fma(raw, scales, shifts));
                    for i in 0..4 {
                        let [raw, value, v] = [raw, value, slope].map(|four| four[i / 2][i % 2]);
                        let normal = s.mul(s.sub(raw, mean), root);
                        self.pixel(s, pixel + i, gate, [normal, value, v], &mut sums);
                    }
                }
            }
            for pixel in end - self.pixels % 4..end {
                // SAFETY: the pixel lies in all maps, as checked.
                unsafe {
                    let raw = at(s, self.raw, pixel);
                    let (value, v) = silu_and_slope(s, s.fma(raw, scale, shift));
                    let normal = s.mul(s.sub(raw, mean), root);
                    self.pixel(s, pixel, gate, [normal, value, v], &mut sums);
                }
            }
            for (total, sum) in self.sums.iter_mut().zip(sums) {
                // SAFETY: the sums hold a vector for each image, as checked.
                unsafe {
                    let all = s.add(at(s, total, image), sum);
                    put(s, total, image, all);
                }
            }
        }
    }
}

impl GateSlope<'_> {
    /// A pixel whose normalised value, activation and slope are known.
    ///
    /// # Safety
    /// The pixel must lie in all maps.
    #[inline(always)]
    unsafe fn pixel<S: Simd>(
        &mut self,
        s: S,
        pixel: usize,
        gate: S::V,
        [normal, value, v]: [S::V; 3],
        sums: &mut [S::V; GATE_SUMS],
    ) {
        // SAFETY: the caller vouches for the pixel.
        unsafe {
            let slope = at(s, self.u, pixel);
            let u = s.mul(s.mul(slope, gate), v);
            put(s, self.u, pixel, u);
            put(s, self.v, pixel, v);
            put(s, self.gated, pixel, s.mul(value, gate));
            sums[0] = s.fma(slope, value, sums[0]);
            sums[1] = s.add(sums[1], u);
            sums[2] = s.add(sums[2], v);
            sums[3] = s.fma(u, normal, sums[3]);
            sums[4] = s.fma(v, normal, sums[4]);
        }
    }
}

/// The gradient of the depthwise output, `slope * (u + p v) + along * raw + constant`, into padded rows that
/// must be zero at the sides already.
pub(crate) struct FillSlope<'a> {
    pub(crate) slope: NormSlope<'a>,
    pub(crate) raw: &'a [f32],
    pub(crate) u: &'a [f32],
    pub(crate) v: &'a [f32],
    /// Per image.
    pub(crate) p: &'a [f32],
    pub(crate) rows: usize,
    pub(crate) width: usize,
    /// `[images][rows][padded_width][16]`.
    pub(crate) to: &'a mut [f32],
    pub(crate) left: usize,
    pub(crate) padded_width: usize,
}

impl Kernel for FillSlope<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let images = self.p.len() / LANES;
        let count = images * self.rows * self.width * LANES;
        assert!(
            [self.raw, self.u, self.v]
                .iter()
                .all(|map| map.len() >= count),
            "the maps hold the images"
        );
        assert!(self.left + self.width <= self.padded_width, "a row fits");
        assert!(
            images * self.rows * self.padded_width * LANES <= self.to.len(),
            "the padded map holds the rows"
        );
        let slope = lanes(s, self.slope.slope);
        let (along, constant) = (lanes(s, self.slope.along), lanes(s, self.slope.constant));
        for image in 0..images {
            // SAFETY: `p` holds a vector for each image.
            let p = unsafe { at(s, self.p, image) };
            for row in image * self.rows..(image + 1) * self.rows {
                for column in 0..self.width {
                    let pixel = row * self.width + column;
                    // SAFETY: the pixel lies in all maps, as checked.
                    unsafe {
                        let rest = s.fma(at(s, self.raw, pixel), along, constant);
                        let dz = s.fma(at(s, self.v, pixel), p, at(s, self.u, pixel));
                        put(
                            s,
                            self.to,
                            row * self.padded_width + self.left + column,
                            s.fma(dz, slope, rest),
                        );
                    }
                }
            }
        }
    }
}

/// `map *= slope`, and the sums of the result, and of it times the normalised values, for the norm.
pub(crate) struct SlopeSums<'a> {
    pub(crate) norm: NormBlock<'a>,
    pub(crate) raw: &'a [f32],
    pub(crate) slope: &'a [f32],
    pub(crate) map: &'a mut [f32],
    /// Each grows.
    pub(crate) sums: [&'a mut [f32]; 2],
}

impl Kernel for SlopeSums<'_> {
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        assert!(
            self.raw.len() >= self.map.len() && self.slope.len() >= self.map.len(),
            "the maps are as long"
        );
        let (mean, root) = (lanes(s, self.norm.mean), lanes(s, self.norm.root));
        let [mut sum, mut along] = [s.splat(0.0); 2];
        for pixel in 0..self.map.len() / LANES {
            // SAFETY: the pixel lies in all three, as checked.
            unsafe {
                let dz = s.mul(at(s, self.map, pixel), at(s, self.slope, pixel));
                put(s, self.map, pixel, dz);
                sum = s.add(sum, dz);
                along = s.fma(dz, s.mul(s.sub(at(s, self.raw, pixel), mean), root), along);
            }
        }
        for (total, part) in self.sums.into_iter().zip([sum, along]) {
            let all = s.add(lanes(s, total), part);
            // SAFETY: `lanes` checked that it holds a vector.
            unsafe { put(s, total, 0, all) };
        }
    }
}
