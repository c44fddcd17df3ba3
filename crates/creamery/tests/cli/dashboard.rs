//! The dashboard and the list of runs, as people use them.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use crate::browser::{Browser, wait};
use crate::support::{Place, TINY, TINY_SEARCH};

/// A command that works until it is dropped.
struct Working(Child);

impl Drop for Working {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// `creamery serve` and its address.
fn serve(place: &Place, line: &str) -> (Working, String) {
    let mut child = place
        .command(&format!("serve {line}"))
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let mut reader = BufReader::new(child.stderr.take().unwrap());
    reader.read_line(&mut said).unwrap();
    let served = Working(child);
    let address = said
        .split_whitespace()
        .find(|word| word.starts_with("http://"));
    let address = address.unwrap_or_else(|| panic!("{said}")).to_owned();
    // Whatever else it says must have room.
    std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()));
    (served, address)
}

fn search(place: &Place, out: &str, epochs: u64) -> Working {
    let line = format!(
        "-q search {TINY} {TINY_SEARCH} --epochs {epochs} --set cream.board=8 --set train.checkpoint_seconds=1"
    );
    let mut command = place.command(&line);
    Working(
        command
            .args(["--out", out])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    )
}

#[test]
fn a_browser_watches_a_search() {
    let Some(mut browser) = Browser::start() else {
        return;
    };
    let place = Place::with_digits();
    place.done(&format!("-q search {TINY} {TINY_SEARCH} --out runs/first"));
    let _search = search(&place, "runs/under way", 100_000);
    let (_served, address) = serve(&place, "runs --port 0");
    let path = place.path("runs/under way/metrics.jsonl");
    wait("the search begins", || {
        (std::fs::metadata(&path).ok()?.len() > 20_000).then_some(())
    });

    // The list.
    browser.resize(1280, 900);
    browser.open(&address);
    browser.wait_for("document.querySelectorAll('.runs tbody tr').length === 2");
    browser.wait_for(
        "document.querySelector('[data-id=\"under way\"] .state').textContent === 'running'",
    );
    browser.picture("runs-1280");
    browser.value("document.querySelector('[name=q]').value = 'first'; document.querySelector('[name=q]').dispatchEvent(new Event('input', {bubbles: true}))");
    browser.wait_for("document.querySelectorAll('.runs tbody tr').length === 1 && location.search.includes('q=first')");
    browser.value("document.querySelector('[name=q]').value = ''; document.querySelector('[name=q]').dispatchEvent(new Event('input', {bubbles: true}))");
    browser.wait_for("document.querySelectorAll('.runs tbody tr').length === 2");

    // A search that is under way, and three changes that come by themselves.
    browser.click("document.querySelector('[data-id=\"under way\"] .name a')");
    browser.wait_for("document.body.dataset.page === 'run' && document.querySelector('#link.on')");
    browser.value("window.same = true");
    let steps = "Number(document.querySelector('#steps').textContent)";
    let mut before = browser.value(steps).as_u64().unwrap();
    for updates in 1..=3 {
        browser.wait_for(&format!(
            "Number(document.body.dataset.updates) >= {updates} && {steps} > {before}"
        ));
        before = browser.value(steps).as_u64().unwrap();
    }
    assert_eq!(
        browser.value("window.same === true"),
        true,
        "the page was not loaded again"
    );
    browser.wait_for("document.querySelector('#board tbody').rows.length >= 2");
    browser.picture("run-1280");

    // The board, sorted by MACs, either way, and still sorted when news have come.
    let column =
        "[...document.querySelectorAll('#board th')].find((head) => head.textContent === 'MACs')";
    let sorted = |browser: &mut Browser, sign: i32| {
        browser.wait_for(&format!(
            "(() => {{ const head = {column}; if (!head || !head.ariaSort) return false; \
             const all = [...document.querySelectorAll('#board tbody tr')].map((row) => parseFloat(row.cells[head.cellIndex].textContent)); \
             return all.length > 1 && all.every((value, i) => i === 0 || {sign} * (value - all[i - 1]) >= 0); }})()"
        ));
    };
    browser.click(column);
    sorted(&mut browser, -1);
    browser.click(column);
    sorted(&mut browser, 1);
    let updates = browser
        .value("Number(document.body.dataset.updates)")
        .as_u64()
        .unwrap();
    browser.wait_for(&format!(
        "Number(document.body.dataset.updates) > {updates}"
    ));
    sorted(&mut browser, 1);

    // A point of the front tells its architecture. News may take it away from under the mouse, so it is pointed at again.
    let point = "document.querySelector('#front svg [data-name]')";
    wait("a point tells of itself", || {
        browser.point_at(point);
        let said = browser.value("document.getElementById('tip').hidden ? '' : document.getElementById('tip').textContent");
        said.as_str().unwrap().contains("tiny-32@28:").then_some(())
    });
    browser.picture("tip-1280");

    // As narrow as a phone nothing is wider than the window.
    browser.resize(375, 800);
    let fits = "document.documentElement.scrollWidth <= 375";
    browser.wait_for(fits);
    browser.value("scrollTo(0, 0)");
    browser.picture("run-375");
    browser.open(&address);
    browser.wait_for("document.querySelectorAll('.runs tbody tr').length === 2");
    browser.wait_for(fits);
    browser.picture("runs-375");
    browser.resize(1280, 900);

    // Two runs beside each other.
    browser.value("document.querySelectorAll('[name=run]').forEach((box) => box.click())");
    browser.click("document.querySelector('button.compare')");
    browser.wait_for("document.body.dataset.page === 'compare' && document.querySelectorAll('#comparison svg').length > 0");
    browser.picture("compare-1280");
    browser.open(&format!("{address}run/first/report.html"));
    browser.wait_for("document.querySelectorAll('svg').length > 1");

    assert!(browser.complaints.is_empty(), "{:#?}", browser.complaints);
    let others: Vec<&String> = browser
        .asked
        .iter()
        .filter(|asked| !asked.starts_with(&address) && !asked.starts_with("data:"))
        .collect();
    assert!(others.is_empty() && browser.asked.len() > 5, "{others:?}");
}

#[test]
fn serve_says_what_is_wrong() {
    let place = Place::new();
    place.refused(2, "serve nowhere", &["`nowhere` is no folder"]);
    std::fs::create_dir(place.path("runs")).unwrap();
    let (_served, address) = serve(&place, "--port 0");
    let port = address
        .trim_end_matches('/')
        .rsplit(':')
        .next()
        .unwrap()
        .to_owned();
    place.refused(
        1,
        &format!("serve --port {port}"),
        &["port", "is in use", "--port"],
    );
    place.write("token.txt", "short");
    place.refused(
        2,
        "serve --host 0.0.0.0 --port 0 --token-file token.txt",
        &["token.txt", "16 to 256"],
    );
    place.refused(2, "serve --token-file missing.txt", &["missing.txt"]);
    place.refused_with(
        &[("CREAMERY_TOKEN", "sp ce")],
        2,
        "serve",
        &["CREAMERY_TOKEN"],
    );
    let (_open, link) = serve(&place, "--host 0.0.0.0 --port 0");
    assert!(
        link.contains("?token=") && link.rsplit('=').next().unwrap().len() == 32,
        "{link}"
    );
}

#[test]
fn runs_are_listed_and_pruned() {
    let place = Place::with_digits();
    place.done(&format!("-q search {TINY} {TINY_SEARCH} --out runs/a"));
    place.done(&format!("-q retrain tiny.json {TINY} --out runs/deep/b"));
    let all = place.answer("runs");
    assert_eq!(all["of"], 2);
    let names = |line: &str| {
        let found = place.answer(line);
        let runs = found["runs"].as_array().unwrap().iter();
        runs.map(|run| run["id"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(names("runs --sort name"), ["a", "deep/b"]);
    assert_eq!(names("runs --method cream"), ["a"]);
    assert_eq!(names("runs --task retrain --state finished"), ["deep/b"]);
    assert!(place.done("runs --search deep").contains("1 of 2 runs"));
    place.misused("runs --sort size", "top1");
    place.misused("runs --yes", "--prune");
    place.refused(2, "runs nowhere", &["`nowhere` is no folder"]);

    let dry = place.answer("runs --prune checkpoints");
    assert!(dry["bytes"].as_u64().unwrap() > 1000 && dry["removed"] == false);
    assert!(place.path("runs/a/checkpoint/latest.safetensors").exists());
    let text = place.done("runs --prune checkpoints --method cream --yes");
    assert!(text.contains("removed 1 checkpoint"), "{text}");
    assert!(!place.path("runs/a/checkpoint").exists());
    assert!(
        place.path("runs/deep/b/checkpoint").exists() && place.path("runs/a/result.json").exists()
    );
    place.done("describe runs/a");
}
