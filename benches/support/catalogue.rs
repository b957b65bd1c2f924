//! Catalogues for benchmarks: random unit embeddings in 20 topics, and places with visits alone.
//!
//! Invariant: equal counts give equal catalogues.
#![allow(dead_code, reason = "each benchmark that includes this module uses a part of it")]

use std::sync::Arc;

use eddyline::domain::ids::{ItemId, Key, Position, UserId};
use eddyline::domain::interactions::{Interaction, Kind};
use eddyline::domain::items::Embedding;
use eddyline::domain::journal::Entry;
use eddyline::domain::time::Millis;
use eddyline::engine::coordinator::{CoordinatorEvent, CoordinatorState, Draft, ItemWrite};
use eddyline::engine::settings::LearnSettings;
use eddyline::engine::user::{Effect, UserEvent, UserState};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Numbers in an embedding.
pub const DIM: usize = 384;

/// `items` items, all available.
pub fn coordinator(items: u32) -> CoordinatorState {
    let mut random = ChaCha8Rng::seed_from_u64(7);
    let mut coordinator = CoordinatorState::new(DIM, Arc::new(LearnSettings::default()));
    let drafts = (0..items)
        .map(|item| {
            let numbers = (0..DIM).map(|_| random.random_range(-1.0_f32..1.0)).collect();
            let draft = Draft {
                attributes: None,
                key: Key::new(&format!("item-{item}")).unwrap(),
                author: None,
                topics: Some(vec![Key::new(&format!("topic-{}", item % 20)).unwrap()]),
                text: Some("text".into()),
                embedding: Some(Embedding::new(numbers, DIM).unwrap()),
                created: Some(Millis(i64::from(item))),
                windows: None,
            };
            (draft, ItemWrite::Create)
        })
        .collect();
    coordinator.apply(CoordinatorEvent::Items(drafts), Millis(i64::from(items)));
    coordinator
}

/// `items` places, all always available, with 40 visits by each of 400 users. Users of a neighbourhood visit common
/// places, a few of these most often. Returns one user, the last entry, and its time, too.
pub fn places(items: u32) -> (CoordinatorState, UserState, Entry, Millis) {
    let mut random = ChaCha8Rng::seed_from_u64(9);
    let mut coordinator = CoordinatorState::new(1, Arc::new(LearnSettings::default()));
    let drafts = (0..items).map(|item| {
        let draft = Draft {
            attributes: None,
            key: Key::new(&format!("place-{item}")).unwrap(),
            author: None,
            topics: None,
            text: Some("".into()),
            embedding: Some(Embedding::new(vec![1.0], 1).unwrap()),
            created: Some(Millis(0)),
            windows: None,
        };
        (draft, ItemWrite::Create)
    });
    coordinator.apply(CoordinatorEvent::Items(drafts.collect()), Millis(0));
    let mut people: Vec<UserState> = (0..400).map(|user| UserState::new(UserId(user))).collect();
    let (mut now, mut entries) = (Millis(0), Vec::new());
    for turn in 0..40_u32 {
        for person in &mut people {
            now = now.plus(60_000);
            // Squared, so that the first places of the neighbourhood are visited most often.
            let (begin, near) = (person.user().0 % 50 * (items / 50), random.random_range(0.0_f64..1.0));
            let item = ItemId(begin + (near * near * f64::from(items / 50)) as u32);
            let id = Key::new(&format!("visit-{turn}")).unwrap();
            let (kind, passed) = (Kind::Click, Vec::new());
            let visit = Interaction { id, item, kind, dwell_ms: None, at: now, shown: None, passed };
            let effects = person.apply(UserEvent::Interacted(visit), coordinator.world(), now).into_iter();
            for entry in
                effects.filter_map(|effect| if let Effect::Journal(entry) = effect { Some(entry) } else { None })
            {
                coordinator.fold(Position(entries.len() as u64 + 1), &entry);
                entries.push(entry);
            }
        }
        coordinator.apply(CoordinatorEvent::Tick, now);
    }
    (coordinator, people.swap_remove(0), entries.pop().unwrap(), now)
}
