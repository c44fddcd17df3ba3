//! Tensors of a file of `torch.save`.
//!
//! `pytorch-reader` takes the file apart and runs nothing of it. A file that has anything but tensors and plain containers is
//! refused by the Python name of the first other thing: objects that the reader does not interpret it keeps as such names
//! in their places, and [`Globals`] has those that it does interpret, or that nothing holds.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::ops::Range;
use std::path::Path;

use pytorch_reader::{DType, FileFormat, PickleError, PickleValue, PytorchError, PytorchReader};
use zip::ZipArchive;

use super::globals::Globals;
use super::weights::{Real, Stored};
use super::{ImportError, MAX_FILE};

/// Most bytes of the pickle in a zip archive, which may be compressed a thousandfold: that of a checkpoint has a few
/// hundred thousand.
const MAX_PICKLE: u64 = 4 << 20;
/// Most bytes of a file of another container, whose pickle has no length of its own. The largest network of
/// `cream-224` has 40 million.
const MAX_OLD_FILE: u64 = 64 << 20;

/// Where a tar archive says that it is one.
const TAR_MAGIC: Range<usize> = 257..262;
const TAR_MAGIC_BYTES: &[u8] = b"ustar";

/// The container, and the tensors of a file, by their names along its dictionaries.
pub(super) fn open(path: &Path) -> Result<(&'static str, BTreeMap<String, Stored>), ImportError> {
    let globals = globals(path)?;
    if globals.module() {
        return Err(ImportError::Module {
            path: path.to_owned(),
            class: globals.foreign[0].clone(),
        });
    }
    let fail = |error| told(path, error);
    let objects = PytorchReader::read_pickle_data(path, None).map_err(fail)?;
    let mut unnamed = globals
        .foreign
        .into_iter()
        .map(|name| (String::new(), name));
    if let Some((place, global)) = foreign(&objects, String::new()).or_else(|| unnamed.next()) {
        return Err(ImportError::Global {
            path: path.to_owned(),
            global,
            place: Some(place).filter(|place| !place.is_empty()),
        });
    }
    let reader = PytorchReader::new(path).map_err(fail)?;
    let format = match reader.metadata().format_type {
        FileFormat::Zip => "torch.save",
        FileFormat::Legacy => "torch.save before 1.6",
        FileFormat::Pickle | FileFormat::Tar => "pickle",
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

/// The names in a file's pickles. Refuses files whose pickle could fill the memory before anything of it is known.
fn globals(path: &Path) -> Result<Globals, ImportError> {
    let read = |source| ImportError::Read {
        path: path.to_owned(),
        source,
    };
    let too_large = |what: String| ImportError::TooLarge {
        path: path.to_owned(),
        what,
    };
    let mut globals = Globals::default();
    let mut file = File::open(path).map_err(read)?;
    let length = file.metadata().map_err(read)?.len();
    let mut bytes = Vec::new();
    let start = TAR_MAGIC.start + TAR_MAGIC_BYTES.len();
    (&mut file)
        .take(start as u64)
        .read_to_end(&mut bytes)
        .map_err(read)?;
    if !bytes.starts_with(b"PK") {
        if bytes.get(TAR_MAGIC) == Some(TAR_MAGIC_BYTES) {
            return Err(ImportError::Tar(path.to_owned()));
        }
        if length > MAX_OLD_FILE {
            return Err(too_large("a file of before PyTorch 1.6".to_owned()));
        }
        let rest = file.take(MAX_OLD_FILE).read_to_end(&mut bytes);
        rest.map_err(read)?;
        globals.add(&bytes);
        return Ok(globals);
    }
    if length > MAX_FILE {
        return Err(too_large("the file".to_owned()));
    }
    file.rewind().map_err(read)?;
    let damaged = |reason: String| ImportError::Damaged {
        path: path.to_owned(),
        reason,
    };
    let zip = |error: zip::result::ZipError| damaged(error.to_string());
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(zip)?;
    let mut pickles = Vec::new();
    for i in 0..archive.len() {
        let entry = archive.by_index_raw(i).map_err(zip)?;
        let name = entry.name().map_err(zip)?.into_owned();
        if name.ends_with("data.pkl") {
            if entry.size() > MAX_PICKLE {
                return Err(too_large(format!("its `{name}`")));
            }
            pickles.push(name);
        }
    }
    for name in pickles {
        let entry = archive.by_name(&name).map_err(zip)?;
        let mut bytes = Vec::new();
        entry
            .take(MAX_PICKLE)
            .read_to_end(&mut bytes)
            .map_err(|error| damaged(format!("`{name}`: {error}")))?;
        globals.add(&bytes);
    }
    Ok(globals)
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
