//! Threads that stay together through the steps of an operator.
//!
//! An operator on a small map is a dozen steps of some ten microseconds each: to wake a thread for each of
//! them would take longer than the step. So the threads of the pool are asked once per operator, and wait for
//! its steps awake.
//!
//! Nothing depends on whether they come: the calling thread does what is left of each step's tasks itself.

use std::cell::RefCell;
use std::hint::spin_loop;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering::SeqCst};

/// Threads beyond which more would only wait: about the number of tasks of a step.
const MOST: usize = 16;

/// Rounds of waiting after which a thread lets others have the processor for a while.
const PATIENCE: usize = 2000;

/// A step's tasks.
struct Step<'a> {
    count: usize,
    task: &'a (dyn Fn(usize) + Sync),
}

/// What the threads of an operator share.
///
/// `step` is not null only while the calling thread is in [`Team::run`], which does not leave before `inside`
/// is zero. A helper raises `inside` before it looks at `step`, so it sees either nothing or a step that stays.
struct Team {
    step: AtomicPtr<Step<'static>>,
    /// The next task of the step.
    next: AtomicUsize,
    /// Helpers that may be using the step.
    inside: AtomicUsize,
    closed: AtomicBool,
}

thread_local! {
    /// The team of the operator that this thread has called.
    static TEAM: RefCell<Option<Arc<Team>>> = const { RefCell::new(None) };
}

/// Lets a helper go, and the calling thread know, by a panic too.
struct Inside<'a>(&'a AtomicUsize);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

/// Ends a step: no helper uses it any more when this is dropped, by a panic too.
struct Ending<'a>(&'a Team);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.step.store(std::ptr::null_mut(), SeqCst);
        let mut rounds = 0;
        while self.0.inside.load(SeqCst) > 0 {
            wait(&mut rounds);
        }
    }
}

/// Ends an operator: the helpers leave, by a panic too.
struct Closing<'a>(&'a Team);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.closed.store(true, SeqCst);
        TEAM.set(None);
    }
}

fn wait(rounds: &mut usize) {
    *rounds += 1;
    if rounds.is_multiple_of(PATIENCE) {
        std::thread::yield_now()
    } else {
        spin_loop()
    }
}

impl Team {
    /// Does the step's tasks, as many as the others leave.
    fn drain(&self, step: &Step<'_>) {
        loop {
            let mine = self.next.fetch_add(1, SeqCst);
            if mine >= step.count {
                break;
            }
            (step.task)(mine);
        }
    }

    /// A helper's part: all steps that it is in time for.
    fn help(&self) {
        let mut rounds = 0;
        while !self.closed.load(SeqCst) {
            // A look first: helpers that came and went all the time would keep the caller from leaving a step.
            if self.step.load(SeqCst).is_null() {
                wait(&mut rounds);
                continue;
            }
            self.inside.fetch_add(1, SeqCst);
            let inside = Inside(&self.inside);
            let step = self.step.load(SeqCst);
            // SAFETY: a step that is not null stays while `inside` is not zero.
            let step = unsafe { step.as_ref() };
            if let Some(step) = step.filter(|step| self.next.load(SeqCst) < step.count) {
                self.drain(step);
                rounds = 0;
            }
            drop(inside);
            wait(&mut rounds);
        }
    }

    /// The calling thread's part of a step.
    fn run(&self, step: &Step<'_>) {
        self.next.store(0, SeqCst);
        let _ending = Ending(self);
        self.step
            .store(std::ptr::from_ref(step).cast_mut().cast(), SeqCst);
        self.drain(step);
    }
}

/// Does `work`, whose steps ([`for_each`]) share the threads of the current pool.
pub(crate) fn together<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let threads = rayon::current_num_threads().min(MOST);
    if threads <= 1 {
        return work();
    }
    let team = Arc::new(Team {
        step: AtomicPtr::new(std::ptr::null_mut()),
        next: AtomicUsize::new(0),
        inside: AtomicUsize::new(0),
        closed: AtomicBool::new(false),
    });
    rayon::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(|_| team.help());
        }
        let _closing = Closing(&team);
        TEAM.set(Some(Arc::clone(&team)));
        work()
    })
}

/// Runs `task` for `0..count` on the threads of the operator, each taking the next when it is free.
pub(crate) fn for_each(count: usize, task: &(dyn Fn(usize) + Sync)) {
    // Taken away for the time being, so that a step inside a task is done by its thread alone.
    let team = if count > 1 { TEAM.take() } else { None };
    match team {
        Some(team) => {
            team.run(&Step { count, task });
            TEAM.set(Some(team));
        }
        None => (0..count).for_each(task),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pool(threads: usize) -> rayon::ThreadPool {
        rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap()
    }

    #[test]
    fn every_task_of_every_step_is_done_once_and_before_the_next_step() {
        for threads in [1, 2, 5] {
            pool(threads).install(|| {
                together(|| {
                    for step in 0..2000 {
                        let count = step % 13;
                        let done: Vec<AtomicUsize> =
                            (0..count).map(|_| AtomicUsize::new(0)).collect();
                        for_each(count, &|task| _ = done[task].fetch_add(1, SeqCst));
                        assert!(
                            done.iter().all(|done| done.load(SeqCst) == 1),
                            "step {step}"
                        );
                    }
                });
            });
        }
    }

    #[test]
    fn steps_may_nest_and_operators_may_run_side_by_side() {
        let sum = AtomicUsize::new(0);
        pool(3).install(|| {
            rayon::scope(|scope| {
                for _ in 0..6 {
                    scope.spawn(|_| {
                        together(|| {
                            for_each(4, &|_| for_each(5, &|_| _ = sum.fetch_add(1, SeqCst)))
                        })
                    });
                }
            });
        });
        assert_eq!(sum.into_inner(), 6 * 4 * 5);
    }

    #[test]
    fn a_panic_in_a_task_reaches_the_caller() {
        let pool = pool(2);
        for _ in 0..20 {
            let work = || pool.install(|| together(|| for_each(8, &|task| assert!(task != 5))));
            assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).is_err());
        }
        assert_eq!(pool.install(|| together(|| 7)), 7);
    }
}
