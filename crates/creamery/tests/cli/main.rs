//! The program as a user meets it: commands, their answers, their errors and exit codes.

mod ablate;
mod answers;
mod bad_data;
mod bad_runs;
mod bad_settings;
mod bench;
mod browser;
mod dashboard;
mod data;
mod export;
mod latency;
mod predict;
mod rank;
mod report;
mod resume;
mod retrain;
mod select;
mod support;
mod weights;
