//! Weights to and from timm, held against what timm and PyTorch wrote and computed (`fixtures/timm_weights.py`).

mod fixtures;
mod hostile;
mod refused;
mod round_trip;
mod support;
