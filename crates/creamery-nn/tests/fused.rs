//! The operators of each device against the composed ones on the CPU, in outputs, statistics and all gradients: on
//! the CPU that is fused against composed.

use burn::tensor::{Tensor, TensorData};
use creamery_fixtures::{on_each_device, values};
use creamery_nn::ops::{self, Norm, composed};
use creamery_nn::{Device, Layer};
use creamery_space::{Activation, LayerSpec};
use proptest::prelude::*;
use rand::RngExt;

/// Values in ±1, by name.
fn random(len: usize, name: &str, seed: u64) -> Vec<f32> {
    let mut rng = creamery_rng::stream(seed, name, 0);
    (0..len).map(|_| rng.random_range(-1.0..1.0)).collect()
}

fn input([n, h, w, c]: [usize; 4], seed: u64, device: &Device) -> Tensor<4> {
    let data = TensorData::new(random(n * h * w * c, "x", seed), [n, h, w, c]);
    Tensor::from_data(data, device)
}

/// Close in norm, or both next to nothing: the shift of a projection's norm has no gradient in theory.
fn close(what: &str, found: &[f32], expected: &[f32], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let largest = expected.iter().fold(0.0f32, |m, v| m.max(v.abs()));
    if largest < 1e-5 {
        let found = found.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        assert!(found < 1e-4, "{what}: {found} instead of nothing");
        return;
    }
    let error = creamery_fixtures::relative(found, expected);
    assert!(error < tolerance, "{what}: {error}");
}

/// A layer whose norms and biases are not at their initial values.
fn layer(spec: &LayerSpec, seed: u64, device: &Device) -> Layer {
    let mut layer = Layer::new("layer", spec, seed, device);
    let noise =
        |len, name| Tensor::<1>::from_data(TensorData::new(random(len, name, seed), [len]), device);
    let [len] = layer.params.dims();
    layer.params = layer.params.clone() + noise(len, "noise") * 0.2;
    if let Some(running) = &mut layer.running {
        let [len] = running.dims();
        *running = running.clone() + noise(len, "running") * 0.3;
    }
    layer
}

type Run<'a> = dyn Fn(Tensor<4>, &Tensor<1>) -> (Tensor<4>, Option<Tensor<1>>) + 'a;

/// Output, statistics, gradient of the input and of the parameters, for a loss with varied gradients.
fn train(run: &Run<'_>, x: &Tensor<4>, layer: &Layer, seed: u64) -> [Vec<f32>; 4] {
    let leaf = x.clone().autodiff().require_grad();
    let params = layer.params.clone().autodiff().require_grad();
    let (y, stats) = run(leaf.clone(), &params);
    let weight = input(y.dims(), seed ^ 1, &x.device());
    let grads = (y.clone() * weight).sum().backward();
    [
        values(y),
        stats.map(values).unwrap_or_default(),
        values(leaf.grad(&grads).unwrap()),
        values(params.grad(&grads).unwrap()),
    ]
}

fn compare(spec: &LayerSpec, [n, h, w]: [usize; 3], seed: u64, device: &Device) {
    let cpu = Device::flex();
    let [own, reference] = [device, &cpu].map(|device| layer(spec, seed, device));
    let [own_x, reference_x] =
        [device, &cpu].map(|device| input([n, h, w, spec.in_channels()], seed, device));
    let fast = |norm| {
        let running = own.running.as_ref();
        move |x: Tensor<4>, p: &Tensor<1>| ops::feature_map(spec, x, p, running, norm)
    };
    let slow = |norm| {
        let running = reference.running.as_ref();
        move |x: Tensor<4>, p: &Tensor<1>| composed::feature_map(spec, x, p, running, norm)
    };
    let found = train(&fast(Norm::Batch), &own_x, &own, seed);
    let expected = train(&slow(Norm::Batch), &reference_x, &reference, seed);
    for (i, what) in ["output", "statistics", "dx"].into_iter().enumerate() {
        close(what, &found[i], &expected[i], 1e-4);
    }
    let flat = |v: &Vec<f32>| Tensor::<1>::from_data(TensorData::new(v.clone(), [v.len()]), &cpu);
    let [found, expected] = [found, expected].map(|run| reference.part(&flat(&run[3])));
    // Where a norm takes the scale of a weight away (one channel in, a 1x1 kernel), its gradient is what
    // is left of a cancellation; the error is therefore measured beside the whole gradient too.
    let norm = |values: &[f32]| values.iter().map(|v| f64::from(v * v)).sum::<f64>().sqrt();
    let all: Vec<f32> = expected.iter().flat_map(|t| t.values.clone()).collect();
    for (found, expected) in found.iter().zip(&expected) {
        let pairs = found.values.iter().zip(&expected.values);
        let difference: Vec<f32> = pairs.map(|(a, b)| a - b).collect();
        let allowed = 1e-4 * (norm(&expected.values) + 0.05 * norm(&all));
        let error = norm(&difference);
        assert!(error <= allowed, "{}: {error} > {allowed}", expected.name);
    }
    // Without gradients, and with running statistics.
    for norm in [Norm::Batch, Norm::Running] {
        let found = fast(norm)(own_x.clone(), &own.params);
        let expected = slow(norm)(reference_x.clone(), &reference.params);
        close(
            "output without gradients",
            &values(found.0),
            &values(expected.0),
            1e-4,
        );
        assert_eq!(found.1.is_some(), expected.1.is_some());
    }
}

fn compare_heads([n, h, w]: [usize; 3], inp: usize, out: usize, seed: u64, device: &Device) {
    let spec = LayerSpec::Head {
        in_channels: inp,
        head_channels: out,
    };
    let run = |head: &dyn Fn(Tensor<4>, &Tensor<1>) -> Tensor<2>, device: &Device| {
        let x = input([n, h, w, inp], seed, device);
        let leaf = x.autodiff().require_grad();
        let params = layer(&spec, seed, device).params.autodiff().require_grad();
        let y = head(leaf.clone(), &params);
        let grads = y.clone().square().sum().backward();
        [
            values(y),
            values(leaf.grad(&grads).unwrap()),
            values(params.grad(&grads).unwrap()),
        ]
    };
    let found = run(&ops::head, device);
    let expected = run(&composed::head, &Device::flex());
    for (found, expected) in found.iter().zip(&expected) {
        close("head", found, expected, 1e-4);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn inverted_residuals(
        size in (2usize..5, 3usize..12, 3usize..12),
        (inp, expansion, out) in (1usize..20, 1usize..7, 1usize..20),
        half in 1usize..4, stride in 1usize..3, squeeze in prop::sample::select(vec![0usize, 8]),
        seed in 0u64..1000,
    ) {
        let spec = LayerSpec::InvertedResidual {
            in_channels: inp,
            mid_channels: inp * expansion,
            out_channels: out,
            kernel: 2 * half + 1,
            stride,
            squeeze,
        };
        compare(&spec, [size.0, size.1, size.2], seed, &Device::flex());
    }

    #[test]
    fn depthwise_separable_blocks(
        size in (2usize..5, 3usize..12, 3usize..12),
        inp in 1usize..20, same: bool, half in 1usize..4, stride in 1usize..3,
        squeeze in prop::sample::select(vec![0usize, 8]), seed in 0u64..1000,
    ) {
        let spec = LayerSpec::DepthwiseSeparable {
            in_channels: inp,
            out_channels: if same { inp } else { inp + 3 },
            kernel: 2 * half + 1,
            stride,
            squeeze,
        };
        compare(&spec, [size.0, size.1, size.2], seed, &Device::flex());
    }

    #[test]
    fn convolutions(
        size in (2usize..5, 3usize..12, 3usize..12),
        inp in 1usize..9, out in 1usize..20, half in 0usize..3, stride in 1usize..3, silu: bool,
        seed in 0u64..1000,
    ) {
        let spec = LayerSpec::ConvNorm {
            in_channels: inp,
            out_channels: out,
            kernel: 2 * half + 1,
            stride,
            activation: silu.then_some(Activation::Silu),
        };
        compare(&spec, [size.0, size.1, size.2], seed, &Device::flex());
    }

    #[test]
    fn heads(n in 1usize..5, h in 1usize..5, w in 1usize..5, inp in 1usize..40, out in 1usize..40, seed in 0u64..1000) {
        compare_heads([n, h, w], inp, out, seed, &Device::flex());
    }
}

/// Every kind of layer, kernels and strides that differ, with and without squeeze-excite and skip.
#[test]
fn layers_are_the_same_on_each_device() {
    let convolution = |kernel, stride, activation| LayerSpec::ConvNorm {
        in_channels: 3,
        out_channels: 8,
        kernel,
        stride,
        activation,
    };
    let separable = |out_channels, squeeze| LayerSpec::DepthwiseSeparable {
        in_channels: 6,
        out_channels,
        kernel: 3,
        stride: 1,
        squeeze,
    };
    let residual = |kernel, stride, squeeze| LayerSpec::InvertedResidual {
        in_channels: 6,
        mid_channels: 24,
        out_channels: 6,
        kernel,
        stride,
        squeeze,
    };
    let specs = [
        convolution(3, 2, Some(Activation::Silu)),
        convolution(1, 1, None),
        separable(6, 8),
        separable(9, 0),
        residual(3, 1, 8),
        residual(5, 2, 8),
        residual(7, 1, 0),
    ];
    on_each_device(|device| {
        for spec in &specs {
            println!("{spec:?}");
            compare(spec, [3, 8, 7], 1, device);
        }
        compare_heads([3, 4, 3], 20, 33, 1, device);
    });
}

/// The gradient of inference is defined too, if slower: it is composed.
#[test]
fn running_statistics_under_gradients_are_composed() {
    on_each_device(check_running_statistics_under_gradients);
}

fn check_running_statistics_under_gradients(device: &Device) {
    let spec = LayerSpec::ConvNorm {
        in_channels: 3,
        out_channels: 4,
        kernel: 3,
        stride: 1,
        activation: None,
    };
    let layer = layer(&spec, 1, device);
    let params = layer.params.clone().autodiff().require_grad();
    let x = input([2, 5, 5, 3], 1, device);
    let (y, _) = ops::feature_map(&spec, x, &params, layer.running.as_ref(), Norm::Running);
    assert!(params.grad(&y.sum().backward()).is_some());
}
