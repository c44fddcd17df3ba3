//! Times of short calls.

use std::time::Instant;

/// How long to measure.
#[derive(Clone, Copy)]
pub struct Effort {
    /// Seconds for each case.
    pub budget: f64,
    /// Seconds of a sample, which calls are repeated to fill.
    pub sample: f64,
}

/// Seconds of a call.
pub struct Seconds {
    pub median: f64,
    pub best: f64,
}

/// Measures a call, which `run` does as many times as it is told.
pub fn seconds(effort: Effort, mut run: impl FnMut(usize)) -> Seconds {
    // The first call finds cold caches and pages that nobody has touched.
    run(1);
    let mut clock = |times: usize| {
        let start = Instant::now();
        run(times);
        start.elapsed().as_secs_f64()
    };
    let mut times = 1;
    while clock(times) < effort.sample {
        times *= 2;
    }
    let mut samples = Vec::new();
    let start = Instant::now();
    while samples.len() < 3 || start.elapsed().as_secs_f64() < effort.budget {
        samples.push(clock(times) / times as f64);
    }
    samples.sort_by(f64::total_cmp);
    Seconds {
        median: samples[samples.len() / 2],
        best: samples[0],
    }
}
