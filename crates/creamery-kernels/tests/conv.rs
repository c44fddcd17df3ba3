//! Dense convolutions against their naive twin.

mod naive;

use creamery_kernels::conv::{self, ConvShape, ConvWeights};
use creamery_kernels::inference::Layer;
use creamery_kernels::{ChannelStats, Isa, KernelError, NormWeights, RunningStats, with_isa};
use naive::{Map, close, uniform, wide};
use proptest::prelude::*;

struct Case {
    shape: ConvShape,
    weight: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    x: Vec<f32>,
    dy: Vec<f32>,
}

impl Case {
    fn new(shape: ConvShape, seed: u64) -> Self {
        let mut rng = creamery_rng::stream(seed, "conv tests", 0);
        let mut values = |len: usize| uniform(&mut rng, len);
        Self {
            shape,
            weight: values(shape.out_channels * shape.in_channels * shape.kernel * shape.kernel),
            gamma: values(shape.out_channels)
                .iter()
                .map(|g| 1.0 + 0.5 * g)
                .collect(),
            beta: values(shape.out_channels),
            x: values(shape.input_len()),
            dy: values(shape.output_len()),
        }
    }

    fn weights(&self) -> ConvWeights<'_> {
        ConvWeights {
            weight: &self.weight,
            norm: NormWeights {
                gamma: &self.gamma,
                beta: &self.beta,
            },
        }
    }

    fn twin(&self) -> (Map, naive::Normed) {
        let s = &self.shape;
        let x = Map::new(s.images, s.height, s.width, s.in_channels, &self.x);
        let raw = naive::conv(
            &x,
            &wide(&self.weight),
            s.out_channels,
            s.kernel,
            s.stride,
            1,
        );
        (x, naive::norm(&raw, &self.weights().norm))
    }

    /// The twin's output.
    fn output(&self, normed: &naive::Normed) -> Vec<f64> {
        normed
            .y
            .data
            .iter()
            .map(|z| if self.shape.silu { naive::silu(*z) } else { *z })
            .collect()
    }

    /// Holds all passes against the twin.
    #[track_caller]
    fn check(&self, isa: Isa, tolerance: f64) {
        let (shape, weights) = (&self.shape, self.weights());
        let label = |what: &str| format!("{isa:?} {shape:?} {what}");
        let (x, normed) = self.twin();
        let mut dz = normed.y.clone();
        for (d, dy) in dz.data.iter_mut().zip(&self.dy) {
            *d = f64::from(*dy)
                * if shape.silu {
                    naive::silu_slope(*d)
                } else {
                    1.0
                };
        }
        let (draw, gamma, beta) = naive::norm_back(&normed, &weights.norm, &dz);
        let (dx, dw) = naive::conv_back(
            &x,
            &wide(&self.weight),
            &draw,
            shape.kernel,
            shape.stride,
            1,
        );
        with_isa(isa, || {
            let forward = conv::forward(shape, &weights, &self.x).unwrap();
            close(&label("y"), &forward.y, &self.output(&normed), tolerance);
            close(&label("mean"), &forward.stats.mean, &normed.mean, tolerance);
            close(&label("var"), &forward.stats.var, &normed.var, tolerance);
            let (y, stats) = conv::forward_no_grad(shape, &weights, &self.x).unwrap();
            assert_eq!((&y, &stats), (&forward.y, &forward.stats));

            let grads =
                conv::backward(shape, &weights, &self.x, &forward.saved, &self.dy, true).unwrap();
            close(&label("gamma"), &grads.norm.gamma, &gamma, 4.0 * tolerance);
            close(&label("beta"), &grads.norm.beta, &beta, 4.0 * tolerance);
            close(&label("weight"), &grads.weight, &dw, 4.0 * tolerance);
            close(
                &label("x"),
                grads.x.as_ref().unwrap(),
                &dx.data,
                4.0 * tolerance,
            );
            let without =
                conv::backward(shape, &weights, &self.x, &forward.saved, &self.dy, false).unwrap();
            assert!(without.x.is_none() && without.weight == grads.weight);

            let stats = ChannelStats {
                mean: (0..shape.out_channels)
                    .map(|c| 0.1 * (c % 7) as f32)
                    .collect(),
                var: (0..shape.out_channels)
                    .map(|c| 0.5 + 0.1 * (c % 5) as f32)
                    .collect(),
            };
            let raw = naive::conv(
                &x,
                &wide(&self.weight),
                shape.out_channels,
                shape.kernel,
                shape.stride,
                1,
            );
            let exact = naive::normed(&raw, &weights.norm, wide(&stats.mean), wide(&stats.var));
            let running = RunningStats {
                mean: &stats.mean,
                var: &stats.var,
            };
            let y = conv::infer(shape, &weights, &running, &self.x).unwrap();
            close(&label("inference"), &y, &self.output(&exact), tolerance);

            let one = ConvShape {
                images: 1,
                ..*shape
            };
            let layer = Layer::convolution(&one, &weights, &running).unwrap();
            let ready = self.x.chunks(one.input_len()).flat_map(|image| {
                let y = if shape.kernel == 1 && shape.stride == 1 {
                    layer.run(&naive::blocked(image, shape.in_channels))
                } else {
                    layer.run(image)
                };
                naive::unblocked(&y.unwrap(), shape.out_channels)
            });
            let ready: Vec<f32> = ready.collect();
            close(
                &label("made ready"),
                &ready,
                &self.output(&exact),
                tolerance,
            );
        });
    }
}

fn shape(
    images: usize,
    size: [usize; 2],
    channels: [usize; 2],
    kernel: usize,
    stride: usize,
    silu: bool,
) -> ConvShape {
    let ([height, width], [in_channels, out_channels]) = (size, channels);
    ConvShape {
        images,
        height,
        width,
        in_channels,
        out_channels,
        kernel,
        stride,
        silu,
    }
}

#[test]
fn convolutions_equal_the_twin_for_every_instruction_set() {
    let shapes = [
        shape(9, [12, 14], [3, 16], 3, 2, true),
        shape(3, [33, 35], [1, 16], 3, 2, true),
        shape(20, [2, 2], [48, 80], 1, 1, true),
        shape(40, [1, 1], [19, 250], 1, 1, false),
        shape(4, [5, 7], [6, 11], 3, 1, false),
        shape(12, [2, 2], [4, 5], 7, 1, true),
        shape(3, [9, 8], [2, 17], 1, 3, true),
    ];
    for isa in Isa::available() {
        for (seed, shape) in shapes.into_iter().enumerate() {
            Case::new(shape, seed as u64).check(isa, 2e-5);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_shape_equals_the_twin(
        images in 4usize..12,
        size in [1usize..9, 1usize..9],
        channels in [1usize..20, 1usize..40],
        kernel in prop::sample::select(vec![1usize, 3, 5, 7]),
        stride in 1usize..4,
        silu in any::<bool>(),
        seed in any::<u64>(),
    ) {
        Case::new(shape(images, size, channels, kernel, stride, silu), seed).check(Isa::best(), 2e-4);
    }
}

#[test]
fn the_gradients_are_central_differences() {
    let shape = shape(3, [5, 4], [3, 6], 3, 2, true);
    let case = Case::new(shape, 5);
    let forward = conv::forward(&shape, &case.weights(), &case.x).unwrap();
    let grads = conv::backward(
        &shape,
        &case.weights(),
        &case.x,
        &forward.saved,
        &case.dy,
        true,
    )
    .unwrap();
    let loss = |case: &Case| -> f64 {
        let y = case.output(&case.twin().1);
        y.iter().zip(&case.dy).map(|(y, d)| y * f64::from(*d)).sum()
    };
    fn parameter(case: &mut Case, which: usize) -> &mut Vec<f32> {
        [
            &mut case.x,
            &mut case.weight,
            &mut case.gamma,
            &mut case.beta,
        ]
        .into_iter()
        .nth(which)
        .unwrap()
    }
    let found = [
        grads.x.as_ref().unwrap(),
        &grads.weight,
        &grads.norm.gamma,
        &grads.norm.beta,
    ];
    for (which, grad) in found.into_iter().enumerate() {
        for index in [0, grad.len() / 2, grad.len() - 1] {
            let at = |step: f32| {
                let mut case = Case::new(shape, 5);
                parameter(&mut case, which)[index] += step;
                (f64::from(parameter(&mut case, which)[index]), loss(&case))
            };
            let ((up, high), (down, low)) = (at(1e-3), at(-1e-3));
            let difference = (high - low) / (up - down);
            let error = (f64::from(grad[index]) - difference).abs();
            assert!(
                error <= 2e-3 * difference.abs().max(1.0),
                "{which}[{index}]: {} not {difference}",
                grad[index]
            );
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    for shape in [
        shape(16, [24, 24], [3, 16], 3, 2, true),
        shape(16, [2, 2], [192, 320], 1, 1, true),
    ] {
        let case = Case::new(shape, 1);
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| {
                let forward = conv::forward(&shape, &case.weights(), &case.x).unwrap();
                let back = conv::backward(
                    &shape,
                    &case.weights(),
                    &case.x,
                    &forward.saved,
                    &case.dy,
                    true,
                )
                .unwrap();
                (forward.y, forward.stats, back)
            })
        };
        let one = run(1);
        assert!(run(2) == one && run(3) == one, "{shape:?}");
    }
}

#[test]
fn what_does_not_fit_is_an_error_and_not_a_panic() {
    let case = Case::new(shape(2, [4, 4], [3, 8], 3, 1, true), 1);
    let forward =
        |shape: &ConvShape, x: &[f32]| conv::forward(shape, &case.weights(), x).map(|_| ());
    let error = forward(&case.shape, &case.x[1..]).unwrap_err();
    assert_eq!(
        error,
        KernelError::Length {
            what: "x",
            expected: 96,
            found: 95
        }
    );
    assert!(
        error
            .to_string()
            .starts_with("x has 95 values where the shape asks for 96")
    );
    for (what, bad) in [
        (
            "kernel",
            ConvShape {
                kernel: 2,
                ..case.shape
            },
        ),
        (
            "kernel",
            ConvShape {
                kernel: 0,
                ..case.shape
            },
        ),
        (
            "stride",
            ConvShape {
                stride: 0,
                ..case.shape
            },
        ),
        (
            "out_channels",
            ConvShape {
                out_channels: 0,
                ..case.shape
            },
        ),
    ] {
        let error = forward(&bad, &case.x).unwrap_err();
        assert!(
            matches!(error, KernelError::Unsupported { what: found, .. } if found == what),
            "{error}"
        );
    }
    let huge = ConvShape {
        height: usize::MAX / 4,
        ..case.shape
    };
    assert_eq!(forward(&huge, &case.x), Err(KernelError::TooLarge));
    let done = conv::forward(&case.shape, &case.weights(), &case.x).unwrap();
    let back = conv::backward(
        &case.shape,
        &case.weights(),
        &case.x,
        &done.saved,
        &case.dy[1..],
        true,
    );
    assert!(matches!(back, Err(KernelError::Length { what: "dy", .. })));
}
