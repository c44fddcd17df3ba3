//! Work over a known number of items, on all processors, with the answers in order.

use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// `f(0), f(1), .. f(count - 1)`, computed by as many threads as there are processors.
///
/// The answers do not depend on the number of threads. A panic of `f` is passed on.
pub(crate) fn map_in_order<T: Send>(count: usize, f: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let threads = thread::available_parallelism()
        .map_or(1, NonZero::get)
        .min(count);
    if threads <= 1 {
        return (0..count).map(f).collect();
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut done = Vec::new();
        loop {
            let item = next.fetch_add(1, Ordering::Relaxed);
            if item >= count {
                return done;
            }
            done.push((item, f(item)));
        }
    };
    let mut answers: Vec<(usize, T)> = thread::scope(|scope| {
        let workers: Vec<_> = (1..threads)
            .filter_map(|_| thread::Builder::new().spawn_scoped(scope, work).ok())
            .collect();
        let mut answers = work();
        for worker in workers {
            match worker.join() {
                Ok(more) => answers.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        answers
    });
    answers.sort_unstable_by_key(|&(item, _)| item);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests {
    use super::map_in_order;

    #[test]
    fn answers_come_in_order_whatever_their_cost() {
        for count in [0, 1, 2, 3, 1000] {
            let answers = map_in_order(count, |i| (0..(i % 7) * 1000).fold(i, |a, b| a ^ b ^ b));
            assert_eq!(answers, (0..count).collect::<Vec<_>>());
        }
    }
}
