//! Parquet files with something wrong.

use creamery_data::OpenOptions;
use parquet::basic::Compression;
use proptest::prelude::*;

use super::made::{Place, Row, jpeg, parquet};

const SKIP: OpenOptions = OpenOptions {
    skip_bad_images: true,
    max_bad_images: 100,
    val_labels: None,
};

fn with(change: impl FnOnce(&mut Vec<Row>)) -> Place {
    let place = Place::new();
    let rows = || {
        (0..8)
            .map(|i| (Some(jpeg(i)), Some(i as i64 % 3)))
            .collect::<Vec<Row>>()
    };
    let mut changed = rows();
    change(&mut changed);
    place.write("p/train-0.parquet", "");
    parquet(
        &place.path("p/train-0.parquet"),
        &changed,
        3,
        Compression::SNAPPY,
    );
    parquet(
        &place.path("p/test-0.parquet"),
        &rows(),
        8,
        Compression::SNAPPY,
    );
    place
}

#[test]
fn rows_without_a_usable_label_are_named() {
    for (label, says) in [
        (Some(3), "label 3 is outside the 3 classes (0 to 2)"),
        (Some(-1), "label -1 is outside"),
        (Some(i64::MAX), "is outside the 3 classes"),
        (None, "a row without a label"),
    ] {
        let place = with(|rows| rows[4].1 = label);
        let refusal = place.refusal("parquet:p");
        assert!(
            refusal.contains("train-0.parquet: row 4: ") && refusal.contains(says),
            "{refusal}"
        );
        let data = place.open("parquet:p", &SKIP).unwrap();
        assert_eq!((data.train.len(), data.skipped.len()), (7, 1));
    }
}

#[test]
fn rows_without_a_usable_image_are_met_on_the_way_or_skipped() {
    for (image, says) in [
        (None, "no image in it"),
        (Some(Vec::new()), "an empty file"),
        (Some(b"not a picture".to_vec()), "neither a JPEG nor a PNG"),
        (Some(jpeg(3)[..200].to_vec()), "cut short"),
    ] {
        let place = with(|rows| rows[4].0 = image);
        let data = place.opened("parquet:p");
        let error = data.train.image(4).unwrap_err().to_string();
        assert!(
            error.contains("train-0.parquet: row 4: ") && error.contains(says),
            "{error}"
        );
        let data = place.open("parquet:p", &SKIP).unwrap();
        assert_eq!((data.train.len(), data.skipped.len()), (7, 1));
    }
    let place = with(|rows| rows.iter_mut().for_each(|row| row.0 = None));
    assert!(place.open("parquet:p", &SKIP).is_err(), "nothing is left");
}

#[test]
fn files_that_are_none() {
    let place = with(|_| ());
    let whole = std::fs::read(place.path("p/train-0.parquet")).unwrap();
    for length in [0, 3, 8, 100, whole.len() / 2, whole.len() - 1] {
        place.write("p/train-0.parquet", &whole[..length]);
        let refusal = place.refusal("parquet:p");
        assert!(
            refusal.contains("train-0.parquet: a damaged Parquet file"),
            "{refusal}"
        );
    }
}

#[test]
fn other_columns_are_told() {
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    let place = with(|_| ());
    let schema =
        parse_message_type("message schema { required binary text; required int32 label; }")
            .unwrap();
    let file = std::fs::File::create(place.path("p/train-0.parquet")).unwrap();
    SerializedFileWriter::new(file, schema.into(), Default::default())
        .unwrap()
        .close()
        .unwrap();
    let refusal = place.refusal("parquet:p");
    assert!(
        refusal.contains(
            "no column of images (by the name of image, img, jpg) among its columns text, label"
        ),
        "{refusal}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn damage_never_panics(
        damage in prop::collection::vec((0.0f64..1.0, any::<u8>()), 1..5), in_footer: bool,
    ) {
        let place = with(|_| ());
        let mut bytes = std::fs::read(place.path("p/train-0.parquet")).unwrap();
        let first = if in_footer { bytes.len() - 900 } else { 0 };
        for (place, byte) in damage {
            let at = first + (place * (bytes.len() - first) as f64) as usize;
            bytes[at] = byte;
        }
        place.write("p/train-0.parquet", bytes);
        let _ = place.open("parquet:p", &SKIP);
        if let Ok(data) = place.open("parquet:p", &OpenOptions::default()) {
            for index in 0..data.train.len() {
                let _ = data.train.image(index);
            }
        }
    }
}
