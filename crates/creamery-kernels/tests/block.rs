//! Blocks against their naive twin.

mod naive;

use creamery_kernels::block::{
    self, BlockRunningStats, BlockShape, BlockStats, BlockWeights, ExpandWeights, SqueezeWeights,
};
use creamery_kernels::inference::Layer;
use creamery_kernels::{ChannelStats, Isa, KernelError, NormWeights, RunningStats, with_isa};
use naive::{close, uniform};
use proptest::prelude::*;

/// Everything that a block is called with, at random.
struct Case {
    shape: BlockShape,
    expand: Option<Vec<f32>>,
    norms: Vec<(Vec<f32>, Vec<f32>)>,
    depthwise: Vec<f32>,
    squeeze: Option<[Vec<f32>; 4]>,
    project: Vec<f32>,
    x: Vec<f32>,
    dy: Vec<f32>,
}

impl Case {
    fn new(shape: BlockShape, expand: bool, squeeze: bool, seed: u64) -> Self {
        let mut rng = creamery_rng::stream(seed, "block tests", 0);
        let (mid, size) = (shape.mid_channels, shape.kernel * shape.kernel);
        let mut values = |len: usize| uniform(&mut rng, len);
        let mut norm = |channels: usize| {
            let (gamma, beta) = (values(channels), values(channels));
            (gamma.iter().map(|g| 1.0 + 0.5 * g).collect(), beta)
        };
        let norms = vec![norm(mid), norm(mid), norm(shape.out_channels)];
        Self {
            shape,
            expand: expand.then(|| values(mid * shape.in_channels)),
            norms,
            depthwise: values(mid * size),
            squeeze: squeeze.then(|| {
                let weight = shape.squeeze * mid;
                [
                    values(weight),
                    values(shape.squeeze),
                    values(weight),
                    values(mid),
                ]
            }),
            project: values(shape.out_channels * mid),
            x: values(shape.input_len()),
            dy: values(shape.output_len()),
        }
    }

    fn weights(&self) -> BlockWeights<'_> {
        let norm = |index: usize| NormWeights {
            gamma: &self.norms[index].0,
            beta: &self.norms[index].1,
        };
        BlockWeights {
            expand: self.expand.as_ref().map(|weight| ExpandWeights {
                weight,
                norm: norm(0),
            }),
            depthwise: &self.depthwise,
            depthwise_norm: norm(1),
            squeeze: self
                .squeeze
                .as_ref()
                .map(
                    |[reduce, reduce_bias, expand, expand_bias]| SqueezeWeights {
                        reduce,
                        reduce_bias,
                        expand,
                        expand_bias,
                    },
                ),
            project: &self.project,
            project_norm: norm(2),
        }
    }

    /// Statistics that are not those of the batch.
    fn running(&self) -> BlockStats {
        let stats = |channels: usize| ChannelStats {
            mean: (0..channels).map(|c| 0.1 * (c % 7) as f32).collect(),
            var: (0..channels).map(|c| 0.5 + 0.1 * (c % 5) as f32).collect(),
        };
        BlockStats {
            expand: self.expand.as_ref().map(|_| stats(self.shape.mid_channels)),
            depthwise: stats(self.shape.mid_channels),
            project: stats(self.shape.out_channels),
        }
    }

    /// By the operator, and image by image by the layer that is made ready.
    fn infer(&self) -> [Vec<f32>; 2] {
        let running = self.running();
        fn of(stats: &ChannelStats) -> RunningStats<'_> {
            RunningStats {
                mean: &stats.mean,
                var: &stats.var,
            }
        }
        let stats = BlockRunningStats {
            expand: running.expand.as_ref().map(of),
            depthwise: of(&running.depthwise),
            project: of(&running.project),
        };
        let shape = BlockShape {
            images: 1,
            ..self.shape
        };
        let layer = Layer::block(&shape, &self.weights(), &stats).unwrap();
        let ready = self.x.chunks(shape.input_len()).flat_map(|image| {
            let y = layer
                .run(&naive::blocked(image, shape.in_channels))
                .unwrap();
            naive::unblocked(&y, shape.out_channels)
        });
        [
            block::infer(&self.shape, &self.weights(), &stats, &self.x).unwrap(),
            ready.collect(),
        ]
    }

    /// Holds all passes against the twin.
    #[track_caller]
    fn check(&self, isa: Isa, tolerance: f64) {
        let (shape, weights) = (&self.shape, self.weights());
        let twin = naive::block(shape, &weights, &self.x, None);
        let label = |what: &str| format!("{isa:?} {shape:?} {what}");
        with_isa(isa, || {
            let forward = block::forward(shape, &weights, &self.x).unwrap();
            let no_grad = block::forward_no_grad(shape, &weights, &self.x).unwrap();
            for (pass, y, stats) in [
                ("forward", &forward.y, &forward.stats),
                ("no grad", &no_grad.0, &no_grad.1),
            ] {
                close(&label(&format!("{pass} y")), y, &twin.y.data, tolerance);
                let stats = stats
                    .expand
                    .iter()
                    .chain([&stats.depthwise, &stats.project]);
                let found: Vec<&Vec<f32>> = stats.flat_map(|s| [&s.mean, &s.var]).collect();
                for (found, (what, exact)) in found.iter().zip(naive::stats(&twin)) {
                    close(&label(&format!("{pass} {what}")), found, &exact, tolerance);
                }
            }

            let grads =
                block::backward(shape, &weights, &self.x, &forward.saved, &self.dy, true).unwrap();
            let exact = naive::block_back(shape, &weights, &twin, &self.dy);
            let found = naive::named(&grads);
            assert_eq!(found.len(), exact.len());
            for ((name, found), (exact_name, exact)) in found.into_iter().zip(&exact) {
                assert_eq!(name, *exact_name);
                close(&label(name), found, exact, 4.0 * tolerance);
            }
            let without =
                block::backward(shape, &weights, &self.x, &forward.saved, &self.dy, false).unwrap();
            assert!(without.x.is_none());
            assert_eq!(without.depthwise, grads.depthwise);
            assert_eq!(without.expand, grads.expand);

            let twin = naive::block(shape, &weights, &self.x, Some(&self.running()));
            let [operator, ready] = self.infer();
            close(&label("inference"), &operator, &twin.y.data, tolerance);
            close(&label("made ready"), &ready, &twin.y.data, tolerance);
        });
    }
}

fn shape(
    images: usize,
    height: usize,
    width: usize,
    c: [usize; 3],
    kernel: usize,
    stride: usize,
    squeeze: usize,
) -> BlockShape {
    let [in_channels, mid_channels, out_channels] = c;
    BlockShape {
        images,
        height,
        width,
        in_channels,
        mid_channels,
        out_channels,
        kernel,
        stride,
        squeeze,
    }
}

#[test]
fn inverted_residuals_equal_the_twin_for_every_instruction_set() {
    let shapes = [
        // Whole blocks of channels, a residual, and several chunks of images.
        shape(9, 6, 6, [16, 64, 16], 3, 1, 16),
        // Half blocks, stride 2 of an even size.
        shape(4, 8, 8, [16, 72, 24], 5, 2, 8),
        // Odd channels, stride 2 of an odd size, columns unlike rows.
        shape(3, 7, 9, [5, 19, 7], 7, 2, 3),
        // Kernels larger than the image.
        shape(20, 2, 2, [24, 48, 24], 7, 1, 5),
        shape(33, 1, 1, [8, 40, 17], 5, 1, 10),
        shape(12, 3, 1, [8, 33, 8], 7, 2, 4),
        // Wide rows, and an image of more than a tile.
        shape(2, 17, 19, [3, 16, 4], 3, 1, 4),
        // Images that go through the depthwise convolution in bands.
        shape(1, 81, 50, [2, 8, 3], 5, 2, 2),
        shape(2, 64, 63, [3, 5, 3], 7, 1, 3),
        // Groups without chunks.
        shape(10, 2, 3, [24, 176, 40], 3, 1, 44),
        // A projection by groups.
        shape(6, 2, 2, [24, 160, 144], 5, 1, 44),
    ];
    for isa in Isa::available() {
        for (seed, shape) in shapes.into_iter().enumerate() {
            Case::new(shape, true, true, seed as u64).check(isa, 2e-5);
        }
    }
}

#[test]
fn depthwise_separable_blocks_equal_the_twin_for_every_instruction_set() {
    let shapes = [
        shape(9, 6, 6, [16, 16, 16], 3, 1, 8),
        shape(3, 7, 8, [21, 21, 9], 5, 2, 5),
        shape(20, 1, 2, [40, 40, 40], 7, 1, 8),
        shape(2, 70, 66, [5, 5, 5], 3, 1, 2),
        shape(2, 18, 15, [3, 3, 19], 3, 1, 2),
    ];
    for isa in Isa::available() {
        for (seed, shape) in shapes.into_iter().enumerate() {
            Case::new(shape, false, true, seed as u64).check(isa, 2e-5);
        }
    }
}

#[test]
fn blocks_without_squeeze_excite_equal_the_twin() {
    for isa in Isa::available() {
        Case::new(shape(3, 9, 8, [8, 24, 12], 5, 2, 0), true, false, 1).check(isa, 2e-5);
        Case::new(shape(3, 9, 8, [8, 8, 8], 3, 1, 0), false, false, 2).check(isa, 2e-5);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_shape_equals_the_twin(
        images in 4usize..12,
        (height, width) in (1usize..8, 1usize..8),
        (inner, mid, out) in (1usize..40, 1usize..70, 1usize..40),
        kernel in prop::sample::select(vec![1usize, 3, 5, 7]),
        stride in 1usize..3,
        squeeze in 1usize..20,
        (expand, excite, same) in any::<(bool, bool, bool)>(),
        seed in any::<u64>(),
    ) {
        let mid = if expand { mid } else { inner };
        let out = if same { inner } else { out };
        let case = Case::new(shape(images, height, width, [inner, mid, out], kernel, stride, squeeze), expand, excite, seed);
        case.check(Isa::best(), 2e-4);
    }
}

/// The twin's own backward, by central differences of its forward pass in random directions.
#[test]
fn the_gradients_are_central_differences() {
    for (expand, shape) in [
        (true, shape(3, 4, 5, [3, 8, 3], 3, 1, 4)),
        (false, shape(3, 5, 4, [6, 6, 4], 5, 2, 3)),
    ] {
        let case = Case::new(shape, expand, true, 5);
        let forward = block::forward(&shape, &case.weights(), &case.x).unwrap();
        let grads = block::backward(
            &shape,
            &case.weights(),
            &case.x,
            &forward.saved,
            &case.dy,
            true,
        )
        .unwrap();
        // The loss is <y, dy>. Single precision inputs move by a step that they represent exactly enough.
        let loss = |case: &Case| -> f64 {
            let y = naive::block(&shape, &case.weights(), &case.x, None).y;
            y.data
                .iter()
                .zip(&case.dy)
                .map(|(y, d)| y * f64::from(*d))
                .sum()
        };
        for (name, grad) in naive::named(&grads) {
            for index in [0, grad.len() / 2, grad.len() - 1] {
                let at = |step: f32| {
                    let mut case = Case::new(shape, expand, true, 5);
                    *case.parameter(name, index) += step;
                    (f64::from(*case.parameter(name, index)), loss(&case))
                };
                let ((up, high), (down, low)) = (at(1e-3), at(-1e-3));
                let difference = (high - low) / (up - down);
                let error = (f64::from(grad[index]) - difference).abs();
                assert!(
                    error <= 2e-3 * difference.abs().max(1.0),
                    "{name}[{index}]: {} not {difference}",
                    grad[index]
                );
            }
        }
    }
}

impl Case {
    fn parameter(&mut self, name: &str, index: usize) -> &mut f32 {
        let squeeze = self.squeeze.as_mut();
        let list = match name {
            "x" => &mut self.x,
            "expand" => self.expand.as_mut().unwrap(),
            "expand gamma" => &mut self.norms[0].0,
            "expand beta" => &mut self.norms[0].1,
            "depthwise" => &mut self.depthwise,
            "depthwise gamma" => &mut self.norms[1].0,
            "depthwise beta" => &mut self.norms[1].1,
            "squeeze reduce" => &mut squeeze.unwrap()[0],
            "squeeze reduce bias" => &mut squeeze.unwrap()[1],
            "squeeze expand" => &mut squeeze.unwrap()[2],
            "squeeze expand bias" => &mut squeeze.unwrap()[3],
            "project" => &mut self.project,
            "project gamma" => &mut self.norms[2].0,
            "project beta" => &mut self.norms[2].1,
            other => panic!("no parameter {other}"),
        };
        &mut list[index]
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let cases = [
        Case::new(shape(16, 12, 12, [16, 96, 24], 5, 2, 24), true, true, 1),
        Case::new(shape(16, 2, 2, [96, 480, 96], 3, 1, 120), true, true, 2),
        Case::new(shape(16, 14, 14, [16, 16, 16], 3, 1, 8), false, true, 3),
    ];
    for case in cases {
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| {
                let forward = block::forward(&case.shape, &case.weights(), &case.x).unwrap();
                let grads = block::backward(
                    &case.shape,
                    &case.weights(),
                    &case.x,
                    &forward.saved,
                    &case.dy,
                    true,
                )
                .unwrap();
                let no_grad =
                    block::forward_no_grad(&case.shape, &case.weights(), &case.x).unwrap();
                let (y, stats) = (forward.y, forward.stats);
                (y, stats, grads, no_grad, case.infer())
            })
        };
        let one = run(1);
        assert!(one.0.iter().any(|y| *y != 0.0));
        assert!(run(2) == one && run(3) == one, "{:?}", case.shape);
    }
}

#[test]
fn a_large_mean_does_not_spoil_the_variance() {
    let mut case = Case::new(shape(8, 6, 6, [8, 32, 8], 3, 1, 8), true, true, 3);
    case.x.iter_mut().for_each(|x| *x = 100.0 + 0.1 * *x);
    let twin = naive::block(&case.shape, &case.weights(), &case.x, None);
    let (_, exact) = &naive::stats(&twin)[1];
    let forward = block::forward(&case.shape, &case.weights(), &case.x).unwrap();
    close("variance", &forward.stats.expand.unwrap().var, exact, 1e-3);
    // Found by the covariance of x, as there are too few channels for tasks of their own.
    let (_, stats) = block::forward_no_grad(&case.shape, &case.weights(), &case.x).unwrap();
    close(
        "variance without gradients",
        &stats.expand.unwrap().var,
        exact,
        1e-3,
    );
}

#[test]
fn what_does_not_fit_is_an_error_and_not_a_panic() {
    let good = Case::new(shape(2, 4, 4, [3, 8, 4], 3, 1, 2), true, true, 1);
    let weights = good.weights();
    let length = |result: Result<_, KernelError>| match result {
        Err(KernelError::Length { what, .. }) => what,
        Err(other) => panic!("{other}"),
        Ok(()) => panic!("accepted"),
    };
    let forward = |shape: &BlockShape, weights: &BlockWeights<'_>, x: &[f32]| {
        block::forward(shape, weights, x).map(|_| ())
    };
    assert_eq!(length(forward(&good.shape, &weights, &good.x[1..])), "x");
    assert_eq!(
        length(forward(
            &good.shape,
            &BlockWeights {
                depthwise: &[],
                ..weights
            },
            &good.x
        )),
        "depthwise weight"
    );
    assert_eq!(
        length(forward(
            &good.shape,
            &BlockWeights {
                project: &[0.0],
                ..weights
            },
            &good.x
        )),
        "project weight"
    );
    let norm = NormWeights {
        gamma: &[1.0],
        beta: weights.depthwise_norm.beta,
    };
    let bad = BlockWeights {
        depthwise_norm: norm,
        ..weights
    };
    assert_eq!(
        length(forward(&good.shape, &bad, &good.x)),
        "depthwise norm gamma"
    );

    for (what, bad) in [
        (
            "kernel",
            BlockShape {
                kernel: 4,
                ..good.shape
            },
        ),
        (
            "kernel",
            BlockShape {
                kernel: 0,
                ..good.shape
            },
        ),
        (
            "stride",
            BlockShape {
                stride: 3,
                ..good.shape
            },
        ),
        (
            "stride",
            BlockShape {
                stride: 0,
                ..good.shape
            },
        ),
        (
            "images",
            BlockShape {
                images: 0,
                ..good.shape
            },
        ),
        (
            "width",
            BlockShape {
                width: 0,
                ..good.shape
            },
        ),
    ] {
        let error = forward(&bad, &weights, &good.x).unwrap_err();
        assert!(
            matches!(error, KernelError::Unsupported { what: found, .. } if found == what),
            "{error}"
        );
    }
    let huge = BlockShape {
        images: usize::MAX / 2,
        ..good.shape
    };
    assert_eq!(
        forward(&huge, &weights, &good.x),
        Err(KernelError::TooLarge)
    );
    let separable = BlockWeights {
        expand: None,
        ..weights
    };
    assert!(matches!(
        forward(&good.shape, &separable, &good.x),
        Err(KernelError::Mismatch { .. })
    ));

    let done = block::forward(&good.shape, &weights, &good.x).unwrap();
    let back = |shape: &BlockShape, weights: &BlockWeights<'_>, x: &[f32], dy: &[f32]| {
        block::backward(shape, weights, x, &done.saved, dy, true).map(|_| ())
    };
    assert_eq!(
        length(back(&good.shape, &weights, &good.x, &good.dy[1..])),
        "dy"
    );
    let other = Case::new(
        BlockShape {
            images: 3,
            ..good.shape
        },
        true,
        true,
        1,
    );
    assert_eq!(
        length(back(&other.shape, &weights, &other.x, &other.dy)),
        "saved depthwise map"
    );
    let plain = BlockWeights {
        squeeze: None,
        ..weights
    };
    assert!(matches!(
        back(&good.shape, &plain, &good.x, &good.dy),
        Err(KernelError::Mismatch { .. })
    ));
}
