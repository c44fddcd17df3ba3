//! Updates of flat parameters by the kernels.

use std::ops::Range;

use burn::backend::flex::FlexTensor;
use burn::backend::tensor::FloatTensor;
use burn::backend::{Backend, Dispatch, Flex, backend_extension};
use burn::tensor::Tensor;
use creamery_kernels::update::{self, Adamw, Rmsprop, Sgd};

use super::blocks::{contiguous, tensor, values};

const FITS: &str = "tensors of one layer have one length";

/// See [`super::super::blend`].
pub fn blend(a: f32, x: Tensor<1>, b: f32, y: Tensor<1>) -> Tensor<1> {
    let (x, y) = (x.into_dispatch(), y.into_dispatch());
    Tensor::from_dispatch(<Dispatch as Updates>::blend(x, y, a, b))
}

/// The inner product, one value.
pub fn dot(x: Tensor<1>, y: Tensor<1>) -> Tensor<1> {
    let (x, y) = (x.into_dispatch(), y.into_dispatch());
    Tensor::from_dispatch(<Dispatch as Updates>::dot(x, y))
}

/// See [`super::super::sgd`].
pub fn sgd(
    value: Tensor<1>,
    momentum: Tensor<1>,
    grad: Tensor<1>,
    settings: Sgd,
    decaying: Vec<Range<usize>>,
) -> (Tensor<1>, Tensor<1>) {
    let [value, momentum, grad] = [value, momentum, grad].map(Tensor::into_dispatch);
    let (value, momentum) = <Dispatch as Updates>::sgd(value, momentum, grad, settings, decaying);
    (
        Tensor::from_dispatch(value),
        Tensor::from_dispatch(momentum),
    )
}

/// See [`super::super::rmsprop`].
pub fn rmsprop(
    value: Tensor<1>,
    momentum: Tensor<1>,
    square: Tensor<1>,
    grad: Tensor<1>,
    settings: Rmsprop,
    decaying: Vec<Range<usize>>,
) -> (Tensor<1>, Tensor<1>, Tensor<1>) {
    let [value, momentum, square, grad] =
        [value, momentum, square, grad].map(Tensor::into_dispatch);
    let (value, momentum, square) =
        <Dispatch as Updates>::rmsprop(value, momentum, square, grad, settings, decaying);
    let [value, momentum, square] = [value, momentum, square].map(Tensor::from_dispatch);
    (value, momentum, square)
}

/// See [`super::super::adamw`].
pub fn adamw(
    value: Tensor<1>,
    average: Tensor<1>,
    square: Tensor<1>,
    grad: Tensor<1>,
    settings: Adamw,
    decaying: Vec<Range<usize>>,
) -> (Tensor<1>, Tensor<1>, Tensor<1>) {
    let [value, average, square, grad] = [value, average, square, grad].map(Tensor::into_dispatch);
    let (value, average, square) =
        <Dispatch as Updates>::adamw(value, average, square, grad, settings, decaying);
    let [value, average, square] = [value, average, square].map(Tensor::from_dispatch);
    (value, average, square)
}

/// Updates, outside any gradient graph.
#[backend_extension(Flex)]
trait Updates: Backend {
    fn blend(x: FloatTensor<Self>, y: FloatTensor<Self>, a: f32, b: f32) -> FloatTensor<Self>;

    fn dot(x: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self>;

    fn sgd(
        value: FloatTensor<Self>,
        momentum: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        settings: Sgd,
        decaying: Vec<Range<usize>>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>);

    fn rmsprop(
        value: FloatTensor<Self>,
        momentum: FloatTensor<Self>,
        square: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        settings: Rmsprop,
        decaying: Vec<Range<usize>>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);

    fn adamw(
        value: FloatTensor<Self>,
        average: FloatTensor<Self>,
        square: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        settings: Adamw,
        decaying: Vec<Range<usize>>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>);
}

/// The values of a tensor, which are copied first if another handle shares them.
fn writable(x: &mut FlexTensor) -> &mut [f32] {
    if x.as_slice::<f32>().is_none() {
        *x = x.to_contiguous();
    }
    // A tensor may be a window on a longer buffer.
    let (start, end) = x
        .layout()
        .contiguous_offsets()
        .expect("the tensor is contiguous");
    &mut x.storage_mut::<f32>()[start..end]
}

impl Updates for Flex {
    fn blend(mut x: FloatTensor<Self>, y: FloatTensor<Self>, a: f32, b: f32) -> FloatTensor<Self> {
        let y = contiguous(y);
        update::blend(a, writable(&mut x), b, values(&y)).expect(FITS);
        x
    }

    fn dot(x: FloatTensor<Self>, y: FloatTensor<Self>) -> FloatTensor<Self> {
        let (x, y) = (contiguous(x), contiguous(y));
        let product = update::dot(values(&x), values(&y)).expect(FITS);
        tensor(vec![product as f32], &[1])
    }

    fn sgd(
        mut value: FloatTensor<Self>,
        mut momentum: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        settings: Sgd,
        decaying: Vec<Range<usize>>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>) {
        let grad = contiguous(grad);
        let (to, buffer) = (writable(&mut value), writable(&mut momentum));
        update::sgd(&settings, to, buffer, values(&grad), &decaying).expect(FITS);
        (value, momentum)
    }

    fn rmsprop(
        mut value: FloatTensor<Self>,
        mut momentum: FloatTensor<Self>,
        mut square: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        settings: Rmsprop,
        decaying: Vec<Range<usize>>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let grad = contiguous(grad);
        let [to, buffer, average] = [&mut value, &mut momentum, &mut square].map(writable);
        update::rmsprop(&settings, to, buffer, average, values(&grad), &decaying).expect(FITS);
        (value, momentum, square)
    }

    fn adamw(
        mut value: FloatTensor<Self>,
        mut average: FloatTensor<Self>,
        mut square: FloatTensor<Self>,
        grad: FloatTensor<Self>,
        settings: Adamw,
        decaying: Vec<Range<usize>>,
    ) -> (FloatTensor<Self>, FloatTensor<Self>, FloatTensor<Self>) {
        let grad = contiguous(grad);
        let [to, mean, squares] = [&mut value, &mut average, &mut square].map(writable);
        update::adamw(&settings, to, mean, squares, values(&grad), &decaying).expect(FITS);
        (value, average, square)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_shares_is_changed_in_place() {
        let place = |x: &FlexTensor| values(x).as_ptr();
        let fresh = |value: f32| tensor(vec![value; 100], &[100]);
        let (value, momentum) = (fresh(1.0), fresh(0.0));
        let places = (place(&value), place(&momentum));
        let settings = Sgd {
            lr: 0.5,
            momentum: 0.9,
            nesterov: false,
            weight_decay: 0.0,
            scale: 1.0,
        };
        let (value, momentum) =
            <Flex as Updates>::sgd(value, momentum, fresh(1.0), settings, vec![]);
        assert_eq!((place(&value), place(&momentum)), places);
        assert!(values(&value).iter().all(|value| *value == 0.5));

        let shared = value.clone();
        let moved = <Flex as Updates>::blend(value, fresh(1.0), 2.0, 1.0);
        assert_ne!(place(&moved), place(&shared));
        assert_eq!((values(&moved)[0], values(&shared)[0]), (2.0, 0.5));
    }
}
