//! A small catalogue with every kind of item, and people with every kind of history, for checks over all experts.
//!
//! Invariant: the acts and settings determine the world and the people. Windows, authors, topics, clusters, friends and hidden items all
//! occur. Tests of the crate itself include this file, too.
#![allow(dead_code, reason = "each program that includes this module uses a part of it")]

use std::sync::Arc;

use eddyline::domain::ids::{ItemId, Key, Position, Seq, UserId};
use eddyline::domain::interactions::{Interaction, Kind};
use eddyline::domain::items::{Author, Embedding};
use eddyline::domain::journal::{Entry, Measured, What};
use eddyline::domain::time::Millis;
use eddyline::domain::windows::{Window, Windows};
use eddyline::engine::coordinator::{CoordinatorEvent, CoordinatorState, Draft, Effect, ItemWrite};
use eddyline::engine::settings::rank::RankSettings;
use eddyline::engine::settings::{ClusterSettings, LearnSettings};
use eddyline::engine::user::{Effect as UserEffect, UserEvent, UserState};
use proptest::prelude::*;

const DIM: usize = 8;

/// Number of items: more than two blocks of the world, and the last one not full.
pub const ITEMS: u32 = 600;

/// Number of people who act.
pub const PEOPLE: u32 = 6;

/// Number of people who are measured, for two clusters.
const MEASURED: u32 = 60;

/// The instant at which the catalogue is there.
const BEGIN: Millis = Millis(10_000_000);

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

/// An item of one to three topics, with an author or none, always open or with windows that are past, open, or to come.
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
        attributes: None,
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

/// A catalogue under these settings, and measured people in two clusters: those with even ids, and those with odd ones.
fn catalogue(settings: LearnSettings) -> CoordinatorState {
    let cluster = ClusterSettings { threshold: 0, interval_s: 0, restarts: 1, ..ClusterSettings::default() };
    let rank = RankSettings { author_run: 0, ..RankSettings::default() };
    let settings = LearnSettings { cluster, rank, ..settings };
    let mut state = CoordinatorState::new(DIM, Arc::new(settings));
    let drafts = (0..ITEMS).map(|n| (draft(n), ItemWrite::Create)).collect();
    state.apply(CoordinatorEvent::Items(drafts), BEGIN);
    state.apply(CoordinatorEvent::Recentre, BEGIN);
    let measured = (0..MEASURED).map(|user| {
        let seconds = if user.is_multiple_of(2) { 10 } else { 60 };
        let millionths = (seconds + i64::from(user * 7 % 5)) * 1_000_000;
        let measured = Measured { metric: key("time_spent"), kind: Some(key("post")), millionths, replaces: false };
        let (user, seq, id) = (UserId(user), Seq(1), key("m1"));
        Entry { user, seq, id, at: BEGIN, received: BEGIN, what: What::Measured(measured) }
    });
    journalled(&mut state, &measured.collect::<Vec<_>>());
    let task =
        state.apply(CoordinatorEvent::Refit { asked: Some("default".into()) }, BEGIN).into_iter().find_map(|effect| {
            match effect {
                Effect::RefitTask(task) => Some(task),
                _ => None,
            }
        });
    let task = task.unwrap();
    let rows = task.rows();
    let found = task.clustering(rows.clone(), task.problem(&rows).unwrap().solve().unwrap());
    state.apply(
        CoordinatorEvent::RefitDone { clustering: "default".into(), epoch: task.epoch, fit: Some(Box::new(found)) },
        BEGIN,
    );
    state
}

/// What people do: interactions `(person, item, kind, milliseconds since the one before)`, and `(person, author)` follows.
#[derive(Clone, Debug)]
pub struct Acts {
    /// Follows come first.
    pub follows: Vec<(u32, u32)>,
    /// In their order.
    pub interactions: Vec<(u32, u32, Kind, i64)>,
}

/// Any acts of [`PEOPLE`] people on [`ITEMS`] items.
pub fn any_acts() -> impl Strategy<Value = Acts> {
    let kind = prop::sample::select(Kind::ALL.to_vec());
    let interactions = prop::collection::vec((0..PEOPLE, 0..ITEMS, kind, 0_i64..40_000_000), 1..100);
    let follows = prop::collection::vec((0..PEOPLE, 0_u32..41), 0..12);
    (follows, interactions).prop_map(|(follows, interactions)| Acts { follows, interactions })
}

/// The coordinator and the people after these acts, and the instant of the last act.
pub fn lived(acts: Acts, settings: LearnSettings) -> (CoordinatorState, Vec<UserState>, Millis) {
    let mut state = catalogue(settings);
    let mut people: Vec<UserState> = (0..PEOPLE).map(|user| UserState::new(UserId(user))).collect();
    let mut now = BEGIN;
    let follows = acts.follows.into_iter().map(|(who, whom)| (who, None, whom, 0));
    let interactions = acts.interactions.into_iter().map(|(who, item, kind, wait)| (who, Some(kind), item, wait));
    for (n, (who, kind, what, wait)) in follows.chain(interactions).enumerate() {
        now = now.plus(wait);
        let id = key(&format!("event-{n}"));
        let event = match kind {
            None => UserEvent::Followed { id, user: UserId(what), at: now },
            Some(kind) => UserEvent::Interacted(Interaction {
                id,
                item: ItemId(what),
                kind,
                dwell_ms: None,
                at: now,
                shown: None,
                passed: Vec::new(),
            }),
        };
        let effects = people[who as usize].apply(event, state.world(), now).into_iter();
        let entries =
            effects.filter_map(|effect| if let UserEffect::Journal(entry) = effect { Some(entry) } else { None });
        journalled(&mut state, &entries.collect::<Vec<_>>());
        state.apply(CoordinatorEvent::Tick, now);
    }
    (state, people, now)
}
