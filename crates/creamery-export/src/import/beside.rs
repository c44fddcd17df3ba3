//! The `model.json` that an export has beside its weights.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use creamery_space::Space;

use super::ImportError;
use crate::timm::{Card, FILES, FORMAT, VERSION};

/// Most bytes of it: thousands of classes.
const MAX_BYTES: u64 = 64 << 20;

/// A card with what follows from it.
pub(super) struct Beside {
    pub path: PathBuf,
    pub card: Card,
    pub space: Space,
}

/// The card beside the weights at `path`, if there is one. A `model.json` of another program is none.
pub(super) fn find(path: &Path) -> Result<Option<Beside>, ImportError> {
    let path = path.with_file_name(FILES[1]);
    let wrong = |reason: String| ImportError::Card {
        path: path.clone(),
        reason,
    };
    let mut text = String::new();
    match File::open(&path).and_then(|file| file.take(MAX_BYTES).read_to_string(&mut text)) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        read => read.map_err(|source| wrong(source.to_string()))?,
    };
    let value: serde_json::Value =
        serde_json::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    if value["format"] != FORMAT {
        return Ok(None);
    }
    if value["version"] != VERSION {
        let version = &value["version"];
        return Err(wrong(format!(
            "its version is {version}, and {VERSION} is read"
        )));
    }
    let card: Card = serde_json::from_value(value).map_err(|error| wrong(error.to_string()))?;
    let origin = format!("{}, key `creamery.space`", path.display());
    let space = Space::from_toml(&card.creamery.space, &origin)?;
    Ok(Some(Beside { path, card, space }))
}
