//! The command that does a run once more.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use creamery_space::Space;
use creamery_view::record::RunRecord;

use crate::recorded::LATENCY_TABLE;
use crate::run_folder::{INHERITED, TEACHER};
use crate::shell::quoted;

/// The command that does a run once more, in a folder of its own, from what its folder keeps. `None` if that is not
/// enough, or if the run is one of many that belong together.
pub(crate) fn command(run: &RunRecord) -> Option<String> {
    run.config()?;
    let folder = run.path();
    let mut words = vec!["creamery".to_owned()];
    let option = |name: &str, path: PathBuf| format!("{name} {}", quoted(&path));
    let settings = option("--config", folder.join("run.toml"));
    match run.task() {
        "search" => {
            words.extend(["search".to_owned(), settings]);
            let named = run.setting("space").and_then(|space| space.as_str());
            // The folder has a copy of a space that is the user's own.
            if named.is_some_and(|name| Space::builtin(name).is_none()) {
                words.push(option("--space", folder.join("space.toml")));
            }
            if run.setting("latency_table").is_some() {
                words.push(option("--latency-table", folder.join(LATENCY_TABLE)));
            }
        }
        "retrain" => {
            let architecture = folder.join("architecture.json");
            words.extend(["retrain".to_owned(), quoted(&architecture), settings]);
            for (flag, kept) in [("--init", INHERITED), ("--teacher", TEACHER)] {
                let kept = folder.join(kept);
                if kept.is_file() {
                    words.push(option(flag, kept));
                }
            }
        }
        "select" => {
            let search = folder
                .parent()
                .filter(|above| above.join("checkpoint").is_dir())?;
            words.extend(["select".to_owned(), quoted(search), settings]);
        }
        _ => return None,
    }
    words.push(option("--out", again(folder)));
    Some(words.join(" "))
}

/// The folder's name with `-again` at its end.
fn again(folder: &Path) -> PathBuf {
    let mut name = folder
        .file_name()
        .map_or_else(OsString::new, OsString::from);
    name.push("-again");
    folder.with_file_name(name)
}
