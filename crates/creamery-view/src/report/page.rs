//! The parts of a page.

use crate::chart::ChartError;
use crate::record::RunRecord;

/// Why a page cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A chart cannot be drawn.
    #[error(transparent)]
    Chart(#[from] ChartError),
    /// The template failed.
    #[error("the page cannot be written: {0}")]
    Template(#[from] askama::Error),
}

/// A number that is seen first.
#[derive(Debug)]
pub(super) struct Tile {
    pub(super) name: String,
    pub(super) value: String,
}

/// A part of a page with its heading.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) blocks: Vec<Block>,
}

impl Section {
    /// A section, if there is anything in it.
    pub(super) fn of(id: &'static str, title: &'static str, blocks: Vec<Block>) -> Option<Self> {
        (!blocks.is_empty()).then_some(Self { id, title, blocks })
    }
}

/// What a section is made of.
#[derive(Debug)]
pub(super) enum Block {
    Text(String),
    /// SVG fragments.
    Figures(Vec<String>),
    Facts(Vec<Fact>),
    Table(Table),
    List(Vec<String>),
    /// Text as it is.
    Code(String),
}

/// A name and what it is.
#[derive(Debug)]
pub(super) struct Fact {
    pub(super) name: String,
    pub(super) value: String,
}

/// Facts, one after the other.
#[derive(Debug, Default)]
pub(super) struct Facts(Vec<Fact>);

impl Facts {
    pub(super) fn add(&mut self, name: &str, value: impl Into<String>) {
        self.0.push(Fact {
            name: name.to_owned(),
            value: value.into(),
        });
    }

    /// The block, if there is any fact.
    pub(super) fn block(self) -> Option<Block> {
        (!self.0.is_empty()).then_some(Block::Facts(self.0))
    }
}

/// What the cells of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Number,
}

impl Kind {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Number => "number",
        }
    }
}

/// Rows under headings.
#[derive(Debug)]
pub(super) struct Table {
    pub(super) columns: Vec<(String, Kind)>,
    pub(super) rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new(columns: &[(&str, Kind)]) -> Self {
        let columns = columns
            .iter()
            .map(|(name, kind)| ((*name).to_owned(), *kind));
        Self {
            columns: columns.collect(),
            rows: Vec::new(),
        }
    }

    /// The cells of a row with what they are.
    pub(super) fn cells<'a>(
        &'a self,
        row: &'a [String],
    ) -> impl Iterator<Item = (&'a String, Kind)> {
        row.iter()
            .zip(&self.columns)
            .map(|(cell, (_, kind))| (cell, *kind))
    }
}

/// A run's name: that of its folder, with the folder above where that tells more.
pub(super) fn name(run: &RunRecord) -> String {
    let path = run.path();
    let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let part = |path: Option<&std::path::Path>| {
        path.and_then(|path| path.file_name())
            .map(|name| name.to_string_lossy().into_owned())
    };
    match (part(path.parent()), part(Some(&path))) {
        (Some(above), Some(name)) if above != "runs" => format!("{above}/{name}"),
        (_, Some(name)) => name,
        _ => path.display().to_string(),
    }
}

/// A share or an accuracy in percent, to a tenth.
pub(super) fn percent(value: f64) -> String {
    format!("{value:.1}%")
}

/// Bytes in the unit that suits: `512 MB`, `1.25 GB`.
pub(super) fn bytes(count: u64) -> String {
    match count {
        1_000_000_000.. => format!("{:.2} GB", count as f64 / 1e9),
        1_000_000.. => format!("{:.0} MB", count as f64 / 1e6),
        _ => format!("{:.0} kB", count as f64 / 1e3),
    }
}
