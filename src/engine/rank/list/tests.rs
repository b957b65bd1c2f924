//! Property tests of the list stage.

use proptest::prelude::*;

use super::*;
use crate::domain::ids::{FeedVersion, ItemId, UserId};
use crate::engine::rank::explore::{Noise, gumbel_top_k};

/// Rows, best first, of a few authors and topics, some without an author or a topic.
fn rows() -> impl Strategy<Value = Vec<Row>> {
    let row = (-4.0f64..4.0, prop::option::weighted(0.9, 0u32..4), prop::option::weighted(0.9, 0u32..3), any::<u32>());
    prop::collection::vec(row, 0..40).prop_map(|rows| {
        let mut rows: Vec<Row> = rows
            .into_iter()
            .map(|(value, author, topic, noise)| Row {
                value,
                author,
                topic,
                on_screen: None,
                exponential: Noise::of(UserId(1), FeedVersion(0)).exponential(ItemId(noise)),
            })
            .collect();
        rows.sort_by(|a, b| b.value.total_cmp(&a.value));
        rows
    })
}

/// Rows of which some are on screen, in any order.
fn rows_on_screen() -> impl Strategy<Value = Vec<Row>> {
    (rows(), prop::collection::vec(prop::option::of(any::<u32>()), 40)).prop_map(|(mut rows, places)| {
        let mut order: Vec<usize> = (0..rows.len()).filter(|row| places[*row].is_some()).collect();
        order.sort_by_key(|row| places[*row]);
        for (place, row) in order.into_iter().enumerate() {
            rows[row].on_screen = Some(place as u32);
        }
        rows
    })
}

fn rules() -> impl Strategy<Value = Rules> {
    let caps = (0u32..4, 0u32..4, 0u32..6, 0u32..6);
    (caps, prop_oneof![Just(0.0), 0.0f64..3.0], prop_oneof![Just(0.0), 0.05f64..3.0]).prop_map(
        |((author_run, topic_run, author_max, topic_max), stability, temperature)| Rules {
            author_run,
            topic_run,
            author_max,
            topic_max,
            stability,
            temperature,
        },
    )
}

/// A similarity that has nothing to do with the rest: by residue of the row.
fn alike(a: usize, b: usize) -> f64 {
    if a % 3 == b % 3 { 0.9 } else { 0.1 * ((a + b) % 5) as f64 - 0.2 }
}

const SHARES: &[(u32, f64)] = &[(0, 0.6), (2, 0.3), (9, 0.1)];

fn topics_of(row: usize) -> &'static [u32] {
    [&[0][..], &[0, 2], &[1], &[2, 2, 9], &[]][row % 5]
}

fn diversities() -> [Diversity<'static>; 3] {
    [
        Diversity::None,
        Diversity::Similarity { weight: 1.5, similarity: &alike },
        Diversity::Calibration { weight: 3.0, shares: SHARES, topics: &topics_of },
    ]
}

/// Author or topic of a row.
type Name = fn(&Row) -> Option<u32>;

/// Written down naively: 0 nothing, 1 only a cap of the whole list, 2 a cap in a row.
fn broken(above: &[Row], row: &Row, rules: &Rules) -> u8 {
    let run = |name: Option<u32>, of: Name, max: u32| {
        name.is_some() && max > 0 && above.iter().rev().take_while(|one| of(one) == name).count() >= max as usize
    };
    let count = |name: Option<u32>, of: Name, max: u32| {
        name.is_some() && max > 0 && above.iter().filter(|one| of(one) == name).count() >= max as usize
    };
    let (author, topic): (Name, Name) = (|row| row.author, |row| row.topic);
    if run(row.author, author, rules.author_run) || run(row.topic, topic, rules.topic_run) {
        2
    } else {
        u8::from(count(row.author, author, rules.author_max) || count(row.topic, topic, rules.topic_max))
    }
}

proptest! {
    /// Whatever the rules: nothing lost, nothing twice, and a shorter list is the beginning of a longer one.
    #[test]
    fn an_arrangement_is_a_permutation(rows in rows_on_screen(), rules in rules(), limit in 0usize..50) {
        for diversity in diversities() {
            let all = arrange(&rows, &rules, diversity, rows.len());
            let mut seen: Vec<usize> = all.iter().map(|placed| placed.row).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..rows.len()).collect::<Vec<_>>());
            let some = arrange(&rows, &rules, diversity, limit);
            prop_assert_eq!(&some[..], &all[..limit.min(rows.len())]);
            prop_assert!(all.iter().all(|placed| placed.probability > 0.0 && placed.probability <= 1.0));
        }
    }

    /// A row that breaks a cap stands only where every row below breaks one that is as strong.
    #[test]
    fn caps_hold_wherever_they_can(rows in rows_on_screen(), rules in rules()) {
        for diversity in diversities() {
            let placed = arrange(&rows, &rules, diversity, rows.len());
            let order: Vec<Row> = placed.iter().map(|placed| rows[placed.row]).collect();
            for (at, row) in order.iter().enumerate() {
                let tier = broken(&order[..at], row, &rules);
                prop_assert_eq!(placed[at].relaxed, tier > 0);
                for below in &order[at..] {
                    prop_assert!(broken(&order[..at], below, &rules) >= tier, "place {at}");
                }
            }
        }
    }

    /// Caps alone move rows no further than necessary: each place has the best row that caps allow there.
    #[test]
    fn caps_alone_keep_the_best_that_may_stand(rows in rows(), rules in rules()) {
        let rules = Rules { stability: 0.0, temperature: 0.0, ..rules };
        let placed = arrange(&rows, &rules, Diversity::None, rows.len());
        let order: Vec<usize> = placed.iter().map(|placed| placed.row).collect();
        for (at, row) in order.iter().enumerate() {
            let above: Vec<Row> = order[..at].iter().map(|row| rows[*row]).collect();
            let best = order[at..].iter().min_by_key(|row| (broken(&above, &rows[**row], &rules), **row));
            prop_assert_eq!(Some(row), best);
        }
    }

    /// Without rules the order of scores stays.
    #[test]
    fn no_rule_no_change(rows in rows_on_screen()) {
        let placed = arrange(&rows, &Rules::default(), Diversity::None, rows.len());
        prop_assert!(placed.iter().enumerate().all(|(at, placed)| placed.row == at && placed.probability == 1.0 && !placed.relaxed));
    }

    /// On screen, and by chance or not: whoever passes one that stands there is better by more than the threshold.
    #[test]
    fn only_a_gain_above_the_threshold_passes_what_is_on_screen(
        rows in rows_on_screen(), threshold in 0.01f64..3.0, temperature in prop_oneof![Just(0.0), 0.1f64..2.0]
    ) {
        let rules = Rules { stability: threshold, temperature, ..Rules::default() };
        let order: Vec<Row> = arrange(&rows, &rules, Diversity::None, rows.len()).iter().map(|one| rows[one.row]).collect();
        for (at, upper) in order.iter().enumerate() {
            for lower in order[at + 1..].iter().filter(|lower| lower.on_screen.is_some()) {
                let stood_above = upper.on_screen.is_some_and(|upper| Some(upper) < lower.on_screen);
                prop_assert!(stood_above || upper.value > lower.value + threshold, "{upper:?} {lower:?}");
            }
        }
    }

    /// Scores wobble by less than half the threshold: the screen stays as it is, caps and all.
    #[test]
    fn a_screen_stands_still_while_gains_are_small(
        rows in rows(), caps in rules(), wobble in prop::collection::vec(-0.49f64..0.49, 40), threshold in 0.01f64..3.0
    ) {
        let rules = Rules { stability: threshold, temperature: 0.0, ..caps };
        let before = arrange(&rows, &rules, Diversity::None, rows.len());
        let mut after: Vec<(usize, Row)> = rows.iter().copied().enumerate().collect();
        for (row, one) in &mut after {
            one.on_screen = before.iter().position(|placed| placed.row == *row).map(|place| place as u32);
        }
        for (row, one) in &mut after {
            one.value += wobble[*row] * threshold;
        }
        after.sort_by(|a, b| b.1.value.total_cmp(&a.1.value));
        let again = arrange(&after.iter().map(|(_, row)| *row).collect::<Vec<_>>(), &rules, Diversity::None, rows.len());
        let again: Vec<usize> = again.iter().map(|placed| after[placed.row].0).collect();
        prop_assert_eq!(again, before.iter().map(|placed| placed.row).collect::<Vec<_>>());
    }

    /// Probabilities are those of a softmax over the rows that may stand there.
    #[test]
    fn probabilities_are_exact_at_every_place(rows in rows(), caps in rules(), temperature in 0.05f64..3.0) {
        let rules = Rules { temperature, stability: 0.0, ..caps };
        let placed = arrange(&rows, &rules, Diversity::None, rows.len());
        let order: Vec<Row> = placed.iter().map(|placed| rows[placed.row]).collect();
        for (at, one) in placed.iter().enumerate() {
            let tier = broken(&order[..at], &order[at], &rules);
            let sum: f64 = order[at..].iter().filter(|row| broken(&order[..at], row, &rules) == tier).map(|row| (row.value / temperature).exp()).sum();
            prop_assert!((one.probability - (one.value / temperature).exp() / sum).abs() < 1e-6 );
        }
    }

    /// The race is the Gumbel top-k order where nothing is in its way.
    #[test]
    fn without_rules_the_race_is_the_gumbel_order(rows in rows(), temperature in 0.05f64..3.0) {
        let rules = Rules { temperature, ..Rules::default() };
        let placed = arrange(&rows, &rules, Diversity::None, rows.len());
        let values: Vec<f64> = rows.iter().map(|row| row.value).collect();
        let draws: Vec<f64> = rows.iter().map(|row| row.exponential).collect();
        for (race, gumbel) in placed.iter().zip(gumbel_top_k(&values, &draws, temperature, rows.len())) {
            prop_assert_eq!(race.row, gumbel.row);
            prop_assert!((race.probability - gumbel.probability).abs() < 1e-9);
        }
    }

    /// Each place has the row with the highest marginal relevance, computed naively.
    #[test]
    fn similarity_is_taken_off_as_the_formula_says(rows in rows(), weight in 0.01f64..5.0) {
        let placed = arrange(&rows, &Rules::default(), Diversity::Similarity { weight, similarity: &alike }, rows.len());
        for (at, one) in placed.iter().enumerate() {
            let value = |row: usize| {
                let most = placed[..at].iter().map(|above| alike(above.row, row)).fold(f64::NEG_INFINITY, f64::max);
                rows[row].value - if at == 0 { 0.0 } else { weight * most }
            };
            prop_assert!((one.value - value(one.row)).abs() < 1e-12);
            prop_assert!(placed[at..].iter().all(|below| value(below.row) <= one.value + 1e-12));
        }
    }

    /// With calibration, the penalty is the divergence of the formula.
    #[test]
    fn divergence_is_taken_off_as_the_formula_says(rows in rows(), weight in 0.01f64..10.0) {
        let placed = arrange(&rows, &Rules::default(), Diversity::Calibration { weight, shares: SHARES, topics: &topics_of }, rows.len());
        for (at, one) in placed.iter().enumerate() {
            let value = |row: usize| {
                let list: Vec<usize> = placed[..at].iter().map(|above| above.row).chain([row]).collect();
                let divergence: f64 = SHARES.iter().map(|(topic, share)| {
                    let amount: f64 = list.iter().map(|row| {
                        let own = topics_of(*row);
                        own.iter().filter(|other| *other == topic).count() as f64 / own.len().max(1) as f64
                    }).sum();
                    share * (share / (0.99 * amount / list.len() as f64 + 0.01 * share)).ln()
                }).sum();
                rows[row].value - weight * divergence
            };
            prop_assert!((one.value - value(one.row)).abs() < 1e-9, "{} {}", one.value, value(one.row));
            prop_assert!(placed[at..].iter().all(|below| value(below.row) <= one.value + 1e-9));
        }
    }
}

/// Three rows, of which two may not follow each other: the one that rested comes back with the right odds.
#[test]
fn resting_changes_no_probability() {
    let value = [1.0, 0.6, 0.0, -0.4];
    let author = [Some(0), Some(0), Some(1), Some(2)];
    let rules = Rules { author_run: 1, temperature: 0.8, ..Rules::default() };
    let mut seen = std::collections::BTreeMap::<Vec<usize>, (u64, f64)>::new();
    let versions = 40_000_u64;
    for version in 0..versions {
        let noise = Noise::of(UserId(3), FeedVersion(version));
        let rows: Vec<Row> = (0..4)
            .map(|n| Row {
                value: value[n],
                author: author[n],
                exponential: noise.exponential(ItemId(n as u32)),
                ..Row::default()
            })
            .collect();
        let placed = arrange(&rows, &rules, Diversity::None, 4);
        let probability: f64 = placed.iter().map(|one| one.probability).product();
        seen.entry(placed.iter().map(|one| one.row).collect()).or_insert((0, probability)).0 += 1;
    }
    assert!((seen.values().map(|(_, probability)| probability).sum::<f64>() - 1.0).abs() < 1e-9, "{seen:?}");
    let chi_square: f64 = seen
        .values()
        .map(|(count, probability)| {
            let expected = probability * versions as f64;
            (*count as f64 - expected).powi(2) / expected
        })
        .sum();
    // At most 23 degrees of freedom: one in ten thousand is above 54. The seed is fixed.
    assert!(chi_square < 54.0, "{chi_square} {seen:?}");
}

/// With a strong pull towards the person's shares, ten items of equal score are 7 and 3.
#[test]
fn a_calibrated_list_has_the_shares_of_the_history() {
    let shares = [(0, 0.7), (1, 0.3)];
    let topics = |row: usize| -> &[u32] { [&[0][..], &[1]][row % 2] };
    let rows = vec![Row::default(); 40];
    let placed = arrange(
        &rows,
        &Rules::default(),
        Diversity::Calibration { weight: 100.0, shares: &shares, topics: &topics },
        10,
    );
    assert_eq!(placed.iter().filter(|placed| placed.row % 2 == 0).count(), 7);
}
