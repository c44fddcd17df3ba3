//! Any bytes as the images of an IDX data set, whose labels are as many as the header says; or as its labels.
#![no_main]

use std::cell::RefCell;
use std::fs;

use creamery_data::{DataSet, OpenOptions};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

thread_local! {
    static FOLDER: RefCell<TempDir> = RefCell::new(tempfile::tempdir().expect("there is a folder for temporary files"));
}

/// Most labels that are written.
const MOST: u32 = 1000;

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, bytes)) = bytes.split_first() else {
        return;
    };
    let count = match bytes.get(4..8) {
        Some(count) => u32::from_be_bytes(count.try_into().expect("four bytes")).min(MOST),
        None => 0,
    };
    let (images, labels) = match kind % 2 {
        0 => (bytes.to_vec(), labels(count)),
        _ => (images(count), bytes.to_vec()),
    };
    FOLDER.with_borrow(|folder| {
        for split in ["train", "t10k"] {
            for (name, bytes) in [
                ("images-idx3-ubyte", &images),
                ("labels-idx1-ubyte", &labels),
            ] {
                fs::write(folder.path().join(format!("{split}-{name}")), bytes)
                    .expect("it can be written");
            }
        }
        let spec = format!("mnist:{}", folder.path().display());
        if let Ok(set) = DataSet::open(&spec, &OpenOptions::default()) {
            set.fingerprint();
            for i in 0..set.train.len() {
                set.train.image(i).expect("an image of the set is there");
            }
        }
    });
});

fn labels(count: u32) -> Vec<u8> {
    let labels = (0..count).map(|i| (i % 10) as u8);
    let header = [0x801, count].into_iter().flat_map(u32::to_be_bytes);
    header.chain(labels).collect()
}

fn images(count: u32) -> Vec<u8> {
    let header = [0x803, count, 2, 2].into_iter().flat_map(u32::to_be_bytes);
    header.chain(vec![7; 4 * count as usize]).collect()
}
