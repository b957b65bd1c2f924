//! Scoring a whole catalogue agrees with scoring each item alone.
//!
//! Invariant under test: an item's score for a user, world and instant is equal bit by bit on every path: alone, among
//! a few, among all, or in a feed. No feed lacks an item that is better than one of its own.

use crate::{every_kind, little_tower};

use std::sync::Arc;

use eddyline::domain::feeds::{Expert, Ranking};
use eddyline::domain::ids::ItemId;
use eddyline::domain::time::Millis;
use eddyline::engine::rank::RankRequest;
use eddyline::engine::settings::LearnSettings;
use eddyline::engine::user::UserState;
use eddyline::engine::world::World;
use every_kind::{ITEMS, any_acts, lived};
use little_tower::Little;
use proptest::prelude::*;

/// Compares the scores of all items, of a few, of each alone, and of feeds.
fn scores_agree(person: &UserState, world: &World, now: Millis) -> Result<(), TestCaseError> {
    // In no order, and one unknown item.
    let items: Vec<ItemId> = (0..=ITEMS).map(|n| ItemId(n * 271 % (ITEMS + 1))).collect();
    let mut all = Vec::new();
    person.score_items(world, &items, now, &mut all);
    let mut few = Vec::new();
    for (items, scores) in items.chunks(40).zip(all.chunks(40)) {
        person.score_items(world, items, now, &mut few);
        prop_assert_eq!(
            few.iter().map(|s| s.to_bits()).collect::<Vec<_>>(),
            scores.iter().map(|s| s.to_bits()).collect::<Vec<_>>()
        );
    }
    let mut best: Vec<(f32, Millis, ItemId)> = Vec::new();
    for (item, score) in items.iter().zip(&all) {
        let Some(known) = world.item(*item) else {
            prop_assert_eq!(*score, 0.0);
            continue;
        };
        let alone = person.score_of(world, *item, now, Ranking::Model).unwrap();
        prop_assert_eq!(alone.to_bits(), score.to_bits(), "{}: {} {}", item.0, alone, score);
        if world.is_open(*item, now) && !person.has_hidden(*item) {
            best.push((*score, known.created, *item));
        }
    }
    best.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)).then(a.2.cmp(&b.2)));
    for limit in [1, 30, ITEMS as usize] {
        let feed = person.rank(world, now, RankRequest { ranking: Ranking::Model, limit, explain: true });
        prop_assert_eq!(feed.len(), limit.min(best.len()));
        for (one, (score, _, item)) in feed.iter().zip(&best) {
            prop_assert_eq!((one.item, one.score.to_bits()), (*item, score.to_bits()));
            let shares = one.why.iter().fold(0.0_f32, |sum, share| sum + share.amount);
            prop_assert_eq!(shares.to_bits(), score.to_bits(), "shares sum up to the score");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// With windows, authors, topics, clusters, followed users, hidden items and an online model; with and without a
    /// two-tower model, and with an expert switched off.
    #[test]
    fn a_whole_catalogue_scores_as_each_item_alone(
        acts in any_acts(),
        without in prop::option::of(prop::sample::select(Expert::ALL.to_vec())),
    ) {
        let settings = LearnSettings { without: without.into_iter().collect(), ..LearnSettings::default() };
        let (state, mut people, now) = lived(acts, settings);
        let world = state.world();
        let tower = world.tower_by(Arc::new(Little::new(1)));
        let with_a_tower = world.with_tower(Some(Arc::new(tower)));
        for person in &mut people {
            scores_agree(person, world, now)?;
            person.look(&with_a_tower, now);
            scores_agree(person, &with_a_tower, now)?;
        }
    }
}
