//! Networks as [ONNX](https://onnx.ai) files, which onnxruntime, tract and many others run.
//!
//! The file takes `images`, `[N, channels, resolution, resolution]` in 32-bit floats, any number `N` at a time, and gives
//! `logits`, `[N, classes]`. Batch norms are folded into the convolutions before them. Images must be prepared as they
//! were in training; the file's metadata say how, see [`bytes`].
//!
//! ```
//! use creamery_export::onnx::{self, OnnxOptions};
//! # use creamery_nn::{Device, Subnet};
//! # use creamery_space::Space;
//! # use creamery_train::{Model, ModelInput};
//! # let space = Space::builtin("tiny-32").unwrap();
//! # let net = Subnet::new(&space, &space.smallest(28)?, 1, 2, 0, &Device::flex())?;
//! # let input = ModelInput {
//! #     data: "fashion-mini".into(),
//! #     classes: vec!["cat".into(), "dog".into()],
//! #     channels: 1,
//! #     shorter_side: 28,
//! #     interpolation: Default::default(),
//! #     mean: vec![0.3],
//! #     std: vec![0.3],
//! # };
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("model.safetensors");
//! # Model { net, space, input }.save(&path)?;
//! // let path = Path::new("runs/final/model.safetensors");
//! let model = Model::load(&path, &Device::flex())?;
//! onnx::write(&path.with_extension("onnx"), &model, &OnnxOptions::default())?;
//! # assert!(folder.path().join("model.onnx").exists());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod error;
mod fold;
mod graph;
mod layers;
pub mod proto;

use std::ops::RangeInclusive;
use std::path::Path;

use creamery_nn::Layer;
use creamery_train::{Model, write_atomically};
use prost::Message;
use serde::Serialize;

pub use error::ExportError;
use graph::{Graph, int};
use proto::{GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto};

/// The versions of ONNX's operators that can be written. The operators used are the same in all of them.
pub const OPSETS: RangeInclusive<u32> = 17..=21;

/// The largest protocol buffer.
const MOST_BYTES: usize = i32::MAX as usize;

/// What can be chosen about an ONNX file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnnxOptions {
    /// Version of ONNX's operators, one of [`OPSETS`]. Old ones are read by more programs.
    pub opset: u32,
    /// Whether a softmax follows: the output is then `probabilities` instead of `logits`.
    pub softmax: bool,
}

impl Default for OnnxOptions {
    fn default() -> Self {
        Self {
            opset: *OPSETS.start(),
            softmax: false,
        }
    }
}

impl OnnxOptions {
    /// The name of a network's output.
    pub fn output(&self) -> &'static str {
        match self.softmax {
            true => "probabilities",
            false => "logits",
        }
    }
}

/// A network as an ONNX file.
///
/// Its metadata are text by key: `mean` and `std` (JSON, one number a channel, for pixels in 0..1), `shorter_side`, `resolution` and
/// `channels` (numbers), `classes` (JSON, names in the order of the logits), `data` (what it was trained on), `architecture` (JSON) and
/// `space` (TOML) as in the model's own file, `creamery_version`.
///
/// # Errors
/// [`ExportError`].
pub fn bytes(model: &Model, options: &OnnxOptions) -> Result<Vec<u8>, ExportError> {
    let (net, input) = (&model.net, &model.input);
    let mut graph = Graph::default();
    let mut value = "images".to_owned();
    for layer in net.layers() {
        value = layers::add(&mut graph, layer, &value)?;
    }
    if options.softmax {
        let axis = vec![int("axis", -1)];
        graph.node("Softmax", "softmax".to_owned(), &[&value], axis);
    }
    let resolution = net.architecture.resolution;
    let graph = graph.finish(
        &net.architecture.to_string(),
        ("images", &[input.channels, resolution, resolution]),
        (options.output(), &[net.classes()]),
    );
    let metadata = [
        ("creamery_version", env!("CARGO_PKG_VERSION").to_owned()),
        ("architecture", json(&net.architecture)),
        ("space", model.space.to_toml()),
        ("data", input.data.clone()),
        ("resolution", resolution.to_string()),
        ("shorter_side", input.shorter_side.to_string()),
        ("interpolation", input.interpolation.to_string()),
        ("channels", input.channels.to_string()),
        ("mean", json(&input.mean)),
        ("std", json(&input.std)),
        ("classes", json(&input.classes)),
    ];
    let doc = format!(
        "Image classifier found by Creamery. An image is resized so that its shorter side has {} pixels (bilinear, antialiased); \
         its middle {resolution}x{resolution} pixels, scaled to 0..1, less `mean`, by `std`, are one of `images`.",
        input.shorter_side,
    );
    file(graph, options.opset, doc, &metadata)
}

/// Writes a network as an ONNX file, whole or not at all. Gives its length in bytes.
///
/// # Errors
/// [`ExportError`]; a file that was there before is then intact.
pub fn write(path: &Path, model: &Model, options: &OnnxOptions) -> Result<usize, ExportError> {
    let bytes = bytes(model, options)?;
    write_atomically(path, &bytes)?;
    Ok(bytes.len())
}

/// One layer as an ONNX file, for maps of `input_size` pixels a side.
///
/// It takes `input` and gives `output`, both for any number of images: maps are `[N, channels, size, size]`, what the head gives
/// and the classifier takes and gives is `[N, features]`.
///
/// # Errors
/// [`ExportError`].
pub fn block_bytes(layer: &Layer, input_size: usize, opset: u32) -> Result<Vec<u8>, ExportError> {
    let mut graph = Graph::default();
    layers::add(&mut graph, layer, "input")?;
    let [input, output] = layers::shapes(&layer.spec, input_size);
    let graph = graph.finish(&layer.name, ("input", &input), ("output", &output));
    file(graph, opset, String::new(), &[])
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("what a model tells is plain data")
}

fn file(
    graph: GraphProto,
    opset: u32,
    doc_string: String,
    metadata: &[(&str, String)],
) -> Result<Vec<u8>, ExportError> {
    // The versions of the format that came with each version of the operators.
    let ir_version = match opset {
        17 | 18 => 8,
        19 | 20 => 9,
        21 => 10,
        _ => return Err(ExportError::Opset { opset }),
    };
    let model = ModelProto {
        ir_version,
        producer_name: "creamery".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        doc_string,
        graph: Some(graph),
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: i64::from(opset),
        }],
        metadata_props: metadata
            .iter()
            .map(|(key, value)| StringStringEntryProto {
                key: (*key).to_owned(),
                value: value.clone(),
            })
            .collect(),
    };
    let bytes = model.encoded_len();
    if bytes > MOST_BYTES {
        return Err(ExportError::TooLarge { bytes });
    }
    Ok(model.encode_to_vec())
}
