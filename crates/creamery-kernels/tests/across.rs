//! Parts of a batch, each in a process of its own, give together what the whole batch gives.

use std::sync::{Barrier, Mutex};

use creamery_kernels::block::{self, BlockShape, BlockWeights, ExpandWeights, SqueezeWeights};
use creamery_kernels::conv::{self, ConvShape, ConvWeights};
use creamery_kernels::{Across, ChannelStats, Everywhere, NormWeights};

/// Sums among threads.
struct Threads {
    sums: Mutex<Vec<f64>>,
    turn: Barrier,
    parts: usize,
}

impl Threads {
    fn of(parts: usize) -> Everywhere {
        Everywhere(Box::leak(Box::new(Self {
            sums: Mutex::default(),
            turn: Barrier::new(parts),
            parts,
        })))
    }
}

impl Across for Threads {
    fn parts(&self) -> usize {
        self.parts
    }

    fn sum(&self, values: &mut Vec<f64>) {
        {
            let mut sums = self.sums.lock().unwrap();
            sums.resize(values.len(), 0.0);
            sums.iter_mut()
                .zip(&*values)
                .for_each(|(sum, value)| *sum += value);
        }
        self.turn.wait();
        values.clone_from(&self.sums.lock().unwrap());
        if self.turn.wait().is_leader() {
            self.sums.lock().unwrap().clear();
        }
        self.turn.wait();
    }
}

fn noise(count: usize, seed: usize) -> Vec<f32> {
    (0..count)
        .map(|i| ((i * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0)
        .collect()
}

fn assert_near(what: &str, found: &[f32], expected: &[f32]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let scale = expected.iter().fold(1e-3f32, |most, v| most.max(v.abs()));
    for (found, expected) in found.iter().zip(expected) {
        assert!(
            (found - expected).abs() <= 2e-5 * scale,
            "{what}: {found} {expected}"
        );
    }
}

/// Each part's output, statistics and gradients.
struct Pass {
    y: Vec<f32>,
    stats: Vec<ChannelStats>,
    dx: Vec<f32>,
    grads: Vec<Vec<f32>>,
}

/// Holds the passes of the parts against that of the whole, whose loss is the sum of theirs.
fn check(parts: usize, pass: impl Fn(usize, usize, Option<Everywhere>) -> Pass + Sync) {
    let whole = pass(0, 1, None);
    let across = Threads::of(parts);
    let found: Vec<Pass> = std::thread::scope(|scope| {
        let pass = &pass;
        let one = |part| {
            scope.spawn(move || {
                let pool = rayon::ThreadPoolBuilder::new()
                    .num_threads(1)
                    .build()
                    .unwrap();
                pool.install(|| pass(part, parts, Some(across)))
            })
        };
        let all: Vec<_> = (0..parts).map(one).collect();
        all.into_iter().map(|part| part.join().unwrap()).collect()
    });
    let joined =
        |of: fn(&Pass) -> &Vec<f32>| found.iter().flat_map(of).copied().collect::<Vec<_>>();
    assert_near("y", &joined(|pass| &pass.y), &whole.y);
    assert_near("dx", &joined(|pass| &pass.dx), &whole.dx);
    for (index, expected) in whole.grads.iter().enumerate() {
        let mut sum = vec![0.0; expected.len()];
        for pass in &found {
            sum.iter_mut()
                .zip(&pass.grads[index])
                .for_each(|(sum, grad)| *sum += grad);
        }
        assert_near(&format!("gradient {index}"), &sum, expected);
    }
    for pass in &found {
        for (stats, expected) in pass.stats.iter().zip(&whole.stats) {
            assert_near("mean", &stats.mean, &expected.mean);
            assert_near("variance", &stats.var, &expected.var);
        }
    }
}

#[test]
fn parts_of_a_block_are_the_whole() {
    // Small maps, which go through all phases at once without others, and large ones.
    for (images, side, mid, expands, squeeze, stride, parts) in [
        (4, 5, 40, true, 8, 1, 2),
        (6, 3, 96, true, 0, 2, 3),
        (4, 20, 24, true, 4, 1, 2),
        (2, 9, 16, false, 4, 1, 2),
    ] {
        let in_channels = if expands { 12 } else { mid };
        let shape = |images| BlockShape {
            images,
            height: side,
            width: side,
            in_channels,
            mid_channels: mid,
            out_channels: 12,
            kernel: 3,
            stride,
            squeeze,
        };
        let w = |count: usize, seed| noise(count, seed);
        let (expand, taps, project) = (w(mid * in_channels, 1), w(mid * 9, 2), w(12 * mid, 3));
        let (reduce, back) = (w(squeeze * mid, 4), w(squeeze * mid, 5));
        let (bias, gamma) = (
            w(128, 6),
            w(128, 7).iter().map(|g| g + 1.5).collect::<Vec<_>>(),
        );
        let norm = |channels: usize| NormWeights {
            gamma: &gamma[..channels],
            beta: &bias[..channels],
        };
        let weights = BlockWeights {
            expand: expands.then(|| ExpandWeights {
                weight: &expand,
                norm: norm(mid),
            }),
            depthwise: &taps,
            depthwise_norm: norm(mid),
            squeeze: (squeeze > 0).then(|| SqueezeWeights {
                reduce: &reduce,
                reduce_bias: &bias[..squeeze],
                expand: &back,
                expand_bias: &bias[..mid],
            }),
            project: &project,
            project_norm: norm(12),
        };
        let x = noise(shape(images).input_len(), 8);
        let dy = noise(shape(images).output_len(), 9);
        check(parts, |part, of, across| {
            let shape = shape(images / of);
            let (ins, outs) = (shape.input_len(), shape.output_len());
            let x = &x[part * ins..(part + 1) * ins];
            let dy = &dy[part * outs..(part + 1) * outs];
            let forward = block::forward_across(&shape, &weights, x, across).unwrap();
            let grads = block::backward(&shape, &weights, x, &forward.saved, dy, true).unwrap();
            let stats = forward.stats;
            let mut all = vec![
                grads.depthwise,
                grads.depthwise_norm.gamma,
                grads.depthwise_norm.beta,
                grads.project,
                grads.project_norm.gamma,
                grads.project_norm.beta,
            ];
            if let Some(expand) = grads.expand {
                all.extend([expand.weight, expand.norm.gamma, expand.norm.beta]);
            }
            if let Some(squeeze) = grads.squeeze {
                all.extend([
                    squeeze.reduce,
                    squeeze.reduce_bias,
                    squeeze.expand,
                    squeeze.expand_bias,
                ]);
            }
            Pass {
                y: forward.y,
                stats: stats
                    .expand
                    .into_iter()
                    .chain([stats.depthwise, stats.project])
                    .collect(),
                dx: grads.x.unwrap(),
                grads: all,
            }
        });
    }
}

#[test]
fn parts_of_a_convolution_are_the_whole() {
    for (images, side, out, parts) in [(4, 6, 20, 2), (3, 16, 100, 3)] {
        let shape = |images| ConvShape {
            images,
            height: side,
            width: side,
            in_channels: 3,
            out_channels: out,
            kernel: 3,
            stride: 2,
            silu: true,
        };
        let weight = noise(out * 27, 1);
        let (gamma, beta) = (noise(out, 2), noise(out, 3));
        let norm = NormWeights {
            gamma: &gamma,
            beta: &beta,
        };
        let weights = ConvWeights {
            weight: &weight,
            norm,
        };
        let x = noise(shape(images).input_len(), 4);
        let dy = noise(shape(images).output_len(), 5);
        check(parts, |part, of, across| {
            let shape = shape(images / of);
            let (ins, outs) = (shape.input_len(), shape.output_len());
            let x = &x[part * ins..(part + 1) * ins];
            let dy = &dy[part * outs..(part + 1) * outs];
            let forward = conv::forward_across(&shape, &weights, x, across).unwrap();
            let grads = conv::backward(&shape, &weights, x, &forward.saved, dy, true).unwrap();
            Pass {
                y: forward.y,
                stats: vec![forward.stats],
                dx: grads.x.unwrap(),
                grads: vec![grads.weight, grads.norm.gamma, grads.norm.beta],
            }
        });
    }
}
