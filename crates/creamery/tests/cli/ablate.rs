//! `creamery ablate`: tables that are run, killed, extended, refused.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::Place;

/// Two rows of searches of twelve steps on 48 images; the second row's winner is used as it is.
const TABLE: &str = r#"
name = "two teachers"
seeds = [0, 1]
[search]
data = { source = "mnist:digits", validation = 0.2 }
budget.max_macs = "3M"
[search.train]
epochs = 2
batch = 8
checkpoint_seconds = 0
[search.cream]
warmup_epochs = 0
board = 3
anchors = 4
tau = 3
confirm_images = 8
calibration_images = 8
[retrain.train]
epochs = 1
batch = 8
checkpoint_seconds = 0
[[rows]]
name = "no teacher"
search.cream.matching = "none"
[[rows]]
name = "Meta, as it is"
about = "the whole method"
retrain = false
"#;

fn with_table(text: &str) -> Place {
    let place = Place::with_digits();
    place.write("table.toml", text);
    place
}

/// A table without what the clock decides.
fn without_times(mut table: Value) -> Value {
    for row in table["rows"].as_array_mut().unwrap() {
        for time in ["search_ms_per_step", "seconds"] {
            assert!(row[time]["mean"].as_f64().unwrap() > 0.0, "{row}");
            row[time].take();
        }
        for cell in row["cells"].as_array_mut().unwrap() {
            for time in ["search_ms_per_step", "search_seconds", "retrain_seconds"] {
                cell[time].take();
            }
        }
    }
    table
}

/// When a file was last written, for those that must not be written again.
fn written(place: &Place, name: &str) -> std::time::SystemTime {
    let path = place.path(name);
    std::fs::metadata(path).unwrap().modified().unwrap()
}

fn mean_and_sd(numbers: &[f64]) -> (f64, f64) {
    let [a, b] = numbers else {
        panic!("{numbers:?}")
    };
    ((a + b) / 2.0, (a - b).abs() / 2f64.sqrt())
}

#[test]
fn a_table_has_what_its_runs_came_to() {
    let place = with_table(TABLE);
    let line = "ablate --config table.toml --out t";
    let text = place.done(&format!("-q {line}"));
    let table = place.json("t/table.json");
    assert_eq!(
        (&table["finished"], &table["cells"]),
        (&json!(4), &json!(4))
    );
    assert_eq!(table["command"], "creamery ablate --config table.toml");
    assert_eq!(table["dataset"], "mnist:digits");
    assert_eq!(table["search"]["cream"]["tau"], 3);
    assert!(table["search"].get("seed").is_none());

    // Every number is that of the runs themselves, which lie where the table says.
    let close = |spread: &Value, numbers: &[f64]| {
        let (mean, sd) = mean_and_sd(numbers);
        assert!(
            (spread["mean"].as_f64().unwrap() - mean).abs() < 1e-9,
            "{spread}"
        );
        assert!(
            (spread["sd"].as_f64().unwrap() - sd).abs() < 1e-9,
            "{spread}"
        );
    };
    let mut tests = Vec::new();
    for (row, slug) in [(0, "no-teacher"), (1, "meta-as-it-is")] {
        let row = &table["rows"][row];
        let mut numbers: [Vec<f64>; 3] = Default::default();
        for seed in [0, 1] {
            let cell = &row["cells"][seed];
            assert_eq!(cell["seed"], seed);
            assert_eq!(cell["folder"], format!("{slug}/seed-{seed}"));
            let search = place.json(&format!("t/{slug}/seed-{seed}/search/result.json"));
            assert_eq!(search["seed"], seed);
            assert_eq!(cell["macs"], search["macs"]);
            assert_eq!(cell["params"], search["params"]);
            assert_eq!(cell["validation_top1"], search["validation"]["top1"]);
            let test = match slug {
                "no-teacher" => {
                    let result = place.json(&format!("t/{slug}/seed-{seed}/retrain/result.json"));
                    assert_eq!(result["seed"], seed);
                    assert_eq!(
                        result["architecture"]["choices"],
                        search["architecture"]["choices"]
                    );
                    result["top1"].clone()
                }
                _ => place.answer(&format!("eval t/{slug}/seed-{seed}/search"))["top1"].clone(),
            };
            assert_eq!(cell["test_top1"], test);
            let of = [&cell["macs"], &cell["validation_top1"], &cell["test_top1"]];
            for (numbers, value) in numbers.iter_mut().zip(of) {
                numbers.push(value.as_f64().unwrap());
            }
        }
        close(&row["macs"], &numbers[0]);
        close(&row["validation_top1"], &numbers[1]);
        close(&row["test_top1"], &numbers[2]);
        tests.push(numbers[2].clone());
    }
    let difference = &table["differences"][0];
    assert_eq!(difference["row"], "Meta, as it is");
    assert_eq!(difference["to"], "no teacher");
    let each = [tests[1][0] - tests[0][0], tests[1][1] - tests[0][1]];
    close(&difference["test_top1"], &each);

    let page = String::from_utf8(place.read("t/table.md")).unwrap();
    for part in [
        "# two teachers",
        "the whole method",
        "`retrain = false`",
        "mnist:digits",
    ] {
        assert!(page.contains(part), "lacks `{part}`:\n{page}");
    }
    assert!(
        text.contains("no teacher") && text.contains("t/table.json"),
        "{text}"
    );

    // Once more: nothing is trained, and the answer is the table.
    let before = written(&place, "t/no-teacher/seed-0/search/metrics.jsonl");
    let mut again = place.answer("ablate --resume --out t");
    assert_eq!(again["run"].take(), "t");
    again.as_object_mut().unwrap().remove("run");
    assert_eq!(again, table);
    assert_eq!(
        before,
        written(&place, "t/no-teacher/seed-0/search/metrics.jsonl")
    );
    assert!(!place.path("t/meta-as-it-is/seed-0/retrain").exists());
}

/// A row is what `creamery search` and `creamery retrain` make of the same settings.
#[test]
fn a_cell_is_the_run_of_the_single_commands() {
    let place = with_table(TABLE);
    place.done("-q ablate --config table.toml --out t --set seeds=[1]");
    let cell = "t/no-teacher/seed-1";
    place.done(&format!("-q search -c {cell}/search/run.toml --out s"));
    place.done("-q retrain s --epochs 1 --batch 8 --seed 1 --out r");
    for (part, single) in [("search", "s"), ("retrain", "r")] {
        let model = place.read(&format!("{cell}/{part}/model.safetensors"));
        assert!(
            model == place.read(&format!("{single}/model.safetensors")),
            "{part}"
        );
    }
}

/// Killed within the first search, within a retraining, and within a later search.
#[cfg(unix)]
#[test]
fn a_table_that_was_killed_ends_as_one_that_was_not() {
    let place = with_table(TABLE);
    place.done("-q ablate --config table.toml --out whole");
    for (kill, until) in [
        "no-teacher/seed-0/search/checkpoint",
        "no-teacher/seed-0/retrain/checkpoint",
        "meta-as-it-is/seed-1/search/checkpoint",
    ]
    .into_iter()
    .enumerate()
    {
        let line = match kill {
            0 => "-q ablate --config table.toml --out killed",
            _ => "-q ablate --resume --out killed",
        };
        place.kill_when(line, || place.path(&format!("killed/{until}")).exists());
        let table = place.json("killed/table.json");
        assert_eq!(table["finished"], [0, 0, 3][kill]);
    }
    let answer = place.answer("ablate --resume --out killed");
    assert_eq!(answer["finished"], 4);
    assert_eq!(
        without_times(place.json("killed/table.json")),
        without_times(place.json("whole/table.json"))
    );
    let model = "no-teacher/seed-0/retrain/model.safetensors";
    assert!(place.read(&format!("killed/{model}")) == place.read(&format!("whole/{model}")));
}

#[cfg(unix)]
#[test]
fn a_table_that_was_stopped_says_how_to_go_on() {
    let place = with_table(&TABLE.replace("mnist:digits", "mnist:my digits"));
    place.digits("my digits", 0);
    let folder = "my runs/it's a table";
    let mut child = place
        .command("ablate --config table.toml --out")
        .arg(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    while !place
        .path(&format!("{folder}/no-teacher/seed-0/search/checkpoint"))
        .exists()
    {
        assert_eq!(
            child.try_wait().unwrap(),
            None,
            "it ended before it could be stopped"
        );
        std::thread::sleep(Duration::from_millis(1));
    }
    let id = child.id().to_string();
    let kill = std::process::Command::new("kill")
        .args(["-INT", &id])
        .status();
    assert!(kill.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(130), "{text}");
    assert!(text.contains("row `no teacher`, seed 0"), "{text}");
    let hint = text.lines().last().unwrap().trim();
    assert_eq!(
        hint,
        r"creamery ablate --resume --out 'my runs/it'\''s a table'"
    );

    let listed = place.shell(&format!("{hint} --dry-run --json"));
    let listed: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let state = |cell: usize| listed["cells"][cell]["state"].as_str().unwrap().to_owned();
    assert_eq!((state(0), state(1)), ("begun".into(), "to do".into()));

    let resumed = place.shell(hint);
    let errors = String::from_utf8_lossy(&resumed.stderr).into_owned();
    assert!(resumed.status.success(), "{errors}");
    assert!(errors.contains("going on at step"), "{errors}");
    assert_eq!(place.json(&format!("{folder}/table.json"))["finished"], 4);
}

#[test]
fn a_table_can_have_more_seeds_and_rows() {
    let place = with_table(TABLE);
    let one = place.answer("ablate --config table.toml --out t --set seeds=[1]");
    assert_eq!(one["rows"][0]["test_top1"]["sd"], Value::Null);
    assert_eq!(one["differences"][0]["each"].as_array().unwrap().len(), 1);
    let page = String::from_utf8(place.read("t/table.md")).unwrap();
    assert!(page.contains("% | - |"), "{page}");
    let old = "t/no-teacher/seed-1/search/metrics.jsonl";
    let before = written(&place, old);

    let cosine = "[[rows]]\nname = \"cosine\"\nsearch.cream.matching = \"cosine\"\nretrain.init = \"inherit\"\n";
    place.write("more.toml", TABLE.to_owned() + cosine);
    let listed = place.answer("ablate --config more.toml --out t --dry-run");
    assert_eq!((&listed["done"], &listed["to_do"]), (&json!(2), &json!(4)));
    let two = place.answer("ablate --config more.toml --out t --resume");
    assert_eq!(two["finished"], 6);
    let retrained = place.json("t/cosine/seed-0/retrain/result.json");
    assert_eq!(retrained["init"], "inherit");
    assert_eq!(two["rows"][0]["cells"][1], one["rows"][0]["cells"][0]);
    assert!(two["rows"][0]["test_top1"]["sd"].is_number());
    assert_eq!(
        before,
        written(&place, old),
        "a finished cell is not run again"
    );
    // The table is the larger one from now on.
    let listed = place.answer("ablate --resume --out t --dry-run");
    assert_eq!((&listed["done"], &listed["to_do"]), (&json!(6), &json!(0)));
}

#[test]
fn cells_that_were_made_otherwise() {
    let place = with_table(TABLE);
    place.digits("others", 1);
    place.digits("moved", 0);
    place.done("-q ablate --config table.toml --out t --set seeds=[0]");
    let table = place.read("t/table.json");
    for (from, to, says) in [
        (
            "matching = \"none\"",
            "matching = \"l1\"",
            [
                "row `no teacher`",
                "`search.cream.matching` was \"none\"",
                "become \"l1\"",
            ],
        ),
        (
            "[retrain.train]\nepochs = 1",
            "[retrain.train]\nepochs = 2",
            [
                "row `no teacher`",
                "`retrain.train.epochs` was 1",
                "t/no-teacher",
            ],
        ),
        (
            "retrain = false",
            "",
            [
                "row `Meta, as it is`",
                "`retrain` was false",
                "t/meta-as-it-is",
            ],
        ),
        (
            "search.cream.matching = \"none\"",
            "retrain = false\nsearch.cream.matching = \"none\"",
            ["row `no teacher`", "`retrain` was a table", "become false"],
        ),
        (
            "mnist:digits",
            "mnist:others",
            [
                "row `no teacher`, seed 0",
                "data `mnist:digits [",
                "`mnist:others [",
            ],
        ),
    ] {
        place.write("other.toml", TABLE.replace(from, to));
        for line in ["--resume", "--dry-run"] {
            place.refused(
                2,
                &format!("ablate --config other.toml --out t {line}"),
                &says,
            );
        }
    }
    assert!(place.read("t/table.json") == table);
    // The same images elsewhere, and another number of threads that load, change no result.
    let same = "--set search.data.source=mnist:moved --set search.data.workers=2 --set seeds=[0]";
    place.done(&format!(
        "-q ablate --config table.toml --resume --out t {same}"
    ));
    // Under another name a changed row is a row like any other.
    place.write(
        "other.toml",
        TABLE
            .replace("no teacher", "nobody")
            .replace("epochs = 1", "epochs = 2"),
    );
    let listed = place.answer("ablate --config other.toml --out t --dry-run --set seeds=[0]");
    assert_eq!((&listed["done"], &listed["to_do"]), (&json!(1), &json!(1)));
}

#[test]
fn tables_that_cannot_be_are_refused_before_anything_is_written() {
    let place = with_table(TABLE);
    let second = "about = \"the whole method\"";
    for (from, to, says) in [
        (
            "tau = 3",
            "tua = 3",
            &["table.toml, line 15", "did you mean `tau`?"][..],
        ),
        (
            second,
            "serach.seed = 1",
            &["line 27", "did you mean `search`?"],
        ),
        (
            second,
            "search.method = \"craem\"",
            &["row `Meta, as it is`", "did you mean `cream`?"],
        ),
        (
            second,
            "search.cream.rho = 2",
            &["row `Meta, as it is`", "`cream.rho` is 2", "[0, 1]"],
        ),
        (
            second,
            "search.seed = 3",
            &["row `Meta, as it is`", "`search.seed`", "`seeds`"],
        ),
        (
            second,
            "search.device = \"tpu\"",
            &["row `Meta, as it is`", "`tpu`", "cpu"],
        ),
        (
            second,
            "search.resolution = 30",
            &["row `Meta, as it is`", "30", "28, 32"],
        ),
        (
            second,
            "search.data.validation = 0",
            &["row `Meta, as it is`", "held-out"],
        ),
        (
            second,
            "search.train.batch = 64",
            &["row `Meta, as it is`", "search: ", "batch of 64"],
        ),
        (
            second,
            "search.budget.max_macs = 1000",
            &[
                "row `Meta, as it is`",
                "search: ",
                "`budget`: ",
                "at most 1k MACs",
                "nearest",
            ],
        ),
        (
            "retrain = false",
            "retrain.train.batch = 64",
            &["row `Meta, as it is`", "retrain: ", "batch of 64"],
        ),
        (
            "\"Meta, as it is\"",
            "\"no teacher\"",
            &["two rows", "`no teacher`"],
        ),
        ("seeds = [0, 1]", "seeds = []", &["no seeds"]),
        ("mnist:digits", "mnist:nowhere", &["nowhere"]),
    ] {
        place.write("table.toml", TABLE.replacen(from, to, 1));
        for dry in ["", " --dry-run"] {
            place.refused(2, &format!("ablate --config table.toml --out t{dry}"), says);
        }
    }
    place.refused(2, "ablate --config none.toml", &["none.toml"]);
    place.write("table.toml", TABLE);
    place.refused(
        2,
        "ablate --config table.toml --set search.cream.tua=1",
        &["--set search.cream.tua=1", "did you mean `tau`?"],
    );
    assert!(!place.path("t").exists() && !place.path("runs").exists());
}

#[test]
fn a_dry_run_lists_the_cells_seed_by_seed_and_writes_nothing() {
    let place = with_table(TABLE);
    let listed = place.answer("ablate --config table.toml --dry-run");
    assert_eq!(listed["to_do"], 4);
    let cells: Vec<String> = (listed["cells"].as_array().unwrap().iter())
        .map(|cell| cell["folder"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        cells,
        [
            "runs/two-teachers-1/no-teacher/seed-0",
            "runs/two-teachers-1/meta-as-it-is/seed-0",
            "runs/two-teachers-1/no-teacher/seed-1",
            "runs/two-teachers-1/meta-as-it-is/seed-1",
        ]
    );
    let text = place.done("ablate --config table.toml --dry-run");
    assert!(text.contains("4 cells: 0 done, 0 begun, 4 to do"), "{text}");
    assert!(!place.path("runs").exists());
}

#[test]
fn folders_that_a_table_cannot_use() {
    let place = with_table(TABLE);
    place.write("mine/notes.txt", "mine");
    let line = "ablate --config table.toml --out";
    place.refused(
        2,
        &format!("{line} mine"),
        &["`mine` is not empty", "--out"],
    );
    place.refused(
        2,
        "ablate --resume --out mine",
        &["`mine` holds no run to resume"],
    );
    place.refused(
        1,
        &format!("{line} table.toml/t"),
        &["cannot create `table.toml/t`"],
    );
    place.refused(
        1,
        &format!("{line} {}", read_only(&place)),
        &["cannot ", "`"],
    );

    place.write("s/run.toml", "method = \"cream\"\n");
    let says = ["another command", "creamery search --resume --out s"];
    place.refused(2, "ablate --resume --out s", &says);
    place.refused(2, &format!("{line} s --dry-run"), &says);
    place.refused(2, &format!("{line} s"), &["`s` holds a run already"]);

    place.write("t/run.toml", TABLE);
    let says = ["another command", "creamery ablate --resume --out t"];
    place.refused(2, "search --resume --out t", &says);
    place.refused(2, "retrain --resume --out t", &says);
    let lock = std::fs::File::create(place.path("t/lock")).unwrap();
    lock.lock().unwrap();
    place.refused(2, "ablate --resume --out t", &["another process", "`t`"]);
    // Looking at it is possible all the same.
    place.done("ablate --resume --out t --dry-run");
}

/// A folder that nothing can be written in. To a superuser that is one the system keeps.
fn read_only(place: &Place) -> String {
    let folder = place.path("locked");
    std::fs::create_dir(&folder).unwrap();
    let mut permissions = std::fs::metadata(&folder).unwrap().permissions();
    permissions.set_readonly(true);
    std::fs::set_permissions(&folder, permissions).unwrap();
    match std::fs::create_dir(folder.join("probe")) {
        Ok(()) => "/proc/table".into(),
        Err(_) => "locked/table".into(),
    }
}

/// Cells that diverge do not cost the others, whichever come first.
#[test]
fn a_cell_that_fails_is_told_with_its_row_and_the_others_stay() {
    let diverging = "search.cream.matching = \"none\"\nsearch.train = { lr = 1e30, clip_norm = 0 }";
    let text = TABLE.replace("search.cream.matching = \"none\"", diverging);
    let place = with_table(&text);
    let says = ["row `no teacher`, seed 0", "diverged", "1 more"];
    place.refused(1, "-q ablate --config table.toml --out t", &says);
    let finished = |table: &Value| -> Vec<usize> {
        let rows = table["rows"].as_array().unwrap().iter();
        rows.map(|row| row["cells"].as_array().unwrap().len())
            .collect()
    };
    assert_eq!(finished(&place.json("t/table.json")), [0, 2]);
    place.refused(1, "-q ablate --resume --out t", &says);
}

#[test]
fn networks_of_elastic_methods_are_measured_as_they_are() {
    let rows = TABLE.find("[[rows]]").unwrap();
    let elastic = r#"
[search.select]
images = 8
population = 3
generations = 2
parents = 2
[[rows]]
name = "bignas"
search.method = "bignas"
retrain = false
[[rows]]
name = "cream-elastic"
search.method = "cream-elastic"
retrain = false
"#;
    let text = TABLE[..rows].replace("seeds = [0, 1]", "seeds = [0]") + elastic;
    let place = with_table(&text);
    let table = place.answer("ablate --config table.toml --out t");
    for (index, (method, selector)) in [("bignas", "evolution"), ("cream-elastic", "board")]
        .into_iter()
        .enumerate()
    {
        let search = format!("t/{method}/seed-0/search");
        let result = place.json(&format!("{search}/result.json"));
        assert_eq!(
            (&result["method"], &result["selector"]),
            (&json!(method), &json!(selector))
        );
        let tested = place.answer(&format!("eval {search}"));
        assert_eq!(
            table["rows"][index]["cells"][0]["test_top1"],
            tested["top1"]
        );
    }
    let text = place.done("search --resume --out t/bignas/seed-0/search");
    assert!(
        text.contains("creamery eval t/bignas/seed-0/search"),
        "{text}"
    );
}

#[test]
fn the_shipped_tables_can_begin() {
    let small = "--set search.data.source=mnist:digits --set search.train.batch=8 --set retrain.train.batch=8";
    for (text, cells) in [
        (include_str!("../../../../docs/results/ablation.toml"), 36),
        (include_str!("../../../../docs/results/methods.toml"), 21),
    ] {
        let place = with_table(text);
        let listed = place.answer(&format!("ablate --config table.toml --dry-run {small}"));
        assert_eq!(listed["to_do"], cells);
    }
}
