//! A catalogue of random unit embeddings in 20 topics.
//!
//! Invariant: same count, same catalogue.

use std::sync::Arc;

use eddyline::domain::ids::Key;
use eddyline::domain::items::Embedding;
use eddyline::domain::time::Millis;
use eddyline::engine::coordinator::{CoordinatorEvent, CoordinatorState, Draft, ItemWrite};
use eddyline::engine::settings::LearnSettings;
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
