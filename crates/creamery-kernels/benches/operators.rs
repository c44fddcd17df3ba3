//! Whole operators of a path of `cream-224`, and updates, on all threads; "elements" are FLOPs.
//!
//! The example `roofline` measures the same and tells what share that is of what the processor could do.

mod cases;
mod measure;

use criterion::{Criterion, criterion_group, criterion_main};

fn operators(criterion: &mut Criterion) {
    creamery_kernels::keep_freed_memory();
    cases::start_threads(None);
    for setting in cases::SETTINGS {
        for family in cases::operators::families(setting) {
            let title = format!("{}, {setting}", family.title);
            measure::family(criterion, title, family);
        }
    }
    let updates = cases::operators::updates();
    measure::family(criterion, updates.title.to_owned(), updates);
}

criterion_group! { name = benches; config = measure::short(); targets = operators }
criterion_main!(benches);
