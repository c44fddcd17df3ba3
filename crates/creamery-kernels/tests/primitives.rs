//! Single kernels against their naive twins.

mod naive;

use creamery_kernels::primitives::{Depthwise, matrix_product, silu};
use creamery_kernels::{Isa, KernelError, with_isa};
use naive::{Map, close, uniform, wide};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn matrix_products_equal_the_twin((m, n, k) in (1usize..30, 1usize..80, 1usize..40), seed in any::<u64>()) {
        let mut rng = creamery_rng::stream(seed, "primitive tests", 0);
        let (a, b) = (uniform(&mut rng, m * k), uniform(&mut rng, k * n));
        let at = |i: usize, j: usize| (0..k).map(|kk| f64::from(a[i * k + kk]) * f64::from(b[kk * n + j])).sum();
        let exact: Vec<f64> = (0..m * n).map(|i| at(i / n, i % n)).collect();
        for isa in Isa::available() {
            let mut c = vec![f32::NAN; m * n];
            with_isa(isa, || matrix_product([m, n, k], &a, &b, &mut c)).unwrap();
            close(&format!("{isa:?}"), &c, &exact, 1e-5);
        }
    }

    #[test]
    fn silu_equals_the_twin(len in 0usize..200, seed in any::<u64>()) {
        let x: Vec<f32> = uniform(&mut creamery_rng::stream(seed, "silu tests", 0), len).iter().map(|x| 20.0 * x).collect();
        let exact: Vec<f64> = wide(&x).into_iter().map(naive::silu).collect();
        for isa in Isa::available() {
            let mut y = vec![f32::NAN; len];
            with_isa(isa, || silu(&x, &mut y)).unwrap();
            close(&format!("{isa:?}"), &y, &exact, 1e-6);
        }
    }

    #[test]
    fn depthwise_convolutions_equal_the_twin(
        images in 1usize..4,
        size in [1usize..20, 1usize..20],
        kernel in prop::sample::select(vec![1usize, 3, 5, 7]),
        stride in 1usize..3,
        seed in any::<u64>(),
    ) {
        let depthwise = Depthwise::new(images, size, kernel, stride).unwrap();
        let mut rng = creamery_rng::stream(seed, "depthwise tests", 0);
        let x = Map::new(images, size[0], size[1], 16, &uniform(&mut rng, images * size[0] * size[1] * 16));
        let taps = uniform(&mut rng, depthwise.taps_len());
        let dy = uniform(&mut rng, depthwise.output_len());
        // Taps lie [kernel][kernel][16] here, and [16][kernel][kernel] in the twin.
        let area = kernel * kernel;
        let weight: Vec<f64> = (0..16 * area).map(|i| f64::from(taps[i % area * 16 + i / area])).collect();
        let y = naive::conv(&x, &weight, 16, kernel, stride, 16);
        let slope = Map { data: wide(&dy), ..y.clone() };
        let (dx, dw) = naive::conv_back(&x, &weight, &slope, kernel, stride, 16);
        let dw: Vec<f64> = (0..16 * area).map(|i| dw[i % 16 * area + i / 16]).collect();

        let input = pad(&x, depthwise.left(), depthwise.padded_width());
        let slope = pad(&slope, depthwise.slope_left(), depthwise.padded_slope_width());
        for isa in Isa::available() {
            with_isa(isa, || {
                let mut out = vec![f32::NAN; depthwise.output_len()];
                depthwise.forward(&input, &taps, &mut out).unwrap();
                close(&format!("{isa:?} forward"), &out, &y.data, 1e-5);
                let mut out = vec![f32::NAN; dx.data.len()];
                depthwise.input_grad(&slope, &taps, &mut out).unwrap();
                close(&format!("{isa:?} input"), &out, &dx.data, 1e-5);
                let mut out = vec![1.0; depthwise.taps_len()];
                depthwise.weight_grad(&input, &slope, &mut out).unwrap();
                let sum: Vec<f64> = dw.iter().map(|d| d + 1.0).collect();
                close(&format!("{isa:?} weight"), &out, &sum, 1e-5);
            });
        }
    }
}

/// Rows of `width` pixels, of which the first `left` are zeros.
fn pad(map: &Map, left: usize, width: usize) -> Vec<f32> {
    let mut padded = vec![0.0; map.n * map.h * width * map.c];
    for (row, values) in map.data.chunks(map.w * map.c).enumerate() {
        for (to, from) in padded[(row * width + left) * map.c..]
            .iter_mut()
            .zip(values)
        {
            *to = *from as f32;
        }
    }
    padded
}

#[test]
fn wrong_lengths_are_errors() {
    let error = matrix_product([2, 2, 2], &[0.0; 4], &[0.0; 3], &mut [0.0; 4]).unwrap_err();
    assert_eq!(
        error,
        KernelError::Length {
            what: "b",
            expected: 4,
            found: 3
        }
    );
    assert!(silu(&[0.0; 3], &mut [0.0; 2]).is_err());
    assert!(Depthwise::new(1, [4, 4], 9, 1).is_err());
    assert!(Depthwise::new(0, [4, 4], 3, 1).is_err());
    let depthwise = Depthwise::new(1, [4, 4], 3, 1).unwrap();
    assert!(depthwise.forward(&[], &[], &mut []).is_err());
}
