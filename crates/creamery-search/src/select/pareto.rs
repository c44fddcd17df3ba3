//! Fronts of two objectives: top-1, to be high, and MACs, to be low.

/// A path as the two objectives see it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// The higher the better.
    pub top1: f64,
    /// The lower the better.
    pub macs: u64,
}

impl Point {
    /// Whether this point is no worse in both objectives and better in one.
    pub fn dominates(&self, other: &Point) -> bool {
        self.top1 >= other.top1
            && self.macs <= other.macs
            && (self.top1 > other.top1 || self.macs < other.macs)
    }
}

/// Parts points into fronts of indices: the points that none dominates, then those that only points of the
/// first front dominate, and so on.
///
/// Fast non-dominated sorting of Deb et al., "A fast and elitist multiobjective genetic algorithm: NSGA-II"
/// (2002). O(n^2).
pub fn fronts(points: &[Point]) -> Vec<Vec<usize>> {
    let all = 0..points.len();
    let dominated: Vec<Vec<usize>> = points
        .iter()
        .map(|p| all.clone().filter(|&q| p.dominates(&points[q])).collect())
        .collect();
    let mut dominators = vec![0; points.len()];
    for &q in dominated.iter().flatten() {
        dominators[q] += 1;
    }
    let mut fronts = Vec::new();
    let mut front: Vec<usize> = all.filter(|&p| dominators[p] == 0).collect();
    while !front.is_empty() {
        let mut next = Vec::new();
        for &q in front.iter().flat_map(|&p| &dominated[p]) {
            dominators[q] -= 1;
            if dominators[q] == 0 {
                next.push(q);
            }
        }
        next.sort_unstable();
        fronts.push(std::mem::replace(&mut front, next));
    }
    fronts
}

/// The crowding distance of each point of a front: the sum over the objectives of the distance between its
/// two neighbours, as a part of the front's range; infinite at the ends. (Deb et al. 2002.)
///
/// Among points that are equal in an objective the order of the front decides who is whose neighbour.
pub fn crowding(front: &[Point]) -> Vec<f64> {
    let mut distances = vec![0.0; front.len()];
    let objectives: [&dyn Fn(&Point) -> f64; 2] = [&|p| p.top1, &|p| p.macs as f64];
    for objective in objectives {
        let value = |&index: &usize| objective(&front[index]);
        let mut order: Vec<usize> = (0..front.len()).collect();
        order.sort_by(|a, b| value(a).total_cmp(&value(b)));
        let (Some(first), Some(last)) = (order.first(), order.last()) else {
            continue;
        };
        let range = value(last) - value(first);
        distances[*first] = f64::INFINITY;
        distances[*last] = f64::INFINITY;
        if range > 0.0 {
            for triple in order.windows(3) {
                distances[triple[1]] += (value(&triple[2]) - value(&triple[0])) / range;
            }
        }
    }
    distances
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_points() -> impl Strategy<Value = Vec<Point>> {
        // Few values, so that there are ties.
        let point = (0u8..8, 0u64..8).prop_map(|(top1, macs)| Point {
            top1: f64::from(top1),
            macs,
        });
        prop::collection::vec(point, 0..40)
    }

    /// The number of a point's front: the longest chain of points that dominate each other, down to it.
    fn rank(points: &[Point], p: usize) -> usize {
        let dominators = (0..points.len()).filter(|&q| points[q].dominates(&points[p]));
        dominators.map(|q| rank(points, q) + 1).max().unwrap_or(0)
    }

    /// The distance from the definition, for points that differ in both objectives.
    fn naive_crowding(front: &[Point], p: usize) -> f64 {
        let along = |value: &dyn Fn(&Point) -> f64| {
            let own = value(&front[p]);
            let below = front.iter().map(value).filter(|v| *v < own);
            let above = front.iter().map(value).filter(|v| *v > own);
            let (below, above) = (
                below.fold(f64::NAN, f64::max),
                above.fold(f64::NAN, f64::min),
            );
            if below.is_nan() || above.is_nan() {
                return f64::INFINITY;
            }
            let least = front.iter().map(value).fold(f64::INFINITY, f64::min);
            let most = front.iter().map(value).fold(f64::NEG_INFINITY, f64::max);
            (above - below) / (most - least)
        };
        along(&|p| p.top1) + along(&|p| p.macs as f64)
    }

    proptest! {
        #[test]
        fn fronts_are_those_of_the_definition(points in any_points()) {
            let fronts = fronts(&points);
            let mut seen: Vec<usize> = fronts.concat();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..points.len()).collect::<Vec<_>>());
            for (number, front) in fronts.iter().enumerate() {
                for &p in front {
                    prop_assert_eq!(rank(&points, p), number);
                }
            }
        }

        #[test]
        fn crowding_is_that_of_the_definition(
            top1 in prop::collection::btree_set(0u32..1000, 0..20),
            macs in prop::collection::btree_set(0u64..1000, 0..20),
            seed: u64,
        ) {
            // A front: more top-1 costs more MACs. In any order.
            let pairs = top1.into_iter().zip(macs);
            let mut front: Vec<Point> =
                pairs.map(|(top1, macs)| Point { top1: f64::from(top1), macs }).collect();
            use rand::seq::SliceRandom;
            front.shuffle(&mut creamery_rng::stream(seed, "test", 0));
            let distances = crowding(&front);
            for (p, found) in distances.iter().enumerate() {
                let expected = naive_crowding(&front, p);
                prop_assert!(*found == expected || (found - expected).abs() < 1e-12, "{} {}", found, expected);
            }
        }
    }

    #[test]
    fn the_example_of_a_hand() {
        let point = |top1, macs| Point { top1, macs };
        let points = [
            point(50.0, 10),
            point(60.0, 20),
            point(55.0, 30),
            point(90.0, 110),
            point(50.0, 10),
        ];
        assert_eq!(fronts(&points), [vec![0, 1, 3, 4], vec![2]]);
        let distances = crowding(&[point(50.0, 10), point(60.0, 20), point(90.0, 110)]);
        assert_eq!(distances, [f64::INFINITY, 2.0, f64::INFINITY]);
        assert_eq!(
            crowding(&[point(1.0, 1); 3]),
            [f64::INFINITY, 0.0, f64::INFINITY]
        );
        assert!(crowding(&[]).is_empty() && fronts(&[]).is_empty());
    }
}
