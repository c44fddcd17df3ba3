//! The prioritized board.

use super::curves::Time;
use super::found;
use super::page::{Block, Kind, ReportError, Section, Table, percent};
use crate::chart::{BoardTimeline, Tenure};
use crate::record::{BoardTenure, RunRecord};
use crate::rounded_count;

/// Entries that are drawn, at most: those that stayed longest.
const MOST: usize = 150;

pub(super) fn section(run: &RunRecord) -> Result<Option<Section>, ReportError> {
    let board = &run.history().board;
    let tenures = board.tenures();
    let scored = |t: &&BoardTenure| t.score.is_some();
    if !tenures.iter().any(|t| scored(&t)) {
        return Ok(None);
    }
    let text = format!(
        "{} paths were on the board; it changed {} times.",
        tenures.len() + board.dropped(),
        rounded_count(board.changes())
    );
    let timeline = timeline(run).svg()?;
    let mut blocks = vec![Block::Text(text), Block::Figures(vec![timeline])];
    let several = tenures.iter().any(|t| t.bucket > 0);
    let mut columns = vec![
        ("place", Kind::Number),
        ("top-1", Kind::Number),
        ("MACs", Kind::Number),
        ("parameters", Kind::Number),
        ("entered at step", Kind::Number),
        ("taught", Kind::Number),
        ("mean rho", Kind::Number),
        ("architecture", Kind::Text),
    ];
    if several {
        columns.insert(1, ("bucket", Kind::Number));
    }
    let mut table = Table::new(&columns);
    for (place, tenure) in board.current().enumerate() {
        let rho = tenure.rho.buckets();
        let count: u64 = rho.iter().map(|bucket| bucket.count).sum();
        let sum: f64 = rho
            .iter()
            .map(|bucket| bucket.mean * bucket.count as f64)
            .sum();
        let mut row = vec![
            (place + 1).to_string(),
            tenure.score.map_or("–".into(), percent),
            rounded_count(tenure.cost.macs),
            rounded_count(tenure.cost.params),
            rounded_count(tenure.entered),
            rounded_count(tenure.taught),
            match count {
                0 => "–".into(),
                count => format!("{:.2}", sum / count as f64),
            },
            tenure.architecture.to_string(),
        ];
        if several {
            row.insert(1, (tenure.bucket + 1).to_string());
        }
        table.rows.push(row);
    }
    if !table.rows.is_empty() {
        blocks.push(Block::Table(table));
    }
    Ok(Section::of("board", "Board", blocks))
}

fn timeline(run: &RunRecord) -> BoardTimeline {
    let history = run.history();
    let all = history.board.tenures();
    let stayed = |t: &BoardTenure| t.left.unwrap_or(history.steps).saturating_sub(t.entered);
    let mut longest: Vec<usize> = (0..all.len()).filter(|i| all[*i].score.is_some()).collect();
    longest.sort_by_key(|i| (all[*i].left.is_some(), std::cmp::Reverse(stayed(&all[*i]))));
    longest.truncate(MOST);
    let mut shown = longest;
    shown.sort_unstable();
    let mut places = vec![None; all.len()];
    for (place, index) in shown.iter().enumerate() {
        places[*index] = Some(place);
    }
    let winner = found::network(run);
    let time = Time::of(run);
    let tenure = |index: &usize| {
        let tenure = &all[*index];
        let left = tenure.left.unwrap_or(history.steps).max(tenure.entered);
        let stays = tenure.left.is_none();
        let why = winner
            .as_ref()
            .filter(|found| stays && found.architecture == tenure.architecture);
        Tenure {
            name: tenure.architecture.to_string(),
            from: time.at(tenure.entered as f64),
            to: time.at(left as f64),
            score: tenure.score.unwrap_or_default(),
            details: format!(
                "{} MACs, taught {} times\nentered at step {}",
                rounded_count(tenure.cost.macs),
                rounded_count(tenure.taught),
                tenure.entered
            ),
            teacher: tenure.teacher.and_then(|teacher| places[teacher]),
            label: why.map(|found| found.why.to_owned()),
            bucket: tenure.bucket,
        }
    };
    let tenures: Vec<Tenure> = shown.iter().map(tenure).collect();
    let mut caption = "A bar is a path's time on the board, darker with a better score. A line leads from the entry that taught a path to the \
                       path, when it entered."
        .to_owned();
    if tenures.len() < all.len() {
        caption.push_str(&format!(
            " Drawn are the {} that stayed longest.",
            tenures.len()
        ));
    }
    BoardTimeline {
        title: "Who entered, who taught whom".into(),
        x: time.axis(),
        tenures,
        caption,
    }
}
