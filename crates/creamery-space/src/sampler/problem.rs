//! A space and a budget as plain numbers: options with costs, and bounds on their sums.

use crate::budget::{Bounds, Budget};
use crate::cost::Cost;
use crate::error::SpaceError;
use crate::space::Space;

/// What a budget bounds; an index into [`Costs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dimension {
    Macs = 0,
    Params = 1,
    Latency = 2,
}

impl Dimension {
    pub const ALL: [Dimension; 3] = [Dimension::Macs, Dimension::Params, Dimension::Latency];
}

/// MACs, params and nanoseconds.
pub(super) type Costs = [u64; Dimension::ALL.len()];

/// A sum of one option at each place, with bounds on it.
#[derive(Clone, Debug)]
pub(super) struct Problem {
    /// Cost of the layers that every path has, and what a latency table adds for a whole network.
    pub fixed: Costs,
    /// For each place, the cost of each operation, and last of a skip where one is allowed.
    pub options: Vec<Vec<Costs>>,
    /// Bounds on the cost of a whole path.
    pub bounds: [Bounds; Dimension::ALL.len()],
    /// The number of operations, which is also the option that skips.
    pub operations: usize,
    /// Places of each stage.
    pub stage_blocks: Vec<usize>,
}

impl Problem {
    /// For a checked space; see [`super::Sampler::new`].
    ///
    /// # Errors
    /// [`SpaceError::Latency`] if the space's latency table is for other images or classes.
    pub(super) fn new(
        space: &Space,
        resolution: usize,
        in_channels: usize,
        classes: usize,
        budget: &Budget,
    ) -> Result<Problem, SpaceError> {
        let measured = space.measured(resolution, in_channels, classes)?;
        let costs = |cost: Cost, block: &str| -> Result<Costs, SpaceError> {
            let latency = measured.map_or(Ok(0), |measured| measured.ns(block))?;
            Ok([cost.macs, cost.params, latency])
        };
        let mut size = resolution;
        let mut fixed = Costs::default();
        let mut fix = |block: &str, spec: crate::LayerSpec, size: &mut usize| {
            fixed = sum(fixed, costs(spec.cost(*size), block)?);
            *size = spec.output_size(*size);
            Ok::<(), SpaceError>(())
        };
        fix("stem", space.stem(in_channels), &mut size)?;
        fix("first", space.first(), &mut size)?;
        let mut options = Vec::new();
        for (place, entering) in space.places().zip(space.place_sizes(resolution)) {
            let name = |op: usize| format!("stages.{}.{}.{op}", place.stage, place.block);
            let mut choices = space
                .place_costs(place, entering)
                .enumerate()
                .map(|(op, cost)| costs(cost, &name(op)))
                .collect::<Result<Vec<Costs>, _>>()?;
            if place.may_skip {
                choices.push(Costs::default());
            }
            options.push(choices);
            size = entering.div_ceil(place.stride);
        }
        fix("last", space.last(), &mut size)?;
        fix("head", space.head(), &mut size)?;
        fix("classifier", space.classifier(classes), &mut size)?;
        let overhead = measured.map_or(0, |measured| measured.overhead_ns());
        let latency = &mut fixed[Dimension::Latency as usize];
        *latency = latency.saturating_add_signed(overhead);
        Ok(Problem {
            fixed,
            options,
            bounds: [budget.macs(), budget.params(), budget.latency()],
            operations: space.operations.len(),
            stage_blocks: space.stages.iter().map(|stage| stage.blocks).collect(),
        })
    }

    /// The cost of a path, given as an option for each place.
    pub(super) fn cost(&self, path: &[u8]) -> Costs {
        let options = self.options.iter().zip(path);
        options.fold(self.fixed, |cost, (options, &choice)| {
            sum(cost, options[usize::from(choice)])
        })
    }

    /// Whether the path's cost is within the bounds.
    pub(super) fn fits(&self, path: &[u8]) -> bool {
        let mut values = self.bounds.iter().zip(self.cost(path));
        values.all(|(bounds, value)| bounds.contains(value))
    }

    /// The dimensions in which some path is outside the bounds.
    pub(super) fn bounded(&self) -> impl Iterator<Item = Dimension> {
        Dimension::ALL.into_iter().filter(|&dimension| {
            let d = dimension as usize;
            let sum = |pick: fn(u64, u64) -> u64| {
                let at = |options: &Vec<Costs>| options.iter().map(|cost| cost[d]).reduce(pick);
                self.fixed[d] + self.options.iter().filter_map(at).sum::<u64>()
            };
            let bounds = self.bounds[d];
            !(bounds.contains(sum(u64::min)) && bounds.contains(sum(u64::max)))
        })
    }

    /// How far a cost is outside the bounds, each bound's breach as a part of the bound; 0 inside.
    pub(super) fn breach(&self, cost: Costs) -> f64 {
        let part = |(bounds, value): (&Bounds, u64)| {
            let bound = if value < bounds.min {
                bounds.min
            } else {
                bounds.max
            };
            bounds.distance(value) as f64 / bound.max(1) as f64
        };
        self.bounds.iter().zip(cost).map(part).sum()
    }
}

/// The costs added up.
pub(super) fn sum(mut a: Costs, b: Costs) -> Costs {
    for (a, b) in a.iter_mut().zip(b) {
        *a += b;
    }
    a
}
