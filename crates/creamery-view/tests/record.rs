//! Runs read from their folders: whole, growing, resumed, cut off, damaged, of other versions, hostile.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use creamery_space::{Architecture, Cost};
use creamery_train::RunFolder;
use creamery_train::event::{BoardRow, Event, Images, Teacher};
use creamery_view::record::{RecordError, RunRecord, RunState};

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("run.toml", "method = \"cream\"\n[train]\nlr = 0.1\n");
        folder
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.file(name), bytes).unwrap();
    }

    fn add(&self, bytes: impl AsRef<[u8]>) {
        let mut file = fs::File::options();
        let mut file = file
            .append(true)
            .create(true)
            .open(self.file("metrics.jsonl"))
            .unwrap();
        file.write_all(bytes.as_ref()).unwrap();
    }

    fn read(&self) -> RunRecord {
        RunRecord::read(self.path()).unwrap()
    }
}

fn line(event: &Event) -> String {
    serde_json::to_string(event).unwrap() + "\n"
}

fn started(step: u64) -> String {
    line(&Event::Started {
        task: "search".into(),
        epochs: 4,
        steps_per_epoch: 10,
        batch: 50,
        step,
        images: Images {
            train: 500,
            validation: 100,
            test: 10,
        },
    })
}

fn step(step: u64, teacher: Option<Teacher>) -> String {
    line(&Event::Step {
        step,
        epoch: step / 10,
        loss: 2.0 - step as f64 / 100.0,
        top1: 50.0,
        lr: 0.05,
        grad_norm: 1.0,
        macs: 5_000_000,
        teacher,
    })
}

fn path_of(op: i8) -> Architecture {
    Architecture::new("tiny-32", 28, vec![vec![op], vec![0], vec![0]])
}

fn row(op: i8, score: f64, entered: u64, taught: u64) -> BoardRow {
    BoardRow {
        architecture: path_of(op),
        score,
        cost: Cost {
            macs: 1_000_000 + op as u64,
            ..Cost::default()
        },
        entered,
        taught,
        bucket: 0,
    }
}

fn board(step: u64, board: Vec<BoardRow>) -> String {
    line(&Event::Board { step, board })
}

fn teacher(rank: usize) -> Option<Teacher> {
    Some(Teacher { rank, rho: 0.25 })
}

#[test]
fn a_running_run_grows_and_a_finished_one_has_its_result() {
    let folder = Folder::new();
    let path = folder.file("run");
    let work = RunFolder::create(&path, "method = \"cream\"\n").unwrap();
    let metrics = path.join("metrics.jsonl");
    fs::write(&metrics, started(0) + &step(0, None)).unwrap();
    let mut run = RunRecord::read(&path).unwrap();
    assert_eq!((run.state(), run.history().steps), (RunState::Running, 1));
    assert!(!run.update(), "nothing was added");
    let half = step(1, None);
    fs::write(&metrics, started(0) + &step(0, None) + &half[..20]).unwrap();
    run.update();
    assert!(run.notes().is_empty(), "it is being written");
    fs::write(
        &metrics,
        started(0) + &step(0, None) + &half + &step(2, None),
    )
    .unwrap();
    assert!(run.update());
    assert_eq!(run.history().steps, 3);
    assert_eq!(run.history().share_done(), Some(3.0 / 40.0));
    assert_eq!(run.task(), "search");
    work.write_json("result.json", &serde_json::json!({"kind": "search"}))
        .unwrap();
    drop(work);
    assert!(run.update());
    assert_eq!(run.state(), RunState::Finished);
    assert_eq!(run.result().unwrap()["kind"], "search");
    work_goes_on_while_asked(&path);
}

/// A run that starts while its folder is watched never finds it in use.
fn work_goes_on_while_asked(path: &Path) {
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                RunFolder::is_held(path);
            }
        });
        let starts = (0..50).map(|_| RunFolder::resume(path).map(drop));
        let failed = starts.filter(Result::is_err).count();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(failed, 0);
    });
}

#[test]
fn a_resumed_run_is_read_anew() {
    let folder = Folder::new();
    folder.add(started(0) + &(0..20).map(|i| step(i, None)).collect::<String>());
    let mut run = folder.read();
    assert_eq!(run.history().loss.buckets().len(), 20);
    let cut: String = started(0) + &(0..10).map(|i| step(i, None)).collect::<String>();
    folder.write("metrics.jsonl", &cut);
    assert!(run.update());
    assert_eq!(run.history().steps, 10);
    folder.write(
        "metrics.jsonl",
        cut + &started(10) + &(10..30).map(|i| step(i, None)).collect::<String>(),
    );
    assert!(run.update());
    let history = run.history();
    assert_eq!(
        (history.steps, history.resumed, history.loss.buckets().len()),
        (30, 1, 30)
    );
    fs::remove_file(folder.file("metrics.jsonl")).unwrap();
    assert!(run.update());
    assert_eq!(run.history().steps, 0);
}

#[test]
fn the_board_knows_who_stayed_and_who_taught_whom() {
    let folder = Folder::new();
    folder.add(
        [
            started(0),
            board(0, vec![row(1, 50.0, 0, 0)]),
            step(0, None),
            board(3, vec![row(2, 60.0, 3, 0), row(1, 50.0, 0, 1)]),
            // Rank 0 is of the board as it was before the step's own path entered.
            step(3, teacher(0)),
            step(4, teacher(0)),
            step(5, teacher(1)),
            // The end of an epoch: scored again, and one leaves.
            board(10, vec![row(2, 61.0, 3, 1)]),
            step(10, teacher(0)),
        ]
        .concat(),
    );
    let run = folder.read();
    let history = run.history();
    let [one, two] = history.board.tenures() else {
        panic!("two paths were on the board")
    };
    assert_eq!(
        (&one.architecture, one.left, one.taught),
        (&path_of(1), Some(10), 2)
    );
    assert_eq!(
        (&two.architecture, two.left, two.taught),
        (&path_of(2), None, 2)
    );
    assert_eq!((one.teacher, two.teacher), (None, Some(0)));
    assert_eq!(
        two.scores
            .buckets()
            .iter()
            .map(|b| b.mean)
            .collect::<Vec<_>>(),
        [60.0, 61.0]
    );
    assert_eq!(history.board.current().len(), 1);
    assert!(run.notes().is_empty(), "{:?}", run.notes());
}

#[test]
fn a_board_with_any_number_of_entries_is_bounded() {
    let folder = Folder::new();
    let mut text = started(0);
    for i in 0..20_000u64 {
        // The first stays; each other leaves when the next comes.
        text += &board(
            i,
            vec![row(1, 90.0, 0, 0), row((i % 100) as i8, 60.0, i, 0)],
        );
    }
    folder.add(text);
    let run = folder.read();
    let board = &run.history().board;
    assert!(board.tenures().len() <= 4100 && board.dropped() > 10_000);
    assert!(
        board
            .tenures()
            .iter()
            .any(|t| t.entered == 0 && t.left.is_none())
    );
    assert_eq!(board.current().len(), 2);
    assert_eq!(board.changes(), 20_000);
}

#[test]
fn what_cannot_be_understood_is_left_out_and_told() {
    let folder = Folder::new();
    folder.add(started(0) + &step(0, None));
    folder.add(
        "not json\n{\"event\":\"step\",\"step\":-1}\n\n[1,2]\n{\"event\":\"step\",\"step\":1e99}\n",
    );
    folder.add("\u{0}\u{ff}\n");
    folder.add(b"\xff\xfe\n");
    folder.add(format!("{}\n", "[".repeat(100_000)));
    folder.add("{\"event\":\"sparkle\",\"x\":[{}]}\n{\"x\":1,\"event\":\"glitter\"}\n");
    // Of another version: fields are missing, others new, the kind is not first.
    folder.add("{\"loss\":null,\"event\":\"step\",\"step\":1,\"macs\":7,\"colour\":\"red\"}\n");
    folder.add("{\"event\":\"step\",\"step\":2,\"lo");
    let run = folder.read();
    let history = run.history();
    assert_eq!((history.steps, history.events), (2, 3));
    let notes = run.notes().join("\n");
    for part in [
        "cut off",
        "8 lines were not understood (the first is line 3)",
        "`glitter`, `sparkle`",
        "not finite",
    ] {
        assert!(notes.contains(part), "{part}: {notes}");
    }
}

#[test]
fn damaged_files_are_told_and_the_rest_is_there() {
    let folder = Folder::new();
    folder.add(started(0));
    folder.write("run.toml", "method = ");
    folder.write("space.toml", [0xff]);
    folder.write("result.json", "{\"kind\": \"sea");
    folder.write(
        "confusion.json",
        r#"{"classes":["a"],"images":[1,2],"counts":[[1]]}"#,
    );
    let run = folder.read();
    assert!(run.config().is_none() && run.result().is_none() && run.confusion().is_none());
    assert_eq!(run.task(), "search");
    let notes = run.notes();
    for name in ["run.toml", "space.toml", "result.json", "confusion.json"] {
        assert!(
            notes.iter().any(|note| note.contains(name)),
            "{name}: {notes:?}"
        );
    }
    folder.write("result.json", r#"{"kind": "search", "top1": 3}"#);
    let mut run = run;
    assert!(run.update());
    assert_eq!(run.state(), RunState::Finished);
}

#[test]
fn a_selection_is_read_from_its_evaluations() {
    let folder = Folder::new();
    folder.write(
        "evaluations.jsonl",
        concat!(
            r#"{"identity":{"step":"843"}}"#, "\n",
            r#"{"architecture":{"space":"tiny-32","resolution":28,"choices":[[0],[3],[3]]},"macs":1741296,"params":133514,"flops_thop":1882144,"top1":58.35}"#, "\n",
            r#"{"architecture":{"space":"#,
        ),
    );
    let run = folder.read();
    assert_eq!(run.history().evaluations.kept().len(), 1);
    assert_eq!(run.notes(), ["evaluations.jsonl: the last line is cut off"]);
}

#[test]
fn other_folders_are_no_runs() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(
        RunRecord::read(folder.path()),
        Err(RecordError::NoRun(_))
    ));
    assert!(matches!(
        RunRecord::read(&folder.path().join("no")),
        Err(RecordError::Io { .. })
    ));
}

#[cfg(unix)]
#[test]
fn links_do_not_lead_out_and_pipes_do_not_wait() {
    use std::os::unix::fs::symlink;
    let runs = tempfile::tempdir().unwrap();
    let secret = tempfile::tempdir().unwrap();
    fs::write(secret.path().join("run.toml"), "secret = 1\n").unwrap();
    let run = runs.path().join("run");
    fs::create_dir(&run).unwrap();
    fs::write(run.join("metrics.jsonl"), started(0)).unwrap();
    symlink(secret.path().join("run.toml"), run.join("run.toml")).unwrap();
    symlink(secret.path(), runs.path().join("other")).unwrap();
    let made = std::process::Command::new("mkfifo")
        .arg(run.join("lock"))
        .arg(run.join("result.json"))
        .status();
    assert!(made.unwrap().success());

    let record = RunRecord::read_within(&run, runs.path()).unwrap();
    assert!(record.config().is_none() && record.history().start.is_some());
    assert!(
        record.notes().iter().any(|note| note.contains("leads out")),
        "{:?}",
        record.notes()
    );
    assert_eq!(record.state(), RunState::Unknown);
    assert!(RunRecord::read_within(&runs.path().join("other"), runs.path()).is_err());
    // Who reads a run of his own follows his own links.
    assert!(RunRecord::read(&run).unwrap().setting("secret").is_some());
}
