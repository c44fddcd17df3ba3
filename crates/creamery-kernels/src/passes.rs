//! Batch norm and element-wise passes, one by one, for [`crate::primitives`].

use crate::elementwise::{
    Activate, Apply, Fill, FillSlope, GATE_SUMS, Gate, GateSlope, Moments, OutputSlope, RawSlope,
    SlopeSums,
};
use crate::error::{KernelError, length, positive};
use crate::isa;
use crate::norm::{EPSILON, NormBlock, NormSlope, NormWeights, RunningStats};
use crate::primitives::Depthwise;
use crate::simd::LANES;

/// A batch norm of 16 channels, and the passes over maps of `images` times `pixels` values of each, on this thread.
///
/// A map is `[images][pixels][16]`, what there is for each image is `[images][16]`, for each channel `[16]`. `z` is
/// the normalised, scaled and offset `raw`, `n` the normalised one.
#[derive(Clone, Debug)]
pub struct Passes {
    images: usize,
    pixels: usize,
    /// Mean, one over the root of the variance, scale and offset of each channel.
    norm: [[f32; LANES]; 4],
}

/// A value for each channel.
pub type Channels = [f32; LANES];

/// What [`Passes::gate_slope`] reads and writes.
#[derive(Debug)]
pub struct GateMaps<'a> {
    /// The raw map.
    pub raw: &'a [f32],
    /// The gate, for each image.
    pub gate: &'a [f32],
    /// The gradient of what was gated, which becomes that of `z` without the gate's own part.
    pub u: &'a mut [f32],
    /// Takes the derivative of SiLU.
    pub v: &'a mut [f32],
    /// Takes what was gated.
    pub gated: &'a mut [f32],
}

impl Passes {
    /// Passes with a norm of 16 channels.
    ///
    /// # Errors
    /// [`KernelError`] if there are no images or pixels, or the norm is not of 16 channels.
    pub fn new(
        images: usize,
        pixels: usize,
        weights: &NormWeights<'_>,
        stats: &RunningStats<'_>,
    ) -> Result<Self, KernelError> {
        positive("images", images)?;
        positive("pixels", pixels)?;
        weights.check(["gamma", "beta"], LANES)?;
        stats.check(["mean", "variance"], LANES)?;
        let mut norm = [[0.0; LANES]; 4];
        for lane in 0..LANES {
            let root = 1.0 / (stats.var[lane] + EPSILON).sqrt();
            let scale = weights.gamma[lane] * root;
            let shift = weights.beta[lane] - stats.mean[lane] * scale;
            let values = [stats.mean[lane], root, scale, shift];
            norm.iter_mut()
                .zip(values)
                .for_each(|(row, value)| row[lane] = value);
        }
        Ok(Self {
            images,
            pixels,
            norm,
        })
    }

    /// Values of a map.
    pub fn map_len(&self) -> usize {
        self.images * self.pixels * LANES
    }

    /// Values of what there is for each image.
    pub fn image_len(&self) -> usize {
        self.images * LANES
    }

    fn norm(&self) -> NormBlock<'_> {
        let [mean, root, scale, shift] = &self.norm;
        NormBlock {
            mean,
            root,
            scale,
            shift,
        }
    }

    fn map(&self, what: &'static str, map: &[f32]) -> Result<(), KernelError> {
        length(what, map.len(), self.map_len())
    }

    /// An error unless the passes are over as many images and pixels as the convolution has.
    fn fits(&self, conv: &Depthwise, pixels: usize) -> Result<(), KernelError> {
        length("the convolution's batch", conv.images(), self.images)?;
        length("an image of the convolution", pixels, self.pixels)
    }

    /// The sums of `raw - shift` and of its square: the statistics of a batch.
    ///
    /// # Errors
    /// [`KernelError::Length`] if a slice is not of its size.
    pub fn moments(&self, raw: &[f32], shift: &[f32]) -> Result<[Channels; 2], KernelError> {
        self.map("raw", raw)?;
        length("shift", shift.len(), LANES)?;
        let [mut sum, mut squares] = [[0.0; LANES]; 2];
        isa::current().run(Moments {
            raw,
            shift,
            sum: &mut sum,
            squares: &mut squares,
        });
        Ok([sum, squares])
    }

    /// `out = SiLU(z)`, and its mean over the pixels of each image.
    ///
    /// # Errors
    /// [`KernelError::Length`] if a slice is not of its size.
    pub fn activate(
        &self,
        raw: &[f32],
        out: &mut [f32],
        mean: &mut [f32],
    ) -> Result<(), KernelError> {
        self.map("raw", raw)?;
        self.map("out", out)?;
        length("mean", mean.len(), self.image_len())?;
        isa::current().run(Activate {
            norm: self.norm(),
            pixels: self.pixels,
            raw: Some(raw),
            map: out,
            mean,
        });
        Ok(())
    }

    /// `map *= gate` of each image.
    ///
    /// # Errors
    /// [`KernelError::Length`] if a slice is not of its size.
    pub fn gate(&self, map: &mut [f32], gate: &[f32]) -> Result<(), KernelError> {
        self.map("map", map)?;
        length("gate", gate.len(), self.image_len())?;
        isa::current().run(Gate {
            pixels: self.pixels,
            map,
            gate,
        });
        Ok(())
    }

    /// `out = z + add`: the end of a block with a residual.
    ///
    /// # Errors
    /// [`KernelError::Length`] if a slice is not of its size.
    pub fn apply(&self, raw: &[f32], add: &[f32], out: &mut [f32]) -> Result<(), KernelError> {
        self.map("raw", raw)?;
        self.map("add", add)?;
        self.map("out", out)?;
        // SAFETY: `out` is ours, and as long as `raw`.
        let mut apply = unsafe { Apply::new(self.norm(), raw, [LANES, LANES], out.as_mut_ptr()) };
        apply.add = Some(add);
        isa::current().run(apply);
        Ok(())
    }

    /// Copies the gradient of `z`, and gives its sum and that of it times `n`: the first half of a norm's backward.
    ///
    /// # Errors
    /// [`KernelError::Length`] if a slice is not of its size.
    pub fn output_slope(
        &self,
        raw: &[f32],
        slope: &[f32],
        out: &mut [f32],
    ) -> Result<[Channels; 2], KernelError> {
        self.map("raw", raw)?;
        self.map("slope", slope)?;
        self.map("out", out)?;
        let [mut sum, mut along] = [[0.0; LANES]; 2];
        isa::current().run(OutputSlope {
            norm: self.norm(),
            silu: false,
            raw,
            slope,
            channels: LANES,
            stride: LANES,
            out,
            sums: [&mut sum, &mut along],
        });
        Ok([sum, along])
    }

    /// `map = a map + b raw + c` with a value of each for each channel: the second half of a norm's backward.
    ///
    /// # Errors
    /// [`KernelError::Length`] if a slice is not of its size.
    pub fn raw_slope(
        &self,
        coefficients: &[Channels; 3],
        raw: &[f32],
        map: &mut [f32],
    ) -> Result<(), KernelError> {
        self.map("raw", raw)?;
        self.map("map", map)?;
        isa::current().run(RawSlope {
            slope: slope(coefficients),
            raw,
            from: None,
            map,
        });
        Ok(())
    }

    /// The backward of `gated = SiLU(z) gate`: `v = SiLU'(z)`, `u *= gate v`, `gated` again. Gives, for each image and
    /// channel, the sums of the old `u` times `SiLU(z)`, of `u`, of `v`, of `u n` and of `v n`, one after the other.
    ///
    /// # Errors
    /// [`KernelError::Length`] if a slice is not of its size.
    pub fn gate_slope(&self, maps: GateMaps<'_>) -> Result<Vec<f32>, KernelError> {
        let GateMaps {
            raw,
            gate,
            u,
            v,
            gated,
        } = maps;
        self.map("raw", raw)?;
        length("gate", gate.len(), self.image_len())?;
        self.map("u", u)?;
        self.map("v", v)?;
        self.map("gated", gated)?;
        let mut sums = vec![0.0; GATE_SUMS * self.image_len()];
        let mut parts = sums.chunks_exact_mut(self.image_len());
        isa::current().run(GateSlope {
            norm: self.norm(),
            pixels: self.pixels,
            raw,
            gate,
            u,
            v,
            gated,
            sums: std::array::from_fn(|_| parts.next().expect("a part for each quantity")),
        });
        Ok(sums)
    }

    /// `map *= slope`, and the sums of the result and of it times `n`.
    ///
    /// # Errors
    /// [`KernelError::Length`] if a slice is not of its size.
    pub fn slope_sums(
        &self,
        raw: &[f32],
        slope: &[f32],
        map: &mut [f32],
    ) -> Result<[Channels; 2], KernelError> {
        self.map("raw", raw)?;
        self.map("slope", slope)?;
        self.map("map", map)?;
        let [mut sum, mut along] = [[0.0; LANES]; 2];
        isa::current().run(SlopeSums {
            norm: self.norm(),
            raw,
            slope,
            map,
            sums: [&mut sum, &mut along],
        });
        Ok([sum, along])
    }

    /// SiLU(z) into the padded input of a depthwise convolution, and `slope = SiLU'(z)` where it is asked for.
    ///
    /// # Errors
    /// [`KernelError::Length`] if a slice is not of its size, or the convolution's input not of these passes' size.
    pub fn fill(
        &self,
        conv: &Depthwise,
        raw: &[f32],
        padded: &mut [f32],
        slope: Option<&mut [f32]>,
    ) -> Result<(), KernelError> {
        let [rows, width] = conv.input_size();
        self.fits(conv, rows * width)?;
        self.map("raw", raw)?;
        length("padded", padded.len(), conv.input_len())?;
        if let Some(slope) = &slope {
            self.map("slope", slope)?;
        }
        isa::current().run(Fill {
            from: raw,
            stride: LANES,
            channels: LANES,
            rows: self.images * rows,
            width,
            to: padded,
            left: conv.left(),
            padded_width: conv.padded_width(),
            norm: Some(self.norm()),
            slope,
        });
        Ok(())
    }

    /// `a (u + p v) + b raw + c` into the padded gradient of a depthwise convolution's output, with `p` for each image
    /// and the others for each channel.
    ///
    /// # Errors
    /// [`KernelError::Length`] if a slice is not of its size, or the convolution's output not of these passes' size.
    pub fn fill_slope(
        &self,
        conv: &Depthwise,
        coefficients: &[Channels; 3],
        [raw, u, v, p]: [&[f32]; 4],
        padded: &mut [f32],
    ) -> Result<(), KernelError> {
        let [rows, width] = conv.output_size();
        self.fits(conv, rows * width)?;
        self.map("raw", raw)?;
        self.map("u", u)?;
        self.map("v", v)?;
        length("p", p.len(), self.image_len())?;
        length("padded", padded.len(), conv.slope_len())?;
        isa::current().run(FillSlope {
            slope: slope(coefficients),
            raw,
            u,
            v,
            p,
            rows,
            width,
            to: padded,
            left: conv.slope_left(),
            padded_width: conv.padded_slope_width(),
        });
        Ok(())
    }
}

fn slope([slope, along, constant]: &[Channels; 3]) -> NormSlope<'_> {
    NormSlope {
        slope,
        along,
        constant,
    }
}
