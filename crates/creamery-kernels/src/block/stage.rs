//! The steps of a forward pass that go by groups of mid channels, up to the depthwise map.

use super::{BlockShape, BlockWeights};
use crate::depthwise::{Band, Forward, Rows, Window};
use crate::elementwise::{Fill, Moments};
use crate::isa::Proof;
use crate::norm::{NormBlock, SharedNorm, SharedParts};
use crate::pool::Buffer;
use crate::product::{Left, Order, Product, Right, Target, Transpose};
use crate::shared::Shared;
use crate::simd::LANES;
use std::ops::Range;

/// What the steps share.
pub(super) struct Stage<'a> {
    pub(super) isa: Proof,
    pub(super) shape: &'a BlockShape,
    pub(super) weights: &'a BlockWeights<'a>,
    pub(super) x: &'a [f32],
    pub(super) window: &'a Window,
}

/// The raw expansion, or some blocks and images of it, `[blocks][images][pixels][16]`, with its norm.
#[derive(Clone, Copy)]
pub(super) struct Expanded<'a> {
    pub(super) raw: Shared<'a>,
    pub(super) norm: SharedNorm<'a>,
    /// The first block and the first image that there are.
    pub(super) origin: [usize; 2],
    /// Images of each block.
    pub(super) images: usize,
}

impl Expanded<'_> {
    /// Where an image of a block begins, if an image has so many pixels.
    fn place(&self, block: usize, image: usize, pixels: usize) -> usize {
        ((block - self.origin[0]) * self.images + image - self.origin[1]) * pixels * LANES
    }
}

/// The moments of a map, and which of the parts is to be written.
pub(super) type Part<'a> = Option<(SharedParts<'a>, usize)>;

impl Stage<'_> {
    /// The expansion's weights for a group of blocks, `[blocks][in][16]`; nothing without an expansion.
    pub(super) fn packed(&self, group: &Range<usize>) -> Option<Buffer> {
        let weights = self.weights.expand.as_ref()?;
        let rows = group.start * LANES..self.shape.mid_channels.min(group.end * LANES);
        let k = self.shape.in_channels;
        let mut packed = Buffer::stale(group.len() * LANES * k);
        self.isa.run(Transpose {
            from: &weights.weight[rows.start * k..rows.end * k],
            k,
            to: &mut packed,
        });
        Some(packed)
    }

    /// The expansion of some blocks of channels, whose weights are `packed`, for some images.
    ///
    /// # Safety
    /// These places of `to`, and of the moments, must be used by no other task.
    pub(super) unsafe fn expand(
        &self,
        to: Expanded<'_>,
        packed: &[f32],
        blocks: &Range<usize>,
        images: &Range<usize>,
        moments: Part<'_>,
    ) {
        let shape = self.shape;
        let pixels = shape.height * shape.width;
        let (k, n) = (shape.in_channels, blocks.len() * LANES);
        let a = Left {
            values: self.x[images.start * pixels * k..].into(),
            order: Order::ByRows,
            row: k,
            block: LANES,
        };
        let b = Right {
            values: packed.into(),
            row: LANES,
            block: LANES * k,
            whole: true,
        };
        let c = Target {
            at: to.raw.pointer(to.place(blocks.start, images.start, pixels)),
            row: LANES,
            block: to.images * pixels * LANES,
            whole: true,
        };
        // SAFETY: the caller vouches for these channels of these images.
        let mut product = unsafe { Product::new([images.len() * pixels, n, k], a, b, c) };
        if let Some((moments, part)) = moments {
            // SAFETY: the caller vouches for this part of these channels.
            product = product.sums(self.isa, unsafe { moments.moments(part, blocks) }, true);
        }
        self.isa.run(product);
    }
}

/// The depthwise convolution of one block of channels after another, with the scratch that it needs.
pub(super) struct Convolution<'a> {
    stage: &'a Stage<'a>,
    bands: Vec<Band>,
    padded: Rows,
    block: usize,
    taps: Buffer,
}

impl<'a> Convolution<'a> {
    /// Room to convolve images, of which a chunk has so many.
    pub(super) fn new(stage: &'a Stage<'a>, images: usize) -> Self {
        let window = stage.window;
        let bands = window.bands();
        let most = window.batch().min(images);
        let pitch = window.padded_width() * LANES;
        let padded = Rows::new(most, bands.iter().map(|band| &band.input), pitch);
        Self {
            stage,
            bands,
            padded,
            block: 0,
            taps: Buffer::stale(window.kernel * window.kernel * LANES),
        }
    }

    /// Takes up a block of channels.
    pub(super) fn load(&mut self, block: usize) {
        let stage = self.stage;
        let size = stage.window.kernel * stage.window.kernel;
        let rows = block * LANES..stage.shape.mid_channels.min((block + 1) * LANES);
        stage.isa.run(Transpose {
            from: &stage.weights.depthwise[rows.start * size..rows.end * size],
            k: size,
            to: &mut self.taps,
        });
        self.block = block;
    }

    /// Some images, as many at a time as scratch holds.
    pub(super) fn batches(
        &self,
        images: &Range<usize>,
    ) -> impl Iterator<Item = Range<usize>> + use<> {
        let (end, batch) = (images.end, self.stage.window.batch());
        images
            .clone()
            .step_by(batch)
            .map(move |first| first..end.min(first + batch))
    }

    /// The raw map of the block for one batch of images, by the expansion or else by x.
    ///
    /// # Safety
    /// The block of these images of the expansion must be written, and its norm set.
    pub(super) unsafe fn run(
        &mut self,
        from: Option<Expanded<'_>>,
        images: &Range<usize>,
        out: &mut [f32],
    ) {
        let (stage, block) = (self.stage, self.block);
        let (window, shape, isa) = (stage.window, stage.shape, stage.isa);
        for band in &self.bands {
            let to = self.padded.advance(&band.input);
            let pixels = source_pixels(shape, images.start, images.len(), &band.input.fresh());
            let expand = from.map(|from| {
                let inner = shape.height * shape.width;
                let first = from.place(block, images.start, inner);
                let skipped = images.start * inner;
                let part = first + (pixels.start - skipped) * LANES
                    ..first + (pixels.end - skipped) * LANES;
                // SAFETY: the caller vouches for the block of these images, and for its norm.
                unsafe { (from.raw.read(part), from.norm.block(block)) }
            });
            let source = source(shape, stage.x, expand, block, pixels);
            isa.run(source.into(to, window.left(), window.padded_width()));
            let row = window.out_width * LANES;
            let out = if images.len() == 1 {
                &mut out[band.out.start * row..band.out.end * row]
            } else {
                &mut *out
            };
            isa.run(Forward {
                window,
                held: band.input.rows.clone(),
                input: self.padded.all(),
                taps: &self.taps,
                rows: band.out.clone(),
                out,
            });
        }
    }

    /// Adds a batch of the block's map to its moments; the first batch of a part begins them.
    ///
    /// # Safety
    /// This part of the block's moments must be used by no other task.
    pub(super) unsafe fn add_moments(
        &self,
        (moments, part): (SharedParts<'_>, usize),
        raw: &[f32],
        first: bool,
    ) {
        let block = self.block..self.block + 1;
        // SAFETY: the caller vouches for them.
        let [shift, sum, squares] = unsafe { moments.moments(part, &block) };
        if first {
            shift.copy_from_slice(&raw[..LANES]);
        }
        self.stage.isa.run(Moments {
            raw,
            shift,
            sum,
            squares,
        });
    }
}

/// The pixels, of all images, of some rows of `count` images: all rows, unless it is one image.
pub(super) fn source_pixels(
    shape: &BlockShape,
    image: usize,
    count: usize,
    rows: &Range<usize>,
) -> Range<usize> {
    let first = image * shape.height + rows.start;
    let end = (image + count - 1) * shape.height + rows.end;
    first * shape.width..end * shape.width
}

/// What a depthwise convolution takes: some pixels of a block of channels, in rows of `width`.
pub(super) struct Source<'a> {
    from: &'a [f32],
    stride: usize,
    channels: usize,
    pixels: usize,
    width: usize,
    norm: Option<NormBlock<'a>>,
}

/// What a depthwise convolution takes of some pixels of a block. `expand` is the block of the raw expansion of
/// these pixels, and its norm.
pub(super) fn source<'a>(
    shape: &BlockShape,
    x: &'a [f32],
    expand: Option<(&'a [f32], NormBlock<'a>)>,
    block: usize,
    pixels: Range<usize>,
) -> Source<'a> {
    let (from, stride, channels, norm) = match expand {
        Some((raw, norm)) => (raw, LANES, LANES, Some(norm)),
        None => {
            let channels = shape.in_channels;
            let from = &x[pixels.start * channels + block * LANES..];
            (from, channels, (channels - block * LANES).min(LANES), None)
        }
    };
    Source {
        from,
        stride,
        channels,
        pixels: pixels.len(),
        width: shape.width,
        norm,
    }
}

impl<'a> Source<'a> {
    /// The pass that puts it into padded rows.
    pub(super) fn into(self, to: &'a mut [f32], left: usize, padded_width: usize) -> Fill<'a> {
        let Self {
            from,
            stride,
            channels,
            pixels,
            width,
            norm,
        } = self;
        Fill {
            from,
            stride,
            channels,
            rows: pixels / width,
            width,
            to,
            left,
            padded_width,
            norm,
            slope: None,
        }
    }
}
