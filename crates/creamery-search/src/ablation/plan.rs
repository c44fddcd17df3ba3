//! A table before it is run: its rows, each with its whole configuration.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::path::Path;

use creamery_space::Space;
use creamery_train::{ConfigError, Layers, RetrainConfig, merge};
use toml::{Table, Value};

use super::file::{File, Retraining};
use crate::config::SearchConfig;

/// Most characters of a row's folder's name.
const LONGEST: usize = 60;

/// The one name that a row could have and the table's folder has taken.
const TAKEN: &str = "lock";

/// A table of configurations, each to be run with each of the seeds.
#[derive(Clone, Debug)]
pub struct Ablation {
    /// What the table is called.
    pub name: String,
    /// The name as that of a folder.
    pub slug: String,
    /// What it is for.
    pub about: Option<String>,
    /// The seeds of every row, in the order of their turn.
    pub seeds: Vec<u64>,
    /// The configurations, in the order of the table.
    pub rows: Vec<Row>,
    /// What every row has if it says nothing else.
    pub base: Settings,
    /// The text of the file, with what was laid over it: all that is needed to read the table again.
    pub file: String,
}

/// One configuration of a table.
#[derive(Clone, Debug)]
pub struct Row {
    /// What the row is called.
    pub name: String,
    /// The name as that of a folder.
    pub slug: String,
    /// What it is for.
    pub about: Option<String>,
    /// What the row itself says: `search` and `retrain`, as far as they are there.
    pub own: Table,
    /// The whole configuration.
    pub settings: Settings,
}

/// A configuration of search and retraining but for the seed.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The space that is searched.
    pub space: Space,
    search: SearchConfig,
    retrain: Option<RetrainConfig>,
}

impl Settings {
    /// The configuration of the search with a seed.
    pub fn search(&self, seed: u64) -> SearchConfig {
        SearchConfig {
            seed,
            ..self.search.clone()
        }
    }

    /// The configuration of the winner's retraining with a seed; `None` if it is used as it is.
    pub fn retrain(&self, seed: u64) -> Option<RetrainConfig> {
        self.retrain
            .clone()
            .map(|config| RetrainConfig { seed, ..config })
    }

    /// The data set whose test images the final accuracy is measured on.
    pub fn test_data(&self) -> &str {
        let retrained = self.retrain.as_ref().map(|config| &config.data);
        &retrained.unwrap_or(&self.search.data).source
    }
}

impl Row {
    /// Where the cell of a seed lies in the table's folder: `ROW/seed-N`.
    pub fn cell(&self, seed: u64) -> String {
        format!("{}/seed-{seed}", self.slug)
    }
}

impl Ablation {
    /// Reads a table and checks all of its rows. The `file` of `layers` is the table's; their `sets` are
    /// keys of that file, such as `search.train.epochs=2`, and lie over it but under what rows say.
    ///
    /// # Errors
    /// [`ConfigError`] with the line of what is wrong, or with its row and key, and what would do.
    pub fn resolve(layers: Layers<'_>) -> Result<Self, ConfigError> {
        let table = layers.merged::<File<SearchConfig, RetrainConfig>>()?;
        let text = toml::to_string(&table).expect("a table is TOML");
        let value = |error: toml::de::Error| ConfigError::Value(error.message().to_owned());
        let file: File<Table, Table> = table.try_into().map_err(value)?;
        if file.name.trim().is_empty() {
            return Err(wrong(
                "the table has no name: add a line such as name = \"ablation\"",
            ));
        }
        if file.rows.is_empty() {
            return Err(wrong(
                "the table has no rows: add at least one, [[rows]] with a name",
            ));
        }
        check_seeds(&file.seeds)?;

        let top = Retraining::settings(file.retrain.as_ref());
        let base = settings(&file.search, top).map_err(|error| wrong(error.to_string()))?;
        let mut slugs = BTreeMap::new();
        let mut rows: Vec<Row> = Vec::new();
        for row in file.rows {
            let slug = slug("a row", &row.name)?;
            if slug == TAKEN {
                return Err(no_folder("a row", &row.name));
            }
            if let Some(other) = slugs.insert(slug.clone(), row.name.clone()) {
                return Err(wrong(if other == row.name {
                    format!("two rows are called `{other}`: give one of them another name")
                } else {
                    format!(
                        "the rows `{other}` and `{}` would both have the folder `{slug}`: give one of them another name",
                        row.name
                    )
                }));
            }
            let mut search = file.search.clone();
            merge(&mut search, row.search.clone());
            let retrain = match &row.retrain {
                None => top.cloned(),
                Some(Retraining::Off) => None,
                Some(Retraining::On(own)) => {
                    let mut retrain = top.cloned().unwrap_or_default();
                    merge(&mut retrain, own.clone());
                    Some(retrain)
                }
            };
            let settings = settings(&search, retrain.as_ref())
                .and_then(|settings| settings.check().map(|()| settings))
                .map_err(|error| in_row(&row.name, &error))?;
            rows.push(Row {
                own: own(row.search, row.retrain),
                name: row.name,
                slug,
                about: row.about,
                settings,
            });
        }
        check_test_data(&rows)?;
        Ok(Self {
            slug: slug("the table", &file.name)?,
            name: file.name,
            about: file.about,
            seeds: file.seeds,
            rows,
            base,
            file: text,
        })
    }

    /// Every cell: seed by seed over all rows, so that a table which is stopped has whole seeds first.
    pub fn cells(&self) -> impl Iterator<Item = (&Row, u64)> {
        let seeds = self.seeds.iter();
        seeds.flat_map(|&seed| self.rows.iter().map(move |row| (row, seed)))
    }
}

impl Retraining<Table> {
    fn settings(this: Option<&Self>) -> Option<&Table> {
        match this {
            Some(Self::On(settings)) => Some(settings),
            Some(Self::Off) | None => None,
        }
    }
}

/// The whole configuration: what the file says over what the space recommends.
fn settings(search: &Table, retrain: Option<&Table>) -> Result<Settings, ConfigError> {
    for (part, said) in [("search", Some(search)), ("retrain", retrain)] {
        if said.is_some_and(|said| said.contains_key("seed")) {
            return Err(wrong(format!(
                "`{part}.seed` is set, but the table's `seeds` are those of all runs: leave it out"
            )));
        }
    }
    let over = |defaults: Table| {
        let layers = Layers {
            defaults,
            flags: search.clone(),
            ..Layers::default()
        };
        layers.resolve::<SearchConfig>()
    };
    let space = over(Table::new())?.space;
    let space = Space::resolve(&space).map_err(|error| wrong(format!("search: {error}")))?;
    let search = over(SearchConfig::defaults(&space))?;
    let space = match &search.latency_table {
        Some(table) => space.with_latency_file(Path::new(table)),
        None => Ok(space),
    };
    let space = space.map_err(|error| wrong(format!("search: {error}")))?;
    let retrain = retrain.map(|said| {
        RetrainConfig::after_search(&space, &search.data, |defaults| {
            let layers = Layers {
                defaults,
                flags: said.clone(),
                ..Layers::default()
            };
            layers.resolve()
        })
    });
    Ok(Settings {
        retrain: retrain.transpose()?,
        space,
        search,
    })
}

impl Settings {
    fn check(&self) -> Result<(), ConfigError> {
        let within = |part: &'static str| move |error| wrong(format!("{part}: {error}"));
        self.search.check().map_err(within("search"))?;
        match &self.retrain {
            Some(retrain) => retrain.check().map_err(within("retrain")),
            None => Ok(()),
        }
    }
}

/// What a row says itself, in the form of the file.
fn own(search: Table, retrain: Option<Retraining<Table>>) -> Table {
    let mut own = Table::new();
    if !search.is_empty() {
        own.insert("search".to_owned(), Value::Table(search));
    }
    if let Some(retrain) = retrain {
        let said = match retrain {
            Retraining::Off => Value::Boolean(false),
            Retraining::On(settings) => Value::Table(settings),
        };
        own.insert("retrain".to_owned(), said);
    }
    own
}

/// A name as that of a folder: letters and digits, all else one `-`.
fn slug(whose: &str, name: &str) -> Result<String, ConfigError> {
    let words = name.split(|c: char| !c.is_alphanumeric());
    let words: Vec<String> = words
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    let slug: String = words.join("-").chars().take(LONGEST).collect();
    if slug.is_empty() || name.chars().any(char::is_control) {
        return Err(no_folder(whose, name));
    }
    Ok(slug)
}

fn no_folder(whose: &str, name: &str) -> ConfigError {
    wrong(format!(
        "{whose} is called {name:?}, which cannot name its folder: give it a name of letters and digits"
    ))
}

fn check_seeds(seeds: &[u64]) -> Result<(), ConfigError> {
    if seeds.is_empty() {
        return Err(wrong(
            "the table has no seeds: add a line such as seeds = [0, 1, 2]",
        ));
    }
    let mut seen = BTreeSet::new();
    match seeds.iter().find(|&&seed| !seen.insert(seed)) {
        Some(seed) => Err(wrong(format!(
            "`seeds` has {seed} twice, which would count one run as two: leave one of them out"
        ))),
        None => Ok(()),
    }
}

/// Accuracies on different images cannot stand in one table.
fn check_test_data(rows: &[Row]) -> Result<(), ConfigError> {
    let data = |row: &Row| row.settings.test_data().to_owned();
    let mut pairs = rows.iter().zip(rows.iter().skip(1));
    match pairs.find(|(row, next)| data(row) != data(next)) {
        Some((row, next)) => Err(in_row(
            &next.name,
            &format!(
                "it is tested on `{}`, but row `{}` on `{}`: give them the same `data.source`, or make a table for each",
                data(next),
                row.name,
                data(row)
            ),
        )),
        None => Ok(()),
    }
}

pub(super) fn in_row(row: &str, error: &dyn Display) -> ConfigError {
    wrong(format!("row `{row}`: {error}"))
}

fn wrong(message: impl Into<String>) -> ConfigError {
    ConfigError::Value(message.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"
        name = "t"
        seeds = [3, 1]
        [search]
        train.epochs = 4
        budget.max_macs = "3M"
        [retrain]
        train.epochs = 5
        [[rows]]
        name = "No teacher (board only)"
        search = { cream.matching = "none", train.epochs = 6 }
        [[rows]]
        name = "as it is"
        about = "why"
        retrain = false
        [[rows]]
        name = "other"
        search.data.validation = 0.2
        [rows.retrain]
        train.lr = 0.01
    "#;

    fn read(text: &str, sets: &[&str]) -> Result<Ablation, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("my table.toml");
        std::fs::write(&path, text).unwrap();
        let sets: Vec<String> = sets.iter().map(|s| s.to_string()).collect();
        Ablation::resolve(Layers {
            file: Some(&path),
            sets: &sets,
            ..Layers::default()
        })
    }

    fn refused(text: &str, says: &[&str]) {
        let error = read(text, &[]).unwrap_err().to_string();
        for part in says {
            assert!(error.contains(part), "lacks `{part}`: {error}");
        }
    }

    #[test]
    fn a_row_lies_over_the_table_and_the_table_over_the_space() {
        let table = read(GOOD, &[]).unwrap();
        let [first, second, third] = &table.rows[..] else {
            panic!("{:?}", table.rows)
        };
        let search = first.settings.search(7);
        assert_eq!((search.seed, search.train.epochs), (7, 6));
        assert_eq!(search.cream.matching, crate::Matching::None);
        assert_eq!(search.budget.max_macs, Some(3_000_000));
        // tiny-32 recommends 50, where other spaces have 200.
        assert_eq!(search.cream.tau, 50);
        assert_eq!(second.settings.search(0).train.epochs, 4);

        let retrain = first.settings.retrain(7).unwrap();
        assert_eq!(
            (retrain.seed, retrain.train.epochs, retrain.ema),
            (7, 5, 0.999)
        );
        assert!(second.settings.retrain(7).is_none());
        let retrain = third.settings.retrain(7).unwrap();
        assert_eq!((retrain.train.epochs, retrain.train.lr), (5, 0.01));
        assert_eq!(retrain.data.validation, 0.2, "as in the row's search");

        assert_eq!(first.cell(7), "no-teacher-board-only/seed-7");
        let order: Vec<String> = table.cells().map(|(row, seed)| row.cell(seed)).collect();
        assert_eq!(
            order[..4],
            [
                "no-teacher-board-only/seed-3",
                "as-it-is/seed-3",
                "other/seed-3",
                "no-teacher-board-only/seed-1"
            ]
        );
    }

    #[test]
    fn what_is_kept_of_a_file_reads_as_the_same_table() {
        let table = read(
            GOOD,
            &["search.train.batch=16", "seeds=[5]", "retrain=false"],
        )
        .unwrap();
        let again = read(&table.file, &[]).unwrap();
        assert_eq!(again.file, table.file);
        assert_eq!((&again.seeds[..], again.rows.len()), (&[5][..], 3));
        assert_eq!(again.rows[1].settings.search(0).train.batch, 16);
        assert!(again.rows[0].settings.retrain(0).is_none());
        assert!(
            again.rows[2].settings.retrain(0).is_some(),
            "the row says so itself"
        );
    }

    #[test]
    fn keys_are_told_with_their_line() {
        for (wrong, right, line) in [
            ("train.epochs = 4", "train.epoch = 4", 5),
            ("train.epochs = 5", "train.epoch = 5", 8),
            ("train.epochs = 6", "train.epoch = 6", 11),
            ("train.lr = 0.01", "train.rl = 0.01", 20),
            ("about =", "abuot =", 14),
        ] {
            let text = GOOD.replace(wrong, right);
            refused(
                &text,
                &[&format!("my table.toml, line {line}: "), "did you mean"],
            );
        }
        refused(
            &GOOD.replace("retrain = false", "retrain = true"),
            &["line 15", "false or a table"],
        );
        refused(
            &GOOD.replace("retrain = false", "retrain = 3"),
            &["line 15", "false or a table"],
        );
        refused(&GOOD.replace("[3, 1]", "[3, -1]"), &["line 3"]);
        refused(&GOOD.replace("\"none\"", "\"non\""), &["line 11", "`none`"]);
        let error = read(GOOD, &["search.cream.tua=3"]).unwrap_err().to_string();
        assert!(
            error.contains("--set search.cream.tua=3") && error.contains("`tau`"),
            "{error}"
        );
    }

    #[test]
    fn rows_and_seeds_that_cannot_be() {
        let change = |from: &str, to: &str| GOOD.replace(from, to);
        refused(&change("name = \"t\"", ""), &["no name", "name = "]);
        refused(&change("[3, 1]", "[]"), &["no seeds", "seeds = ["]);
        refused(&change("[3, 1]", "[3, 1, 3]"), &["3 twice"]);
        refused("name = 't'\nseeds = [0]", &["no rows", "[[rows]]"]);
        refused(
            "name = 't'\nseeds = [0]\n[[rows]]\nabout = 'x'",
            &["line 3", "`name`"],
        );
        refused(
            &change("\"other\"", "\"as it is\""),
            &["two rows", "`as it is`"],
        );
        refused(
            &change("\"other\"", "\"As -- it/is\""),
            &["`as it is`", "`As -- it/is`", "`as-it-is`"],
        );
        for name in ["", " ", "../..", "+", "Lock", "a\\nb"] {
            refused(
                &change("\"other\"", &format!("\"{name}\"")),
                &["letters and digits"],
            );
        }
    }

    #[test]
    fn settings_that_cannot_be_are_told_with_their_row() {
        let first = "row `No teacher (board only)`";
        let change = |to: &str| GOOD.replace("train.epochs = 6", to);
        refused(
            &change("train.epochs = 0"),
            &[first, "search: ", "`train.epochs` is 0", "at least 1"],
        );
        refused(
            &change("method = 'craem'"),
            &[first, "`craem`", "did you mean `cream`?"],
        );
        refused(
            &change("space = 'tiny-23'"),
            &[first, "`tiny-23`", "did you mean `tiny-32`?"],
        );
        refused(
            &change("latency_table = 'none.json'"),
            &[first, "search: ", "latency table none.json"],
        );
        refused(&change("seed = 3"), &[first, "`search.seed`", "`seeds`"]);
        refused(
            &GOOD.replace("train.lr = 0.01", "dropout = 1.0"),
            &["row `other`", "retrain: ", "`dropout` is 1", "[0, 1)"],
        );
        refused(
            &GOOD.replace("train.lr = 0.01", "data.source = 'mnist:x'"),
            &[
                "row `other`",
                "`mnist:x`",
                "row `as it is`",
                "`fashion-mini`",
            ],
        );
    }
}
