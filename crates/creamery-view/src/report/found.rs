//! The network that a run is about, and what its images are.

use creamery_space::{Architecture, Cost, Layer, Space};
use creamery_train::ModelInput;

use crate::record::RunRecord;

/// The most bytes of an architecture file.
const MAX_ARCHITECTURE: u64 = 1 << 20;

/// A network with the reason why it is shown.
pub(super) struct Found {
    pub(super) architecture: Architecture,
    pub(super) why: &'static str,
}

/// The winner of a search or a selection, the network of a retraining, or the best entry of the board so far.
pub(super) fn network(run: &RunRecord) -> Option<Found> {
    let of_result = || -> Option<Architecture> {
        let found = run.result()?.get("architecture")?;
        serde_json::from_value(found.clone()).ok()
    };
    let retrained = run.task() == "retrain";
    if let Some(architecture) = of_result() {
        let why = if retrained { "network" } else { "winner" };
        return Some(Found { architecture, why });
    }
    if retrained {
        let path = run.file("architecture.json")?;
        let small = std::fs::metadata(&path).ok()?.len() <= MAX_ARCHITECTURE;
        let text = std::fs::read(path).ok().filter(|_| small)?;
        let architecture = serde_json::from_slice(&text).ok()?;
        let why = "network";
        return Some(Found { architecture, why });
    }
    let best = run.history().evaluations.best().map(|e| &e.architecture);
    let best = best.or_else(|| {
        run.history()
            .board
            .current()
            .next()
            .map(|t| &t.architecture)
    });
    best.map(|architecture| Found {
        architecture: architecture.clone(),
        why: "best so far",
    })
}

/// What the run's model says of its images.
pub(super) fn input(run: &RunRecord) -> Option<ModelInput> {
    ModelInput::read(&run.file("model.safetensors")?).ok()
}

/// Channels of the images and number of classes: as the model says it, or as they follow from what a network costs.
pub(super) fn channels_and_classes(run: &RunRecord) -> Option<(usize, usize)> {
    if let Some(input) = input(run) {
        return Some((input.channels, input.classes.len()));
    }
    let history = run.history();
    let of_board = history
        .board
        .tenures()
        .first()
        .map(|t| (&t.architecture, t.cost));
    let evaluated = history
        .evaluations
        .kept()
        .first()
        .map(|e| (&e.architecture, e.cost));
    let (architecture, cost) = of_board.or(evaluated)?;
    solve(run.space()?, architecture, cost)
}

/// The channels and classes with which a network costs what it does.
fn solve(space: &Space, architecture: &Architecture, cost: Cost) -> Option<(usize, usize)> {
    [1, 3].into_iter().find_map(|channels| {
        let [one, two] = [1, 2].map(|classes| space.cost(architecture, channels, classes).ok());
        let (one, two) = (one?, two?);
        // Each class adds as many parameters as the one before it.
        let rest = cost.params.checked_sub(one.params)?;
        let classes = 1 + usize::try_from(rest / (two.params - one.params).max(1)).ok()?;
        let found = space.cost(architecture, channels, classes).ok()?;
        (found.macs == cost.macs && found.params == cost.params).then_some((channels, classes))
    })
}

/// The layers of a network of the run, if the folder says enough to know them.
pub(super) fn layers(run: &RunRecord, architecture: &Architecture) -> Option<Vec<Layer>> {
    let (channels, classes) = channels_and_classes(run)?;
    run.space()?.layers(architecture, channels, classes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_and_classes_follow_from_the_cost() {
        let space = Space::builtin("tiny-32").unwrap();
        let architecture = space.largest(28).unwrap();
        for (channels, classes) in [(1, 10), (3, 1), (3, 1000)] {
            let cost = space.cost(&architecture, channels, classes).unwrap();
            assert_eq!(
                solve(&space, &architecture, cost),
                Some((channels, classes))
            );
        }
        let cost = Cost {
            macs: 7,
            params: 9,
            ..Cost::default()
        };
        assert_eq!(solve(&space, &architecture, cost), None);
    }
}
