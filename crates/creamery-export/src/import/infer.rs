//! Which network weights are of, by their shapes alone.

use std::collections::BTreeMap;

use creamery_space::{Architecture, LayerSpec, Space};

use super::ImportError;
use super::fit::{Shapes, misfits};

/// The architecture, of the one of `spaces` that has such a network. Its blocks stand together; its resolution is the one
/// given, or the space's usual one.
///
/// A stage's channels, and kernel and expanded channels of each block, say which operation it is. Strides are not seen in
/// shapes: they are the space's.
pub(super) fn infer(
    spaces: Vec<Space>,
    shapes: &Shapes<'_>,
    resolution: Option<usize>,
) -> Result<(Space, Architecture), ImportError> {
    let (mut found, mut reasons) = (Vec::new(), Vec::new());
    for space in spaces {
        let resolution = resolution.unwrap_or_else(|| space.resolution_for(None));
        let fits = choices(&space, shapes).and_then(|choices| {
            let architecture = Architecture::new(&space.name, resolution, choices);
            space.validate(&architecture).map_err(|e| e.to_string())?;
            Ok(architecture)
        });
        match fits {
            Ok(architecture) => found.push((space, architecture)),
            Err(reason) => reasons.push(format!("{}: {reason}", space.name)),
        }
    }
    // Of several spaces with such blocks, that with the same beginning and end.
    if found.len() > 1 {
        found.retain(|(space, architecture)| {
            misfits(space, architecture, shapes).is_ok_and(|misfits| misfits.is_empty())
        });
        let names: Vec<&str> = found.iter().map(|(space, _)| space.name.as_str()).collect();
        reasons = vec![match names[..] {
            [] => "blocks of several spaces, but the rest of none".to_owned(),
            _ => format!("networks of {} have them", names.join(" and ")),
        }];
    }
    match found.pop() {
        Some(only) if found.is_empty() => Ok(only),
        _ => Err(ImportError::Unknown {
            reason: reasons.join("; "),
        }),
    }
}

/// The choices of each stage, or what does not fit the space.
fn choices(space: &Space, shapes: &Shapes<'_>) -> Result<Vec<Vec<i8>>, String> {
    let blocks = blocks(shapes)?;
    let expected = space.stages.len() + 2;
    if blocks.len() != expected {
        return Err(format!(
            "it has {expected} groups of blocks, not {}",
            blocks.len()
        ));
    }
    let stages = space.stages.iter().enumerate();
    stages
        .map(|(stage, size)| {
            let timm = stage + 1;
            let count = blocks[timm];
            if count > size.blocks {
                return Err(format!(
                    "`blocks.{timm}` has at most {}, not {count}",
                    size.blocks
                ));
            }
            (0..count)
                .map(|block| choice(space, shapes, stage, block))
                .collect()
        })
        .collect()
}

/// How many blocks each of `blocks.0`, `blocks.1`, .. has.
fn blocks(shapes: &Shapes<'_>) -> Result<Vec<usize>, String> {
    let mut seen: BTreeMap<usize, BTreeMap<usize, ()>> = BTreeMap::new();
    for name in shapes.keys() {
        let mut parts = name.split('.');
        if parts.next() == Some("blocks") {
            let mut number = || parts.next().and_then(|part| part.parse().ok());
            let (Some(stage), Some(block)) = (number(), number()) else {
                return Err(format!("`{name}` has no numbers of a stage and a block"));
            };
            seen.entry(stage).or_default().insert(block, ());
        }
    }
    let gapless =
        |numbers: &mut dyn Iterator<Item = usize>| numbers.enumerate().all(|(i, n)| i == n);
    let whole = gapless(&mut seen.keys().copied())
        && seen
            .values()
            .all(|blocks| gapless(&mut blocks.keys().copied()));
    match whole {
        true => Ok(seen.values().map(BTreeMap::len).collect()),
        false => Err("`blocks` are not numbered without gaps".to_owned()),
    }
}

/// The operation of a block, the number of whose stage is ours.
fn choice(space: &Space, shapes: &Shapes<'_>, stage: usize, block: usize) -> Result<i8, String> {
    let place = format!("blocks.{}.{block}", stage + 1);
    let shape = |part: &str| {
        let name = format!("{place}.{part}.weight");
        let shape = shapes
            .get(name.as_str())
            .ok_or_else(|| format!("there is no `{name}`"))?;
        match **shape {
            [a, b, height, width] if height == width => Ok([a, b, height]),
            _ => Err(format!(
                "`{name}` is {shape:?}, no convolution's of a square kernel"
            )),
        }
    };
    let [expanded, _, kernel] = shape("conv_dw")?;
    let [channels, ..] = shape("conv_pwl")?;
    if channels != space.stages[stage].channels {
        return Err(format!(
            "`{place}` gives {} channels, not {channels}",
            space.stages[stage].channels
        ));
    }
    let matching = (0..space.operations.len()).filter(|&operation| {
        matches!(
            space.candidate(stage, block, operation),
            LayerSpec::InvertedResidual { mid_channels, kernel: own, .. } if (mid_channels, own) == (expanded, kernel)
        )
    });
    match matching.collect::<Vec<_>>()[..] {
        [operation] => Ok(operation as i8),
        [] => Err(format!(
            "`{place}` has no operation of {kernel}x{kernel} on {expanded} channels"
        )),
        _ => Err(format!(
            "`{place}` has several operations of {kernel}x{kernel} on {expanded} channels"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timm::{TensorName, tensor_names};

    fn tiny(name: &str) -> Space {
        let mut space = Space::builtin("tiny-32").unwrap();
        space.name = name.to_owned();
        space
    }

    /// What is found for a network of `space`.
    fn found(space: &Space, spaces: &[&Space]) -> Result<String, String> {
        let architecture = Architecture::new(&space.name, 28, vec![vec![1], vec![2], vec![0, 5]]);
        let names: Vec<TensorName> = tensor_names(&space.layers(&architecture, 1, 4).unwrap());
        let shapes: Shapes<'_> = (names.iter())
            .map(|name| (&name.timm[..], &name.shape[..]))
            .collect();
        let spaces = spaces.iter().map(|space| (*space).clone()).collect();
        infer(spaces, &shapes, None)
            .map(|(_, architecture)| architecture.to_string())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn of_spaces_with_the_same_blocks_the_rest_decides() {
        let (one, same) = (tiny("one"), tiny("same"));
        let mut other = tiny("other");
        other.head_channels = 256;
        assert_eq!(found(&one, &[&one, &other]).unwrap(), "one@28:1/2/05");
        assert_eq!(found(&other, &[&one, &other]).unwrap(), "other@28:1/2/05");
        let error = found(&one, &[&one, &other, &same]).unwrap_err();
        assert!(
            error.contains("networks of one and same have them") && error.contains("--space"),
            "{error}"
        );
    }

    #[test]
    fn operations_of_one_shape_cannot_be_told_apart() {
        let mut space = tiny("mine");
        // On four channels, rounded up to eight, an expansion of 1 is one of 2.
        space.first.channels = 4;
        space.operations[1].expansion = 1;
        let error = found(&space, &[&space]).unwrap_err();
        assert!(
            error.contains("`blocks.1.0` has several operations of 3x3 on 8 channels"),
            "{error}"
        );
    }
}
