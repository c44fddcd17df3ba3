//! What timm and PyTorch wrote is read, and computes what they computed.

use std::collections::{BTreeMap, HashMap};

use creamery_export::import::{Request, import};
use creamery_export::timm;
use creamery_space::{Architecture, Space};
use creamery_train::checkpoint::write_weights;

use crate::support::{assert_logits, fixture, grey, imported, json, state};

#[test]
fn every_container_holds_the_network_that_timm_computed() {
    let description = json("tiny.json");
    for (file, format, prefix, logits) in [
        ("tiny.safetensors", "safetensors", "", "logits"),
        ("tiny.pth", "torch.save", "", "logits"),
        (
            "tiny.pth.tar",
            "torch.save",
            "state_dict.module.",
            "half_logits",
        ),
        (
            "tiny-legacy.pth",
            "torch.save before 1.6",
            "module.",
            "half_logits",
        ),
    ] {
        let imported = imported(file);
        assert_eq!(
            (imported.format, imported.prefix.as_str()),
            (format, prefix)
        );
        let architecture = &imported.model.net.architecture;
        assert_eq!(architecture.to_string(), "tiny-32@28:0/03/4", "{file}");
        assert_eq!(imported.model.input.classes, ["0", "1", "2", "3"]);
        assert_logits(&imported.model, &description, logits);
    }
}

#[test]
fn a_network_of_cream_224_computes_what_timm_computed() {
    let description = json("cream.json");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("cream.safetensors");
    write_weights(&path, &state(&description), HashMap::new()).unwrap();
    let request = Request {
        resolution: Some(64),
        ..Request::default()
    };
    let imported = import(&path, &request).unwrap();
    let expected: Vec<Vec<i8>> = serde_json::from_value(description["choices"].clone()).unwrap();
    let architecture = Architecture::new("cream-224", 64, expected);
    assert_eq!(imported.model.net.architecture, architecture);
    assert_logits(&imported.model, &description, "logits");
    // What nobody said is told, and is what networks for photographs have.
    assert_eq!(imported.assumed.len(), 3, "{:?}", imported.assumed);
    assert_eq!(imported.model.input.mean, [0.485, 0.456, 0.406]);
    assert_eq!(imported.model.input.shorter_side, 74);
}

#[test]
fn an_export_has_exactly_timms_names_shapes_and_strings() {
    let description = json("tiny.json");
    let model = imported("tiny.pth").model;
    let written = timm::state(&model).unwrap();
    let written: BTreeMap<_, _> = written.iter().map(|t| (&t.name, t)).collect();
    let expected = state(&description);
    let expected: BTreeMap<_, _> = expected.iter().map(|t| (&t.name, t)).collect();
    assert_eq!(written, expected);
    let card = timm::Card::of(&model).unwrap();
    assert_eq!(
        card.network.blocks[2],
        ["ir_r1_k3_s2_e2_c32_se0.25", "ir_r1_k5_s1_e2_c32_se0.25"]
    );
    assert_eq!(
        (card.network.stem_size, card.network.num_features),
        (16, 512)
    );
}

#[test]
fn what_is_said_goes_before_what_is_usual() {
    let tiny = Space::builtin("tiny-32").unwrap();
    let architecture = Architecture::new("tiny-32", 32, vec![vec![0], vec![0, -1, 3], vec![4]]);
    let names = ["a", "b", "c", "d"].map(str::to_owned);
    let request = Request {
        network: Some((&tiny, &architecture)),
        classes: Some(names.to_vec()),
        shorter_side: Some(36),
        ..grey()
    };
    let imported = import(&fixture("tiny.pth"), &request).unwrap();
    assert_eq!(imported.model.net.architecture, architecture);
    assert_eq!(imported.model.net.architecture.choices[1], [0, -1, 3]);
    assert_eq!(imported.model.input.classes, names);
    assert_eq!(imported.model.input.shorter_side, 36);
    assert!(imported.assumed.is_empty(), "{:?}", imported.assumed);
}
