//! A run that is looked at: read again while it is written, drawn once for all who watch.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use creamery_view::record::{RecordError, RunRecord};
use creamery_view::report::Report;
use tokio::sync::watch;

use crate::summary::Summary;

/// How often a run is read while somebody watches it.
const READ_EVERY: Duration = Duration::from_millis(500);

/// How long a run that nobody looks at stays open.
const KEPT: Duration = Duration::from_secs(60);

/// A part of a run's page.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub(crate) id: &'static str,
    pub(crate) title: &'static str,
    /// Shared with the views before it for as long as it does not change.
    pub(crate) html: Arc<str>,
}

/// A run as its page shows it.
#[derive(Clone, Debug)]
pub(crate) struct View {
    /// Tells views apart, also those of servers before this one.
    pub(crate) version: String,
    pub(crate) summary: Summary,
    pub(crate) lead: String,
    pub(crate) tiles: Vec<(String, String)>,
    pub(crate) notes: Vec<String>,
    pub(crate) parts: Vec<Part>,
    /// What can be downloaded.
    pub(crate) files: Vec<&'static str>,
}

/// Files of a run that can be downloaded.
pub(crate) const FILES: [&str; 10] = [
    "result.json",
    "model.safetensors",
    "best.safetensors",
    "run.toml",
    "space.toml",
    "architecture.json",
    "board.json",
    "confusion.json",
    "evaluations.jsonl",
    "metrics.jsonl",
];

/// A run that is looked at.
pub(crate) struct Live {
    id: String,
    record: Mutex<RunRecord>,
    view: watch::Sender<Arc<View>>,
    /// When it was read, and when somebody asked for it.
    times: Mutex<(Instant, Instant)>,
}

impl Live {
    /// Opens a run's folder, which no link may lead out of `root`.
    pub(crate) fn open(id: &str, path: &Path, root: &Path) -> Result<Self, RecordError> {
        let record = RunRecord::read_within(path, root)?;
        let view = draw(id, &record, None);
        Ok(Self {
            id: id.to_owned(),
            record: Mutex::new(record),
            view: watch::Sender::new(Arc::new(view)),
            times: Mutex::new((Instant::now(), Instant::now())),
        })
    }

    /// Reads on for as long as somebody watches.
    pub(crate) async fn watch(live: Weak<Self>) {
        loop {
            tokio::time::sleep(READ_EVERY).await;
            let Some(live) = live.upgrade() else { return };
            if live.view.receiver_count() > 0 {
                let begun = Instant::now();
                live.look().await;
                // Runs that take long to draw are drawn less often.
                let rest = (3 * begun.elapsed()).min(Duration::from_secs(10));
                drop(live);
                tokio::time::sleep(rest).await;
            }
        }
    }

    /// Sees to it that what is shown is not old.
    pub(crate) async fn look(self: &Arc<Self>) {
        let now = Instant::now();
        {
            let mut times = self.times.lock().unwrap_or_else(PoisonError::into_inner);
            times.1 = now;
            if now.duration_since(times.0) < READ_EVERY / 2 {
                return;
            }
            times.0 = now;
        }
        let live = self.clone();
        // A defect in drawing leaves the last view.
        let _ = tokio::task::spawn_blocking(move || live.read()).await;
    }

    fn read(&self) {
        let mut record = self.record.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.view.borrow().clone();
        if !record.path().is_dir() {
            const GONE: &str = "The run's folder is gone; this is what it was.";
            if !before.notes.iter().any(|note| note == GONE) {
                let mut view = View::clone(&before);
                view.notes.push(GONE.to_owned());
                view.version = next_version();
                self.view.send_replace(Arc::new(view));
            }
        } else if record.update() {
            let view = draw(&self.id, &record, Some(&before));
            self.view.send_replace(Arc::new(view));
        }
    }

    /// What is shown now and from now on.
    pub(crate) fn views(&self) -> watch::Receiver<Arc<View>> {
        self.view.subscribe()
    }

    /// What is shown now.
    pub(crate) fn view(&self) -> Arc<View> {
        self.view.borrow().clone()
    }

    /// Works with what the folder tells.
    pub(crate) async fn with<R: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&RunRecord) -> R + Send + 'static,
    ) -> Option<R> {
        let live = self.clone();
        let work = move || work(&live.record.lock().unwrap_or_else(PoisonError::into_inner));
        tokio::task::spawn_blocking(work).await.ok()
    }

    /// Works with what several folders tell. They are locked in the order of their addresses, so that two such works never wait for each other.
    pub(crate) fn together<R>(
        lives: &[(String, Arc<Self>)],
        work: impl FnOnce(&[(String, &RunRecord)]) -> R,
    ) -> R {
        let mut order: Vec<usize> = (0..lives.len()).collect();
        order.sort_by_key(|&i| Arc::as_ptr(&lives[i].1));
        let mut locks: Vec<_> = (order.iter())
            .map(|&i| {
                (
                    i,
                    lives[i]
                        .1
                        .record
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner),
                )
            })
            .collect();
        locks.sort_by_key(|(i, _)| *i);
        let runs: Vec<_> = locks
            .iter()
            .map(|(i, run)| (lives[*i].0.clone(), &**run))
            .collect();
        work(&runs)
    }

    /// Since when nobody has looked at it; `None` if somebody watches.
    pub(crate) fn idle_since(&self) -> Option<Instant> {
        let asked = self.times.lock().unwrap_or_else(PoisonError::into_inner).1;
        (self.view.receiver_count() == 0).then_some(asked)
    }

    /// Whether nobody has looked at it for long.
    pub(crate) fn is_stale(&self) -> bool {
        self.idle_since()
            .is_some_and(|since| since.elapsed() > KEPT)
    }
}

fn next_version() -> String {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};
    use std::time::SystemTime;
    static STARTED: OnceLock<u128> = OnceLock::new();
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let since = || SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let started = STARTED.get_or_init(|| since().map_or(0, |time| time.as_millis()));
    format!("{started:x}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

fn draw(id: &str, record: &RunRecord, before: Option<&View>) -> View {
    let report = Report {
        run: record,
        compared: &[],
        command: None,
    };
    let summary = Summary::of(id, record);
    let (lead, tiles, mut notes, sections) = match report.parts() {
        Ok(parts) => (parts.lead, parts.tiles, parts.notes, parts.sections),
        Err(error) => {
            let lead = format!("{} · {}", record.task(), record.state().name());
            let notes = vec![format!("The charts cannot be drawn: {error}")];
            (
                lead,
                Vec::new(),
                [notes, record.notes()].concat(),
                Vec::new(),
            )
        }
    };
    notes.dedup();
    let parts = sections.into_iter().map(|section| {
        let known = before.and_then(|view| view.parts.iter().find(|part| part.id == section.id));
        let html = match known {
            Some(part) if *part.html == *section.html => part.html.clone(),
            _ => section.html.into(),
        };
        Part {
            id: section.id,
            title: section.title,
            html,
        }
    });
    View {
        version: next_version(),
        summary,
        lead,
        tiles,
        notes,
        parts: parts.collect(),
        files: FILES
            .into_iter()
            .filter(|name| record.file(name).is_some())
            .collect(),
    }
}
