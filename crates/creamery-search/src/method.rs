//! The methods: how a supernet is trained, and who chooses.

use creamery_space::Space;
use creamery_train::{ConfigError, nearest};

/// A method of the field, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Prioritized paths teach (Peng et al. 2020).
    Cream,
    /// Single random paths (Guo et al. 2020).
    Spos,
    /// Strict fairness (Chu et al. 2021).
    Fairnas,
    /// Progressive shrinking of an elastic supernet (Cai et al. 2020).
    Ofa,
    /// The sandwich rule in an elastic supernet (Yu et al. 2020).
    Bignas,
    /// Prioritized paths teach in an elastic supernet.
    CreamElastic,
}

impl Method {
    /// All of them, with their names.
    pub const ALL: [(&'static str, Method); 6] = [
        ("cream", Method::Cream),
        ("spos", Method::Spos),
        ("fairnas", Method::Fairnas),
        ("ofa", Method::Ofa),
        ("bignas", Method::Bignas),
        ("cream-elastic", Method::CreamElastic),
    ];

    /// The method of that name.
    ///
    /// # Errors
    /// [`ConfigError::Value`] with the one that may have been meant, or all there are.
    pub fn named(name: &str) -> Result<Self, ConfigError> {
        let found = Self::ALL.iter().find(|(known, _)| *known == name);
        if let Some((_, method)) = found {
            return Ok(*method);
        }
        let names = Self::ALL.map(|(known, _)| known);
        let hint = match nearest(name, names) {
            Some(method) => format!("did you mean `{method}`?"),
            None => format!("there is {}", names.join(", ")),
        };
        let message = format!("unknown method `{name}`, {hint}");
        Err(ConfigError::Value(message))
    }

    /// Whether all operations of a place share one block, so that networks are used as they are cut out.
    pub fn is_elastic(self) -> bool {
        matches!(self, Self::Ofa | Self::Bignas | Self::CreamElastic)
    }

    /// Whether the training keeps a board of the best paths.
    pub fn has_board(self) -> bool {
        matches!(self, Self::Cream | Self::CreamElastic)
    }

    /// Whether a step trains one path, so that it may train several instead.
    pub fn has_single_paths(self) -> bool {
        matches!(self, Self::Cream | Self::Spos | Self::CreamElastic)
    }

    /// Whether phases of the training are shares of the whole, so that no epochs can be added once it has begun.
    pub fn has_phases(self) -> bool {
        self == Self::Ofa
    }

    /// Refuses a space that the method has no use for.
    ///
    /// # Errors
    /// [`ConfigError::Value`] for an elastic method in a space of one operation.
    pub fn check(self, space: &Space) -> Result<(), ConfigError> {
        if self.is_elastic() && space.operations.len() < 2 {
            let (name, _) = Self::ALL[self as usize];
            return Err(ConfigError::Value(format!(
                "method `{name}` shares one block among a place's operations, but space `{}` has only one operation: give it more kernels or expansions, or use `spos` or `cream`",
                space.name
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_methods() {
        for (index, (name, method)) in Method::ALL.into_iter().enumerate() {
            assert_eq!(Method::named(name).unwrap(), method);
            assert_eq!(method as usize, index, "the table is in the methods' order");
        }
        let error = |name| Method::named(name).unwrap_err().to_string();
        assert!(error("craem").contains("did you mean `cream`"));
        assert!(error("darts").contains("spos, fairnas"));
    }

    #[test]
    fn an_elastic_method_needs_something_elastic() {
        let mut space = Space::builtin("tiny-32").unwrap();
        space.operations.truncate(1);
        let error = Method::Bignas.check(&space).unwrap_err().to_string();
        assert!(
            error.contains("`bignas`") && error.contains("tiny-32"),
            "{error}"
        );
        Method::Cream.check(&space).unwrap();
    }
}
