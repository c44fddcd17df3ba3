//! Folders of images in the layout of ImageNet: `train/CLASS/*` and `val/CLASS/*`.
//!
//! Classes and files are sorted by the bytes of their names, so that their order is the same on every
//! file system. Names that begin with a dot are passed over, and so are files beside the class folders.

use std::ffi::OsString;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::decode::{self, ImageError, MAX_FILE_BYTES, SIGNATURE_BYTES};
use crate::error::DataError;
use crate::parallel::map_in_order;
use crate::split::{ImageFile, Split};

/// An image file that was left out when its data set was opened.
#[derive(Debug)]
pub struct SkippedImage {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub fault: ImageError,
}

/// What a folder holds.
pub(crate) struct Folder {
    pub classes: Vec<String>,
    pub train: Split,
    pub test: Split,
    pub skipped: Vec<SkippedImage>,
}

const LAYOUT: &str = "a folder data set is laid out as train/CLASS/*.jpg and val/CLASS/*.jpg";

/// Lists a folder and checks every file.
///
/// Every file must exist and begin as a JPEG or PNG file does. With `skip_bad_images` every file is also
/// decoded once, which costs about what an epoch of loading does, so that those which cannot be used are
/// known, and left out, before anything depends on them.
pub(crate) fn open(folder: &Path, skip_bad_images: bool) -> Result<Folder, DataError> {
    let classes = class_folders(&split_folder(folder, "train")?)?;
    let names: Vec<OsString> = classes.iter().map(|(name, _)| name.clone()).collect();
    let mut skipped = Vec::new();
    let training = list(&names, classes)?;
    let validation = list(&names, class_folders(&split_folder(folder, "val")?)?)?;
    let train = check(training, names.len(), skip_bad_images, &mut skipped)?;
    let test = check(validation, names.len(), skip_bad_images, &mut skipped)?;
    let classes = names
        .iter()
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    Ok(Folder {
        classes,
        train,
        test,
        skipped,
    })
}

fn split_folder(folder: &Path, name: &str) -> Result<PathBuf, DataError> {
    let path = folder.join(name);
    if path.is_dir() {
        Ok(path)
    } else {
        Err(DataError::MissingFolder {
            path,
            mend: LAYOUT.to_owned(),
        })
    }
}

/// The sorted names and paths in a folder, without hidden ones.
fn entries(folder: &Path) -> Result<Vec<(OsString, PathBuf)>, DataError> {
    let failed = |source| DataError::Io {
        path: folder.to_owned(),
        source,
    };
    let mut entries = fs::read_dir(folder)
        .map_err(failed)?
        .map(|entry| entry.map(|entry| (entry.file_name(), entry.path())))
        .filter(
            |entry| !matches!(entry, Ok((name, _)) if name.as_encoded_bytes().starts_with(b".")),
        )
        .collect::<Result<Vec<_>, _>>()
        .map_err(failed)?;
    entries.sort_unstable_by(|a, b| a.0.as_encoded_bytes().cmp(b.0.as_encoded_bytes()));
    Ok(entries)
}

fn class_folders(split: &Path) -> Result<Vec<(OsString, PathBuf)>, DataError> {
    let mut folders = entries(split)?;
    folders.retain(|(_, path)| path.is_dir());
    if folders.is_empty() {
        return Err(DataError::NoImages {
            place: format!("`{}`: {LAYOUT}", split.display()),
        });
    }
    Ok(folders)
}

/// A class folder and its files.
struct Class {
    path: PathBuf,
    label: usize,
    files: Vec<PathBuf>,
}

/// Lists the files of each class folder; `names` gives the classes their numbers.
fn list(names: &[OsString], folders: Vec<(OsString, PathBuf)>) -> Result<Vec<Class>, DataError> {
    folders
        .into_iter()
        .map(|(name, path)| {
            let Some(label) = names.iter().position(|known| *known == name) else {
                let class = name.to_string_lossy().into_owned();
                return Err(DataError::UnknownClass { path, class });
            };
            let files = entries(&path)?.into_iter().map(|(_, path)| path).collect();
            Ok(Class { path, label, files })
        })
        .collect()
}

/// Checks all files of a split, and that every class folder holds a good one.
fn check(
    folders: Vec<Class>,
    classes: usize,
    skip_bad_images: bool,
    skipped: &mut Vec<SkippedImage>,
) -> Result<Split, DataError> {
    let listed: Vec<&PathBuf> = folders.iter().flat_map(|folder| &folder.files).collect();
    let check = if skip_bad_images {
        check_whole
    } else {
        check_start
    };
    let mut checks = map_in_order(listed.len(), |i| check(listed[i])).into_iter();
    let mut files = Vec::with_capacity(listed.len());
    let mut labels = Vec::with_capacity(listed.len());
    for Class {
        path,
        label,
        files: paths,
    } in folders
    {
        let before = files.len();
        for (path, check) in paths.into_iter().zip(checks.by_ref()) {
            match check {
                Ok(bytes) => {
                    files.push(ImageFile { path, bytes });
                    labels.push(label as u32);
                }
                Err(fault) if skip_bad_images => skipped.push(SkippedImage { path, fault }),
                Err(fault) => return Err(DataError::Image { path, fault }),
            }
        }
        if files.len() == before {
            return Err(DataError::EmptyClass { path });
        }
    }
    Ok(Split::from_files(files, labels, classes))
}

/// The file's size, if it is a file that begins like an image.
fn check_start(path: &Path) -> Result<u64, ImageError> {
    let bytes = file_size(path)?;
    let mut start = Vec::with_capacity(SIGNATURE_BYTES);
    fs::File::open(path)
        .and_then(|file| file.take(SIGNATURE_BYTES as u64).read_to_end(&mut start))
        .map_err(ImageError::Unreadable)?;
    decode::sniff(&start)?;
    Ok(bytes)
}

/// The file's size, if it can be decoded.
fn check_whole(path: &Path) -> Result<u64, ImageError> {
    let bytes = file_size(path)?;
    decode::read(path)?;
    Ok(bytes)
}

/// The size of a file that may be read; asking first keeps a pipe from blocking.
pub(crate) fn file_size(path: &Path) -> Result<u64, ImageError> {
    let metadata = fs::metadata(path).map_err(ImageError::Unreadable)?;
    if !metadata.is_file() {
        return Err(ImageError::NotAFile);
    }
    match metadata.len() {
        bytes if bytes > MAX_FILE_BYTES => Err(ImageError::LargeFile { bytes }),
        bytes => Ok(bytes),
    }
}
