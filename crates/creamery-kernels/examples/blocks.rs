//! Times every operator of a `cream-224` path: `blocks [IMAGES] [SIZE] [ROUNDS]` (64, 32 and 15 if not given).
//!
//! Prints, for each operator, the medians of forward and backward in milliseconds, the rate of both together
//! (multiplications and additions of the convolutions, the backward counted as twice the forward), and what
//! share that is of the best rate of the `gemm` crate on as many threads.

use creamery_kernels::block::{self, BlockShape, BlockWeights, ExpandWeights, SqueezeWeights};
use creamery_kernels::conv::{self, ConvShape, ConvWeights};
use creamery_kernels::head::{self, HeadShape, HeadWeights};
use creamery_kernels::{KernelError, NormWeights};
use rand::RngExt;
use std::time::Instant;

/// Channels, stride and blocks of each stage.
const STAGES: [(usize, usize, usize); 5] =
    [(24, 2, 4), (40, 2, 4), (80, 2, 5), (96, 1, 4), (192, 2, 4)];

fn main() -> Result<(), KernelError> {
    let arguments: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|a| a.parse().ok())
        .collect();
    let argument = |index: usize, default: usize| arguments.get(index).copied().unwrap_or(default);
    let (images, size, rounds) = (argument(0, 64), argument(1, 32), argument(2, 15));
    creamery_kernels::keep_freed_memory();
    let pool = rayon::ThreadPoolBuilder::new()
        .build()
        .expect("threads can be started");
    pool.install(|| path(images, size, rounds))
}

/// A path whose operations go round all six.
fn path(images: usize, size: usize, rounds: usize) -> Result<(), KernelError> {
    let best = best_product();
    println!(
        "gemm at its best: {best:.0} GFLOP/s on {} threads",
        rayon::current_num_threads()
    );
    println!(
        "{:<44} {:>9} {:>9} {:>9} {:>6}",
        "operator", "forward", "backward", "GFLOP/s", "share"
    );
    let mut total = Timing::default();
    let mut show = |name: String, timing: Timing| {
        timing.print(&name, best);
        total.add(&timing);
    };
    let stem = ConvShape {
        images,
        height: size,
        width: size,
        in_channels: 3,
        out_channels: 16,
        kernel: 3,
        stride: 2,
        silu: true,
    };
    show(format!("stem {size} px"), time_conv(&stem, false, rounds)?);
    let (mut size, mut channels) = (size.div_ceil(2), 16);
    let first = BlockShape {
        images,
        height: size,
        width: size,
        in_channels: 16,
        mid_channels: 16,
        out_channels: 16,
        kernel: 3,
        stride: 1,
        squeeze: 8,
    };
    show(
        format!("separable {size} px 16"),
        time_block(&first, false, rounds)?,
    );
    for (number, (out, stride, blocks)) in (0..).zip(STAGES) {
        for index in 0..blocks {
            let operation = (number + index) % 6;
            let mid = channels * [4, 6][operation % 2];
            let shape = BlockShape {
                images,
                height: size,
                width: size,
                in_channels: channels,
                mid_channels: mid,
                out_channels: out,
                kernel: [3, 5, 7][operation / 2],
                stride: if index == 0 { stride } else { 1 },
                squeeze: (mid / 4).next_multiple_of(8),
            };
            let name = format!(
                "{size} px {channels} -> {mid} -> {out} k{} s{}",
                shape.kernel, shape.stride
            );
            show(name, time_block(&shape, true, rounds)?);
            (size, channels) = (shape.out_height(), out);
        }
    }
    let last = ConvShape {
        images,
        height: size,
        width: size,
        in_channels: channels,
        out_channels: 320,
        kernel: 1,
        stride: 1,
        silu: true,
    };
    show(
        format!("last {size} px {channels} -> 320"),
        time_conv(&last, true, rounds)?,
    );
    let head = HeadShape {
        images,
        height: size,
        width: size,
        in_channels: 320,
        out_channels: 1280,
    };
    show("head 320 -> 1280".into(), time_head(&head, rounds)?);
    total.print("all", best);
    Ok(())
}

/// Medians in seconds, and the multiplications of a forward pass.
#[derive(Default)]
struct Timing {
    forward: f64,
    backward: f64,
    macs: f64,
}

impl Timing {
    fn add(&mut self, other: &Timing) {
        self.forward += other.forward;
        self.backward += other.backward;
        self.macs += other.macs;
    }

    fn print(&self, name: &str, best: f64) {
        let rate = 6.0 * self.macs / (self.forward + self.backward) / 1e9;
        let (forward, backward) = (self.forward * 1e3, self.backward * 1e3);
        println!(
            "{name:<44} {forward:>9.3} {backward:>9.3} {rate:>9.1} {:>5.0}%",
            100.0 * rate / best
        );
    }
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Times both passes `rounds` times.
fn time<T>(
    rounds: usize,
    macs: usize,
    forward: impl Fn() -> Result<T, KernelError>,
    backward: impl Fn(&T) -> Result<(), KernelError>,
) -> Result<Timing, KernelError> {
    let (mut there, mut back) = (Vec::new(), Vec::new());
    for _ in 0..rounds + 2 {
        let start = Instant::now();
        let result = forward()?;
        there.push(start.elapsed().as_secs_f64());
        let start = Instant::now();
        backward(&result)?;
        back.push(start.elapsed().as_secs_f64());
    }
    Ok(Timing {
        forward: median(there.split_off(2)),
        backward: median(back.split_off(2)),
        macs: macs as f64,
    })
}

fn values(len: usize) -> Vec<f32> {
    let mut rng = creamery_rng::stream(0, "block timings", len as u64);
    (0..len).map(|_| rng.random_range(-0.5..0.5)).collect()
}

fn time_block(shape: &BlockShape, expand: bool, rounds: usize) -> Result<Timing, KernelError> {
    let mid = shape.mid_channels;
    let ones = vec![1.0; mid.max(shape.out_channels)];
    let zeros = vec![0.0; mid.max(shape.out_channels)];
    let norm = |channels: usize| NormWeights {
        gamma: &ones[..channels],
        beta: &zeros[..channels],
    };
    let [widen, depthwise, squeeze, project] = [
        mid * shape.in_channels,
        mid * shape.kernel * shape.kernel,
        mid * shape.squeeze,
        shape.out_channels * mid,
    ]
    .map(values);
    let weights = BlockWeights {
        expand: expand.then(|| ExpandWeights {
            weight: &widen,
            norm: norm(mid),
        }),
        depthwise: &depthwise,
        depthwise_norm: norm(mid),
        squeeze: Some(SqueezeWeights {
            reduce: &squeeze,
            reduce_bias: &zeros[..shape.squeeze],
            expand: &squeeze,
            expand_bias: &zeros[..mid],
        }),
        project: &project,
        project_norm: norm(shape.out_channels),
    };
    let (x, dy) = (values(shape.input_len()), values(shape.output_len()));
    time(
        rounds,
        shape.macs(expand, true),
        || block::forward(shape, &weights, &x),
        |done| block::backward(shape, &weights, &x, &done.saved, &dy, true).map(drop),
    )
}

fn time_conv(shape: &ConvShape, input: bool, rounds: usize) -> Result<Timing, KernelError> {
    let weight = values(shape.out_channels * shape.in_channels * shape.kernel * shape.kernel);
    let (gamma, beta) = (vec![1.0; shape.out_channels], vec![0.0; shape.out_channels]);
    let weights = ConvWeights {
        weight: &weight,
        norm: NormWeights {
            gamma: &gamma,
            beta: &beta,
        },
    };
    let (x, dy) = (values(shape.input_len()), values(shape.output_len()));
    time(
        rounds,
        shape.macs(),
        || conv::forward(shape, &weights, &x),
        |done| conv::backward(shape, &weights, &x, &done.saved, &dy, input).map(drop),
    )
}

fn time_head(shape: &HeadShape, rounds: usize) -> Result<Timing, KernelError> {
    let (weight, bias) = (
        values(shape.out_channels * shape.in_channels),
        vec![0.0; shape.out_channels],
    );
    let weights = HeadWeights {
        weight: &weight,
        bias: &bias,
    };
    let (x, dy) = (values(shape.input_len()), values(shape.output_len()));
    time(
        rounds,
        shape.images * shape.in_channels * shape.out_channels,
        || head::forward(shape, &weights, &x),
        |done| head::backward(shape, &weights, &done.saved, &dy, true).map(drop),
    )
}

/// The rate of `gemm` in GFLOP/s where it is good: square matrices, as many at once as there are threads.
fn best_product() -> f64 {
    const N: usize = 480;
    let (a, b) = (values(N * N), values(N * N));
    let mut times = Vec::new();
    for _ in 0..9 {
        let start = Instant::now();
        rayon::broadcast(|_| {
            let mut c = vec![0.0f32; N * N];
            for _ in 0..4 {
                // SAFETY: all three hold N x N values, with these strides.
                unsafe {
                    let (c, a, b) = (c.as_mut_ptr(), a.as_ptr(), b.as_ptr());
                    let (row, column) = (N as isize, 1);
                    let one = gemm::Parallelism::None;
                    gemm::gemm(
                        N, N, N, c, column, row, false, a, column, row, b, column, row, 0.0, 1.0,
                        false, false, false, one,
                    );
                }
            }
            std::hint::black_box(c);
        });
        times.push(start.elapsed().as_secs_f64());
    }
    let work = 4.0 * 2.0 * (N * N * N) as f64 * rayon::current_num_threads() as f64;
    work / median(times) / 1e9
}
