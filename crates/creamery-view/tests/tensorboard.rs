//! Event files, read back record by record.

use std::fs;
use std::path::Path;

use creamery_train::event::{Event, Images, Observer};
use creamery_train::{Confusion, RunFolder};
use creamery_view::tensorboard::{FOLDER, TensorBoard, convert};
use prost::Message;

/// The messages as a reader has them that knows nothing of the writer: field numbers are those of TensorBoard's `.proto` files.
mod read {
    use prost::Message;

    #[derive(Clone, PartialEq, Message)]
    pub struct Event {
        #[prost(int64, tag = "2")]
        pub step: i64,
        #[prost(string, tag = "3")]
        pub file_version: String,
        #[prost(message, optional, tag = "5")]
        pub summary: Option<Summary>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Summary {
        #[prost(message, repeated, tag = "1")]
        pub value: Vec<Value>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Value {
        #[prost(string, tag = "1")]
        pub tag: String,
        #[prost(float, optional, tag = "2")]
        pub simple_value: Option<f32>,
        #[prost(message, optional, tag = "4")]
        pub image: Option<Image>,
        #[prost(message, optional, tag = "8")]
        pub tensor: Option<Tensor>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Image {
        #[prost(int32, tag = "2")]
        pub width: i32,
        #[prost(bytes = "vec", tag = "4")]
        pub encoded_image_string: Vec<u8>,
    }

    #[derive(Clone, PartialEq, Message)]
    pub struct Tensor {
        #[prost(bytes = "vec", repeated, tag = "8")]
        pub string_val: Vec<Vec<u8>>,
    }
}

/// CRC-32C bit by bit.
fn crc(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ if crc & 1 == 1 { 0x82f6_3b78 } else { 0 };
        }
    }
    !crc
}

fn masked(bytes: &[u8]) -> u32 {
    let crc = crc(bytes);
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The records of the run's only event file.
fn records(run: &Path) -> Vec<read::Event> {
    let files: Vec<_> = fs::read_dir(run.join(FOLDER))
        .unwrap()
        .map(|f| f.unwrap().path())
        .collect();
    assert_eq!(files.len(), 1, "{files:?}");
    let bytes = fs::read(&files[0]).unwrap();
    let (mut rest, mut events) = (&bytes[..], Vec::new());
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
    while !rest.is_empty() {
        let length = u64::from_le_bytes(rest[..8].try_into().unwrap()) as usize;
        assert_eq!(number(&rest[8..12]), masked(&rest[..8]));
        let data = &rest[12..12 + length];
        assert_eq!(number(&rest[12 + length..16 + length]), masked(data));
        events.push(read::Event::decode(data).unwrap());
        rest = &rest[16 + length..];
    }
    assert_eq!(events[0].file_version, "brain.Event:2");
    events
}

fn scalars(run: &Path, tag: &str) -> Vec<(i64, f32)> {
    let all = records(run);
    let values = all.iter().flat_map(|event| {
        let values = event.summary.iter().flat_map(|summary| &summary.value);
        values
            .filter(|value| value.tag == tag)
            .map(|value| (event.step, value.simple_value.unwrap()))
    });
    values.collect()
}

fn started(step: u64) -> Event {
    Event::Started {
        task: "retrain".into(),
        epochs: 2,
        steps_per_epoch: 4,
        batch: 8,
        step,
        images: Images {
            train: 32,
            validation: 0,
            test: 4,
        },
    }
}

fn step(step: u64, loss: f64) -> Event {
    Event::Step {
        step,
        epoch: step / 4,
        loss,
        top1: 50.0,
        lr: 0.1,
        grad_norm: 1.0,
        macs: 7,
        teacher: None,
    }
}

/// Tells an observer events, and writes them to the run's metrics afterwards as the engine does.
fn tell(run: &RunFolder, observer: &mut TensorBoard, events: &[Event], metrics: &mut String) {
    for event in events {
        observer.observe(event);
        metrics.push_str(&(serde_json::to_string(event).unwrap() + "\n"));
        fs::write(run.file("metrics.jsonl"), &metrics).unwrap();
    }
}

#[test]
fn a_run_that_goes_on_has_every_step_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run");
    let run = RunFolder::create(&path, "seed = 1\n").unwrap();
    let mut metrics = String::new();
    let mut observer = TensorBoard::of(&path);
    tell(
        &run,
        &mut observer,
        &[started(0), step(0, 3.0), step(1, 2.5)],
        &mut metrics,
    );
    let saved = metrics.clone();
    tell(
        &run,
        &mut observer,
        &[step(2, 2.0), step(3, 9.0)],
        &mut metrics,
    );
    drop(observer);
    assert_eq!(scalars(&path, "train/loss").len(), 4);

    // Killed; it goes on after step 1, where its state was saved.
    metrics = saved;
    fs::write(run.file("metrics.jsonl"), &metrics).unwrap();
    let mut observer = TensorBoard::of(&path);
    tell(
        &run,
        &mut observer,
        &[started(2), step(2, 2.0), step(3, 1.5)],
        &mut metrics,
    );
    drop(observer);
    let expected = [(0, 3.0), (1, 2.5), (2, 2.0), (3, 1.5)];
    assert_eq!(scalars(&path, "train/loss"), expected);

    // Made afterwards it is the same.
    assert_eq!(convert(&path).unwrap(), 6);
    assert_eq!(scalars(&path, "train/loss"), expected);
}

#[test]
fn the_confusion_matrix_is_a_picture_and_warnings_are_texts() {
    let folder = tempfile::tempdir().unwrap();
    let warning = Event::Warning {
        message: "a sentence".into(),
    };
    let half = &serde_json::to_string(&step(1, 1.0)).unwrap()[..30];
    let lines = [started(0), step(0, 3.0), warning]
        .map(|event| serde_json::to_string(&event).unwrap())
        .join("\n");
    fs::write(
        folder.path().join("metrics.jsonl"),
        format!("{lines}\n{{\"event\":\"later\"}}\n{half}"),
    )
    .unwrap();
    let names = ["a", "b", "c"].map(str::to_owned);
    let mut confusion = Confusion::new(&names);
    confusion.add(0, Some(0));
    confusion.add(1, Some(2));
    fs::write(
        folder.path().join("confusion.json"),
        serde_json::to_string(&confusion).unwrap(),
    )
    .unwrap();
    assert_eq!(convert(folder.path()).unwrap(), 3);
    let all = records(folder.path());
    let values: Vec<_> = all
        .iter()
        .flat_map(|event| event.summary.iter().flat_map(|s| &s.value))
        .collect();
    let text = values.iter().find(|value| value.tag == "warning").unwrap();
    assert_eq!(text.tensor.as_ref().unwrap().string_val, [b"a sentence"]);
    let image = values
        .iter()
        .find_map(|value| value.image.as_ref())
        .unwrap();
    assert!(image.width >= 320 && image.encoded_image_string.starts_with(b"\x89PNG"));
}

#[test]
fn a_run_goes_on_where_nothing_can_be_written() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(FOLDER), "a file in the way").unwrap();
    let mut observer = TensorBoard::of(folder.path());
    observer.observe(&started(0));
    observer.observe(&step(0, 1.0));
    drop(observer);
    let error = convert(folder.path()).unwrap_err().to_string();
    assert!(
        error.starts_with("cannot write TensorBoard's files to `"),
        "{error}"
    );
}
