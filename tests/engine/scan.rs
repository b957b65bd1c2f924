//! Scoring a whole catalogue agrees with scoring each item alone.
//!
//! Invariant under test: an item's score for a user, world and instant is equal bit by bit on every path: alone, among
//! a few, among all, or in a feed. No feed lacks an item that is better than one of its own.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use crate::little_tower;

use std::sync::Arc;

use eddyline::domain::feeds::{Expert, Ranking};
use eddyline::domain::ids::{ItemId, Key, Position, Seq, UserId};
use eddyline::domain::interactions::{Interaction, Kind};
use eddyline::domain::items::{Author, Embedding};
use eddyline::domain::journal::{Entry, Measured, What};
use eddyline::domain::time::Millis;
use eddyline::domain::windows::{Window, Windows};
use eddyline::engine::coordinator::{CoordinatorEvent, CoordinatorState, Draft, Effect, ItemWrite};
use eddyline::engine::rank::RankRequest;
use eddyline::engine::rank::stage::RankSettings;
use eddyline::engine::settings::{ClusterSettings, LearnSettings};
use eddyline::engine::user::{Effect as UserEffect, UserEvent, UserState};
use eddyline::engine::world::World;
use little_tower::Little;
use proptest::prelude::*;

const DIM: usize = 8;

/// More than two blocks of the world, and the last one not full.
const ITEMS: u32 = 600;

const PEOPLE: u32 = 6;

/// Number of measured users in two clusters.
const MEASURED: u32 = 60;

/// Creation time of the catalogue.
const BEGIN: Millis = Millis(10_000_000);

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

/// One to three topics, an author or none, and either no windows or windows that are past, open, or future.
fn draft(n: u32) -> Draft {
    let numbers = (0..DIM as u32).map(|k| ((n * 31 + k * 17 + n * n % 23) % 29) as f32 / 7.0 - 1.99).collect();
    let topics = ["sea", "sky", "land", "ice", "fire"].map(key);
    let author = Author { id: UserId(n % 41), key: key(&format!("author-{}", n % 41)) };
    let window = |start: i64, stop: Option<i64>| Window { start: Millis(start), stop: stop.map(Millis) };
    let begin = i64::from(n) * 9_000;
    let windows = match n % 10 {
        0 => Some(vec![window(begin, Some(begin + 1_000)), window(begin + 2_000, None)]),
        1 => Some(vec![window(begin, Some(BEGIN.0 + begin))]),
        2 => Some(vec![window(begin, Some(begin + 5_000_000))]),
        3 => Some(vec![window(BEGIN.0 + 10 * begin, None)]),
        _ => None,
    };
    Draft {
        key: key(&format!("item-{n}")),
        author: (!n.is_multiple_of(6)).then_some(author),
        topics: Some(topics.iter().cycle().skip(n as usize % 5).take(1 + n as usize % 3).cloned().collect()),
        text: Some("text".into()),
        embedding: Some(Embedding::new(numbers, DIM).unwrap()),
        created: Some(Millis(begin)),
        windows: windows.map(|windows| Windows::new(windows).unwrap()),
    }
}

fn journalled(state: &mut CoordinatorState, entries: &[Entry]) {
    let after = state.covers().0;
    let entries: Vec<(Position, Entry)> = (after + 1..).map(Position).zip(entries.iter().cloned()).collect();
    state.apply(CoordinatorEvent::Journalled(entries.into()), Millis(0));
}

/// A catalogue, and users in two clusters: even and odd ids.
fn catalogue(without: Vec<Expert>) -> CoordinatorState {
    let cluster = ClusterSettings { threshold: 0, interval_s: 0, restarts: 1, ..ClusterSettings::default() };
    let rank = RankSettings { author_run: 0, ..RankSettings::default() };
    let settings = LearnSettings { cluster, rank, without, ..LearnSettings::default() };
    let mut state = CoordinatorState::new(DIM, Arc::new(settings));
    let drafts = (0..ITEMS).map(|n| (draft(n), ItemWrite::Create)).collect();
    state.apply(CoordinatorEvent::Items(drafts), BEGIN);
    state.apply(CoordinatorEvent::Recentre, BEGIN);
    let measured = (0..MEASURED).map(|user| {
        let seconds = if user.is_multiple_of(2) { 10 } else { 60 };
        let millionths = (seconds + i64::from(user * 7 % 5)) * 1_000_000;
        let measured = Measured { metric: key("time_spent"), kind: key("post"), millionths };
        let (user, seq, id) = (UserId(user), Seq(1), key("m1"));
        Entry { user, seq, id, at: BEGIN, received: BEGIN, what: What::Measured(measured) }
    });
    journalled(&mut state, &measured.collect::<Vec<_>>());
    let solve =
        state.apply(CoordinatorEvent::Regroup { asked: true }, BEGIN).into_iter().find_map(|effect| match effect {
            Effect::Solve(solve) => Some(solve),
            _ => None,
        });
    let solve = solve.unwrap();
    let rows = solve.rows();
    let found = solve.solved(rows.clone(), solve.problem(&rows).unwrap().solve().unwrap());
    state.apply(CoordinatorEvent::Regrouped { epoch: solve.epoch, fit: Some(Box::new(found)) }, BEGIN);
    state
}

/// All paths that compute an item's score agree.
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
        acts in prop::collection::vec((0..PEOPLE, 0..ITEMS, prop::sample::select(Kind::ALL.to_vec()), 0_i64..40_000_000), 1..100),
        follows in prop::collection::vec((0..PEOPLE, 0_u32..41), 0..12),
        without in prop::option::of(prop::sample::select(Expert::ALL.to_vec())),
    ) {
        let mut state = catalogue(without.into_iter().collect());
        let mut people: Vec<UserState> = (0..PEOPLE).map(|user| UserState::new(UserId(user))).collect();
        let mut now = BEGIN;
        let events = follows.into_iter().map(|(who, whom)| (who, None, whom, 0));
        let events = events.chain(acts.into_iter().map(|(who, item, kind, wait)| (who, Some(kind), item, wait)));
        for (n, (who, kind, what, wait)) in events.enumerate() {
            now = now.plus(wait);
            let id = key(&format!("event-{n}"));
            let event = match kind {
                None => UserEvent::Followed { id, user: UserId(what), at: now },
                Some(kind) => UserEvent::Interacted(Interaction {
                    id, item: ItemId(what), kind, dwell_ms: None, at: now, shown: None, passed: Vec::new(),
                }),
            };
            let effects = people[who as usize].apply(event, state.world(), now).into_iter();
            let entries = effects.filter_map(|effect| if let UserEffect::Journal(entry) = effect { Some(entry) } else { None });
            journalled(&mut state, &entries.collect::<Vec<_>>());
            state.apply(CoordinatorEvent::Tick, now);
        }
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
