//! Truncated and changed bytes: always an answer, never a panic, never more memory than a network takes.

use std::fs;
use std::path::Path;

use creamery_export::import::import;
use proptest::prelude::*;

use crate::support::{fixture, grey};

const FILES: [&str; 4] = [
    "tiny.safetensors",
    "tiny.pth",
    "tiny.pth.tar",
    "tiny-legacy.pth",
];

/// Reads changed bytes; whether they are still a network.
fn read(path: &Path, bytes: &[u8]) -> bool {
    fs::write(path, bytes).unwrap();
    match import(path, &grey()) {
        Ok(_) => true,
        Err(error) => {
            let message = error.to_string();
            assert!(
                !message.is_empty() && message.lines().count() <= 2,
                "{message}"
            );
            false
        }
    }
}

#[test]
fn a_truncated_file_is_always_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for file in FILES {
        let bytes = fs::read(fixture(file)).unwrap();
        let near_ends = (0..200).chain(bytes.len() - 200..bytes.len());
        for length in near_ends.chain((0..bytes.len()).step_by(bytes.len() / 100)) {
            assert!(!read(&path, &bytes[..length]), "{file} cut at {length}");
        }
    }
}

/// Where the structure of each file is: the beginning and the end, the pickle, the directory.
fn spot(length: usize) -> impl Strategy<Value = usize> {
    prop_oneof![
        0..length.min(40_000),
        length.saturating_sub(20_000)..length,
        0..length
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn changed_bytes_are_read_or_refused(
        file in 0..FILES.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0u8..3), 1..6),
        spots in prop::collection::vec(spot(240_000), 6),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut bytes = fs::read(fixture(FILES[file])).unwrap();
        for ((index, value, how), spot) in changes.into_iter().zip(spots) {
            let at = match how {
                0 => index.index(bytes.len()),
                1 => spot % bytes.len(),
                _ => bytes.len() - 1 - spot % bytes.len(),
            };
            bytes[at] = value;
        }
        read(&folder.path().join("file"), &bytes);
    }

    #[test]
    fn anything_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..300), start in 0usize..5) {
        let starts: [&[u8]; 5] = [b"", b"\x80\x02}", b"PK\x03\x04", b"\x10\0\0\0\0\0\0\0{", b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."];
        let folder = tempfile::tempdir().unwrap();
        prop_assert!(!read(&folder.path().join("file"), &[starts[start], &bytes].concat()));
    }
}
