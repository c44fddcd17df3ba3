//! Single kernels at the shapes of `cream-224`, on one thread; "elements" are FLOPs.
//!
//! The example `roofline` measures the same and tells what share that is of what the processor could do.

mod cases;
mod measure;

use criterion::{Criterion, criterion_group, criterion_main};

fn kernels(criterion: &mut Criterion) {
    for setting in cases::SETTINGS {
        for family in cases::kernels::families(setting) {
            let title = format!("{}, {setting}", family.title);
            measure::family(criterion, title, family);
        }
    }
}

criterion_group! { name = benches; config = measure::short(); targets = kernels }
criterion_main!(benches);
