//! The runs below a folder.

use std::fs;
use std::path::{Path, PathBuf};

use creamery_view::record::is_run;

/// Folders within folders that are looked into, at most.
const MAX_DEPTH: usize = 8;

/// Folders that are looked into, at most.
const MAX_FOLDERS: usize = 200_000;

/// A run's folder and the name that it goes by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The path below the folder of runs, with `/` between its parts; `.` for that folder itself.
    pub(crate) id: String,
    pub(crate) path: PathBuf,
}

/// The runs, by name, and what was left out. Links to folders are not followed: they may lead out or in circles.
pub(crate) fn discover(root: &Path) -> (Vec<Place>, Vec<String>) {
    let (mut runs, mut notes) = (Vec::new(), Vec::new());
    let mut waiting = vec![(root.to_owned(), String::new(), 0)];
    let mut looked_into = 0;
    while let Some((path, id, depth)) = waiting.pop() {
        looked_into += 1;
        if looked_into > MAX_FOLDERS {
            notes.push(format!(
                "only the first {MAX_FOLDERS} folders were looked into"
            ));
            break;
        }
        if is_run(&path) {
            let id = if id.is_empty() { "." } else { &id };
            runs.push(Place {
                id: id.to_owned(),
                path: path.clone(),
            });
        }
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) => {
                let name = if id.is_empty() { "the folder" } else { &id };
                notes.push(format!("{name} cannot be looked into: {error}"));
                continue;
            }
        };
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if !is_folder || name.starts_with('.') || name == "checkpoint" {
                continue;
            }
            let id = match id.as_str() {
                "" => name,
                above => format!("{above}/{name}"),
            };
            if depth + 1 > MAX_DEPTH {
                notes.push(format!("{id} lies too deep to be looked into"));
            } else {
                waiting.push((entry.path(), id, depth + 1));
            }
        }
    }
    runs.sort_by(|a, b| a.id.cmp(&b.id));
    (runs, notes)
}
