//! The pages.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use askama::Template;
use axum::extract::{Path, Query, RawQuery, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use creamery_view::record::RunRecord;
use creamery_view::report::{self, Report};
use creamery_view::{duration, rounded_count};

use crate::api::{ListQuery, name_in_address};
use crate::filter::{Order, SortKey};
use crate::live::{Live, Part, View};
use crate::state::{App, Listing, Missing};
use crate::summary::Summary;

/// Runs of a page of the list.
const PAGE: usize = 100;

/// Runs that can be compared.
const MOST_COMPARED: usize = 8;

fn page(template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], text).into_response(),
        Err(_) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "The page could not be written.",
        )
            .into_response(),
    }
}

#[derive(Template)]
#[template(path = "refusal.html")]
struct Refusal<'a> {
    status: u16,
    message: &'a str,
}

/// A page that says why there is none.
pub(crate) fn refusal(status: StatusCode, message: &str) -> Response {
    let status_number = status.as_u16();
    let mut response = page(&Refusal {
        status: status_number,
        message,
    });
    *response.status_mut() = status;
    response
}

fn missing(missing: &Missing) -> Response {
    refusal(missing.status(), &missing.to_string())
}

/// A column of the list.
struct Column {
    title: &'static str,
    key: SortKey,
    /// The query that sorts by it, or the other way round if it is sorted by already.
    query: String,
    sorted: Option<&'static str>,
    class: &'static str,
}

/// A run in the list.
struct Row {
    id: String,
    address: String,
    task: String,
    method: String,
    data: String,
    state: String,
    top1: String,
    top1_of: String,
    macs: String,
    params: String,
    percent: u32,
    time: String,
    changed: String,
    notes: usize,
}

/// What the list shows.
struct Rows {
    version: u64,
    columns: Vec<Column>,
    rows: Vec<Row>,
    found: usize,
    of: usize,
    reading: Option<(usize, usize)>,
    notes: Vec<String>,
    before: Option<String>,
    after: Option<String>,
    from: usize,
}

#[derive(Template)]
#[template(path = "rows.html")]
struct RowsPage {
    rows: Rows,
}

/// A choice of the form and what can be chosen.
struct Choice {
    name: &'static str,
    title: &'static str,
    values: Vec<(String, bool)>,
}

#[derive(Template)]
#[template(path = "runs.html")]
struct RunsPage {
    root: String,
    q: String,
    choices: Vec<Choice>,
    sort: &'static str,
    order: &'static str,
    rows: Rows,
}

pub(crate) async fn runs(State(app): State<Arc<App>>, Query(query): Query<ListQuery>) -> Response {
    let list = app.list();
    let filter = query.filter();
    let choice = |name, title, chosen: &Option<String>, of: fn(&Summary) -> Option<&str>| {
        let values: BTreeSet<&str> = list.runs.iter().filter_map(of).collect();
        let chosen = chosen.clone().unwrap_or_default();
        let values = values
            .into_iter()
            .map(|value| (value.to_owned(), value == chosen));
        Choice {
            name,
            title,
            values: values.collect(),
        }
    };
    let choices = vec![
        choice("state", "state", &filter.state, |run| Some(&run.state)),
        choice("task", "task", &filter.task, |run| Some(&run.task)),
        choice("method", "method", &filter.method, |run| {
            run.method.as_deref()
        }),
        choice("data", "data", &filter.data, |run| run.data.as_deref()),
    ];
    let order = query.order();
    page(&RunsPage {
        root: app.root.display().to_string(),
        q: filter.q.unwrap_or_default(),
        choices,
        sort: order.key.name(),
        order: direction(order.falling),
        rows: rows(&list, &query),
    })
}

pub(crate) async fn list(State(app): State<Arc<App>>, Query(query): Query<ListQuery>) -> Response {
    let rows = rows(&app.list(), &query);
    page(&RowsPage { rows })
}

fn direction(falling: bool) -> &'static str {
    if falling { "desc" } else { "asc" }
}

fn rows(list: &Listing, query: &ListQuery) -> Rows {
    let (filter, order) = (query.filter(), query.order());
    let found = filter.apply(&list.runs, order);
    let last = found.len().saturating_sub(1) / PAGE;
    let number = query.page.unwrap_or(0).min(last);
    let address = |order: Order, page: usize| {
        let mut query = form_urlencoded(&[
            ("q", filter.q.as_deref()),
            ("state", filter.state.as_deref()),
            ("task", filter.task.as_deref()),
            ("method", filter.method.as_deref()),
            ("data", filter.data.as_deref()),
        ]);
        query.push_str(&format!(
            "sort={}&order={}",
            order.key.name(),
            direction(order.falling)
        ));
        if page > 0 {
            query.push_str(&format!("&page={page}"));
        }
        query
    };
    let columns = [
        ("run", SortKey::Id, ""),
        ("task", SortKey::Task, ""),
        ("method", SortKey::Method, ""),
        ("data", SortKey::Data, ""),
        ("state", SortKey::State, ""),
        ("top-1", SortKey::Top1, "number"),
        ("MACs", SortKey::Macs, "number"),
        ("parameters", SortKey::Params, "number"),
        ("time", SortKey::Seconds, "number"),
        ("written", SortKey::Modified, "number"),
    ];
    let columns = columns.into_iter().map(|(title, key, class)| {
        let sorted = (order.key == key).then_some(order.falling);
        let next = match sorted {
            Some(falling) => Order {
                key,
                falling: !falling,
            },
            None => Order::by(key),
        };
        Column {
            title,
            key,
            query: address(next, 0),
            sorted: sorted.map(|falling| if falling { "descending" } else { "ascending" }),
            class,
        }
    });
    let from = number * PAGE;
    Rows {
        version: list.version,
        columns: columns.collect(),
        rows: found
            .iter()
            .skip(from)
            .take(PAGE)
            .map(|run| row(run))
            .collect(),
        found: found.len(),
        of: list.runs.len(),
        reading: list.reading,
        notes: list.notes.clone(),
        before: (number > 0).then(|| address(order, number - 1)),
        after: (number < last).then(|| address(order, number + 1)),
        from,
    }
}

fn form_urlencoded(pairs: &[(&str, Option<&str>)]) -> String {
    let given = pairs
        .iter()
        .filter_map(|(name, value)| Some((name, value.filter(|value| !value.is_empty())?)));
    given
        .map(|(name, value)| format!("{name}={}&", name_in_address(value)))
        .collect()
}

fn row(run: &Summary) -> Row {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let count = |value: Option<u64>| value.map_or_else(String::new, rounded_count);
    let time = run
        .seconds
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    Row {
        id: run.id.clone(),
        address: name_in_address(&run.id),
        task: run.task.clone(),
        method: text(&run.method),
        data: text(&run.data),
        state: run.state.clone(),
        top1: run
            .top1
            .map_or_else(String::new, |top1| format!("{top1:.2}%")),
        top1_of: text(&run.top1_of),
        macs: count(run.macs),
        params: count(run.params),
        percent: (100.0 * run.share_done.unwrap_or(0.0)).clamp(0.0, 100.0) as u32,
        time: time.map_or_else(String::new, duration),
        changed: run.modified.map_or_else(String::new, ago),
        notes: run.notes.len(),
    }
}

/// How long ago a time was, in seconds since 1970.
fn ago(modified: u64) -> String {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    match now.as_secs().saturating_sub(modified) {
        0..5 => "now".to_owned(),
        seconds => format!("{} ago", duration(Duration::from_secs(seconds))),
    }
}

#[derive(Template)]
#[template(path = "head.html")]
struct Head<'a> {
    view: &'a View,
    percent: Option<u32>,
}

/// What stands at the top of a run's page: state, numbers, notes.
pub(crate) fn head(view: &View) -> String {
    let running = view.summary.state == "running" || view.summary.state == "stopped";
    let share = view.summary.share_done.filter(|_| running);
    let percent = share.map(|share| (100.0 * share).clamp(0.0, 100.0) as u32);
    Head { view, percent }.render().unwrap_or_default()
}

#[derive(Template)]
#[template(path = "downloads.html")]
struct Downloads<'a> {
    view: &'a View,
    address: String,
    onnx: bool,
}

/// What of a run can be downloaded.
pub(crate) fn downloads(view: &View) -> String {
    let downloads = Downloads {
        view,
        address: name_in_address(&view.summary.id),
        onnx: view.files.contains(&"model.safetensors"),
    };
    downloads.render().unwrap_or_default()
}

#[derive(Template)]
#[template(path = "run.html")]
struct RunPage<'a> {
    id: &'a str,
    address: String,
    view: &'a View,
    parts: &'a [Part],
    head: String,
    downloads: String,
}

pub(crate) async fn run(State(app): State<Arc<App>>, Path(name): Path<String>) -> Response {
    let live = match app.live(crate::api::id(&name)).await {
        Ok(live) => live,
        Err(error) => return missing(&error),
    };
    let view = live.view();
    page(&RunPage {
        id: &view.summary.id,
        address: name_in_address(&view.summary.id),
        head: head(&view),
        downloads: downloads(&view),
        parts: &view.parts,
        view: &view,
    })
}

/// The run on one page that needs nothing else, to be kept or sent.
pub(crate) async fn report(State(app): State<Arc<App>>, Path(name): Path<String>) -> Response {
    let live = match app.live(crate::api::id(&name)).await {
        Ok(live) => live,
        Err(error) => return missing(&error),
    };
    let html = live.with(|run| {
        let report = Report {
            run,
            compared: &[],
            command: None,
        };
        report.html().map_err(|error| error.to_string())
    });
    match html.await {
        Some(Ok(html)) => {
            let mut response =
                ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], html).into_response();
            // It brings its own style, and needs nothing else.
            let policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'none'; base-uri 'none'";
            response.headers_mut().insert(
                header::CONTENT_SECURITY_POLICY,
                HeaderValue::from_static(policy),
            );
            response
        }
        Some(Err(error)) => refusal(StatusCode::INTERNAL_SERVER_ERROR, &error),
        None => missing(&Missing::Defect),
    }
}

#[derive(Template)]
#[template(path = "compare.html")]
struct ComparePage {
    runs: Vec<(String, String)>,
    notes: Vec<String>,
    html: String,
}

pub(crate) async fn compare(State(app): State<Arc<App>>, RawQuery(query): RawQuery) -> Response {
    let query = query.unwrap_or_default();
    let asked = query
        .split('&')
        .filter_map(|pair| pair.strip_prefix("run="));
    let mut ids: Vec<String> = Vec::new();
    for text in asked {
        let text = text.replace('+', " ");
        let id = percent_encoding::percent_decode_str(&text)
            .decode_utf8_lossy()
            .into_owned();
        if !ids.contains(&id) {
            ids.push(id);
        }
    }
    let mut notes = Vec::new();
    if ids.len() > MOST_COMPARED {
        notes.push(format!(
            "Of {} runs the first {MOST_COMPARED} are compared.",
            ids.len()
        ));
        ids.truncate(MOST_COMPARED);
    }
    let mut lives: Vec<(String, Arc<Live>)> = Vec::new();
    for id in ids {
        match app.live(&id).await {
            Ok(live) => lives.push((id, live)),
            Err(error) => notes.push(format!("{id}: {error}")),
        }
    }
    let runs = lives
        .iter()
        .map(|(id, _)| (id.clone(), name_in_address(id)))
        .collect();
    let drawn = tokio::task::spawn_blocking(move || {
        Live::together(&lives, |runs: &[(String, &RunRecord)]| {
            report::comparison(runs)
        })
    });
    let html = match drawn.await {
        Ok(Ok(section)) => section.map_or_else(String::new, |section| section.html),
        Ok(Err(error)) => {
            notes.push(format!("The charts cannot be drawn: {error}"));
            String::new()
        }
        Err(_) => return missing(&Missing::Defect),
    };
    page(&ComparePage { runs, notes, html })
}

pub(crate) async fn asset(Path(name): Path<String>) -> Response {
    let (kind, text) = match name.as_str() {
        "page.js" => (
            "text/javascript; charset=utf-8",
            include_str!("../assets/page.js").to_owned(),
        ),
        "page.css" => (
            "text/css; charset=utf-8",
            report::style() + include_str!("../assets/page.css"),
        ),
        _ => return refusal(StatusCode::NOT_FOUND, "There is no such file."),
    };
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

pub(crate) async fn icon() -> Response {
    let icon = include_str!("../assets/icon.svg");
    ([(header::CONTENT_TYPE, "image/svg+xml")], icon).into_response()
}
