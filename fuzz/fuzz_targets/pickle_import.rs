//! Any bytes as the pickle in a zip archive of torch.save, beside a storage of 4 KiB.
#![no_main]

mod file;

use std::io::{Cursor, Write};

use creamery_export::import::{Request, import};
use libfuzzer_sys::fuzz_target;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

fuzz_target!(|pickle: &[u8]| {
    let archive = archive(pickle).expect("memory can be written");
    file::with_bytes(&archive, |path| {
        let _ = import(path, &Request::default());
    });
});

fn archive(pickle: &[u8]) -> zip::result::ZipResult<Vec<u8>> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    for (name, bytes) in [("archive/data.pkl", pickle), ("archive/data/0", &[0; 4096])] {
        archive.start_file(name, stored)?;
        archive.write_all(bytes)?;
    }
    Ok(archive.finish()?.into_inner())
}
