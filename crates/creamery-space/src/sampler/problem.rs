//! A space and a budget as plain numbers: options with costs, and bounds on their sums.

use crate::budget::{Bounds, Budget};
use crate::cost::Cost;
use crate::space::Space;

/// What a budget bounds; an index into pairs of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dimension {
    Macs = 0,
    Params = 1,
}

/// A sum of one option at each place, with bounds on it. Pairs are (MACs, params).
#[derive(Clone, Debug)]
pub(super) struct Problem {
    /// Cost of the layers that every path has.
    pub fixed: [u64; 2],
    /// For each place, the cost of each operation, and last of a skip where one is allowed.
    pub options: Vec<Vec<[u64; 2]>>,
    /// Bounds on the cost of a whole path.
    pub bounds: [Bounds; 2],
    /// The number of operations, which is also the option that skips.
    pub operations: usize,
    /// Places of each stage.
    pub stage_blocks: Vec<usize>,
}

impl Problem {
    /// For a checked space; see [`super::Sampler::new`].
    pub(super) fn new(
        space: &Space,
        resolution: usize,
        in_channels: usize,
        classes: usize,
        budget: &Budget,
    ) -> Problem {
        let pair = |cost: Cost| [cost.macs, cost.params];
        let mut size = resolution;
        let mut fixed = Cost::default();
        for spec in [space.stem(in_channels), space.first()] {
            fixed += spec.cost(size);
            size = spec.output_size(size);
        }
        let mut options = Vec::new();
        for (place, entering) in space.places().zip(space.place_sizes(resolution)) {
            let mut costs: Vec<_> = space.place_costs(place, entering).map(pair).collect();
            if place.may_skip {
                costs.push([0, 0]);
            }
            options.push(costs);
            size = entering.div_ceil(place.stride);
        }
        for spec in [space.last(), space.head(), space.classifier(classes)] {
            fixed += spec.cost(size);
            size = spec.output_size(size);
        }
        Problem {
            fixed: pair(fixed),
            options,
            bounds: [budget.macs(), budget.params()],
            operations: space.operations.len(),
            stage_blocks: space.stages.iter().map(|stage| stage.blocks).collect(),
        }
    }

    /// The cost of a path, given as an option for each place.
    pub(super) fn cost(&self, path: &[u8]) -> [u64; 2] {
        let mut sum = self.fixed;
        for (options, &choice) in self.options.iter().zip(path) {
            let cost = options[usize::from(choice)];
            sum[0] += cost[0];
            sum[1] += cost[1];
        }
        sum
    }

    /// Whether the path's cost is within the bounds.
    pub(super) fn fits(&self, path: &[u8]) -> bool {
        let [macs, params] = self.cost(path);
        self.bounds[0].contains(macs) && self.bounds[1].contains(params)
    }

    /// The dimensions in which some path is outside the bounds.
    pub(super) fn bounded(&self) -> impl Iterator<Item = Dimension> {
        [Dimension::Macs, Dimension::Params]
            .into_iter()
            .filter(|&dimension| {
                let d = dimension as usize;
                let sum = |pick: fn(u64, u64) -> u64| {
                    let at =
                        |options: &Vec<[u64; 2]>| options.iter().map(|cost| cost[d]).reduce(pick);
                    self.fixed[d] + self.options.iter().filter_map(at).sum::<u64>()
                };
                let bounds = self.bounds[d];
                !(bounds.contains(sum(u64::min)) && bounds.contains(sum(u64::max)))
            })
    }

    /// How far a cost is outside the bounds, each bound's breach as a part of the bound; 0 inside.
    pub(super) fn breach(&self, cost: [u64; 2]) -> f64 {
        let part = |bounds: Bounds, value: u64| {
            let bound = if value < bounds.min {
                bounds.min
            } else {
                bounds.max
            };
            bounds.distance(value) as f64 / bound.max(1) as f64
        };
        part(self.bounds[0], cost[0]) + part(self.bounds[1], cost[1])
    }
}
