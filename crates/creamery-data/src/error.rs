//! Everything that can go wrong between a data set's name and a batch.

use std::path::PathBuf;

use crate::cifar::CifarError;
use crate::decode::ImageError;
use crate::idx::IdxError;
use crate::store::ImagePlace;

/// Why a data set cannot be opened, split or loaded. Each message names the thing, the place and the mend.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The name before the colon is no known source.
    #[error("unknown data set `{name}`{}; known: {}", suggestion(.nearest), crate::KNOWN.join(", "))]
    UnknownDataSet {
        /// The data set as it was asked for.
        name: String,
        /// What was probably meant.
        nearest: Option<String>,
    },

    /// The source reads a folder, and none was given.
    #[error("data set `{name}` needs its {}: write `{name}:{what}`", if *what == "FILE" { "file" } else { "folder" })]
    NeedsFolder {
        /// The source's name.
        name: String,
        /// What belongs after the colon.
        what: &'static str,
    },

    /// The source is embedded, and a folder was given.
    #[error("data set `{name}` is built in and takes no folder: write `{name}` alone")]
    TakesNoFolder {
        /// The source's name.
        name: String,
    },

    /// A folder does not exist, or is no folder.
    #[error("no folder `{}`: {mend}", path.display())]
    MissingFolder {
        /// Where it should be.
        path: PathBuf,
        /// How to get it.
        mend: String,
    },

    /// A folder lacks one of the files that make up its data set.
    #[error("no file `{file}` in `{}`: {mend}", folder.display())]
    MissingFile {
        /// The folder that was asked for.
        folder: PathBuf,
        /// The file's usual name.
        file: String,
        /// How to get it.
        mend: String,
    },

    /// The system refused to read a file or list a folder.
    #[error("cannot read `{}`", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: std::io::Error,
    },

    /// An IDX file (MNIST, Fashion-MNIST) is damaged or is another file.
    #[error("{}: {fault}", path.display())]
    Idx {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: IdxError,
    },

    /// A file of the CIFAR binary version is damaged or is another file.
    #[error("{}: {fault}", path.display())]
    Cifar {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        fault: CifarError,
    },

    /// An image file cannot be used.
    #[error("{place}: {fault}; remove it, or leave bad images out with --skip-bad-images")]
    Image {
        /// Where it lies.
        place: ImagePlace,
        /// What is wrong with it.
        fault: ImageError,
    },

    /// More images than may be left out cannot be used.
    #[error(
        "{bad} images cannot be used, more than the {most} that may be left out (data.max_bad_images); the first: {place}: {fault}"
    )]
    TooManyBad {
        /// Images that cannot be used.
        bad: usize,
        /// How many may be left out.
        most: usize,
        /// Where the first lies.
        place: ImagePlace,
        /// What is wrong with it.
        fault: ImageError,
    },

    /// A file of many images cannot be used at all.
    #[error("{}: {fault}", path.display())]
    Container {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and the mend.
        fault: String,
    },

    /// No files where a data set was asked for.
    #[error("{place}: {mend}")]
    NoFiles {
        /// The folder or pattern.
        place: String,
        /// What is missing, and how to have it.
        mend: String,
    },

    /// A list of labels does not fit the images.
    #[error("{}, line {line}: {fault}", path.display())]
    LabelFile {
        /// The list.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it, and the mend.
        fault: String,
    },

    /// A label names no class.
    #[error("{place}: label {label} of image {index} is outside the {classes} classes (0 to {})", classes.saturating_sub(1))]
    Label {
        /// The file, or the split, that holds the label.
        place: String,
        /// Which image, from 0.
        index: usize,
        /// The label found.
        label: usize,
        /// How many classes there are.
        classes: usize,
    },

    /// An image file and its label file disagree on the number of images.
    #[error(
        "{} holds {images} images but {} holds {labels} labels: the files do not belong together",
        images_path.display(), labels_path.display()
    )]
    Counts {
        /// The file of images.
        images_path: PathBuf,
        /// Images in it.
        images: usize,
        /// The file of labels.
        labels_path: PathBuf,
        /// Labels in it.
        labels: usize,
    },

    /// Training and test images differ in size.
    #[error(
        "training images of `{name}` are {train} but test images are {test}: they do not belong together"
    )]
    Sizes {
        /// The data set.
        name: String,
        /// Height, width and channels of the training images.
        train: String,
        /// Height, width and channels of the test images.
        test: String,
    },

    /// A split was made for another number of classes than are named.
    #[error("`{name}` names {named} classes, but a split of it has labels for {found}")]
    Classes {
        /// The data set.
        name: String,
        /// Names given.
        named: usize,
        /// Classes of the split.
        found: usize,
    },

    /// A class folder holds no (usable) image.
    #[error("class folder `{}` holds no usable image: fill it or remove it", path.display())]
    EmptyClass {
        /// The folder.
        path: PathBuf,
    },

    /// A class is validated that is never trained.
    #[error("class folder `{}` has no counterpart in train/: remove it, or add `train/{class}`", path.display())]
    UnknownClass {
        /// The folder.
        path: PathBuf,
        /// The class.
        class: String,
    },

    /// All training images are of one class, so there is nothing to learn.
    #[error(
        "all training images of `{name}` are of one class (`{class}`): at least two are needed"
    )]
    OneClass {
        /// The data set.
        name: String,
        /// The only class.
        class: String,
    },

    /// A data set or split is empty.
    #[error("no images in {place}")]
    NoImages {
        /// Where they were expected.
        place: String,
    },

    /// Fewer images than one training batch.
    #[error(
        "{images} training images are fewer than one batch of {batch}: use a batch of {images} or less, or more images"
    )]
    FewerThanBatch {
        /// Images in the split.
        images: usize,
        /// The batch asked for.
        batch: usize,
    },

    /// A batch of no images was asked for.
    #[error("a batch must hold at least one image")]
    ZeroBatch,

    /// The validation split cannot have this size.
    #[error(
        "cannot hold {images} of {available} training images out for validation: hold out between 1 and {most}, so that every class keeps one"
    )]
    HoldOut {
        /// Images asked for.
        images: usize,
        /// Images in the training split.
        available: usize,
        /// The most that may be asked for.
        most: usize,
    },

    /// Pixels and labels given in memory do not fit together.
    #[error(
        "{labels} images of {height}x{width}x{channels} need {expected} bytes of pixels, but {found} were given"
    )]
    Pixels {
        /// Images, as many as labels.
        labels: usize,
        /// Height in pixels.
        height: usize,
        /// Width in pixels.
        width: usize,
        /// 1 or 3.
        channels: usize,
        /// Bytes needed.
        expected: usize,
        /// Bytes given.
        found: usize,
    },

    /// A subset names an image that the split does not have.
    #[error("image {index} is outside a split of {images} images")]
    Subset {
        /// The index given.
        index: usize,
        /// Images in the split.
        images: usize,
    },

    /// A pipeline's resolution is zero or absurd.
    #[error(
        "a resolution of {resolution} px is outside 1 to {}",
        crate::pipeline::MAX_RESOLUTION
    )]
    Resolution {
        /// The resolution asked for.
        resolution: usize,
    },

    /// A pipeline's other settings contradict each other or the images.
    #[error("{0}")]
    Pipeline(String),

    /// A loading thread stopped without an error of its own: a defect in this program.
    #[error("a loading thread stopped: {message}; this is a defect, please report it")]
    Worker {
        /// What the thread said last.
        message: String,
    },

    /// The system refused to start a loading thread.
    #[error("cannot start a loading thread: use fewer threads")]
    Threads {
        /// The system's reason.
        source: std::io::Error,
    },
}

impl DataError {
    /// Whether the request itself was wrong (an unknown data set, a folder that is not there), rather
    /// than the data behind it. Command lines exit with 2 for the former and 1 for the latter.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::UnknownDataSet { .. }
                | Self::NeedsFolder { .. }
                | Self::TakesNoFolder { .. }
                | Self::MissingFolder { .. }
                | Self::MissingFile { .. }
                | Self::NoFiles { .. }
        )
    }
}

fn suggestion(nearest: &Option<String>) -> String {
    match nearest {
        Some(name) => format!(": did you mean `{name}`?"),
        None => String::new(),
    }
}
