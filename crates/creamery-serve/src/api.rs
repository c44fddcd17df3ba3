//! The JSON API, described in docs/api.md.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use creamery_view::record::{BoardTenure, Curve, RunRecord};
use futures_util::stream::{self, Stream};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::io::ReaderStream;

use crate::filter::{Filter, Order, SortKey};
use crate::live::{FILES, Live, Part, View};
use crate::onnx::NoExport;
use crate::pages;
use crate::state::{App, Listing, Missing};

/// How often a stream without news says that it still lives.
const ALIVE_EVERY: Duration = Duration::from_secs(15);

/// The name of the run in the folder of runs itself, which as `.` an address cannot hold.
pub(crate) const SELF: &str = "@.";

/// The name of a run in an address.
pub(crate) fn name_in_address(id: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEPT: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'_')
        .remove(b'.')
        .remove(b'~')
        .remove(b'@');
    utf8_percent_encode(if id == "." { SELF } else { id }, KEPT).to_string()
}

pub(crate) fn id(name: &str) -> &str {
    if name == SELF { "." } else { name }
}

/// The query of a list.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ListQuery {
    q: Option<String>,
    task: Option<String>,
    state: Option<String>,
    method: Option<String>,
    data: Option<String>,
    sort: Option<String>,
    order: Option<String>,
    pub(crate) page: Option<usize>,
}

impl ListQuery {
    pub(crate) fn filter(&self) -> Filter {
        Filter {
            q: self.q.clone(),
            task: self.task.clone(),
            state: self.state.clone(),
            method: self.method.clone(),
            data: self.data.clone(),
        }
    }

    /// The order; an unknown one is the usual.
    pub(crate) fn order(&self) -> Order {
        let key = self
            .sort
            .as_deref()
            .and_then(|name| name.parse::<SortKey>().ok());
        let order = Order::by(key.unwrap_or_default());
        match self.order.as_deref() {
            Some("asc") => Order {
                falling: false,
                ..order
            },
            Some("desc") => Order {
                falling: true,
                ..order
            },
            _ => order,
        }
    }
}

fn answer(value: &Value) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (kind, value.to_string()).into_response()
}

pub(crate) fn error(status: StatusCode, message: &str) -> Response {
    let mut response = answer(&json!({ "error": message }));
    *response.status_mut() = status;
    response
}

impl Missing {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Unknown => StatusCode::NOT_FOUND,
            Self::Busy => StatusCode::SERVICE_UNAVAILABLE,
            Self::Unreadable(_) | Self::Defect => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for Missing {
    fn into_response(self) -> Response {
        error(self.status(), &self.to_string())
    }
}

pub(crate) async fn runs(State(app): State<Arc<App>>, Query(query): Query<ListQuery>) -> Response {
    let list = app.list();
    let runs = query.filter().apply(&list.runs, query.order());
    answer(&json!({
        "runs": runs,
        "of": list.runs.len(),
        "version": list.version,
        "notes": list.notes,
        "reading": list.reading.map(|(done, of)| json!({ "done": done, "of": of })),
    }))
}

pub(crate) async fn run(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Response, Missing> {
    let live = app.live(id(&name)).await?;
    let view = live.view();
    let told = live.with(|run| {
        let history = run.history();
        let start = history.start.as_ref().map(|start| {
            json!({
                "epochs": start.epochs,
                "steps_per_epoch": start.steps_per_epoch,
                "batch": start.batch,
                "images": start.images,
            })
        });
        json!({
            "config": run.config(),
            "result": run.result(),
            "start": start,
            "resumed": history.resumed,
            "steps": history.steps,
            "events": history.events,
            "saved": history.saved,
            "seconds_left": history.seconds_left(),
            "epochs": epochs(run),
            "warnings": history.warnings,
            "warned": history.warned,
        })
    });
    let mut told = told.await.ok_or(Missing::Defect)?;
    told["summary"] = json!(view.summary);
    told["notes"] = json!(view.notes);
    told["files"] = json!(view.files);
    Ok(answer(&told))
}

fn epochs(run: &RunRecord) -> Vec<Value> {
    let epochs = run.history().epochs.iter();
    epochs
        .map(|epoch| {
            let measured =
                |m: creamery_view::record::Measured| json!({ "top1": m.top1, "loss": m.loss });
            json!({
                "epoch": epoch.epoch,
                "loss": epoch.loss,
                "top1": epoch.top1,
                "images_per_second": epoch.images_per_second,
                "data_wait": epoch.data_wait,
                "validation": epoch.validation.map(measured),
                "raw": epoch.raw.map(measured),
            })
        })
        .collect()
}

pub(crate) async fn curves(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Response, Missing> {
    let live = app.live(id(&name)).await?;
    let told = live.with(|run| {
        let history = run.history();
        let curve = |curve: &Curve| {
            let buckets = curve.buckets().iter();
            let buckets = buckets.map(|b| json!([b.first, b.last, b.count, b.min, b.mean, b.max]));
            json!({ "steps_per_bucket": curve.steps_per_bucket(), "buckets": buckets.collect::<Vec<_>>() })
        };
        json!({
            "columns": ["first", "last", "count", "min", "mean", "max"],
            "loss": curve(&history.loss),
            "top1": curve(&history.top1),
            "lr": curve(&history.lr),
            "grad_norm": curve(&history.grad_norm),
            "macs": curve(&history.macs),
            "rho": curve(&history.rho),
            "meta_loss": curve(&history.meta_loss),
            "meta_gradient": curve(&history.meta_gradient),
        })
    });
    Ok(answer(&told.await.ok_or(Missing::Defect)?))
}

pub(crate) async fn board(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Response, Missing> {
    let live = app.live(id(&name)).await?;
    let told = live.with(|run| {
        let board = &run.history().board;
        let entry = |tenure: &BoardTenure| {
            json!({
                "architecture": tenure.architecture,
                "name": tenure.architecture.to_string(),
                "cost": tenure.cost,
                "bucket": tenure.bucket,
                "entered": tenure.entered,
                "left": tenure.left,
                "score": tenure.score,
                "taught": tenure.taught,
                "teacher": tenure.teacher,
            })
        };
        json!({
            "changes": board.changes(),
            "dropped": board.dropped(),
            "current": board.current().map(entry).collect::<Vec<_>>(),
            "tenures": board.tenures().iter().map(entry).collect::<Vec<_>>(),
        })
    });
    Ok(answer(&told.await.ok_or(Missing::Defect)?))
}

pub(crate) async fn evaluations(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Response, Missing> {
    let live = app.live(id(&name)).await?;
    let told = live.with(|run| {
        let evaluations = &run.history().evaluations;
        let kept = evaluations.kept().iter().map(|evaluation| {
            json!({
                "architecture": evaluation.architecture,
                "name": evaluation.architecture.to_string(),
                "cost": evaluation.cost,
                "top1": evaluation.top1,
            })
        });
        json!({ "done": evaluations.done, "of": evaluations.of, "evaluations": kept.collect::<Vec<_>>() })
    });
    Ok(answer(&told.await.ok_or(Missing::Defect)?))
}

/// The query of a stream.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct LiveQuery {
    /// What the asker has already.
    version: Option<String>,
}

pub(crate) async fn runs_live(
    State(app): State<Arc<App>>,
    Query(query): Query<LiveQuery>,
) -> Response {
    let known = query.version.and_then(|version| version.parse().ok());
    events(
        app.listing.clone(),
        move |list: &Arc<Listing>, sent: &mut Option<(u64, Option<usize>)>| {
            // An asker that has this version needs nothing before the next.
            let first = sent.is_none() && known == Some(list.version) && list.reading.is_none();
            let now = (list.version, list.reading.map(|(done, _)| done));
            let news = !first && *sent != Some(now);
            *sent = Some(now);
            news.then(|| json!({ "version": list.version, "runs": list.runs.len() }))
        },
    )
}

pub(crate) async fn run_live(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
    Query(query): Query<LiveQuery>,
) -> Result<Response, Missing> {
    let live = app.live(id(&name)).await?;
    let known = query.version;
    // Kept by the stream, so that the run is read for as long as somebody watches.
    let held: Arc<Live> = live.clone();
    Ok(events(
        live.views(),
        move |view: &Arc<View>, sent: &mut Option<Arc<View>>| {
            let _ = &held;
            let first = sent.is_none() && known.as_deref() == Some(view.version.as_str());
            let before = sent.replace(view.clone());
            let same = before
                .as_ref()
                .is_some_and(|before| before.version == view.version);
            (!first && !same).then(|| change(view, before.as_deref()))
        },
    ))
}

/// What a page has to change; parts that are as before come without their HTML.
fn change(view: &View, before: Option<&View>) -> Value {
    let same = |part: &Part| {
        let known = before.and_then(|view| view.parts.iter().find(|known| known.id == part.id));
        known.is_some_and(|known| Arc::ptr_eq(&known.html, &part.html))
    };
    let parts = view.parts.iter().map(|part| {
        json!({
            "id": part.id,
            "title": part.title,
            "html": (!same(part)).then_some(&*part.html),
        })
    });
    json!({
        "version": view.version,
        "state": view.summary.state,
        "head": pages::head(view),
        "downloads": pages::downloads(view),
        "parts": parts.collect::<Vec<_>>(),
    })
}

/// Server-sent events of what a channel holds. A client that is slow misses what was in between: only the latest value is ever kept for it.
fn events<T, S>(
    news: watch::Receiver<T>,
    tell: impl Fn(&T, &mut Option<S>) -> Option<Value> + Send + Sync + 'static,
) -> Response
where
    T: Clone + Send + Sync + 'static,
    S: Send + 'static,
{
    let stream: std::pin::Pin<Box<dyn Stream<Item = Result<Bytes, Infallible>> + Send>> =
        Box::pin(stream::unfold(
            (news, None::<S>, tell, true),
            |(mut news, mut sent, tell, first)| async move {
                if first {
                    news.mark_changed();
                    return Some((
                        Ok(Bytes::from_static(b"retry: 2000\n\n")),
                        (news, sent, tell, false),
                    ));
                }
                loop {
                    match tokio::time::timeout(ALIVE_EVERY, news.changed()).await {
                        Err(_) => {
                            return Some((
                                Ok(Bytes::from_static(b":\n\n")),
                                (news, sent, tell, false),
                            ));
                        }
                        Ok(Err(_)) => return None,
                        Ok(Ok(())) => {
                            let now = news.borrow_and_update().clone();
                            if let Some(value) = tell(&now, &mut sent) {
                                // JSON has no line breaks of its own.
                                let event = format!("data: {value}\n\n");
                                return Some((Ok(event.into()), (news, sent, tell, false)));
                            }
                        }
                    }
                }
            },
        ));
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    (headers, Body::from_stream(stream)).into_response()
}

pub(crate) async fn file(
    State(app): State<Arc<App>>,
    Path((name, file)): Path<(String, String)>,
) -> Result<Response, Missing> {
    let live = app.live(id(&name)).await?;
    let none = || error(StatusCode::NOT_FOUND, "The run has no such file.");
    let Some(known) = FILES.into_iter().find(|known| *known == file) else {
        return Ok(none());
    };
    let Some(path) = live.with(move |run| run.file(known)).await.flatten() else {
        return Ok(none());
    };
    let Ok(opened) = tokio::fs::File::open(path).await else {
        return Ok(none());
    };
    let Ok(found) = opened.metadata().await else {
        return Ok(none());
    };
    // What a running run adds meanwhile is no part of what was promised.
    let length = found.len();
    let body = ReaderStream::new(tokio::io::AsyncReadExt::take(opened, length));
    let headers = [
        (header::CONTENT_TYPE, content_type(known).to_owned()),
        (header::CONTENT_LENGTH, length.to_string()),
        (header::CONTENT_DISPOSITION, attachment(id(&name), known)),
    ];
    Ok((headers, Body::from_stream(body)).into_response())
}

fn content_type(file: &str) -> &'static str {
    match file.rsplit_once('.') {
        Some((_, "json")) => "application/json",
        Some((_, "jsonl" | "toml")) => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    }
}

/// Has the browser keep a file under a name that tells its run.
fn attachment(id: &str, file: &str) -> String {
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '-'
        }
    };
    let run: String = id.chars().map(safe).take(120).collect();
    let run = run.trim_matches('.');
    let apart = if run.is_empty() { "" } else { "-" };
    format!("attachment; filename=\"{run}{apart}{file}\"")
}

pub(crate) async fn onnx(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Response, Missing> {
    let live = app.live(id(&name)).await?;
    let Some(path) = live
        .with(|run| run.file("model.safetensors"))
        .await
        .flatten()
    else {
        return Ok(error(
            StatusCode::NOT_FOUND,
            "The run has no weights: is it finished?",
        ));
    };
    Ok(match app.exports.of(&path).await {
        Ok(bytes) => {
            let headers = [
                (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
                (
                    header::CONTENT_DISPOSITION,
                    attachment(id(&name), "model.onnx"),
                ),
            ];
            (headers, bytes).into_response()
        }
        Err(fault) => {
            let status = match fault {
                NoExport::Busy => StatusCode::SERVICE_UNAVAILABLE,
                NoExport::Large => StatusCode::PAYLOAD_TOO_LARGE,
                NoExport::Failed(_) => StatusCode::UNPROCESSABLE_ENTITY,
            };
            error(status, &fault.to_string())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_addresses_and_headers() {
        assert_eq!(name_in_address("a b/c?#é"), "a%20b%2Fc%3F%23%C3%A9");
        assert_eq!((name_in_address("."), id("@.")), ("@.".to_owned(), "."));
        assert_eq!(
            attachment("a/b\"\r\nX: 1", "result.json"),
            "attachment; filename=\"a-b---X--1-result.json\""
        );
        assert_eq!(
            attachment(".", "run.toml"),
            "attachment; filename=\"run.toml\""
        );
    }
}
