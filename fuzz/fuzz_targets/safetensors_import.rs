//! Any bytes as a file of weights.
#![no_main]

mod file;

use creamery_export::import::{Request, import};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    file::with_bytes(bytes, |path| {
        let _ = import(path, &Request::default());
    })
});
