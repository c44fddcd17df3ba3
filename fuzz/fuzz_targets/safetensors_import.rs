//! Any bytes as a file of weights.
#![no_main]

mod file;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| file::import_bytes(bytes));
