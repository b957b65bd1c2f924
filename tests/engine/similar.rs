//! Similar items agree with a comparison of all items, one by one.

use std::collections::BTreeSet;

use crate::every_kind::{any_acts, lived};

use eddyline::domain::ids::ItemId;
use eddyline::domain::time::Millis;
use eddyline::engine::rank::similar::{Similar, SimilarBy, similar};
use eddyline::engine::settings::LearnSettings;
use eddyline::engine::world::World;
use proptest::prelude::*;

fn cosine(world: &World, a: ItemId, b: ItemId) -> f64 {
    let [a, b] = [a, b].map(|id| world.item(id).unwrap().embedding.iter().map(|x| f64::from(*x)).collect::<Vec<_>>());
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt()
}

fn shown(world: &World, of: ItemId, now: Millis) -> BTreeSet<ItemId> {
    let all = (0..world.len()).map(ItemId).filter(|id| *id != of);
    all.filter(|id| world.item(*id).is_some_and(|item| item.is_available(now))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn no_available_item_resembles_more_than_those_that_are_listed(
        acts in any_acts(),
        item in any::<prop::sample::Index>(),
        limit in 1_usize..40,
    ) {
        let (state, _, now) = lived(acts, LearnSettings::default());
        let world = state.world();
        let of = ItemId(item.index(world.len() as usize) as u32);
        let shown = shown(world, of, now);
        let lists = [SimilarBy::Visits, SimilarBy::Embedding, SimilarBy::Both].map(|by| similar(world, of, by, limit, now));
        for list in &lists {
            let unique: BTreeSet<ItemId> = list.iter().map(|one| one.item).collect();
            prop_assert_eq!(unique.len(), list.len());
            prop_assert!(unique.is_subset(&shown), "unavailable, or the item itself");
            prop_assert!(list.len() <= limit);
            prop_assert!(list.windows(2).all(|two| two[0].score >= two[1].score));
        }
        let [visits, embedding, both] = &lists;
        prop_assert!(visits.iter().all(|one| one.visits == Some(one.score) && one.score > 0.0 && one.score <= 1.0));
        prop_assert_eq!(embedding.len(), limit.min(shown.len()));
        let least = embedding.last().map_or(1.0, |one| f64::from(one.score));
        let listed: BTreeSet<ItemId> = embedding.iter().map(|one| one.item).collect();
        for one in embedding {
            prop_assert!((f64::from(one.score) - cosine(world, of, one.item)).abs() < 1e-5, "{one:?}");
        }
        for other in shown.difference(&listed) {
            prop_assert!(cosine(world, of, *other) <= least + 1e-5, "{other:?} is more similar than {least}");
        }
        // The first of a list stands in the fusion, whatever the other list says.
        let fused: BTreeSet<ItemId> = both.iter().map(|one: &Similar| one.item).collect();
        for first in [visits.first(), embedding.first()].into_iter().flatten().take(limit) {
            prop_assert!(limit < 2 || fused.contains(&first.item));
        }
    }
}
