//! The section `[select]` of a configuration.

use std::fmt;

use creamery_train::{ConfigError, nearest};
use serde::{Deserialize, Serialize};

/// Which selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum SelectorName {
    /// The prioritized paths: see [`BoardSelector`](super::BoardSelector).
    Board,
    /// See [`Evolution`](super::Evolution).
    Evolution,
    /// See [`Nsga2`](super::Nsga2).
    Nsga2,
    /// See [`RandomSearch`](super::RandomSearch).
    Random,
    /// See [`Reinforce`](super::Reinforce).
    Reinforce,
}

impl SelectorName {
    /// All there are.
    pub const ALL: [Self; 5] = [
        Self::Board,
        Self::Evolution,
        Self::Nsga2,
        Self::Random,
        Self::Reinforce,
    ];

    /// As configurations write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Board => "board",
            Self::Evolution => "evolution",
            Self::Nsga2 => "nsga2",
            Self::Random => "random",
            Self::Reinforce => "reinforce",
        }
    }
}

impl fmt::Display for SelectorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<SelectorName> for String {
    fn from(name: SelectorName) -> Self {
        name.as_str().to_owned()
    }
}

impl TryFrom<String> for SelectorName {
    type Error = String;

    /// Reads a name; the error says which may have been meant.
    fn try_from(text: String) -> Result<Self, String> {
        if let Some(name) = Self::ALL.into_iter().find(|name| name.as_str() == text) {
            return Ok(name);
        }
        let all = Self::ALL.map(Self::as_str);
        Err(match nearest(&text, all) {
            Some(name) => format!("unknown selector `{text}`, did you mean `{name}`?"),
            None => format!("unknown selector `{text}`; there are {}", all.join(", ")),
        })
    }
}

/// How the winner is chosen from a trained supernet.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SelectSettings {
    /// `board`, `evolution`, `nsga2`, `random` or `reinforce`; if not given, `board` where the method keeps
    /// one, else `evolution`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<SelectorName>,
    /// Held-out images that score a path. They are kept in memory. `board` takes all there are, one batch at
    /// a time.
    pub images: usize,
    /// Decides the selector's random choices; the run's seed if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<u64>,
    /// Paths of a generation (`evolution`, `nsga2`).
    pub population: usize,
    /// Generations, the first of which is drawn at random.
    pub generations: usize,
    /// The best paths so far, of which `evolution` makes the next generation.
    pub parents: usize,
    /// Children of two parents in a generation; half of the population if not given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub crossover: Option<usize>,
    /// Changed copies of one parent in a generation; half of the population if not given. What children
    /// leave of the population is drawn at random.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mutation: Option<usize>,
    /// Probability with which a mutation draws the choice at a place anew, in [0, 1].
    pub mutation_probability: f64,
    /// Paths that `random` evaluates; if not given, as many as `evolution` would: population x generations.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidates: Option<usize>,
    /// The policy of `reinforce`.
    pub reinforce: ReinforceSettings,
}

/// How the policy of `reinforce` learns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReinforceSettings {
    /// Paths sampled for an update.
    pub samples: usize,
    /// Updates.
    pub updates: usize,
    /// Learning rate, for rewards in standard deviations of those so far.
    pub lr: f64,
    /// Momentum of the moving baseline, in [0, 1).
    pub baseline: f64,
}

impl Default for SelectSettings {
    /// SPOS's for the evolution: population 50, 20 generations, 10 parents, 25 children of each kind,
    /// mutation with probability 0.1; and 1000 evaluations for every selector but `board`.
    fn default() -> Self {
        Self {
            selector: None,
            images: 512,
            seed: None,
            population: 50,
            generations: 20,
            parents: 10,
            crossover: None,
            mutation: None,
            mutation_probability: 0.1,
            candidates: None,
            reinforce: ReinforceSettings::default(),
        }
    }
}

impl Default for ReinforceSettings {
    fn default() -> Self {
        Self {
            samples: 20,
            updates: 50,
            lr: 0.75,
            baseline: 0.9,
        }
    }
}

impl SelectSettings {
    /// Children of two parents in a generation.
    pub fn crossover(&self) -> usize {
        let left = self.population.saturating_sub(self.mutation.unwrap_or(0));
        self.crossover.unwrap_or((self.population / 2).min(left))
    }

    /// Changed copies of one parent in a generation.
    pub fn mutation(&self) -> usize {
        let left = self.population.saturating_sub(self.crossover.unwrap_or(0));
        self.mutation.unwrap_or((self.population / 2).min(left))
    }

    /// Paths that `random` evaluates.
    pub fn candidates(&self) -> usize {
        self.candidates.unwrap_or(self.evolved())
    }

    /// Paths that `evolution` and `nsga2` evaluate at most.
    pub(super) fn evolved(&self) -> usize {
        self.population.saturating_mul(self.generations)
    }

    /// Refuses values that no selection can have.
    ///
    /// # Errors
    /// [`ConfigError::Value`] with the key, its value and its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let at_least_one = [
            ("images", self.images),
            ("population", self.population),
            ("generations", self.generations),
            ("parents", self.parents),
            ("candidates", self.candidates()),
            ("reinforce.samples", self.reinforce.samples),
            ("reinforce.updates", self.reinforce.updates),
        ];
        if let Some((key, _)) = at_least_one.iter().find(|(_, value)| *value == 0) {
            return Err(ConfigError::Value(format!(
                "`select.{key}` is 0, but must be at least 1"
            )));
        }
        let (crossover, mutation) = (self.crossover(), self.mutation());
        if crossover.saturating_add(mutation) > self.population {
            return Err(ConfigError::Value(format!(
                "`select.crossover` and `select.mutation` make {crossover} + {mutation} children, more than `select.population`, {}: lower them or raise it",
                self.population
            )));
        }
        let ReinforceSettings { lr, baseline, .. } = self.reinforce;
        let probability = self.mutation_probability;
        let ranges = [
            (
                "mutation_probability",
                probability,
                (0.0..=1.0).contains(&probability),
                "in [0, 1]",
            ),
            ("reinforce.lr", lr, lr > 0.0 && lr.is_finite(), "above 0"),
            (
                "reinforce.baseline",
                baseline,
                (0.0..1.0).contains(&baseline),
                "in [0, 1)",
            ),
        ];
        for (key, value, holds, range) in ranges {
            if !holds {
                return Err(ConfigError::Value(format!(
                    "`select.{key}` is {value}, but must be {range}"
                )));
            }
        }
        Ok(())
    }

    /// The selector that was asked for, or else the one that suits a method with or without a board.
    ///
    /// # Errors
    /// [`ConfigError::Value`] if `board` was asked for where there is none.
    pub fn selector(&self, has_board: bool) -> Result<SelectorName, ConfigError> {
        match self.selector {
            Some(SelectorName::Board) if !has_board => Err(ConfigError::Value(
                "the selector `board` needs a method that keeps a board, such as cream: choose another, such as evolution"
                    .into(),
            )),
            Some(name) => Ok(name),
            None if has_board => Ok(SelectorName::Board),
            None => Ok(SelectorName::Evolution),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_selectors_name_is_read_or_mended() {
        for name in SelectorName::ALL {
            assert_eq!(SelectorName::try_from(name.to_string()), Ok(name));
        }
        let error = |text: &str| SelectorName::try_from(text.to_owned()).unwrap_err();
        assert!(error("evoluton").contains("did you mean `evolution`?"));
        assert!(error("nsga").contains("did you mean `nsga2`?"));
        assert!(error("bayesian optimisation").contains("board, evolution, nsga2"));
    }

    #[test]
    fn children_fill_the_population_unless_told_otherwise() {
        let counts = |population, crossover, mutation| {
            let settings = SelectSettings {
                population,
                crossover,
                mutation,
                ..SelectSettings::default()
            };
            settings
                .check()
                .map(|()| (settings.crossover(), settings.mutation()))
        };
        assert_eq!(counts(50, None, None).unwrap(), (25, 25));
        assert_eq!(counts(7, None, None).unwrap(), (3, 3));
        assert_eq!(counts(50, Some(40), None).unwrap(), (40, 10));
        assert_eq!(counts(50, None, Some(50)).unwrap(), (0, 50));
        assert_eq!(counts(50, Some(10), None).unwrap(), (10, 25));
        let error = counts(20, Some(15), Some(15)).unwrap_err().to_string();
        assert!(error.contains("15 + 15") && error.contains("20"), "{error}");
    }

    #[test]
    fn values_out_of_range_are_named() {
        let error = |change: &dyn Fn(&mut SelectSettings)| {
            let mut settings = SelectSettings::default();
            settings.check().unwrap();
            change(&mut settings);
            settings.check().unwrap_err().to_string()
        };
        assert!(error(&|s| s.images = 0).contains("`select.images` is 0"));
        assert!(error(&|s| s.candidates = Some(0)).contains("`select.candidates`"));
        assert!(error(&|s| s.reinforce.updates = 0).contains("`select.reinforce.updates`"));
        assert!(error(&|s| s.mutation_probability = 1.5).contains("in [0, 1]"));
        assert!(error(&|s| s.reinforce.lr = f64::NAN).contains("above 0"));
        assert!(error(&|s| s.reinforce.baseline = 1.0).contains("[0, 1)"));
    }

    #[test]
    fn every_selector_but_the_board_may_evaluate_a_thousand_paths() {
        let settings = SelectSettings::default();
        assert_eq!((settings.evolved(), settings.candidates()), (1000, 1000));
        assert_eq!(
            settings.reinforce.samples * settings.reinforce.updates,
            1000
        );
    }

    #[test]
    fn a_method_without_a_board_evolves() {
        let mut settings = SelectSettings::default();
        assert_eq!(settings.selector(true).unwrap(), SelectorName::Board);
        assert_eq!(settings.selector(false).unwrap(), SelectorName::Evolution);
        settings.selector = Some(SelectorName::Board);
        let error = settings.selector(false).unwrap_err().to_string();
        assert!(error.contains("evolution"), "{error}");
    }
}
