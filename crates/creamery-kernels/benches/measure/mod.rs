//! How criterion measures a family of cases.

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput};

use crate::cases::Family;

/// So many cases would take half an hour with criterion's own times.
pub fn short() -> Criterion {
    let criterion = Criterion::default().sample_size(20);
    let criterion = criterion.warm_up_time(Duration::from_millis(200));
    criterion.measurement_time(Duration::from_secs(1))
}

/// Measures all cases of a family, under its full title.
pub fn family(criterion: &mut Criterion, title: String, family: Family) {
    let mut group = criterion.benchmark_group(title);
    for case in family.cases {
        group.throughput(Throughput::Elements(case.flops as u64));
        // Made only if the case is not filtered out.
        group.bench_with_input(
            BenchmarkId::from_parameter(&case.name),
            &case,
            |bencher, case| {
                let mut run = (case.prepare)();
                bencher.iter(&mut run);
            },
        );
    }
}
