//! What can be wrong with a space, an architecture or a budget.

use std::path::PathBuf;

use crate::latency::LatencyTableError;

/// Why a space cannot be read, or an architecture does not belong to it.
///
/// Stages and blocks are counted from 0, as in [`crate::Layer::name`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SpaceError {
    /// Neither a built-in space nor a file.
    #[error("unknown space `{name}`{hint}; known are {known}, or give the path of a .toml file")]
    Unknown {
        /// What was asked for.
        name: String,
        /// `, did you mean ..?`, or nothing.
        hint: String,
        /// The built-in spaces.
        known: String,
    },
    /// A space's file cannot be read.
    #[error("cannot read the space {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A space's file is not a space: bad TOML, an unknown or missing key, a value of another type.
    #[error("{origin}, line {line}: {message}")]
    Toml {
        /// Where the text comes from.
        origin: String,
        /// Line of the text, from 1.
        line: usize,
        /// What is wrong, with the key that may have been meant.
        message: String,
    },
    /// A value that no network can be built from.
    #[error("space `{space}`: {place} {message}")]
    Invalid {
        /// The space.
        space: String,
        /// The key, such as `stages[1].stride`.
        place: String,
        /// What it is and what is allowed.
        message: String,
    },
    /// The architecture names another space.
    #[error("the architecture belongs to the space `{found}`, not to `{expected}`")]
    OtherSpace {
        /// This space.
        expected: String,
        /// The architecture's.
        found: String,
    },
    /// A resolution that the space does not list.
    #[error("resolution {resolution} is not one of `{space}`: {allowed:?}")]
    Resolution {
        /// The space.
        space: String,
        /// What was asked for, in pixels.
        resolution: usize,
        /// The space's, in pixels.
        allowed: Vec<usize>,
    },
    /// Not as many stages as the space has.
    #[error("the architecture has {found} stages; `{space}` has {expected}")]
    Stages {
        /// The space.
        space: String,
        /// Stages of the space.
        expected: usize,
        /// Stages of the architecture.
        found: usize,
    },
    /// A stage with more blocks than the space allows.
    #[error("stage {stage} has {found} blocks; `{space}` has at most {most} there")]
    Blocks {
        /// The space.
        space: String,
        /// The stage.
        stage: usize,
        /// Most blocks of the stage.
        most: usize,
        /// Blocks of the architecture.
        found: usize,
    },
    /// A choice that is neither an operation nor an allowed skip.
    #[error("choice {choice} of stage {stage}, block {block} is not allowed: {allowed}")]
    Choice {
        /// The stage.
        stage: usize,
        /// The block in the stage.
        block: usize,
        /// What the architecture has.
        choice: i8,
        /// What it may have.
        allowed: String,
    },
    /// A number of image channels or classes that no network can have.
    #[error("{what} must be 1 to {most}, not {found}")]
    Input {
        /// `image channels` or `classes`.
        what: &'static str,
        /// The most that is allowed.
        most: usize,
        /// What was asked for.
        found: usize,
    },
    /// The latency table of the space.
    #[error(transparent)]
    Latency(#[from] LatencyTableError),
    /// timm block strings that are malformed or not of this space.
    #[error("timm strings, {place}: {message}")]
    Timm {
        /// The stage, or the block string.
        place: String,
        /// What is wrong and what is allowed.
        message: String,
    },
}

/// Why a budget is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BudgetError {
    /// The least is above the most.
    #[error("the budget asks for at least {min} and at most {max} {what}: exchange them")]
    Order {
        /// `MACs`, `params` or `of latency`.
        what: &'static str,
        /// The lower bound, as people write it.
        min: String,
        /// The upper bound.
        max: String,
    },
    /// A bound on latency where nothing was measured.
    #[error("a latency bound needs --latency-table FILE; `creamery profile` makes one")]
    NoTable,
    /// Buckets of a budget that is open on a side.
    #[error("buckets need both bounds of the MACs: give the {0}")]
    Open(&'static str),
    /// No buckets, or more than there are counts of MACs.
    #[error("cannot cut {range} MACs into {buckets} buckets: give 1 to {range}")]
    Buckets {
        /// Buckets asked for.
        buckets: usize,
        /// Different counts of MACs within the bounds.
        range: u128,
    },
}

/// Why paths cannot be drawn under a budget.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SampleError {
    /// The space, the resolution, the image channels or the classes.
    #[error(transparent)]
    Space(#[from] SpaceError),
    /// The budget contradicts itself.
    #[error(transparent)]
    Budget(#[from] BudgetError),
    /// No path costs that.
    #[error(
        "nothing in `{space}` at {resolution} px costs {budget}; the nearest found is {nearest} ({architecture})"
    )]
    Empty {
        /// The space.
        space: String,
        /// Pixels a side of the input.
        resolution: usize,
        /// The budget.
        budget: String,
        /// Cost of the nearest path found.
        nearest: String,
        /// The nearest path found: truly the nearest in small spaces, and where a bound is beyond all paths.
        architecture: Box<crate::Architecture>,
    },
    /// So few paths cost that, if any, that a long search among those which nearly do met none.
    #[error(
        "too few paths in `{space}` at {resolution} px cost {budget} to draw from: widen it; the nearest found is {nearest} ({architecture})"
    )]
    Narrow {
        /// The space.
        space: String,
        /// Pixels a side of the input.
        resolution: usize,
        /// The budget.
        budget: String,
        /// Cost of the nearest path found.
        nearest: String,
        /// The nearest path found.
        architecture: Box<crate::Architecture>,
    },
}

/// `, did you mean ..?` for the word of `known` that is close to `word`, or nothing.
pub(crate) fn suggestion<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    const CLOSE: f64 = 0.8;
    // Jaro and Winkler's measure is harsh on a slip in a word of three letters.
    let closeness = |candidate: &str| {
        if strsim::osa_distance(word, candidate) <= 1 {
            1.0
        } else {
            strsim::jaro_winkler(word, candidate)
        }
    };
    let scored = known
        .into_iter()
        .map(|candidate| (closeness(candidate), candidate));
    match scored.max_by(|a, b| a.0.total_cmp(&b.0)) {
        Some((score, candidate)) if score >= CLOSE => format!(", did you mean `{candidate}`?"),
        _ => String::new(),
    }
}
