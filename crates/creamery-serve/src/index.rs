//! The index of runs: what is known of each, kept from one time to the next.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use creamery_train::RunFolder;
use creamery_view::record::{RunRecord, RunState};
use rusqlite::{Connection, params};

use crate::discover::{Place, discover};
use crate::summary::Summary;

/// The file in the folder of runs.
const FILE: &str = ".index.sqlite";

/// Of which form the index is; another's is made anew.
const VERSION: i64 = 1;

/// Unfinished runs that are kept open, so that only what was added to them is read; at most.
const MOST_OPEN: usize = 32;

/// Why there is no index.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The folder of runs cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// SQLite does not work at all, not even in memory.
    #[error("the index of runs cannot be made: {0}")]
    Sqlite(#[from] rusqlite::Error),
}

/// What is known of the runs below a folder.
///
/// It is kept in the file `.index.sqlite` there, or in memory where that cannot be written. The folders are what counts: an entry is
/// made anew when its run's files have changed, and the whole index when it is missing, damaged or of another version.
#[derive(Debug)]
pub struct Index {
    root: PathBuf,
    database: Connection,
    entries: Vec<Entry>,
    open: HashMap<String, RunRecord>,
    notes: Vec<String>,
}

#[derive(Clone, Debug)]
struct Entry {
    place: Place,
    /// When the run's files were written and how long they are.
    stamp: String,
    has_result: bool,
    summary: Summary,
}

impl Index {
    /// The index of the runs below a folder, as it was kept; [`refresh`](Self::refresh) looks at the folders.
    ///
    /// # Errors
    /// If the folder cannot be read.
    pub fn open(root: &Path) -> Result<Self, IndexError> {
        let io = |source| IndexError::Io {
            path: root.to_owned(),
            source,
        };
        let root = fs::canonicalize(root).map_err(io)?;
        fs::read_dir(&root).map_err(io)?;
        let database = match kept(&root.join(FILE)) {
            Some(database) => database,
            None => {
                let database = Connection::open_in_memory()?;
                prepare(&database)?;
                database
            }
        };
        let mut index = Self {
            root,
            database,
            entries: Vec::new(),
            open: HashMap::new(),
            notes: Vec::new(),
        };
        index.load()?;
        Ok(index)
    }

    fn load(&mut self) -> rusqlite::Result<()> {
        let mut query = self
            .database
            .prepare("SELECT id, stamp, has_result, summary FROM runs ORDER BY id")?;
        let rows = query.query_map([], |row| {
            let text: String = row.get(3)?;
            Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?, text))
        })?;
        for row in rows {
            let (id, stamp, has_result, text) = row?;
            let Ok(summary) = serde_json::from_str(&text) else {
                continue;
            };
            let path = match id.as_str() {
                "." => self.root.clone(),
                id => self.root.join(id),
            };
            let place = Place { id, path };
            self.entries.push(Entry {
                place,
                stamp,
                has_result,
                summary,
            });
        }
        Ok(())
    }

    /// Looks at the folders and reads what has changed; whether anything has. `progress` is told how many runs of how many have
    /// been looked at.
    pub fn refresh(&mut self, mut progress: impl FnMut(usize, usize)) -> bool {
        let (places, notes) = discover(&self.root);
        let mut before: HashMap<String, Entry> = (self.entries.drain(..))
            .map(|entry| (entry.place.id.clone(), entry))
            .collect();
        let mut changed = std::mem::replace(&mut self.notes, notes) != self.notes;
        let mut written = Vec::new();
        let all = places.len();
        for (done, place) in places.into_iter().enumerate() {
            progress(done, all);
            let held = RunFolder::is_held(&place.path);
            let stamp = stamp(&place.path);
            let known = before
                .remove(&place.id)
                .filter(|entry| entry.stamp == stamp);
            let entry = match known {
                Some(mut entry) => {
                    entry.place = place;
                    let state = RunState::of(held, entry.has_result).name();
                    if entry.summary.state != state {
                        entry.summary.state = state.to_owned();
                        changed = true;
                    }
                    if held != Some(true) {
                        self.open.remove(&entry.place.id);
                    }
                    entry
                }
                None => {
                    let Some(entry) = self.read(place, stamp) else {
                        continue;
                    };
                    changed = true;
                    written.push(self.entries.len());
                    entry
                }
            };
            self.entries.push(entry);
        }
        changed |= !before.is_empty();
        let gone: Vec<String> = before.into_keys().collect();
        gone.iter().for_each(|id| drop(self.open.remove(id)));
        // An index that cannot be kept is made anew the next time.
        let _ = self.keep(&written, &gone);
        changed
    }

    /// Reads a run. One that vanished meanwhile is none.
    fn read(&mut self, place: Place, stamp: String) -> Option<Entry> {
        let record = match self.open.remove(&place.id) {
            Some(mut record) => {
                record.update();
                record
            }
            None => RunRecord::outline_within(&place.path, &self.root).ok()?,
        };
        let summary = Summary::of(&place.id, &record);
        let has_result = record.result().is_some();
        if record.state() == RunState::Running && self.open.len() < MOST_OPEN {
            self.open.insert(place.id.clone(), record);
        }
        Some(Entry {
            place,
            stamp,
            has_result,
            summary,
        })
    }

    fn keep(&mut self, written: &[usize], gone: &[String]) -> rusqlite::Result<()> {
        if written.is_empty() && gone.is_empty() {
            return Ok(());
        }
        let transaction = self.database.transaction()?;
        {
            let mut add = transaction.prepare(
                "INSERT OR REPLACE INTO runs (id, stamp, has_result, summary) VALUES (?1, ?2, ?3, ?4)",
            )?;
            for entry in written.iter().map(|&i| &self.entries[i]) {
                let text = serde_json::to_string(&entry.summary).expect("summaries are plain data");
                add.execute(params![entry.place.id, entry.stamp, entry.has_result, text])?;
            }
            let mut remove = transaction.prepare("DELETE FROM runs WHERE id = ?1")?;
            for id in gone {
                remove.execute([id])?;
            }
        }
        transaction.commit()
    }

    /// The folder of runs.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What is known of each run, by name.
    pub fn runs(&self) -> impl Iterator<Item = &Summary> {
        self.entries.iter().map(|entry| &entry.summary)
    }

    /// What is known of each run, with its folder.
    pub(crate) fn places(&self) -> impl Iterator<Item = (&Summary, &Path)> {
        self.entries
            .iter()
            .map(|entry| (&entry.summary, entry.place.path.as_path()))
    }

    /// What was left out, in sentences.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }
}

/// The kept index; `None` if there can be none.
fn kept(path: &Path) -> Option<Connection> {
    // A link, or anything else of that name, is not ours.
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => return None,
        _ => {}
    }
    let open = || -> rusqlite::Result<Connection> {
        let database = Connection::open(path)?;
        database.busy_timeout(Duration::from_secs(2))?;
        // It can always be made anew, so no one waits for a disk.
        database.pragma_update(None, "synchronous", "OFF")?;
        let version: i64 = database.query_row("PRAGMA user_version", [], |row| row.get(0))?;
        if version != VERSION {
            return Err(rusqlite::Error::InvalidQuery);
        }
        // Damage shows only where it is looked at.
        database.query_row(
            "SELECT count(id) + total(length(summary)) FROM runs",
            [],
            |_| Ok(()),
        )?;
        Ok(database)
    };
    if let Ok(database) = open() {
        return Some(database);
    }
    if path.exists() {
        fs::remove_file(path).ok()?;
    }
    let database = Connection::open(path).ok()?;
    database.busy_timeout(Duration::from_secs(2)).ok()?;
    prepare(&database).ok()?;
    Some(database)
}

fn prepare(database: &Connection) -> rusqlite::Result<()> {
    database.execute_batch(&format!(
        "CREATE TABLE IF NOT EXISTS runs (id TEXT PRIMARY KEY, stamp TEXT NOT NULL, has_result INTEGER NOT NULL, summary TEXT NOT NULL);
         PRAGMA user_version = {VERSION};"
    ))
}

fn stamp(path: &Path) -> String {
    use std::fmt::Write;
    let mut stamp = String::new();
    for name in [
        "run.toml",
        "metrics.jsonl",
        "evaluations.jsonl",
        "result.json",
    ] {
        match fs::metadata(path.join(name)) {
            Ok(found) => {
                let time = found
                    .modified()
                    .ok()
                    .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
                let nanos = time.map_or(0, |time| time.as_nanos());
                let _ = write!(stamp, "{nanos}:{};", found.len());
            }
            Err(_) => stamp.push_str("-;"),
        }
    }
    stamp
}
