//! The list stage and exploration through the engine: what a feed promises under any rules.
//!
//! Invariant under test: rules change the order and who is at the end, never the scores; a change of the world that
//! alters a feed concerns its person.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::Arc;

use eddyline::domain::feeds::{FeedItem, Ranking};
use eddyline::domain::ids::{FeedVersion, ItemId, Key, UserId};
use eddyline::domain::interactions::{Interaction, Kind};
use eddyline::domain::items::{Author, Embedding};
use eddyline::domain::time::Millis;
use eddyline::domain::windows::{Window, Windows};
use eddyline::engine::coordinator::{CoordinatorEvent, CoordinatorState, Draft, ItemWrite};
use eddyline::engine::rank::stage::RankSettings;
use eddyline::engine::rank::{Ask, Screen};
use eddyline::engine::settings::LearnSettings;
use eddyline::engine::user::{UserEvent, UserState};
use eddyline::engine::world::Changes;
use proptest::prelude::*;

const DIM: usize = 8;
const NOW: Millis = Millis(1_000_000);

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn draft(number: u32) -> Draft {
    let numbers = (0..DIM as u32).map(|n| ((number * 31 + n * 17) % 29) as f32 / 7.0 - 2.0 + 0.01).collect();
    let author = Author { id: UserId(number % 4), key: key(&format!("author-{}", number % 4)) };
    Draft {
        key: key(&format!("item-{number}")),
        author: (!number.is_multiple_of(9)).then_some(author),
        topics: Some(vec![key(["sea", "sky", "land"][number as usize / 2 % 3])]),
        text: Some(format!("text {number}").into()),
        embedding: Some(Embedding::new(numbers, DIM).unwrap()),
        created: Some(Millis(i64::from(number * 7919 % 500) * 2_000)),
        windows: None,
    }
}

fn settings() -> impl Strategy<Value = RankSettings> {
    let caps = (0u32..4, 0u32..4, 0u32..5, 0u32..7);
    let off_or = |low: f32, high: f32| prop_oneof![2 => Just(0.0f32), 1 => low..high];
    (caps, 5u32..80, off_or(0.1, 2.0), off_or(0.1, 1.0), off_or(0.1, 2.0), 0u8..4, 0.2f32..0.9).prop_map(
        |(
            (author_run, topic_run, author_max, topic_max),
            pool,
            temperature,
            uncertainty,
            stability,
            which,
            strength,
        )| {
            RankSettings {
                pool,
                temperature,
                uncertainty,
                author_run,
                topic_run,
                author_max,
                topic_max,
                mmr_lambda: if which == 1 { strength } else { 1.0 },
                calibration: if which == 2 { strength } else { 0.0 },
                stability,
            }
        },
    )
}

/// A world of `count` items, and somebody who has a taste in it.
fn network(rank: RankSettings, count: u32, script: &[(u32, Kind)]) -> (CoordinatorState, UserState) {
    rank.check().unwrap();
    let settings = Arc::new(LearnSettings { rank, ..LearnSettings::default() });
    let mut coordinator = CoordinatorState::new(DIM, settings);
    let drafts = (0..count).map(|n| (draft(n), ItemWrite::Create)).collect();
    coordinator.apply(CoordinatorEvent::Items(drafts), NOW);
    let mut person = UserState::new(UserId(9));
    for (n, (item, kind)) in script.iter().enumerate() {
        let id = key(&format!("act-{n}"));
        let item = ItemId(item % count);
        let interaction =
            Interaction { id, item, kind: *kind, dwell_ms: None, at: NOW, shown: None, passed: Vec::new() };
        person.apply(UserEvent::Interacted(interaction), coordinator.world(), NOW);
    }
    (coordinator, person)
}

fn script() -> impl Strategy<Value = Vec<(u32, Kind)>> {
    prop::collection::vec(
        (0u32..60, prop::sample::select(vec![Kind::Like, Kind::Skip, Kind::Hide, Kind::Watch])),
        0..30,
    )
}

fn ids(items: &[FeedItem]) -> Vec<ItemId> {
    items.iter().map(|one| one.item).collect()
}

fn ask(limit: usize) -> Ask {
    Ask { ranking: Ranking::Model, limit, explain: true }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Nothing lost, nothing twice, nothing hidden; scores and reasons as without rules; a shorter feed is the
    /// beginning of a longer one; the same version again is the same feed.
    #[test]
    fn rules_change_the_order_and_nothing_else(
        rank in settings(), script in script(), limit in 1usize..70, version in any::<u64>(), drawn in prop::collection::vec(0u32..60, 0..20)
    ) {
        let (coordinator, person) = network(rank, 60, &script);
        let (plain, again) = network(RankSettings { author_run: 0, ..RankSettings::default() }, 60, &script);
        let expected = again.rank(plain.world(), NOW, ask(60));
        let drawn: Vec<ItemId> = drawn.into_iter().map(ItemId).collect();
        let screen = Screen { version: FeedVersion(version), drawn: &drawn };
        let all = person.rank_on(coordinator.world(), NOW, ask(60), screen).items;
        let (mut left, mut right) = (all.clone(), expected);
        prop_assert!(all.iter().all(|one| one.propensity > 0.0 && one.propensity <= 1.0));
        left.iter_mut().for_each(|one| one.propensity = 1.0);
        left.sort_by_key(|one| one.item);
        right.sort_by_key(|one| one.item);
        prop_assert_eq!(left, right);
        let some = person.rank_on(coordinator.world(), NOW, ask(limit), screen).items;
        prop_assert_eq!(&some[..], &all[..limit.min(all.len())]);
        prop_assert_eq!(&person.rank_on(coordinator.world(), NOW, ask(60), screen).items, &all);
        if rank.temperature == 0.0 {
            prop_assert!(all.iter().all(|one| one.propensity == 1.0));
        }
    }

    /// An item that opens and changes anything in the feed concerns the person.
    #[test]
    fn nobody_misses_a_push(
        rank in settings(), script in script(), limit in 1usize..12, count in 20u32..60, version in any::<u64>(), fresh in any::<bool>(),
        drawn in prop_oneof![Just(None), prop::collection::vec(0u32..60, 0..12).prop_map(Some)]
    ) {
        let (mut coordinator, person) = network(rank, count, &script);
        // It is known, and moves no centre when it opens.
        let created = Some(if fresh { NOW } else { Millis(0) });
        let closed = Windows::new(vec![Window { start: Millis(NOW.0 + 1), stop: None }]).unwrap();
        let new = Draft { created, windows: Some(closed), ..draft(count) };
        coordinator.apply(CoordinatorEvent::Items(vec![(new, ItemWrite::Create)]), NOW);
        let first: Vec<ItemId> = drawn.unwrap_or_default().into_iter().map(ItemId).filter(|item| item.0 < count).collect();
        let screen = Screen { version: FeedVersion(version), drawn: &first };
        let before = person.rank_on(coordinator.world(), NOW, ask(limit), screen);
        // Drawn or not drawn meanwhile: the next feed is made for either screen.
        let seen = ids(&before.items);
        coordinator.apply(CoordinatorEvent::Windows(vec![(ItemId(count), Windows::default())]), NOW);
        let world = coordinator.world();
        let changes = Changes { opened: vec![ItemId(count)], ..Changes::default() };
        let concerned = person.is_concerned(world, &changes, &before.items, Ranking::Model, before.floor, NOW);
        for drawn in [&first, &seen] {
            let after = person.rank_on(world, NOW, ask(limit), Screen { version: FeedVersion(version), drawn });
            if after.items.iter().any(|one| one.item == ItemId(count)) {
                prop_assert!(concerned, "floor {}", before.floor);
            }
            if !concerned && *drawn == first {
                prop_assert_eq!(ids(&after.items), ids(&before.items));
            }
        }
    }
}

/// The default keeps authors from flooding a feed, and a quiet feed costs nobody a push.
#[test]
fn by_default_nobody_stands_three_times_in_a_row() {
    let (coordinator, person) =
        network(RankSettings::default(), 60, &[(1, Kind::Like), (5, Kind::Like), (9, Kind::Like)]);
    let feed = person.rank(coordinator.world(), NOW, ask(30));
    let author = |one: &FeedItem| coordinator.world().item(one.item).unwrap().author.as_ref().map(|author| author.id);
    assert!(feed.windows(3).all(|three| {
        author(&three[0]).is_none() || author(&three[0]) != author(&three[1]) || author(&three[1]) != author(&three[2])
    }));
    let floor = person.rank_on(coordinator.world(), NOW, ask(30), Screen::default()).floor;
    let least = feed.iter().map(|one| one.score).fold(f32::INFINITY, f32::min);
    assert_eq!(floor, least, "no more than a change of the world must reach to enter");
}
