//! What a table says once some of its cells are finished.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use toml::Table;

use super::plan::{Ablation, Row};
use super::spread::Spread;
use crate::result::SearchResult;

/// A table with its results: the text of its `table.json`. Accuracies are in percent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// `ablate`.
    pub kind: String,
    /// What the table is called.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// The command that makes it.
    pub command: String,
    /// The version of Creamery.
    pub version: String,
    /// Threads that computed; times say little without them.
    pub threads: usize,
    /// The data set whose test images the final accuracy is measured on.
    pub dataset: String,
    /// Fingerprint of each data set by its name.
    pub fingerprints: BTreeMap<String, String>,
    /// The seeds of every row.
    pub seeds: Vec<u64>,
    /// The whole configuration of a search whose row says nothing of its own, but for the seed.
    pub search: Table,
    /// The same of its retraining, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retrain: Option<Table>,
    /// Cells that are finished.
    pub finished: usize,
    /// Cells in all.
    pub cells: usize,
    /// The rows, in the order of the file.
    pub rows: Vec<ReportRow>,
    /// Each further row against the first.
    pub differences: Vec<Difference>,
}

/// A row with its results over the seeds that are finished.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportRow {
    /// What the row is called.
    pub name: String,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// What it says over the settings of the table: `search`, `retrain`.
    pub settings: Table,
    /// Multiply-accumulates of the winners.
    pub macs: Option<Spread>,
    /// Parameters of the winners.
    pub params: Option<Spread>,
    /// Top-1 of the winners on the held-out images, with the supernet's weights.
    pub validation_top1: Option<Spread>,
    /// Top-1 of the final networks on the test images.
    pub test_top1: Option<Spread>,
    /// Milliseconds of a search step, all that belongs to the training of a supernet included.
    pub search_ms_per_step: Option<Spread>,
    /// Seconds of search and retraining together.
    pub seconds: Option<Spread>,
    /// The finished cells, in the order of the seeds.
    pub cells: Vec<CellResult>,
}

/// What one row and seed came to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellResult {
    /// The seed.
    pub seed: u64,
    /// The cell's folder within that of the table.
    pub folder: String,
    /// The winner: space, resolution and choices.
    pub architecture: String,
    /// Its multiply-accumulates.
    pub macs: u64,
    /// Its parameters.
    pub params: u64,
    /// Its top-1 on the held-out images, with the supernet's weights.
    pub validation_top1: f64,
    /// Top-1 of the final network on the test images.
    pub test_top1: f64,
    /// Milliseconds of a search step; `None` if the clock saw no time pass.
    pub search_ms_per_step: Option<f64>,
    /// Seconds of the search.
    pub search_seconds: f64,
    /// Seconds of the retraining; `None` if there was none.
    pub retrain_seconds: Option<f64>,
}

/// A row against the first one, on the seeds that both have finished.
///
/// A seed decides the images held out, their order and the weights that all rows start from, so what a
/// seed does to both rows alike is no part of these differences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The row.
    pub row: String,
    /// The first row.
    pub to: String,
    /// The seeds.
    pub seeds: Vec<u64>,
    /// Test top-1 of the row less that of the first, in points, seed by seed.
    pub each: Vec<f64>,
    /// Mean and spread of them.
    pub test_top1: Option<Spread>,
}

/// What a report says of its making.
#[derive(Clone, Debug, Default)]
pub struct Making {
    /// The command that makes the table.
    pub command: String,
    /// Threads that compute.
    pub threads: usize,
    /// Fingerprint of each data set by its name.
    pub fingerprints: BTreeMap<String, String>,
}

impl CellResult {
    /// The result of a row's search with a seed, of `test_top1` percent on the test images in the end.
    pub fn new(
        row: &Row,
        seed: u64,
        search: &SearchResult,
        test_top1: f64,
        retrain_seconds: Option<f64>,
    ) -> Self {
        let batch = row.settings.search(seed).train.batch as f64;
        let pace = search.timing.images_per_second;
        Self {
            seed,
            folder: row.cell(seed),
            architecture: search.architecture.architecture.to_string(),
            macs: search.cost.macs,
            params: search.cost.params,
            validation_top1: search.validation.top1,
            test_top1,
            search_ms_per_step: (pace > 0.0).then(|| 1000.0 * batch / pace),
            search_seconds: search.timing.seconds,
            retrain_seconds,
        }
    }

    fn seconds(&self) -> f64 {
        self.search_seconds + self.retrain_seconds.unwrap_or(0.0)
    }
}

impl Report {
    /// The report of a table of which `results` are finished, in any order.
    pub fn new(ablation: &Ablation, results: &[CellResult], making: Making) -> Self {
        let row = |row: &Row| {
            let of_seed = |&seed: &u64| {
                let folder = row.cell(seed);
                results.iter().find(|cell| cell.folder == folder).cloned()
            };
            ReportRow::new(row, ablation.seeds.iter().filter_map(of_seed).collect())
        };
        let rows: Vec<ReportRow> = ablation.rows.iter().map(row).collect();
        let further = rows.iter().skip(1);
        let differences = further.map(|row| Difference::new(row, &rows[0])).collect();
        Self {
            kind: "ablate".into(),
            name: ablation.name.clone(),
            about: ablation.about.clone(),
            command: making.command,
            version: env!("CARGO_PKG_VERSION").into(),
            threads: making.threads,
            dataset: ablation.rows[0].settings.test_data().to_owned(),
            fingerprints: making.fingerprints,
            seeds: ablation.seeds.clone(),
            search: without_seed(&ablation.base.search(0)),
            retrain: ablation.base.retrain(0).as_ref().map(without_seed),
            finished: rows.iter().map(|row| row.cells.len()).sum(),
            cells: ablation.cells().count(),
            rows,
            differences,
        }
    }
}

impl ReportRow {
    fn new(row: &Row, cells: Vec<CellResult>) -> Self {
        let spread = |number: &dyn Fn(&CellResult) -> Option<f64>| {
            Spread::of(&cells.iter().filter_map(number).collect::<Vec<f64>>())
        };
        Self {
            name: row.name.clone(),
            about: row.about.clone(),
            settings: row.own.clone(),
            macs: spread(&|cell| Some(cell.macs as f64)),
            params: spread(&|cell| Some(cell.params as f64)),
            validation_top1: spread(&|cell| Some(cell.validation_top1)),
            test_top1: spread(&|cell| Some(cell.test_top1)),
            search_ms_per_step: spread(&|cell| cell.search_ms_per_step),
            seconds: spread(&|cell| Some(cell.seconds())),
            cells,
        }
    }
}

impl Difference {
    fn new(row: &ReportRow, first: &ReportRow) -> Self {
        let pairs = row.cells.iter().filter_map(|cell| {
            let other = first.cells.iter().find(|other| other.seed == cell.seed)?;
            Some((cell.seed, cell.test_top1 - other.test_top1))
        });
        let (seeds, each): (Vec<u64>, Vec<f64>) = pairs.unzip();
        Self {
            row: row.name.clone(),
            to: first.name.clone(),
            test_top1: Spread::of(&each),
            seeds,
            each,
        }
    }
}

fn without_seed(config: &impl Serialize) -> Table {
    let mut table = Table::try_from(config).expect("configurations are plain data");
    table.remove("seed");
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use creamery_train::Layers;

    const FILE: &str = "name = 't'\nseeds = [0, 1, 2]\n[[rows]]\nname = 'a'\n[[rows]]\nname = 'b'\n\
        search.cream.matching = 'none'\n[[rows]]\nname = 'c'\n";

    fn table() -> Ablation {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.toml");
        std::fs::write(&path, FILE).unwrap();
        let layers = Layers {
            file: Some(&path),
            ..Layers::default()
        };
        Ablation::resolve(layers).unwrap()
    }

    fn cell(row: &str, seed: u64, macs: u64, test_top1: f64) -> CellResult {
        CellResult {
            seed,
            folder: format!("{row}/seed-{seed}"),
            architecture: String::new(),
            macs,
            params: 10 * macs,
            validation_top1: test_top1 - 10.0,
            test_top1,
            search_ms_per_step: Some(macs as f64),
            search_seconds: 5.0,
            retrain_seconds: Some(2.0),
        }
    }

    /// Worked out by hand.
    #[test]
    fn the_numbers_of_a_table() {
        let results = [
            cell("b", 2, 600, 84.0),
            cell("a", 1, 200, 83.0),
            cell("a", 0, 100, 80.0),
            cell("b", 0, 400, 81.5),
            cell("b", 1, 500, 82.5),
            cell("a", 2, 300, 86.0),
        ];
        let report = Report::new(&table(), &results, Making::default());
        assert_eq!((report.finished, report.cells), (6, 9));
        let close = |spread: Option<Spread>, mean: f64, sd: f64| {
            let spread = spread.unwrap();
            assert!((spread.mean - mean).abs() < 1e-12, "{spread:?}");
            assert!((spread.sd.unwrap() - sd).abs() < 1e-12, "{spread:?}");
        };
        let [a, b, c] = &report.rows[..] else {
            panic!("{report:?}")
        };
        // 80, 83, 86: deviations of 3; 81.5, 82.5, 84: squares 49/36 + 1/36 + 64/36 over 2.
        close(a.test_top1, 83.0, 3.0);
        close(b.test_top1, 248.0 / 3.0, (114.0f64 / 72.0).sqrt());
        close(a.validation_top1, 73.0, 3.0);
        close(a.macs, 200.0, 100.0);
        close(b.params, 5000.0, 1000.0);
        close(b.search_ms_per_step, 500.0, 100.0);
        close(a.seconds, 7.0, 0.0);
        assert_eq!(
            a.cells.iter().map(|cell| cell.seed).collect::<Vec<_>>(),
            [0, 1, 2]
        );
        assert_eq!((c.test_top1, c.cells.len()), (None, 0));

        let [b, c] = &report.differences[..] else {
            panic!("{report:?}")
        };
        // Seed by seed, not mean by mean: 1.5, -0.5, -2; squares 121/36 + 1/36 + 100/36 over 2.
        assert_eq!((&b.row[..], &b.to[..]), ("b", "a"));
        assert_eq!(
            (&b.seeds[..], &b.each[..]),
            (&[0, 1, 2][..], &[1.5, -0.5, -2.0][..])
        );
        close(b.test_top1, -1.0 / 3.0, (222.0f64 / 72.0).sqrt());
        assert_eq!((c.test_top1, c.each.len()), (None, 0));
    }

    #[test]
    fn only_shared_seeds_make_a_difference_and_one_of_them_no_spread() {
        let results = [
            cell("a", 0, 1, 80.0),
            cell("b", 0, 1, 81.0),
            cell("b", 1, 1, 99.0),
        ];
        let report = Report::new(&table(), &results, Making::default());
        let difference = &report.differences[0];
        assert_eq!(difference.seeds, [0]);
        assert_eq!(
            difference.test_top1,
            Some(Spread {
                mean: 1.0,
                sd: None
            })
        );
        assert_eq!(
            report.rows[0].test_top1,
            Some(Spread {
                mean: 80.0,
                sd: None
            })
        );
    }

    #[test]
    fn a_report_comes_back_from_its_text() {
        let report = Report::new(&table(), &[cell("a", 0, 1, 80.1)], Making::default());
        let text = serde_json::to_string(&report).unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
        assert_eq!(
            report.rows[1].settings["search"]["cream"]["matching"].as_str(),
            Some("none")
        );
    }
}
