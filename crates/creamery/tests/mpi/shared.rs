//! Work that ranks share out: selections, rankings, tables; and what only one of them does.

use crate::job::{done, run, turn};
use crate::support::{Place, TINY, TINY_SEARCH};

#[test]
fn a_selection_finds_what_one_process_finds() {
    let _turn = turn();
    let place = Place::with_digits();
    place.done(&format!(
        "search {TINY} {TINY_SEARCH} -q --out run --threads 1"
    ));
    let select = "select run --set select.images=12 --set select.candidates=7 --set select.population=6 \
                  --set select.generations=3 --set select.parents=3 -q";
    for selector in ["random", "evolution", "nsga2", "reinforce", "board"] {
        let line = format!("{select} --selector {selector} --out {selector}");
        place.done(&format!("{line}-1 --threads 1"));
        done(&place, 3, &format!("{line}-3"));
        let [one, three] = [1, 3].map(|n| place.json(&format!("{selector}-{n}/result.json")));
        for key in ["architecture", "front", "family", "evaluations"] {
            assert_eq!(one[key], three[key], "{selector}");
        }
        // The same paths in the same order, with the same scores.
        let [one, three] = [1, 3].map(|n| place.read(&format!("{selector}-{n}/evaluations.jsonl")));
        assert_eq!(one, three, "{selector}");
    }
}

#[test]
fn rankings_and_tables_are_made_together() {
    let _turn = turn();
    let place = Place::with_digits();
    place.done(&format!(
        "search {TINY} {TINY_SEARCH} -q --out run --threads 1"
    ));
    let line = "rank run --subnets 5 --epochs 5 --set train.batch=8 --set train.lr=0.05 --set ema=0 -q --out rank";
    done(&place, 2, line);
    let ranking = place.json("rank/rank.json");
    assert_eq!(ranking["paths"].as_array().unwrap().len(), 5);
    assert!(ranking["paths"][4]["alone"].is_number());

    place.write(
        "table.toml",
        "name = \"two\"\nseeds = [0]\n\
         [search]\nmethod = \"spos\"\ndata = { source = \"mnist:digits\", validation = 0.2 }\n\
         train = { batch = 8, epochs = 1 }\nselect = { selector = \"random\", candidates = 3, images = 8 }\n\
         [retrain]\ntrain = { batch = 8, epochs = 1 }\n\
         [[rows]]\nname = \"a\"\n\
         [[rows]]\nname = \"b\"\nretrain = false\n",
    );
    done(&place, 2, "ablate --config table.toml -q --out table");
    let table = place.json("table/table.json");
    assert_eq!(table["finished"], 2);
}

/// One answer, one progress, one writer.
#[test]
fn rank_0_speaks_for_all() {
    let _turn = turn();
    let place = Place::with_digits();
    let output = run(
        &place,
        3,
        "retrain tiny.json --data mnist:digits --batch 12 --epochs 1 --json --out run",
    );
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(answer["kind"], "retrain");
    assert_eq!(errors.matches("epoch 1/1").count(), 1, "{errors}");
    assert_eq!(errors.matches("3 ranks").count(), 1, "{errors}");
}
