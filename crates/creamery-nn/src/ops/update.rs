//! Updates of flat parameters, each one pass over memory on the CPU.
//!
//! None of this is part of a gradient graph. A tensor that is updated is changed in place if no other handle
//! shares it, and replaced otherwise.

use std::ops::Range;

use burn::tensor::Tensor;
use creamery_kernels::update::{Adamw, Rmsprop, Sgd};

use super::{composed, fused};

/// The tensor out of its place, in which `stand_in` is left.
fn take(place: &mut Tensor<1>, stand_in: &Tensor<1>) -> Tensor<1> {
    std::mem::replace(place, stand_in.clone())
}

fn on_cpu(x: &Tensor<1>) -> bool {
    fused::on_cpu(&x.device())
}

/// `x = a x + b y`: a moving average, a step along a gradient.
pub fn blend(a: f64, x: &mut Tensor<1>, b: f64, y: &Tensor<1>) {
    let old = take(x, y);
    *x = if on_cpu(y) {
        fused::blend(a as f32, old, b as f32, y.clone())
    } else {
        composed::blend(a, old, b, y.clone())
    };
}

/// The sum of the inner products of pairs of tensors.
pub fn dot(pairs: &[(&Tensor<1>, &Tensor<1>)]) -> f64 {
    let products: Vec<Tensor<1>> = pairs
        .iter()
        .map(|(x, y)| match on_cpu(x) {
            true => fused::dot((*x).clone(), (*y).clone()),
            false => composed::dot((*x).clone(), (*y).clone()),
        })
        .collect();
    if products.is_empty() {
        return 0.0;
    }
    // One read for all of them: on a GPU each read waits for the device.
    let products: Vec<f32> = Tensor::cat(products, 0)
        .into_data()
        .try_into_vec()
        .expect("parameters are f32");
    products.iter().map(|product| f64::from(*product)).sum()
}

/// Updates a layer's parameters by [`creamery_kernels::update::sgd`].
pub fn sgd(
    settings: &Sgd,
    value: &mut Tensor<1>,
    momentum: &mut Tensor<1>,
    grad: Tensor<1>,
    decaying: &[Range<usize>],
) {
    let (old, buffer) = (take(value, &grad), take(momentum, &grad));
    (*value, *momentum) = if on_cpu(&grad) {
        fused::sgd(old, buffer, grad, *settings, decaying.to_vec())
    } else {
        composed::sgd(old, buffer, grad, settings, decaying)
    };
}

/// Updates a layer's parameters by [`creamery_kernels::update::rmsprop`].
pub fn rmsprop(
    settings: &Rmsprop,
    value: &mut Tensor<1>,
    momentum: &mut Tensor<1>,
    square: &mut Tensor<1>,
    grad: Tensor<1>,
    decaying: &[Range<usize>],
) {
    let [old, buffer, average] = [&mut *value, momentum, square].map(|place| take(place, &grad));
    (*value, *momentum, *square) = if on_cpu(&grad) {
        fused::rmsprop(old, buffer, average, grad, *settings, decaying.to_vec())
    } else {
        composed::rmsprop(old, buffer, average, grad, settings, decaying)
    };
}

/// Updates a layer's parameters by [`creamery_kernels::update::adamw`].
pub fn adamw(
    settings: &Adamw,
    value: &mut Tensor<1>,
    average: &mut Tensor<1>,
    square: &mut Tensor<1>,
    grad: Tensor<1>,
    decaying: &[Range<usize>],
) {
    let [old, mean, squares] = [&mut *value, average, square].map(|place| take(place, &grad));
    (*value, *average, *square) = if on_cpu(&grad) {
        fused::adamw(old, mean, squares, grad, *settings, decaying.to_vec())
    } else {
        composed::adamw(old, mean, squares, grad, settings, decaying)
    };
}
