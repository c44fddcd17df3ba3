//! What can be asked.

use std::io::Write;

use creamery_nn::{Device, Subnet};
use creamery_space::Space;
use creamery_train::{Model, ModelInput};

use crate::support::{Runs, steps};

fn runs() -> Runs {
    let runs = Runs::new();
    runs.finished("first", "cream", 40.5);
    runs.finished("table/row a/seed-0/search", "spos", 50.25);
    runs.finished("table/row b/seed-0/search", "cream", 45.0);
    runs.stopped("<b>&\"stopped");
    runs
}

fn ids(list: &serde_json::Value) -> Vec<&str> {
    list["runs"]
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["id"].as_str().unwrap())
        .collect()
}

#[test]
fn runs_are_listed_filtered_and_sorted() {
    let runs = runs();
    let served = runs.serve();
    served.wait_for_runs(4);
    let by_top1 = served.json("/api/runs?sort=top1&q=TINY");
    assert_eq!(
        ids(&by_top1),
        [
            "table/row a/seed-0/search",
            "table/row b/seed-0/search",
            "first"
        ]
    );
    assert_eq!(by_top1["runs"][0]["top1"], 50.25);
    let some = served.json("/api/runs?method=cream&state=finished&sort=name&order=desc");
    assert_eq!(ids(&some), ["table/row b/seed-0/search", "first"]);
    // Unknown keys and values are no reason to fail.
    assert_eq!(
        served.json("/api/runs?sort=size&page=7&x=y")["runs"]
            .as_array()
            .unwrap()
            .len(),
        4
    );

    let page = served.get("/?state=stopped");
    assert!(
        page.text().contains("&#60;b&#62;&#38;&#34;stopped"),
        "{}",
        page.text()
    );
    assert!(!page.text().contains("<b>&\"stopped"));
    let list = served.get("/list?q=row&sort=name").text();
    assert!(
        list.contains("2 of 4 runs") && list.contains("/run/table%2Frow%20a%2Fseed-0%2Fsearch"),
        "{list}"
    );
}

#[test]
fn two_runs_of_one_name_are_told_apart() {
    let runs = runs();
    let served = runs.serve();
    served.wait_for_runs(4);
    for (row, top1) in [("a", 50.25), ("b", 45.0)] {
        let run = served.json(&format!("/api/run/table%2Frow%20{row}%2Fseed-0%2Fsearch"));
        assert_eq!(run["summary"]["top1"], top1);
    }
    let compared = served.get(
        "/compare?run=table%2Frow+a%2Fseed-0%2Fsearch&run=table/row%20b/seed-0/search&run=nobody",
    );
    let text = compared.text();
    assert!(
        text.contains("<td class=\"text\">table/row a/seed-0/search"),
        "{text}"
    );
    assert!(
        text.contains("<td class=\"text\">table/row b/seed-0/search")
            && text.contains("nobody: There is no run"),
        "{text}"
    );
}

#[test]
fn a_run_has_a_page_numbers_and_files() {
    let runs = runs();
    let served = runs.serve();
    served.wait_for_runs(4);
    let run = served.json("/api/run/first");
    assert_eq!(run["steps"], 20);
    assert_eq!(run["config"]["seed"], 3);
    assert_eq!(run["result"]["macs"], 1_741_296);
    let curves = served.json("/api/run/first/curves");
    assert_eq!(curves["loss"]["buckets"].as_array().unwrap().len(), 20);
    assert_eq!(served.json("/api/run/first/board")["changes"], 0);
    assert_eq!(served.json("/api/run/first/evaluations")["done"], 0);
    let page = served.get("/run/first").text();
    assert!(page.contains("<svg") && page.contains("finished"), "{page}");
    assert!(
        served
            .get("/run/first/report.html")
            .text()
            .contains("<!DOCTYPE html>")
    );

    let file = served.get("/api/run/first/file/result.json");
    assert_eq!(
        file.body,
        std::fs::read(runs.file("first/result.json")).unwrap()
    );
    assert!(
        file.headers.contains("filename=\"first-result.json\""),
        "{}",
        file.headers
    );
    let head = served.send(&format!(
        "HEAD /api/run/first/file/result.json HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
        served.address
    ));
    assert!(head.status == 200 && head.body.is_empty());
    for missing in [
        "/api/run/first/file/model.safetensors",
        "/api/run/first/model.onnx",
        "/api/run/no",
        "/run/no",
        "/x",
    ] {
        assert_eq!(served.get(missing).status, 404, "{missing}");
    }
}

#[test]
fn the_folder_itself_may_be_a_run() {
    let runs = Runs::new();
    runs.finished("a", "cream", 41.0);
    runs.finished("a/select-evolution-1", "cream", 42.0);
    let inner =
        creamery_serve::Dashboard::bind(&runs.file("a"), crate::support::local(), None).unwrap();
    let served = crate::support::Served::of(inner);
    let list = served.wait_for_runs(2);
    assert_eq!(list["runs"].as_array().unwrap().len(), 2);
    assert_eq!(served.json("/api/run/@.")["summary"]["top1"], 41.0);
    assert_eq!(
        served.json("/api/run/select-evolution-1")["summary"]["top1"],
        42.0
    );
}

#[test]
fn weights_become_onnx() {
    let runs = runs();
    let space = Space::builtin("tiny-32").unwrap();
    let architecture = space.smallest(28).unwrap();
    let net = Subnet::new(&space, &architecture, 1, 2, 0, &Device::flex()).unwrap();
    let input = ModelInput {
        data: "fashion-mini".into(),
        classes: vec!["cat".into(), "dog".into()],
        channels: 1,
        shorter_side: 28,
        interpolation: Default::default(),
        mean: vec![0.3],
        std: vec![0.3],
    };
    let path = runs.file("first/model.safetensors");
    Model { net, space, input }.save(&path).unwrap();
    let served = runs.serve();
    served.wait_for_runs(4);
    let first = served.get("/api/run/first/model.onnx");
    assert_eq!(first.status, 200, "{}", first.text());
    let model = Model::load(&path, &Device::flex()).unwrap();
    let expected = creamery_export::onnx::bytes(&model, &Default::default()).unwrap();
    assert!(
        first.body == expected,
        "the file that creamery export writes"
    );
    assert!(
        served.get("/api/run/first/model.onnx").body == expected,
        "kept"
    );
    let weights = served.get("/api/run/first/file/model.safetensors");
    assert!(weights.body == std::fs::read(&path).unwrap());

    std::fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(1000)
        .unwrap();
    let damaged = served.get("/api/run/first/model.onnx");
    assert_eq!(damaged.status, 422, "{}", damaged.text());
}

#[test]
fn damaged_runs_are_shown_as_far_as_they_go() {
    let runs = runs();
    runs.write("cut/run.toml", "method = \"cream\"\n[tr");
    runs.write(
        "cut/metrics.jsonl",
        steps(0..9) + "{\"event\":\"sparkle\"}\n{\"event\":\"step\",\"st",
    );
    runs.write("cut/result.json", "{\"kind\": ");
    runs.write("empty/run.toml", "");
    runs.write(
        "strange/run.toml",
        "method = 7\nseed = -3\n[train]\nepochs = \"many\"\n",
    );
    runs.write("strange/result.json", r#"{"kind":9,"architecture":[],"macs":"x","validation":{"top1":null},"timing":3,"seed":1e99}"#);
    let served = runs.serve();
    let list = served.wait_for_runs(7);
    assert!(
        list["runs"]
            .as_array()
            .unwrap()
            .iter()
            .any(|run| run["id"] == "cut")
    );
    let page = served.get("/run/cut").text();
    for part in [
        "the last line is cut off",
        "result.json",
        "run.toml",
        "sparkle",
        "<svg",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    for run in ["empty", "strange"] {
        let page = served.get(&format!("/run/{run}"));
        assert!(
            page.status == 200 && page.text().contains("</html>"),
            "{run}"
        );
        assert_eq!(
            served.get(&format!("/run/{run}/report.html")).status,
            200,
            "{run}"
        );
    }
    // More than a page's worth of events, and a line that never ends.
    let mut file = std::fs::File::options()
        .append(true)
        .open(runs.file("cut/metrics.jsonl"))
        .unwrap();
    file.write_all(&vec![b'x'; 6 << 20]).unwrap();
    assert_eq!(served.get("/run/cut").status, 200);
}
