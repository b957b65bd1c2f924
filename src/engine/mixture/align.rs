//! Cluster numbering across fits: matches the clusters of a new fit with those of the last one.
//!
//! Invariant: a number names one cluster for good. The cluster that most of its members moved to inherits it. A cluster
//! that shares too few members with any earlier one gets an unused number.

use pathfinding::kuhn_munkres::kuhn_munkres;
use pathfinding::matrix::Matrix;

/// A row's cluster in the last fit and in this one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moved {
    /// Index in the list of earlier numbers; `None` for a row that the last fit did not contain.
    pub(super) before: Option<usize>,
    /// Cluster of this fit, by index.
    pub(super) after: usize,
    /// Weight of the row in the matching, in [0, 1].
    pub(super) weight: f64,
}

/// Assigns numbers to `groups` new clusters, from the earlier numbers and the rows' moves. New numbers are taken from
/// `next`.
pub(super) fn align(before: &[u32], groups: usize, moved: &[Moved], next: &mut u32) -> Vec<u32> {
    // Whole thousandths: the assignment is solved in integers, so that it does not depend on rounding.
    const UNIT: f64 = 1_000.0;
    let mut shared = vec![0_i64; before.len() * groups];
    let (mut of_before, mut of_after) = (vec![0_i64; before.len()], vec![0_i64; groups]);
    for member in moved {
        let weight = (member.weight * UNIT).round() as i64;
        of_after[member.after] += weight;
        if let Some(before) = member.before {
            shared[before * groups + member.after] += weight;
            of_before[before] += weight;
        }
    }
    let mut numbers = vec![None; groups];
    // The solver requires at most as many rows as columns, so the matrix is padded with zeros.
    let size = before.len().max(groups);
    if !before.is_empty() && groups > 0 {
        let weights = Matrix::from_fn(size, size, |(row, column)| {
            if row < before.len() && column < groups { shared[row * groups + column] } else { 0 }
        });
        let (_, columns) = kuhn_munkres(&weights);
        for (row, column) in columns.into_iter().enumerate() {
            if row < before.len() && column < groups {
                let common = shared[row * groups + column];
                // A new cluster inherits the number if it shares the majority of the old cluster or of the new one.
                if common > 0 && 2 * common > of_before[row].min(of_after[column]) {
                    numbers[column] = Some(before[row]);
                }
            }
        }
    }
    let fresh = |number: Option<u32>| {
        number.unwrap_or_else(|| {
            let number = *next;
            *next = next.saturating_add(1);
            number
        })
    };
    numbers.into_iter().map(fresh).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Moves as `(before, after, count)`; a `before` of 9 or more stands for new rows.
    fn moves(list: &[(usize, usize, usize)]) -> Vec<Moved> {
        let one = |&(before, after, count): &(usize, usize, usize)| {
            vec![Moved { before: (before < 9).then_some(before), after, weight: 1.0 }; count]
        };
        list.iter().flat_map(one).collect()
    }

    #[test]
    fn numbers_follow_members() {
        for (name, before, groups, list, expected) in [
            ("nobody was there", &[][..], 2, &[][..], vec![9, 10]),
            ("order changed", &[4, 7], 2, &[(0, 1, 50), (1, 0, 60)], vec![7, 4]),
            ("split: the bigger half goes on", &[4], 2, &[(0, 0, 40), (0, 1, 60)], vec![9, 4]),
            ("joined: the bigger one goes on", &[4, 7], 1, &[(0, 0, 40), (1, 0, 60)], vec![7]),
            ("one is gone", &[4, 7], 1, &[(1, 0, 60)], vec![7]),
            (
                "strays make no group the old one",
                &[4, 7],
                2,
                &[(0, 0, 50), (1, 0, 40), (1, 1, 3), (9, 1, 90)],
                vec![4, 9],
            ),
            ("new people only", &[4], 2, &[(0, 0, 50), (9, 1, 70)], vec![4, 9]),
            ("new people join an old group", &[4], 1, &[(0, 0, 50), (9, 0, 700)], vec![4]),
        ] {
            let mut next = 9;
            assert_eq!(align(before, groups, &moves(list), &mut next), expected, "{name}");
        }
    }

    proptest! {
        /// Every cluster gets a number of its own, and new numbers are unused ones.
        #[test]
        fn numbers_are_unique_and_new_ones_unused(
            count in 0_usize..6,
            groups in 1_usize..7,
            pairs in prop::collection::vec((prop::option::of(0_usize..6), 0_usize..7, 0.0_f64..1.0), 0..200),
        ) {
            let before: Vec<u32> = (0..count as u32).map(|number| number * 3).collect();
            let moved: Vec<Moved> = pairs
                .into_iter()
                .filter(|(before, after, _)| before.is_none_or(|before| before < count) && *after < groups)
                .map(|(before, after, weight)| Moved { before, after, weight })
                .collect();
            let mut next = 100;
            let numbers = align(&before, groups, &moved, &mut next);
            let mut unique = numbers.clone();
            unique.sort_unstable();
            unique.dedup();
            prop_assert_eq!(unique.len(), groups);
            for number in numbers {
                prop_assert!(before.contains(&number) || (100..next).contains(&number));
            }
        }

        /// If no row moves, every cluster keeps its number, in any order.
        #[test]
        fn who_stays_keeps_the_number(order in Just(vec![0_usize, 1, 2, 3]).prop_shuffle(), counts in prop::collection::vec(1_usize..50, 4)) {
            let before = [11, 5, 8, 2];
            let list: Vec<(usize, usize, usize)> = (0..4).map(|k| (k, order[k], counts[k])).collect();
            let mut next = 20;
            let numbers = align(&before, 4, &moves(&list), &mut next);
            for k in 0..4 {
                prop_assert_eq!(numbers[order[k]], before[k]);
            }
            prop_assert_eq!(next, 20);
        }
    }
}
