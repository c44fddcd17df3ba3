//! Whole retrainings of a tiny network: that each setting does what it says, and that a run which was interrupted
//! ends in the same bits as one that was not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use creamery_data::{Augment, DataSet, Mix, Split};
use creamery_nn::Device;
use creamery_space::{Architecture, Space};
use creamery_train::event::{Event, Events, Observer};
use creamery_train::{
    Candidate, Keep, Model, Outcome, RetrainConfig, RetrainResult, RunData, RunFolder, retrain,
};
use tempfile::TempDir;

const SIDE: usize = 28;

/// Images of two classes; `pixel` makes the pixels of image `i`.
fn data(
    count: usize,
    pixel: impl Fn(usize, usize) -> u8,
    label: impl Fn(usize) -> usize,
) -> DataSet {
    let split = |count: usize| {
        let pixels = (0..count)
            .flat_map(|i| (0..SIDE * SIDE).map(move |p| (i, p)))
            .map(|(i, p)| pixel(i, p))
            .collect();
        let labels: Vec<usize> = (0..count).map(&label).collect();
        Split::from_pixels([SIDE, SIDE, 1], pixels, &labels, 2).unwrap()
    };
    let classes = vec!["dark left".to_owned(), "dark right".to_owned()];
    DataSet::new("made", classes, split(count), split(16), Augment::default()).unwrap()
}

/// The darker half tells the class, through noise.
fn halves() -> DataSet {
    let noise = |i: usize, p: usize| ((i * 7919 + p * 104_729) % 97) as u8;
    let pixel = move |i: usize, p: usize| {
        let right = p % SIDE >= SIDE / 2;
        let bright = right == i.is_multiple_of(2);
        noise(i, p) + if bright { 100 } else { 0 }
    };
    data(64, pixel, |i| i % 2)
}

fn config() -> RetrainConfig {
    let mut config = RetrainConfig {
        dropout: 0.0,
        ema: 0.0,
        ..RetrainConfig::default()
    };
    config.train.epochs = 2;
    config.train.batch = 8;
    config.train.lr = 0.05;
    config.data.validation = 0.25;
    config.data.workers = 0;
    config
}

/// A run in a folder that lives as long as it does.
struct Run {
    folder: TempDir,
    set: DataSet,
    config: RetrainConfig,
    teacher: Option<Model>,
}

impl Run {
    fn new(set: DataSet, config: RetrainConfig) -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            set,
            config,
            teacher: None,
        }
    }

    /// Trains until the end, or until `stop` says to stop before a step.
    fn go(&self, stop_before: Option<u64>) -> (Outcome<RetrainResult>, Vec<Event>) {
        let space = Space::builtin("tiny-32").unwrap();
        let architecture = architecture();
        let data = RunData::prepare(self.set.clone(), &self.config.data, SIDE, self.config.seed);
        let path = self.folder.path().join("run");
        let run = if path.exists() {
            RunFolder::resume(&path).unwrap()
        } else {
            RunFolder::create(&path, &toml::to_string(&self.config).unwrap()).unwrap()
        };
        let candidate = Candidate {
            space: &space,
            architecture: &architecture,
            inherited: None,
            teacher: self.teacher.as_ref(),
        };
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::default();
        let mut events = Events::default();
        events.add(Watch {
            seen: Arc::clone(&seen),
            stop_before,
            stop: Arc::clone(&stop),
        });
        let outcome = retrain(
            &self.config,
            &candidate,
            &data.unwrap(),
            &run,
            &mut events,
            &stop,
        );
        drop(events);
        let seen = Arc::into_inner(seen).unwrap().into_inner().unwrap();
        (outcome.unwrap(), seen)
    }

    fn finish(&self) -> (RetrainResult, Vec<Event>) {
        match self.go(None) {
            (Outcome::Done(result), events) => (result, events),
            (stopped, _) => panic!("{stopped:?}"),
        }
    }

    fn model(&self) -> Model {
        let path = self.folder.path().join("run/model.safetensors");
        Model::load(&path, &Device::flex()).unwrap()
    }

    fn weights(&self) -> Vec<Vec<f32>> {
        let state = self.model().net.state();
        state.into_iter().map(|tensor| tensor.values).collect()
    }

    fn metrics(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("run/metrics.jsonl")).unwrap()
    }
}

fn architecture() -> Architecture {
    Architecture::new("tiny-32", SIDE, vec![vec![0, 0], vec![0, 0], vec![0]])
}

struct Watch {
    seen: Arc<std::sync::Mutex<Vec<Event>>>,
    stop_before: Option<u64>,
    stop: Arc<AtomicBool>,
}

impl Observer for Watch {
    fn observe(&mut self, event: &Event) {
        if let (Event::Step { step, .. }, Some(before)) = (event, self.stop_before)
            && step + 1 == before
        {
            self.stop.store(true, Ordering::Relaxed);
        }
        self.seen.lock().unwrap().push(event.clone());
    }
}

fn losses(events: &[Event]) -> Vec<f64> {
    let loss = |event: &Event| match event {
        Event::Step { loss, .. } => Some(*loss),
        _ => None,
    };
    events.iter().filter_map(loss).collect()
}

#[test]
fn an_interrupted_run_with_everything_on_ends_in_the_same_bits() {
    let taught = Run::new(halves(), config());
    taught.finish();
    let mut all = config();
    all.dropout = 0.2;
    all.drop_path = 0.2;
    all.ema = 0.9;
    all.accumulate = 3;
    all.keep = Keep::Best;
    all.mix = Mix {
        mixup: 0.4,
        cutmix: 1.0,
        ..Mix::default()
    };
    all.train.optimizer = creamery_train::optim::OptimizerKind::Adamw;
    all.train.lr = 0.002;
    all.distill.teacher = Some("given".into());
    all.train.epochs = 3;
    let run = || Run {
        teacher: Some(taught.model()),
        ..Run::new(halves(), all.clone())
    };
    let (whole, parted) = (run(), run());
    let (result, _) = whole.finish();
    // In the middle of an epoch, and at an epoch's end.
    for before in [2, 6] {
        let (outcome, _) = parted.go(Some(before));
        assert_eq!(outcome, Outcome::Stopped { step: before });
    }
    let (resumed, _) = parted.finish();
    assert_eq!(parted.weights(), whole.weights());
    let without_time = |result: &RetrainResult| RetrainResult {
        timing: Default::default(),
        ..result.clone()
    };
    assert_eq!(without_time(&resumed), without_time(&result));
    let steps = |text: String| -> Vec<String> {
        let lines = text
            .lines()
            .filter(|line| line.contains("\"step\",") || line.contains("event\":\"step\""));
        lines.map(str::to_owned).collect()
    };
    assert_eq!(steps(parted.metrics()), steps(whole.metrics()));
    assert_eq!(steps(whole.metrics()).len(), 18);
}

/// Batch norm sees each share alone, so the parts are like the whole only where all images are alike.
#[test]
fn a_batch_in_parts_is_the_whole_batch() {
    let alike = || data(64, |_, p| (p * 7 % 251) as u8, |i| i % 2);
    let of = |accumulate: usize| {
        let mut config = config();
        config.accumulate = accumulate;
        config.data.validation = 0.0;
        Run::new(alike(), config)
    };
    let whole = losses(&of(1).finish().1);
    for accumulate in [2, 3, 4] {
        let parts = losses(&of(accumulate).finish().1);
        assert_eq!(parts.len(), whole.len());
        for (part, whole) in parts.iter().zip(&whole) {
            assert!((part - whole).abs() < 1e-4, "{accumulate}: {part} {whole}");
        }
    }
}

#[test]
fn only_the_teacher_counts_when_its_weight_is_one() {
    let teacher = Run::new(halves(), config());
    teacher.finish();
    let taught = |labels: fn(usize) -> usize, weight: f64| {
        let plain = halves();
        let pixel = |i: usize, p: usize| plain.train.image(i).unwrap().pixels[p];
        let mut config = config();
        config.data.validation = 0.0;
        config.distill.teacher = Some("given".into());
        config.distill.weight = weight;
        config.distill.temperature = 2.0;
        let run = Run {
            teacher: Some(teacher.model()),
            ..Run::new(data(64, pixel, labels), config)
        };
        run.finish();
        run.weights()
    };
    let (right, wrong) = (|i: usize| i % 2, |i: usize| (i + 1) % 2);
    assert_eq!(taught(right, 1.0), taught(wrong, 1.0));
    assert_ne!(taught(right, 0.5), taught(wrong, 0.5));
}

#[test]
fn a_teacher_that_is_named_but_not_given_is_missed() {
    let mut config = config();
    config.distill.teacher = Some("somewhere".into());
    let run = Run::new(halves(), config);
    let space = Space::builtin("tiny-32").unwrap();
    let data = RunData::prepare(run.set.clone(), &run.config.data, SIDE, 0).unwrap();
    let folder = RunFolder::create(&run.folder.path().join("run"), "").unwrap();
    let candidate = Candidate {
        space: &space,
        architecture: &architecture(),
        inherited: None,
        teacher: None,
    };
    let stop = AtomicBool::new(false);
    let error = retrain(
        &run.config,
        &candidate,
        &data,
        &folder,
        &mut Events::default(),
        &stop,
    );
    assert!(error.unwrap_err().to_string().contains("somewhere"));
}

/// Labels that nothing tells apart cannot be learned, so the first epoch stays the best.
#[test]
fn training_ends_when_nothing_is_gained() {
    let mut config = config();
    config.train.epochs = 50;
    config.patience = 2;
    config.keep = Keep::Best;
    let run = Run::new(data(64, |_, p| (p * 7 % 251) as u8, |i| i % 2), config);
    let (result, events) = run.finish();
    assert!(result.epochs < 50, "{}", result.epochs);
    let best = result.best.unwrap();
    assert_eq!(result.epochs, best.epoch + 1 + 2);
    let validated: Vec<f64> = events
        .iter()
        .filter_map(|event| match event {
            Event::Epoch { validation, .. } => validation.map(|accuracy| accuracy.top1),
            _ => None,
        })
        .collect();
    assert_eq!(validated.len() as u64, result.epochs);
    assert_eq!(validated[best.epoch as usize], best.top1);
    let waits = events.iter().filter_map(|event| match event {
        Event::Epoch { data_wait, .. } => Some(*data_wait),
        _ => None,
    });
    let timing = result.timing;
    assert!(
        waits.clone().all(|wait| wait > 0.0),
        "no batch is free: {timing:?}"
    );
    assert!(
        (waits.sum::<f64>() - timing.data_wait).abs() <= 1e-9 && timing.data_wait < timing.seconds
    );
    assert_eq!(result.validation.unwrap().top1, best.top1);
    // A finished run that is gone on with trains no further.
    let (again, events) = run.finish();
    assert_eq!(again.epochs, result.epochs);
    assert!(losses(&events).is_empty());
}

#[test]
fn the_average_and_what_it_averages_are_both_measured() {
    let mut config = config();
    config.ema = 0.99;
    let run = Run::new(halves(), config);
    let (result, events) = run.finish();
    assert!(result.raw.is_some());
    let both = |event: &Event| {
        matches!(
            event,
            Event::Epoch {
                validation: Some(_),
                raw: Some(_),
                ..
            }
        )
    };
    assert_eq!(events.iter().filter(|event| both(event)).count(), 2);
    let text = std::fs::read_to_string(run.folder.path().join("run/confusion.json")).unwrap();
    let confusion: creamery_train::Confusion = serde_json::from_str(&text).unwrap();
    assert_eq!(confusion.images, [8, 8]);
    let right: u64 = (0..2).map(|class| confusion.counts[class][class]).sum();
    assert_eq!(100.0 * right as f64 / 16.0, result.top1);
}

#[test]
fn the_halves_are_learned_and_learning_them_mixed_is_too() {
    for mix in [
        Mix::default(),
        Mix {
            mixup: 0.2,
            ..Mix::default()
        },
    ] {
        let mut config = config();
        config.train.epochs = 6;
        config.mix = mix;
        let (result, _) = Run::new(halves(), config).finish();
        assert!(result.top1 >= 90.0, "{}", result.top1);
    }
}

#[test]
fn settings_out_of_range_are_named() {
    type Change = fn(&mut RetrainConfig);
    let wrong = |change: Change| {
        let mut config = config();
        change(&mut config);
        config.check().unwrap_err().to_string()
    };
    let cases: [(Change, &str); 8] = [
        (|c| c.drop_path = 1.0, "`drop_path` is 1"),
        (|c| c.accumulate = 0, "`accumulate` is 0"),
        (|c| c.accumulate = 5, "`accumulate` is 5"),
        (|c| c.mix.mixup = -1.0, "`mix.mixup` is -1"),
        (|c| c.mix.switch = 2.0, "`mix.switch` is 2"),
        (|c| c.distill.weight = 1.5, "`distill.weight` is 1.5"),
        (
            |c| c.distill.temperature = 0.0,
            "`distill.temperature` is 0",
        ),
        (
            |c| {
                c.patience = 1;
                c.data.validation = 0.0;
            },
            "`data.validation` above 0",
        ),
    ];
    for (change, expected) in cases {
        let message = wrong(change);
        assert!(message.contains(expected), "{message}");
    }
}
