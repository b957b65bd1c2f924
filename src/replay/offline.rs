//! A whole server's mind in one thread: catalogue, people, learning; what is to be stored comes out as writes.
//!
//! Invariant: writes come in an order in which a store can take them: topics, people and items before what names them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::feeds::FeedItem;
use crate::domain::ids::{ItemId, Key, Position, UserId};
use crate::domain::journal::Entry;
use crate::domain::people::Person;
use crate::domain::time::Millis;
use crate::engine::coordinator::{CoordinatorEvent, CoordinatorState, Draft, DraftError, Effect, ItemWrite, Written};
use crate::engine::rank::{RankRequest, Viewport};
use crate::engine::settings::LearnSettings;
use crate::engine::tower::TwoTower;
use crate::engine::user::{self, UserEvent, UserState};
use crate::engine::world::World;
use crate::store::Write;

/// See the module.
pub struct Offline {
    coordinator: CoordinatorState,
    people: BTreeMap<Key, UserId>,
    /// By user id: ids are dense.
    states: Vec<Option<Box<UserState>>>,
    /// Stands for everybody who has not acted.
    stranger: UserState,
    position: Position,
    /// `None`: nobody wants them.
    writes: Option<Vec<Write>>,
    /// Interactions are answers, see [`Offline::of_views`].
    of_views: bool,
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Learning {
    /// It was learned: the entry.
    Learned(Box<Entry>),
    /// It was learned before.
    Known,
    /// No such item.
    UnknownItem,
}

impl Offline {
    /// An empty world.
    #[must_use]
    pub fn new(dim: usize, settings: Arc<LearnSettings>) -> Offline {
        Offline::over(CoordinatorState::new(dim, settings), Vec::new())
    }

    /// Goes on from a stored catalogue. States of people who are stored must be put in before they act.
    #[must_use]
    pub fn over(coordinator: CoordinatorState, people: Vec<Person>) -> Offline {
        Offline {
            position: coordinator.covers(),
            coordinator,
            people: people.into_iter().map(|person| (person.key, person.id)).collect(),
            states: Vec::new(),
            stranger: UserState::new(UserId(u32::MAX)),
            writes: Some(Vec::new()),
            of_views: false,
        }
    }

    /// From now on interactions are those of a log of views: answers to what somebody else put before people, who could choose
    /// nothing. A like compared with all posts would teach what was shown most.
    pub fn of_views(&mut self) {
        self.of_views = true;
    }

    /// An empty world of which nothing is to be stored: for evaluation.
    #[must_use]
    pub fn unwritten(dim: usize, settings: Arc<LearnSettings>) -> Offline {
        Offline { writes: None, ..Offline::new(dim, settings) }
    }

    /// The world as it stands.
    #[must_use]
    pub fn world(&self) -> &World {
        self.coordinator.world()
    }

    /// The coordinator as it stands.
    #[must_use]
    pub fn coordinator(&self) -> &CoordinatorState {
        &self.coordinator
    }

    /// From now on this two-tower model has a say.
    pub fn put_tower(&mut self, model: Arc<dyn TwoTower>) {
        self.coordinator.put_tower(model);
    }

    /// What is known of a person beside what they did: a JSON object as text, for the two-tower model.
    pub fn set_attributes(&mut self, user: UserId, attributes: Option<Arc<str>>) {
        let seat = self.seat(user).get_or_insert_with(|| Box::new(UserState::new(user)));
        seat.set_attributes(attributes);
    }

    /// A person by key.
    #[must_use]
    pub fn find_person(&self, key: &str) -> Option<UserId> {
        self.people.get(key).copied()
    }

    /// A person by key, made known if they are not.
    pub fn person(&mut self, key: &Key, name: Option<&str>, now: Millis) -> UserId {
        self.described(key, name, None, now)
    }

    /// The same with attributes, a JSON object as text; those of who is known already stay as they are.
    pub fn described(&mut self, key: &Key, name: Option<&str>, attributes: Option<&str>, now: Millis) -> UserId {
        if let Some(id) = self.people.get(key) {
            return *id;
        }
        let id = UserId(self.people.len() as u32);
        self.people.insert(key.clone(), id);
        let (name, attributes) = (name.map(str::to_owned), attributes.map(str::to_owned));
        self.write(|| Write::Person(Person { id, key: key.clone(), name, attributes, created: now, erased: false }));
        id
    }

    /// Has this person a state here?
    #[must_use]
    pub fn has_state(&self, user: UserId) -> bool {
        self.state(user).is_some()
    }

    /// The state of a person as it was stored.
    pub fn put_state(&mut self, state: UserState) {
        let user = state.user();
        *self.seat(user) = Some(Box::new(state));
    }

    /// Lets go of a person's state: they will not act again, or it will be put in before.
    pub fn forget_state(&mut self, user: UserId) {
        if let Some(seat) = self.states.get_mut(user.0 as usize) {
            *seat = None;
        }
    }

    /// The state of a person, if they acted or it was put in.
    #[must_use]
    pub fn state(&self, user: UserId) -> Option<&UserState> {
        self.states.get(user.0 as usize)?.as_deref()
    }

    fn seat(&mut self, user: UserId) -> &mut Option<Box<UserState>> {
        let index = user.0 as usize;
        if index >= self.states.len() {
            self.states.resize_with(index + 1, || None);
        }
        &mut self.states[index]
    }

    /// What the `model` ranking says of these items for a person at `now`: log-odds, in the order of `items`, into `out`.
    /// Changes nothing.
    pub fn scores(&self, user: UserId, items: &[ItemId], now: Millis, out: &mut Vec<f32>) {
        self.state(user).unwrap_or(&self.stranger).score_items(self.coordinator.world(), items, now, out);
    }

    /// The feed of a person at `now`, on a screen, as the server would make it. Changes nothing.
    #[must_use]
    pub fn feed(&self, user: UserId, now: Millis, ask: RankRequest, screen: Viewport<'_>) -> Vec<FeedItem> {
        let state = self.state(user).unwrap_or(&self.stranger);
        state.rank_on(self.coordinator.world(), now, ask, screen).items
    }

    /// Log-odds that a person approves of this item, as `Predicted::model` would note them; 0 for an unknown item.
    #[must_use]
    pub fn approval(&self, user: UserId, item: ItemId, now: Millis) -> f32 {
        let state = self.state(user).unwrap_or(&self.stranger);
        state.approval_of(self.coordinator.world(), item, now).unwrap_or_default()
    }

    /// Time passed: items open and close, and what is popular is counted afresh.
    pub fn tick(&mut self, now: Millis) {
        self.change(CoordinatorEvent::Tick, now);
    }

    /// Writes items; one answer per draft, in order.
    pub fn items(&mut self, drafts: Vec<Draft>, how: ItemWrite, now: Millis) -> Vec<Result<Written, DraftError>> {
        let event = CoordinatorEvent::Items(drafts.into_iter().map(|draft| (draft, how)).collect());
        self.change(event, now)
    }

    /// Says when items are available.
    pub fn windows(&mut self, items: Vec<(ItemId, crate::domain::windows::Windows)>, now: Millis) {
        self.change(CoordinatorEvent::Windows(items), now);
    }

    /// All items are in: centres are computed afresh wherever a topic grew.
    pub fn recentre(&mut self, now: Millis) {
        self.change(CoordinatorEvent::Recentre, now);
    }

    /// A person does something.
    pub fn act(&mut self, user: UserId, event: UserEvent, now: Millis) -> Learning {
        let index = user.0 as usize;
        if index >= self.states.len() {
            self.states.resize_with(index + 1, || None);
        }
        let state = self.states[index].get_or_insert_with(|| Box::new(UserState::new(user)));
        let event = match event {
            UserEvent::Interacted(interaction) if self.of_views => UserEvent::Answered(interaction),
            other => other,
        };
        let mut learning = Learning::Known;
        for effect in state.apply(event, self.coordinator.world(), now) {
            match effect {
                user::Effect::Journal(entry) => {
                    self.position = Position(self.position.0 + 1);
                    self.coordinator.fold(self.position, &entry);
                    if let Some(writes) = &mut self.writes {
                        writes.push(Write::Entry(entry.clone()));
                    }
                    learning = Learning::Learned(Box::new(entry));
                }
                user::Effect::UnknownItem(..) => learning = Learning::UnknownItem,
                user::Effect::Known(..) | user::Effect::Rank(_) => {}
            }
        }
        learning
    }

    /// What is to be stored since the last call, in order.
    pub fn take_writes(&mut self) -> Vec<Write> {
        self.writes.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// How much is to be stored.
    #[must_use]
    pub fn writes_len(&self) -> usize {
        self.writes.as_ref().map_or(0, Vec::len)
    }

    fn write(&mut self, write: impl FnOnce() -> Write) {
        if let Some(writes) = &mut self.writes {
            writes.push(write());
        }
    }

    fn change(&mut self, event: CoordinatorEvent, now: Millis) -> Vec<Result<Written, DraftError>> {
        let mut answers = Vec::new();
        for effect in self.coordinator.apply(event, now) {
            match effect {
                Effect::Erase(erasure) => self.write(|| Write::Erase(erasure)),
                // A log brings its own past: what it makes was always so.
                Effect::KeepSince(..) => {}
                Effect::KeepTopic(id, key) => self.write(|| Write::Topic(id, key)),
                Effect::KeepItem(item) => self.write(|| Write::Item(item)),
                Effect::KeepCentre(centre, vector) => self.write(|| Write::Centre(centre, vector)),
                Effect::Written(written) => answers = written,
                Effect::Publish(..) | Effect::WakeAt(_) | Effect::Solve(_) | Effect::KeepFit(_) => {}
            }
        }
        answers
    }
}
