//! Tests of popularity: decayed counts, tables and approval rates.

use super::*;

use std::collections::BTreeSet;

use proptest::prelude::*;

use crate::domain::ids::Key;
use crate::domain::items::Embedding;

const LIKE: Signal = Signal { positive: true, weight: 1.0 };
const HIDE: Signal = Signal { positive: false, weight: 1.0 };

/// Runs of one always-available item each, for these ids, with these creation times.
fn open<'a>(ids: &'a BTreeSet<u32>, created: &'a [Millis]) -> impl Iterator<Item = Run<'a>> {
    ids.iter().map(|id| Run {
        first: ItemId(*id),
        created: &created[*id as usize..=*id as usize],
        windowed: &[false],
        items: &[],
    })
}

proptest! {
    /// Features equal their definition: logarithms of counts over the mean of the open items. This holds for long
    /// runs and single items, with and without counts. Closed items keep their features, and items beyond the table
    /// have no counts.
    #[test]
    fn numbers_are_those_of_the_definition(
        acts in prop::collection::vec((0_u32..600, any::<bool>(), 0_i64..50 * 24), 1..80),
        closed in prop::collection::btree_set(0_u32..700, 0..40),
        from in 0_u32..500,
    ) {
        let hour = |hours: i64| Millis(hours * HOUR_MS);
        let (mut popularity, now) = (Popularity::default(), hour(60 * 24));
        for (item, positive, at) in &acts {
            let signal = if *positive { LIKE } else { HIDE };
            popularity.learn(ItemId(*item), TopicId(0), signal, hour(*at));
        }
        let created: Vec<Millis> = (0..700).map(|id| hour(id % 41 * 24)).collect();
        let ids: BTreeSet<u32> = (from..700).filter(|id| !closed.contains(id)).collect();
        let mut table = PopularityTable::default();
        popularity.refresh(&mut table, open(&BTreeSet::new(), &created), now);
        let before = table.clone();
        popularity.refresh(&mut table, open(&ids, &created), now);
        let hours = |id: u32| {
            let age = now.since(created[id as usize]) as f64 / HALF_LIVES_MS[RATE_LIFE] as f64;
            (1.0 - (-age).exp2()) * LIFE_HOURS
        };
        let n = ids.len().max(1) as f64;
        let count = |id: u32, k: usize| popularity.count(ItemId(id), now, k);
        let means: Vec<f64> = (0..LIVES).map(|k| ids.iter().map(|id| count(*id, k)).sum::<f64>() / n).collect();
        let rate = (means[RATE_LIFE] * n + PRIOR) / (ids.iter().map(|id| hours(*id)).sum::<f64>() + 1.0);
        let approval = popularity.all.rate();
        let last = acts.iter().map(|(item, ..)| *item).max().unwrap_or(0);
        let nothing: PopularityRow = std::array::from_fn(|k| match k {
            k if k < LIVES => (PRIOR / (means[k] + PRIOR)).ln() as f32,
            _ => 0.0,
        });
        for id in 0..=2_000 {
            let row = table.row(ItemId(id));
            let expected = match id {
                id if id > last => nothing,
                id if !ids.contains(&id) => before.row(ItemId(id)),
                id => std::array::from_fn(|k| {
                    let counted = |k| count(id, k);
                    let number = match k {
                        k if k < LIVES => (counted(k) + PRIOR) / (means[k] + PRIOR),
                        LIVES => {
                            let prior = f64::from(RATE_PRIOR_HOURS);
                            (counted(RATE_LIFE) + rate * prior) / (hours(id) + prior) / rate
                        }
                        _ => popularity.items[id as usize].odds(now, approval, OPINIONS_PRIOR[0]),
                    };
                    number.ln() as f32
                }),
            };
            for k in 0..NUMBERS {
                prop_assert!((row[k] - expected[k]).abs() < 3e-6, "{id} {k}: {} {}", row[k], expected[k]);
                prop_assert_eq!(table.block(id as usize / BLOCK)[k][id as usize % BLOCK], row[k]);
            }
        }
        // In runs, as a world passes them, the result is equal.
        let (mut whole, mut together) = (table.clone(), Vec::new());
        for id in &ids {
            match together.last_mut() {
                Some((first, len)) if *first + *len == *id && id % BLOCK as u32 != 0 => *len += 1,
                _ => together.push((*id, 1)),
            }
        }
        let runs = together.iter().map(|(first, len)| Run {
            first: ItemId(*first),
            created: &created[*first as usize..(first + len) as usize],
            windowed: &[false; BLOCK][..*len as usize],
            items: &[],
        });
        popularity.refresh(&mut whole, runs, now);
        prop_assert!(whole == table);
    }
}

#[test]
fn a_count_halves_in_a_half_life_and_late_events_count_less() {
    let mut popularity = Popularity::default();
    popularity.learn(ItemId(1), TopicId(0), LIKE, Millis(1_000 * DAY_MS));
    popularity.learn(ItemId(1), TopicId(0), LIKE, Millis(999 * DAY_MS));
    let now = |days: i64| popularity.count(ItemId(1), Millis(days * DAY_MS), 2);
    assert!((now(1_000) - 1.5).abs() < 1e-9);
    assert!((now(1_001) - 0.75).abs() < 1e-9);
    assert_eq!(popularity.count(ItemId(9), Millis(0), 2), 0.0);
}

#[test]
fn it_is_measured_against_the_mean_of_what_is_available() {
    let mut popularity = Popularity::default();
    for _ in 0..3 {
        popularity.learn(ItemId(0), TopicId(0), LIKE, Millis(0));
    }
    let mut table = PopularityTable::default();
    popularity.refresh(&mut table, open(&(0..3).collect(), &[Millis(0); 3]), Millis(0));
    assert!((table.row(ItemId(0))[2] - (3.5_f32 / 1.5).ln()).abs() < 1e-6);
    assert!((table.row(ItemId(2))[2] - (0.5_f32 / 1.5).ln()).abs() < 1e-6);
}

#[test]
fn a_rate_is_per_hour_that_it_was_available() {
    use crate::domain::windows::Window;
    let mut popularity = Popularity::default();
    for item in [0, 1] {
        for _ in 0..20 {
            popularity.learn(ItemId(item), TopicId(0), LIKE, Millis(10 * HOUR_MS));
        }
    }
    let windows = |hours: i64| {
        let stop = Some(Millis(10 * HOUR_MS + 1));
        Windows::new(vec![Window { start: Millis((10 - hours) * HOUR_MS), stop }]).unwrap_or_default()
    };
    let item = |id: u32, hours: i64| {
        let (key, embedding) = (Key::of_number(id), Embedding::new(vec![1.0], 1));
        Arc::new(Item {
            attributes: None,
            id: ItemId(id),
            key,
            revision: 1,
            author: None,
            topics: Vec::new().into(),
            text: "".into(),
            embedding: embedding.unwrap_or_else(|error| panic!("{error}")),
            created: Millis(0),
            windows: windows(hours),
            deleted: false,
        })
    };
    let items = [item(0, 1), item(1, 10)];
    let mut table = PopularityTable::default();
    let open = Run { first: ItemId(0), created: &[Millis(0); 2], windowed: &[true; 2], items: &items };
    popularity.refresh(&mut table, std::iter::once(open), Millis(10 * HOUR_MS));
    assert!(table.row(ItemId(0))[LIVES] > table.row(ItemId(1))[LIVES] + 0.5);
}

#[test]
fn approval_is_shrunk_to_what_all_say() {
    let mut popularity = Popularity::default();
    for n in 0..100 {
        popularity.learn(ItemId(9), TopicId(2), if n % 2 == 0 { LIKE } else { HIDE }, Millis(0));
    }
    popularity.learn(ItemId(0), TopicId(1), LIKE, Millis(0));
    for _ in 0..50 {
        popularity.learn(ItemId(1), TopicId(1), LIKE, Millis(0));
    }
    let mut table = PopularityTable::default();
    popularity.refresh(&mut table, open(&BTreeSet::from([0, 1, 9]), &[Millis(0); 10]), Millis(0));
    let of = |id| table.row(ItemId(id))[LIVES + 1];
    assert!(of(9) < of(0) && of(0) < of(1), "{} {} {}", of(9), of(0), of(1));
    assert!(table.topic_approval(TopicId(1)) > 0.0 && table.topic_approval(TopicId(2)) < 0.0);
}
