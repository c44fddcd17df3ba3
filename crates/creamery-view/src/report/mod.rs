//! A run on one page: HTML with its charts, that needs nothing else.
//!
//! The page is made from a [`RunRecord`] alone, so that what is missing or damaged in the folder is missing in the page, with a
//! note, and nothing else. It has no script and asks for nothing from a network; light or dark follows the reader's
//! settings, and print is light.

mod board;
mod compare;
mod curves;
mod data;
mod found;
mod front;
mod network;
mod operations;
mod page;
mod result;
mod timing;

use askama::Template;

use crate::chart;
use crate::record::{RunRecord, RunState};
use page::{Block, Section, Tile};

pub use page::ReportError;
pub use result::{accuracy, number, seconds, text};

/// What a page of a run shows.
#[derive(Debug)]
pub struct Report<'a> {
    /// The run.
    pub run: &'a RunRecord,
    /// Others that it is compared with, and their names as the user gave them.
    pub compared: &'a [RunRecord],
    /// The command that repeats the run, if it is known.
    pub command: Option<String>,
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    title: String,
    lead: String,
    style: String,
    tiles: Vec<Tile>,
    notes: Vec<String>,
    sections: Vec<Section>,
    foot: String,
}

/// A section of a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// What it is called in the page's links, such as `board`.
    pub id: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// Its HTML, heading included.
    pub html: String,
}

#[derive(Template)]
#[template(path = "section.html")]
struct SectionPage<'a> {
    section: &'a Section,
}

impl Fragment {
    fn of(section: Section) -> Result<Self, ReportError> {
        Ok(Self {
            id: section.id,
            title: section.title,
            html: SectionPage { section: &section }.render()?,
        })
    }
}

/// The parts of a page about a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// A line about the run.
    pub lead: String,
    /// Numbers that are seen first, with their names before them.
    pub tiles: Vec<(String, String)>,
    /// What is missing, in sentences.
    pub notes: Vec<String>,
    /// The sections that there is something to say in.
    pub sections: Vec<Fragment>,
}

/// The CSS of a page: that of its charts and its own.
pub fn style() -> String {
    chart::style() + include_str!("../../templates/report.css")
}

/// Runs beside each other, under names that tell them apart; `None` if there are none.
///
/// # Errors
/// [`ReportError`] if a chart cannot be drawn.
pub fn comparison(runs: &[(String, &RunRecord)]) -> Result<Option<Fragment>, ReportError> {
    let (names, runs): (Vec<String>, Vec<&RunRecord>) = runs.iter().cloned().unzip();
    if runs.is_empty() {
        return Ok(None);
    }
    compare::section(&runs, &names)?
        .map(Fragment::of)
        .transpose()
}

impl Report<'_> {
    /// The page.
    ///
    /// # Errors
    /// [`ReportError`] if a chart cannot be drawn; whatever is in the run's folder is no reason.
    pub fn html(&self) -> Result<String, ReportError> {
        let run = self.run;
        let page = Page {
            title: page::name(run),
            lead: result::lead(run),
            style: style(),
            tiles: result::tiles(run),
            notes: self.notes(),
            sections: self.sections()?,
            foot: format!(
                "Written by Creamery {} from `{}`.",
                env!("CARGO_PKG_VERSION"),
                run.path().display()
            ),
        };
        Ok(page.render()?)
    }

    /// The page's parts one by one, for a page that shows them while they change.
    ///
    /// # Errors
    /// As [`html`](Self::html).
    pub fn parts(&self) -> Result<Parts, ReportError> {
        let sections = self.sections()?;
        let tiles = result::tiles(self.run).into_iter();
        Ok(Parts {
            lead: result::lead(self.run),
            tiles: tiles.map(|tile| (tile.name, tile.value)).collect(),
            notes: self.notes(),
            sections: sections
                .into_iter()
                .map(Fragment::of)
                .collect::<Result<_, _>>()?,
        })
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = self.run.notes();
        notes.extend(unfinished(self.run));
        for other in self.compared {
            let name = page::name(other);
            notes.extend(
                other
                    .notes()
                    .into_iter()
                    .map(|note| format!("{name}: {note}")),
            );
        }
        notes
    }

    fn sections(&self) -> Result<Vec<Section>, ReportError> {
        let run = self.run;
        let mut sections = Vec::new();
        if !self.compared.is_empty() {
            let runs: Vec<&RunRecord> = std::iter::once(run).chain(self.compared).collect();
            let names: Vec<String> = runs.iter().map(|run| page::name(run)).collect();
            sections.extend(compare::section(&runs, &names)?);
        }
        let parts = [
            network::section(run)?,
            front::section(run)?,
            curves::section(run)?,
            board::section(run)?,
            result::confusion(run)?,
            data::section(run),
            timing::section(run)?,
            warnings(run),
            self.configuration(),
        ];
        sections.extend(parts.into_iter().flatten());
        Ok(sections)
    }

    /// The command and the whole configuration.
    fn configuration(&self) -> Option<Section> {
        let config = (self.run.config()).and_then(|config| toml::to_string(config).ok());
        let mut blocks = Vec::new();
        if let Some(command) = &self.command {
            blocks.push(Block::Text("The same run once more:".into()));
            blocks.push(Block::Code(command.clone()));
        }
        if let Some(config) = config {
            blocks.push(Block::Text("Its whole configuration, run.toml:".into()));
            blocks.push(Block::Code(config.trim_end().to_owned()));
        }
        Section::of("configuration", "Configuration", blocks)
    }
}

/// What is said of a run without a result.
fn unfinished(run: &RunRecord) -> Option<String> {
    let done = match (run.history().share_done(), run.history().steps) {
        (Some(share), steps) if share < 1.0 => {
            format!("{:.0}% of the training ({steps} steps)", 100.0 * share)
        }
        (_, 0) => "no step of the training".into(),
        (_, steps) => format!("{steps} steps"),
    };
    match run.state() {
        RunState::Finished => None,
        RunState::Running => Some(format!("The run is under way: {done} is done.")),
        RunState::Stopped => Some(format!(
            "The run has not ended, and no process works on it: {done} is done."
        )),
        RunState::Unknown => Some(format!("The run has no result: {done} is done.")),
    }
}

fn warnings(run: &RunRecord) -> Option<Section> {
    let history = run.history();
    let mut blocks = Vec::new();
    if !history.warnings.is_empty() {
        blocks.push(Block::List(history.warnings.clone()));
    }
    let more = history.warned.saturating_sub(history.warnings.len() as u64);
    if more > 0 {
        blocks.push(Block::Text(format!("and {more} more")));
    }
    Section::of("warnings", "Warnings", blocks)
}
