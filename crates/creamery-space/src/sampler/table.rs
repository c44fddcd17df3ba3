//! Counts of the ways to finish a path, on a grid of rounded costs.

use super::problem::{Dimension, Problem};

/// The dimensions of a table's two axes, and how many cells each may have at most; 0 ignore the dimension.
pub(super) type Grid = [(Dimension, usize); 2];

/// For each place and each rounded cost that is left, in how many ways the places from there on stay
/// within it.
///
/// Level `i` of the table holds, for grid indices `(a, b)`, the number of choices at the places `i..`
/// whose rounded costs sum to at most `a` in the dimension of the rows and to at most `b` in that of the columns. The
/// last index of each axis stands for "any". It follows from level `i + 1` by
/// `count[i][a][b] = sum over options o of count[i + 1][a - row(o)][b - column(o)]`, and the number of
/// paths in a window is a sum of its four corners with signs.
#[derive(Clone, Debug)]
pub(super) struct Table {
    axes: [Axis; 2],
    /// Levels one after another, each row by row.
    counts: Vec<u128>,
    count: u128,
}

impl Table {
    /// Rounds the costs to the grid and counts. `None` if the bounds are outside what any path can cost.
    pub(super) fn new(problem: &Problem, grid: Grid) -> Option<Table> {
        let [(rows, row_cells), (columns, column_cells)] = grid;
        let axes = [
            Axis::new(problem, rows, row_cells)?,
            Axis::new(problem, columns, column_cells)?,
        ];
        let [rows, columns] = [axes[0].cells + 1, axes[1].cells + 1];
        let level = rows * columns;
        let places = problem.options.len();
        let mut counts = vec![0u128; level * (places + 1)];
        counts[places * level..].fill(1);
        for place in (0..places).rev() {
            let (before, after) = counts.split_at_mut((place + 1) * level);
            let target = &mut before[place * level..];
            let source = &after[..level];
            for (&down, &right) in axes[0].steps[place].iter().zip(&axes[1].steps[place]) {
                for row in 0..rows {
                    let Some(from) = axes[0].minus(Some(row), down) else {
                        continue;
                    };
                    let target = &mut target[row * columns..][..columns];
                    let source = &source[from * columns..][..columns];
                    let kept = axes[1].cells.saturating_sub(right);
                    let finite = &mut target[axes[1].cells - kept..axes[1].cells];
                    for (sum, term) in finite.iter_mut().zip(&source[..kept]) {
                        *sum += term;
                    }
                    target[columns - 1] += source[columns - 1];
                }
            }
        }
        let mut table = Table {
            axes,
            counts,
            count: 0,
        };
        table.count = table.within(0, [table.axes[0].outer, table.axes[1].outer]);
        Some(table)
    }

    /// The number of paths whose rounded cost may be within the bounds.
    pub(super) fn count(&self) -> u128 {
        self.count
    }

    /// The number of paths whose cost is within the bounds whatever was lost in rounding, if the table
    /// knows every dimension that is bounded; else 0.
    pub(super) fn surely(&self, bounded: &[Dimension]) -> u128 {
        if bounded.iter().any(|&d| self.axis(d).is_none()) {
            return 0;
        }
        match [self.axes[0].inner, self.axes[1].inner] {
            [Some(rows), Some(columns)] => self.within(0, [rows, columns]),
            _ => 0,
        }
    }

    /// Whether the paths counted are exactly those that fit.
    pub(super) fn exact(&self, bounded: &[Dimension]) -> bool {
        let exact = |&d: &Dimension| self.axis(d).is_some_and(|axis| axis.lost == 0);
        bounded.iter().all(exact)
    }

    /// The axis that tells costs of a dimension apart.
    fn axis(&self, dimension: Dimension) -> Option<&Axis> {
        let mut axes = self.axes.iter();
        axes.find(|axis| axis.dimension == dimension && axis.cells > 0)
    }

    /// Writes the path of that index, below [`Table::count`], as one option for each place.
    pub(super) fn path(&self, mut index: u128, path: &mut [u8]) {
        let mut left = [self.axes[0].outer, self.axes[1].outer];
        for (place, choice) in path.iter_mut().enumerate() {
            let steps = self.axes[0].steps[place]
                .iter()
                .zip(&self.axes[1].steps[place]);
            for (option, (&down, &right)) in steps.enumerate() {
                let after = [
                    self.axes[0].window_minus(left[0], down),
                    self.axes[1].window_minus(left[1], right),
                ];
                let ways = self.within(place + 1, after);
                if index < ways {
                    *choice = option as u8;
                    left = after;
                    break;
                }
                index -= ways;
            }
        }
    }

    /// The ways from `place` on that stay in the windows.
    fn within(&self, place: usize, [rows, columns]: [Window; 2]) -> u128 {
        let width = self.axes[1].cells + 1;
        let level = place * (self.axes[0].cells + 1) * width;
        let at = |row: Option<usize>, column: Option<usize>| match (row, column) {
            (Some(row), Some(column)) => self.counts[level + row * width + column],
            _ => 0,
        };
        // The total is below 2^128; on the way to it a sum of two counts need not be.
        at(rows.to, columns.to)
            .wrapping_sub(at(rows.above, columns.to))
            .wrapping_sub(at(rows.to, columns.above))
            .wrapping_add(at(rows.above, columns.above))
    }
}

/// The rounded sums above `above` (from the least if `None`) and up to `to` (none if `None`).
#[derive(Clone, Copy, Debug)]
struct Window {
    above: Option<usize>,
    to: Option<usize>,
}

impl Window {
    const NOTHING: Window = Window {
        above: None,
        to: None,
    };
}

/// One dimension of the grid.
#[derive(Clone, Debug)]
struct Axis {
    dimension: Dimension,
    /// Finite indices; the index `cells` means any sum.
    cells: usize,
    /// For each place, the rounded cost of each option.
    steps: Vec<Vec<usize>>,
    /// Most that the rounding of a path's options can lose in all.
    lost: u64,
    /// Rounded sums of which some may be within the bounds.
    outer: Window,
    /// Rounded sums that are within the bounds whatever was lost.
    inner: Option<Window>,
}

impl Axis {
    /// `None` if no path is within the bounds.
    fn new(problem: &Problem, dimension: Dimension, most_cells: usize) -> Option<Axis> {
        let d = dimension as usize;
        let extremes: Vec<(u64, u64)> = problem
            .options
            .iter()
            .map(|options| {
                let costs = || options.iter().map(|cost| cost[d]);
                (costs().min().unwrap_or(0), costs().max().unwrap_or(0))
            })
            .collect();
        let least = problem.fixed[d] + extremes.iter().map(|e| e.0).sum::<u64>();
        let range = extremes.iter().map(|e| e.1 - e.0).sum::<u64>();
        let bounds = problem.bounds[d];
        if bounds.max < least || bounds.min > least + range {
            return None;
        }
        let low = bounds.min.saturating_sub(least);
        let high = (bounds.max - least).min(range);
        if most_cells == 0 || (low == 0 && high == range) {
            return Some(Axis::any(problem, dimension));
        }
        // The table must reach the higher of the bounds that bind. Measured down from the dearest path
        // instead of up from the cheapest, that may be nearer, and the grid finer.
        let reach = |low: u64, high: u64| if high < range { high } else { low - 1 };
        let (down_low, down_high) = (range - high, range - low);
        let down = reach(down_low, down_high) < reach(low, high);
        let (low, high) = if down {
            (down_low, down_high)
        } else {
            (low, high)
        };
        let reach = reach(low, high);

        let offset = |place: usize, cost: u64| {
            if down {
                extremes[place].1 - cost
            } else {
                cost - extremes[place].0
            }
        };
        let offsets = (problem.options.iter().enumerate()).map(|(place, options)| {
            let offsets = options.iter().map(|cost| offset(place, cost[d]));
            offsets.collect::<Vec<u64>>()
        });
        let offsets: Vec<Vec<u64>> = offsets.collect();
        let divisor = offsets.iter().flatten().fold(0, |a, &b| gcd(a, b)).max(1);
        let quantum = divisor.max(reach / most_cells as u64 + 1);
        let lost = offsets
            .iter()
            .map(|offsets| {
                offsets
                    .iter()
                    .map(|offset| offset % quantum)
                    .max()
                    .unwrap_or(0)
            })
            .sum();
        let cells = (reach / quantum) as usize + 1;
        let window = |least: u64, most: Option<u64>| {
            let first = least.div_ceil(quantum) as usize;
            let to = match most {
                None => cells,
                Some(most) => (most / quantum) as usize,
            };
            let window = Window {
                above: first.checked_sub(1),
                to: Some(to),
            };
            if first <= to { window } else { Window::NOTHING }
        };
        let most = (high < range).then_some(high);
        let inner = match most {
            Some(most) => (most.checked_sub(lost)).map(|most| window(low, Some(most))),
            None => Some(window(low, None)),
        };
        let rounded = |offset: &u64| usize::try_from(offset / quantum).unwrap_or(usize::MAX);
        let steps = offsets
            .iter()
            .map(|offsets| offsets.iter().map(rounded).collect());
        Some(Axis {
            dimension,
            cells,
            steps: steps.collect(),
            lost,
            outer: window(low.saturating_sub(lost), most),
            inner,
        })
    }

    /// An axis along which nothing is bounded.
    fn any(problem: &Problem, dimension: Dimension) -> Axis {
        let any = Window {
            above: None,
            to: Some(0),
        };
        Axis {
            dimension,
            cells: 0,
            steps: problem
                .options
                .iter()
                .map(|options| vec![0; options.len()])
                .collect(),
            lost: 0,
            outer: any,
            inner: Some(any),
        }
    }

    /// The index that is left of `index` after `step`; `None` if nothing is.
    #[inline]
    fn minus(&self, index: Option<usize>, step: usize) -> Option<usize> {
        match index {
            Some(index) if index < self.cells => index.checked_sub(step),
            any => any,
        }
    }

    #[inline]
    fn window_minus(&self, window: Window, step: usize) -> Window {
        Window {
            above: self.minus(window.above, step),
            to: self.minus(window.to, step),
        }
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::budget::Bounds;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::HashSet;

    /// Every path, by counting up.
    fn all_paths(problem: &Problem) -> Vec<Vec<u8>> {
        let mut paths = vec![Vec::new()];
        for options in &problem.options {
            let longer = |path: Vec<u8>| {
                (0..options.len() as u8).map(move |option| [&path[..], &[option]].concat())
            };
            paths = paths.into_iter().flat_map(longer).collect();
        }
        paths
    }

    fn any_bounds() -> impl Strategy<Value = Bounds> {
        (0u64..250, prop_oneof![1u64..300, Just(u64::MAX)]).prop_map(|(min, width)| Bounds {
            min: min.saturating_sub(100),
            max: min.saturating_add(width),
        })
    }

    fn any_problem() -> impl Strategy<Value = Problem> {
        let places = vec(vec([0u64..60, 0u64..60, 0u64..60], 1..4), 1..6);
        let bounds = [any_bounds(), any_bounds(), any_bounds()];
        (places, [0u64..50, 0u64..50, 0u64..50], bounds).prop_map(|(options, fixed, bounds)| {
            Problem {
                stage_blocks: vec![1; options.len()],
                operations: 4,
                fixed,
                options,
                bounds,
            }
        })
    }

    fn any_grid() -> impl Strategy<Value = Grid> {
        let pairs = vec![(0, 1), (0, 2), (1, 2), (2, 0)];
        let pair = proptest::sample::select(pairs);
        (pair, 0usize..40, 0usize..40).prop_map(|((a, b), rows, columns)| {
            [(Dimension::ALL[a], rows), (Dimension::ALL[b], columns)]
        })
    }

    proptest! {
        /// However coarse the grid: each index is another path, and the paths are every one that fits and
        /// none that a whole path's rounding could not have let in.
        #[test]
        fn indices_are_the_paths_that_may_fit(
            problem in any_problem(),
            grid in any_grid(),
        ) {
            let all = all_paths(&problem);
            let fitting: HashSet<_> = all.iter().filter(|path| problem.fits(path)).collect();
            let bounded: Vec<_> = problem.bounded().collect();
            let Some(table) = Table::new(&problem, grid) else {
                prop_assert!(fitting.is_empty());
                return Ok(());
            };
            let mut path = vec![0; problem.options.len()];
            let mut drawn = HashSet::new();
            for index in 0..table.count() {
                table.path(index, &mut path);
                prop_assert!(drawn.insert(path.clone()), "{:?} twice", path);
                let cost = problem.cost(&path);
                for axis in &table.axes {
                    let d = axis.dimension as usize;
                    let allowed = if axis.cells == 0 { u64::MAX } else { axis.lost };
                    prop_assert!(problem.bounds[d].distance(cost[d]) <= allowed);
                }
            }
            prop_assert!(fitting.iter().all(|path| drawn.contains(*path)));
            prop_assert!(table.surely(&bounded) <= fitting.len() as u128);
            if table.exact(&bounded) {
                prop_assert_eq!(table.count(), fitting.len() as u128);
                prop_assert_eq!(table.surely(&bounded), table.count());
            }
        }
    }

    /// Sums of 10 and 14 need no rounding on a grid of that many steps of their common divisor.
    #[test]
    fn a_grid_as_fine_as_the_costs_is_exact() {
        let problem = |max| Problem {
            fixed: [3, 0, 0],
            options: vec![vec![[0, 0, 0], [10, 0, 0], [14, 0, 0]]; 4],
            bounds: [max, u64::MAX, u64::MAX].map(|max| Bounds { min: 0, max }),
            operations: 3,
            stage_blocks: vec![4],
        };
        let grid = |cells| [(Dimension::Macs, cells), (Dimension::Params, 0)];
        let tight = problem(3 + 24);
        let bounded: Vec<_> = tight.bounded().collect();
        assert_eq!(bounded, [Dimension::Macs]);
        let table = Table::new(&tight, grid(13)).unwrap();
        assert!(table.exact(&bounded));
        // At most two dear options, and not 14 twice: 1 + 4 + 4 + 6 + 12.
        assert_eq!(table.count(), 27);
        assert!(!Table::new(&tight, grid(12)).unwrap().exact(&bounded));
    }
}
