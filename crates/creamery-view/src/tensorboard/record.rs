//! TensorFlow's record files: what event files are made of.

use std::io::{self, Write};

/// Writes a record: its length, the checksum of that, its bytes, the checksum of those
/// (<https://www.tensorflow.org/tutorials/load_data/tfrecord#tfrecords_format_details>).
pub(super) fn write(to: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    let length = (bytes.len() as u64).to_le_bytes();
    to.write_all(&length)?;
    to.write_all(&masked(&length).to_le_bytes())?;
    to.write_all(bytes)?;
    to.write_all(&masked(bytes).to_le_bytes())
}

/// CRC-32C, turned and shifted, because a checksum of data that hold their own checksum would say little.
fn masked(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes)
        .rotate_right(15)
        .wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The record that TensorFlow writes for `{"a": 1}`-like bytes: numbers from `tf.io.TFRecordWriter`'s format
    /// description and CRC-32C of "123456789", which is 0xe3069283.
    #[test]
    fn checksums_are_masked_castagnoli() {
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        let turned = 0xe306_9283_u32.rotate_right(15);
        assert_eq!(masked(b"123456789"), turned.wrapping_add(0xa282_ead8));
        let mut record = Vec::new();
        write(&mut record, b"123456789").unwrap();
        assert_eq!(record.len(), 8 + 4 + 9 + 4);
        assert_eq!(record[..8], 9u64.to_le_bytes());
        assert_eq!(record[12..21], *b"123456789");
    }
}
