use std::fmt;
use std::io;
use std::path::PathBuf;

use creamery_nn::NnError;
use creamery_space::SpaceError;

/// Why weights are not imported. Nothing is then written.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is cut short, damaged, or of no format that is read.
    #[error("`{}` is neither a whole safetensors file nor a whole file of torch.save: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The file or a part of it is larger than that of any network of a space.
    #[error("`{}`: {what} is larger than any network's; save nothing but its state_dict()", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// What is too large.
        what: String,
    },
    /// The file holds an object that only Python code could make.
    #[error(
        "`{}` holds a `{global}`{}, which is made by running code; nothing of it was run. \
         If you trust it, save its weights alone: torch.save(torch.load(F, weights_only=False)[\"state_dict\"], \"weights.pth\")",
        path.display(), place.as_ref().map(|place| format!(" at `{place}`")).unwrap_or_default()
    )]
    Global {
        /// The file.
        path: PathBuf,
        /// The Python name.
        global: String,
        /// Where in the file's dictionaries, if that is known.
        place: Option<String>,
    },
    /// The file holds a module that was saved whole, which is an object of its class.
    #[error(
        "`{}` holds a whole module, a `{class}`, which is made by running its code; nothing of it was run. \
         If you trust it, save its weights alone: torch.save(torch.load(F, weights_only=False).state_dict(), \"weights.pth\")",
        path.display()
    )]
    Module {
        /// The file.
        path: PathBuf,
        /// The first Python name in it.
        class: String,
    },
    /// A tar archive, as PyTorch wrote before there were networks of this kind.
    #[error("`{}` is a tar archive; unpack it, and give a file of weights that is in it", .0.display())]
    Tar(PathBuf),
    /// A tensor that holds no real numbers.
    #[error("tensor `{name}` holds {dtype}, but weights are f32, f64, f16 or bf16")]
    Dtype {
        /// The tensor.
        name: String,
        /// What it holds.
        dtype: String,
    },
    /// There is no network of this kind among the tensors.
    #[error(
        "`{}` has no tensor `conv_stem.weight`, so it holds no network of timm's MobileNetV3; its {count} tensors begin with {first}", path.display()
    )]
    NoNetwork {
        /// The file.
        path: PathBuf,
        /// Tensors in it.
        count: usize,
        /// The first of them.
        first: String,
    },
    /// There are several networks, none of which is a moving average of another.
    #[error("`{}` holds several networks, {wrappers}: save the one that is meant alone", path.display())]
    Several {
        /// The file.
        path: PathBuf,
        /// Under which names.
        wrappers: String,
    },
    /// The tensors' shapes are those of no network of the spaces in question, or of networks of several.
    #[error(
        "which network this is cannot be told from its shapes ({reason}): name it with --arch, or its space with --space"
    )]
    Unknown {
        /// Space by space, what does not fit.
        reason: String,
    },
    /// The tensors are not those of the network.
    #[error("the weights are not those of {architecture}: {misfits}")]
    Misfits {
        /// The network.
        architecture: String,
        /// What differs.
        misfits: Misfits,
    },
    /// The JSON beside the weights cannot be used.
    #[error("`{}`: {reason}; mend it, or move it away and say the rest with flags", path.display())]
    Card {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// What was said of the images or the classes cannot be.
    #[error("{0}")]
    Input(String),
    /// The space or the architecture.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// The network cannot be built.
    #[error(transparent)]
    Network(#[from] NnError),
}

impl ImportError {
    /// Whether the command was wrong (exit 2) rather than its execution (exit 1).
    pub fn is_usage(&self) -> bool {
        match self {
            Self::Read { source, .. } => source.kind() == io::ErrorKind::NotFound,
            Self::Input(_) | Self::Space(_) | Self::Unknown { .. } => true,
            _ => false,
        }
    }
}

/// How tensors differ from those of a network, under timm's names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Misfits {
    /// Tensors of the network that are not there.
    pub missing: Vec<String>,
    /// Tensors that the network does not have.
    pub extra: Vec<String>,
    /// Name, shape found and shape of the network.
    pub shape: Vec<(String, Vec<usize>, Vec<usize>)>,
}

impl Misfits {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty() && self.shape.is_empty()
    }
}

impl fmt::Display for Misfits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shapes = self.shape.iter();
        let shapes: Vec<String> = shapes
            .map(|(name, found, expected)| format!("{name} {found:?} instead of {expected:?}"))
            .collect();
        let kinds = [
            ("missing", &self.missing),
            ("extra", &self.extra),
            ("of another shape", &shapes),
        ];
        let parts = kinds.iter().filter(|(_, names)| !names.is_empty());
        let parts: Vec<String> = parts
            .map(|(kind, names)| format!("{} {kind} ({})", names.len(), first(names)))
            .collect();
        f.write_str(&parts.join(", "))
    }
}

/// The first few of many names.
pub(super) fn first(names: &[String]) -> String {
    const TOLD: usize = 3;
    let told: Vec<String> = names
        .iter()
        .take(TOLD)
        // Names are anyone's text.
        .map(|name| name.chars().take(80).collect())
        .collect();
    let more = if names.len() > TOLD { ", .." } else { "" };
    format!("{}{more}", told.join(", "))
}
