//! Tensors in a file, read one by one when it is known which are wanted.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use half::{bf16, f16};

use super::{ImportError, pytorch, safetensors};

/// The tensors of a file by name. Their values have not been read.
pub(super) struct Weights {
    path: PathBuf,
    /// `safetensors`, or which container of `torch.save`.
    pub format: &'static str,
    pub tensors: BTreeMap<String, Stored>,
}

/// A tensor whose values are still in the file.
pub(super) struct Stored {
    pub shape: Vec<usize>,
    /// What the values are; the file's word for it where they are no real numbers.
    pub dtype: Result<Real, String>,
    /// Reads the values, row by row, as bytes.
    pub read: Box<dyn Fn() -> std::io::Result<Vec<u8>>>,
}

/// The types that weights are converted from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Real {
    F16,
    Bf16,
    F32,
    F64,
}

impl Weights {
    /// Opens a file of either format, which its first bytes tell.
    pub fn open(path: &Path) -> Result<Self, ImportError> {
        let (format, tensors) = match safetensors::open(path)? {
            Some(tensors) => ("safetensors", tensors),
            None => pytorch::open(path)?,
        };
        Ok(Self {
            path: path.to_owned(),
            format,
            tensors,
        })
    }

    /// The values of a tensor, which must be one of these.
    pub fn values(&self, name: &str) -> Result<Vec<f32>, ImportError> {
        let stored = &self.tensors[name];
        let real = stored.dtype.as_ref().map_err(|dtype| ImportError::Dtype {
            name: name.to_owned(),
            dtype: dtype.clone(),
        })?;
        let bytes = (stored.read)().map_err(|error| ImportError::Damaged {
            path: self.path.clone(),
            reason: format!("tensor `{name}`: {error}"),
        })?;
        Ok(real.values(&bytes))
    }
}

impl Real {
    fn values(self, bytes: &[u8]) -> Vec<f32> {
        fn each<const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
            let (chunks, _) = bytes.as_chunks::<N>();
            chunks.iter().map(|&bytes| value(bytes)).collect()
        }
        match self {
            Self::F16 => each(bytes, |b| f16::from_le_bytes(b).to_f32()),
            Self::Bf16 => each(bytes, |b| bf16::from_le_bytes(b).to_f32()),
            Self::F32 => each(bytes, f32::from_le_bytes),
            Self::F64 => each(bytes, |b| f64::from_le_bytes(b) as f32),
        }
    }
}

#[cfg(test)]
impl Weights {
    /// Empty tensors of these names.
    pub fn of_names(names: &[&str]) -> Self {
        let empty = || Stored {
            shape: vec![0],
            dtype: Ok(Real::F32),
            read: Box::new(|| Ok(Vec::new())),
        };
        Self {
            path: "x.pth".into(),
            format: "test",
            tensors: names
                .iter()
                .map(|name| ((*name).to_owned(), empty()))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_becomes_f32() {
        for (real, bytes) in [
            (Real::F16, vec![0x00, 0xc1, 0x01, 0x00]),
            (Real::Bf16, vec![0x20, 0xc0, 0x80, 0x33]),
            (
                Real::F32,
                [(-2.5f32).to_le_bytes(), 2f32.powi(-24).to_le_bytes()].concat(),
            ),
            (
                Real::F64,
                [(-2.5f64).to_le_bytes(), 2f64.powi(-24).to_le_bytes()].concat(),
            ),
        ] {
            assert_eq!(real.values(&bytes), [-2.5, 2f32.powi(-24)], "{real:?}");
        }
    }
}
