//! Whole networks that are made ready, against the operators one after the other.

mod naive;

use creamery_kernels::block::{
    self, BlockRunningStats, BlockShape, BlockWeights, ExpandWeights, SqueezeWeights,
};
use creamery_kernels::conv::{self, ConvShape, ConvWeights};
use creamery_kernels::head::{self, HeadShape, HeadWeights};
use creamery_kernels::inference::{Classifier, Layer, Network};
use creamery_kernels::{KernelError, NormWeights, RunningStats};
use naive::{close, uniform, wide};

const IMAGES: usize = 3;
const CLASSES: usize = 5;

/// Values that the borrowed weights of a small network lie in.
struct Values(Vec<Vec<f32>>);

impl Values {
    fn new() -> Self {
        let mut rng = creamery_rng::stream(0, "inference tests", 0);
        Self((0..40).map(|_| uniform(&mut rng, 20_000)).collect())
    }

    fn get(&self, which: usize, len: usize) -> &[f32] {
        &self.0[which][..len]
    }

    fn norm(&self, which: usize, channels: usize) -> NormWeights<'_> {
        NormWeights {
            gamma: self.get(which, channels),
            beta: self.get(which + 1, channels),
        }
    }

    /// Means, and variances that are positive.
    fn running<'a>(&'a self, which: usize, var: &'a [f32]) -> RunningStats<'a> {
        RunningStats {
            mean: self.get(which, var.len()),
            var,
        }
    }
}

/// Runs a network of every kind of layer on some images, made ready and by the operators, with so many threads.
fn both(threads: usize) -> [Vec<f32>; 2] {
    let values = Values::new();
    let vars: Vec<f32> = (0..200).map(|i| 0.5 + 0.01 * i as f32).collect();
    let stem = ConvShape {
        images: 1,
        height: 15,
        width: 13,
        in_channels: 3,
        out_channels: 16,
        kernel: 3,
        stride: 2,
        silu: true,
    };
    let stem_weights = ConvWeights {
        weight: values.get(0, 16 * 27),
        norm: values.norm(1, 16),
    };
    let stem_running = values.running(3, &vars[..16]);
    // Without an expansion, with a stride, with a residual.
    let block = |mid, out_channels, kernel, stride, height, width, in_channels| BlockShape {
        images: 1,
        height,
        width,
        in_channels,
        mid_channels: mid,
        out_channels,
        kernel,
        stride,
        squeeze: 8,
    };
    let shapes = [
        block(16, 20, 3, 1, 8, 7, 16),
        block(80, 24, 5, 2, 8, 7, 20),
        block(96, 24, 7, 1, 4, 4, 24),
    ];
    let weights = |i: usize, shape: &BlockShape| {
        let (first, mid, squeeze) = (4 + 8 * i, shape.mid_channels, shape.squeeze);
        BlockWeights {
            expand: (i > 0).then(|| ExpandWeights {
                weight: values.get(first, mid * shape.in_channels),
                norm: values.norm(first, mid),
            }),
            depthwise: values.get(first + 1, mid * shape.kernel * shape.kernel),
            depthwise_norm: values.norm(first + 2, mid),
            squeeze: Some(SqueezeWeights {
                reduce: values.get(first + 3, squeeze * mid),
                reduce_bias: values.get(first + 4, squeeze),
                expand: values.get(first + 5, mid * squeeze),
                expand_bias: values.get(first + 6, mid),
            }),
            project: values.get(first + 7, shape.out_channels * mid),
            project_norm: values.norm(first + 6, shape.out_channels),
        }
    };
    let running = |i: usize, shape: &BlockShape| BlockRunningStats {
        expand: (i > 0).then(|| values.running(i, &vars[..shape.mid_channels])),
        depthwise: values.running(i + 3, &vars[..shape.mid_channels]),
        project: values.running(i + 6, &vars[..shape.out_channels]),
    };
    let last = ConvShape {
        images: 1,
        height: 4,
        width: 4,
        in_channels: 24,
        out_channels: 40,
        kernel: 1,
        stride: 1,
        silu: true,
    };
    let last_weights = ConvWeights {
        weight: values.get(30, 40 * 24),
        norm: values.norm(31, 40),
    };
    let last_running = values.running(33, &vars[..40]);
    let head = HeadShape {
        images: 1,
        height: 4,
        width: 4,
        in_channels: 40,
        out_channels: 50,
    };
    let head_weights = HeadWeights {
        weight: values.get(34, 50 * 40),
        bias: values.get(35, 50),
    };
    let classifier = Classifier {
        in_features: 50,
        classes: CLASSES,
        weight: values.get(36, CLASSES * 50),
        bias: values.get(37, CLASSES),
    };
    let images = values.get(39, IMAGES * stem.input_len());

    let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
    pool.build().unwrap().install(|| {
        let mut layers = vec![Layer::convolution(&stem, &stem_weights, &stem_running).unwrap()];
        for (i, shape) in shapes.iter().enumerate() {
            layers.push(Layer::block(shape, &weights(i, shape), &running(i, shape)).unwrap());
        }
        layers.push(Layer::convolution(&last, &last_weights, &last_running).unwrap());
        layers.push(Layer::head(&head, &head_weights).unwrap());
        layers.push(Layer::classifier(&classifier).unwrap());
        let ready = Network::new(layers).unwrap().run(images).unwrap();

        let all = |shape: ConvShape| ConvShape {
            images: IMAGES,
            ..shape
        };
        let mut x = conv::infer(&all(stem), &stem_weights, &stem_running, images).unwrap();
        for (i, shape) in shapes.iter().enumerate() {
            let all = BlockShape {
                images: IMAGES,
                ..*shape
            };
            x = block::infer(&all, &weights(i, shape), &running(i, shape), &x).unwrap();
        }
        x = conv::infer(&all(last), &last_weights, &last_running, &x).unwrap();
        let all = HeadShape {
            images: IMAGES,
            ..head
        };
        let features = head::infer(&all, &head_weights, &x).unwrap();
        let logits = features.chunks(50).flat_map(|features| {
            classifier
                .weight
                .chunks(50)
                .zip(classifier.bias)
                .map(move |(row, bias)| {
                    row.iter().zip(features).map(|(a, b)| a * b).sum::<f32>() + bias
                })
        });
        [ready, logits.collect()]
    })
}

#[test]
fn a_network_equals_its_operators_and_does_not_depend_on_the_number_of_threads() {
    let [ready, operators] = both(1);
    close("logits", &ready, &wide(&operators), 1e-4);
    for threads in [2, 5] {
        assert_eq!(both(threads)[0], ready, "{threads} threads");
    }
}

#[test]
fn what_does_not_fit_is_an_error_and_not_a_panic() {
    let head = HeadShape {
        images: 1,
        height: 2,
        width: 2,
        in_channels: 3,
        out_channels: 4,
    };
    let weights = HeadWeights {
        weight: &[0.5; 12],
        bias: &[0.1; 4],
    };
    let classifier = Classifier {
        in_features: 4,
        classes: 2,
        weight: &[0.25; 8],
        bias: &[0.0; 2],
    };
    let several = HeadShape { images: 2, ..head };
    let error = Layer::head(&several, &weights).unwrap_err();
    assert!(error.to_string().contains("images is 2"), "{error}");
    for (in_features, classes) in [(0, 2), (4, 0), (5, 2), (usize::MAX, 2)] {
        let wrong = Classifier {
            in_features,
            classes,
            ..classifier
        };
        assert!(Layer::classifier(&wrong).is_err(), "{wrong:?}");
    }

    let ready = || Layer::head(&head, &weights).unwrap();
    let ended = || Layer::classifier(&classifier).unwrap();
    for layers in [vec![], vec![ready()]] {
        let error = Network::new(layers).unwrap_err();
        assert!(error.to_string().contains("a classifier"), "{error}");
    }
    let error = Network::new(vec![ended(), ready(), ended()]).unwrap_err();
    assert!(matches!(error, KernelError::Length { .. }), "{error}");
    let network = Network::new(vec![ready(), ended()]).unwrap();
    assert!(network.run(&[]).unwrap().is_empty());
    assert!(network.run(&vec![0.0; network.input_len() + 1]).is_err());
    assert!(network.layers()[0].run(&[0.0]).is_err());
    assert!(network.layer_times(&[0.0]).is_err());
    let times = network.layer_times(&vec![0.0; 3 * network.input_len()]);
    assert_eq!(times.unwrap().len(), 2);
}
