//! Packed files with something wrong.

use std::path::Path;

use creamery_data::{PackFormat, PackOptions, Packed, pack};
use proptest::prelude::*;

use super::made::Place;

const HEADER: usize = 60;

fn place(format: PackFormat) -> (Place, Vec<u8>) {
    let place = Place::new();
    place.folder();
    let options = PackOptions {
        format,
        ..PackOptions::default()
    };
    pack(
        &place.opened("folder:folder"),
        &place.path("packed"),
        &options,
        |_| true,
    )
    .unwrap();
    let bytes = std::fs::read(place.path("packed")).unwrap();
    (place, bytes)
}

/// Where the tail begins.
fn tail(bytes: &[u8]) -> usize {
    u64::from_le_bytes(bytes[12..20].try_into().unwrap()) as usize
}

/// Makes the checksum right again, as one who means harm would.
fn sign(bytes: &mut [u8]) {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes[..28]);
    hasher.update(&bytes[tail(bytes).min(bytes.len())..]);
    bytes[28..HEADER].copy_from_slice(hasher.finalize().as_bytes());
}

fn refusal(place: &Place, bytes: &[u8]) -> String {
    place.write("packed", bytes);
    place.refusal("packed:packed")
}

#[test]
fn cuts_other_versions_and_other_files() {
    let (place, whole) = place(PackFormat::Raw);
    for length in (0..whole.len())
        .step_by(997)
        .chain([7, HEADER - 1, HEADER, whole.len() - 1])
    {
        refusal(&place, &whole[..length]);
    }
    assert!(refusal(&place, &[&whole[..], &[0]].concat()).contains("cut short or damaged"));
    let mut other = whole.clone();
    other[8] = 9;
    assert!(refusal(&place, &other).contains("of version 9, but this program reads version 1"));
    assert!(refusal(&place, b"\x89PNG").contains("not a packed data set"));
    let missing = place.open("packed:none", &Default::default()).unwrap_err();
    assert!(missing.is_usage() && missing.to_string().contains("creamery data pack"));
    assert!(place.refusal("packed:folder").contains("not a file"));
}

#[test]
fn signed_nonsense_is_refused_for_what_it_says() {
    let (place, whole) = place(PackFormat::Raw);
    let images = 57;
    let index = whole.len() - images * 16;
    let case = |at: usize, bytes: &[u8], says: &str| {
        let mut changed = whole.clone();
        changed[at..at + bytes.len()].copy_from_slice(bytes);
        let unsigned = refusal(&place, &changed);
        assert!(
            unsigned.contains("checksum") || unsigned.contains("announces"),
            "{unsigned}"
        );
        sign(&mut changed);
        let refused = refusal(&place, &changed);
        assert!(refused.contains(says), "{refused}");
    };
    let huge = u64::MAX.to_le_bytes();
    case(12, &huge, "announces too many bytes");
    case(20, &huge, "announces too many bytes");
    case(12, &0u64.to_le_bytes(), "cut short or damaged");
    case(tail(&whole), &huge, "description is longer");
    case(index, &u32::MAX.to_le_bytes(), "image 0 cannot have");
    case(
        index + 4,
        &77u32.to_le_bytes(),
        "the label 77 of image 0 is outside the 3 classes",
    );
    case(index + 8, &[0, 0], "image 0 cannot have 0x20 pixels");
    case(
        index + 8,
        &[0xff, 0xff],
        "image 0 cannot have 65535x20 pixels",
    );
    let text = String::from_utf8_lossy(&whole).into_owned();
    assert!(text.contains("\"train\":48"));
    let at = whole
        .windows(10)
        .position(|w| w == b"\"train\":48")
        .unwrap();
    case(at, b"\"train\":99", "another size than its images need");
    case(at, b"\"train\":4]", "expected");
}

#[test]
fn a_shift_between_two_images_is_seen() {
    let (place, mut bytes) = place(PackFormat::Jpeg);
    let index = bytes.len() - 57 * 16;
    // One byte more for the last image would reach into the index.
    let last = bytes.len() - 16;
    let longer = u32::from_le_bytes(bytes[last..last + 4].try_into().unwrap()) + 1;
    bytes[last..last + 4].copy_from_slice(&longer.to_le_bytes());
    sign(&mut bytes);
    assert!(refusal(&place, &bytes).contains("do not end where its index begins"));
    // From the first to the second it stays within, and both are no images any more.
    bytes[last..last + 4].copy_from_slice(&(longer - 1).to_le_bytes());
    for (entry, change) in [(0, -1), (1, 1)] {
        let at = index + entry * 16;
        let length = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        bytes[at..at + 4].copy_from_slice(&length.wrapping_add_signed(change).to_le_bytes());
    }
    sign(&mut bytes);
    place.write("packed", bytes);
    let data = place.opened("packed:packed");
    assert!(data.train.image(0).is_err());
    let error = data.train.image(1).unwrap_err().to_string();
    assert!(
        error.contains("packed: image 1: neither a JPEG nor a PNG"),
        "{error}"
    );
}

#[test]
fn changed_pixels_are_found_by_verifying() {
    let (place, mut bytes) = place(PackFormat::Raw);
    let open = |path: &Path| Packed::open(path).unwrap();
    open(&place.path("packed")).verify().unwrap();
    bytes[HEADER] ^= 1;
    place.write("changed", bytes);
    let found = open(&place.path("changed"))
        .verify()
        .unwrap_err()
        .to_string();
    assert!(
        found.contains("image 0 has changed since it was packed"),
        "{found}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn signed_damage_never_panics(damage in prop::collection::vec((0.0f64..1.0, any::<u8>()), 1..5)) {
        let (place, mut bytes) = place(PackFormat::Jpeg);
        let first = tail(&bytes);
        for (place, byte) in damage {
            let at = first + (place * (bytes.len() - first) as f64) as usize;
            bytes[at] = byte;
        }
        sign(&mut bytes);
        place.write("packed", bytes);
        if let Ok(data) = place.open("packed:packed", &Default::default()) {
            for index in 0..data.train.len() {
                let _ = data.train.image(index);
            }
        }
    }
}
