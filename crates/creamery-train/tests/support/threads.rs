//! Ranks that are threads of a test.

use std::sync::{Arc, Barrier, Mutex};

use creamery_train::Ranks;
use creamery_train::collective::{Collective, Summing};

/// A collective among threads, which exchange bytes in turn.
#[derive(Clone, Debug)]
struct Threads {
    rank: usize,
    table: Arc<Table>,
}

#[derive(Debug)]
struct Table {
    places: Mutex<Vec<Vec<u8>>>,
    turn: Barrier,
}

impl Threads {
    /// What each rank has laid on the table.
    fn exchange(&self, bytes: Vec<u8>) -> Vec<Vec<u8>> {
        self.table.places.lock().unwrap()[self.rank] = bytes;
        self.table.turn.wait();
        let all = self.table.places.lock().unwrap().clone();
        self.table.turn.wait();
        all
    }

    fn sums<const W: usize, T: std::iter::Sum<T>>(
        &self,
        values: Vec<[u8; W]>,
        read: fn([u8; W]) -> T,
    ) -> Vec<T> {
        let all = self.exchange(values.concat());
        let at = |bytes: &[u8], i: usize| read(bytes[i * W..(i + 1) * W].try_into().unwrap());
        (0..values.len())
            .map(|i| all.iter().map(|bytes| at(bytes, i)).sum())
            .collect()
    }
}

impl Collective for Threads {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.table.places.lock().unwrap().len()
    }

    fn local_rank(&self) -> usize {
        self.rank
    }

    fn begin_sum(&self, values: Vec<f32>) -> Summing {
        let bytes = values.into_iter().map(f32::to_le_bytes).collect();
        Summing::Done(self.sums(bytes, f32::from_le_bytes))
    }

    fn sum(&self, values: &mut Vec<f64>) {
        let bytes = values.iter().map(|value| value.to_le_bytes()).collect();
        *values = self.sums(bytes, f64::from_le_bytes);
    }

    fn broadcast(&self, bytes: &mut Vec<u8>) {
        *bytes = self.exchange(std::mem::take(bytes)).swap_remove(0);
    }

    fn gather(&self, bytes: Vec<u8>) -> Vec<Vec<u8>> {
        self.exchange(bytes)
    }

    fn barrier(&self) {
        self.table.turn.wait();
    }

    fn abort(&self, code: i32) -> ! {
        panic!("rank {} aborts with {code}", self.rank)
    }
}

/// Does `work` on so many ranks, each a thread with a pool of its own; what each gives, in their order.
pub fn on_ranks<T: Send>(count: usize, work: impl Fn(Ranks) -> T + Sync) -> Vec<T> {
    let table = Arc::new(Table {
        places: Mutex::new(vec![Vec::new(); count]),
        turn: Barrier::new(count),
    });
    std::thread::scope(|scope| {
        let ranks: Vec<_> = (0..count)
            .map(|rank| {
                let table = Arc::clone(&table);
                let work = &work;
                scope.spawn(move || {
                    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
                    pool.unwrap()
                        .install(|| work(Ranks::new(Threads { rank, table })))
                })
            })
            .collect();
        ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
    })
}
