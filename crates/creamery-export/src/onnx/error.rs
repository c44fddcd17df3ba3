//! What can stop an export to ONNX.

use creamery_train::RunError;

use super::OPSETS;

/// Why a network cannot be exported.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// A version of ONNX's operators that Creamery does not write.
    #[error("unsupported opset {opset}: give {} to {}", OPSETS.start(), OPSETS.end())]
    Opset {
        /// What was asked for.
        opset: u32,
    },
    /// The network's weights are damaged.
    #[error(
        "`{tensor}` would hold {value}: the network has weights or running statistics that are no use; \
         train it again, or export an earlier one"
    )]
    NotFinite {
        /// The tensor in the file, batch norms folded in.
        tensor: String,
        /// Its first value that is not finite.
        value: f32,
    },
    /// Protocol buffers end at 2 GiB.
    #[error(
        "the network takes {bytes} bytes, an ONNX file at most {}",
        super::MOST_BYTES
    )]
    TooLarge {
        /// What it would take.
        bytes: usize,
    },
    /// The file cannot be written.
    #[error(transparent)]
    Write(#[from] RunError),
}

impl ExportError {
    /// Whether the command was wrong (exit 2) rather than its execution (exit 1).
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Opset { .. })
    }
}
