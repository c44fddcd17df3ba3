//! Children of paths.

use rand::{Rng, RngExt};

/// Each gene from one of the two parents, with equal probability.
pub(super) fn crossover(a: &[i8], b: &[i8], rng: &mut impl Rng) -> Vec<i8> {
    let pairs = a.iter().zip(b);
    pairs
        .map(|(&a, &b)| if rng.random_bool(0.5) { a } else { b })
        .collect()
}

/// Each gene with `probability` drawn anew among its options, its own included.
pub(super) fn mutation(
    parent: &[i8],
    options: &[Vec<i8>],
    probability: f64,
    rng: &mut impl Rng,
) -> Vec<i8> {
    let places = parent.iter().zip(options);
    places
        .map(|(&own, options)| {
            if rng.random_bool(probability) {
                options[rng.random_range(0..options.len())]
            } else {
                own
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn children_have_genes_of_their_parents_or_of_the_options(
            genes in prop::collection::vec((0i8..6, 0i8..6), 1..12), probability in 0.0f64..=1.0, seed: u64,
        ) {
            let (a, b): (Vec<i8>, Vec<i8>) = genes.into_iter().unzip();
            let mut rng = creamery_rng::stream(seed, "test", 0);
            let child = crossover(&a, &b, &mut rng);
            prop_assert_eq!(child.len(), a.len());
            prop_assert!((0..a.len()).all(|i| child[i] == a[i] || child[i] == b[i]));
            let options = vec![vec![7, 8]; a.len()];
            let mutant = mutation(&a, &options, probability, &mut rng);
            prop_assert!((0..a.len()).all(|i| mutant[i] == a[i] || mutant[i] >= 7));
        }
    }

    #[test]
    fn a_mutation_changes_as_many_genes_as_its_probability_says() {
        let mut rng = creamery_rng::stream(0, "test", 0);
        let (parent, options) = (vec![0; 10_000], vec![vec![1]; 10_000]);
        let mutant = mutation(&parent, &options, 0.1, &mut rng);
        let changed = mutant.iter().filter(|gene| **gene == 1).count();
        // Four standard deviations around 1000.
        assert!((880..=1120).contains(&changed), "{changed}");
        let mixed = crossover(&parent, &vec![1; 10_000], &mut rng);
        let second = mixed.iter().filter(|gene| **gene == 1).count();
        assert!((4800..=5200).contains(&second), "{second}");
    }
}
