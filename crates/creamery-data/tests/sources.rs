//! Data sets of one file format: what is read from good files, and what is said of bad ones.

use std::fs;
use std::io::Write;
use std::path::Path;

use creamery_data::{Augment, DataError, DataSet, Normalisation, OpenOptions, Split};
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::TempDir;

fn open(spec: &str) -> Result<DataSet, DataError> {
    DataSet::open(spec, &OpenOptions::default())
}

/// The message of a failed opening, and whether it is a wrong request.
fn refusal(spec: &str) -> (String, bool) {
    let error = open(spec).unwrap_err();
    let message = error.to_string();
    assert!(message.lines().count() <= 2, "{message}");
    (message, error.is_usage())
}

fn idx_images(count: u32, rows: u32, columns: u32) -> Vec<u8> {
    let mut file = vec![0, 0, 8, 3];
    for number in [count, rows, columns] {
        file.extend(number.to_be_bytes());
    }
    file.extend((0..count * rows * columns).map(|i| (i * 7) as u8));
    file
}

fn idx_labels(labels: &[u8]) -> Vec<u8> {
    let mut file = vec![0, 0, 8, 1];
    file.extend((labels.len() as u32).to_be_bytes());
    file.extend(labels);
    file
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Four images of 3x5 pixels to train on, two to test.
fn write_idx(folder: &Path) {
    fs::write(folder.join("train-images-idx3-ubyte"), idx_images(4, 3, 5)).unwrap();
    fs::write(
        folder.join("train-labels.idx1-ubyte"),
        idx_labels(&[0, 9, 0, 9]),
    )
    .unwrap();
    fs::write(
        folder.join("t10k-images.idx3-ubyte.gz"),
        gzip(&idx_images(2, 3, 5)),
    )
    .unwrap();
    fs::write(
        folder.join("t10k-labels-idx1-ubyte.gz"),
        gzip(&idx_labels(&[9, 0])),
    )
    .unwrap();
}

/// A folder whose name has a space and a colon in it, filled by `fill`.
fn folder(fill: impl Fn(&Path)) -> (TempDir, String) {
    let outer = TempDir::with_prefix("data sets: ").unwrap();
    fill(outer.path());
    let path = outer.path().to_str().unwrap().to_owned();
    (outer, path)
}

#[test]
fn idx_files_of_any_name_packed_or_plain() {
    let (_guard, path) = folder(write_idx);
    for (source, first_class, flip) in [
        ("mnist", "0", false),
        ("fashion-mnist", "T-shirt/top", true),
    ] {
        let data = open(&format!("{source}:{path}")).unwrap();
        assert_eq!(data.name, format!("{source}:{path}"));
        assert_eq!(
            (data.train.len(), data.test.len(), data.classes.len()),
            (4, 2, 10)
        );
        assert_eq!(
            (data.channels, data.height, data.width),
            (1, Some(3), Some(5))
        );
        assert_eq!(
            (data.classes[0].as_str(), data.augment.flip),
            (first_class, flip)
        );
        assert_eq!(data.train.class_counts(), [2, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
        assert_eq!((data.test.label(0), data.test.label(1)), (9, 0));
        let image = data.train.image(1).unwrap();
        assert_eq!((image.height, image.width, image.channels), (3, 5, 1));
        assert_eq!(image.pixels, (15..30).map(|i| i * 7).collect::<Vec<u8>>());
    }
}

#[test]
fn bad_idx_files_are_named() {
    type Spoil = fn(&Path);
    let cases: [(Spoil, &[&str], bool); 9] = [
        (
            |folder| {
                fs::write(
                    folder.join("train-images-idx3-ubyte"),
                    &idx_images(4, 3, 5)[..40],
                )
                .unwrap()
            },
            &[
                "train-images-idx3-ubyte: cut short: 76 bytes expected, 40 found",
                "fetch",
            ],
            false,
        ),
        (
            |folder| {
                let whole = gzip(&idx_images(2, 3, 5));
                fs::write(
                    folder.join("t10k-images.idx3-ubyte.gz"),
                    &whole[..whole.len() - 12],
                )
                .unwrap();
            },
            &["t10k-images.idx3-ubyte.gz: cut short: 46 bytes expected"],
            false,
        ),
        (
            |folder| {
                fs::copy(
                    folder.join("train-images-idx3-ubyte"),
                    folder.join("train-labels.idx1-ubyte"),
                )
                .unwrap();
            },
            &[
                "train-labels.idx1-ubyte: holds images where labels belong",
                "exchanged",
            ],
            false,
        ),
        (
            |folder| fs::write(folder.join("train-labels.idx1-ubyte"), "<html>").unwrap(),
            &[
                "train-labels.idx1-ubyte: no IDX file of labels",
                "0x3c68746d",
                "0x00000801",
            ],
            false,
        ),
        (
            |folder| {
                fs::write(
                    folder.join("train-labels.idx1-ubyte"),
                    idx_labels(&[0, 9, 10, 9]),
                )
                .unwrap()
            },
            &["train-labels.idx1-ubyte: label 10 of image 2 is outside the 10 classes (0 to 9)"],
            false,
        ),
        (
            |folder| {
                fs::write(
                    folder.join("train-labels.idx1-ubyte"),
                    idx_labels(&[0, 9, 0]),
                )
                .unwrap()
            },
            &[
                "train-images-idx3-ubyte holds 4 images but",
                "train-labels.idx1-ubyte holds 3 labels",
            ],
            false,
        ),
        (
            |folder| {
                fs::write(folder.join("train-labels.idx1-ubyte"), idx_labels(&[5; 4])).unwrap()
            },
            &["are of one class (`5`)", "at least two"],
            false,
        ),
        (
            |folder| {
                fs::write(
                    folder.join("t10k-images.idx3-ubyte.gz"),
                    idx_images(2, 5, 3),
                )
                .unwrap()
            },
            &["training images of", "are 3x5x1 but test images are 5x3x1"],
            false,
        ),
        (
            |folder| fs::remove_file(folder.join("t10k-labels-idx1-ubyte.gz")).unwrap(),
            &[
                "no file `t10k-labels-idx1-ubyte[.gz]` in",
                "the four files of MNIST",
            ],
            true,
        ),
    ];
    for (spoil, words, usage) in cases {
        let (_guard, path) = folder(write_idx);
        spoil(Path::new(&path));
        let (message, is_usage) = refusal(&format!("mnist:{path}"));
        for word in words {
            assert!(message.contains(word), "`{message}` lacks `{word}`");
        }
        assert_eq!(is_usage, usage, "{message}");
    }
}

fn cifar_records(label_bytes: usize, labels: &[u8]) -> Vec<u8> {
    let mut file = Vec::new();
    for &label in labels {
        file.extend(std::iter::repeat_n(label, label_bytes));
        file.extend((0..3072).map(|i| (i / 1024 * 100) as u8 + label));
    }
    file
}

fn write_cifar10(folder: &Path) {
    for batch in 1..=5u8 {
        let file = folder.join(format!("data_batch_{batch}.bin"));
        fs::write(file, cifar_records(1, &[batch, batch + 1])).unwrap();
    }
    fs::write(folder.join("test_batch.bin"), cifar_records(1, &[9])).unwrap();
    let names = "airplane\nautomobile\nbird\ncat\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n";
    fs::write(folder.join("batches.meta.txt"), names).unwrap();
}

fn write_cifar100(folder: &Path) {
    fs::write(folder.join("train.bin"), cifar_records(2, &[3, 19])).unwrap();
    fs::write(folder.join("test.bin"), cifar_records(2, &[7])).unwrap();
    let names: String = (0..100).map(|i| format!("name {i}\n")).collect();
    fs::write(folder.join("fine_label_names.txt"), names).unwrap();
}

#[test]
fn cifar_files_in_their_order() {
    let (_guard, path) = folder(write_cifar10);
    let data = open(&format!("cifar10:{path}")).unwrap();
    assert_eq!(
        (data.train.len(), data.test.len(), data.channels),
        (10, 1, 3)
    );
    assert_eq!((data.height, data.width), (Some(32), Some(32)));
    assert_eq!(data.classes[9], "truck");
    let labels: Vec<usize> = (0..10).map(|i| data.train.label(i)).collect();
    assert_eq!(labels, [1, 2, 2, 3, 3, 4, 4, 5, 5, 6]);
    assert_eq!(
        data.train.image(9).unwrap().pixels[..6],
        [6, 106, 206, 6, 106, 206]
    );
    assert_eq!(
        data.pipeline(32, Normalisation::of(&data.train).unwrap())
            .augment
            .crop_padding,
        4
    );

    let (_guard, path) = folder(write_cifar100);
    let data = open(&format!("cifar100:{path}")).unwrap();
    assert_eq!(
        (data.train.label(1), data.classes[19].as_str()),
        (19, "name 19")
    );
}

#[test]
fn bad_cifar_files_are_named() {
    type Spoil = fn(&Path);
    let cases: [(Spoil, &[&str], bool); 6] = [
        (
            |folder| {
                fs::write(
                    folder.join("data_batch_3.bin"),
                    &cifar_records(1, &[1])[..3000],
                )
                .unwrap()
            },
            &["data_batch_3.bin: cut short: 3000 bytes found", "3073"],
            false,
        ),
        (
            |folder| fs::write(folder.join("test_batch.bin"), cifar_records(1, &[1, 10])).unwrap(),
            &["test_batch.bin: label 10 of record 1 is outside 0 to 9"],
            false,
        ),
        (
            |folder| fs::write(folder.join("test_batch.bin"), cifar_records(2, &[1])).unwrap(),
            &["test_batch.bin: cut short: 3074 bytes found"],
            false,
        ),
        (
            |folder| fs::write(folder.join("data_batch_1.bin"), "").unwrap(),
            &["data_batch_1.bin: empty file"],
            false,
        ),
        (
            |folder| fs::write(folder.join("batches.meta.txt"), "cat\ndog\n").unwrap(),
            &["batches.meta.txt: 2 class names found, 10 expected"],
            false,
        ),
        (
            |folder| fs::remove_file(folder.join("data_batch_5.bin")).unwrap(),
            &["no file `data_batch_5.bin` in", "binary version"],
            true,
        ),
    ];
    for (spoil, words, usage) in cases {
        let (_guard, path) = folder(write_cifar10);
        spoil(Path::new(&path));
        let (message, is_usage) = refusal(&format!("cifar10:{path}"));
        for word in words {
            assert!(message.contains(word), "`{message}` lacks `{word}`");
        }
        assert_eq!(is_usage, usage, "{message}");
    }
}

#[test]
fn folders_that_are_not_there_are_wrong_requests() {
    for source in ["fashion-mnist", "mnist", "cifar10", "cifar100", "folder"] {
        let (message, usage) = refusal(&format!("{source}:no such: folder"));
        assert!(
            message.contains("no folder `no such: folder`") && message.contains(source),
            "{message}"
        );
        assert!(usage);
    }
    assert!(
        refusal("fashion-mnist:nowhere")
            .0
            .contains("dataset-fashion-mnist")
    );
    assert!(
        refusal("folder:~/images")
            .0
            .contains("write the whole path")
    );
}

#[test]
fn fashion_mini_is_as_published() {
    let data = open("fashion-mini").unwrap();
    assert_eq!((data.name.as_str(), data.channels), ("fashion-mini", 1));
    assert_eq!((data.height, data.width), (Some(28), Some(28)));
    assert_eq!(data.train.class_counts(), [800; 10]);
    assert_eq!(data.test.class_counts(), [200; 10]);
    let normalisation = Normalisation::of(&data.train).unwrap();
    // What is usually used for Fashion-MNIST is 0.2860 and 0.3530.
    assert!(
        (normalisation.mean[0] - 0.2860).abs() < 0.005,
        "{normalisation:?}"
    );
    assert!(
        (normalisation.std[0] - 0.3530).abs() < 0.005,
        "{normalisation:?}"
    );
    assert_eq!(
        data.pipeline(28, normalisation.clone())
            .augment
            .crop_padding,
        2
    );
    assert_eq!(
        data.pipeline(56, normalisation.clone())
            .augment
            .crop_padding,
        4
    );
    assert_eq!(data.pipeline(56, normalisation).shorter_side, 56);
}

#[test]
fn a_fingerprint_tells_data_from_other_data_wherever_it_lies() {
    let fingerprint = |spec: &str| open(spec).unwrap().fingerprint();
    let (_guard, here) = folder(write_idx);
    let (_guard, there) = folder(write_idx);
    let original = fingerprint(&format!("mnist:{here}"));
    assert_eq!(original.len(), 16);
    assert_eq!(fingerprint(&format!("mnist:{there}")), original);
    assert_ne!(fingerprint(&format!("fashion-mnist:{there}")), original);

    let labels = Path::new(&there).join("train-labels.idx1-ubyte");
    fs::write(&labels, idx_labels(&[9, 0, 0, 9])).unwrap();
    assert_ne!(
        fingerprint(&format!("mnist:{there}")),
        original,
        "labels do not count"
    );
    write_idx(Path::new(&there));
    let mut images = idx_images(4, 3, 5);
    images[40] ^= 1;
    fs::write(Path::new(&there).join("train-images-idx3-ubyte"), images).unwrap();
    assert_ne!(
        fingerprint(&format!("mnist:{there}")),
        original,
        "pixels do not count"
    );
}

#[test]
fn splits_in_memory_are_checked() {
    let classes = || vec!["a".to_owned(), "b".to_owned()];
    let split =
        |shape, bytes, labels: &[usize]| Split::from_pixels(shape, vec![0; bytes], labels, 2);
    let augment = Augment::crop_and_flip(0, false);
    let good = || split([2, 2, 1], 8, &[0, 1]).unwrap();
    let new = |classes, train, test| DataSet::new("mine", classes, train, test, augment.clone());

    assert!(new(classes(), good(), good()).is_ok());
    assert!(matches!(
        split([2, 2, 1], 7, &[0, 1]),
        Err(DataError::Pixels { expected: 8, .. })
    ));
    assert!(matches!(
        split([0, 2, 1], 0, &[0, 1]),
        Err(DataError::Pixels { .. })
    ));
    assert!(matches!(
        split([1, 1, 2], 4, &[0, 1]),
        Err(DataError::Pixels { .. })
    ));
    assert!(matches!(
        split([usize::MAX, usize::MAX, 3], 4, &[0, 1]),
        Err(DataError::Pixels { .. })
    ));
    assert!(matches!(
        split([1, 1, 1], 0, &[]),
        Err(DataError::NoImages { .. })
    ));
    assert!(matches!(
        split([1, 1, 1], 2, &[0, 2]),
        Err(DataError::Label {
            index: 1,
            label: 2,
            classes: 2,
            ..
        })
    ));
    assert!(matches!(
        good().image(2),
        Err(DataError::Subset {
            index: 2,
            images: 2
        })
    ));
    assert!(matches!(
        good().subset(&[0, 5]),
        Err(DataError::Subset {
            index: 5,
            images: 2
        })
    ));

    let none = good().subset(&[]).unwrap();
    assert!(matches!(
        Normalisation::of(&none),
        Err(DataError::NoImages { .. })
    ));
    assert!(matches!(
        new(classes(), good(), none),
        Err(DataError::NoImages { .. })
    ));
    assert!(matches!(
        new(vec!["a".to_owned()], good(), good()),
        Err(DataError::Classes {
            named: 1,
            found: 2,
            ..
        })
    ));
    let one = good().subset(&[1, 1]).unwrap();
    assert!(
        matches!(new(classes(), one, good()), Err(DataError::OneClass { class, .. }) if class == "b")
    );
    let other = split([2, 2, 3], 24, &[0, 1]).unwrap();
    assert!(matches!(
        new(classes(), good(), other),
        Err(DataError::Sizes { .. })
    ));
}
