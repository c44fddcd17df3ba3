//! Runs on a page, the command that repeats them, and files for TensorBoard.

use std::fs;

use crate::support::{Place, TINY, TINY_SEARCH};

/// The command that a page says repeats its run.
fn repeating(page: &str) -> String {
    let line = page.lines().find(|line| line.starts_with("<pre>creamery "));
    let line = line.unwrap_or_else(|| panic!("the page has no command:\n{page}"));
    let line = line.trim_start_matches("<pre>").trim_end_matches("</pre>");
    line.trim_start_matches("creamery ").to_owned()
}

fn event_files(place: &Place, run: &str) -> Vec<std::path::PathBuf> {
    let folder = place.path(run).join("tensorboard");
    let files = fs::read_dir(folder).into_iter().flatten();
    files.map(|file| file.unwrap().path()).collect()
}

#[test]
fn a_search_its_selection_and_its_retraining_can_be_repeated_from_their_pages() {
    let place = Place::with_digits();
    place.done(&format!(
        "-q search {TINY} {TINY_SEARCH} --tensorboard --out s"
    ));
    place.done("-q select s --selector random --set select.candidates=5 --set select.images=8 --out s/chosen");
    place.done("-q retrain s --init inherit --epochs 1 --batch 8 --out r");
    for run in ["s", "s/chosen", "r"] {
        assert_eq!(
            place.done(&format!("report {run}")),
            format!("{run}/report.html\n")
        );
        let page = String::from_utf8(place.read(&format!("{run}/report.html"))).unwrap();
        assert!(
            page.starts_with("<!DOCTYPE html>") && page.contains("Block by block"),
            "{run}"
        );
        assert!(!page.contains("What is missing here"), "{run}: {page}");
        place.done(&format!("-q {}", repeating(&page)));
        let [before, after] = [run.to_owned(), format!("{run}-again")].map(|run| {
            let mut result = place.json(&format!("{run}/result.json"));
            result.as_object_mut().unwrap().remove("timing").unwrap();
            // Where the first weights came from has the name of a copy now.
            result.as_object_mut().unwrap().remove("init");
            result
        });
        assert_eq!(before, after);
    }
    assert!(place.json("s/result.json")["timing"]["peak_memory_bytes"].is_u64());
    assert_eq!(event_files(&place, "s").len(), 1);
    assert!(event_files(&place, "r").is_empty());
    let answer = place.answer("report r --compare s s/chosen --tensorboard --out both.html");
    assert_eq!(answer["state"], "finished");
    assert_eq!(event_files(&place, "r").len(), 1);
    let both = String::from_utf8(place.read("both.html")).unwrap();
    assert!(both.contains("Comparison") && both.contains("Settings that differ:"));
}

#[test]
fn what_is_no_run_or_cannot_be_written_is_told() {
    let place = Place::with_digits();
    fs::create_dir(place.path("empty")).unwrap();
    place.refused(2, "report nowhere", &["nowhere"]);
    place.refused(2, "report empty", &["`empty` holds no run"]);
    place.misused("report empty --compare", "--compare");
    place.write("cut/metrics.jsonl", "{\"event\":\"step\",\"st");
    place.refused(
        1,
        "report cut --out no/such/folder.html",
        &["no/such/folder.html"],
    );
    let output = place.run("report cut/metrics.jsonl");
    assert_eq!(output.status.code(), Some(0));
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(
        errors.contains("note: metrics.jsonl: the last line is cut off"),
        "{errors}"
    );
    assert!(place.path("cut/report.html").exists());
}
