//! Loading over many epochs: memory stays flat, and threads go with their loader. Alone in its process, because it counts.
#![cfg(target_os = "linux")]

use creamery_data::{Loader, Normalisation, Sampling, Shuffle, Split};

/// Loading threads of this process.
fn threads() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap();
    let names =
        tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("data-")).count()
}

/// Memory of its own, in bytes.
fn memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("RssAnon:"))
        .unwrap();
    let kilobytes: usize = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes << 10
}

#[test]
fn no_memory_and_no_thread() {
    let labels: Vec<usize> = (0..600).map(|i| i % 3).collect();
    let pixels = (0..600 * 32 * 32 * 3).map(|i| (i % 251) as u8).collect();
    let split = Split::from_pixels([32, 32, 3], pixels, &labels, 3).unwrap();
    let split = split.sampled(Sampling {
        shuffle: Shuffle::Shards {
            buffer: 100,
            readers: 1,
        },
        balance: 0.5,
    });
    let data = creamery_data::DataSet::new(
        "counted",
        ["a", "b", "c"].map(str::to_owned).to_vec(),
        split.clone(),
        split.clone(),
        creamery_data::Augment::crop_and_flip(2, true),
    )
    .unwrap();
    let pipeline = data.pipeline(64, Normalisation::of(&split).unwrap());
    assert_eq!(threads(), 0);
    let mut loader = Loader::train(&split, &pipeline, 60, 1, 0, 0, 3).unwrap();
    let mut after = Vec::new();
    for batch in loader.by_ref() {
        let batch = batch.unwrap();
        if batch.index == 9 {
            after.push(memory());
        }
        if batch.epoch == 20 {
            break;
        }
    }
    // An epoch's batches are 29 MB.
    let (early, late) = (after[4], after[19]);
    assert!(late < early + (12 << 20), "{after:?}");
    assert_eq!(threads(), 3);
    // A consumer that stops in the middle of an epoch.
    drop(loader);
    assert_eq!(threads(), 0);
    for taken in [0, 1, 3] {
        let mut loader = Loader::evaluation(&split, &pipeline, 100, 2).unwrap();
        for _ in 0..taken {
            loader.next().unwrap().unwrap();
        }
        drop(loader);
        assert_eq!(threads(), 0, "after {taken}");
    }
}
