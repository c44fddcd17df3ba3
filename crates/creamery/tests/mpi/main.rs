//! Several processes as one job, started by mpirun.
//!
//! Needs the Cargo feature `mpi` and an mpirun: `cargo test --workspace --features creamery/mpi --test mpi`.

mod bad;
mod job;
mod lost;
mod same;
mod shared;
#[expect(dead_code, reason = "some of it is for other tests")]
#[path = "../cli/support.rs"]
mod support;
