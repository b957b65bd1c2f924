//! A state after an undo is the state of a user without the undone interactions.
//!
//! Invariant under test: the fold of a journal with cancelled entries has learned exactly as the fold of the other entries.

use std::sync::Arc;

use eddyline::domain::ids::{ItemId, Key, Position, Seq, UserId};
use eddyline::domain::interactions::{Interaction, Kind};
use eddyline::domain::items::Embedding;
use eddyline::domain::journal::{Cancelled, Entry, Undo, Undone, What};
use eddyline::domain::time::Millis;
use eddyline::engine::coordinator::{CoordinatorEvent, CoordinatorState, Draft, ItemWrite};
use eddyline::engine::settings::LearnSettings;
use eddyline::engine::user::{Effect, UserEvent, UserState};
use proptest::prelude::*;

const DIM: usize = 8;
const ITEMS: u32 = 40;
const BEGIN: Millis = Millis(1_000_000);

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn catalogue() -> CoordinatorState {
    let mut coordinator = CoordinatorState::new(DIM, Arc::new(LearnSettings::default()));
    let draft = |n: u32| Draft {
        attributes: None,
        key: key(&format!("item-{n}")),
        author: None,
        topics: Some(vec![key(["sea", "sky", "land"][n as usize % 3])]),
        text: Some("a text".into()),
        embedding: Embedding::new((0..DIM as u32).map(|k| ((n * 31 + k * 17) % 29) as f32 / 7.0 - 2.01).collect(), DIM)
            .ok(),
        created: Some(Millis(0)),
        windows: None,
    };
    coordinator.apply(CoordinatorEvent::Items((0..ITEMS).map(|n| (draft(n), ItemWrite::Create)).collect()), BEGIN);
    coordinator
}

fn act(state: &mut UserState, coordinator: &CoordinatorState, n: usize, item: u32, kind: Kind, now: Millis) -> Entry {
    let (id, at) = (key(&format!("event-{n}")), now);
    let interaction = Interaction { id, item: ItemId(item), kind, dwell_ms: None, at, shown: None, passed: Vec::new() };
    match state.apply(UserEvent::Interacted(interaction), coordinator.world(), now).remove(0) {
        Effect::Journal(entry) => entry,
        effect => panic!("{effect:?}"),
    }
}

fn script() -> impl Strategy<Value = Vec<(u32, Kind, i64, bool)>> {
    let kind = prop::sample::select(Kind::ALL.to_vec());
    prop::collection::vec((0..ITEMS, kind, 0i64..200_000_000, any::<bool>()), 1..80)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Whichever interactions are cancelled: users and the coordinator have learned as if those had never been.
    #[test]
    fn a_fold_without_cancelled_entries_is_that_of_a_user_who_never_acted(script in script()) {
        let coordinator = catalogue();
        let (mut live, mut now) = (UserState::new(UserId(7)), BEGIN);
        let mut marked: Vec<Entry> = Vec::new();
        for (n, (item, kind, wait, _)) in script.iter().enumerate() {
            now = now.plus(*wait);
            marked.push(act(&mut live, &coordinator, n, *item, *kind, now));
        }
        let chosen = script.iter().zip(&marked).filter(|((.., is_cancelled), _)| *is_cancelled);
        let cancels: Vec<Seq> = chosen.map(|(_, entry)| entry.seq).collect();
        let by = live.seq().next();
        let mut other: Vec<Entry> = marked.iter().filter(|entry| !cancels.contains(&entry.seq)).cloned().collect();
        for (index, entry) in other.iter_mut().enumerate() {
            entry.seq = Seq(index as u64 + 1);
        }
        for entry in marked.iter_mut().filter(|entry| cancels.contains(&entry.seq)) {
            let what = std::mem::replace(&mut entry.what, What::Posted(ItemId(0)));
            entry.what = What::Cancelled(Box::new(Cancelled { by, what }));
        }
        let undone = UserEvent::Undone { id: key("undo"), of: Undo::Event(key("event-0")), cancels: cancels.clone(), at: now };
        for effect in live.apply(undone, coordinator.world(), now) {
            if let Effect::Journal(entry) = effect {
                let named = matches!(&entry.what, What::Undone(Undone { cancels: named, .. }) if *named == cancels);
                prop_assert!(named, "{:?}", entry.what);
                marked.push(entry);
            }
        }
        let (world, settings) = (coordinator.world(), coordinator.world().settings());
        let after = UserState::replay(UserId(7), &marked, world, settings).unwrap();
        let never = UserState::replay(UserId(7), &other, world, settings).unwrap();
        prop_assert!(after.has_learned_as(&never));
        prop_assert_eq!(cancels.is_empty(), after.has_learned_as(&live), "only an undo of nothing changes nothing");
        prop_assert_eq!((after.seq(), after.number_of(&key("event-0"))), (by, Some(Seq(1))), "a resend is known");
        let read = UserState::from_bytes(&after.to_bytes(settings), settings).unwrap();
        prop_assert_eq!(read, after);

        let fold = |entries: &[Entry]| {
            let mut coordinator = catalogue();
            for (n, entry) in entries.iter().enumerate() {
                coordinator.fold(Position(n as u64 + 1), entry);
            }
            coordinator
        };
        let (after, never) = (fold(&marked), fold(&other));
        prop_assert_eq!(after.scores(), never.scores());
        prop_assert_eq!(after.hedge().blend, never.hedge().blend);
        prop_assert_eq!(after.undone_since().is_some(), !cancels.is_empty(), "whoever folded on looks again");
    }

    /// An undo of the last interactions gives the state before them, bit by bit.
    #[test]
    fn an_undo_of_the_last_interactions_leads_back(script in script(), last in 1..5usize) {
        let coordinator = catalogue();
        let (mut live, mut now, mut journal) = (UserState::new(UserId(7)), BEGIN, Vec::new());
        let mut states = vec![live.clone()];
        for (n, (item, kind, wait, _)) in script.iter().enumerate() {
            now = now.plus(*wait);
            journal.push(act(&mut live, &coordinator, n, *item, *kind, now));
            states.push(live.clone());
        }
        let stays = script.len().saturating_sub(last);
        for entry in &mut journal[stays..] {
            let what = std::mem::replace(&mut entry.what, What::Posted(ItemId(0)));
            entry.what = What::Cancelled(Box::new(Cancelled { by: Seq(1_000), what }));
        }
        let (world, settings) = (coordinator.world(), coordinator.world().settings());
        let after = UserState::replay(UserId(7), &journal, world, settings).unwrap();
        prop_assert!(after.has_learned_as(&states[stays]));
    }
}
