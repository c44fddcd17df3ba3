//! The index and the dashboard, asked over loopback.

mod api;
mod index;
mod live;
mod prune;
mod refused;
mod support;
