//! Which runs are listed, and in which order.

use std::cmp::Ordering;
use std::str::FromStr;

use crate::summary::Summary;

/// Which runs are listed: those that fit all that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Words that must each be somewhere in the name, task, state, method, selector, space, data or architecture, whatever the case.
    pub q: Option<String>,
    /// `search`, `retrain`, ..
    pub task: Option<String>,
    /// `running`, `finished`, `stopped` or `unknown`.
    pub state: Option<String>,
    /// The method's name.
    pub method: Option<String>,
    /// The data set's name.
    pub data: Option<String>,
}

/// What runs are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SortKey {
    /// The name.
    Id,
    /// When it was last written.
    #[default]
    Modified,
    /// Accuracy.
    Top1,
    /// MACs.
    Macs,
    /// Parameters.
    Params,
    /// Seconds of work.
    Seconds,
    /// The state's name.
    State,
    /// The task's name.
    Task,
    /// The method's name.
    Method,
    /// The data set's name.
    Data,
}

impl SortKey {
    /// All of them with their names.
    pub const NAMES: [(&str, Self); 10] = [
        ("name", Self::Id),
        ("modified", Self::Modified),
        ("top1", Self::Top1),
        ("macs", Self::Macs),
        ("params", Self::Params),
        ("seconds", Self::Seconds),
        ("state", Self::State),
        ("task", Self::Task),
        ("method", Self::Method),
        ("data", Self::Data),
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        let found = Self::NAMES.iter().find(|(_, key)| *key == self);
        found.expect("every key has a name").0
    }

    /// Whether the largest comes first where the user says nothing.
    pub fn falls(self) -> bool {
        matches!(self, Self::Modified | Self::Top1 | Self::Seconds)
    }
}

impl FromStr for SortKey {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::NAMES.iter().find(|(name, _)| *name == text);
        found.map(|(_, key)| *key).ok_or_else(|| {
            let names: Vec<&str> = Self::NAMES.iter().map(|(name, _)| *name).collect();
            format!("sort by one of {}", names.join(", "))
        })
    }
}

/// The order of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// What decides.
    pub key: SortKey,
    /// Whether the largest comes first. Runs without a value come last either way.
    pub falling: bool,
}

impl Order {
    /// The usual direction of a key.
    pub fn by(key: SortKey) -> Self {
        Self {
            key,
            falling: key.falls(),
        }
    }

    fn compare(self, a: &Summary, b: &Summary) -> Ordering {
        let turned = |ordering: Ordering| {
            if self.falling {
                ordering.reverse()
            } else {
                ordering
            }
        };
        fn present<T>(
            a: Option<T>,
            b: Option<T>,
            compare: impl FnOnce(T, T) -> Ordering,
        ) -> Ordering {
            match (a, b) {
                (Some(a), Some(b)) => compare(a, b),
                (a, b) => b.is_some().cmp(&a.is_some()),
            }
        }
        let number =
            |of: fn(&Summary) -> Option<f64>| present(of(a), of(b), |a, b| turned(a.total_cmp(&b)));
        let text =
            |of: fn(&Summary) -> Option<&str>| present(of(a), of(b), |a, b| turned(a.cmp(b)));
        let first = match self.key {
            SortKey::Id => turned(a.id.cmp(&b.id)),
            SortKey::Modified => number(|run| run.modified.map(|time| time as f64)),
            SortKey::Top1 => number(|run| run.top1),
            SortKey::Macs => number(|run| run.macs.map(|macs| macs as f64)),
            SortKey::Params => number(|run| run.params.map(|params| params as f64)),
            SortKey::Seconds => number(|run| run.seconds),
            SortKey::State => text(|run| Some(&run.state)),
            SortKey::Task => text(|run| Some(&run.task)),
            SortKey::Method => text(|run| run.method.as_deref()),
            SortKey::Data => text(|run| run.data.as_deref()),
        };
        first.then_with(|| a.id.cmp(&b.id))
    }
}

impl Default for Order {
    fn default() -> Self {
        Self::by(SortKey::default())
    }
}

impl Filter {
    /// The runs that fit, in order.
    pub fn apply<'a>(
        &self,
        runs: impl IntoIterator<Item = &'a Summary>,
        order: Order,
    ) -> Vec<&'a Summary> {
        let words = self.q.as_deref().unwrap_or_default().to_lowercase();
        let words: Vec<&str> = words.split_whitespace().collect();
        let fits = |run: &&Summary| self.fits(run) && contains(run, &words);
        let mut found: Vec<&Summary> = runs.into_iter().filter(fits).collect();
        found.sort_by(|a, b| order.compare(a, b));
        found
    }

    fn fits(&self, run: &Summary) -> bool {
        // An empty choice of a form is none.
        let is = |wanted: &Option<String>, found: Option<&str>| {
            let wanted = wanted.as_deref().filter(|wanted| !wanted.is_empty());
            wanted.is_none_or(|wanted| found == Some(wanted))
        };
        is(&self.task, Some(&run.task))
            && is(&self.state, Some(&run.state))
            && is(&self.method, run.method.as_deref())
            && is(&self.data, run.data.as_deref())
    }
}

fn contains(run: &Summary, words: &[&str]) -> bool {
    if words.is_empty() {
        return true;
    }
    let rest = [
        &run.method,
        &run.selector,
        &run.space,
        &run.data,
        &run.architecture,
    ];
    let mut text = run.id.to_lowercase();
    for part in rest.into_iter().flatten().chain([&run.task, &run.state]) {
        text.push(' ');
        text.push_str(&part.to_lowercase());
    }
    words.iter().all(|word| text.contains(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(id: &str, method: Option<&str>, top1: Option<f64>) -> Summary {
        Summary {
            id: id.into(),
            task: "search".into(),
            state: "finished".into(),
            method: method.map(str::to_owned),
            top1,
            ..Summary::default()
        }
    }

    fn ids(filter: Filter, order: Order) -> Vec<String> {
        let runs = [
            run("b/one", Some("cream"), Some(40.0)),
            run("a", Some("spos"), None),
            run("Cold", Some("cream"), Some(50.0)),
        ];
        filter
            .apply(&runs, order)
            .iter()
            .map(|run| run.id.clone())
            .collect()
    }

    #[test]
    fn runs_without_a_value_come_last_either_way() {
        for (falling, expected) in [
            (true, ["Cold", "b/one", "a"]),
            (false, ["b/one", "Cold", "a"]),
        ] {
            let order = Order {
                key: SortKey::Top1,
                falling,
            };
            assert_eq!(ids(Filter::default(), order), expected);
        }
    }

    #[test]
    fn words_and_choices_must_all_fit() {
        let order = Order::by(SortKey::Id);
        let q = |q: &str| Filter {
            q: Some(q.into()),
            ..Filter::default()
        };
        assert_eq!(ids(q("cold CREAM"), order), ["Cold"]);
        assert_eq!(ids(q("o"), order), ["Cold", "a", "b/one"]);
        let method = Filter {
            method: Some("cream".into()),
            task: Some(String::new()),
            ..q(" ")
        };
        assert_eq!(ids(method, order), ["Cold", "b/one"]);
        assert!("size".parse::<SortKey>().unwrap_err().contains("top1"));
        for (name, key) in SortKey::NAMES {
            assert_eq!((name.parse(), key.name()), (Ok(key), name));
        }
    }
}
