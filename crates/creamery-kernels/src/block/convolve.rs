//! The middle of the backward pass: the depthwise norm, the depthwise convolution's gradients, and the sums
//! for the expansion's norm.

use super::backward::Pass;
use super::squeeze::SqueezeSlope;
use super::stage::{Source, source, source_pixels};
use crate::depthwise::{InputGrad, InputPlan, Rows, WeightGrad};
use crate::elementwise::{FillSlope, SlopeSums, Unblock};
use crate::norm::SharedNormBackward;
use crate::pool::Buffer;
use crate::product::Transpose;
use crate::shared::Shared;
use crate::simd::LANES;
use std::ops::Range;

/// The part of the pass from the depthwise norm to the expansion, by groups of channels.
pub(super) struct DepthwiseStep<'a> {
    pub(super) pass: &'a Pass<'a>,
    pub(super) plan: InputPlan,
    /// `u` and `v` of [`Gated`].
    pub(super) gated: [&'a [f32]; 2],
    /// What comes back through squeeze-excite, `[blocks][images][16]`.
    pub(super) pooled: Shared<'a>,
    /// The gradient of the depthwise input, then that of the raw expansion, `[blocks][images][pixels][16]`.
    pub(super) slope: Shared<'a>,
    /// Gradients of the taps, `[chunks][blocks][kernel][kernel][16]`.
    pub(super) taps: Shared<'a>,
    pub(super) norm: SharedNormBackward<'a>,
    pub(super) expand_norm: Option<SharedNormBackward<'a>>,
    /// Without an expansion, where the gradient of x goes, if it is asked for.
    pub(super) dx: Option<Shared<'a>>,
    /// The gradient of y.
    pub(super) dy: &'a [f32],
}

impl DepthwiseStep<'_> {
    /// What comes back through squeeze-excite, and the depthwise norm's sums, which need it.
    pub(super) fn pool(&self, group: &Range<usize>, squeezed: Option<&SqueezeSlope>, sums: &[f32]) {
        let pass = self.pass;
        let images = pass.shape.images;
        let part = group.start * images * LANES..group.end * images * LANES;
        // SAFETY: the group is this task's.
        let pooled = unsafe { self.pooled.write(part) };
        if let (Some(squeezed), Some(weights)) = (squeezed, &pass.weights.squeeze) {
            squeezed.pooled(pass.isa, pass.shape, weights, group, pooled);
        }
        let quantity = pass.blocks() * images * LANES;
        for (block, pooled) in group.clone().zip(pooled.chunks_exact(images * LANES)) {
            let mut totals = [[0.0; LANES]; 2];
            let [u, v, u_along, v_along] = [1, 2, 3, 4]
                .map(|index| &sums[index * quantity + block * images * LANES..][..images * LANES]);
            for ((sums, through), totals) in
                [u, u_along].into_iter().zip([v, v_along]).zip(&mut totals)
            {
                let values = sums
                    .as_chunks::<LANES>()
                    .0
                    .iter()
                    .zip(through.as_chunks::<LANES>().0);
                for ((sum, through), pooled) in values.zip(pooled.as_chunks::<LANES>().0) {
                    for lane in 0..LANES {
                        totals[lane] += f64::from(sum[lane])
                            + f64::from(pooled[lane]) * f64::from(through[lane]);
                    }
                }
            }
            // SAFETY: the group is this task's.
            unsafe { self.norm.found(block, totals, images * pass.outer) };
        }
    }

    /// The depthwise convolution's gradients for a group of channels of a chunk of images.
    pub(super) fn convolve(&self, group: &Range<usize>, chunk: usize) {
        let pass = self.pass;
        let (window, shape) = (pass.window, pass.shape);
        let isa = pass.isa;
        let size = window.kernel * window.kernel;
        let images = &pass.grid.chunks[chunk];
        let most = window.batch().min(images.len());
        let bands = window.bands();
        let held = || bands.iter().map(|band| &band.input);
        let mut input = Rows::new(most, held(), window.padded_width() * LANES);
        let mut activation = Rows::new(most, held(), window.width * LANES);
        let mut slope = Rows::new(
            most,
            bands.iter().map(|band| &band.slope),
            self.plan.padded_width * LANES,
        );
        let zeros = Buffer::zeros(window.padded_width() * LANES);
        let mut taps = Buffer::stale(size * LANES);
        let mut arranged = Buffer::stale(self.plan.taps_len(window));
        for block in group.clone() {
            let rows = pass.channels(&(block..block + 1));
            isa.run(Transpose {
                from: &pass.weights.depthwise[rows.start * size..rows.end * size],
                k: size,
                to: &mut taps,
            });
            self.plan.arrange(window, &taps, &mut arranged);
            // SAFETY: this chunk's part of this block is this task's.
            let grads = unsafe {
                let at = (chunk * pass.blocks() + block) * size * LANES;
                self.taps.write(at..at + size * LANES)
            };
            for start in images.clone().step_by(window.batch()) {
                let count = window.batch().min(images.end - start);
                let first = block * shape.images + start;
                // SAFETY: the group's norm and pooled values are set.
                let (norm, pooled) = unsafe {
                    (
                        self.norm.block(block),
                        self.pooled.read(first * LANES..(first + count) * LANES),
                    )
                };
                for band in &bands {
                    let part = rows_of(
                        first,
                        count,
                        &band.slope.fresh(),
                        [window.out_height, window.out_width],
                    );
                    isa.run(FillSlope {
                        slope: norm,
                        raw: &pass.saved.depthwise.raw[part.clone()],
                        u: &self.gated[0][part.clone()],
                        v: &self.gated[1][part],
                        p: pooled,
                        rows: band.slope.fresh().len(),
                        width: window.out_width,
                        to: slope.advance(&band.slope),
                        left: self.plan.left,
                        padded_width: self.plan.padded_width,
                    });
                    let source = pass.source(block, start, count, &band.input.fresh());
                    let mut fill = source.into(
                        input.advance(&band.input),
                        window.left(),
                        window.padded_width(),
                    );
                    let activation_rows = activation.advance(&band.input);
                    fill.slope = pass.weights.expand.is_some().then_some(activation_rows);
                    isa.run(fill);
                    isa.run(WeightGrad {
                        window,
                        rows: band.out.clone(),
                        held: band.input.rows.clone(),
                        input: input.all(),
                        zeros: &zeros,
                        slope: slope.all(),
                        slope_held: band.slope.rows.clone(),
                        slope_left: self.plan.left,
                        slope_width: self.plan.padded_width,
                        grads,
                        images: count,
                    });
                    if self.expand_norm.is_none() && self.dx.is_none() {
                        continue;
                    }
                    let part = rows_of(first, count, &band.grad, [window.height, window.width]);
                    // SAFETY: these channels of these images are this task's.
                    let out = unsafe { self.slope.write(part.clone()) };
                    isa.run(InputGrad {
                        window,
                        plan: &self.plan,
                        held: band.slope.rows.clone(),
                        slope: slope.all(),
                        taps: &arranged,
                        rows: band.grad.clone(),
                        out,
                    });
                    let activation = if count == 1 {
                        activation.part(&band.grad)
                    } else {
                        activation.all()
                    };
                    self.finish(block, chunk, part, out, activation);
                }
            }
        }
    }

    /// What becomes of the gradient of the depthwise input of a block, whose places in the blocked layout are
    /// `part`.
    fn finish(
        &self,
        block: usize,
        chunk: usize,
        part: Range<usize>,
        map: &mut [f32],
        activation: &[f32],
    ) {
        let pass = self.pass;
        let shape = pass.shape;
        if let (Some(norm), Some(saved)) = (self.expand_norm, &pass.saved.expand) {
            // SAFETY: this chunk's parts of these channels are this task's.
            let sums = [0, 1]
                .map(|quantity| unsafe { norm.parts.write(chunk, quantity, &(block..block + 1)) });
            let (norm, raw) = (saved.norm.block(block), &saved.raw[part]);
            pass.isa.run(SlopeSums {
                norm,
                raw,
                slope: activation,
                map,
                sums,
            });
        } else if let Some(dx) = self.dx {
            let channels = shape.in_channels;
            let pixel = part.start / LANES - block * shape.images * shape.height * shape.width;
            let at = pixel * channels + block * LANES;
            let sizes = [(channels - block * LANES).min(LANES), channels];
            // SAFETY: these channels of these images are this task's.
            let mut unblock = unsafe { Unblock::new(map, sizes, dx.pointer(at)) };
            unblock.add = shape.residual().then(|| &self.dy[at..]);
            pass.isa.run(unblock);
        }
    }

    /// Joins the chunks' gradients of the taps and the expansion's norm.
    pub(super) fn join(&self, group: &Range<usize>, grads: Shared<'_>) {
        let pass = self.pass;
        let window = pass.window;
        let size = window.kernel * window.kernel;
        let used = |crop: usize| crop..window.kernel - crop;
        for block in group.clone() {
            let channels = pass.channels(&(block..block + 1));
            // SAFETY: the group is this task's.
            let grads = unsafe { grads.write(channels.start * size..channels.end * size) };
            for chunk in 0..pass.grid.chunks.len() {
                let at = (chunk * pass.blocks() + block) * size * LANES;
                // SAFETY: the chunks' parts are written.
                let part = unsafe { self.taps.read(at..at + size * LANES) };
                for row in used(window.crop_rows) {
                    for tap in used(window.crop_columns).map(|column| row * window.kernel + column)
                    {
                        for (channel, grad) in
                            grads.chunks_exact_mut(size).zip(&part[tap * LANES..])
                        {
                            channel[tap] += grad;
                        }
                    }
                }
            }
        }
        if let Some(norm) = self.expand_norm {
            let counts = pass.grid.counts(pass.shape.height * pass.shape.width);
            // SAFETY: the group's parts are written, and it is this task's.
            unsafe { norm.join(group.clone(), &counts) };
        }
    }
}

impl Pass<'_> {
    /// What the depthwise convolution read; see [`source`].
    fn source(&self, block: usize, image: usize, count: usize, rows: &Range<usize>) -> Source<'_> {
        let pixels = source_pixels(self.shape, image, count, rows);
        let first = block * self.shape.images * self.shape.height * self.shape.width;
        let map = (first + pixels.start) * LANES..(first + pixels.end) * LANES;
        let expand = self
            .saved
            .expand
            .as_ref()
            .map(|saved| (&saved.raw[map], saved.norm.block(block)));
        source(self.shape, self.x, expand, block, pixels)
    }
}

/// Where some rows of `count` images lie in the blocked layout, `image` counting through all blocks. They are
/// all rows, unless it is one image.
fn rows_of(
    image: usize,
    count: usize,
    rows: &Range<usize>,
    [height, width]: [usize; 2],
) -> Range<usize> {
    let (first, end) = (
        image * height + rows.start,
        (image + count - 1) * height + rows.end,
    );
    first * width * LANES..end * width * LANES
}
