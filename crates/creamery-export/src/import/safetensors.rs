//! Tensors of a safetensors file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use safetensors::tensor::{Dtype, Metadata, SafeTensors};

use super::weights::{Real, Stored};
use super::{ImportError, MAX_FILE};

/// Most bytes of the header of a file that is read: thousands of tensors.
const MAX_HEADER: u64 = 4 << 20;

/// The tensors of a file; `None` if it is of another format.
pub(super) fn open(path: &Path) -> Result<Option<BTreeMap<String, Stored>>, ImportError> {
    let fail = |source| ImportError::Read {
        path: path.to_owned(),
        source,
    };
    let too_large = |what: &str| ImportError::TooLarge {
        path: path.to_owned(),
        what: what.to_owned(),
    };
    let mut file = File::open(path).map_err(fail)?;
    let mut start = Vec::new();
    (&mut file).take(9).read_to_end(&mut start).map_err(fail)?;
    // A length, and the header's first character.
    let Some((length, b"{")) = start.split_first_chunk::<8>() else {
        return Ok(None);
    };
    if u64::from_le_bytes(*length) > MAX_HEADER {
        return Err(too_large("the header"));
    }
    if file.metadata().map_err(fail)?.len() > MAX_FILE {
        return Err(too_large("the file"));
    }
    file.seek(SeekFrom::Start(0)).map_err(fail)?;
    let mut bytes = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut bytes).map_err(fail)?;
    let (length, metadata) =
        SafeTensors::read_metadata(&bytes).map_err(|error| ImportError::Damaged {
            path: path.to_owned(),
            reason: error.to_string(),
        })?;
    Ok(Some(tensors(bytes.into(), 8 + length, &metadata)))
}

/// The tensors that the metadata tell of, whose values lie in `bytes` from `start`. That they do was checked when the
/// metadata were read.
fn tensors(bytes: Arc<[u8]>, start: usize, metadata: &Metadata) -> BTreeMap<String, Stored> {
    let tensors = metadata.tensors().into_iter().map(|(name, info)| {
        let dtype = match info.dtype {
            Dtype::F16 => Ok(Real::F16),
            Dtype::BF16 => Ok(Real::Bf16),
            Dtype::F32 => Ok(Real::F32),
            Dtype::F64 => Ok(Real::F64),
            other => Err(format!("{other:?}").to_lowercase()),
        };
        let (from, to) = info.data_offsets;
        let bytes = bytes.clone();
        let stored = Stored {
            shape: info.shape.clone(),
            dtype,
            read: Box::new(move || Ok(bytes[start + from..start + to].to_vec())),
        };
        (name, stored)
    });
    tensors.collect()
}
