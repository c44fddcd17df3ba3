//! Paths told apart without keeping them.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use creamery_space::SKIP;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// A hash of an architecture as a file has it: equal paths have equal ones, with or without trailing skips.
///
/// A board tells of all its entries whenever one changes, so nearly all that are read are known already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct PathKey(u64);

impl<'de> serde::Deserialize<'de> for PathKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Path)
    }
}

struct Path;

impl<'de> Visitor<'de> for Path {
    type Value = PathKey;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an architecture")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<PathKey, A::Error> {
        let mut hasher = DefaultHasher::new();
        // Keys in the order of the file, which is the same throughout it.
        while let Some(key) = map.next_key::<std::borrow::Cow<'_, str>>()? {
            match key.as_ref() {
                "space" => map
                    .next_value::<std::borrow::Cow<'_, str>>()?
                    .hash(&mut hasher),
                "resolution" => map.next_value::<u64>()?.hash(&mut hasher),
                "choices" => map.next_value_seed(Stages(&mut hasher))?,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(PathKey(hasher.finish()))
    }
}

struct Stages<'a>(&'a mut DefaultHasher);

impl<'de> DeserializeSeed<'de> for Stages<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Stages<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the choices of each stage")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut stages: A) -> Result<(), A::Error> {
        while stages.next_element_seed(Stage(&mut *self.0))?.is_some() {}
        Ok(())
    }
}

struct Stage<'a>(&'a mut DefaultHasher);

impl<'de> DeserializeSeed<'de> for Stage<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Stage<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the choices of a stage")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut choices: A) -> Result<(), A::Error> {
        let mut skips = 0;
        while let Some(choice) = choices.next_element::<i8>()? {
            if choice == SKIP {
                skips += 1;
                continue;
            }
            (0..skips).for_each(|_| SKIP.hash(self.0));
            skips = 0;
            choice.hash(self.0);
        }
        // Where the stage ends; no choice.
        i8::MIN.hash(self.0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use creamery_space::Architecture;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn key(choices: &[Vec<i8>]) -> PathKey {
        let text = serde_json::json!({"space": "s", "resolution": 28, "choices": choices});
        serde_json::from_value(text).unwrap()
    }

    proptest! {
        #[test]
        fn keys_are_equal_where_paths_are(a in vec(vec(-1i8..2, 0..4), 1..4), b in vec(vec(-1i8..2, 0..4), 1..4)) {
            let path = |choices: &[Vec<i8>]| Architecture::new("s", 28, choices.to_vec());
            prop_assert_eq!(path(&a) == path(&b), key(&a) == key(&b));
        }
    }
}
