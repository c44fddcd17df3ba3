//! Networks as ONNX files, made when they are asked for.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use axum::body::Bytes;
use creamery_export::onnx::{self, OnnxOptions};
use creamery_train::Model;
use tokio::sync::Semaphore;

/// The largest model that is exported here, in bytes.
const MOST_BYTES: u64 = 512 << 20;

/// Exports that are kept.
const KEPT: usize = 4;

/// Exports that may be waited for.
const WAITING: usize = 8;

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoExport {
    #[error("Too many exports are waited for: try again in a minute.")]
    Busy,
    #[error("The model is too large to be exported here: use creamery export.")]
    Large,
    #[error("The model cannot be exported: {0}")]
    Failed(String),
}

/// When a model was written, and how long it is.
type Stamp = (SystemTime, u64);

/// The exports of late, one made at a time.
pub(crate) struct Exports {
    one: Semaphore,
    waiting: Semaphore,
    made: Mutex<Vec<(PathBuf, Stamp, Bytes)>>,
}

impl Default for Exports {
    fn default() -> Self {
        Self {
            one: Semaphore::new(1),
            waiting: Semaphore::new(WAITING),
            made: Mutex::default(),
        }
    }
}

impl Exports {
    /// The ONNX file of a model.
    pub(crate) async fn of(&self, path: &Path) -> Result<Bytes, NoExport> {
        let failed = |error: std::io::Error| NoExport::Failed(error.to_string());
        let found = tokio::fs::metadata(path).await.map_err(failed)?;
        if found.len() > MOST_BYTES {
            return Err(NoExport::Large);
        }
        let stamp = (found.modified().map_err(failed)?, found.len());
        let _waiting = self.waiting.try_acquire().map_err(|_| NoExport::Busy)?;
        let _one = self.one.acquire().await.map_err(|_| NoExport::Busy)?;
        if let Some(made) = self.known(path, stamp) {
            return Ok(made);
        }
        let model = path.to_owned();
        let making = tokio::task::spawn_blocking(move || export(&model)).await;
        let made =
            making.map_err(|_| NoExport::Failed("this is a defect of the program".into()))?;
        let made = Bytes::from(made.map_err(NoExport::Failed)?);
        let mut all = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|(known, ..)| known != path);
        all.push((path.to_owned(), stamp, made.clone()));
        if all.len() > KEPT {
            all.remove(0);
        }
        Ok(made)
    }

    fn known(&self, path: &Path, stamp: Stamp) -> Option<Bytes> {
        let all = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let found = all
            .iter()
            .find(|(known, of, _)| known == path && *of == stamp);
        found.map(|(_, _, made)| made.clone())
    }
}

fn export(path: &Path) -> Result<Vec<u8>, String> {
    let device = creamery_nn::device("cpu").map_err(|error| error.to_string())?;
    let model = Model::load(path, &device).map_err(|error| error.to_string())?;
    onnx::bytes(&model, &OnnxOptions::default()).map_err(|error| error.to_string())
}
