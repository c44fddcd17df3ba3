//! Folders of images: order, decoding, bad files.

use std::fs;
use std::path::{Path, PathBuf};

use creamery_data::{Batch, DataError, DataSet, Loader, Normalisation, OpenOptions};
use jpeg_encoder::{ColorType, Encoder};
use tempfile::TempDir;

const SKIP: OpenOptions = OpenOptions {
    skip_bad_images: true,
    ..STRICT
};
const STRICT: OpenOptions = OpenOptions {
    skip_bad_images: false,
    max_bad_images: 100,
    val_labels: None,
};

/// An image of one colour.
fn png(width: u32, height: u32, colour: [u8; 3]) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().unwrap();
    writer
        .write_image_data(&colour.repeat((width * height) as usize))
        .unwrap();
    writer.finish().unwrap();
    file
}

fn grey_jpeg(width: u16, height: u16, grey: u8) -> Vec<u8> {
    let mut file = Vec::new();
    let pixels = vec![grey; usize::from(width) * usize::from(height)];
    Encoder::new(&mut file, 95)
        .encode(&pixels, width, height, ColorType::Luma)
        .unwrap();
    file
}

/// Two classes: `cat` in shades of red, `dog` in shades of grey; names do not tell the format.
fn animals() -> TempDir {
    let folder = TempDir::with_prefix("my: animals ").unwrap();
    let put = |path: &str, bytes: Vec<u8>| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    };
    // Written out of order.
    for shade in [30, 10, 20] {
        put(
            &format!("train/cat/{shade}.jpeg"),
            png(20 + shade, 33, [shade as u8, 0, 0]),
        );
    }
    for shade in [200, 100] {
        put(&format!("train/dog/{shade}.png"), grey_jpeg(24, 40, shade));
    }
    put("val/dog/a.jpg", grey_jpeg(64, 32, 150));
    put("val/cat/a.jpg", png(8, 8, [77, 1, 2]));
    put("train/README", b"not a class".to_vec());
    put("train/cat/.thumbnails", b"hidden".to_vec());
    folder
}

fn open(folder: &TempDir, options: &OpenOptions) -> Result<DataSet, DataError> {
    DataSet::open(&format!("folder:{}", folder.path().display()), options)
}

fn refusal(folder: &TempDir) -> String {
    let error = open(folder, &STRICT).unwrap_err();
    assert!(!error.is_usage());
    error.to_string()
}

#[test]
fn classes_and_files_are_sorted_and_lazily_decoded() {
    let folder = animals();
    let data = open(&folder, &STRICT).unwrap();
    assert_eq!(data.classes, ["cat", "dog"]);
    assert_eq!((data.channels, data.height, data.width), (3, None, None));
    let labels =
        |split: &creamery_data::Split| (0..split.len()).map(|i| split.label(i)).collect::<Vec<_>>();
    assert_eq!(labels(&data.train), [0, 0, 0, 1, 1]);
    assert_eq!(labels(&data.test), [0, 1]);
    for (index, pixel) in [[10, 0, 0], [20, 0, 0], [30, 0, 0], [100; 3], [200; 3]]
        .iter()
        .enumerate()
    {
        let image = data.train.image(index).unwrap();
        assert_eq!(image.channels, 3);
        for (found, wanted) in image.pixels.iter().zip(pixel) {
            assert!(found.abs_diff(*wanted) <= 1, "{found} is not {wanted}");
        }
    }
    assert_eq!(data.train.image(1).unwrap().width, 40);
    assert_eq!(
        data.fingerprint(),
        open(&folder, &STRICT).unwrap().fingerprint()
    );
}

#[test]
fn mixed_sizes_become_squares_the_same_with_any_threads() {
    let folder = animals();
    let data = open(&folder, &STRICT).unwrap();
    let pipeline = data.pipeline(14, Normalisation::of(&data.train).unwrap());
    assert_eq!((pipeline.resolution, pipeline.shorter_side), (14, 16));
    let batches = |threads| -> Vec<Batch> {
        Loader::train(&data.train, &pipeline, 2, 3, 0, 0, threads)
            .unwrap()
            .take(7)
            .collect::<Result<_, _>>()
            .unwrap()
    };
    let alone = batches(0);
    assert!(
        alone
            .iter()
            .all(|batch| batch.images.len() == 2 * 14 * 14 * 3)
    );
    for threads in [1, 2, 5] {
        assert_eq!(batches(threads), alone);
    }
    // Images of one colour stay so, whatever is done to their size.
    let test = Loader::evaluation(&data.test, &pipeline, 2, 1)
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    for image in test.images.chunks_exact(14 * 14 * 3) {
        assert!(image.chunks_exact(3).all(|pixel| pixel == &image[..3]));
    }
}

#[test]
fn normalisation_weighs_images_alike_whatever_their_size() {
    let folder = animals();
    let data = open(&folder, &STRICT).unwrap();
    let normalisation = Normalisation::of(&data.train).unwrap();
    let mean = |shades: [u32; 5]| shades.iter().sum::<u32>() as f32 / 5.0 / 255.0;
    assert!((normalisation.mean[0] - mean([10, 20, 30, 100, 200])).abs() < 0.005);
    assert!((normalisation.mean[1] - mean([0, 0, 0, 100, 200])).abs() < 0.005);
}

type Spoil = fn(&Path) -> PathBuf;

/// Ways to make one training file useless, each with what is said of it.
const BAD_FILES: [(Spoil, &str); 5] = [
    (
        |cat| {
            fs::write(cat.join("15.txt"), "notes").unwrap();
            cat.join("15.txt")
        },
        "neither a JPEG nor a PNG image",
    ),
    (
        |cat| {
            fs::write(cat.join("20.jpeg"), "").unwrap();
            cat.join("20.jpeg")
        },
        "an empty file",
    ),
    (
        |cat| {
            fs::create_dir(cat.join("more")).unwrap();
            cat.join("more")
        },
        "not a file",
    ),
    (
        |cat| {
            let whole = grey_jpeg(50, 50, 9);
            fs::write(cat.join("10.jpeg"), &whole[..whole.len() - 9]).unwrap();
            cat.join("10.jpeg")
        },
        "a JPEG image cut short",
    ),
    (
        |cat| {
            let mut bytes = png(60, 60, [1, 2, 3]);
            let middle = bytes.len() / 2;
            bytes[middle] ^= 0xff;
            fs::write(cat.join("30.jpeg"), bytes).unwrap();
            cat.join("30.jpeg")
        },
        "a damaged PNG image",
    ),
];

/// Either at once or, if the file begins like an image, when it is loaded: in its place, and then no more.
#[test]
fn a_bad_file_is_named() {
    for (spoil, reason) in BAD_FILES {
        let folder = animals();
        let bad = spoil(&folder.path().join("train/cat"));
        let error = match open(&folder, &STRICT) {
            Err(error) => error,
            Ok(data) => {
                let error = Normalisation::of(&data.train).unwrap_err();
                let normalisation = Normalisation {
                    mean: vec![0.0; 3],
                    std: vec![1.0; 3],
                };
                let pipeline = data.pipeline(8, normalisation);
                for threads in [0, 1, 3] {
                    let outcomes: Vec<bool> =
                        Loader::evaluation(&data.train, &pipeline, 1, threads)
                            .unwrap()
                            .map(|batch| batch.is_ok())
                            .collect();
                    let place = (0..).find(|&i| data.train.image(i).is_err()).unwrap();
                    assert_eq!(outcomes.len(), place + 1, "the loader ends with the error");
                    assert!(outcomes[..place].iter().all(|&ok| ok) && !outcomes[place]);
                }
                error
            }
        };
        let message = error.to_string();
        for word in [bad.to_str().unwrap(), reason, "--skip-bad-images"] {
            assert!(message.contains(word), "`{message}` lacks `{word}`");
        }
        assert!(!error.is_usage());
    }
}

#[test]
fn bad_files_can_be_left_out_and_are_counted() {
    for (spoil, reason) in BAD_FILES {
        let folder = animals();
        let bad = spoil(&folder.path().join("train/cat"));
        let data = open(&folder, &SKIP).unwrap();
        assert_eq!(data.skipped.len(), 1);
        assert_eq!(data.skipped[0].place.path, bad);
        assert!(data.skipped[0].fault.to_string().contains(reason));
        assert!((0..data.train.len()).all(|index| data.train.image(index).is_ok()));
    }
    let whole = open(&animals(), &SKIP).unwrap();
    assert!(whole.skipped.is_empty());
    assert_eq!(whole.train.class_counts(), [3, 2]);
}

#[test]
fn a_file_that_vanishes_is_named_when_it_is_loaded() {
    let folder = animals();
    let data = open(&folder, &STRICT).unwrap();
    fs::remove_file(folder.path().join("train/dog/100.png")).unwrap();
    let message = data.train.image(3).unwrap_err().to_string();
    assert!(message.contains("dog/100.png: cannot be read"), "{message}");
}

#[test]
fn bad_layouts_are_named() {
    let folder = animals();
    fs::create_dir(folder.path().join("train/bird")).unwrap();
    let message = refusal(&folder);
    assert!(
        message.contains("train/bird` holds no usable image"),
        "{message}"
    );

    // With nothing but bad images, a class is as empty.
    fs::write(folder.path().join("train/bird/song.mp3"), "ID3").unwrap();
    let error = open(&folder, &SKIP).unwrap_err();
    assert!(
        matches!(&error, DataError::EmptyClass { path } if path.ends_with("train/bird")),
        "{error}"
    );

    let folder = animals();
    fs::create_dir(folder.path().join("val/bird")).unwrap();
    fs::write(folder.path().join("val/bird/x.png"), png(4, 4, [1; 3])).unwrap();
    let message = refusal(&folder);
    assert!(
        message.contains("val/bird` has no counterpart in train/"),
        "{message}"
    );

    let folder = animals();
    fs::remove_dir_all(folder.path().join("train/dog")).unwrap();
    fs::remove_dir_all(folder.path().join("val/dog")).unwrap();
    let message = refusal(&folder);
    assert!(message.contains("are of one class (`cat`)"), "{message}");

    let folder = animals();
    fs::remove_dir_all(folder.path().join("val")).unwrap();
    let error = open(&folder, &STRICT).unwrap_err();
    assert!(
        error.is_usage() && error.to_string().contains("train/CLASS"),
        "{error}"
    );

    let folder = TempDir::new().unwrap();
    fs::create_dir_all(folder.path().join("train")).unwrap();
    fs::create_dir_all(folder.path().join("val")).unwrap();
    let message = refusal(&folder);
    assert!(message.contains("no images in"), "{message}");
}

/// Labels go by names: a class that has no test images does not shift those after it.
#[test]
fn a_class_may_lack_test_images() {
    let folder = animals();
    fs::remove_dir_all(folder.path().join("val/cat")).unwrap();
    let data = open(&folder, &STRICT).unwrap();
    assert_eq!(data.test.class_counts(), [0, 1]);
}
