//! Batch norm: statistics gathered in parts, and the coefficients that the kernels apply.

use crate::across::Everywhere;
use crate::error::{KernelError, length};
use crate::pool::Buffer;
use crate::shared::Shared;
use crate::simd::LANES;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Mutex;

/// What is added to the variance, inside the root.
pub const EPSILON: f32 = 1e-5;

/// Scale and offset of a batch norm, one value per channel.
#[derive(Clone, Copy, Debug)]
pub struct NormWeights<'a> {
    /// What normalised values are multiplied by.
    pub gamma: &'a [f32],
    /// What is added to them.
    pub beta: &'a [f32],
}

/// Gradients of a batch norm's weights, one value per channel.
#[derive(Clone, Debug, PartialEq)]
pub struct NormGrads {
    /// Gradient of [`NormWeights::gamma`].
    pub gamma: Vec<f32>,
    /// Gradient of [`NormWeights::beta`].
    pub beta: Vec<f32>,
}

/// Mean and biased variance of a batch, per channel, before normalisation.
#[derive(Clone, Debug, PartialEq)]
pub struct ChannelStats {
    /// Mean over images and pixels.
    pub mean: Vec<f32>,
    /// Mean squared deviation (divided by n, not n - 1).
    pub var: Vec<f32>,
}

/// Running statistics that inference normalises by, per channel.
#[derive(Clone, Copy, Debug)]
pub struct RunningStats<'a> {
    /// Running mean.
    pub mean: &'a [f32],
    /// Running variance.
    pub var: &'a [f32],
}

impl NormWeights<'_> {
    /// Checks both lengths; `what` names the norm's gamma and beta.
    pub(crate) fn check(
        &self,
        [gamma, beta]: [&'static str; 2],
        channels: usize,
    ) -> Result<(), KernelError> {
        length(gamma, self.gamma.len(), channels)?;
        length(beta, self.beta.len(), channels)
    }
}

impl RunningStats<'_> {
    /// Checks both lengths; `what` names the norm's mean and variance.
    pub(crate) fn check(
        &self,
        [mean, var]: [&'static str; 2],
        channels: usize,
    ) -> Result<(), KernelError> {
        length(mean, self.mean.len(), channels)?;
        length(var, self.var.len(), channels)
    }
}

/// Rows of [`Norm`]: what kernels need of it, one value per (padded) channel.
const MEAN: usize = 0;
const ROOT: usize = 1;
const SCALE: usize = 2;
const SHIFT: usize = 3;
const VAR: usize = 4;
const ROWS: usize = 5;

/// A batch norm as the kernels apply it, padded to whole blocks of channels with zeros.
#[derive(Debug)]
pub(crate) struct Norm {
    channels: usize,
    padded: usize,
    rows: Buffer,
    /// Where its sums are taken over several processes.
    across: Option<Everywhere>,
}

/// Statistics that a norm goes by.
#[derive(Clone, Copy)]
pub(crate) enum By<'a> {
    /// Those of the batch, which other processes may have parts of.
    Batch(Option<Everywhere>),
    /// Running ones.
    Running(&'a RunningStats<'a>),
}

impl By<'_> {
    /// Whether statistics of the batch are to be found.
    pub(crate) fn is_batch(self) -> bool {
        matches!(self, Self::Batch(_))
    }
}

/// The 16 channels of a block of a [`Norm`].
#[derive(Clone, Copy)]
pub(crate) struct NormBlock<'a> {
    /// Mean of the raw values.
    pub(crate) mean: &'a [f32],
    /// One over the root of the variance (and epsilon).
    pub(crate) root: &'a [f32],
    /// `raw * scale + shift` is normalised, scaled and offset.
    pub(crate) scale: &'a [f32],
    pub(crate) shift: &'a [f32],
}

impl Norm {
    /// Room for `channels` channels.
    pub(crate) fn new(channels: usize) -> Self {
        let padded = channels.next_multiple_of(LANES);
        Self {
            channels,
            padded,
            rows: Buffer::zeros(padded * ROWS),
            across: None,
        }
    }

    /// The norm of `channels` channels that goes by these statistics: set, or to be set.
    pub(crate) fn by(by: By<'_>, channels: usize, weights: &NormWeights<'_>) -> Self {
        match by {
            By::Batch(across) => Self {
                across,
                ..Self::new(channels)
            },
            By::Running(stats) => Self::running(weights, stats),
        }
    }

    /// Whether values of other processes count, too.
    pub(crate) fn is_across(&self) -> bool {
        self.across.is_some()
    }

    /// The norm of inference.
    pub(crate) fn running(weights: &NormWeights<'_>, stats: &RunningStats<'_>) -> Self {
        let mut norm = Self::new(stats.mean.len());
        let shared = norm.shared();
        for channel in 0..stats.mean.len() {
            shared.set(weights, channel, stats.mean[channel], stats.var[channel]);
        }
        norm
    }

    /// A view that tasks write, each its own channels.
    pub(crate) fn shared(&mut self) -> SharedNorm<'_> {
        SharedNorm {
            channels: self.channels,
            padded: self.padded,
            rows: Shared::new(&mut self.rows),
            across: self.across,
        }
    }

    /// The statistics, for the caller's running averages.
    pub(crate) fn stats(&self) -> ChannelStats {
        let row = |row: usize| self.rows[row * self.padded..][..self.channels].to_vec();
        ChannelStats {
            mean: row(MEAN),
            var: row(VAR),
        }
    }

    /// The shifts of all channels from a block on.
    pub(crate) fn shifts(&self, block: usize) -> &[f32] {
        &self.rows[SHIFT * self.padded + block * LANES..(SHIFT + 1) * self.padded]
    }

    /// Multiplies the rows of a weight, one for each channel, by the scales, so that only the shifts are left to be
    /// added.
    pub(crate) fn fold_into(&self, rows: &mut [f32]) {
        let k = rows.len() / self.channels;
        for (row, scale) in rows
            .chunks_exact_mut(k)
            .zip(&self.rows[SCALE * self.padded..])
        {
            row.iter_mut().for_each(|weight| *weight *= scale);
        }
    }

    /// The coefficients of a block.
    pub(crate) fn block(&self, block: usize) -> NormBlock<'_> {
        let row = |row: usize| &self.rows[row * self.padded + block * LANES..][..LANES];
        NormBlock {
            mean: row(MEAN),
            root: row(ROOT),
            scale: row(SCALE),
            shift: row(SHIFT),
        }
    }
}

/// A [`Norm`] that tasks fill and read, each its own channels.
#[derive(Clone, Copy)]
pub(crate) struct SharedNorm<'a> {
    channels: usize,
    padded: usize,
    rows: Shared<'a>,
    across: Option<Everywhere>,
}

impl<'a> SharedNorm<'a> {
    /// Sets the coefficients of a channel by its statistics.
    pub(crate) fn set(&self, weights: &NormWeights<'_>, channel: usize, mean: f32, var: f32) {
        let root = 1.0 / (var + EPSILON).sqrt();
        let scale = weights.gamma[channel] * root;
        let values = [
            (MEAN, mean),
            (ROOT, root),
            (SCALE, scale),
            (SHIFT, weights.beta[channel] - mean * scale),
            (VAR, var),
        ];
        for (row, value) in values {
            let at = row * self.padded + channel;
            // SAFETY: a channel is set by the one task that has it, before any reads it.
            unsafe { self.rows.write(at..at + 1)[0] = value };
        }
    }

    /// The coefficients of a block.
    ///
    /// # Safety
    /// The block must have been set, and no task may be setting it.
    pub(crate) unsafe fn block(&self, block: usize) -> NormBlock<'a> {
        let row = |row: usize| {
            let at = row * self.padded + block * LANES;
            // SAFETY: nobody writes the block, as the caller vouches.
            unsafe { self.rows.read(at..at + LANES) }
        };
        NormBlock {
            mean: row(MEAN),
            root: row(ROOT),
            scale: row(SCALE),
            shift: row(SHIFT),
        }
    }
}

/// Sums over parts of a batch, a row of padded channels for each part and quantity.
pub(crate) struct Parts {
    quantities: usize,
    padded: usize,
    values: Buffer,
}

/// [`Parts`] that tasks write, each its own part and channels.
#[derive(Clone, Copy)]
pub(crate) struct SharedParts<'a> {
    quantities: usize,
    padded: usize,
    values: Shared<'a>,
}

impl Parts {
    /// Room for `parts` parts of `quantities` sums for each of `channels` channels, all zero.
    pub(crate) fn new(parts: usize, quantities: usize, channels: usize) -> Self {
        let padded = channels.next_multiple_of(LANES);
        Self {
            quantities,
            padded,
            values: Buffer::zeros(parts * quantities * padded),
        }
    }

    /// A view that tasks write, each its own part and channels.
    pub(crate) fn shared(&mut self) -> SharedParts<'_> {
        SharedParts {
            quantities: self.quantities,
            padded: self.padded,
            values: Shared::new(&mut self.values),
        }
    }
}

impl<'a> SharedParts<'a> {
    fn place(&self, part: usize, quantity: usize, blocks: &Range<usize>) -> Range<usize> {
        let row = (part * self.quantities + quantity) * self.padded;
        row + blocks.start * LANES..row + blocks.end * LANES
    }

    /// The sums of a part over blocks of channels, to read.
    ///
    /// # Safety
    /// No task may be writing them.
    pub(crate) unsafe fn read(
        &self,
        part: usize,
        quantity: usize,
        blocks: &Range<usize>,
    ) -> &'a [f32] {
        // SAFETY: the caller keeps writers away.
        unsafe { self.values.read(self.place(part, quantity, blocks)) }
    }

    /// The sums of a part over blocks of channels, to write.
    ///
    /// # Safety
    /// No other task may be using them.
    pub(crate) unsafe fn write(
        &self,
        part: usize,
        quantity: usize,
        blocks: &Range<usize>,
    ) -> &'a mut [f32] {
        // SAFETY: the caller keeps other tasks away.
        unsafe { self.values.write(self.place(part, quantity, blocks)) }
    }
}

/// Quantities of the statistics' [`Parts`]: the shift, and the sums of `x - shift` and its square.
pub(crate) const MOMENTS: usize = 3;

impl<'a> SharedParts<'a> {
    /// Shift, sum and sum of squares of a part over blocks of channels, to write.
    ///
    /// # Safety
    /// As for [`write`](Self::write).
    pub(crate) unsafe fn moments(
        &self,
        part: usize,
        blocks: &Range<usize>,
    ) -> [&'a mut [f32]; MOMENTS] {
        // SAFETY: the caller vouches for all three, which lie apart.
        std::array::from_fn(|quantity| unsafe { self.write(part, quantity, blocks) })
    }
}

/// Sets the channels of `blocks` by the moments of all parts, `counts` values each.
///
/// Where other processes have parts, too, this does nothing: see [`set_across`].
///
/// # Safety
/// The parts must be written, and no other task may use the blocks' channels.
pub(crate) unsafe fn set_by_moments(
    norm: SharedNorm<'_>,
    weights: &NormWeights<'_>,
    parts: SharedParts<'_>,
    counts: &[usize],
    blocks: Range<usize>,
) {
    if norm.across.is_some() {
        return;
    }
    for channel in blocks.start * LANES..norm.channels.min(blocks.end * LANES) {
        // SAFETY: the caller vouches that nobody writes the parts.
        let [total, mean, deviations] = unsafe { join_moments(parts, counts, channel) };
        norm.set(
            weights,
            channel,
            mean as f32,
            (deviations / total).max(0.0) as f32,
        );
    }
}

/// Count, mean and sum of squared deviations of a channel, by the moments of all parts.
///
/// Every part's sums are about its own shift, a value of its channel, so that they do not cancel; the
/// parts are put together by the formula of Chan, Golub and LeVeque in double precision.
///
/// # Safety
/// The parts must be written.
unsafe fn join_moments(parts: SharedParts<'_>, counts: &[usize], channel: usize) -> [f64; 3] {
    let block = channel / LANES..channel / LANES + 1;
    let (mut total, mut mean, mut deviations) = (0.0, 0.0, 0.0);
    for (part, count) in counts.iter().enumerate() {
        let [shift, sum, squares] = [0, 1, 2].map(|quantity| {
            // SAFETY: the caller vouches that nobody writes them.
            let part = unsafe { parts.read(part, quantity, &block) };
            f64::from(part[channel % LANES])
        });
        let count = *count as f64;
        let offset = sum / count;
        let difference = shift + offset - mean;
        let all = total + count;
        mean += difference * count / all;
        deviations += squares - sum * offset + difference * difference * total * count / all;
        total = all;
    }
    [total, mean, deviations]
}

/// Sets all channels of a norm whose values other processes have parts of, by the moments of all parts of all of them.
///
/// The sums of means and of squares are in double precision, in which what cancels between them is far below the
/// precision of the values.
///
/// # Safety
/// The parts must be written, and no task may use the norm.
pub(crate) unsafe fn set_across(
    norm: SharedNorm<'_>,
    weights: &NormWeights<'_>,
    parts: SharedParts<'_>,
    counts: &[usize],
) {
    let Some(across) = norm.across else {
        return;
    };
    let mut sums = Vec::with_capacity(2 * norm.channels);
    for channel in 0..norm.channels {
        // SAFETY: the caller vouches that nobody writes the parts.
        let [total, mean, deviations] = unsafe { join_moments(parts, counts, channel) };
        sums.extend([mean, deviations / total + mean * mean]);
    }
    let share = 1.0 / across.parts() as f64;
    for (channel, sums) in across.sum(sums).as_chunks::<2>().0.iter().enumerate() {
        let [mean, squares] = sums.map(|sum| sum * share);
        let variance = (squares - mean * mean).max(0.0);
        norm.set(weights, channel, mean as f32, variance as f32);
    }
}

/// How a batch norm's backward makes gradients of raw values, for the 16 channels of a block:
/// `slope * dz + along * raw + constant`.
#[derive(Clone, Copy)]
pub(crate) struct NormSlope<'a> {
    /// Factor of the gradient of the normalised, scaled and offset value.
    pub(crate) slope: &'a [f32],
    /// Factor of the raw value.
    pub(crate) along: &'a [f32],
    /// The rest.
    pub(crate) constant: &'a [f32],
}

/// The backward of a batch norm, filled as tasks find the sums that it needs.
pub(crate) struct NormBackward<'n> {
    norm: &'n Norm,
    parts: Parts,
    slopes: Buffer,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    found: Found,
}

/// The sums of blocks of channels that wait for those of other processes.
type Found = Mutex<BTreeMap<usize, [[f64; LANES]; 2]>>;

/// A [`NormBackward`] that tasks fill and read, each its own channels.
#[derive(Clone, Copy)]
pub(crate) struct SharedNormBackward<'a> {
    norm: &'a Norm,
    /// The sums of `dz` and of `dz * normalised`, for each part of the batch.
    pub(crate) parts: SharedParts<'a>,
    slopes: Shared<'a>,
    gamma: Shared<'a>,
    beta: Shared<'a>,
    found: &'a Found,
}

impl<'n> NormBackward<'n> {
    /// Room for the sums of `parts` parts of a batch.
    pub(crate) fn new(norm: &'n Norm, parts: usize) -> Self {
        let channels = norm.channels;
        Self {
            norm,
            parts: Parts::new(parts, 2, channels),
            slopes: Buffer::zeros(norm.padded * 3),
            gamma: vec![0.0; channels],
            beta: vec![0.0; channels],
            found: Mutex::default(),
        }
    }

    /// A view that tasks write, each its own parts and channels.
    pub(crate) fn shared(&mut self) -> SharedNormBackward<'_> {
        SharedNormBackward {
            norm: self.norm,
            parts: self.parts.shared(),
            slopes: Shared::new(&mut self.slopes),
            gamma: Shared::new(&mut self.gamma),
            beta: Shared::new(&mut self.beta),
            found: &self.found,
        }
    }

    /// The gradients of the norm's weights.
    pub(crate) fn grads(self) -> NormGrads {
        NormGrads {
            gamma: self.gamma,
            beta: self.beta,
        }
    }
}

impl<'a> SharedNormBackward<'a> {
    /// Joins the sums of all parts, whose values number `counts`, for some blocks.
    ///
    /// # Safety
    /// The parts must be written, and no other task may use the blocks' channels.
    pub(crate) unsafe fn join(&self, blocks: Range<usize>, counts: &[usize]) {
        for block in blocks {
            let mut sums = [[0.0; LANES]; 2];
            for (quantity, sums) in sums.iter_mut().enumerate() {
                for part in 0..counts.len() {
                    // SAFETY: the caller vouches that nobody writes them.
                    let part = unsafe { self.parts.read(part, quantity, &(block..block + 1)) };
                    for (sum, part) in sums.iter_mut().zip(part) {
                        *sum += f64::from(*part);
                    }
                }
            }
            // SAFETY: the caller vouches for the block's channels.
            unsafe { self.found(block, sums, counts.iter().sum()) };
        }
    }

    /// Takes the sums of `dz` and of `dz * normalised` of a block over `count` values of each channel, and sets it by
    /// them; where other processes have values, too, [`set_across`](Self::set_across) does.
    ///
    /// # Safety
    /// No other task may use the block's channels.
    pub(crate) unsafe fn found(&self, block: usize, sums: [[f64; LANES]; 2], count: usize) {
        if self.norm.is_across() {
            let mut found = self.found.lock().expect("no task panics with the lock");
            found.insert(block, sums);
            return;
        }
        // SAFETY: the caller vouches for the block's channels.
        unsafe { self.set(block, sums, sums, count) };
    }

    /// Sets all blocks by the sums that were found here, over `count` values of each channel, and by those of the other
    /// processes. The gradients of the norm's weights stay those of the values here.
    ///
    /// # Safety
    /// All blocks must have been found, and no task may use any.
    pub(crate) unsafe fn set_across(&self, count: usize) {
        let Some(across) = self.norm.across else {
            return;
        };
        let mut found = self.found.lock().expect("no task panics with the lock");
        let own = std::mem::take(&mut *found);
        let sums = across.sum(own.values().flatten().flatten().copied().collect());
        let all = sums.as_chunks::<LANES>().0.as_chunks::<2>().0;
        for ((block, own), all) in own.into_iter().zip(all) {
            // SAFETY: the caller vouches for the block's channels.
            unsafe { self.set(block, own, *all, count * across.parts()) };
        }
    }

    /// Sets a block by the sums of `dz` and of `dz * normalised`: here, and over all `count` values of each channel.
    ///
    /// # Safety
    /// No other task may use the block's channels.
    unsafe fn set(
        &self,
        block: usize,
        own: [[f64; LANES]; 2],
        sums: [[f64; LANES]; 2],
        count: usize,
    ) {
        let norm = self.norm.block(block);
        let channels = block * LANES..self.norm.channels.min((block + 1) * LANES);
        // SAFETY: the caller vouches for the block's channels.
        let (slopes, gamma, beta) = unsafe {
            let slopes = self
                .slopes
                .write(block * LANES * 3..(block + 1) * LANES * 3);
            (
                slopes,
                self.gamma.write(channels.clone()),
                self.beta.write(channels.clone()),
            )
        };
        let count = count as f64;
        for lane in 0..channels.len() {
            let (scale, root) = (f64::from(norm.scale[lane]), f64::from(norm.root[lane]));
            let along = -scale * root * sums[1][lane] / count;
            slopes[lane] = norm.scale[lane];
            slopes[LANES + lane] = along as f32;
            slopes[2 * LANES + lane] =
                (-scale * sums[0][lane] / count - along * f64::from(norm.mean[lane])) as f32;
            beta[lane] = own[0][lane] as f32;
            gamma[lane] = own[1][lane] as f32;
        }
    }

    /// The coefficients of a block.
    ///
    /// # Safety
    /// The block must have been set, and no task may be setting it.
    pub(crate) unsafe fn block(&self, block: usize) -> NormSlope<'a> {
        // SAFETY: the caller keeps writers away.
        let all = unsafe { self.slopes.read(block * LANES * 3..(block + 1) * LANES * 3) };
        NormSlope {
            slope: &all[..LANES],
            along: &all[LANES..2 * LANES],
            constant: &all[2 * LANES..],
        }
    }
}
