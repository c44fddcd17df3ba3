//! The index, kept and made anew.

use std::fs;

use creamery_serve::{Index, Summary};

use crate::support::Runs;

fn read(runs: &Runs) -> (Index, bool) {
    let mut index = Index::open(runs.path()).unwrap();
    let changed = index.refresh(|_, _| {});
    (index, changed)
}

fn top1(index: &Index) -> Vec<(String, Option<f64>)> {
    index.runs().map(|run| (run.id.clone(), run.top1)).collect()
}

fn runs() -> Runs {
    let runs = Runs::new();
    runs.finished("a", "cream", 40.0);
    runs.finished("deep/in/b", "spos", 50.0);
    runs.stopped("deep/c");
    runs
}

#[test]
fn it_is_kept_and_follows_the_folders() {
    let runs = runs();
    let (index, changed) = read(&runs);
    assert!(changed);
    let found: Vec<Summary> = index.runs().cloned().collect();
    assert_eq!(
        found.iter().map(|run| run.id.as_str()).collect::<Vec<_>>(),
        ["a", "deep/c", "deep/in/b"]
    );
    assert_eq!(
        (found[1].state.as_str(), found[1].steps, found[1].share_done),
        ("stopped", Some(5), Some(0.125))
    );
    assert_eq!(found[0].architecture.as_deref(), Some("tiny-32@28:0/33/3"));
    drop(index);
    let kept: Vec<Summary> = Index::open(runs.path()).unwrap().runs().cloned().collect();
    assert_eq!(kept, found, "known before any folder is looked at");
    assert!(!read(&runs).1, "nothing has changed");

    runs.finished("a", "cream", 41.75);
    fs::remove_dir_all(runs.file("deep/in")).unwrap();
    let (index, changed) = read(&runs);
    assert!(changed);
    assert_eq!(
        top1(&index),
        [("a".into(), Some(41.75)), ("deep/c".into(), None)]
    );
}

#[test]
fn it_is_made_anew_when_missing_damaged_or_of_another_version() {
    let runs = runs();
    let expected = top1(&read(&runs).0);
    let file = runs.file(".index.sqlite");
    let whole = fs::read(&file).unwrap();
    let mut torn = whole.clone();
    torn[4096..].fill(0xAA);
    let mut other = whole.clone();
    // The version of the user's own, big-endian, in SQLite's header.
    other[60..64].copy_from_slice(&77u32.to_be_bytes());
    for bytes in [
        &b"no database at all"[..],
        &torn,
        &other,
        &whole[..5000],
        b"",
    ] {
        fs::write(&file, bytes).unwrap();
        assert_eq!(top1(&read(&runs).0), expected);
        assert_eq!(
            top1(&Index::open(runs.path()).unwrap()),
            expected,
            "kept again"
        );
    }
    fs::remove_file(&file).unwrap();
    assert_eq!(top1(&read(&runs).0), expected);
}

#[test]
fn where_it_cannot_be_kept_it_works_nevertheless() {
    let runs = runs();
    fs::create_dir(runs.file(".index.sqlite")).unwrap();
    assert_eq!(read(&runs).0.runs().count(), 3);
    assert!(Index::open(&runs.file("nowhere")).is_err());
}

#[test]
fn two_may_use_it_at_a_time() {
    let runs = runs();
    let (mut one, _) = read(&runs);
    let (mut two, _) = read(&runs);
    runs.finished("d", "cream", 60.0);
    assert!(one.refresh(|_, _| {}) && two.refresh(|_, _| {}));
    assert_eq!(top1(&one), top1(&two));
}
