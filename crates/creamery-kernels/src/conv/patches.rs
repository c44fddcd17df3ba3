//! Patches: what a kernel sees of an image at each output pixel, `[kernel][kernel][in]`.

use super::{ConvShape, TILE};
use crate::pool::Buffer;
use std::ops::Range;

/// Calls `f` with the number of the first pixel (of all images' outputs) and the patches of each tile of
/// some images.
pub(crate) fn patches(
    shape: &ConvShape,
    x: &[f32],
    images: &Range<usize>,
    mut f: impl FnMut(usize, &[f32]),
) {
    let (k, pixels) = (shape.patch(), shape.pixels());
    if shape.pointwise() {
        for first in (images.start * pixels..images.end * pixels).step_by(TILE) {
            f(
                first,
                &x[first * k..(first + TILE).min(images.end * pixels) * k],
            );
        }
        return;
    }
    let image_len = shape.height * shape.width * shape.in_channels;
    let mut tile = Buffer::stale(TILE * k);
    for image in images.clone() {
        let x = &x[image * image_len..(image + 1) * image_len];
        for first in (0..pixels).step_by(TILE) {
            let count = TILE.min(pixels - first);
            tile.fill(0.0);
            for (pixel, patch) in (first..first + count).zip(tile.chunks_exact_mut(k)) {
                each_run(shape, pixel, |place, in_patch| {
                    patch[in_patch].copy_from_slice(&x[place])
                });
            }
            f(image * pixels + first, &tile[..count * k]);
        }
    }
}

/// Calls `f` with the places, in an image and in the patch of an output pixel, of each run of values that
/// the two share: the columns of a row of the kernel that lie inside the image.
#[inline]
pub(super) fn each_run(
    shape: &ConvShape,
    pixel: usize,
    mut f: impl FnMut(Range<usize>, Range<usize>),
) {
    let (pad, c) = (shape.kernel / 2, shape.in_channels);
    let (top, left) = (
        pixel / shape.out_width() * shape.stride,
        pixel % shape.out_width() * shape.stride,
    );
    let columns = pad.saturating_sub(left)..shape.kernel.min(shape.width + pad - left);
    for kernel_row in pad.saturating_sub(top)..shape.kernel.min(shape.height + pad - top) {
        let row = top + kernel_row - pad;
        let at = (row * shape.width + left + columns.start - pad) * c;
        let in_patch = (kernel_row * shape.kernel + columns.start) * c;
        f(
            at..at + columns.len() * c,
            in_patch..in_patch + columns.len() * c,
        );
    }
}

/// `[out][in][kernel][kernel]` as `[out][kernel][kernel][in]`.
pub(crate) fn to_patches(shape: &ConvShape, weight: &[f32]) -> Buffer {
    let mut to = Buffer::stale(weight.len());
    each_weight(shape, |torch, patch| to[patch] = weight[torch]);
    to
}

/// The way back.
pub(super) fn from_patches(shape: &ConvShape, weight: &[f32]) -> Vec<f32> {
    let mut to = vec![0.0; weight.len()];
    each_weight(shape, |torch, patch| to[torch] = weight[patch]);
    to
}

/// Calls `f` with the place of each weight in PyTorch's layout and in that of patches.
fn each_weight(shape: &ConvShape, mut f: impl FnMut(usize, usize)) {
    let (c, size) = (shape.in_channels, shape.kernel * shape.kernel);
    for out in 0..shape.out_channels {
        for channel in 0..c {
            for tap in 0..size {
                f(
                    (out * c + channel) * size + tap,
                    (out * size + tap) * c + channel,
                );
            }
        }
    }
}
