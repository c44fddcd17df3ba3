//! Bytes as a file. It may be refused, but nothing else may go wrong.

use std::cell::RefCell;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use tempfile::NamedTempFile;

thread_local! {
    static FILE: RefCell<NamedTempFile> = RefCell::new(NamedTempFile::new().expect("there is a folder for temporary files"));
}

/// Reads a file of these bytes.
pub fn with_bytes(bytes: &[u8], read: impl FnOnce(&Path)) {
    FILE.with_borrow_mut(|file| {
        let handle = file.as_file_mut();
        handle.set_len(0).expect("it can be emptied");
        handle.seek(SeekFrom::Start(0)).expect("it can be rewound");
        handle.write_all(bytes).expect("it can be written");
        read(file.path());
    });
}
