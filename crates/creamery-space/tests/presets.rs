//! The published networks cost what their authors' own code counts.

use creamery_space::{Architecture, Space, preset, preset_names};

#[test]
fn every_column_of_the_published_table() {
    let space = Space::builtin("cream-224").unwrap();
    let table = [
        ("cream-14", 13_188_608, 2_673_096, "13.84"),
        ("cream-43", 40_655_232, 4_398_600, "42.41"),
        ("cream-114", 109_623_680, 4_410_120, "114.48"),
        ("cream-287", 276_262_016, 6_044_368, "287.19"),
        ("cream-481", 460_398_080, 7_713_360, "481.59"),
        ("cream-604", 578_698_368, 9_695_624, "604.32"),
    ];
    assert!(preset_names().eq(table.iter().map(|row| row.0)));
    for (name, macs, params, mflops) in table {
        let preset = preset(name).unwrap();
        let cost = space.cost(&preset.architecture, 3, 1000).unwrap();
        assert_eq!(cost.macs, macs, "{name}");
        assert_eq!(cost.params, params, "{name}");
        assert_eq!(format!("{:.2}", cost.flops_thop as f64 / 1e6), mflops);
        assert_eq!(format!("{:.2}", preset.published_mflops), mflops);
        assert!(preset.top1 < preset.top5);
    }
    assert!(preset("cream-15").is_none());
}

/// Resolution changes the work and not the weights; classes and image channels change both.
#[test]
fn what_the_input_and_the_classes_change() {
    let space = Space::builtin("cream-224").unwrap();
    let at = |resolution| Architecture {
        resolution,
        ..preset("cream-43").unwrap().architecture
    };
    let base = space.cost(&at(96), 3, 1000).unwrap();
    let larger = space.cost(&at(192), 3, 1000).unwrap();
    assert_eq!(larger.params, base.params);
    assert!(larger.macs > 3 * base.macs);
    let ten = space.cost(&at(96), 3, 10).unwrap();
    assert_eq!(base.params - ten.params, 990 * 1281);
    assert_eq!(base.macs - ten.macs, 990 * 1280);
    let grey = space.cost(&at(96), 1, 1000).unwrap();
    assert_eq!(base.params - grey.params, 2 * 9 * 16);
    assert_eq!(base.macs - grey.macs, 2 * 9 * 16 * 48 * 48);
}
