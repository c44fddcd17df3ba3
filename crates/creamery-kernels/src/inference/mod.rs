//! Networks that are ready to run: weights packed and norms folded once, feature maps blocked from layer to layer.
//!
//! The operators of [`crate::block`] take weights as training has them, and pack them in every call. That is little
//! beside a batch of images, and most of the work for a single one. A [`Network`] packs them when it is made. It
//! works on one image at a time, whose maps stay in cache: the threads share the images of a batch, or else the
//! channels of a single image.
//!
//! ```
//! use creamery_kernels::head::{HeadShape, HeadWeights};
//! use creamery_kernels::inference::{Classifier, Layer, Network};
//!
//! // The mean of a map of 2 x 2 pixels and 3 channels, a dense layer to 4 channels, a classifier of 2 classes.
//! let shape = HeadShape { images: 1, height: 2, width: 2, in_channels: 3, out_channels: 4 };
//! let head = HeadWeights { weight: &[0.5; 12], bias: &[0.1; 4] };
//! let classifier = Classifier { in_features: 4, classes: 2, weight: &[0.25; 8], bias: &[0.0, 1.0] };
//! let network = Network::new(vec![Layer::head(&shape, &head)?, Layer::classifier(&classifier)?])?;
//! let logits = network.run(&vec![1.0; network.input_len()])?;
//! assert_eq!(logits.len(), 2);
//! # Ok::<(), creamery_kernels::KernelError>(())
//! ```

mod block;
mod dense;

use crate::block::{BlockRunningStats, BlockShape, BlockWeights};
use crate::conv::{ConvShape, ConvWeights};
use crate::error::{KernelError, length, positive};
use crate::head::{HeadShape, HeadWeights};
use crate::isa::{self, Proof};
use crate::norm::RunningStats;
use crate::pool::Buffer;
use crate::shared::Shared;
use crate::simd::LANES;
use crate::team::{for_each, together};
use block::Block;
use dense::{Convolution, Dense, Head};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

/// A linear layer after the head, in PyTorch's layout.
#[derive(Clone, Copy, Debug)]
pub struct Classifier<'a> {
    /// Values that enter.
    pub in_features: usize,
    /// Values that leave.
    pub classes: usize,
    /// `[classes][in_features]`.
    pub weight: &'a [f32],
    /// `[classes]`.
    pub bias: &'a [f32],
}

/// A layer that is ready to run on images of one size.
///
/// Maps lie as `[channels / 16][pixels][16]`, missing channels being 0, but for the input of a convolution with a kernel
/// larger than 1, which is an image as it comes: `[pixels][channels]`.
#[derive(Debug)]
pub struct Layer(Kind);

#[derive(Debug)]
enum Kind {
    Convolution(Convolution),
    Block(Box<Block>),
    Head(Head),
    Classifier(Dense),
}

impl Layer {
    /// A convolution with its norm by running statistics and, where asked, SiLU. `shape` is for one image.
    ///
    /// # Errors
    /// [`KernelError`] if a slice does not fit the shape, the kernel is even, or it is for several images.
    pub fn convolution(
        shape: &ConvShape,
        weights: &ConvWeights<'_>,
        running: &RunningStats<'_>,
    ) -> Result<Self, KernelError> {
        one(shape.images)?;
        let isa = isa::current();
        Convolution::new(isa, shape, weights, running).map(|conv| Self(Kind::Convolution(conv)))
    }

    /// A mobile block. `shape` is for one image.
    ///
    /// # Errors
    /// [`KernelError`] if a slice does not fit the shape, kernel or stride is none that there is, or the shape is for several
    /// images.
    pub fn block(
        shape: &BlockShape,
        weights: &BlockWeights<'_>,
        running: &BlockRunningStats<'_>,
    ) -> Result<Self, KernelError> {
        one(shape.images)?;
        let isa = isa::current();
        Block::new(isa, shape, weights, running).map(|block| Self(Kind::Block(Box::new(block))))
    }

    /// A network's head: mean over pixels, dense layer, SiLU. `shape` is for one image.
    ///
    /// # Errors
    /// [`KernelError`] if a slice does not fit the shape, or the shape is for several images.
    pub fn head(shape: &HeadShape, weights: &HeadWeights<'_>) -> Result<Self, KernelError> {
        one(shape.images)?;
        Head::new(isa::current(), shape, weights).map(|head| Self(Kind::Head(head)))
    }

    /// A classifier.
    ///
    /// # Errors
    /// [`KernelError`] if a slice does not fit the sizes.
    pub fn classifier(classifier: &Classifier<'_>) -> Result<Self, KernelError> {
        let Classifier {
            in_features,
            classes,
            weight,
            bias,
        } = *classifier;
        positive("in_features", in_features)?;
        positive("classes", classes)?;
        length(
            "classifier weight",
            weight.len(),
            classes.saturating_mul(in_features),
        )?;
        length("classifier bias", bias.len(), classes)?;
        let dense = Dense::new(isa::current(), in_features, weight, bias);
        Ok(Self(Kind::Classifier(dense)))
    }

    /// Values that enter, for one image.
    pub fn input_len(&self) -> usize {
        match &self.0 {
            Kind::Convolution(conv) => conv.input_len(),
            Kind::Block(block) => block.input_len(),
            Kind::Head(head) => head.input_len(),
            Kind::Classifier(dense) => dense.input_len(),
        }
    }

    /// Values that leave, for one image, those of missing channels included.
    pub fn output_len(&self) -> usize {
        match &self.0 {
            Kind::Convolution(conv) => conv.output_len(),
            Kind::Block(block) => block.output_len(),
            Kind::Head(head) => head.output_len(),
            Kind::Classifier(dense) => dense.output_len(),
        }
    }

    /// Runs the layer on one image's map.
    ///
    /// # Errors
    /// [`KernelError::Length`] if `x` is no such map.
    pub fn run(&self, x: &[f32]) -> Result<Vec<f32>, KernelError> {
        length("x", x.len(), self.input_len())?;
        let isa = isa::current();
        let mut y = vec![0.0; self.output_len()];
        together(|| self.forward(isa, x, &mut y));
        Ok(y)
    }

    fn forward(&self, isa: Proof, x: &[f32], y: &mut [f32]) {
        match &self.0 {
            Kind::Convolution(conv) => conv.run(isa, x, y),
            Kind::Block(block) => block.run(isa, x, y),
            Kind::Head(head) => head.run(isa, x, y),
            Kind::Classifier(dense) => dense.run(isa, x, y),
        }
    }
}

/// Refuses shapes for more than one image.
fn one(images: usize) -> Result<(), KernelError> {
    if images == 1 {
        return Ok(());
    }
    Err(KernelError::Unsupported {
        what: "images",
        found: images,
        allowed: "1 in the shape of a layer that is made ready",
    })
}

/// Layers that follow each other, the last of which yields one value for each class.
#[derive(Debug)]
pub struct Network {
    layers: Vec<Layer>,
    classes: usize,
}

impl Network {
    /// The network of some layers, from an image to logits.
    ///
    /// # Errors
    /// [`KernelError`] if a layer's output is not what the next one takes, or if the last is no classifier.
    pub fn new(layers: Vec<Layer>) -> Result<Self, KernelError> {
        for pair in layers.windows(2) {
            length(
                "the input of a layer",
                pair[0].output_len(),
                pair[1].input_len(),
            )?;
        }
        match layers.last() {
            Some(Layer(Kind::Classifier(dense))) => {
                let classes = dense.columns();
                Ok(Self { layers, classes })
            }
            _ => Err(KernelError::Mismatch {
                what: "the end of a network",
                other: "a classifier",
            }),
        }
    }

    /// The layers, in order.
    pub fn layers(&self) -> &[Layer] {
        &self.layers
    }

    /// Values of an image.
    pub fn input_len(&self) -> usize {
        self.layers[0].input_len()
    }

    /// Logits `[images][classes]` of images, each as the first layer takes it.
    ///
    /// # Errors
    /// [`KernelError::Length`] if `x` is not some whole images.
    pub fn run(&self, x: &[f32]) -> Result<Vec<f32>, KernelError> {
        self.each(x, &|isa, x, logits| self.image(isa, x, logits, |_| ()))
    }

    /// Nanoseconds of each layer in a run like [`Network::run`], which add up to those of the run but for what is between
    /// layers. Where threads share the images, a layer's time is that of all images divided by the threads.
    ///
    /// # Errors
    /// As for [`Network::run`].
    pub fn layer_times(&self, x: &[f32]) -> Result<Vec<u64>, KernelError> {
        let sums: Vec<AtomicU64> = self.layers.iter().map(|_| AtomicU64::new(0)).collect();
        let images = self.each(x, &|isa, x, logits| {
            let mut start = Instant::now();
            self.image(isa, x, logits, |layer| {
                let end = Instant::now();
                sums[layer].fetch_add((end - start).as_nanos() as u64, Relaxed);
                start = end;
            });
        })?;
        let images = images.len() / self.classes;
        let threads = rayon::current_num_threads().min(images).max(1) as u64;
        Ok(sums
            .into_iter()
            .map(|sum| sum.into_inner() / threads)
            .collect())
    }

    /// The logits of images, each by `infer`.
    fn each(&self, x: &[f32], infer: &Infer<'_>) -> Result<Vec<f32>, KernelError> {
        let (image_len, classes) = (self.input_len(), self.classes);
        let images = x.len() / image_len;
        length("x", x.len(), images * image_len)?;
        let isa = isa::current();
        let mut logits = vec![0.0; images * classes];
        let shared = Shared::new(&mut logits);
        together(|| {
            for_each(images, &|image| {
                let x = &x[image * image_len..(image + 1) * image_len];
                // SAFETY: each task has its own image.
                let to = unsafe { shared.write(image * classes..(image + 1) * classes) };
                infer(isa, x, to);
            });
        });
        Ok(logits)
    }

    /// The logits of one image; `after` is called after each layer with its number.
    fn image(&self, isa: Proof, x: &[f32], logits: &mut [f32], mut after: impl FnMut(usize)) {
        let mut map: Option<Buffer> = None;
        for (i, layer) in self.layers.iter().enumerate() {
            let mut y = Buffer::stale(layer.output_len());
            layer.forward(isa, map.as_deref().unwrap_or(x), &mut y);
            map = Some(y);
            after(i);
        }
        if let Some(map) = map {
            logits.copy_from_slice(&map[..logits.len()]);
        }
    }
}

/// From an image to its logits.
type Infer<'a> = dyn Fn(Proof, &[f32], &mut [f32]) + Sync + 'a;

/// Floats of a blocked map of so many channels and pixels.
fn blocked(channels: usize, pixels: usize) -> usize {
    channels.next_multiple_of(LANES) * pixels
}
