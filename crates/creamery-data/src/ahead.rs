//! Work done ahead of its consumer by threads, delivered in order.

use std::any::Any;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use crate::error::DataError;

/// The most threads that are started, whatever is asked for.
const MAX_THREADS: usize = 256;

/// Makes item `i`, or nothing beyond the last. What it makes must depend on `i` alone.
pub(crate) type Make<T> = Box<dyn FnMut(u64) -> Option<T> + Send>;

/// The sequence `make(0), make(1), ..` up to the first `None`, computed ahead.
///
/// Item `i` is made by thread `i % threads` and waits in that thread's own queue, so the order needs no
/// agreement between threads and a queue's bound is a bound on memory. Without threads, items are made
/// when they are asked for. Dropping the sequence stops its threads as soon as each has finished its item.
pub(crate) enum Ahead<T> {
    /// The consumer makes each item itself.
    Inline { make: Make<T>, next: u64 },
    /// The next item waits in lane `next`.
    Threads { lanes: Vec<Lane<T>>, next: usize },
}

/// One thread and its queue.
pub(crate) struct Lane<T> {
    /// Dropped first, which is what tells the thread to stop.
    queue: Option<Receiver<T>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Ahead<T> {
    /// Starts `threads` threads (0: none), each with its own maker from `maker`, that run up to `ahead`
    /// items ahead, and one more that each thread has in hand.
    ///
    /// # Errors
    /// [`DataError::Threads`] if the system refuses a thread.
    pub(crate) fn start(
        threads: usize,
        ahead: usize,
        maker: impl Fn() -> Make<T>,
    ) -> Result<Self, DataError> {
        let threads = threads.min(MAX_THREADS);
        if threads == 0 {
            return Ok(Self::Inline {
                make: maker(),
                next: 0,
            });
        }
        let capacity = ahead.div_ceil(threads).max(1);
        let mut lanes = Vec::with_capacity(threads);
        for first in 0..threads {
            let (sender, queue) = sync_channel(capacity);
            let make = maker();
            let thread = Builder::new()
                .name(format!("data-{first}"))
                .spawn(move || work(make, first as u64, threads as u64, &sender))
                .map_err(|source| DataError::Threads { source })?;
            lanes.push(Lane {
                queue: Some(queue),
                thread: Some(thread),
            });
        }
        Ok(Self::Threads { lanes, next: 0 })
    }

    /// The next item; `None` at the end.
    ///
    /// # Errors
    /// [`DataError::Worker`] if the thread whose turn it is has panicked.
    pub(crate) fn next(&mut self) -> Option<Result<T, DataError>> {
        match self {
            Self::Inline { make, next } => {
                let item = make(*next)?;
                *next += 1;
                Some(Ok(item))
            }
            Self::Threads { lanes, next } => {
                let lane = &mut lanes[*next];
                match lane.queue.as_ref()?.recv() {
                    Ok(item) => {
                        *next = (*next + 1) % lanes.len();
                        Some(Ok(item))
                    }
                    // The thread has gone: at its end, or by a panic.
                    Err(_) => match lane.thread.take()?.join() {
                        Ok(()) => None,
                        Err(panic) => Some(Err(DataError::Worker {
                            message: message_of(&*panic),
                        })),
                    },
                }
            }
        }
    }
}

fn work<T>(mut make: Make<T>, first: u64, step: u64, queue: &SyncSender<T>) {
    let mut next = first;
    while let Some(item) = make(next) {
        if queue.send(item).is_err() {
            return;
        }
        next += step;
    }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it gave no reason".to_owned())
}

impl<T> Drop for Lane<T> {
    fn drop(&mut self) {
        drop(self.queue.take());
        if let Some(thread) = self.thread.take() {
            // A panic that nobody waited for changes nothing that was delivered.
            let _ = thread.join();
        }
    }
}

impl<T> Drop for Ahead<T> {
    fn drop(&mut self) {
        if let Self::Threads { lanes, .. } = self {
            // All are told to stop before any is waited for.
            for lane in lanes {
                drop(lane.queue.take());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn collect<T: Send + 'static>(mut ahead: Ahead<T>) -> Vec<T> {
        std::iter::from_fn(|| ahead.next())
            .collect::<Result<_, _>>()
            .unwrap()
    }

    #[test]
    fn items_come_in_order_whatever_the_number_of_threads() {
        for threads in [0, 1, 2, 3, 5, 9, 1_000_000] {
            for length in [0, 1, 2, 7, 100] {
                let make = || -> Make<u64> { Box::new(move |i| (i < length).then_some(i * 3)) };
                let found = collect(Ahead::start(threads, 4, make).unwrap());
                assert_eq!(found, (0..length).map(|i| i * 3).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn threads_run_ahead_but_not_without_bound() {
        let made = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&made);
        let maker = move || -> Make<u64> {
            let count = Arc::clone(&count);
            Box::new(move |i| {
                count.fetch_add(1, Ordering::SeqCst);
                Some(i)
            })
        };
        let mut ahead = Ahead::start(3, 6, maker).unwrap();
        for i in 0..1000 {
            assert_eq!(ahead.next().unwrap().unwrap(), i);
            // Taken, waiting in three queues of two, and one in each thread's hand.
            assert!(made.load(Ordering::SeqCst) <= i + 1 + 6 + 3);
        }
        drop(ahead);
        let stopped = made.load(Ordering::SeqCst);
        std::thread::yield_now();
        assert_eq!(
            made.load(Ordering::SeqCst),
            stopped,
            "a thread outlived the sequence"
        );
    }

    #[test]
    fn a_panic_arrives_in_its_place_and_hangs_nobody() {
        for threads in [1, 2, 5] {
            let make = || -> Make<u64> {
                Box::new(|i| {
                    assert!(i != 7, "item seven is broken");
                    Some(i)
                })
            };
            let mut ahead = Ahead::start(threads, 4, make).unwrap();
            for i in 0..7 {
                assert_eq!(ahead.next().unwrap().unwrap(), i);
            }
            match ahead.next() {
                Some(Err(DataError::Worker { message })) => assert!(message.contains("seven")),
                other => panic!("{other:?}"),
            }
            assert!(ahead.next().is_none());
        }
    }

    #[test]
    fn dropping_does_not_wait_for_an_endless_sequence() {
        for taken in [0, 1, 10] {
            let mut ahead = Ahead::start(4, 8, || Box::new(|i| Some(vec![i; 1000]))).unwrap();
            for _ in 0..taken {
                ahead.next().unwrap().unwrap();
            }
        }
    }
}
