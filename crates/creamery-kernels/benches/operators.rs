//! Whole blocks of `cream-224`, forward and backward, on all threads; "elements" are multiplications and
//! additions. The example `blocks` does the same for a whole path.

use creamery_kernels::NormWeights;
use creamery_kernels::block::{self, BlockShape, BlockWeights, ExpandWeights, SqueezeWeights};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};

/// Images, side, channels (in, mid, out), kernel and stride.
const BLOCKS: [(usize, usize, [usize; 3], usize, usize); 7] = [
    (64, 16, [16, 96, 24], 3, 2),
    (64, 8, [24, 144, 24], 5, 1),
    (64, 2, [80, 480, 80], 5, 1),
    (64, 1, [192, 1152, 192], 7, 1),
    (8, 56, [24, 144, 24], 3, 1),
    (8, 14, [80, 480, 80], 5, 1),
    (8, 7, [192, 1152, 192], 5, 1),
];

fn values(len: usize) -> Vec<f32> {
    (0..len).map(|i| (i as f32 * 0.37).sin() * 0.5).collect()
}

fn blocks(criterion: &mut Criterion) {
    creamery_kernels::keep_freed_memory();
    let mut group = criterion.benchmark_group("block");
    for (images, side, [in_channels, mid_channels, out_channels], kernel, stride) in BLOCKS {
        let squeeze = (mid_channels / 4).next_multiple_of(8);
        let (height, width) = (side, side);
        let shape = BlockShape {
            images,
            height,
            width,
            in_channels,
            mid_channels,
            out_channels,
            kernel,
            stride,
            squeeze,
        };
        let (ones, zeros) = (vec![1.0; mid_channels], vec![0.0; mid_channels]);
        let norm = |channels: usize| NormWeights {
            gamma: &ones[..channels],
            beta: &zeros[..channels],
        };
        let (expand, depthwise) = (
            values(mid_channels * in_channels),
            values(mid_channels * kernel * kernel),
        );
        let (excite, project) = (
            values(mid_channels * squeeze),
            values(out_channels * mid_channels),
        );
        let weights = BlockWeights {
            expand: Some(ExpandWeights {
                weight: &expand,
                norm: norm(mid_channels),
            }),
            depthwise: &depthwise,
            depthwise_norm: norm(mid_channels),
            squeeze: Some(SqueezeWeights {
                reduce: &excite,
                reduce_bias: &zeros[..squeeze],
                expand: &excite,
                expand_bias: &zeros,
            }),
            project: &project,
            project_norm: norm(out_channels),
        };
        let (x, dy) = (values(shape.input_len()), values(shape.output_len()));
        let name = format!(
            "{images}x{side}px {in_channels}-{mid_channels}-{out_channels} k{kernel} s{stride}"
        );
        let work = 2 * shape.macs(true, true) as u64;
        group.throughput(Throughput::Elements(work));
        group.bench_function(BenchmarkId::new("forward", &name), |bencher| {
            bencher.iter(|| block::forward(&shape, &weights, &x).expect("the lengths fit"));
        });
        let done = block::forward(&shape, &weights, &x).expect("the lengths fit");
        group.throughput(Throughput::Elements(2 * work));
        group.bench_function(BenchmarkId::new("backward", &name), |bencher| {
            bencher.iter(|| {
                block::backward(&shape, &weights, &x, &done.saved, &dy, true)
                    .expect("the lengths fit")
            });
        });
    }
}

criterion_group!(benches, blocks);
criterion_main!(benches);
