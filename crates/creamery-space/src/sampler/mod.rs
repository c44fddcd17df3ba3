//! Drawing paths under a budget, each that fits with the same probability.
//!
//! A path chooses one option at each place, and its cost is a sum over the places. How many ways there
//! are to finish a path within what is left of the budget can therefore be counted from the last place
//! backwards, by dynamic programming; with those counts the n-th path that fits can be built directly,
//! and a uniform n gives a uniform path ([`table`]).
//!
//! Costs are too many to count each: they are rounded down to a grid. Rounding lets in paths that are a
//! little outside; a drawn path is therefore costed exactly and drawn again if it does not fit. What
//! remains is uniform over exactly the paths that fit. How many draws are lost is measured before the
//! first: if too many, the grid is made finer, up to one where no sum is rounded; and where few paths are
//! let in, they are listed.

mod nearest;
mod problem;
mod table;

use std::fmt;

use rand::{Rng, RngExt};

use crate::architecture::{Architecture, SKIP};
use crate::budget::Budget;
use crate::cost::format_count;
use crate::error::{BudgetError, SampleError};
use crate::space::Space;
use crate::time::format_latency;
use problem::{Dimension, Problem};
use table::{Grid, Table};

/// Numbers in a table at most; 16 bytes each.
const MAX_ENTRIES: usize = 1 << 22;
/// So many paths are listed instead of drawn from a table.
const LISTED: u128 = 1 << 16;
/// Draws that measure what a grid is worth.
const PROBES: usize = 1024;
/// A grid is fine enough if one draw in so many fits.
const WORTH: usize = 4;
/// Draws after which a budget that let nothing through is given up.
const LONG_PROBE: usize = 1 << 17;

/// Draws architectures of a space whose cost is within a budget, uniformly over all such paths.
///
/// ```
/// use creamery_space::{Budget, Sampler, Space};
///
/// let space = Space::builtin("cream-224").unwrap();
/// let budget = Budget::up_to_macs(300_000_000);
/// let sampler = Sampler::new(&space, 224, 3, 1000, &budget)?;
/// let mut rng = creamery_rng::stream(7, "paths", 0);
/// let architecture = sampler.draw(&mut rng);
/// assert!(budget.contains(&space.cost(&architecture, 3, 1000)?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct Sampler {
    space: String,
    resolution: usize,
    problem: Problem,
    source: Source,
    count: PathCount,
}

#[derive(Clone, Debug)]
enum Source {
    /// Every path that fits.
    List(Vec<Vec<u8>>),
    /// A superset of them.
    Table(Box<Table>),
}

/// How many paths fit a budget.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PathCount {
    /// So many fit for certain.
    pub at_least: u128,
    /// More do not.
    pub at_most: u128,
    /// Between the two; where they differ, from trial draws, with a standard error of some percent of it.
    pub estimate: f64,
}

impl PathCount {
    fn exactly(count: u128) -> PathCount {
        PathCount {
            at_least: count,
            at_most: count,
            estimate: count as f64,
        }
    }

    /// Whether both bounds are equal.
    pub fn is_exact(&self) -> bool {
        self.at_least == self.at_most
    }
}

/// The count where it is exact and short, else `about 1.2e20`.
impl fmt::Display for PathCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHORT: u128 = 1_000_000_000_000;
        match u64::try_from(self.at_least) {
            Ok(count) if self.is_exact() && self.at_least < SHORT => {
                f.write_str(&format_count(count))
            }
            _ => write!(f, "about {:.1e}", self.estimate),
        }
    }
}

/// A table with what its probes said.
struct Probed {
    table: Table,
    all: u128,
    surely: u128,
    /// Probes that fitted, and all probes.
    fitting: (usize, usize),
}

impl Sampler {
    /// Prepares to draw architectures of `resolution` under `budget`, costs being those for images of
    /// `in_channels` channels and for `classes` classes.
    ///
    /// Takes milliseconds for a budget with bounds on one side, and up to a second for narrow ones.
    ///
    /// # Errors
    /// [`SampleError::Empty`] if nothing fits and [`SampleError::Narrow`] if too little does to draw from,
    /// both with the nearest path; [`SampleError::Budget`] for bounds in the wrong order, and for bounds on latency
    /// if the space has no latency table; [`SampleError::Space`] if the space is wrong, does not have the
    /// resolution, or has a latency table for other images.
    pub fn new(
        space: &Space,
        resolution: usize,
        in_channels: usize,
        classes: usize,
        budget: &Budget,
    ) -> Result<Sampler, SampleError> {
        space.check()?;
        space.allow_resolution(resolution)?;
        space.allow_input(in_channels, classes)?;
        budget.check()?;
        if budget.bounds_latency() && space.latency_table().is_none() {
            return Err(BudgetError::NoTable.into());
        }
        let problem = Problem::new(space, resolution, in_channels, classes, budget)?;
        let found = prepare(&problem);
        if let Ok((source, count)) = found {
            return Ok(Sampler {
                space: space.name.clone(),
                resolution,
                problem,
                source,
                count,
            });
        }
        let path = nearest::nearest(&problem);
        let [macs, params, latency] = problem.cost(&path);
        let (macs, params) = (format_count(macs), format_count(params));
        let mut nearest = format!("{macs} MACs, {params} params");
        if space.latency_table().is_some() {
            nearest = format!("{nearest}, {}", format_latency(latency));
        }
        let architecture = Box::new(build(&space.name, resolution, &problem, &path));
        let (space, budget) = (space.name.clone(), budget.to_string());
        Err(match found {
            Err(Failure::Narrow) => SampleError::Narrow {
                space,
                resolution,
                budget,
                nearest,
                architecture,
            },
            _ => SampleError::Empty {
                space,
                resolution,
                budget,
                nearest,
                architecture,
            },
        })
    }

    /// Draws one architecture; every path that fits has the same probability.
    pub fn draw(&self, rng: &mut impl Rng) -> Architecture {
        match &self.source {
            Source::List(paths) => self.build(&paths[rng.random_range(0..paths.len())]),
            Source::Table(table) => {
                let mut path = vec![0; self.problem.options.len()];
                let all = table.count();
                loop {
                    table.path(rng.random_range(0..all), &mut path);
                    if self.problem.fits(&path) {
                        return self.build(&path);
                    }
                }
            }
        }
    }

    /// How many paths fit.
    ///
    /// Exact without bounds, where few paths fit, and where costs are few enough not to be rounded; between
    /// two bounds elsewhere, because an exact count would have to tell more sums of costs apart than a
    /// table can hold. Draws are uniform all the same.
    pub fn count(&self) -> PathCount {
        self.count
    }

    fn build(&self, path: &[u8]) -> Architecture {
        build(&self.space, self.resolution, &self.problem, path)
    }
}

fn build(space: &str, resolution: usize, problem: &Problem, path: &[u8]) -> Architecture {
    let mut path = path.iter();
    let stages = problem.stage_blocks.iter().map(|&blocks| {
        let options = path.by_ref().take(blocks);
        let choice = |&option: &u8| {
            if usize::from(option) == problem.operations {
                SKIP
            } else {
                option as i8
            }
        };
        options.map(choice).collect()
    });
    Architecture::new(space, resolution, stages.collect())
}

enum Failure {
    /// Nothing fits.
    Empty,
    /// Too little fits.
    Narrow,
}

/// The first of ever finer grids that is worth drawing from.
fn prepare(problem: &Problem) -> Result<(Source, PathCount), Failure> {
    let bounded: Vec<Dimension> = problem.bounded().collect();
    let mut best: Option<Probed> = None;
    let grids = grids(&bounded, problem.options.len());
    for (round, grid) in (0..).zip(grids) {
        let table = Table::new(problem, grid).ok_or(Failure::Empty)?;
        let all = table.count();
        if all == 0 {
            return Err(Failure::Empty);
        }
        if all <= LISTED {
            return list(problem, &table);
        }
        if table.exact(&bounded) {
            return Ok((Source::Table(Box::new(table)), PathCount::exactly(all)));
        }
        let fitting = probe(problem, &table, round, PROBES, PROBES);
        let surely = table.surely(&bounded);
        let worth = fitting.0 * WORTH >= fitting.1;
        if best.as_ref().is_none_or(|best| fitting.0 >= best.fitting.0) {
            best = Some(Probed {
                table,
                all,
                surely,
                fitting,
            });
        }
        if worth {
            break;
        }
    }
    let mut best = best.ok_or(Failure::Narrow)?;
    if best.fitting.0 * WORTH < best.fitting.1 {
        // So few that the estimate needs more probes, and that none may have been met yet.
        best.fitting = probe(problem, &best.table, u64::MAX, LONG_PROBE, PROBES / 4);
    }
    let (hits, probes) = best.fitting;
    if hits == 0 {
        return Err(Failure::Narrow);
    }
    let at_least = best.surely.max(1);
    let estimate = best.all as f64 * (hits as f64 / probes as f64);
    let count = PathCount {
        at_least,
        at_most: best.all,
        estimate: estimate.clamp(at_least as f64, best.all as f64),
    };
    Ok((Source::Table(Box::new(best.table)), count))
}

/// The grids that are tried, from the cheapest to the finest. A table knows two dimensions; 0 cells, and what is on no
/// axis, leave a dimension to rejection alone.
fn grids(bounded: &[Dimension], places: usize) -> Vec<Grid> {
    const COARSE: usize = 1 << 14;
    let most = MAX_ENTRIES / (places + 1);
    let coarse = COARSE.min(most);
    let alone = |dimension: Dimension, cells: usize| {
        let other = match dimension {
            Dimension::Macs => Dimension::Params,
            _ => Dimension::Macs,
        };
        [(dimension, cells), (other, 0)]
    };
    let each = bounded.iter().map(|&dimension| alone(dimension, coarse));
    match bounded {
        [] => vec![alone(Dimension::Macs, 0)],
        [dimension] => each.chain([alone(*dimension, most)]).collect(),
        _ => {
            let side = most.isqrt();
            let pairs = |side: usize| {
                let first = bounded.iter().enumerate();
                first.flat_map(move |(i, &a)| {
                    let second = bounded[i + 1..].iter();
                    second.map(move |&b| [(a, side), (b, side)])
                })
            };
            each.chain(pairs(side / 3)).chain(pairs(side)).collect()
        }
    }
}

/// Draws from the table until `enough` paths fit or `most` are drawn; how many fit, of how many.
fn probe(
    problem: &Problem,
    table: &Table,
    round: u64,
    most: usize,
    enough: usize,
) -> (usize, usize) {
    let mut rng = creamery_rng::stream(0, "sampler probe", round);
    let mut path = vec![0; problem.options.len()];
    let all = table.count();
    let mut fitting = 0;
    for drawn in 1..=most {
        table.path(rng.random_range(0..all), &mut path);
        fitting += usize::from(problem.fits(&path));
        if fitting == enough {
            return (fitting, drawn);
        }
    }
    (fitting, most)
}

/// Every path of the table that fits.
fn list(problem: &Problem, table: &Table) -> Result<(Source, PathCount), Failure> {
    let mut path = vec![0; problem.options.len()];
    let mut paths = Vec::new();
    for index in 0..table.count() {
        table.path(index, &mut path);
        if problem.fits(&path) {
            paths.push(path.clone());
        }
    }
    if paths.is_empty() {
        return Err(Failure::Empty);
    }
    let count = PathCount::exactly(paths.len() as u128);
    Ok((Source::List(paths), count))
}
