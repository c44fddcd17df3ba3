//! Tensors of a file of `torch.save`.
//!
//! `pytorch-reader` takes the file apart and runs nothing of it. Objects that it does not interpret it keeps as the names
//! of their Python types; here any such object is a reason to refuse the file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use pytorch_reader::{DType, FileFormat, PickleError, PickleValue, PytorchError, PytorchReader};
use zip::ZipArchive;

use super::weights::{Real, Stored};
use super::{ImportError, MAX_FILE};

/// Most bytes of the pickle in a zip archive, which may be compressed a thousandfold: that of a checkpoint has a few
/// hundred thousand.
const MAX_PICKLE: u64 = 4 << 20;
/// Most bytes of a file of another container, whose pickle has no length of its own. The largest network of
/// `cream-224` has 40 million.
const MAX_OLD_FILE: u64 = 64 << 20;

/// The container, and the tensors of a file, by their names along its dictionaries.
pub(super) fn open(path: &Path) -> Result<(&'static str, BTreeMap<String, Stored>), ImportError> {
    check_size(path)?;
    let fail = |error| told(path, error);
    let objects = PytorchReader::read_pickle_data(path, None).map_err(fail)?;
    if let Some((place, global)) = foreign(&objects, String::new()) {
        return Err(ImportError::Global {
            path: path.to_owned(),
            global,
            place: Some(place).filter(|place| !place.is_empty()),
        });
    }
    let reader = PytorchReader::new(path).map_err(fail)?;
    let format = match reader.metadata().format_type {
        FileFormat::Zip => "torch.save",
        FileFormat::Tar => "torch.save before 0.1.10",
        FileFormat::Legacy => "torch.save before 1.6",
        FileFormat::Pickle => "pickle",
    };
    let tensors = reader.into_tensors().into_iter().map(|(name, tensor)| {
        let dtype = match tensor.dtype() {
            DType::F16 => Ok(Real::F16),
            DType::BF16 => Ok(Real::Bf16),
            DType::F32 => Ok(Real::F32),
            DType::F64 => Ok(Real::F64),
            other => Err(format!("{other:?}").to_lowercase()),
        };
        let stored = Stored {
            shape: tensor.shape().to_vec(),
            dtype,
            read: Box::new(move || tensor.read()),
        };
        (name, stored)
    });
    Ok((format, tensors.collect()))
}

/// Refuses files whose pickle could fill the memory before anything of it is known.
fn check_size(path: &Path) -> Result<(), ImportError> {
    let read = |source| ImportError::Read {
        path: path.to_owned(),
        source,
    };
    let too_large = |what: String| ImportError::TooLarge {
        path: path.to_owned(),
        what,
    };
    let mut file = File::open(path).map_err(read)?;
    let length = file.metadata().map_err(read)?.len();
    let mut start = Vec::new();
    (&mut file).take(2).read_to_end(&mut start).map_err(read)?;
    if start != b"PK" {
        return match length {
            0..=MAX_OLD_FILE => Ok(()),
            _ => Err(too_large("a file of before PyTorch 1.6".to_owned())),
        };
    }
    if length > MAX_FILE {
        return Err(too_large("the file".to_owned()));
    }
    file.rewind().map_err(read)?;
    let damaged = |error: zip::result::ZipError| ImportError::Damaged {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(damaged)?;
    for i in 0..archive.len() {
        let entry = archive.by_index_raw(i).map_err(damaged)?;
        let name = entry.name().map_err(damaged)?;
        if name.ends_with("data.pkl") && entry.size() > MAX_PICKLE {
            return Err(too_large(format!("its `{name}`")));
        }
    }
    Ok(())
}

/// The first object that is neither a tensor nor plain: where it is, and the name of its Python type.
fn foreign(value: &PickleValue, place: String) -> Option<(String, String)> {
    let inside = |key: &str| match place.as_str() {
        "" => key.to_owned(),
        place => format!("{place}.{key}"),
    };
    match value {
        PickleValue::Unsupported(name) => {
            // An int too wide for the reader is plain nevertheless.
            const PLAIN: [&str; 4] = [
                "torch.Tensor",
                "torch.TypedStorage",
                "torch.UntypedStorage",
                "int",
            ];
            (!PLAIN.contains(&name.as_str())).then(|| (place, name.clone()))
        }
        PickleValue::List(items) => {
            let mut items = items.iter().enumerate();
            items.find_map(|(i, item)| foreign(item, inside(&i.to_string())))
        }
        PickleValue::Dict(items) => {
            // In the order of the names, because that of a hash map differs from process to process.
            let mut items: Vec<_> = items.iter().collect();
            items.sort_by_key(|(key, _)| *key);
            let mut items = items.into_iter();
            items.find_map(|(key, item)| foreign(item, inside(key)))
        }
        _ => None,
    }
}

/// What the reader reports, in our words.
fn told(path: &Path, error: PytorchError) -> ImportError {
    let path = path.to_owned();
    match error {
        PytorchError::Pickle(PickleError::UnsupportedType(global)) => ImportError::Global {
            path,
            global,
            place: None,
        },
        PytorchError::Io(source) if source.raw_os_error().is_some() => {
            ImportError::Read { path, source }
        }
        other => ImportError::Damaged {
            path,
            reason: other.to_string(),
        },
    }
}
