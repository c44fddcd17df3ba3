//! Any bytes as a shard of WebDataset, a Parquet file, a packed file, or a photograph in a folder of images, which training reads.
#![no_main]

use std::cell::RefCell;
use std::fs;

use creamery_data::{DataSet, Loader, Normalisation, OpenOptions};
use libfuzzer_sys::fuzz_target;
use tempfile::TempDir;

thread_local! {
    static FOLDER: RefCell<TempDir> = RefCell::new(tempfile::tempdir().expect("there is a folder for temporary files"));
}

/// The kind of data set, and the files that hold the bytes.
const KINDS: [(&str, &str, [&str; 2]); 4] = [
    ("tar", "tar", ["train-0.tar", "val-0.tar"]),
    (
        "parquet",
        "parquet",
        ["train-0.parquet", "validation-0.parquet"],
    ),
    ("packed", "packed/all", ["all", "all"]),
    ("folder", "folder", ["train/a/0.jpg", "val/a/0.jpg"]),
];

fuzz_target!(|bytes: &[u8]| {
    let Some((&kind, bytes)) = bytes.split_first() else {
        return;
    };
    let (kind, place, files) = KINDS[usize::from(kind) % KINDS.len()];
    FOLDER.with_borrow(|folder| {
        for file in files {
            let path = folder.path().join(kind).join(file);
            fs::create_dir_all(path.parent().expect("it is in a folder")).expect("it can be made");
            fs::write(path, bytes).expect("it can be written");
        }
        let spec = format!("{kind}:{}", folder.path().join(place).display());
        let Ok(set) = DataSet::open(&spec, &OpenOptions::default()) else {
            return;
        };
        set.fingerprint();
        let normalisation = Normalisation {
            mean: vec![0.5; set.channels],
            std: vec![0.5; set.channels],
        };
        let mut pipeline = set.pipeline(8, normalisation);
        pipeline.augment.crop_scale = Some(0.08);
        let batch = set.train.len().min(4);
        if let Ok(loader) = Loader::train(&set.train, &pipeline, batch, 0, 0, 0, 0) {
            loader.take(4).for_each(drop);
        }
    });
});
