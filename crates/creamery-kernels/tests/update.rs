//! Updates against their naive twins.

mod naive;

use std::ops::Range;

use creamery_kernels::update::{Adamw, Rmsprop, Sgd, adamw, blend, dot, rmsprop, sgd};
use creamery_kernels::{Isa, KernelError, with_isa};
use naive::{close, uniform, wide};
use proptest::prelude::*;

/// Lengths about the sizes of a vector, of a single-precision sum and of a task.
fn length() -> impl Strategy<Value = usize> {
    prop_oneof![
        0usize..70,
        1000usize..1100,
        32_700usize..32_800,
        Just(100_003)
    ]
}

/// `count` buffers of `len` values.
fn buffers<const N: usize>(len: usize, seed: u64) -> [Vec<f32>; N] {
    let mut rng = creamery_rng::stream(seed, "update tests", 0);
    std::array::from_fn(|_| uniform(&mut rng, len))
}

/// Two ranges, with places before, between and after them where the length allows it.
fn decaying(len: usize) -> [Range<usize>; 2] {
    [len / 7..len / 3, len / 2..len - len / 9]
}

fn weight_decay(index: usize, len: usize, decay: f32) -> f64 {
    let decays = decaying(len).iter().any(|range| range.contains(&index));
    if decays { f64::from(decay) } else { 0.0 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn sgd_is_its_twin(len in length(), seed: u64, nesterov: bool, decay in prop_oneof![Just(0.0f32), Just(0.1)]) {
        let settings = Sgd { lr: 0.3, momentum: 0.9, nesterov, weight_decay: decay, scale: 0.7 };
        let [value, momentum, grad] = buffers(len, seed);
        let (mut values, mut momenta) = (wide(&value), wide(&momentum));
        for i in 0..len {
            let g = 0.7 * f64::from(grad[i]) + weight_decay(i, len, decay) * values[i];
            momenta[i] = 0.9 * momenta[i] + g;
            values[i] -= 0.3 * if nesterov { g + 0.9 * momenta[i] } else { momenta[i] };
        }
        for isa in Isa::available() {
            let (mut value, mut momentum) = (value.clone(), momentum.clone());
            with_isa(isa, || sgd(&settings, &mut value, &mut momentum, &grad, &decaying(len))).unwrap();
            close(&format!("{isa:?} value"), &value, &values, 1e-6);
            close(&format!("{isa:?} momentum"), &momentum, &momenta, 1e-6);
        }
    }

    #[test]
    fn rmsprop_is_its_twin(len in length(), seed: u64) {
        let settings =
            Rmsprop { lr: 0.3, momentum: 0.9, alpha: 0.8, epsilon: 1e-3, weight_decay: 0.1, scale: 0.7 };
        let [value, momentum, mut square, grad] = buffers(len, seed);
        square.iter_mut().for_each(|square| *square = square.abs());
        let [mut values, mut momenta, mut squares] = [&value, &momentum, &square].map(|v| wide(v));
        for i in 0..len {
            let g = 0.7 * f64::from(grad[i]) + weight_decay(i, len, 0.1) * values[i];
            squares[i] += (1.0 - 0.8) * (g * g - squares[i]);
            momenta[i] = 0.9 * momenta[i] + 0.3 * g / (squares[i] + 1e-3).sqrt();
            values[i] -= momenta[i];
        }
        for isa in Isa::available() {
            let [mut value, mut momentum, mut square] = [&value, &momentum, &square].map(Vec::clone);
            let decaying = decaying(len);
            with_isa(isa, || rmsprop(&settings, &mut value, &mut momentum, &mut square, &grad, &decaying))
                .unwrap();
            close(&format!("{isa:?} value"), &value, &values, 1e-5);
            close(&format!("{isa:?} momentum"), &momentum, &momenta, 1e-5);
            close(&format!("{isa:?} square"), &square, &squares, 1e-6);
        }
    }

    #[test]
    fn adamw_is_its_twin(len in length(), seed: u64, update in prop_oneof![Just(1u64), Just(2), 3u64..100_000]) {
        let settings = Adamw {
            lr: 0.3, beta1: 0.9, beta2: 0.99, epsilon: 1e-3, weight_decay: 0.1, scale: 0.7, update,
        };
        let [value, average, mut square, grad] = buffers(len, seed);
        square.iter_mut().for_each(|square| *square = square.abs());
        let [mut values, mut averages, mut squares] = [&value, &average, &square].map(|v| wide(v));
        let rest = |beta: f32| 1.0 - f64::from(beta).powf(update as f64);
        for i in 0..len {
            let g = 0.7 * f64::from(grad[i]);
            averages[i] = 0.9 * averages[i] + 0.1 * g;
            squares[i] = 0.99 * squares[i] + 0.01 * g * g;
            values[i] -= 0.3 * weight_decay(i, len, 0.1) * values[i];
            values[i] -= 0.3 * averages[i] / rest(0.9) / ((squares[i] / rest(0.99)).sqrt() + 1e-3);
        }
        for isa in Isa::available() {
            let [mut value, mut average, mut square] = [&value, &average, &square].map(Vec::clone);
            let decaying = decaying(len);
            with_isa(isa, || adamw(&settings, &mut value, &mut average, &mut square, &grad, &decaying))
                .unwrap();
            close(&format!("{isa:?} value"), &value, &values, 2e-5);
            close(&format!("{isa:?} average"), &average, &averages, 1e-6);
            close(&format!("{isa:?} square"), &square, &squares, 1e-6);
        }
    }

    #[test]
    fn blend_and_dot_are_their_twins(len in length(), seed: u64) {
        let [x, y] = buffers(len, seed);
        let blended: Vec<f64> = x.iter().zip(&y).map(|(x, y)| 0.9 * f64::from(*x) - 0.3 * f64::from(*y)).collect();
        let product: f64 = x.iter().zip(&y).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum();
        let size: f64 = x.iter().zip(&y).map(|(x, y)| (f64::from(*x) * f64::from(*y)).abs()).sum();
        for isa in Isa::available() {
            let mut found = x.clone();
            with_isa(isa, || blend(0.9, &mut found, -0.3, &y)).unwrap();
            close(&format!("{isa:?} blend"), &found, &blended, 1e-6);
            let found = with_isa(isa, || dot(&x, &y)).unwrap();
            prop_assert!((found - product).abs() <= 1e-6 * size, "{isa:?}: {found}, not {product}");
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let [value, momentum, grad] = buffers::<3>(200_001, 1);
    let settings = Sgd {
        lr: 0.3,
        momentum: 0.9,
        nesterov: true,
        weight_decay: 0.1,
        scale: 0.7,
    };
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let (mut value, mut momentum) = (value.clone(), momentum.clone());
        pool.install(|| {
            sgd(
                &settings,
                &mut value,
                &mut momentum,
                &grad,
                &[0..50_000, 60_000..100_000],
            )
            .unwrap();
            let product = dot(&value, &momentum).unwrap();
            (product.to_bits(), value, momentum)
        })
    };
    let one = run(1);
    for threads in [2, 3, 8] {
        assert!(run(threads) == one, "{threads} threads");
    }
}

#[test]
fn wrong_lengths_and_ranges_are_told() {
    let settings = Sgd {
        lr: 0.3,
        momentum: 0.9,
        nesterov: true,
        weight_decay: 0.1,
        scale: 1.0,
    };
    let is_length = |result| matches!(result, Err(KernelError::Length { .. }));
    let sgd = |momentum: usize, grad: usize, decaying: &[Range<usize>]| {
        let mut momentum = vec![0.0; momentum];
        sgd(
            &settings,
            &mut [0.0; 4],
            &mut momentum,
            &vec![0.0; grad],
            decaying,
        )
    };
    assert!(is_length(sgd(3, 4, &[])));
    assert!(is_length(sgd(4, 5, &[])));
    assert!(is_length(sgd(4, 4, &[0..1, 2..5])), "beyond the end");
    assert!(is_length(sgd(4, 4, &[2..3, 1..4])), "not ascending");
    assert!(is_length(blend(1.0, &mut [0.0], 1.0, &[])));
    assert!(matches!(dot(&[0.0], &[]), Err(KernelError::Length { .. })));
}
