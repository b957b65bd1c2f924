//! Agreement of two clusterings of one set of rows.
//!
//! Invariant: the index depends neither on the names of the clusters nor on the order of the two clusterings.

use std::collections::BTreeMap;

/// Adjusted Rand index of two labellings: 1 for equal partitions, 0 on average for chance. Rows beyond the shorter list
/// do not count. `None` where the index is 0/0: in both labellings all rows form one cluster, or each row forms its
/// own.
///
/// Source: Hubert and Arabie, *Comparing partitions*, Journal of Classification 2, 1985.
#[must_use]
pub fn adjusted_rand_index<A: Ord, B: Ord>(a: &[A], b: &[B]) -> Option<f64> {
    let mut cells: BTreeMap<(&A, &B), u64> = BTreeMap::new();
    let mut rows: BTreeMap<&A, u64> = BTreeMap::new();
    let mut columns: BTreeMap<&B, u64> = BTreeMap::new();
    for (a, b) in a.iter().zip(b) {
        *cells.entry((a, b)).or_default() += 1;
        *rows.entry(a).or_default() += 1;
        *columns.entry(b).or_default() += 1;
    }
    let pairs = |count: u64| 0.5 * count as f64 * (count as f64 - 1.0);
    let together: f64 = cells.values().map(|count| pairs(*count)).sum();
    let (of_a, of_b): (f64, f64) =
        (rows.values().map(|count| pairs(*count)).sum(), columns.values().map(|count| pairs(*count)).sum());
    let all = pairs(a.len().min(b.len()) as u64);
    let expected = if all > 0.0 { of_a * of_b / all } else { 0.0 };
    let most = 0.5 * (of_a + of_b);
    (most - expected > 0.0).then(|| (together - expected) / (most - expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_the_values_of_small_tables() {
        for (name, a, b, expected) in [
            ("the same under other names", &[0, 0, 1, 1][..], &[7, 7, 3, 3][..], Some(1.0)),
            ("across", &[0, 0, 1, 1], &[0, 1, 0, 1], Some(-0.5)),
            // 2 of 15 pairs together in both, 6 and 3 in each: (2 - 18/15) / (4.5 - 18/15).
            ("worked by hand", &[0, 0, 0, 1, 1, 1], &[0, 0, 1, 1, 2, 2], Some(0.8 / 3.3)),
            ("one group of two that there are", &[0, 0, 0, 0], &[0, 0, 1, 1], Some(0.0)),
            ("one group for all", &[0, 0, 0], &[1, 1, 1], None),
            ("each alone", &[0, 1, 2], &[4, 5, 6], None),
            ("nobody", &[], &[], None),
        ] {
            for (a, b) in [(a, b), (b, a)] {
                let found = adjusted_rand_index(a, b);
                assert_eq!(found.is_some(), expected.is_some(), "{name}: {found:?}");
                assert!(found.zip(expected).is_none_or(|(found, expected)| (found - expected).abs() < 1e-12), "{name}");
            }
        }
    }
}
