//! How often each operation runs at each place.

use creamery_space::{Architecture, SKIP, Space};

use super::found;
use super::page::ReportError;
use crate::chart::HeatMap;
use crate::record::RunRecord;

/// Fewer evaluated paths than this say less than those of the board.
const ENOUGH: usize = 20;

/// The heat map, if enough is known for one.
pub(super) fn figure(run: &RunRecord) -> Result<Option<String>, ReportError> {
    let Some(space) = run.space() else {
        return Ok(None);
    };
    let history = run.history();
    let evaluated = history.evaluations.kept().iter().map(|e| &e.architecture);
    let board = history.board.tenures().iter().map(|t| &t.architecture);
    let (evaluated, board): (Vec<_>, Vec<_>) = (evaluated.collect(), board.collect());
    let (of, paths) = match evaluated.len() >= ENOUGH.min(board.len().max(1)) {
        true => ("evaluated", evaluated),
        false => ("on the board at some time", board),
    };
    let paths: Vec<&Architecture> = paths
        .into_iter()
        .filter(|path| space.validate(path).is_ok())
        .collect();
    if paths.len() < 2 {
        return Ok(None);
    }
    let winner = found::network(run).filter(|found| space.validate(&found.architecture).is_ok());
    let marked = winner.as_ref().map_or_else(Vec::new, |found| {
        let places = space.places().enumerate();
        places
            .map(|(row, place)| {
                let choice = choice(&found.architecture, place.stage, place.block);
                (row, column(space, choice))
            })
            .collect()
    });
    let rows = space
        .places()
        .map(|place| format!("{}.{}", place.stage + 1, place.block + 1));
    let operations = space.operations.iter();
    let columns = operations.map(|op| format!("{0}×{0} ×{1}", op.kernel, op.expansion));
    let of_winner = winner.map_or(String::new(), |found| {
        format!(" Outlined: the {}.", found.why)
    });
    let map = HeatMap {
        title: "Operations block by block, in percent".into(),
        of: ["stage.block".into(), "kernel ×expansion".into()],
        rows: rows.collect(),
        columns: columns.chain(["skip".to_owned()]).collect(),
        shares: shares(space, &paths),
        marked,
        caption: format!("Of the {} paths {of}.{of_winner}", paths.len()),
    };
    Ok(Some(map.svg()?))
}

/// What a path does at a place.
fn choice(path: &Architecture, stage: usize, block: usize) -> i8 {
    let stage = path.choices.get(stage);
    stage
        .and_then(|stage| stage.get(block))
        .copied()
        .unwrap_or(SKIP)
}

/// The column of a choice: that of its operation, or the last.
fn column(space: &Space, choice: i8) -> usize {
    usize::try_from(choice).unwrap_or(space.operations.len())
}

/// For each place, the share of each operation and of skipping; that of skipping does not exist where no path may skip.
fn shares(space: &Space, paths: &[&Architecture]) -> Vec<Vec<f64>> {
    let places = space.places().map(|place| {
        let mut counts = vec![0.0; space.operations.len() + 1];
        for path in paths {
            counts[column(space, choice(path, place.stage, place.block))] += 1.0;
        }
        let mut shares: Vec<f64> = counts.iter().map(|n| n / paths.len() as f64).collect();
        if !place.may_skip {
            *shares.last_mut().expect("there is always skipping") = f64::NAN;
        }
        shares
    });
    places.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_of_a_place_add_up_to_one() {
        let space = Space::builtin("tiny-32").unwrap();
        let paths = [space.largest(28).unwrap(), space.smallest(28).unwrap()];
        let all = shares(&space, &paths.iter().collect::<Vec<_>>());
        assert_eq!(all.len(), space.places().count());
        for (shares, place) in all.iter().zip(space.places()) {
            let sum: f64 = shares.iter().filter(|share| share.is_finite()).sum();
            assert!((sum - 1.0).abs() < 1e-12);
            let skipped = *shares.last().unwrap();
            // The smallest skips all but the first block of a stage, the largest none.
            match place.may_skip {
                true => assert_eq!(skipped, 0.5),
                false => assert!(skipped.is_nan()),
            }
        }
    }
}
