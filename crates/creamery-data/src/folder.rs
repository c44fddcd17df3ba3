//! Folders of images in the layout of ImageNet: `train/CLASS/*` and `val/CLASS/*`.
//!
//! Classes and files are sorted by the bytes of their names, so that their order is the same on every
//! file system. Names that begin with a dot are passed over, and so are files beside the class folders. `val/` may also hold
//! the images themselves, beside each other, with their labels in a list.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use crate::dataset::{OpenOptions, Opened};
use crate::decode::{ImageError, MAX_FILE_BYTES};
use crate::error::DataError;
use crate::labels;
use crate::parallel::map_in_order;
use crate::split::Split;
use crate::store::{Files, ImageFile};
use crate::usable::{Skipped, usable};

const LAYOUT: &str = "a folder data set is laid out as train/CLASS/*.jpg and val/CLASS/*.jpg";

/// Lists a folder and checks every file.
///
/// Every file must exist and begin as a JPEG or PNG file does, or be decodable if bad ones are left out. `val/` has class folders,
/// or images beside each other and a list of their labels, which is `val_labels` or lies where [`labels::find`] looks.
pub(crate) fn open(folder: &Path, options: &OpenOptions) -> Result<Opened, DataError> {
    let classes = class_folders(&split_folder(folder, "train")?)?;
    let names: Vec<OsString> = classes.iter().map(|(name, _)| name.clone()).collect();
    let texts: Vec<String> = names
        .iter()
        .map(|name| name.to_string_lossy().into_owned())
        .collect();
    let training = list(&names, classes)?;
    let val = split_folder(folder, "val")?;
    let named = options.val_labels.clone();
    let validation = match named.or_else(|| labels::find(folder, &val)) {
        Some(list) => flat(&val, &list, &texts)?,
        None => list_classes(&names, &val)?,
    };
    let mut skipped = Skipped::new(options);
    let train = check(training, names.len(), &mut skipped)?;
    let test = check(validation, names.len(), &mut skipped)?;
    Ok(Opened {
        classes: texts,
        train,
        test,
        skipped: skipped.finish()?,
    })
}

fn list_classes(names: &[OsString], val: &Path) -> Result<Vec<Class>, DataError> {
    let folders = class_folders(val).map_err(|error| match error {
        DataError::NoImages { .. } if entries(val).is_ok_and(|found| !found.is_empty()) => {
            DataError::NoFiles {
                place: format!("no class folders in `{}`", val.display()),
                mend: format!(
                    "{LAYOUT}; images beside each other need a list of their labels: `{}`, or --set data.val_labels=FILE",
                    val.with_file_name(labels::NAMES[0]).display()
                ),
            }
        }
        error => error,
    })?;
    list(names, folders)
}

/// The images of a folder without class folders, with the labels that a list gives them.
fn flat(val: &Path, list: &Path, classes: &[String]) -> Result<Vec<Class>, DataError> {
    let mut files: Vec<(OsString, PathBuf)> = entries(val)?;
    files.retain(|(_, path)| path != list && !path.is_dir());
    let names: Vec<String> = files
        .iter()
        .map(|(name, _)| name.to_string_lossy().into_owned())
        .collect();
    let labels = labels::read(list, &names, classes)?;
    // In the files' order, each run of one label together: the order of a split says nothing else.
    let found = files
        .into_iter()
        .zip(labels)
        .filter_map(|((_, path), label)| {
            label.map(|label| Class {
                path: path.clone(),
                label,
                files: vec![path],
            })
        });
    Ok(found.collect())
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
fn check(folders: Vec<Class>, classes: usize, skipped: &mut Skipped) -> Result<Split, DataError> {
    let listed: Vec<&PathBuf> = folders.iter().flat_map(|folder| &folder.files).collect();
    let sizes = map_in_order(listed.len(), |i| file_size(listed[i]));
    let labels = folders
        .iter()
        .flat_map(|folder| std::iter::repeat_n(folder.label as u32, folder.files.len()));
    let mut labels: Vec<Result<u32, ImageError>> = labels.map(Ok).collect();
    let mut files = Vec::with_capacity(listed.len());
    for ((path, size), label) in listed.into_iter().zip(sizes).zip(&mut labels) {
        let bytes = size.unwrap_or_else(|fault| {
            *label = Err(fault);
            0
        });
        let path = path.clone();
        files.push(ImageFile { path, bytes });
    }
    let split = usable(Box::new(Files(files)), labels, classes, skipped)?;
    let mut used = vec![false; classes];
    (0..split.len()).for_each(|index| used[split.label(index)] = true);
    match folders.iter().find(|folder| !used[folder.label]) {
        Some(empty) => Err(DataError::EmptyClass {
            path: empty.path.clone(),
        }),
        None => Ok(split),
    }
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
