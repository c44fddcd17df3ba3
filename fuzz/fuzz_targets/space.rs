//! Any text as a space's TOML, and what follows the first NUL as the JSON of an architecture of it.
#![no_main]

use creamery_space::{Architecture, Budget, Sampler, Space};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let (toml, json) = text.split_once('\0').unwrap_or((text, ""));
    let Ok(space) = Space::from_toml(toml, "space.toml") else {
        return;
    };
    let again = Space::from_toml(&space.to_toml(), "space.toml").expect("what was written is read");
    assert_eq!(again.fingerprint(), space.fingerprint());
    let resolution = space.resolution_for(None);
    let largest = space
        .largest(resolution)
        .expect("its own resolution suits a space");
    space
        .cost(&largest, 3, 1000)
        .expect("a network of the space has a cost");
    let budget = Budget::up_to_macs(5_000_000);
    if let Ok(sampler) = Sampler::new(&space, resolution, 3, 1000, &budget) {
        sampler.draw(&mut creamery_rng::stream(0, "fuzz", 0));
    }
    let Ok(architecture) = serde_json::from_str::<Architecture>(json) else {
        return;
    };
    if space.validate(&architecture).is_ok() {
        space
            .cost(&architecture, 3, 1000)
            .expect("an architecture of the space has a cost");
        let _ = space.to_timm(&architecture);
    }
});
