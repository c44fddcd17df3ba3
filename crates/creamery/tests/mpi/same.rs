//! Ranks that share a batch train what one process trains.

use crate::job::{difference, done, events, losses, turn};
use crate::support::{Place, TINY_SEARCH};

/// 24 steps: four epochs of six. At a low rate: sums of ranks are rounded otherwise than those of one process, and what that
/// makes of later steps grows with the rate.
const DATA: &str = "--data mnist:digits --batch 8 --set train.epochs=4 --set data.validation=0.2 --set train.lr=0.01";

fn assert_alike(place: &Place, runs: [&str; 2], steps: usize, tolerance: f64) {
    let [one, two] = runs.map(|run| losses(place, run));
    assert_eq!((one.len(), two.len()), (steps, steps));
    for (step, (a, b)) in one.iter().zip(&two).enumerate() {
        assert!((a - b).abs() <= tolerance, "step {step}: {a} and {b}");
    }
}

#[test]
fn a_search_on_two_ranks_with_synchronised_norms_is_that_of_one_process() {
    let _turn = turn();
    let place = Place::with_digits();
    let line = format!("search {DATA} {TINY_SEARCH} --set train.sync_norm=true -q --out");
    place.done(&format!("{line} one --threads 1"));
    done(&place, 2, &format!("{line} two"));
    assert_alike(&place, ["one", "two"], 24, 1e-5);
    let [one, two] =
        ["one", "two"].map(|run| place.path(&format!("{run}/checkpoint/latest.safetensors")));
    let (most, count) = difference(&one, &two);
    assert!(
        most <= 1e-5 && count > 100_000,
        "{most} over {count} values"
    );
    let [one, two] = ["one", "two"].map(|run| place.json(&format!("{run}/result.json")));
    assert_eq!(one["architecture"], two["architecture"]);
    assert_eq!(one["board"], two["board"]);
    assert_eq!(one["validation"]["top1"], two["validation"]["top1"]);
}

#[test]
fn a_retraining_with_everything_random_is_that_of_one_process() {
    let _turn = turn();
    let place = Place::with_digits();
    let line = format!(
        "retrain tiny.json {DATA} --set train.sync_norm=true --set mix.mixup=0.4 --set mix.cutmix=1 --set dropout=0.2 \
         --set drop_path=0.1 --set data.crop_padding=2 --set ema=0.9 -q --out"
    );
    place.done(&format!("{line} one --threads 1"));
    done(&place, 2, &format!("{line} two"));
    assert_alike(&place, ["one", "two"], 24, 2e-5);
    let [one, two] = ["one", "two"].map(|run| place.path(&format!("{run}/model.safetensors")));
    let (most, _) = difference(&one, &two);
    assert!(most <= 2e-5, "{most}");
    let [one, two] = ["one", "two"].map(|run| place.json(&format!("{run}/result.json")));
    assert_eq!(one["top1"], two["top1"]);
    assert_eq!(
        place.read("one/confusion.json"),
        place.read("two/confusion.json")
    );
}

/// Each path has its own part of the batch, with norms of its own, so nothing depends on who trains it.
#[test]
fn ranks_with_paths_of_their_own_train_as_one_process_with_all() {
    let _turn = turn();
    let place = Place::with_digits();
    for method in ["spos", "cream", "cream-elastic"] {
        let line = format!(
            "search --method {method} {DATA} {TINY_SEARCH} --paths-per-step 4 --selector random \
             --set select.candidates=5 --set select.images=8 -q --out {method}"
        );
        place.done(&format!("{line}-1 --threads 1"));
        done(&place, 2, &format!("{line}-2"));
        let runs = [format!("{method}-1"), format!("{method}-2")];
        assert_alike(&place, [&runs[0], &runs[1]], 24, 1e-4);
        let [one, two] = runs.map(|run| place.json(&format!("{run}/result.json")));
        assert_eq!(one["architecture"], two["architecture"], "{method}");
    }
}

/// What goes over the network in a step is what the path has, not what the supernet has.
#[test]
fn only_the_active_path_is_summed() {
    let _turn = turn();
    let place = Place::with_digits();
    done(
        &place,
        2,
        &format!("retrain tiny.json {DATA} -q --out retrain"),
    );
    let params = place.json("retrain/result.json")["params"]
        .as_u64()
        .unwrap();
    let statistics = {
        let (tensors, _) =
            creamery_train::checkpoint::read_weights(&place.path("retrain/model.safetensors"))
                .unwrap();
        let running = tensors.iter().filter(|t| t.name.contains(".running_"));
        running.map(|t| t.values.len() as u64).sum::<u64>()
    };
    let epochs = events(&place, "retrain", "epoch");
    assert_eq!(epochs.len(), 4);
    for epoch in epochs {
        // The loss, what was right, and whether to stop.
        assert_eq!(epoch["summed_bytes"], 4 * (params + statistics + 3));
    }
    let line = format!(
        "search --method spos {DATA} {TINY_SEARCH} --set select.candidates=2 --selector random -q"
    );
    done(&place, 2, &format!("{line} --out search"));
    let (all, _) = creamery_train::checkpoint::read_weights(
        &place.path("search/checkpoint/latest.safetensors"),
    )
    .unwrap();
    let supernet = all.iter().filter(|t| t.name.starts_with("supernet:"));
    let supernet: u64 = supernet.map(|t| 4 * t.values.len() as u64).sum();
    for epoch in events(&place, "search", "epoch") {
        let bytes = epoch["summed_bytes"].as_u64().unwrap();
        assert!(
            bytes > 4 * params / 2 && bytes < supernet / 2,
            "{bytes} of {supernet}"
        );
    }
}
