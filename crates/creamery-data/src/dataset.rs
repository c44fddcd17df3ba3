//! A data set: where it comes from, what it holds.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::cifar::{self, Records, Variant};
use crate::error::DataError;
use crate::normalisation::Normalisation;
use crate::picture::Interpolation;
use crate::pipeline::{Augment, Pipeline};
use crate::spec::{FASHION_MNIST_DIR, Spec};
use crate::split::{Split, check_labels};
use crate::store::SkippedImage;
use crate::{fashion_mini, folder, idx, packed, parquet, tar};

/// What may be decided when a data set is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenOptions {
    /// Leave images that cannot be decoded, or have no label, out and list them in [`DataSet::skipped`], instead of
    /// refusing the data set. Every image is then decoded once while it is opened, but for a `packed:` file's.
    pub skip_bad_images: bool,
    /// How many may be left out: more are taken for a sign that something else is wrong.
    pub max_bad_images: usize,
    /// The list of labels of a `folder:` whose `val/` has no class folders.
    pub val_labels: Option<PathBuf>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            skip_bad_images: false,
            max_bad_images: 100,
            val_labels: None,
        }
    }
}

/// What a source of image files holds.
pub(crate) struct Opened {
    pub classes: Vec<String>,
    pub train: Split,
    pub test: Split,
    pub skipped: Vec<SkippedImage>,
}

/// A labelled image data set. Cheap to clone: the images are shared.
#[derive(Clone, Debug)]
pub struct DataSet {
    /// The data set as it was asked for, such as `fashion-mini` or `cifar10:DIR`.
    pub name: String,
    /// The classes' names; labels count from 0.
    pub classes: Vec<String>,
    /// Samples per pixel: 1 (grey) or 3 (colour).
    pub channels: usize,
    /// Height of all images in pixels, unless it varies.
    pub height: Option<usize>,
    /// Width of all images in pixels, unless it varies.
    pub width: Option<usize>,
    /// The augmentation that suits these images, its padding in pixels of their own size.
    pub augment: Augment,
    /// Images to train on, and to hold validation images out of.
    pub train: Split,
    /// Images for the final report.
    pub test: Split,
    /// Images that were left out because they cannot be used.
    pub skipped: Arc<[SkippedImage]>,
}

impl DataSet {
    /// Opens `NAME` or `NAME:DIR`; [`KNOWN`](crate::KNOWN) lists the names.
    ///
    /// # Errors
    /// [`DataError`] that names what is wrong: the request ([`DataError::is_usage`]) or the data.
    pub fn open(spec: &str, options: &OpenOptions) -> Result<Self, DataError> {
        match Spec::parse(spec)? {
            Spec::FashionMini => open_fashion_mini(),
            Spec::FashionMnist(folder) => {
                let mend = format!(
                    "install the Debian package dataset-fashion-mnist ({FASHION_MNIST_DIR}), or fetch the files from \
                     github.com/zalandoresearch/fashion-mnist and write fashion-mnist:DIR"
                );
                let classes = fashion_mini::CLASSES.map(str::to_owned).to_vec();
                open_idx(spec, &folder, &mend, classes, FASHION_AUGMENT)
            }
            Spec::Mnist(folder) => {
                let mend = "mnist:DIR needs the four files of MNIST, gzipped or plain";
                let classes = (0..10).map(|digit| digit.to_string()).collect();
                open_idx(spec, &folder, mend, classes, DIGIT_AUGMENT)
            }
            Spec::Cifar10(folder) => open_cifar(spec, &folder, Variant::Ten),
            Spec::Cifar100(folder) => open_cifar(spec, &folder, Variant::Hundred),
            Spec::Folder(path) => {
                check_folder(
                    &path,
                    "folder:DIR needs a folder with train/ and val/ in it",
                )?;
                Self::of_files(spec, folder::open(&path, options)?)
            }
            Spec::Tar(pattern) => Self::of_files(spec, tar::open(&pattern, options)?),
            Spec::Parquet(pattern) => Self::of_files(spec, parquet::open(&pattern, options)?),
            Spec::Packed(path) => packed::open(spec, &path),
        }
    }

    fn of_files(name: &str, opened: Opened) -> Result<Self, DataError> {
        let Opened {
            classes,
            train,
            test,
            skipped,
        } = opened;
        let mut data = Self::new(name, classes, train, test, PHOTO_AUGMENT)?;
        data.skipped = skipped.into();
        Ok(data)
    }

    /// A data set of two splits, checked to fit together.
    ///
    /// # Errors
    /// [`DataError::NoImages`] if a split is empty, [`DataError::Sizes`] if images of the two differ in
    /// size or channels, [`DataError::Classes`] if the splits have other classes than are named,
    /// [`DataError::OneClass`] if the training images are all of one class.
    pub fn new(
        name: &str,
        classes: Vec<String>,
        train: Split,
        test: Split,
        augment: Augment,
    ) -> Result<Self, DataError> {
        let name = name.to_owned();
        for (split, place) in [(&train, "training"), (&test, "test")] {
            if split.is_empty() {
                return Err(DataError::NoImages {
                    place: format!("the {place} split of `{name}`"),
                });
            }
            if split.classes() != classes.len() {
                return Err(DataError::Classes {
                    name,
                    named: classes.len(),
                    found: split.classes(),
                });
            }
        }
        if (train.native_size(), train.channels()) != (test.native_size(), test.channels()) {
            let (train, test) = (describe(&train), describe(&test));
            return Err(DataError::Sizes { name, train, test });
        }
        let mut present = train
            .class_counts()
            .into_iter()
            .zip(&classes)
            .filter(|(count, _)| *count > 0);
        if let (Some((_, class)), None) = (present.next(), present.next()) {
            return Err(DataError::OneClass {
                name,
                class: class.clone(),
            });
        }
        let (height, width) = train.native_size().unzip();
        Ok(Self {
            name,
            classes,
            channels: train.channels(),
            height,
            width,
            augment,
            train,
            test,
            skipped: Arc::default(),
        })
    }

    /// The usual way from these images to squares of `resolution` pixels.
    ///
    /// Images of one size are resized to the resolution, with the padding of [`augment`](Self::augment)
    /// in proportion. Those of many sizes are resized to 8/7 of it, as 256 is to 224, and cropped.
    pub fn pipeline(&self, resolution: usize, normalisation: Normalisation) -> Pipeline {
        let crop_padding = self.augment.crop_padding;
        let (shorter_side, crop_padding) = match self.height.zip(self.width) {
            Some((height, width)) => {
                let native = height.min(width);
                (
                    resolution,
                    (crop_padding.saturating_mul(resolution) + native / 2) / native,
                )
            }
            None => ((resolution.saturating_mul(8) + 3) / 7, crop_padding),
        };
        Pipeline {
            resolution,
            shorter_side,
            interpolation: Interpolation::default(),
            channels: self.channels,
            augment: Augment {
                crop_padding,
                ..self.augment.clone()
            },
            normalisation,
        }
    }

    /// A short text that tells this data set from others: a hash of its source's name, its classes,
    /// and of every image's label and pixels (of files: names and sizes). The folder it lies in does
    /// not count, so data may move between a run and its continuation.
    pub fn fingerprint(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        let source = self.name.split(':').next().unwrap_or_default();
        for text in [source]
            .into_iter()
            .chain(self.classes.iter().map(String::as_str))
        {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        }
        self.train.identify(&mut hasher);
        self.test.identify(&mut hasher);
        hasher.finalize().to_hex()[..16].to_owned()
    }
}

/// Clothes: mirrored they are the same, and the published images leave little margin.
const FASHION_AUGMENT: Augment = Augment::crop_and_flip(2, true);
/// Digits: mirrored they are others.
const DIGIT_AUGMENT: Augment = Augment::crop_and_flip(2, false);
/// The usual augmentation of CIFAR.
const CIFAR_AUGMENT: Augment = Augment::crop_and_flip(4, true);
/// Photographs: larger than the square that is cut out of them.
const PHOTO_AUGMENT: Augment = Augment::crop_and_flip(0, true);

fn describe(split: &Split) -> String {
    match split.native_size() {
        Some((height, width)) => format!("{height}x{width}x{}", split.channels()),
        None => format!("of many sizes with {} channels", split.channels()),
    }
}

fn open_fashion_mini() -> Result<DataSet, DataError> {
    let (labels, mut pixels) = fashion_mini::unpack();
    let test = pixels.split_off(fashion_mini::TRAIN * fashion_mini::SIDE * fashion_mini::SIDE);
    let shape = [fashion_mini::SIDE, fashion_mini::SIDE, 1];
    let split = |pixels, labels: &[u8]| {
        let labels: Vec<usize> = labels.iter().copied().map(usize::from).collect();
        Split::from_pixels(shape, pixels, &labels, fashion_mini::CLASSES.len())
    };
    let (train_labels, test_labels) = labels.split_at(fashion_mini::TRAIN);
    let (train, test) = (split(pixels, train_labels)?, split(test, test_labels)?);
    let classes = fashion_mini::CLASSES.map(str::to_owned).to_vec();
    DataSet::new("fashion-mini", classes, train, test, FASHION_AUGMENT)
}

fn open_idx(
    name: &str,
    folder: &Path,
    mend: &str,
    classes: Vec<String>,
    augment: Augment,
) -> Result<DataSet, DataError> {
    check_folder(folder, mend)?;
    let split = |prefix: &str| {
        let images_path = find_idx(folder, &format!("{prefix}-images"), "idx3-ubyte", mend)?;
        let labels_path = find_idx(folder, &format!("{prefix}-labels"), "idx1-ubyte", mend)?;
        let images = idx::images(&read(&images_path)?).map_err(|fault| DataError::Idx {
            path: images_path.clone(),
            fault,
        })?;
        let labels = idx::labels(&read(&labels_path)?).map_err(|fault| DataError::Idx {
            path: labels_path.clone(),
            fault,
        })?;
        if images.count != labels.len() {
            return Err(DataError::Counts {
                images_path,
                images: images.count,
                labels_path,
                labels: labels.len(),
            });
        }
        let labels = labels.into_iter().map(usize::from);
        let labels = check_labels(&labels_path.display().to_string(), labels, classes.len())?;
        let shape = [images.rows, images.columns, 1];
        Ok(Split::from_checked_pixels(
            shape,
            images.pixels,
            labels,
            classes.len(),
        ))
    };
    let (train, test) = (split("train")?, split("t10k")?);
    DataSet::new(name, classes, train, test, augment)
}

/// An IDX file by any of its usual names: `train-images-idx3-ubyte`, with a dot instead of the second
/// dash as some unpackers write it, and with or without `.gz`.
fn find_idx(folder: &Path, stem: &str, kind: &str, mend: &str) -> Result<PathBuf, DataError> {
    ["", ".gz"]
        .iter()
        .flat_map(|packed| {
            ["-", "."].map(|joint| folder.join(format!("{stem}{joint}{kind}{packed}")))
        })
        .find(|path| path.is_file())
        .ok_or_else(|| DataError::MissingFile {
            folder: folder.to_owned(),
            file: format!("{stem}-{kind}[.gz]"),
            mend: mend.to_owned(),
        })
}

fn open_cifar(name: &str, folder: &Path, variant: Variant) -> Result<DataSet, DataError> {
    let (train_files, test_file, names_file, mend): (Vec<String>, _, _, _) = match variant {
        Variant::Ten => (
            (1..=5)
                .map(|batch| format!("data_batch_{batch}.bin"))
                .collect(),
            "test_batch.bin",
            "batches.meta.txt",
            "cifar10:DIR needs the unpacked binary version (cifar-10-batches-bin) from www.cs.toronto.edu/~kriz/cifar.html",
        ),
        Variant::Hundred => (
            vec!["train.bin".to_owned()],
            "test.bin",
            "fine_label_names.txt",
            "cifar100:DIR needs the unpacked binary version (cifar-100-binary) from www.cs.toronto.edu/~kriz/cifar.html",
        ),
    };
    check_folder(folder, mend)?;
    let file = |file: &str| {
        let path = folder.join(file);
        if path.is_file() {
            Ok((read(&path)?, path))
        } else {
            let (folder, file) = (folder.to_owned(), file.to_owned());
            Err(DataError::MissingFile {
                folder,
                file,
                mend: mend.to_owned(),
            })
        }
    };
    let split = |files: &[&str]| {
        let mut records = Records::default();
        for name in files {
            let (bytes, path) = file(name)?;
            records
                .append(&bytes, variant)
                .map_err(|fault| DataError::Cifar { path, fault })?;
        }
        let shape = [cifar::SIDE, cifar::SIDE, 3];
        Ok(Split::from_checked_pixels(
            shape,
            records.pixels,
            records.labels,
            variant.classes(),
        ))
    };
    let (names, path) = file(names_file)?;
    let classes =
        cifar::class_names(&names, variant).map_err(|fault| DataError::Cifar { path, fault })?;
    let train = split(&train_files.iter().map(String::as_str).collect::<Vec<_>>())?;
    let test = split(&[test_file])?;
    DataSet::new(name, classes, train, test, CIFAR_AUGMENT)
}

fn check_folder(path: &Path, mend: &str) -> Result<(), DataError> {
    if path.is_dir() {
        return Ok(());
    }
    let mend = if path.starts_with("~") {
        "the shell replaces ~ only at the start of a word: write the whole path".to_owned()
    } else {
        mend.to_owned()
    };
    Err(DataError::MissingFolder {
        path: path.to_owned(),
        mend,
    })
}

fn read(path: &Path) -> Result<Vec<u8>, DataError> {
    fs::read(path).map_err(|source| DataError::Io {
        path: path.to_owned(),
        source,
    })
}
