//! Evaluations that outlive the process.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::AtomicBool;

use creamery_search::select::{
    EvaluationLog, Halt, LogError, Recorded, Scored, Selected, Selector,
};
use creamery_space::Space;
use creamery_train::event::{Event, Events, Observer};
use creamery_train::{Identity, TrainError};

use crate::table::{Table, algorithms, all_paths, buckets, cost, few, pool, smaller, tiny};

fn identity(images: usize) -> Identity {
    let parts = [("images", images.to_string()), ("step", "7".into())];
    Identity(BTreeMap::from(
        parts.map(|(what, value)| (what.into(), value)),
    ))
}

/// Keeps what it sees.
#[derive(Clone, Default)]
struct Seen(Rc<RefCell<Vec<Event>>>);

impl Observer for Seen {
    fn observe(&mut self, event: &Event) {
        self.0.borrow_mut().push(event.clone());
    }
}

/// A selection with a log, as a process makes it, that may stop after some evaluations; with how many it made
/// and what it told.
fn select(
    selector: &dyn Selector,
    space: &Space,
    log: &Path,
    left: usize,
) -> (Result<Selected, Halt>, usize, Vec<Event>) {
    let pool = pool(space, &buckets(2_000_000, 5_000_000, 2), 1);
    let mut table = Table::new(space, 1);
    table.left = left;
    let (seen, mut events) = (Seen::default(), Events::default());
    events.add(seen.clone());
    let mut recorded = Recorded {
        inner: &mut table,
        log: EvaluationLog::open(log, &identity(5)).unwrap(),
        candidates: pool.whole(),
        of: selector.evaluations(&pool),
        events: &mut events,
        stop: &AtomicBool::new(false),
        asked: HashSet::new(),
    };
    let selected = selector.select(&pool, &mut recorded);
    let told = seen.0.borrow().clone();
    (selected, table.asked.len(), told)
}

/// Killed again and again, once in the middle of a line: the same winners, and the same file.
#[test]
fn a_selection_that_was_killed_ends_as_if_nothing_had_happened() {
    let folder = tempfile::tempdir().unwrap();
    for (name, selector) in algorithms(&few()) {
        let at = |part: &str| folder.path().join(format!("{name}-{part}.jsonl"));
        let space = tiny();
        let (expected, all, told) = select(selector.as_ref(), &space, &at("whole"), usize::MAX);
        let expected = expected.unwrap();
        let mut done = 0;
        for left in [0, 1, 40, 30] {
            let (stopped, made, _) = select(selector.as_ref(), &space, &at("parts"), left);
            assert!(matches!(stopped, Err(Halt::Stopped)));
            assert_eq!(made, left);
            done += made;
            let mut bytes = std::fs::read(at("parts")).unwrap();
            bytes.extend_from_slice(b"{\"architecture\":{\"spa");
            std::fs::write(at("parts"), bytes).unwrap();
        }
        let (found, made, again) = select(selector.as_ref(), &space, &at("parts"), usize::MAX);
        assert_eq!(found.unwrap(), expected, "{name}");
        assert_eq!(made + done, all, "{name}: nothing is evaluated twice");
        let known = again
            .iter()
            .filter(|event| matches!(event, Event::Evaluated { known: true, .. }));
        assert_eq!(known.count(), done);
        let written = |told: &[Event]| serde_json::to_string(told).unwrap();
        assert_eq!(
            written(&again),
            written(&told),
            "a resumed selection tells all"
        );
        let read = |part| std::fs::read_to_string(at(part)).unwrap();
        assert_eq!(read("parts"), read("whole"), "{name}");
        assert_eq!(read("whole").lines().count(), 1 + all);

        let counts = told.iter().map(|event| match event {
            Event::Evaluated { done, of, .. } => (*done, *of),
            other => panic!("{other:?}"),
        });
        let pool = pool(&space, &buckets(2_000_000, 5_000_000, 2), 1);
        let of = selector.evaluations(&pool);
        assert!(counts.eq((1..=all).map(|done| (done, of))));
    }
}

#[test]
fn a_stopped_selection_evaluates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let space = smaller(2, 1);
    let pool = pool(&space, &Default::default(), 0);
    let mut table = Table::new(&space, 0);
    let mut recorded = Recorded {
        inner: &mut table,
        log: EvaluationLog::open(&folder.path().join("e.jsonl"), &identity(5)).unwrap(),
        candidates: pool.whole(),
        of: 1,
        events: &mut Events::default(),
        stop: &AtomicBool::new(true),
        asked: HashSet::new(),
    };
    let (_, selector) = algorithms(&few()).remove(0);
    let stopped = selector.select(&pool, &mut recorded);
    assert!(matches!(stopped, Err(Halt::Stopped)) && table.asked.is_empty());
}

#[test]
fn evaluations_come_back_and_those_of_another_supernet_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("evaluations.jsonl");
    let space = smaller(2, 1);
    let architecture = all_paths(&space).remove(0);
    let scored = Scored {
        cost: cost(&space, &architecture),
        architecture,
        // A score that only exact reading gives back.
        top1: 100.0 / 3.0,
    };
    let mut log = EvaluationLog::open(&path, &identity(5)).unwrap();
    assert_eq!(log.get(&scored.architecture), None);
    log.add(&scored).unwrap();
    let log = EvaluationLog::open(&path, &identity(5)).unwrap();
    assert_eq!(log.get(&scored.architecture), Some(scored.top1));

    let before = std::fs::read(&path).unwrap();
    let error = EvaluationLog::open(&path, &identity(6)).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("images `5`") && text.contains("`6`") && text.contains("--out"),
        "{text}"
    );
    assert!(TrainError::from(error).is_usage());
    assert_eq!(
        std::fs::read(&path).unwrap(),
        before,
        "the file is as it was"
    );
}

#[test]
fn a_log_that_was_cut_anywhere_is_gone_on_with_and_a_damaged_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("evaluations.jsonl");
    let space = smaller(2, 1);
    let paths = all_paths(&space);
    let scored = paths.iter().map(|architecture| Scored {
        architecture: architecture.clone(),
        cost: cost(&space, architecture),
        top1: 50.0,
    });
    let fill = || {
        let mut log = EvaluationLog::open(&path, &identity(5)).unwrap();
        for scored in scored.clone() {
            if log.get(&scored.architecture).is_none() {
                log.add(&scored).unwrap();
            }
        }
        std::fs::read(&path).unwrap()
    };
    let whole = fill();
    for length in 0..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        assert!(fill() == whole, "cut at {length}");
    }
    for (from, to, line) in [
        ("identity", "ident", 1),
        ("top1", "top2", 2),
        ("{", "\u{1}", 1),
    ] {
        let text = String::from_utf8(whole.clone())
            .unwrap()
            .replacen(from, to, 1);
        std::fs::write(&path, text).unwrap();
        let error = EvaluationLog::open(&path, &identity(5)).unwrap_err();
        assert!(
            matches!(error, LogError::Damaged { line: found, .. } if found == line),
            "{error}"
        );
        assert!(!TrainError::from(error).is_usage());
    }
    std::fs::write(&path, b"\xff\xfe\n").unwrap();
    let error = EvaluationLog::open(&path, &identity(5))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("line 1") && error.contains("delete the file"),
        "{error}"
    );
}
