//! What this machine can do at best: the rate of large matrix products, and the bandwidth by working set.

use std::sync::Mutex;

use crate::cases::Floats;
use crate::cases::kernels::gemm_product;
use crate::clock::{Effort, seconds};

/// Sides of the square matrices that are tried: for one of them `gemm` should be at its best.
const SIDES: [usize; 4] = [240, 480, 720, 960];

/// The smallest and the largest working set, in bytes: from first-level cache to memory.
const WORKING_SETS: [usize; 2] = [16 << 10, 512 << 20];

/// What the machine can do with the pool's threads.
pub struct Roofs {
    /// FLOPs a second.
    pub peak: f64,
    /// By working set, ascending.
    pub bandwidths: Vec<Bandwidth>,
}

/// The bandwidth of a working set.
pub struct Bandwidth {
    /// Bytes.
    pub working_set: usize,
    /// Bytes a second of reading `a`, of `a = s a` and of the triad `a = b + s c`, without what a cache reads to write.
    pub rates: [f64; 3],
}

impl Bandwidth {
    fn best(&self) -> f64 {
        self.rates.into_iter().fold(0.0, f64::max)
    }
}

impl Roofs {
    /// Measures them, each at the best of its samples.
    pub fn measure(effort: Effort) -> Self {
        let peaks = SIDES.map(|side| peak(side, effort));
        let [mut working_set, largest] = WORKING_SETS;
        let mut bandwidths = Vec::new();
        while working_set <= largest {
            // Steps of a half and a third: caches are of such sizes too.
            for size in [working_set, working_set / 2 * 3] {
                bandwidths.push(bandwidth(size, effort));
            }
            working_set *= 2;
        }
        Self {
            peak: peaks.into_iter().fold(0.0, f64::max),
            bandwidths,
        }
    }

    /// The bandwidth of what holds so many bytes, between those of the working sets next to it. None is taken to be
    /// slower than a larger one.
    fn bandwidth(&self, held: f64) -> f64 {
        let from = |first: usize| {
            let larger = self.bandwidths[first..].iter();
            larger.map(Bandwidth::best).fold(0.0, f64::max)
        };
        let size = |index: usize| self.bandwidths[index].working_set as f64;
        let last = self.bandwidths.len() - 1;
        let above = self
            .bandwidths
            .partition_point(|b| (b.working_set as f64) < held);
        if above == 0 || above > last {
            return from(above.min(last));
        }
        let share = (held - size(above - 1)) / (size(above) - size(above - 1));
        (1.0 - share) * from(above - 1) + share * from(above)
    }

    /// The least seconds that so much work takes: `max(FLOPs / peak, bytes / bandwidth)`, where it holds so many bytes.
    pub fn least(&self, flops: f64, bytes: f64, held: f64) -> f64 {
        (flops / self.peak).max(bytes / self.bandwidth(held))
    }
}

/// FLOPs a second of `gemm` with matrices of their own on each thread.
fn peak(side: usize, effort: Effort) -> f64 {
    let operands = each_thread(|| {
        let [a, b] = [(); 2].map(|()| Floats::mixed(side * side));
        (a, b, Floats::of(0.0, side * side))
    });
    let product = |(a, b, c): &mut (Floats, Floats, Floats)| gemm_product([side; 3], a, b, c);
    let best = seconds(effort, |times| on_each(&operands, times, product)).best;
    2.0 * (side * side * side * operands.len()) as f64 / best
}

/// The bandwidth of a working set that the threads share evenly.
fn bandwidth(working_set: usize, effort: Effort) -> Bandwidth {
    let threads = rayon::current_num_threads();
    let values = working_set / size_of::<f32>() / threads;
    let third = values / 3;
    let moved = |values: usize| (size_of::<f32>() * threads * values) as f64;

    let array = each_thread(|| Floats::mixed(values));
    let reading = seconds(effort, |times| on_each(&array, times, |a| read(a))).best;
    let scaling = seconds(effort, |times| on_each(&array, times, |a| scale(a))).best;
    drop(array);
    let arrays = each_thread(|| [(); 3].map(|()| Floats::mixed(third)));
    let mixing = seconds(effort, |times| {
        on_each(&arrays, times, |[a, b, c]| triad(a, b, c))
    })
    .best;
    Bandwidth {
        working_set,
        rates: [
            moved(values) / reading,
            moved(2 * values) / scaling,
            moved(3 * third) / mixing,
        ],
    }
}

/// A value for each thread of the pool.
pub fn each_thread<T>(make: impl Fn() -> T) -> Vec<Mutex<T>> {
    (0..rayon::current_num_threads())
        .map(|_| Mutex::new(make()))
        .collect()
}

/// Does the work so many times on each thread, with the thread's own value.
pub fn on_each<T: Send>(values: &[Mutex<T>], times: usize, work: impl Fn(&mut T) + Sync) {
    rayon::broadcast(|thread| {
        let mut value = values[thread.index()]
            .lock()
            .expect("no thread has panicked");
        (0..times).for_each(|_| work(&mut value));
    });
}

/// A loop, compiled for the instruction sets that the kernels know as well, with so many floats at once in each.
macro_rules! for_each_isa {
    ($name:ident($($argument:ident: $type:ty),*), $body:ident, $avx512:literal, $avx2:literal, $other:literal) => {
        fn $name($($argument: $type),*) {
            #[cfg(target_arch = "x86_64")]
            {
                #[target_feature(enable = "avx512f")]
                fn avx512($($argument: $type),*) {
                    $body::<$avx512>($($argument),*)
                }
                #[target_feature(enable = "avx2")]
                fn avx2($($argument: $type),*) {
                    $body::<$avx2>($($argument),*)
                }
                if is_x86_feature_detected!("avx512f") {
                    // SAFETY: just detected.
                    return unsafe { avx512($($argument),*) };
                }
                if is_x86_feature_detected!("avx2") {
                    // SAFETY: just detected.
                    return unsafe { avx2($($argument),*) };
                }
            }
            $body::<$other>($($argument),*)
        }
    };
}

// Eight vectors at once: with fewer sums, each addition would wait for the one before.
for_each_isa!(read(a: &[f32]), sum, 128, 64, 32);
for_each_isa!(scale(a: &mut [f32]), multiply, 128, 64, 32);
for_each_isa!(triad(a: &mut [f32], b: &[f32], c: &[f32]), mix, 128, 64, 32);

#[inline(always)]
fn sum<const N: usize>(a: &[f32]) {
    let mut sums = [0.0; N];
    for a in a.as_chunks::<N>().0 {
        for (sum, value) in sums.iter_mut().zip(a) {
            *sum += value;
        }
    }
    std::hint::black_box(sums);
}

#[inline(always)]
fn multiply<const N: usize>(a: &mut [f32]) {
    // By 1, so that what is multiplied again and again stays a common number.
    let factor = std::hint::black_box(1.0);
    for a in a.as_chunks_mut::<N>().0 {
        a.iter_mut().for_each(|value| *value *= factor);
    }
}

#[inline(always)]
fn mix<const N: usize>(a: &mut [f32], b: &[f32], c: &[f32]) {
    let sources = b.as_chunks::<N>().0.iter().zip(c.as_chunks::<N>().0);
    for (a, (b, c)) in a.as_chunks_mut::<N>().0.iter_mut().zip(sources) {
        for ((a, b), c) in a.iter_mut().zip(b).zip(c) {
            *a = b + 0.5 * c;
        }
    }
}
