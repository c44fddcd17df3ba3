//! Settings of retrainings that are known to serve, by name.

use serde::Deserialize;
use toml::Table;

use crate::{ConfigError, nearest};

/// The recipes' names.
pub const RECIPES: [&str; 4] = ["paper", "short", "cifar", "fashion"];

/// Settings of a retraining that go together. They lie over what the space recommends and under what the user says.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    /// What it is for, in a phrase.
    pub about: String,
    /// Settings of a [`RetrainConfig`](crate::RetrainConfig), by their keys.
    pub settings: Table,
}

impl Recipe {
    /// The recipe of a name, one of [`RECIPES`].
    ///
    /// ```
    /// let paper = creamery_train::Recipe::named("paper")?;
    /// assert_eq!(paper.settings["train"]["epochs"].as_integer(), Some(500));
    /// # Ok::<(), creamery_train::ConfigError>(())
    /// ```
    ///
    /// # Errors
    /// [`ConfigError::Value`] with the nearest name that there is.
    pub fn named(name: &str) -> Result<Self, ConfigError> {
        let text = match name {
            "paper" => include_str!("../recipes/paper.toml"),
            "short" => include_str!("../recipes/short.toml"),
            "cifar" => include_str!("../recipes/cifar.toml"),
            "fashion" => include_str!("../recipes/fashion.toml"),
            _ => {
                let hint = match nearest(name, RECIPES) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("there are {}", RECIPES.join(", ")),
                };
                return Err(ConfigError::Value(format!(
                    "no recipe is called `{name}`: {hint}"
                )));
            }
        };
        Ok(toml::from_str(text).expect("recipes are part of the program and tested"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Layers, RetrainConfig};

    #[test]
    fn every_recipe_is_a_configuration() {
        for name in RECIPES {
            let recipe = Recipe::named(name).unwrap();
            let layers = Layers {
                defaults: recipe.settings,
                ..Layers::default()
            };
            let config: RetrainConfig = layers.resolve().unwrap();
            config.check().unwrap();
            assert_ne!(config, RetrainConfig::default(), "{name}");
        }
    }

    #[test]
    fn a_wrong_name_is_told_with_the_right_one() {
        let message = |name: &str| Recipe::named(name).unwrap_err().to_string();
        assert_eq!(
            message("fasion"),
            "no recipe is called `fasion`: did you mean `fashion`?"
        );
        assert!(message("x").contains("paper, short, cifar, fashion"));
    }
}
