//! Any text as a latency table: of `tiny-32` it can be used, and is the same when it was written and read.
#![no_main]

use std::sync::LazyLock;

use creamery_space::{LatencyTable, Space};
use libfuzzer_sys::fuzz_target;

static TINY: LazyLock<Space> =
    LazyLock::new(|| Space::builtin("tiny-32").expect("a built-in space"));

fuzz_target!(|text: &str| {
    let Ok(table) = LatencyTable::from_json(text, "table.json") else {
        return;
    };
    let again = LatencyTable::from_json(&table.to_json(), "table.json");
    assert_eq!(again.expect("what was written is read"), table);
    let (resolution, channels, classes) = (table.resolution, table.channels, table.classes);
    let Ok(space) = TINY.clone().with_latency(table) else {
        return;
    };
    if let Ok(largest) = space.largest(resolution) {
        let _ = space.cost(&largest, channels, classes);
    }
});
