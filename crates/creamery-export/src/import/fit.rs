//! Whether tensors are those of a network.

use std::collections::BTreeMap;

use creamery_space::{Architecture, Space};

use super::error::Misfits;
use super::{ImportError, MAX_VALUES};
use crate::timm::{TensorName, tensor_names};

/// Shapes by timm's names.
pub(super) type Shapes<'a> = BTreeMap<&'a str, &'a [usize]>;

/// Channels of the images and number of classes, which only the weights tell.
pub(super) fn ends(shapes: &Shapes<'_>) -> (Option<usize>, Option<usize>) {
    let of = |name: &str, dimension: usize| Some(*shapes.get(name)?.get(dimension)?);
    (of("conv_stem.weight", 1), of("classifier.weight", 0))
}

/// The tensors that a network of this architecture has, for images and classes as `shapes` have them.
pub(super) fn expected(
    space: &Space,
    architecture: &Architecture,
    shapes: &Shapes<'_>,
) -> Result<Vec<TensorName>, ImportError> {
    // What is missing is told as such, beside all else that is.
    let (channels, classes) = ends(shapes);
    let layers = space.layers(architecture, channels.unwrap_or(1), classes.unwrap_or(1))?;
    Ok(tensor_names(&layers))
}

/// How `shapes` differ from those of an architecture's network.
///
/// # Errors
/// If the architecture is none of the space, or the network would be absurdly large.
pub(super) fn misfits(
    space: &Space,
    architecture: &Architecture,
    shapes: &Shapes<'_>,
) -> Result<Misfits, ImportError> {
    let expected = expected(space, architecture, shapes)?;
    let values: usize = expected
        .iter()
        .map(|t| t.shape.iter().product::<usize>())
        .sum();
    if values > MAX_VALUES {
        return Err(ImportError::Input(format!(
            "the network would have {values} weights, more than {MAX_VALUES}"
        )));
    }
    let mut rest = shapes.clone();
    let mut misfits = Misfits::default();
    for tensor in expected {
        match rest.remove(tensor.timm.as_str()) {
            None => misfits.missing.push(tensor.timm),
            Some(found) if *found != *tensor.shape => {
                misfits
                    .shape
                    .push((tensor.timm, found.to_vec(), tensor.shape));
            }
            Some(_) => {}
        }
    }
    misfits.extra = rest.into_keys().map(str::to_owned).collect();
    Ok(misfits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_that_would_fill_the_memory_are_refused() {
        let space = Space::builtin("tiny-32").unwrap();
        let architecture = space.smallest(28).unwrap();
        let mut names = tensor_names(&space.layers(&architecture, 1, 4).unwrap());
        let shapes = |names: &[TensorName]| -> bool {
            let shapes: Shapes<'_> = names.iter().map(|t| (&t.timm[..], &t.shape[..])).collect();
            match misfits(&space, &architecture, &shapes) {
                Ok(misfits) => misfits.is_empty(),
                Err(error) => {
                    assert!(
                        error.to_string().contains("weights, more than 268435456"),
                        "{error}"
                    );
                    false
                }
            }
        };
        assert!(shapes(&names));
        for name in names
            .iter_mut()
            .filter(|name| name.timm.starts_with("classifier"))
        {
            name.shape[0] = 1 << 20;
        }
        assert!(!shapes(&names));
    }
}
