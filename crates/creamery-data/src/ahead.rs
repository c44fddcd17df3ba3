//! Work done ahead of its consumer by threads, delivered in order.

use std::any::Any;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};

use crate::error::DataError;

/// The most threads that are started, whatever is asked for.
const MAX_THREADS: usize = 256;

/// Makes item `i`, or nothing beyond the last. What it makes must depend on `i` alone.
pub(crate) type Make<T> = Box<dyn FnMut(u64) -> Option<T> + Send>;

/// The sequence `make(0), make(1), ..` up to the first `None`, computed ahead.
///
/// A free thread takes the next item that nobody has begun, as long as that is within a window from the consumer's place: so one
/// slow item stalls nobody before the window is full, and the window is a bound on memory. Items wait in their places, which
/// gives the order. Without threads, items are made when they are asked for. Dropping the sequence stops its threads as soon as
/// each has finished its item.
pub(crate) enum Ahead<T> {
    /// The consumer makes each item itself.
    Inline { make: Make<T>, next: u64 },
    /// Threads make them.
    Threads {
        shared: Arc<Shared<T>>,
        threads: Vec<JoinHandle<()>>,
    },
}

/// What threads and consumer share.
pub(crate) struct Shared<T> {
    state: Mutex<State<T>>,
    /// The consumer's item is there.
    arrived: Condvar,
    /// The window has moved, or all is over.
    room: Condvar,
    window: usize,
}

struct State<T> {
    /// The item that the consumer takes next.
    next: u64,
    /// The items from `next` on that have been begun.
    places: VecDeque<Place<T>>,
    /// No more items are begun.
    over: bool,
}

enum Place<T> {
    /// A thread works on it.
    Begun,
    Made(T),
    /// The sequence ends before it.
    End,
    /// Its thread panicked.
    Panicked(String),
}

impl<T> Shared<T> {
    /// Nothing that holds the lock can panic halfway, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes items until there are no more to begin.
    fn work(&self, mut make: Make<T>) {
        let mut state = self.lock();
        loop {
            while !state.over && state.places.len() >= self.window {
                state = self
                    .room
                    .wait(state)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            if state.over {
                return;
            }
            let item = state.next + state.places.len() as u64;
            state.places.push_back(Place::Begun);
            drop(state);
            // A panic is carried to the consumer, and the maker is not used again.
            let made = catch_unwind(AssertUnwindSafe(|| make(item)));
            state = self.lock();
            let place = match made {
                Ok(Some(made)) => Place::Made(made),
                Ok(None) => Place::End,
                Err(panic) => Place::Panicked(message_of(&*panic)),
            };
            if !matches!(place, Place::Made(_)) {
                state.over = true;
                self.room.notify_all();
            }
            // Only the consumer's own item is never taken away, and that only once it is made.
            let at = (item - state.next) as usize;
            state.places[at] = place;
            if at == 0 {
                self.arrived.notify_one();
            }
        }
    }

    /// Waits for the next item and takes it.
    fn take(&self) -> Option<Result<T, DataError>> {
        let mut state = self.lock();
        loop {
            match state.places.front() {
                Some(Place::Made(_)) => {
                    state.next += 1;
                    let taken = state.places.pop_front();
                    self.room.notify_one();
                    if let Some(Place::Made(made)) = taken {
                        return Some(Ok(made));
                    }
                }
                Some(Place::End) => return None,
                Some(Place::Panicked(message)) => {
                    let message = message.clone();
                    state.places[0] = Place::End;
                    return Some(Err(DataError::Worker { message }));
                }
                // Threads stop only where they leave a last place that says why.
                Some(Place::Begun) | None => {
                    state = self
                        .arrived
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
    }
}

impl<T: Send + 'static> Ahead<T> {
    /// Starts `threads` threads (0: none), each with its own maker from `maker`, that run up to `ahead`
    /// items ahead of the consumer, those in their hands included; at least one for each.
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
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                next: 0,
                places: VecDeque::new(),
                over: false,
            }),
            arrived: Condvar::new(),
            room: Condvar::new(),
            window: ahead.max(threads),
        });
        // Built first, so that threads stop if one of them cannot be started.
        let mut ahead = Self::Threads {
            shared: Arc::clone(&shared),
            threads: Vec::with_capacity(threads),
        };
        for number in 0..threads {
            let (shared, make) = (Arc::clone(&shared), maker());
            let thread = Builder::new()
                .name(format!("data-{number}"))
                .spawn(move || shared.work(make))
                .map_err(|source| DataError::Threads { source })?;
            if let Self::Threads { threads, .. } = &mut ahead {
                threads.push(thread);
            }
        }
        Ok(ahead)
    }

    /// The next item; `None` at the end.
    ///
    /// # Errors
    /// [`DataError::Worker`] if the thread that made it has panicked.
    pub(crate) fn next(&mut self) -> Option<Result<T, DataError>> {
        match self {
            Self::Inline { make, next } => {
                let item = make(*next)?;
                *next += 1;
                Some(Ok(item))
            }
            Self::Threads { shared, .. } => shared.take(),
        }
    }
}

impl<T> Drop for Ahead<T> {
    fn drop(&mut self) {
        if let Self::Threads { shared, threads } = self {
            shared.lock().over = true;
            shared.room.notify_all();
            for thread in threads.drain(..) {
                // Panics of makers were caught, and there is nobody to tell of others.
                let _ = thread.join();
            }
        }
    }
}

fn message_of(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|message| (*message).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "it gave no reason".to_owned())
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
            // Those taken, and a window of six.
            assert!(made.load(Ordering::SeqCst) <= i + 1 + 6);
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
    fn a_slow_item_stalls_nobody_within_the_window() {
        let (release, blocked) = std::sync::mpsc::channel::<()>();
        let blocked = Arc::new(Mutex::new(blocked));
        let made = Arc::new(AtomicU64::new(0));
        let maker = || -> Make<u64> {
            let (blocked, made) = (Arc::clone(&blocked), Arc::clone(&made));
            Box::new(move |i| {
                if i == 0 {
                    blocked.lock().unwrap().recv().unwrap();
                }
                made.fetch_add(1, Ordering::SeqCst);
                (i < 20).then_some(i)
            })
        };
        let ahead = Ahead::start(2, 10, maker).unwrap();
        // The other thread makes the rest of the window, and no more.
        while made.load(Ordering::SeqCst) < 9 {
            std::thread::yield_now();
        }
        release.send(()).unwrap();
        assert_eq!(collect(ahead), (0..20).collect::<Vec<_>>());
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
