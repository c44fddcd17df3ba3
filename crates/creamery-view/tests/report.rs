//! Reports of runs of every kind and in every state, read back as XML.

use std::fs;
use std::path::Path;

use creamery_space::{Architecture, Space};
use creamery_train::event::{Accuracy, BoardRow, Event, Images, Teacher};
use creamery_view::record::RunRecord;
use creamery_view::report::Report;
use roxmltree::{Document, ParsingOptions};
use serde_json::json;
use tempfile::TempDir;

fn space() -> Space {
    Space::builtin("tiny-32").unwrap()
}

fn row(architecture: &Architecture, score: f64, entered: u64) -> BoardRow {
    BoardRow {
        cost: space().cost(architecture, 1, 10).unwrap(),
        architecture: architecture.clone(),
        score,
        entered,
        taught: 3,
        bucket: 0,
    }
}

fn step(step: u64) -> Event {
    Event::Step {
        step,
        epoch: step / 10,
        loss: 2.0 - 0.01 * step as f64,
        top1: 10.0 + step as f64,
        lr: 0.1,
        grad_norm: 1.0,
        macs: 1_000_000 + step,
        teacher: (step > 5).then_some(Teacher { rank: 0, rho: 0.6 }),
    }
}

/// The events of a search: two epochs, a board of two.
fn events() -> Vec<Event> {
    let (large, small) = (space().largest(28).unwrap(), space().smallest(28).unwrap());
    let mut events = vec![Event::Started {
        task: "search".into(),
        epochs: 2,
        steps_per_epoch: 10,
        batch: 8,
        step: 0,
        images: Images {
            train: 80,
            validation: 20,
            test: 30,
        },
    }];
    for at in 0..20 {
        if at == 2 {
            let board = vec![row(&small, 31.5, 2)];
            events.push(Event::Board { step: at, board });
        }
        if at == 12 {
            let board = vec![row(&large, 47.25, 12), row(&small, 33.0, 2)];
            events.push(Event::Board { step: at, board });
        }
        events.push(step(at));
        if at % 10 == 9 {
            events.push(Event::Epoch {
                epoch: at / 10,
                loss: 1.9,
                top1: 20.0,
                images_per_second: 100.0,
                data_wait: 0.1,
                summed_bytes: None,
                validation: Some(Accuracy {
                    top1: 40.0,
                    top5: 90.0,
                    loss: 1.8,
                    images: 20,
                }),
                raw: None,
            });
        }
    }
    events.push(Event::Warning {
        message: "two images <were> left out".into(),
    });
    events.push(Event::Finished {
        steps: 20,
        seconds: 65.0,
    });
    events
}

fn text_of(events: &[Event]) -> String {
    let lines = events
        .iter()
        .map(|event| serde_json::to_string(event).unwrap() + "\n");
    lines.collect()
}

/// A finished search.
fn search() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("run.toml"), "method = \"cream\"\nseed = 7\nspace = \"tiny-32\"\n[data]\nsource = \"fashion-mini\"\n[train]\nlr = 0.1\n").unwrap();
    fs::write(at("space.toml"), space().to_toml()).unwrap();
    fs::write(at("metrics.jsonl"), text_of(&events())).unwrap();
    let winner = space().largest(28).unwrap();
    let cost = space().cost(&winner, 1, 10).unwrap();
    let result = json!({
        "kind": "search", "method": "cream", "selector": "board", "space": "tiny-32", "dataset": "fashion-mini",
        "seed": 7, "architecture": winner, "macs": cost.macs, "params": cost.params,
        "validation": {"top1": 46.5, "top5": 90.0, "loss": 1.0, "images": 20},
        "timing": {"seconds": 65.0, "images_per_second": 123.0, "peak_memory_bytes": 734_003_200},
    });
    fs::write(at("result.json"), result.to_string()).unwrap();
    folder
}

/// The page of a run as a user sees it: its text, and nothing that a browser would fetch or run.
fn page_of(run: &Path, compared: &[&Path]) -> String {
    let read = |path: &Path| RunRecord::read(path).unwrap();
    let compared: Vec<RunRecord> = compared.iter().map(|path| read(path)).collect();
    let report = Report {
        run: &read(run),
        compared: &compared,
        command: Some("creamery search --config 'a b/run.toml'".into()),
    };
    let html = report.html().unwrap();
    let options = ParsingOptions {
        allow_dtd: true,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(&html, options).unwrap_or_else(|e| panic!("{e}"));
    for node in document.descendants().filter(|node| node.is_element()) {
        let tag = node.tag_name().name();
        assert!(
            !["script", "link", "img", "iframe", "object"].contains(&tag),
            "{tag}"
        );
        for attribute in node.attributes() {
            let (name, value) = (attribute.name(), attribute.value());
            assert!(!name.starts_with("on") && name != "src", "{name}");
            assert!(name != "href" || value.starts_with('#'), "{value}");
        }
    }
    assert!(!html.contains("url(") && !html.contains("@import"));
    let texts = document.descendants().filter_map(|node| node.text());
    // Lines of a chart's text break where there is no more room.
    let words = texts.flat_map(str::split_whitespace);
    words.collect::<Vec<_>>().join(" ")
}

#[track_caller]
fn says(page: &str, parts: &[&str]) {
    for part in parts {
        assert!(page.contains(part), "the page lacks `{part}`:\n{page}");
    }
}

#[test]
fn a_finished_search_has_everything() {
    let run = search();
    let page = page_of(run.path(), &[]);
    says(
        &page,
        &[
            "search · cream · winner by board · tiny-32 · fashion-mini · seed 7 · finished",
            "46.50%",
            "1m05s",
            "734 MB",
            "Block by block",
            "Accuracy against cost",
            "Loss",
            "rho, the weight of distillation",
            "Who entered, who taught whom",
            "Operations block by block, in percent",
            "Of the 2 paths on the board at some time. Outlined: the winner.",
            "two images <were> left out",
            "creamery search --config 'a b/run.toml'",
            "lr = 0.1",
            "12.5%",
        ],
    );
    assert!(!page.contains("What is missing here"), "{page}");
}

#[test]
fn a_run_is_shown_as_far_as_it_goes() {
    let run = search();
    let at = |name: &str| run.path().join(name);
    fs::remove_file(at("result.json")).unwrap();
    let whole = fs::read_to_string(at("metrics.jsonl")).unwrap();
    // Cut off anywhere, also in the midst of a line: never a panic, always a note.
    for cut in (0..whole.len()).step_by(97) {
        fs::write(at("metrics.jsonl"), &whole[..cut]).unwrap();
        let page = page_of(run.path(), &[]);
        says(
            &page,
            &["What is missing here", "The run has no result", "lr = 0.1"],
        );
        if whole.as_bytes()[..cut]
            .last()
            .is_some_and(|last| *last != b'\n')
        {
            says(&page, &["the last line is cut off"]);
        }
    }
    // The best of the board stands for the winner.
    says(
        &page_of(run.path(), &[]),
        &["best so far", "best on the board so far"],
    );
}

#[test]
fn damaged_files_are_told_and_the_rest_is_shown() {
    let run = search();
    let at = |name: &str| run.path().join(name);
    for (name, text) in [
        ("run.toml", "method = "),
        ("space.toml", "name = 3"),
        ("result.json", "{\"architecture\": {\"space\": \"tiny-32\""),
        (
            "confusion.json",
            "{\"classes\": [\"a\"], \"images\": [1], \"counts\": []}",
        ),
        ("model.safetensors", "no model"),
    ] {
        fs::write(at(name), text).unwrap();
        let page = page_of(run.path(), &[]);
        says(&page, &["Loss", "What is missing here"]);
    }
    fs::write(
        at("metrics.jsonl"),
        b"\xff\xfe\n{\"event\":\"board\"}\n{}\n[1]\n",
    )
    .unwrap();
    says(&page_of(run.path(), &[]), &["4 lines were not understood"]);
}

#[test]
fn hostile_texts_stay_texts() {
    let run = search();
    let at = |name: &str| run.path().join(name);
    let evil = "</pre><script>alert(1)</script>\" onload=\"x";
    fs::write(at("run.toml"), format!("method = {evil:?}\n")).unwrap();
    fs::write(
        at("confusion.json"),
        json!({"classes": [evil, "b"], "images": [1, 1], "counts": [[1, 0], [1, 0]]}).to_string(),
    )
    .unwrap();
    let result = json!({"kind": evil, "dataset": evil, "top1": "NaN", "macs": -1e308, "timing": {"seconds": 1e300}});
    fs::write(at("result.json"), result.to_string()).unwrap();
    says(&page_of(run.path(), &[]), &[evil]);
}

#[test]
fn an_architecture_of_another_space_is_named_and_not_drawn() {
    let run = search();
    let path = run.path().join("result.json");
    let mut result: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    for choices in [json!([[99]]), json!([[0], [0], [0], [0], [0]]), json!([])] {
        result["architecture"]["choices"] = choices;
        fs::write(&path, result.to_string()).unwrap();
        let page = page_of(run.path(), &[]);
        assert!(!page.contains("Block by block"));
        says(&page, &["winner", "tiny-32@28"]);
    }
}

#[test]
fn a_retraining_that_has_just_begun_shows_its_network() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("run.toml"), "seed = 1\n").unwrap();
    let architecture = serde_json::to_string(&space().smallest(28).unwrap()).unwrap();
    fs::write(at("architecture.json"), architecture).unwrap();
    let page = page_of(folder.path(), &[]);
    says(
        &page,
        &[
            "retrain · seed 1",
            "no step of the training is done",
            "tiny-32@28:0/0/0",
        ],
    );
}

#[test]
fn a_selection_has_its_evaluations_and_their_front() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("run.toml"), "[select]\nselector = \"nsga2\"\n").unwrap();
    fs::write(at("space.toml"), space().to_toml()).unwrap();
    let mut lines = "{\"identity\":{\"seed\":\"0\"}}\n".to_owned();
    for (architecture, top1) in [
        (space().smallest(28).unwrap(), 30.0),
        (space().largest(28).unwrap(), 60.0),
    ] {
        let cost = space().cost(&architecture, 1, 10).unwrap();
        let line = json!({"architecture": architecture, "macs": cost.macs, "params": cost.params, "flops_thop": cost.flops_thop, "top1": top1});
        lines.push_str(&format!("{line}\n"));
    }
    fs::write(at("evaluations.jsonl"), lines).unwrap();
    let page = page_of(folder.path(), &[]);
    says(
        &page,
        &[
            "select · winner by nsga2",
            "2 paths that were evaluated.",
            "best top-1 so far",
            "60.00%",
            "Of the 2 paths evaluated.",
        ],
    );
}

#[test]
fn runs_are_compared_by_results_curves_and_settings() {
    let (one, other) = (search(), search());
    let config = fs::read_to_string(other.path().join("run.toml")).unwrap();
    fs::write(
        other.path().join("run.toml"),
        config.replace("lr = 0.1", "lr = 0.25"),
    )
    .unwrap();
    let page = page_of(one.path(), &[other.path()]);
    let names = [&one, &other].map(|run| {
        run.path()
            .file_name()
            .unwrap()
            .to_string_lossy()
            .into_owned()
    });
    says(
        &page,
        &[
            "Comparison",
            "Settings that differ:",
            "train.lr",
            "0.25",
            &names[0],
            &names[1],
        ],
    );
    // What is the same is not listed.
    let settings =
        &page[page.find("Settings that differ:").unwrap()..page.find("Block by block").unwrap()];
    assert!(!settings.contains("seed"), "{settings}");
}
