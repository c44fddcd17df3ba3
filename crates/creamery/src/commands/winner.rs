//! The answer of a search or a selection: what won.

use std::path::Path;

use creamery_search::{Method, SearchResult, SelectorName};
use creamery_space::Space;
use creamery_view::rounded_count;

use crate::answer::Answer;
use crate::commands::{time, validated, with_run};
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
        .cost(&result.cost)
        .row("validation", validated(&result.validation))
        .row("chosen by", chosen)
        .row("time", time(&result.timing))
        .row("weights", weights)
        .row("result", file.display().to_string())
        .row("next", next);
    let mut text = overview.to_string();
    if !result.family.is_empty() {
        let rows = result.family.iter().map(|member| {
            vec![
                member.bucket.to_string(),
                rounded_count(member.cost.macs),
                rounded_count(member.cost.params),
                format!("{:.2}%", member.validation.top1),
                member.architecture.architecture.to_string(),
            ]
        });
        let header = ["bucket", "MACs", "params", "validation", "architecture"];
        let member = match elastic {
            true => "for a member's weights choose it alone, with creamery select and its bounds"
                .to_owned(),
            false => format!("train a member with {command} --bucket N"),
        };
        text = format!(
            "{text}\nThe family; {member}\n{}",
            table(&header, &[4], rows.collect())
        );
    }
    if !result.front.is_empty() {
        let rows = result.front.iter().map(|path| {
            vec![
                rounded_count(path.cost.macs),
                rounded_count(path.cost.params),
                format!("{:.2}%", path.top1),
                path.architecture.to_string(),
            ]
        });
        let header = ["MACs", "params", "top-1", "architecture"];
        text = format!(
            "{text}\nThe front of all that were evaluated: what no cheaper one beats\n{}",
            table(&header, &[3], rows.collect())
        );
    }
    Ok(Answer::done(text, with_run(result, folder)))
}
