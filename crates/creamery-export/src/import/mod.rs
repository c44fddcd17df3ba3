//! Weights of timm and PyTorch as a model of ours.
//!
//! Read are safetensors files, and those of `torch.save` of any age, of networks with the names of timm's
//! `MobileNetV3`, which are also those that the authors of Cream published; also wrapped (`state_dict`,
//! `state_dict_ema`, `model`, `module.`). Nothing in a file is run, and values are read only of tensors that a network
//! needs, once all names and shapes are known to fit.
//!
//! ```no_run
//! use creamery_export::import::{Request, import};
//!
//! let imported = import("cream-114.pth.tar".as_ref(), &Request::default())?;
//! println!("{}", imported.model.net.architecture);
//! imported.model.save("cream-114.safetensors".as_ref())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod beside;
mod error;
mod fit;
mod globals;
mod infer;
mod input;
mod pytorch;
mod safetensors;
mod weights;
mod wrappers;

pub use error::{ImportError, Misfits};

use std::path::{Path, PathBuf};

use creamery_nn::{Device, NamedTensor, Subnet};
use creamery_space::{Architecture, Space};
use creamery_train::Model;

use fit::{Shapes, ends, expected, misfits};
use weights::Weights;
use wrappers::Found;

/// Most bytes of a file that is read.
const MAX_FILE: u64 = 4 << 30;
/// Most weights of a network that is read: 1 GiB of them.
const MAX_VALUES: usize = 1 << 28;

/// What is known beforehand of the network in a file. What is said here goes before what lies beside the file.
#[derive(Debug, Default)]
pub struct Request<'a> {
    /// The network, if it is known.
    pub network: Option<(&'a Space, &'a Architecture)>,
    /// The space to look for it in otherwise; `None` for what lies beside the file, or else the built-in ones.
    pub space: Option<&'a Space>,
    /// Pixels a side of the images, if not those of the network or of its space.
    pub resolution: Option<usize>,
    /// Names of the classes.
    pub classes: Option<Vec<String>>,
    /// Mean of each channel, pixels in 0..1.
    pub mean: Option<Vec<f32>>,
    /// Standard deviation of each channel, pixels in 0..1.
    pub std: Option<Vec<f32>>,
    /// Pixels that the shorter side of an image is resized to before the middle square is cut out.
    pub shorter_side: Option<usize>,
}

/// A network that was imported, and how it was understood.
#[derive(Debug)]
pub struct Imported {
    /// The network.
    pub model: Model,
    /// `safetensors`, or which container of `torch.save`.
    pub format: &'static str,
    /// What stood before each tensor's name, such as `state_dict.module.`.
    pub prefix: String,
    /// Tensors of the file that belong to something else, such as an optimizer.
    pub others: usize,
    /// The `model.json` that was read.
    pub card: Option<PathBuf>,
    /// What was assumed because neither the request nor the `model.json` says it, in words.
    pub assumed: Vec<String>,
}

/// Reads the network in a file.
///
/// # Errors
/// [`ImportError`] names the file, the place in it, and what would do.
pub fn import(path: &Path, request: &Request<'_>) -> Result<Imported, ImportError> {
    let weights = Weights::open(path)?;
    let found = Found::among(&weights, path)?;
    let tensors = found.tensors(&weights);
    let shapes: Shapes<'_> = tensors
        .iter()
        .map(|(name, t)| (*name, &t.shape[..]))
        .collect();

    let card = beside::find(path)?;
    let mut assumed = Vec::new();
    let (space, mut architecture) = match (request.network, &card) {
        (Some((space, architecture)), _) => (space.clone(), architecture.clone()),
        (None, Some(card)) if request.space.is_none() => {
            (card.space.clone(), card.card.creamery.architecture.clone())
        }
        _ => {
            let spaces = match request.space {
                Some(space) => vec![space.clone()],
                None => Space::builtin_names().filter_map(Space::builtin).collect(),
            };
            let (space, found) = infer::infer(spaces, &shapes, request.resolution)?;
            if request.resolution.is_none() {
                assumed.push(format!("{} px a side (--resolution)", found.resolution));
            }
            (space, found)
        }
    };
    if let Some(resolution) = request.resolution {
        architecture.resolution = resolution;
    }
    let misfits = misfits(&space, &architecture, &shapes)?;
    if !misfits.is_empty() {
        return Err(ImportError::Misfits {
            architecture: architecture.to_string(),
            misfits,
        });
    }
    let (Some(channels), Some(classes)) = ends(&shapes) else {
        unreachable!("tensors that fit have the ends of a network")
    };
    let known = card.as_ref().map(|beside| &beside.card);
    let side = architecture.resolution;
    let input = input::input(request, known, [channels, side, classes], &mut assumed)?;

    let state: Result<Vec<NamedTensor>, ImportError> = expected(&space, &architecture, &shapes)?
        .into_iter()
        .map(|name| {
            Ok(NamedTensor {
                values: weights.values(&format!("{}{}", found.prefix, name.timm))?,
                name: name.own,
                shape: name.shape,
            })
        })
        .collect();
    let device = Device::flex();
    let mut net = Subnet::new(&space, &architecture, channels, classes, 0, &device)?;
    net.load(state?, &device)?;
    Ok(Imported {
        model: Model { net, space, input },
        format: weights.format,
        prefix: found.prefix,
        others: found.others,
        card: card.map(|beside| beside.path),
        assumed,
    })
}
