//! A network for timm: weights under its names, the arguments of its class, and the Python that builds it.
//!
//! timm's `MobileNetV3` is the same network, block by block, if squeeze-excite and channels are rounded as here; the
//! README that [`export`] writes has the arguments.

mod card;
mod error;
mod names;

pub use card::{Card, FORMAT, Input, Network, Origin, SqueezeExcite, VERSION};
pub use error::TimmError;
pub use names::{TensorName, tensor_names};

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use creamery_nn::NamedTensor;
use creamery_space::Space;
use creamery_train::checkpoint::write_weights;
use creamery_train::{CheckpointError, Model, RunError, write_atomically};

/// The names of the files that an export has.
pub const FILES: [&str; 3] = ["model.safetensors", "model.json", "README.md"];

/// timm turns strides into dilation beyond this.
const MOST_STRIDE: usize = 32;

/// Writes a network to `folder`: `model.safetensors`, `model.json` and `README.md`.
///
/// The folder appears whole or not at all. It may exist already if it is empty.
///
/// # Errors
/// [`TimmError`]; nothing is then left behind.
pub fn export(model: &Model, folder: &Path) -> Result<(), TimmError> {
    supported(&model.space)?;
    let card = Card::of(model)?;
    let tensors = state(model)?;
    let io = |action, path: &Path| {
        let path = path.to_owned();
        move |source| RunError::Io {
            action,
            path,
            source,
        }
    };
    let exists = folder.exists();
    if exists {
        let mut entries = fs::read_dir(folder).map_err(io("read", folder))?;
        if entries.next().is_some() {
            return Err(TimmError::Occupied(folder.to_owned()));
        }
    }
    let parent = folder.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(parent).map_err(io("create", parent))?;
    let aside = Aside(aside(folder));
    fs::create_dir(&aside.0).map_err(io("create", folder))?;
    // Errors name the files where they were to be.
    let named = |name: &str, error: RunError| match error {
        RunError::Io { action, source, .. } => RunError::Io {
            action,
            path: folder.join(name),
            source,
        },
        other => other,
    };
    let [weights, json, readme] = FILES;
    // What PyTorch's own writer says of its files, and some of its readers ask for.
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    write_weights(&aside.0.join(weights), &tensors, metadata).map_err(|error| match error {
        CheckpointError::Run(error) => CheckpointError::Run(named(weights, error)),
        other => other,
    })?;
    let mut text = serde_json::to_string_pretty(&card).expect("cards are plain data");
    text.push('\n');
    for (name, text) in [(json, text), (readme, readme_of(&card))] {
        let written = write_atomically(&aside.0.join(name), text.as_bytes());
        written.map_err(|error| named(name, error))?;
    }
    if exists {
        fs::remove_dir(folder).map_err(io("replace", folder))?;
    }
    fs::rename(&aside.0, folder).map_err(io("create", folder))?;
    Ok(())
}

/// The weights and running statistics of a network under timm's names.
///
/// # Errors
/// If the architecture does not belong to the space.
pub fn state(model: &Model) -> Result<Vec<NamedTensor>, TimmError> {
    let (channels, classes) = (model.input.channels, model.input.classes.len());
    let layers = (model.space).layers(&model.net.architecture, channels, classes)?;
    let own = model.net.state();
    let mut own: BTreeMap<_, _> = own.into_iter().map(|t| (t.name.clone(), t)).collect();
    let named = tensor_names(&layers).into_iter().map(|name| {
        let tensor = own.remove(&name.own);
        let tensor = tensor.expect("a model's network is that of its architecture");
        NamedTensor {
            name: name.timm,
            ..tensor
        }
    });
    Ok(named.collect())
}

/// Refuses spaces whose networks are none of timm's class.
fn supported(space: &Space) -> Result<(), TimmError> {
    let refuse = |reason: String| {
        Err(TimmError::Unsupported {
            space: space.name.clone(),
            reason,
        })
    };
    let stem = space.stem;
    if (stem.kernel, stem.stride) != (3, 2) {
        return refuse(format!(
            "its stem is 3x3 of stride 2, not {0}x{0} of stride {1}",
            stem.kernel, stem.stride
        ));
    }
    let strides = space.stages.iter().map(|stage| stage.stride);
    let mut whole = stem.stride;
    for stride in std::iter::once(space.first.stride).chain(strides) {
        if stride > 2 {
            return refuse(format!("its blocks have a stride of 1 or 2, not {stride}"));
        }
        whole *= stride;
    }
    if whole > MOST_STRIDE {
        return refuse(format!(
            "beyond a stride of {MOST_STRIDE} in all it dilates instead, and this is {whole}"
        ));
    }
    Ok(())
}

/// A folder that is being written, beside the one that it is to become.
fn aside(folder: &Path) -> PathBuf {
    let name = folder.file_name().unwrap_or_default().to_string_lossy();
    folder.with_file_name(format!(".{name}.{}.tmp", std::process::id()))
}

/// Is gone with all that is in it when it is dropped, unless it was renamed.
struct Aside(PathBuf);

impl Drop for Aside {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn readme_of(card: &Card) -> String {
    let [channels, side, _] = card.input.input_size;
    let classes = match card.classes.len() {
        1 => "1 class".to_owned(),
        n => format!("{n} classes"),
    };
    let values = [
        ("{architecture}", card.creamery.architecture.to_string()),
        ("{channels}", channels.to_string()),
        ("{side}", side.to_string()),
        ("{classes}", classes),
        ("{resize}", card.input.resize.to_string()),
        // Last, because it is anyone's text.
        ("{data}", card.creamery.data.clone()),
    ];
    let template = include_str!("README.template.md").to_owned();
    (values.iter()).fold(template, |text, (place, value)| text.replace(place, value))
}
