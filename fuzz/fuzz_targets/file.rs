//! Bytes as a file that is imported. It may be refused, but nothing else may go wrong.

use std::cell::RefCell;
use std::io::{Seek, SeekFrom, Write};

use creamery_export::import::{Request, import};
use tempfile::NamedTempFile;

thread_local! {
    static FILE: RefCell<NamedTempFile> = RefCell::new(NamedTempFile::new().expect("there is a folder for temporary files"));
}

pub fn import_bytes(bytes: &[u8]) {
    FILE.with_borrow_mut(|file| {
        let handle = file.as_file_mut();
        handle.set_len(0).expect("it can be emptied");
        handle.seek(SeekFrom::Start(0)).expect("it can be rewound");
        handle.write_all(bytes).expect("it can be written");
        let _ = import(file.path(), &Request::default());
    });
}
