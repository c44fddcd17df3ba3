//! Small searches from images to a result.

mod latency;
mod methods;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use creamery_search::{Matching, SearchConfig, SearchResult, search};
use creamery_space::Space;
use creamery_train::event::{Event, Events, Observer};
use creamery_train::{Model, Outcome, RunData, RunFolder, TrainError, evaluate};

fn config() -> SearchConfig {
    let space = Space::builtin("tiny-32").unwrap();
    let mut config: SearchConfig = SearchConfig::defaults(&space).try_into().unwrap();
    config.train.epochs = 3;
    config.train.batch = 16;
    config.train.lr = 0.05;
    config.data.workers = 0;
    config.cream.warmup_epochs = 1;
    config.cream.tau = 4;
    config.cream.refresh = 3;
    config.cream.anchors = 4;
    config.cream.confirm_images = 16;
    config.cream.calibration_images = 16;
    config.budget.max_macs = Some(3_000_000);
    config
}

/// 96 images to train on, 32 held out.
fn data(config: &SearchConfig) -> RunData {
    let mut set = RunData::open(&config.data).unwrap();
    let every = |split: &creamery_data::Split, n: usize| {
        let indices: Vec<usize> = (0..n).map(|i| i * split.len() / n).collect();
        split.subset(&indices).unwrap()
    };
    set.train = every(&set.train, 128);
    set.test = every(&set.test, 32);
    let mut settings = config.data.clone();
    settings.validation = 0.25;
    RunData::prepare(set, &settings, 28, config.seed).unwrap()
}

fn run_in(
    folder: &Path,
    config: &SearchConfig,
    events: &mut Events,
    stop: &AtomicBool,
) -> Result<Outcome<SearchResult>, TrainError> {
    let run = match folder.join("run.toml").exists() {
        true => RunFolder::resume(folder)?,
        false => RunFolder::create(folder, "")?,
    };
    let mut space = Space::resolve(&config.space).unwrap();
    if let Some(table) = &config.latency_table {
        space = space.with_latency_file(Path::new(table)).unwrap();
    }
    search(config, &space, &data(config), &run, events, stop)
}

fn finish(folder: &Path, config: &SearchConfig) -> SearchResult {
    let stop = AtomicBool::new(false);
    match run_in(folder, config, &mut Events::default(), &stop).unwrap() {
        Outcome::Done(result) => result,
        Outcome::Stopped { step } => panic!("stopped at {step}"),
    }
}

#[test]
fn a_search_ends_with_a_winner_within_budget_whose_weights_are_its_own() {
    for device in creamery_nn::device_names() {
        println!("device {device}");
        check_search(device);
    }
}

fn check_search(device: &str) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a run");
    let mut config = config();
    config.device = device.into();
    let result = finish(&path, &config);
    assert!(config.budget.budget().contains(&result.cost));
    assert!(!result.board.is_empty() && result.family.is_empty());
    for row in &result.board {
        assert!(
            config.budget.budget().contains(&row.cost),
            "the whole board is within budget"
        );
    }
    let text = std::fs::read_to_string(path.join("result.json")).unwrap();
    assert_eq!(serde_json::from_str::<SearchResult>(&text).unwrap(), result);
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    for key in [
        "method",
        "space",
        "dataset",
        "seed",
        "macs",
        "params",
        "flops_thop",
        "timing",
    ] {
        assert!(!json[key].is_null(), "{key}");
    }
    for key in ["space", "resolution", "choices", "timm"] {
        assert!(!json["architecture"][key].is_null(), "{key}");
    }

    // The model file alone reproduces the validation accuracy.
    let device = creamery_nn::device(device).unwrap();
    let model = Model::load(&path.join("model.safetensors"), &device).unwrap();
    let data = data(&config);
    let pipeline = model.input.pipeline(28);
    let held_out = data.validation.as_ref().unwrap();
    let accuracy = evaluate(&model.net, held_out, &pipeline, 16, 0, &device).unwrap();
    assert_eq!(accuracy, result.validation);
}

/// Asks the search to stop once a step is reached.
struct StopAt {
    step: u64,
    stop: Arc<AtomicBool>,
}

impl Observer for StopAt {
    fn observe(&mut self, event: &Event) {
        if matches!(event, Event::Step { step, .. } if *step == self.step) {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

/// Runs a search, or what is left of it, to the end of a step.
fn stop_after(folder: &Path, config: &SearchConfig, step: u64) {
    let stop = Arc::new(AtomicBool::new(false));
    let mut events = Events::default();
    events.add(StopAt {
        step,
        stop: stop.clone(),
    });
    let outcome = run_in(folder, config, &mut events, &stop).unwrap();
    assert_eq!(outcome, Outcome::Stopped { step: step + 1 });
}

#[test]
fn a_search_that_was_stopped_ends_in_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let (whole, parts) = (folder.path().join("whole"), folder.path().join("parts"));
    let config = config();
    let expected = finish(&whole, &config);
    // In warm-up, at the last step of an epoch, and while teachers teach.
    for step in [2, 5, 13] {
        stop_after(&parts, &config, step);
    }
    let mut found = finish(&parts, &config);
    found.timing = expected.timing;
    assert_eq!(found, expected);
    for file in ["model.safetensors", "board.json"] {
        let read = |folder: &Path| std::fs::read(folder.join(file)).unwrap();
        assert!(read(&whole) == read(&parts), "{file} differs");
    }
}

#[test]
fn every_bucket_has_a_winner_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = config();
    config.budget.min_macs = Some(1_500_000);
    config.budget.max_macs = Some(6_000_000);
    config.budget.buckets = 3;
    config.train.epochs = 4;
    let result = finish(&folder.path().join("run"), &config);
    let bounds = [
        (1_500_000, 3_000_000),
        (3_000_000, 4_500_000),
        (4_500_000, 6_000_000),
    ];
    assert_eq!(result.family.len(), 3);
    for (member, (least, most)) in result.family.iter().zip(bounds) {
        let macs = member.cost.macs;
        assert!(
            macs >= least && macs <= most,
            "bucket {} has {macs}",
            member.bucket
        );
    }
    assert!(
        result
            .family
            .iter()
            .any(|m| m.architecture == result.architecture)
    );
}

#[test]
fn every_matching_trains() {
    for matching in [
        Matching::Cosine,
        Matching::L1,
        Matching::L2,
        Matching::Random,
        Matching::Top1,
        Matching::None,
    ] {
        let folder = tempfile::tempdir().unwrap();
        let mut config = config();
        config.train.epochs = 2;
        config.cream.matching = matching;
        config.cream.match_on = creamery_search::MatchOn::Features;
        let path = folder.path().join("run");
        let result = finish(&path, &config);
        let metrics = std::fs::read_to_string(path.join("metrics.jsonl")).unwrap();
        assert_eq!(
            metrics.contains("\"teacher\""),
            matching != Matching::None,
            "{matching:?}: {metrics}"
        );
        assert!(
            !metrics.contains("\"meta\""),
            "only the meta network has lessons"
        );
        assert!(result.cost.macs > 0);
    }
}

#[test]
fn teachers_teach_after_warm_up_and_the_meta_network_learns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    finish(&path, &config());
    let metrics = std::fs::read_to_string(path.join("metrics.jsonl")).unwrap();
    let events: Vec<Event> = metrics
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    let mut lessons = 0;
    for event in &events {
        match event {
            Event::Step { epoch, teacher, .. } => match epoch {
                0 => assert_eq!(*teacher, None),
                // A path that is alone on the board has no teacher but itself.
                _ => assert!(teacher.is_none_or(|t| t.rho > 0.0 && t.rho < 1.0)),
            },
            Event::Meta { gradient, .. } => {
                lessons += 1;
                assert!(gradient.is_finite() && *gradient != 0.0);
            }
            _ => {}
        }
    }
    let taught = events.iter().filter(|e| {
        matches!(
            e,
            Event::Step {
                teacher: Some(_),
                ..
            }
        )
    });
    assert!(taught.count() >= 6);
    assert!(lessons >= 2, "12 steps with teachers, a lesson every 4");
}

#[test]
fn what_cannot_be_searched_is_refused_before_training() {
    let folder = tempfile::tempdir().unwrap();
    let stop = AtomicBool::new(false);
    let refuse = |name: &str, change: &dyn Fn(&mut SearchConfig), text: &str| {
        let mut config = config();
        change(&mut config);
        let path = folder.path().join(name);
        let error = run_in(&path, &config, &mut Events::default(), &stop).unwrap_err();
        assert!(error.is_usage(), "{error}");
        assert!(error.to_string().contains(text), "{error}");
        assert!(!path.join("metrics.jsonl").exists());
    };
    refuse("budget", &|c| c.budget.max_macs = Some(1000), "nearest");
    refuse("order", &|c| c.budget.min_macs = Some(4_000_000), "MACs");
    refuse("batch", &|c| c.train.batch = 5000, "5000");
    refuse("method", &|c| c.method = "cram".into(), "`cream`");
}

/// Diverging stops the run at once and leaves the last good state.
#[test]
fn a_loss_that_is_not_finite_stops_the_search() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let mut config = config();
    config.train.checkpoint_seconds = 0.0;
    config.train.clip_norm = 0.0;
    config.train.lr = 1e30;
    let stop = AtomicBool::new(false);
    let error = run_in(&path, &config, &mut Events::default(), &stop).unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, TrainError::NotFinite { .. }), "{text}");
    assert!(
        text.contains("step") && text.contains("latest.safetensors"),
        "{text}"
    );
    assert!(path.join("checkpoint/latest.safetensors").exists());
}
