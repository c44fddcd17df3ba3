//! Any bytes as an image file.
#![no_main]

mod file;

use creamery_data::{Augment, Interpolation, Normalisation, Pipeline};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let pipeline = Pipeline {
        resolution: 8,
        shorter_side: 9,
        interpolation: Interpolation::Bilinear,
        channels: 3,
        augment: Augment::default(),
        normalisation: Normalisation {
            mean: vec![0.5; 3],
            std: vec![0.5; 3],
        },
    };
    file::with_bytes(bytes, |path| {
        let _ = pipeline.file(path);
    })
});
