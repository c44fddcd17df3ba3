//! Several processes as one job, started by mpirun.
//!
//! Needs the Cargo feature `mpi` and an mpirun; `.ci/run` installs Debian's.

mod bad;
mod job;
mod lost;
mod same;
mod shared;
#[path = "../cli/support.rs"]
mod support;
