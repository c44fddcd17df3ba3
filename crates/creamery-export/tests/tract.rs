//! What tract says of exported networks, beside what they say here.

mod random;

use std::collections::BTreeMap;

use burn::tensor::{Tensor, TensorData};
use creamery_export::onnx::{OPSETS, OnnxOptions, block_bytes, bytes};
use creamery_nn::{Device, Layer, Norm, ops};
use creamery_space::{Activation, Architecture, LayerSpec, Sampler, Space, preset};
use creamery_train::{Model, ModelInput};
use proptest::prelude::*;
use random::noise;
use tract_onnx::prelude::*;

/// Differences are rounding; they grow with the logits, whose usual size is about 1.
const NEAR: f32 = 1e-4;

/// The output of `file` for `input`, `[n, ..]`.
fn tract(file: &[u8], shape: &[usize], input: &[f32]) -> (Vec<usize>, Vec<f32>) {
    let runnable = tract_onnx::onnx()
        .model_for_read(&mut &file[..])
        .and_then(|model| model.into_optimized())
        .and_then(|model| model.into_runnable())
        .unwrap();
    let input = tract_onnx::prelude::Tensor::from_shape(shape, input).unwrap();
    let output = runnable.run(tvec!(input.into())).unwrap().remove(0);
    let output = output.to_plain_array_view::<f32>().unwrap();
    (output.shape().to_vec(), output.iter().copied().collect())
}

fn values<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
    tensor.into_data().try_into_vec().unwrap()
}

/// Fails unless `found` is `expected`, in relation to the larger of 1 and the largest value.
fn assert_near(what: &str, found: &[f32], expected: &[f32]) {
    let scale = expected.iter().fold(1.0, |most: f32, v| most.max(v.abs()));
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        let difference = (found - expected).abs();
        assert!(difference <= NEAR * scale, "{what}: {found} {expected}");
    }
}

/// Fails if a network says much the same of every image, of which a comparison would learn nothing.
fn assert_distinct(logits: &[f32], classes: usize) {
    let scale = logits.iter().fold(0.0, |most: f32, v| most.max(v.abs()));
    let (first, others) = logits.split_at(classes);
    for other in others.chunks_exact(classes) {
        let apart =
            (first.iter().zip(other)).fold(0.0, |most: f32, (a, b)| most.max((a - b).abs()));
        assert!(
            apart > 0.05 * scale,
            "images {apart} apart, logits to {scale}"
        );
    }
}

fn model(space: &Space, architecture: &Architecture, seed: u64) -> Model {
    let (channels, classes) = (3, 7);
    let net = random::network(space, architecture, channels, classes, seed).unwrap();
    Model {
        net,
        space: space.clone(),
        input: ModelInput {
            data: "random".into(),
            classes: (0..classes).map(|class| format!("class {class}")).collect(),
            channels,
            shorter_side: architecture.resolution,
            interpolation: Default::default(),
            mean: vec![0.5; channels],
            std: vec![0.25; channels],
        },
    }
}

fn compare(model: &Model, options: &OnnxOptions) {
    let file = bytes(model, options).unwrap();
    let side = model.net.architecture.resolution;
    for images in [1, 3] {
        let shape = [images, model.input.channels, side, side];
        let mut rng = creamery_rng::stream(0, "test images", images as u64);
        let input = noise(shape.iter().product(), &mut rng);
        let (found_shape, found) = tract(&file, &shape, &input);
        assert_eq!(found_shape, [images, model.net.classes()]);
        let images = Tensor::<4>::from_data(TensorData::new(input, shape), &Device::flex());
        let output = model
            .net
            .forward(images.permute([0, 2, 3, 1]), Norm::Running);
        assert_distinct(&values(output.logits.clone()), model.net.classes());
        let expected = match options.softmax {
            true => burn::tensor::activation::softmax(output.logits, 1),
            false => output.logits,
        };
        let what = format!("{} {options:?}", model.net.architecture);
        assert_near(&what, &found, &values(expected));
    }
}

#[test]
fn presets_say_the_same_in_tract() {
    let space = Space::builtin("cream-224").unwrap();
    for name in ["cream-14", "cream-43"] {
        let architecture = preset(name).unwrap().architecture;
        compare(&model(&space, &architecture, 5), &OnnxOptions::default());
    }
}

#[test]
fn every_opset_says_the_same_with_and_without_softmax() {
    let space = Space::builtin("tiny-32").unwrap();
    let model = model(&space, &space.smallest(28).unwrap(), 6);
    for opset in OPSETS {
        for softmax in [false, true] {
            compare(&model, &OnnxOptions { opset, softmax });
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn random_networks_say_the_same_in_tract(seed: u64, large: bool) {
        let space = Space::builtin("tiny-32").unwrap();
        let resolution = if large { 32 } else { 28 };
        let mut rng = creamery_rng::stream(seed, "test architectures", 0);
        let sampler = Sampler::new(&space, resolution, 3, 7, &Default::default()).unwrap();
        compare(&model(&space, &sampler.draw(&mut rng), seed), &OnnxOptions::default());
    }

    #[test]
    fn single_layers_say_the_same_in_tract(
        kind in 0usize..5,
        (inputs, outputs) in (1usize..9, 1usize..9),
        (kernel, stride) in (prop::sample::select(vec![1usize, 3, 5, 7]), 1usize..3),
        squeeze in 0usize..4,
        (same, active) in (any::<bool>(), any::<bool>()),
        size in 1usize..10,
        seed: u64,
    ) {
        let out_channels = if same { inputs } else { outputs };
        // tract's optimiser fails on some expansions before a depthwise kernel of one pixel that skips pixels, whose file
        // onnxruntime runs. No space of ours has one.
        let stride = if kernel == 1 && kind == 2 { 1 } else { stride };
        let spec = match kind {
            0 => LayerSpec::ConvNorm {
                in_channels: inputs, out_channels, kernel, stride,
                activation: active.then_some(Activation::Silu),
            },
            1 => LayerSpec::DepthwiseSeparable { in_channels: inputs, out_channels, kernel, stride, squeeze },
            2 => LayerSpec::InvertedResidual {
                in_channels: inputs, mid_channels: 3 * inputs, out_channels, kernel, stride, squeeze,
            },
            3 => LayerSpec::Head { in_channels: inputs, head_channels: outputs },
            _ => LayerSpec::Classifier { in_features: inputs, classes: outputs },
        };
        let device = Device::flex();
        let mut rng = creamery_rng::stream(seed, "test layers", 0);
        let mut layer = Layer::new("stages.0.1.2", &spec, seed, &device);
        let mut state = layer.state();
        random::randomise(&mut state, &mut rng);
        let mut state: BTreeMap<_, _> = state.into_iter().map(|t| (t.name.clone(), t)).collect();
        layer.take(&mut state, &device).unwrap();

        let file = block_bytes(&layer, size, 17).unwrap();
        for images in [1, 3] {
            let pixels = if kind == 4 { 1 } else { size * size };
            let input = noise(images * inputs * pixels, &mut rng);
            let tensor = Tensor::<1>::from_data(TensorData::new(input.clone(), [input.len()]), &device);
            let (shape, expected) = if kind == 4 {
                let output = ops::linear(tensor.reshape([images, inputs]), &layer.params);
                (vec![images, inputs], values(output))
            } else {
                let map = tensor.reshape([images, inputs, size, size]).permute([0, 2, 3, 1]);
                let output = if kind == 3 {
                    values(ops::head(map, &layer.params))
                } else {
                    let (y, _) = ops::feature_map(&spec, map, &layer.params, layer.running.as_ref(), Norm::Running);
                    values(y.permute([0, 3, 1, 2]))
                };
                (vec![images, inputs, size, size], output)
            };
            let (found_shape, found) = tract(&file, &shape, &input);
            let side = spec.output_size(size);
            let expected_shape = if kind < 3 {
                vec![images, out_channels, side, side]
            } else {
                vec![images, outputs]
            };
            prop_assert_eq!(found_shape, expected_shape);
            assert_near(&format!("{spec:?} at {size} px"), &found, &expected);
        }
    }
}
