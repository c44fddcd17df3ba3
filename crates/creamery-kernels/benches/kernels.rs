//! Single kernels at the shapes of `cream-224`, on one thread.
//!
//! Rates are in multiplications and additions, "elements" a second; matrix products are measured beside the
//! `gemm` crate, whose best rate is the roof of this processor.

use creamery_kernels::primitives::{Depthwise, matrix_product, silu};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;

/// Rows, columns and depth of the pointwise convolutions, at 32 px and then at 224 px.
const PRODUCTS: [[usize; 3]; 9] = [
    [256, 96, 16],
    [512, 144, 24],
    [256, 480, 80],
    [256, 96, 576],
    [64, 1152, 192],
    [64, 288, 1152],
    [3136, 96, 16],
    [3136, 24, 144],
    [480, 480, 480],
];

/// Images, side, kernel and stride of the depthwise convolutions.
const DEPTHWISE: [(usize, usize, usize, usize); 7] = [
    (8, 8, 3, 1),
    (8, 8, 5, 1),
    (32, 4, 7, 1),
    (64, 2, 3, 1),
    (1, 14, 5, 1),
    (1, 28, 5, 1),
    (1, 56, 3, 2),
];

/// Values aligned as the operators' own buffers are.
fn values(len: usize) -> &'static mut [f32] {
    let memory = vec![0.5; len + 16].leak();
    let first = memory.as_ptr().align_offset(64);
    &mut memory[first..first + len]
}

fn products(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("product");
    for [m, n, k] in PRODUCTS {
        let (a, b, c) = (values(m * k), values(k * n), values(m * n));
        group.throughput(Throughput::Elements(2 * (m * n * k) as u64));
        group.bench_function(
            BenchmarkId::new("ours", format!("{m}x{n}x{k}")),
            |bencher| {
                bencher.iter(|| matrix_product([m, n, k], a, b, c).expect("the lengths fit"));
            },
        );
        group.bench_function(
            BenchmarkId::new("gemm", format!("{m}x{n}x{k}")),
            |bencher| {
                // SAFETY: the matrices have these sizes and strides.
                bencher.iter(|| unsafe {
                    let (to, left, right) = (c.as_mut_ptr(), a.as_ptr(), b.as_ptr());
                    let (wide, deep) = (n as isize, k as isize);
                    let one = gemm::Parallelism::None;
                    gemm::gemm(
                        m, n, k, to, 1, wide, false, left, 1, deep, right, 1, wide, 0.0, 1.0,
                        false, false, false, one,
                    );
                });
            },
        );
    }
}

fn activation(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("silu");
    for (place, len) in [
        ("first-level cache", 1 << 12),
        ("second-level cache", 1 << 17),
        ("memory", 1 << 23),
    ] {
        let (x, y) = (values(len), values(len));
        group.throughput(Throughput::Bytes(8 * len as u64));
        group.bench_function(place, |bencher| {
            bencher.iter(|| silu(black_box(x), y).expect("the lengths fit"))
        });
    }
}

fn depthwise(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("depthwise");
    for (images, side, kernel, stride) in DEPTHWISE {
        let conv =
            Depthwise::new(images, [side, side], kernel, stride).expect("the sizes are supported");
        let (input, slope) = (values(conv.input_len()), values(conv.slope_len()));
        let (taps, grads) = (values(conv.taps_len()), values(conv.taps_len()));
        let (out, dx) = (values(conv.output_len()), values(images * side * side * 16));
        let name = format!("{images}x{side}px k{kernel} s{stride}");
        group.throughput(Throughput::Elements(2 * conv.macs() as u64));
        group.bench_function(BenchmarkId::new("forward", &name), |bencher| {
            bencher.iter(|| conv.forward(input, taps, out).expect("the lengths fit"));
        });
        group.bench_function(BenchmarkId::new("input gradient", &name), |bencher| {
            bencher.iter(|| conv.input_grad(slope, taps, dx).expect("the lengths fit"));
        });
        group.bench_function(BenchmarkId::new("weight gradient", &name), |bencher| {
            bencher.iter(|| {
                conv.weight_grad(input, slope, grads)
                    .expect("the lengths fit")
            });
        });
    }
}

criterion_group!(benches, products, activation, depthwise);
criterion_main!(benches);
