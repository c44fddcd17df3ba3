//! The file that describes a table.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

/// The file, with `S` for the settings of a search and `R` for those of a retraining.
///
/// It is read with both configurations first, which knows the line of a wrong key or type, and then with
/// plain tables, which know what was said and what was left open.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[serde(bound = "S: Deserialize<'de> + Default, R: Deserialize<'de> + Default")]
pub(super) struct File<S, R> {
    pub name: String,
    pub about: Option<String>,
    pub seeds: Vec<u64>,
    pub search: S,
    pub retrain: Option<Retraining<R>>,
    pub rows: Vec<RowOf<S, R>>,
}

/// One of its rows.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RowOf<S, R> {
    pub name: String,
    pub about: Option<String>,
    #[serde(default)]
    pub search: S,
    pub retrain: Option<Retraining<R>>,
}

/// `false`, or the settings of a retraining.
#[derive(Debug)]
pub(super) enum Retraining<R> {
    Off,
    On(R),
}

impl<'de, R: Deserialize<'de>> Deserialize<'de> for Retraining<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<R>(PhantomData<R>);

        impl<'de, R: Deserialize<'de>> Visitor<'de> for Either<R> {
            type Value = Retraining<R>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("false or a table of settings")
            }

            fn visit_bool<E: Error>(self, on: bool) -> Result<Self::Value, E> {
                match on {
                    false => Ok(Retraining::Off),
                    true => Err(E::custom(
                        "`retrain` is false or a table of settings; leave it out to retrain as [retrain] says",
                    )),
                }
            }

            // Handing the map on keeps the place of an error, which trying one form after the other loses.
            fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<Self::Value, M::Error> {
                R::deserialize(MapAccessDeserializer::new(map)).map(Retraining::On)
            }
        }

        deserializer.deserialize_any(Either(PhantomData))
    }
}
