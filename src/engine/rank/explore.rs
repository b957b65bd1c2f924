//! Exploration: Plackett-Luce orders by Gumbel top-k, with the propensity (probability)
//! of every choice in closed form.
//!
//! Invariant: noise is a hash of person, feed version and item, so a feed version always gets one order.
//! Temperature 0 is the greedy order with probability 1. Sums of exponentials are kept as logarithms, so no temperature
//! overflows the probabilities.
//! Deliberately absent: feasibility at a place (`list`), and the origin of values.

use xxhash_rust::xxh3::xxh3_64;

use crate::domain::ids::{FeedVersion, ItemId, UserId};

/// The source of the noise of one feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Noise {
    user: UserId,
    version: FeedVersion,
}

impl Noise {
    /// The noise of this version of this person's feed.
    #[must_use]
    pub fn of(user: UserId, version: FeedVersion) -> Noise {
        Noise { user, version }
    }

    /// A draw from the standard exponential distribution for an item, above 0 and below 37.5. Its negative logarithm is
    /// standard Gumbel.
    #[must_use]
    pub fn exponential(self, item: ItemId) -> f64 {
        let mut bytes = [0_u8; 16];
        bytes[..4].copy_from_slice(&self.user.0.to_le_bytes());
        bytes[4..12].copy_from_slice(&self.version.0.to_le_bytes());
        bytes[12..].copy_from_slice(&item.0.to_le_bytes());
        // 53 bits, shifted by half a step: strictly between 0 and 1.
        let uniform = ((xxh3_64(&bytes) >> 11) as f64 + 0.5) / (1_u64 << 53) as f64;
        -uniform.ln()
    }
}

/// The row that was chosen for one place.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// Index of the row among the values.
    pub row: usize,
    /// Probability of this row at this place, given the rows above.
    pub probability: f64,
}

/// The first `limit` rows of a Plackett-Luce order: `P(row | rows above) = exp(v_row/T) / sum_{rows left} exp(v/T)`.
///
/// `values` and `exponentials` (one draw of [`Noise::exponential`] per row) are `(n,)`, `temperature` has the unit of
/// the values. Sorts by `v_i/T + G_i`, `G_i = -ln E_i`; equal keys by row. Source: Yellott 1977, and Kool, van Hoof and
/// Welling, *Stochastic Beams and Where to Find Them*, ICML 2019, section 2.
#[must_use]
pub(crate) fn gumbel_top_k(values: &[f64], exponentials: &[f64], temperature: f64, limit: usize) -> Vec<Choice> {
    let mut rows: Vec<usize> = (0..values.len().min(exponentials.len())).collect();
    if temperature <= 0.0 {
        rows.sort_by(|a, b| values[*b].total_cmp(&values[*a]).then(a.cmp(b)));
        rows.truncate(limit);
        return rows.into_iter().map(|row| Choice { row, probability: 1.0 }).collect();
    }
    let key = |row: usize| values[row] / temperature - exponentials[row].ln();
    rows.sort_by(|a, b| key(*b).total_cmp(&key(*a)).then(a.cmp(b)));
    // From the last place upwards: each sum adds one term to the sum below.
    let mut below = f64::NEG_INFINITY;
    let mut choices: Vec<Choice> = rows
        .into_iter()
        .rev()
        .map(|row| {
            let scaled = values[row] / temperature;
            below = log_add_exp(below, scaled);
            Choice { row, probability: (scaled - below).exp() }
        })
        .collect();
    choices.reverse();
    choices.truncate(limit);
    choices
}

/// `ln(e^a + e^b)`.
#[must_use]
pub(crate) fn log_add_exp(a: f64, b: f64) -> f64 {
    let (low, high) = if a < b { (a, b) } else { (b, a) };
    if low == f64::NEG_INFINITY { high } else { high + (low - high).exp().ln_1p() }
}

/// `ln sum e^x`; minus infinity for an empty sum.
#[must_use]
pub fn log_sum_exp(values: impl Iterator<Item = f64> + Clone) -> f64 {
    let largest = values.clone().fold(f64::NEG_INFINITY, f64::max);
    if largest == f64::NEG_INFINITY { largest } else { largest + values.map(|x| (x - largest).exp()).sum::<f64>().ln() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn draws(version: u64, n: usize) -> Vec<f64> {
        let noise = Noise::of(UserId(7), FeedVersion(version));
        (0..n).map(|n| noise.exponential(ItemId(n as u32))).collect()
    }

    proptest! {
        /// Whatever is at the top, its probability is the softmax; over all rows that sums to 1, at every temperature.
        #[test]
        fn probabilities_are_those_of_a_softmax_over_what_is_left(
            values in prop::collection::vec(-30.0f64..30.0, 1..40), temperature in prop_oneof![0.01f64..5.0, Just(1e-9), Just(1e9)], version in any::<u64>()
        ) {
            let order = gumbel_top_k(&values, &draws(version, values.len()), temperature, values.len());
            let mut left: Vec<usize> = (0..values.len()).collect();
            for choice in &order {
                let sum = log_sum_exp(left.iter().map(|row| values[*row] / temperature));
                let all: f64 = left.iter().map(|row| (values[*row] / temperature - sum).exp()).sum();
                prop_assert!((all - 1.0).abs() < 1e-9, "{all}");
                let expected = (values[choice.row] / temperature - sum).exp();
                prop_assert!((choice.probability - expected).abs() < 1e-9);
                prop_assert!(left.contains(&choice.row), "nothing twice");
                left.retain(|row| *row != choice.row);
            }
            prop_assert!(left.is_empty(), "nothing lost");
        }

        /// A smaller limit gives a prefix, and equal noise gives an equal order.
        #[test]
        fn a_shorter_order_is_the_beginning_of_a_longer_one(
            values in prop::collection::vec(-5.0f64..5.0, 1..40), limit in 0usize..40, version in any::<u64>()
        ) {
            let draws = draws(version, values.len());
            let all = gumbel_top_k(&values, &draws, 1.0, values.len());
            let some = gumbel_top_k(&values, &draws, 1.0, limit);
            prop_assert_eq!(&some[..], &all[..limit.min(values.len())]);
            prop_assert_eq!(gumbel_top_k(&values, &draws, 1.0, limit), some, "the same noise, the same order");
        }

        /// As the temperature falls to 0, chance goes.
        #[test]
        fn cold_is_greedy(values in prop::collection::vec(-1000i32..1000, 1..40), version in any::<u64>()) {
            // Distinct, at least 1 apart.
            let mut values: Vec<f64> = values.into_iter().map(f64::from).collect();
            values.sort_by(f64::total_cmp);
            values.dedup();
            let draws = draws(version, values.len());
            let greedy = gumbel_top_k(&values, &draws, 0.0, values.len());
            let cold = gumbel_top_k(&values, &draws, 1e-3, values.len());
            prop_assert!(greedy.windows(2).all(|pair| values[pair[0].row] > values[pair[1].row]));
            prop_assert!(greedy.iter().all(|choice| choice.probability == 1.0));
            for (greedy, cold) in greedy.iter().zip(&cold) {
                prop_assert_eq!(greedy.row, cold.row);
                prop_assert!((cold.probability - 1.0).abs() < 1e-9);
            }
        }
    }

    /// Frequencies of whole orders over many versions against the closed form, by chi-square.
    #[test]
    fn orders_come_as_often_as_their_probability_says() {
        let values = [1.0, 0.0, 0.5, -1.0];
        let temperature = 0.7;
        let versions = 60_000_u64;
        let mut seen = std::collections::BTreeMap::<Vec<usize>, (u64, f64)>::new();
        for version in 0..versions {
            let order = gumbel_top_k(&values, &draws(version, 4), temperature, 4);
            let probability: f64 = order.iter().map(|choice| choice.probability).product();
            let of_order = seen.entry(order.iter().map(|choice| choice.row).collect()).or_insert((0, probability));
            assert!((of_order.1 - probability).abs() < 1e-12);
            of_order.0 += 1;
        }
        assert_eq!(seen.len(), 24, "every order comes");
        assert!((seen.values().map(|(_, probability)| probability).sum::<f64>() - 1.0).abs() < 1e-9);
        let chi_square: f64 = seen
            .values()
            .map(|(count, probability)| {
                let expected = probability * versions as f64;
                (*count as f64 - expected).powi(2) / expected
            })
            .sum();
        // 23 degrees of freedom: one in ten thousand is above 54. The seed is fixed, so it is not a matter of luck.
        assert!(chi_square < 54.0, "{chi_square}");
    }

    #[test]
    fn noise_depends_on_person_version_and_item_and_on_nothing_else() {
        let of = |user, version, item| Noise::of(UserId(user), FeedVersion(version)).exponential(ItemId(item));
        assert_eq!(of(1, 2, 3).to_bits(), of(1, 2, 3).to_bits());
        for other in [of(0, 2, 3), of(1, 0, 3), of(1, 2, 0)] {
            assert_ne!(of(1, 2, 3).to_bits(), other.to_bits());
        }
        let mean: f64 = (0..10_000).map(|item| of(1, 2, item)).sum::<f64>() / 1e4;
        assert!((mean - 1.0).abs() < 0.05, "{mean}");
    }
}
