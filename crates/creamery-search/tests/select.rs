//! Selectors on supernets that small searches trained.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use creamery_search::{
    SearchConfig, SearchResult, SelectConfig, SelectorName, Trained, search, select,
};
use creamery_space::Space;
use creamery_train::event::{Event, Events, Observer};
use creamery_train::{Model, Outcome, RunData, RunFolder, TrainError, evaluate};

/// A folder with images and runs.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    /// With an MNIST of 80 training images and 20 test images that show their class as a bright row.
    fn new() -> Self {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        for (split, count) in [("train", 80u32), ("t10k", 20)] {
            let labels: Vec<u8> = (0..count).map(|i| (i % 10) as u8).collect();
            let pixels = (0..count).flat_map(|i| {
                (0..28 * 28).map(move |at| match at / 28 / 2 == i % 10 + 2 {
                    true => 200,
                    false => ((i * 31 + at) % 40) as u8,
                })
            });
            let header = |kind: u8, sizes: &[u32]| {
                let sizes = sizes.iter().flat_map(|size| size.to_be_bytes());
                [0, 0, 8, kind]
                    .into_iter()
                    .chain(sizes)
                    .collect::<Vec<u8>>()
            };
            let write = |name: &str, bytes: Vec<u8>| {
                std::fs::write(place.path(&format!("{split}-{name}")), bytes).unwrap();
            };
            let images = header(3, &[count, 28, 28]).into_iter().chain(pixels);
            write("images-idx3-ubyte", images.collect());
            write("labels-idx1-ubyte", [header(1, &[count]), labels].concat());
        }
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// 60 images to train on, 20 held out, two epochs; selections of at most 12 evaluations.
    fn config(&self) -> SearchConfig {
        let space = Space::builtin("tiny-32").unwrap();
        let mut config: SearchConfig = SearchConfig::defaults(&space).try_into().unwrap();
        config.data.source = format!("mnist:{}", self.folder.path().display());
        config.data.validation = 0.25;
        config.data.workers = 0;
        config.train.epochs = 2;
        config.train.batch = 12;
        config.train.lr = 0.05;
        config.cream.warmup_epochs = 0;
        config.cream.anchors = 4;
        config.cream.confirm_images = 12;
        config.cream.calibration_images = 12;
        config.budget.max_macs = Some(4_000_000);
        config.select.images = 16;
        config.select.population = 4;
        config.select.generations = 3;
        config.select.reinforce.samples = 4;
        config.select.reinforce.updates = 3;
        config
    }

    fn search(
        &self,
        name: &str,
        config: &SearchConfig,
        stop_at: Stop,
    ) -> Result<Outcome<SearchResult>, TrainError> {
        let path = self.path(name);
        let text = toml::to_string(config).unwrap();
        let run = match path.join("run.toml").exists() {
            true => RunFolder::resume(&path)?,
            false => RunFolder::create(&path, &text)?,
        };
        // More epochs are the run's own from then on.
        run.write("run.toml", text.as_bytes())?;
        let space = Space::resolve(&config.space).unwrap();
        run.write("space.toml", space.to_toml().as_bytes())?;
        let set = RunData::open(&config.data)?;
        let data = RunData::prepare(set, &config.data, 28, config.seed)?;
        let (mut events, stop) = stop_at.watched();
        search(config, &space, &data, &run, &mut events, &stop)
    }

    fn trained(&self, name: &str) -> Trained {
        let folder = self.path(name);
        Trained::open(&folder, Trained::config(&folder).unwrap()).unwrap()
    }

    fn select(
        &self,
        name: &str,
        trained: &Trained,
        config: &SelectConfig,
        stop_at: Stop,
    ) -> Result<Outcome<SearchResult>, TrainError> {
        let path = self.path(name);
        let run = match path.join("run.toml").exists() {
            true => RunFolder::resume(&path)?,
            false => RunFolder::create(&path, &toml::to_string(config).unwrap())?,
        };
        let (mut events, stop) = stop_at.watched();
        select(trained, config, &run, &mut events, &stop)
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }
}

/// When to ask a run to stop.
#[derive(Clone, Copy)]
enum Stop {
    Never,
    AfterStep(u64),
    AfterEvaluation(usize),
}

struct Watch(Stop, Arc<AtomicBool>);

impl Observer for Watch {
    fn observe(&mut self, event: &Event) {
        let reached = match (self.0, event) {
            (Stop::AfterStep(at), Event::Step { step, .. }) => *step == at,
            (Stop::AfterEvaluation(at), Event::Evaluated { done, .. }) => *done == at,
            _ => false,
        };
        if reached {
            self.1.store(true, Ordering::Relaxed);
        }
    }
}

impl Stop {
    fn watched(self) -> (Events, Arc<AtomicBool>) {
        let stop = Arc::new(AtomicBool::new(false));
        let mut events = Events::default();
        events.add(Watch(self, stop.clone()));
        (events, stop)
    }
}

fn done(outcome: Result<Outcome<SearchResult>, TrainError>) -> SearchResult {
    match outcome.unwrap() {
        Outcome::Done(result) => result,
        Outcome::Stopped { step } => panic!("stopped at {step}"),
    }
}

/// What does not depend on the clock.
fn timeless(mut result: SearchResult) -> SearchResult {
    result.timing = Default::default();
    result
}

#[test]
fn every_selector_can_end_a_search() {
    let place = Place::new();
    for name in SelectorName::ALL {
        let mut config = place.config();
        config.select.selector = Some(name);
        config.budget.min_macs = Some(1_500_000);
        config.budget.buckets = 2;
        let result = done(place.search(name.as_str(), &config, Stop::Never));
        assert_eq!((result.selector, result.kind.as_str()), (name, "search"));
        assert!(config.budget.budget().contains(&result.cost), "{name}");
        assert!(
            result
                .family
                .iter()
                .all(|member| config.budget.budget().contains(&member.cost))
        );
        assert!(
            !result.board.is_empty(),
            "the board is told whatever chooses"
        );
        assert_eq!(result.front.is_empty(), name != SelectorName::Nsga2);
        let text = place.read(&format!("{name}/evaluations.jsonl"));
        assert_eq!(text.lines().count(), 1 + result.evaluations);
        let metrics = place.read(&format!("{name}/metrics.jsonl"));
        let events = metrics
            .lines()
            .map(|line| serde_json::from_str(line).unwrap());
        let evaluated = events.filter(|event| matches!(event, Event::Evaluated { .. }));
        assert_eq!(evaluated.count(), result.evaluations);
        let file: SearchResult =
            serde_json::from_str(&place.read(&format!("{name}/result.json"))).unwrap();
        assert_eq!(file, result);
    }
}

#[test]
fn every_selector_can_choose_again_within_another_budget() {
    let place = Place::new();
    let config = place.config();
    let found = done(place.search("run", &config, Stop::Never));
    assert_eq!(found.selector, SelectorName::Board, "the method's own");
    let trained = place.trained("run");
    assert_eq!(trained.step, 10);
    assert_eq!(trained.board.as_ref(), Some(&found.board));
    // What the search said of its winner is what the supernet says now.
    let (accuracy, _) = trained.validate(&found.architecture.architecture).unwrap();
    assert_eq!(accuracy, found.validation);

    for name in SelectorName::ALL {
        let mut config = SelectConfig::of(&trained.config);
        config.select.selector = Some(name);
        config.select.seed = Some(9);
        config.budget.max_macs = Some(match name {
            SelectorName::Board => 4_000_000,
            _ => 2_000_000,
        });
        let result = done(place.select(name.as_str(), &trained, &config, Stop::Never));
        assert_eq!((result.selector, result.kind.as_str()), (name, "select"));
        assert_eq!((result.method.as_str(), result.seed), ("cream", 9));
        assert!(config.budget.budget().contains(&result.cost), "{name}");
        let lines = place.read(&format!("{name}/evaluations.jsonl"));
        for line in lines.lines().skip(1) {
            let evaluation: serde_json::Value = serde_json::from_str(line).unwrap();
            assert!(
                evaluation["macs"].as_u64() <= config.budget.max_macs,
                "{name}: {line}"
            );
        }
        if name == SelectorName::Board {
            assert_eq!(result.architecture, found.architecture);
        }

        // The model file alone reproduces the validation accuracy.
        let device = creamery_nn::Device::flex();
        let model = Model::load(
            &place.path(name.as_str()).join("model.safetensors"),
            &device,
        )
        .unwrap();
        assert_eq!(model.net.architecture, result.architecture.architecture);
        let held_out = trained.data.validation.as_ref().unwrap();
        let accuracy = evaluate(
            &model.net,
            held_out,
            &model.input.pipeline(28),
            12,
            0,
            &device,
        )
        .unwrap();
        assert_eq!(accuracy, result.validation);
    }
}

#[test]
fn a_selection_that_was_stopped_ends_in_the_same_bits() {
    let place = Place::new();
    let mut config = place.config();
    config.select.selector = Some(SelectorName::Evolution);
    let expected = done(place.search("whole", &config, Stop::Never));
    assert_eq!(expected.evaluations, 12);
    for at in [3, 11] {
        let outcome = place
            .search("parts", &config, Stop::AfterEvaluation(at))
            .unwrap();
        assert_eq!(outcome, Outcome::Stopped { step: 10 });
        assert!(!place.path("parts/result.json").exists());
    }
    let found = done(place.search("parts", &config, Stop::Never));
    assert_eq!(timeless(found), timeless(expected));

    // The same of a selection by itself, from a search that has trained half of its steps.
    place.search("half", &config, Stop::AfterStep(4)).unwrap();
    let trained = place.trained("half");
    assert_eq!(trained.step, 5);
    let settings = SelectConfig::of(&trained.config);
    let expected = done(place.select("one", &trained, &settings, Stop::Never));
    let outcome = place
        .select("two", &trained, &settings, Stop::AfterEvaluation(5))
        .unwrap();
    assert_eq!(outcome, Outcome::Stopped { step: 5 });
    let found = done(place.select("two", &place.trained("half"), &settings, Stop::Never));
    assert_eq!(timeless(found), timeless(expected));

    for (one, two) in [("whole", "parts"), ("one", "two")] {
        for file in ["evaluations.jsonl", "model.safetensors"] {
            let read = |folder: &str| std::fs::read(place.path(folder).join(file)).unwrap();
            assert!(read(one) == read(two), "{file} of {one} and {two}");
        }
    }
}

#[test]
fn evaluations_are_those_of_one_state_of_the_supernet() {
    let place = Place::new();
    let mut config = place.config();
    config.select.selector = Some(SelectorName::Random);
    done(place.search("run", &config, Stop::Never));
    let trained = place.trained("run");
    let settings = SelectConfig::of(&trained.config);
    place
        .select("s", &trained, &settings, Stop::AfterEvaluation(2))
        .unwrap();
    let before = place.read("s/evaluations.jsonl");

    let mut other = settings.clone();
    other.select.images = 8;
    let error = place
        .select("s", &trained, &other, Stop::Never)
        .unwrap_err();
    assert!(
        error.is_usage() && error.to_string().contains("images `16`"),
        "{error}"
    );

    // The search trains on: its own evaluations begin anew, those of a selection are refused.
    config.train.epochs = 3;
    let longer = done(place.search("run", &config, Stop::Never));
    let text = place.read("run/evaluations.jsonl");
    assert_eq!(text.lines().count(), 1 + longer.evaluations);
    assert!(
        text.lines().next().unwrap().contains(r#""step":"15""#),
        "{text}"
    );
    let error = place
        .select("s", &place.trained("run"), &settings, Stop::Never)
        .unwrap_err();
    assert!(
        error.is_usage() && error.to_string().contains("step `10`"),
        "{error}"
    );
    assert_eq!(place.read("s/evaluations.jsonl"), before);
    done(place.select("s", &trained, &settings, Stop::Never));
}

#[test]
fn what_cannot_be_selected_is_refused() {
    let place = Place::new();
    let config = place.config();
    done(place.search("run", &config, Stop::Never));
    let trained = place.trained("run");
    let refuse = |change: &dyn Fn(&mut SelectConfig), says: &str| {
        let mut config = SelectConfig::of(&trained.config);
        change(&mut config);
        let error = place
            .select("s", &trained, &config, Stop::Never)
            .unwrap_err();
        assert!(
            error.is_usage() && error.to_string().contains(says),
            "{error}"
        );
        assert!(!place.path("s/evaluations.jsonl").exists());
        std::fs::remove_dir_all(place.path("s")).unwrap();
    };
    refuse(&|c| c.budget.max_macs = Some(1000), "nearest");
    refuse(&|c| c.budget.buckets = 0, "budget.buckets");
    refuse(&|c| c.select.population = 0, "select.population");
    refuse(&|c| c.data.validation = 0.1, "`data.validation` is 0.1");
    refuse(&|c| c.seed = 3, "`seed` is 3");
    refuse(&|c| c.data.split_seed = Some(9), "`data.split_seed` is 9");

    // A budget without a path of the board is only known when the board has been asked.
    let mut config = SelectConfig::of(&trained.config);
    config.budget.min_macs = Some(8_000_000);
    config.budget.max_macs = None;
    let error = place
        .select("s", &trained, &config, Stop::Never)
        .unwrap_err();
    assert!(
        error.is_usage() && error.to_string().contains("no path of the board"),
        "{error}"
    );
}

#[test]
fn a_folder_that_holds_no_trained_supernet_is_refused() {
    let place = Place::new();
    let refused = |name: &str, says: &str| {
        let folder: &Path = &place.path(name);
        let opened = Trained::config(folder).and_then(|config| Trained::open(folder, config));
        let error = opened.err().expect("there is none");
        assert!(
            error.is_usage() && error.to_string().contains(says),
            "{error}"
        );
    };
    refused("nowhere", "holds no run");
    std::fs::create_dir(place.path("retrained")).unwrap();
    std::fs::write(
        place.path("retrained/run.toml"),
        "seed = 0\ninit = \"scratch\"\n",
    )
    .unwrap();
    refused("retrained", "holds no search");
    let config = place.config();
    place.search("run", &config, Stop::AfterStep(2)).unwrap();
    std::fs::remove_dir_all(place.path("run/checkpoint")).unwrap();
    refused("run", "no checkpoint");

    place.search("moved", &config, Stop::AfterStep(2)).unwrap();
    let mut images = std::fs::read(place.path("train-images-idx3-ubyte")).unwrap();
    images[5000] ^= 1;
    std::fs::write(place.path("train-images-idx3-ubyte"), images).unwrap();
    refused("moved", "data");
}
