//! The ranks of a job that mpirun or srun started.

use std::env;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

use mpi::Threading;
use mpi::collective::SystemOperation;
use mpi::datatype::PartitionMut;
use mpi::environment::Universe;
use mpi::topology::SimpleCommunicator;
use mpi::traits::{Communicator, CommunicatorCollectives, Equivalence, Root};

use super::{Collective, Summing, pieces};

/// Values of one call: counts are of 32 bits in MPI, and buffers of calls are copied by its libraries.
const MOST: usize = 1 << 26;

/// How long a rank waits for an abort before it just ends.
const ABORT: Duration = Duration::from_secs(3);

/// Variables that mpirun and srun give the processes that they start, one of each family: Open MPI, MPICH and Intel
/// MPI (PMI), PMIx, Slurm's own.
const STARTED: [&str; 5] = [
    "OMPI_COMM_WORLD_SIZE",
    "PMI_SIZE",
    "PMI_RANK",
    "PMIX_RANK",
    "SLURM_PROCID",
];

/// Why this process is not one of a job.
#[derive(Debug, thiserror::Error)]
pub enum MpiError {
    /// Nobody started it as one.
    #[error(
        "--mpi needs ranks, but neither mpirun nor srun started this process: start it as `mpirun -n 4 creamery ..` or in a Slurm job with `srun creamery ..`, or leave out --mpi"
    )]
    NotStarted,
    /// The MPI library cannot be called from the thread that is to call it.
    #[error(
        "this MPI library allows no calls from a thread of their own (it grants {0:?}): use one built with thread support, as Open MPI and MPICH are by default"
    )]
    Threads(Threading),
    /// It was started, but every process sees only itself.
    #[error(
        "{launcher} says that this is one of {started} processes, but the MPI library sees {found}: build Creamery against the MPI that starts it, or with Slurm give `srun --mpi=pmix` (`srun --mpi=list` shows what there is)"
    )]
    Apart {
        /// The variable that says so.
        launcher: &'static str,
        /// How many it says.
        started: usize,
        /// How many there are.
        found: usize,
    },
    /// The thread that calls MPI did not start.
    #[error("cannot start the thread that calls MPI: {0}")]
    Spawn(#[from] std::io::Error),
}

/// Something for the thread that calls MPI.
enum Call {
    Sum(Vec<f32>, Sender<Vec<f32>>),
    Exactly(Vec<f64>, Sender<Vec<f64>>),
    Broadcast(Vec<u8>, Sender<Vec<u8>>),
    Gather(Vec<u8>, Sender<Vec<Vec<u8>>>),
    Barrier(Sender<()>),
    Abort(i32),
    Finish,
}

/// What the thread found.
struct World {
    rank: usize,
    size: usize,
    local_rank: usize,
}

/// The ranks of a job, by MPI.
///
/// One thread of its own makes all calls, from initialisation to the end, so that the library needs to know nothing of
/// the threads that compute, and sums go on while these work.
#[derive(Debug)]
pub struct Mpi {
    rank: usize,
    size: usize,
    local_rank: usize,
    calls: Mutex<Sender<Call>>,
    /// Whether the thread is within a call.
    busy: &'static AtomicBool,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Mpi {
    /// Joins the job that this process was started for.
    ///
    /// # Errors
    /// [`MpiError`] if it was started for none, or the MPI library is another than the one that started it.
    pub fn join() -> Result<Self, MpiError> {
        if !STARTED.iter().any(|name| env::var_os(name).is_some()) {
            return Err(MpiError::NotStarted);
        }
        let (calls, queue) = channel();
        let (tell, told) = channel();
        let busy: &'static AtomicBool = Box::leak(Box::new(AtomicBool::new(false)));
        let thread = Builder::new()
            .name("mpi".into())
            .spawn(move || serve(&queue, &tell, busy))?;
        let World {
            rank,
            size,
            local_rank,
        } = told.recv().unwrap_or(Err(MpiError::NotStarted))?;
        let this = Self {
            rank,
            size,
            local_rank,
            calls: Mutex::new(calls),
            busy,
            thread: Mutex::new(Some(thread)),
        };
        for launcher in ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_NTASKS"] {
            let started = env::var(launcher).ok().and_then(|text| text.parse().ok());
            // Within a job's script Slurm's variables are there without srun.
            let started = started.filter(|_| launcher != "SLURM_NTASKS" || slurm_step());
            if let Some(started) = started
                && started > 1
                && size == 1
            {
                return Err(MpiError::Apart {
                    launcher,
                    started,
                    found: size,
                });
            }
        }
        Ok(this)
    }

    fn send(&self, call: Call) {
        let calls = self.calls.lock();
        let calls = calls.expect("no thread panics while it sends");
        // A thread that has gone has ended the process, or is about to.
        let _ = calls.send(call);
    }

    fn ask<T>(&self, call: impl FnOnce(Sender<T>) -> Call) -> T {
        let (reply, answer) = channel();
        self.send(call(reply));
        answer.recv().expect("calls are answered or the job ends")
    }
}

/// Whether srun started this process: the batch script itself is a step of the name `batch` or has none.
fn slurm_step() -> bool {
    env::var("SLURM_STEP_ID").is_ok_and(|step| step.parse::<u32>().is_ok())
}

impl Collective for Mpi {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn local_rank(&self) -> usize {
        self.local_rank
    }

    fn begin_sum(&self, values: Vec<f32>) -> Summing {
        let (reply, sum) = channel();
        self.send(Call::Sum(values, reply));
        Summing::Coming(sum)
    }

    fn sum(&self, values: &mut Vec<f64>) {
        let own = std::mem::take(values);
        *values = self.ask(|reply| Call::Exactly(own, reply));
    }

    fn broadcast(&self, bytes: &mut Vec<u8>) {
        let own = std::mem::take(bytes);
        *bytes = self.ask(|reply| Call::Broadcast(own, reply));
    }

    fn gather(&self, bytes: Vec<u8>) -> Vec<Vec<u8>> {
        self.ask(|reply| Call::Gather(bytes, reply))
    }

    fn barrier(&self) {
        self.ask(Call::Barrier);
    }

    fn finish(&self) {
        self.send(Call::Finish);
        let thread = self.thread.lock().ok().and_then(|mut thread| thread.take());
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }

    fn abort(&self, code: i32) -> ! {
        // A call that is answered is over in a moment. Within one the thread cannot be asked; that a process ends without a
        // word ends the job, too.
        for _ in 0..20 {
            if !self.busy.load(Ordering::SeqCst) {
                break;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        if !self.busy.load(Ordering::SeqCst) {
            self.send(Call::Abort(code));
            std::thread::sleep(ABORT);
        }
        std::process::exit(code)
    }
}

/// The thread that calls MPI.
fn serve(queue: &Receiver<Call>, tell: &Sender<Result<World, MpiError>>, busy: &AtomicBool) {
    let Some((universe, granted)) = mpi::initialize_with_threading(Threading::Serialized) else {
        return;
    };
    if granted < Threading::Funneled {
        let _ = tell.send(Err(MpiError::Threads(granted)));
        return;
    }
    let world = universe.world();
    let number = |rank: i32| usize::try_from(rank).expect("ranks are counted from 0");
    let found = World {
        rank: number(world.rank()),
        size: number(world.size()),
        local_rank: number(world.split_shared(world.rank()).rank()),
    };
    let _ = tell.send(Ok(found));
    while let Ok(call) = queue.recv() {
        if let Call::Finish = call {
            break;
        }
        busy.store(true, Ordering::SeqCst);
        answer(&world, call);
        busy.store(false, Ordering::SeqCst);
    }
    finalise(universe);
}

/// Leaves the job in order.
fn finalise(universe: Universe) {
    drop(universe);
}

fn answer(world: &SimpleCommunicator, call: Call) {
    // Whoever asked may have gone, by a panic; then nobody wants the answer.
    match call {
        Call::Sum(values, reply) => _ = reply.send(sums(world, &values)),
        Call::Exactly(values, reply) => _ = reply.send(sums(world, &values)),
        Call::Broadcast(bytes, reply) => _ = reply.send(broadcast(world, bytes)),
        Call::Gather(bytes, reply) => _ = reply.send(gather(world, &bytes)),
        Call::Barrier(reply) => {
            world.barrier();
            let _ = reply.send(());
        }
        Call::Abort(code) => world.abort(code),
        Call::Finish => {}
    }
}

fn sums<T: Equivalence + Clone + Default>(world: &SimpleCommunicator, values: &[T]) -> Vec<T> {
    let mut sums = vec![T::default(); values.len()];
    for piece in pieces(values.len(), MOST) {
        let (from, to) = (&values[piece.clone()], &mut sums[piece]);
        world.all_reduce_into(from, to, SystemOperation::sum());
    }
    sums
}

fn broadcast(world: &SimpleCommunicator, mut bytes: Vec<u8>) -> Vec<u8> {
    let root = world.process_at_rank(0);
    let mut length = bytes.len() as u64;
    root.broadcast_into(&mut length);
    bytes.resize(length as usize, 0);
    for piece in pieces(bytes.len(), MOST) {
        root.broadcast_into(&mut bytes[piece]);
    }
    bytes
}

/// What is gathered is short: states are broadcast, gradients summed.
fn gather(world: &SimpleCommunicator, bytes: &[u8]) -> Vec<Vec<u8>> {
    let own = i32::try_from(bytes.len()).expect("less than 2 GiB is gathered");
    let mut lengths = vec![0i32; world.size() as usize];
    world.all_gather_into(&own, &mut lengths[..]);
    let mut starts = Vec::with_capacity(lengths.len());
    let mut end = 0;
    for length in &lengths {
        starts.push(end);
        end += length;
    }
    let mut all = vec![0u8; end as usize];
    {
        let mut parts = PartitionMut::new(&mut all[..], &lengths[..], &starts[..]);
        world.all_gather_varcount_into(bytes, &mut parts);
    }
    let part = |(start, length): (&i32, &i32)| all[*start as usize..][..*length as usize].to_vec();
    starts.iter().zip(&lengths).map(part).collect()
}
