//! Tables that were measured hold what they should, whatever the clock says.

use creamery_export::latency::{Effort, Input, Machine, Progress, Runtime, draw, measure, profile};
use creamery_nn::Device;
use creamery_space::{LatencyTable, Space};

const INPUT: Input = Input {
    resolution: 28,
    channels: 1,
    classes: 10,
    batch: 2,
};

fn small() -> Space {
    let mut space = Space::builtin("tiny-32").unwrap();
    space.operations.truncate(2);
    space
}

#[test]
fn a_profile_is_a_table_of_the_space() {
    a_profile_with(Runtime::Creamery);
}

/// The Cargo feature is on in tests.
#[test]
fn a_profile_in_tract_is_a_table_of_the_space() {
    a_profile_with(Runtime::Tract);
}

fn a_profile_with(runtime: Runtime) {
    let space = small();
    let device = &Device::flex();
    let machine = Machine { runtime, device };
    let mut told: Vec<Progress> = Vec::new();
    let mut tell = |progress| told.push(progress);
    let effort = Effort::Runs(9);
    let named = (machine, "cpu");
    let table = profile(&space, INPUT, effort, 0, named, &mut tell).unwrap();
    assert_eq!((table.batch, table.runtime.as_str()), (2, runtime.name()));
    assert_eq!(table.threads, runtime.threads());

    // It reads back, and the space takes it.
    let table = LatencyTable::from_json(&table.to_json(), "t.json").unwrap();
    let timed = space.clone().with_latency(table.clone()).unwrap();
    let blocks = space.blocks(28, 1, 10).unwrap();
    assert_eq!(table.blocks.len(), blocks.len());
    for (block, time) in blocks.iter().zip(&table.blocks) {
        assert_eq!(time.name, block.block_name());
        assert!(time.runs.unwrap() >= 9, "{time:?}");
        assert!(time.low_ns.unwrap() <= time.median_ns && time.median_ns <= time.high_ns.unwrap());
        // Equal blocks were timed together.
        for (other, others) in blocks.iter().zip(&table.blocks) {
            if (&other.spec, other.input_size) == (&block.spec, block.input_size) {
                assert_eq!((others.median_ns, others.runs), (time.median_ns, time.runs));
            }
        }
    }
    let parts: Vec<f64> = told.iter().map(|progress| progress.part).collect();
    assert!(parts.is_sorted() && parts.last() == Some(&1.0), "{parts:?}");

    // Whole networks of the space with the table are measured like those without.
    let networks = draw(&timed, INPUT, 3, "test", 0).unwrap();
    let times = measure(
        &timed,
        &networks,
        INPUT,
        Effort::Runs(1),
        0,
        machine,
        &mut |_| {},
    );
    let times = times.unwrap();
    assert!(times.len() == 3 && times.iter().all(|time| *time > 0));
}

#[test]
fn what_cannot_be_measured_is_an_error() {
    let (space, device) = (small(), &Device::flex());
    let runtime = Runtime::Creamery;
    for (input, says) in [
        (Input { batch: 0, ..INPUT }, "batch is 0"),
        (
            Input {
                resolution: 30,
                ..INPUT
            },
            "resolution 30",
        ),
        (
            Input {
                classes: 0,
                ..INPUT
            },
            "classes",
        ),
    ] {
        let named = (Machine { runtime, device }, "cpu");
        let error = profile(&space, input, Effort::Runs(1), 0, named, &mut |_| {}).unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
        assert!(error.is_usage());
    }
}
