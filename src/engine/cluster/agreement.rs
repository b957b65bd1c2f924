//! How far two ways to group the same rows agree.
//!
//! Invariant: names of groups do not matter, and neither does which of the two comes first.

use std::collections::BTreeMap;

/// The adjusted Rand index of two labellings of the same rows: 1 when they are the same, 0 on average for chance.
/// Rows beyond the shorter one do not count; where all rows are in one group, or each in its own, in both, it is 1.
///
/// Source: Hubert and Arabie, *Comparing partitions*, Journal of Classification 2, 1985.
#[must_use]
pub fn adjusted_rand_index<A: Ord, B: Ord>(a: &[A], b: &[B]) -> f64 {
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
    if most - expected <= 0.0 { 1.0 } else { (together - expected) / (most - expected) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_the_values_of_small_tables() {
        for (name, a, b, expected) in [
            ("the same under other names", &[0, 0, 1, 1][..], &[7, 7, 3, 3][..], 1.0),
            ("across", &[0, 0, 1, 1], &[0, 1, 0, 1], -0.5),
            // 2 of 15 pairs together in both, 6 and 3 in each: (2 - 18/15) / (4.5 - 18/15).
            ("worked by hand", &[0, 0, 0, 1, 1, 1], &[0, 0, 1, 1, 2, 2], 0.8 / 3.3),
            ("one group for all", &[0, 0, 0], &[1, 1, 1], 1.0),
            ("each alone", &[0, 1, 2], &[4, 5, 6], 1.0),
            ("nobody", &[], &[], 1.0),
        ] {
            assert!((adjusted_rand_index(a, b) - expected).abs() < 1e-12, "{name}");
            assert!((adjusted_rand_index(b, a) - expected).abs() < 1e-12, "{name}, the other way round");
        }
    }
}
