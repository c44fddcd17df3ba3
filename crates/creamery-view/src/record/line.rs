//! A line of `metrics.jsonl`, read leniently and without copies.
//!
//! [`Event`](creamery_train::event::Event) is how events are written. A reader has other needs: to take what older and newer
//! versions wrote, and numbers that were none (JSON has `null` for NaN); and to skip quickly what it has seen before.

use std::borrow::Cow;

use creamery_space::{Architecture, Cost};
use creamery_train::event::{Images, Teacher};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::path_key::PathKey;

/// An event.
#[derive(Debug)]
pub(super) enum Line<'a> {
    Started(Started),
    Step(Step),
    Meta(Meta),
    Board(Board),
    Epoch(Epoch),
    Evaluated(Box<Evaluated>),
    Checkpoint(Checkpoint),
    Warning(Warning),
    Finished(Finished),
    /// Of a kind that this version does not know.
    Unknown(Cow<'a, str>),
}

#[derive(Debug, Deserialize)]
pub(super) struct Started {
    pub task: String,
    pub epochs: u64,
    pub steps_per_epoch: u64,
    pub batch: usize,
    #[serde(default)]
    pub step: u64,
    pub images: Option<Images>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Step {
    pub step: u64,
    pub loss: Option<f64>,
    pub top1: Option<f64>,
    pub lr: Option<f64>,
    pub grad_norm: Option<f64>,
    pub macs: Option<u64>,
    pub teacher: Option<Teacher>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Meta {
    pub step: u64,
    pub loss: Option<f64>,
    pub gradient: Option<f64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Board {
    pub step: u64,
    pub board: Vec<Row>,
}

/// An entry whose path is looked at only if it is new.
#[derive(Debug, Deserialize)]
pub(super) struct Row {
    #[serde(rename = "architecture")]
    pub path: PathKey,
    pub score: Option<f64>,
    pub entered: u64,
    #[serde(default)]
    pub taught: u64,
    #[serde(default)]
    pub bucket: usize,
}

/// What of an entry does not change.
#[derive(Debug, Deserialize)]
pub(super) struct Entrant {
    pub architecture: Architecture,
    pub cost: Cost,
}

#[derive(Debug, Deserialize)]
pub(super) struct Epoch {
    pub epoch: u64,
    pub loss: Option<f64>,
    pub top1: Option<f64>,
    pub images_per_second: Option<f64>,
    pub data_wait: Option<f64>,
    pub validation: Option<Measured>,
    pub raw: Option<Measured>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Measured {
    pub top1: Option<f64>,
    pub loss: Option<f64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Evaluated {
    pub architecture: Architecture,
    pub cost: Cost,
    pub top1: f64,
    pub of: Option<usize>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Checkpoint {
    pub step: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct Warning {
    pub message: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Finished {
    pub steps: u64,
    pub seconds: Option<f64>,
}

/// Reads an event; `None` if the line is none.
pub(super) fn parse(line: &[u8]) -> Option<Line<'_>> {
    fn read<'a, T: Deserialize<'a>>(line: &'a [u8]) -> Option<T> {
        serde_json::from_slice(line).ok()
    }
    let kind = kind(line)?;
    Some(match kind.as_ref() {
        "started" => Line::Started(read(line)?),
        "step" => Line::Step(read(line)?),
        "meta" => Line::Meta(read(line)?),
        "board" => Line::Board(read(line)?),
        "epoch" => Line::Epoch(read(line)?),
        "evaluated" => Line::Evaluated(read(line)?),
        "checkpoint" => Line::Checkpoint(read(line)?),
        "warning" => Line::Warning(read(line)?),
        "finished" => Line::Finished(read(line)?),
        // Told only of what is JSON to its end.
        _ => read::<IgnoredAny>(line).map(|_| Line::Unknown(kind))?,
    })
}

/// The kind of event. The writer puts it first, where it is found without reading all.
fn kind(line: &[u8]) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct Head<'a> {
        #[serde(borrow)]
        event: Cow<'a, str>,
    }
    if let Some(rest) = line.strip_prefix(br#"{"event":""#)
        && let Some(end) = rest.iter().position(|&b| b == b'"' || b == b'\\')
        && rest[end] == b'"'
    {
        return std::str::from_utf8(&rest[..end]).ok().map(Cow::Borrowed);
    }
    serde_json::from_slice::<Head>(line)
        .ok()
        .map(|head| head.event)
}

/// The entries of a board's line, whole.
pub(super) fn entrants(line: &[u8]) -> Option<Vec<Entrant>> {
    #[derive(Deserialize)]
    struct Whole {
        board: Vec<Entrant>,
    }
    serde_json::from_slice::<Whole>(line)
        .ok()
        .map(|whole| whole.board)
}

/// Reads an evaluation of `evaluations.jsonl`; `None` for its first line, which says of what they are, and for what is none.
pub(super) fn parse_evaluation(line: &[u8]) -> Option<Evaluated> {
    #[derive(Deserialize)]
    struct Scored {
        architecture: Architecture,
        #[serde(flatten)]
        cost: Cost,
        top1: f64,
    }
    let scored: Scored = serde_json::from_slice(line).ok()?;
    Some(Evaluated {
        architecture: scored.architecture,
        cost: scored.cost,
        top1: scored.top1,
        of: None,
    })
}

/// Whether a line is the first of `evaluations.jsonl`.
pub(super) fn is_identity(line: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Head {
        #[serde(rename = "identity")]
        _identity: IgnoredAny,
    }
    serde_json::from_slice::<Head>(line).is_ok()
}
