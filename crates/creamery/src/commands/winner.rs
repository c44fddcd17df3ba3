//! The answer of a search or a selection: what won.

use std::path::Path;

use creamery_search::{Method, SearchResult, SelectorName};
use creamery_space::{Cost, Space};
use creamery_view::{rounded_count, rounded_latency};

use crate::answer::Answer;
use crate::commands::{time, validated, waiting, with_run};
use crate::error::CommandError;
use crate::overview::{Overview, plural, table};
use crate::shell::quoted;

/// The winner, its family and the front, and the command that trains it.
pub(super) fn answer(
    result: &SearchResult,
    space: &Space,
    folder: &Path,
) -> Result<Answer, CommandError> {
    let file = folder.join("result.json");
    let command = format!("creamery retrain {}", quoted(&file));
    // The networks of an elastic supernet are used as they are.
    let elastic = Method::named(&result.method).is_ok_and(Method::is_elastic);
    let next = match elastic {
        true => format!("creamery eval {}", quoted(folder)),
        false => command.clone(),
    };
    let evaluated = plural(result.evaluations, "path");
    let chosen = match result.selector {
        SelectorName::Board => format!("board, {evaluated} on it"),
        other => format!("{other}, {evaluated} evaluated"),
    };
    let weights = folder.join(&result.weights).display().to_string();
    let mut overview = Overview::default();
    overview
        .network(space, &result.architecture.architecture)?
        .cost(&result.cost, space)
        .row("validation", validated(&result.validation))
        .row("chosen by", chosen)
        .row("time", time(&result.timing));
    if let Some(waiting) = waiting(&result.timing) {
        overview.row("", waiting);
    }
    overview
        .row("weights", weights)
        .row("result", file.display().to_string())
        .row("next", next);
    let mut text = overview.to_string();
    let timed = result.cost.latency_ns > 0;
    if !result.family.is_empty() {
        let rows = result.family.iter().map(|member| {
            let mut row = vec![member.bucket.to_string()];
            row.extend(costs(&member.cost, timed));
            row.push(format!("{:.2}%", member.validation.top1));
            row.push(member.architecture.architecture.to_string());
            row
        });
        let mut header = vec!["bucket"];
        header.extend(cost_names(timed));
        header.extend(["validation", "architecture"]);
        let member = match elastic {
            true => "for a member's weights choose it alone, with creamery select and its bounds"
                .to_owned(),
            false => format!("train a member with {command} --bucket N"),
        };
        text = format!(
            "{text}\nThe family; {member}\n{}",
            table(&header, &[header.len() - 1], rows.collect())
        );
    }
    if !result.front.is_empty() {
        let rows = result.front.iter().map(|path| {
            let mut row = costs(&path.cost, timed);
            row.push(format!("{:.2}%", path.top1));
            row.push(path.architecture.to_string());
            row
        });
        let mut header = cost_names(timed).to_vec();
        header.extend(["top-1", "architecture"]);
        text = format!(
            "{text}\nThe front of all that were evaluated: what no cheaper one beats\n{}",
            table(&header, &[header.len() - 1], rows.collect())
        );
    }
    Ok(Answer::done(text, with_run(result, folder)))
}

/// The columns of a table that say what networks cost; latency is among them if it was measured.
fn cost_names(timed: bool) -> &'static [&'static str] {
    match timed {
        true => &["MACs", "params", "latency"],
        false => &["MACs", "params"],
    }
}

fn costs(cost: &Cost, timed: bool) -> Vec<String> {
    let mut costs = vec![rounded_count(cost.macs), rounded_count(cost.params)];
    costs.extend(timed.then(|| rounded_latency(cost.latency_ns)));
    costs
}
