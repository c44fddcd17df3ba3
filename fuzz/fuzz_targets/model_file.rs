//! Any bytes as a model.safetensors.
#![no_main]

mod file;

use creamery_nn::Device;
use creamery_train::Model;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    file::with_bytes(bytes, |path| {
        let _ = Model::load(path, &Device::flex());
    })
});
