//! Two-tower models for the tests: small, really trained, in less than a second.
//!
//! Invariant: equal seeds give equal bytes; two seeds give two models that order items differently.
#![allow(dead_code, reason = "each program that includes this module uses a part of it")]

use eddyline::domain::ids::Key;
use eddyline::domain::time::Millis;
use eddyline::embed::Embedder as _;
use eddyline::embed::hashing::HashingEmbedder;
use eddyline::tower::Sizes;
use eddyline_tables::{Action, FeedRows, PersonRow, PostRow, Tables};
use eddyline_training::{TrainSettings, train};
use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

const PEOPLE: u32 = 12;
const POSTS: u32 = 24;
const ROWS: u32 = 240;

/// The bytes of a model for embeddings of `dim` numbers.
pub fn checkpoint(seed: u64, dim: usize) -> Vec<u8> {
    let sizes = Sizes { history: 4, heads: 1, hidden: 16 };
    let settings = TrainSettings { sizes, epochs: 1, threads: 1, seed, ..TrainSettings::default() };
    train(&tables(seed, dim), &settings, |_| ()).unwrap().to_bytes().unwrap()
}

/// Users of two cities, posts of three topics, and views that are liked where city and topic fit.
fn tables(seed: u64, dim: usize) -> Tables {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let embedder = HashingEmbedder::new(dim).unwrap();
    let people = (0..PEOPLE)
        .map(|person| PersonRow {
            key: Key::of_number(person),
            attributes: Some(format!("{{\"city\":\"{}\",\"age\":{}}}", ["Aa", "Bb"][person as usize % 2], 20 + person)),
        })
        .collect();
    let posts = (0..POSTS)
        .map(|post| {
            let topic = ["a", "b", "c"][post as usize % 3];
            let text = format!("item number {post} about {topic}");
            let embedding = embedder.embed(&[&text]).unwrap().remove(0);
            PostRow {
                key: Key::of_number(post),
                topic: Some(Key::new(topic).unwrap()),
                numbers: Vec::new(),
                embedding: Some(embedding.to_vec()),
                text,
            }
        })
        .collect();
    let mut feed = FeedRows::default();
    for row in 0..ROWS {
        let (person, post) = (random.random_range(0..PEOPLE), random.random_range(0..POSTS));
        let fits = (person + post) % 2 == (seed % 2) as u32;
        let liked = random.random::<f32>() < if fits { 0.8 } else { 0.2 };
        let at = Millis(1_700_000_000_000 + i64::from(row) * 60_000);
        let mut push = |action, target| {
            feed.at.push(at);
            feed.person.push(person);
            feed.post.push(post);
            feed.action.push(action);
            feed.target.push(target);
        };
        push(Action::View, liked);
        if liked {
            push(Action::Like, false);
        }
    }
    Tables { people, posts, feed }
}
