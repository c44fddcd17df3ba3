//! A table's results for people: as text and as Markdown.

use std::fmt::Write;

use creamery_search::SearchConfig;
use creamery_search::ablation::{Ablation, Report, Spread};
use creamery_train::TrainSettings;
use creamery_view::rounded_count;
use toml::{Table, Value};

use crate::overview::{Overview, plural, table};

const ROWS: [&str; 9] = [
    "row",
    "seeds",
    "MACs",
    "params",
    "validation",
    "test",
    "sd",
    "ms/step",
    "seconds",
];

const DIFFERENCES: [&str; 4] = ["row", "seeds", "test, points", "sd"];

/// What the columns mean.
const LEGEND: &str = "validation: top-1 on the held-out images with the supernet's weights; test: top-1 of the final \
network on the test images, mean and sample standard deviation over the seeds; ms/step: of the search; seconds: of \
search and retraining together. All are means over the finished seeds.";

/// For a terminal.
pub(crate) fn text(ablation: &Ablation, report: &Report) -> String {
    let mut overview = Overview::default();
    for (name, value) in facts(ablation, report) {
        overview.row(name, value);
    }
    let mut text = format!("{overview}\n{}", table(&ROWS, &[], rows(report)));
    if !report.differences.is_empty() {
        let against = against(report);
        let rows = table(&DIFFERENCES, &[], differences(report));
        write!(text, "\n{against}\n{rows}").expect("text takes all");
    }
    text
}

/// For a page.
pub(crate) fn markdown(ablation: &Ablation, report: &Report) -> String {
    let mut page = format!("# {}\n\n", line(&report.name));
    if let Some(about) = &report.about {
        page += &format!("{}\n\n", line(about));
    }
    page += &format!("    {}\n\n", report.command);
    for (name, value) in facts(ablation, report) {
        page += &format!("- {name}: {value}\n");
    }
    page += &format!("\n{}\n{LEGEND}\n", pipes(&ROWS, rows(report)));
    if !report.differences.is_empty() {
        let rows = pipes(&DIFFERENCES, differences(report));
        page += &format!("\n{}\n\n{rows}", against(report));
    }
    page += "\nThe rows:\n\n";
    for row in &report.rows {
        let about = row.about.as_ref().map(|about| line(about));
        let mut said = Vec::new();
        flatten("", &row.settings, &mut said);
        let said = match said.is_empty() {
            true => "as above".to_owned(),
            false => format!("`{}`", said.join("`, `")),
        };
        let parts: Vec<String> = about.into_iter().chain([said]).collect();
        page += &format!("- {}: {}\n", line(&row.name), parts.join("; "));
    }
    page
}

fn facts(ablation: &Ablation, report: &Report) -> Vec<(&'static str, String)> {
    let base = &ablation.base;
    let SearchConfig {
        train,
        budget,
        data,
        ..
    } = base.search(0);
    let mut search = schedule(&train);
    if data.source != report.dataset {
        search += &format!(", on {}", data.source);
    }
    let seeds: Vec<String> = report.seeds.iter().map(u64::to_string).collect();
    let retraining = match base.retrain(0) {
        Some(config) => schedule(&config.train),
        None => "none".to_owned(),
    };
    vec![
        ("data", report.dataset.clone()),
        ("space", format!("{}, {}", base.space.name, budget.budget())),
        ("search", search),
        ("retraining", retraining),
        ("seeds", seeds.join(", ")),
        (
            "finished",
            format!("{} of {} cells", report.finished, report.cells),
        ),
        (
            "made with",
            format!(
                "creamery {}, {}",
                report.version,
                plural(report.threads, "thread")
            ),
        ),
    ]
}

fn schedule(train: &TrainSettings) -> String {
    let epochs = plural(train.epochs as usize, "epoch");
    format!(
        "{epochs}, batch {}, learning rate {}",
        train.batch, train.lr
    )
}

fn rows(report: &Report) -> Vec<Vec<String>> {
    let mean = |spread: Option<Spread>, text: &dyn Fn(f64) -> String| {
        spread.map_or(NONE.to_owned(), |spread| text(spread.mean))
    };
    let count = |spread| mean(spread, &|mean| rounded_count(mean.round() as u64));
    let percent = |spread| mean(spread, &|mean| format!("{mean:.2}%"));
    let tenths = |spread| mean(spread, &|mean| format!("{mean:.1}"));
    let row = report.rows.iter().map(|row| {
        vec![
            line(&row.name),
            row.cells.len().to_string(),
            count(row.macs),
            count(row.params),
            percent(row.validation_top1),
            percent(row.test_top1),
            sd(row.test_top1),
            tenths(row.search_ms_per_step),
            tenths(row.seconds),
        ]
    });
    row.collect()
}

fn against(report: &Report) -> String {
    format!(
        "Difference to `{}` in test top-1, seed by seed:",
        line(&report.rows[0].name)
    )
}

fn differences(report: &Report) -> Vec<Vec<String>> {
    let row = report.differences.iter().map(|difference| {
        let mean = difference.test_top1.map(|spread| spread.mean);
        vec![
            line(&difference.row),
            difference.each.len().to_string(),
            mean.map_or(NONE.to_owned(), |mean| format!("{mean:+.2}")),
            sd(difference.test_top1),
        ]
    });
    row.collect()
}

/// What stands where there is no number.
const NONE: &str = "-";

fn sd(spread: Option<Spread>) -> String {
    let sd = spread.and_then(|spread| spread.sd);
    sd.map_or(NONE.to_owned(), |sd| format!("{sd:.2}"))
}

/// A text on one line.
fn line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A table of Markdown: the first column to the left, numbers to the right.
fn pipes(header: &[&str], rows: Vec<Vec<String>>) -> String {
    let header: Vec<String> = header.iter().map(|name| (*name).to_owned()).collect();
    let mut marks = vec!["--:".to_owned(); header.len()];
    marks[0] = "---".to_owned();
    let mut text = String::new();
    for row in [header, marks].into_iter().chain(rows) {
        let cells: Vec<String> = row.iter().map(|cell| cell.replace('|', "\\|")).collect();
        writeln!(text, "| {} |", cells.join(" | ")).expect("text takes all");
    }
    text
}

/// The assignments of a table, keys dotted.
fn flatten(prefix: &str, table: &Table, said: &mut Vec<String>) {
    for (key, value) in table {
        match value {
            Value::Table(inner) => flatten(&format!("{prefix}{key}."), inner, said),
            value => said.push(format!("{prefix}{key} = {value}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use creamery_search::ablation::{CellResult, Making};
    use creamery_train::Layers;

    use super::*;

    const FILE: &str = "name = 't'\nabout = '''two\nlines'''\nseeds = [0, 1]\nsearch.train.epochs = 3\n\
        [[rows]]\nname = 'a|b'\n[[rows]]\nname = 'b'\nabout = 'no teacher'\nretrain = false\n\
        search = { cream.matching = 'none', train.lr = 0.5 }\n[[rows]]\nname = 'c'\n";

    fn made(cells: &[(&str, u64, f64)]) -> (Ablation, Report) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.toml");
        std::fs::write(&path, FILE).unwrap();
        let ablation = Ablation::resolve(Layers {
            file: Some(&path),
            ..Layers::default()
        })
        .unwrap();
        let cells: Vec<CellResult> = cells
            .iter()
            .map(|&(row, seed, test_top1)| CellResult {
                seed,
                folder: format!("{row}/seed-{seed}"),
                architecture: String::new(),
                macs: 5_213_444,
                params: 350_000,
                validation_top1: 71.634,
                test_top1,
                search_ms_per_step: Some(12.34),
                search_seconds: 60.0,
                retrain_seconds: None,
            })
            .collect();
        let making = Making {
            command: "creamery ablate --config t.toml".into(),
            threads: 2,
            ..Making::default()
        };
        let report = Report::new(&ablation, &cells, making);
        (ablation, report)
    }

    #[test]
    fn a_page_has_the_table_its_differences_and_how_to_repeat_it() {
        let (ablation, report) = made(&[("a-b", 0, 90.0), ("a-b", 1, 91.0), ("b", 0, 90.5)]);
        let page = markdown(&ablation, &report);
        for part in [
            "# t\n\ntwo lines\n\n    creamery ablate --config t.toml\n",
            "- space: tiny-32, at most 6M MACs\n",
            "- search: 3 epochs, batch 64, learning rate 0.1\n- retraining: none\n- seeds: 0, 1\n",
            "- finished: 3 of 6 cells\n",
            "| a\\|b | 2 | 5.21M | 350k | 71.63% | 90.50% | 0.71 | 12.3 | 60.0 |\n",
            "| b | 1 | 5.21M | 350k | 71.63% | 90.50% | - | 12.3 | 60.0 |\n",
            "| c | 0 | - | - | - | - | - | - | - |\n",
            "Difference to `a|b` in test top-1, seed by seed:\n\n",
            "| b | 1 | +0.50 | - |\n| c | 0 | - | - |\n",
            "- a|b: as above\n",
            "- b: no teacher; `retrain = false`, `search.cream.matching = \"none\"`, `search.train.lr = 0.5`\n",
        ] {
            assert!(page.contains(part), "lacks `{part}`:\n{page}");
        }
    }

    #[test]
    fn a_text_has_the_same_numbers() {
        let (ablation, report) = made(&[("a-b", 0, 90.0), ("b", 0, 88.0)]);
        let text = text(&ablation, &report);
        let row = |first: &str| {
            let rows = text.lines().filter(|line| line.starts_with(first));
            rows.map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
                .collect::<Vec<_>>()
        };
        assert_eq!(row("a|b"), ["a|b 1 5.21M 350k 71.63% 90.00% - 12.3 60.0"]);
        assert_eq!(
            row("b "),
            ["b 1 5.21M 350k 71.63% 88.00% - 12.3 60.0", "b 1 -2.00 -"]
        );
    }
}
