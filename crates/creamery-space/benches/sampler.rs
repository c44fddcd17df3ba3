//! How long it takes to prepare a sampler, and to draw 100,000 paths from it.

use std::hint::black_box;

use creamery_space::{Budget, Sampler, Space};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

fn sampler(criterion: &mut Criterion) {
    const DRAWS: u64 = 100_000;
    let space = Space::builtin("cream-224").expect("built in");
    let macs = Budget::up_to_macs(300_000_000);
    let joint = Budget {
        max_params: Some(4_000_000),
        ..macs
    };
    let mut group = criterion.benchmark_group("cream-224");
    group.sample_size(10);
    for (name, budget) in [("300M MACs", macs), ("300M MACs, 4M params", joint)] {
        let prepare = || Sampler::new(&space, 224, 3, 1000, &budget).expect("paths fit");
        group.bench_function(format!("prepare/{name}"), |bencher| {
            bencher.iter(|| black_box(prepare()));
        });
        let sampler = prepare();
        group.throughput(Throughput::Elements(DRAWS));
        group.bench_function(format!("draw 100,000/{name}"), |bencher| {
            bencher.iter(|| {
                let mut rng = creamery_rng::stream(0, "paths", 0);
                for _ in 0..DRAWS {
                    black_box(sampler.draw(&mut rng));
                }
            });
        });
    }
    group.finish();
}

criterion_group!(benches, sampler);
criterion_main!(benches);
