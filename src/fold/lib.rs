//! The engine in one thread, without actors: catalogue, users and learning, with everything to store as a list of
//! writes.
//!
//! Invariant: writes come in an order that a store accepts: topics, users and items before the writes that name them.
//! Absent on purpose: clocks, stores and threads; the caller brings the time and carries writes out.

use eddyline_core::{domain, engine};
use eddyline_store as store;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::domain::feeds::FeedItem;
use crate::domain::ids::{ItemId, Key, Position, UserId};
use crate::domain::journal::{Entry, What};
use crate::domain::people::Person;
use crate::domain::time::{MINUTE_MS, Millis};
use crate::engine::coordinator::{CoordinatorEvent, CoordinatorState, Draft, DraftError, Effect, ItemWrite, Written};
use crate::engine::rank::{RankRequest, Viewport};
use crate::engine::settings::LearnSettings;
use crate::engine::two_tower::TwoTower;
use crate::engine::user::{self, UserEvent, UserState};
use crate::engine::world::World;
use crate::store::Write;

/// Time in a log between two recomputations of the popularity, in milliseconds; a server recomputes it each second.
pub const TICK_EVERY_MS: i64 = MINUTE_MS;

/// A coordinator and the states of users, driven by calls.
pub struct Offline {
    coordinator: CoordinatorState,
    people: BTreeMap<Key, UserId>,
    /// States by user id; ids are dense.
    states: Vec<Option<Box<UserState>>>,
    /// State of a user without events.
    stranger: UserState,
    position: Position,
    /// Pending writes; `None` for an engine that stores nothing.
    writes: Option<Vec<Write>>,
    /// Interactions count as answers, see [`Offline::of_views`].
    of_views: bool,
    /// Time of the last tick.
    ticked: Millis,
}

/// Outcome of an event.
#[derive(Clone, Debug, PartialEq)]
pub enum Learning {
    /// The event was learned and made this journal entry.
    Learned(Box<Entry>),
    /// The event was learned earlier.
    Known,
    /// The event names an unknown item.
    UnknownItem,
}

impl Offline {
    /// An engine with an empty catalogue.
    #[must_use]
    pub fn new(dim: usize, settings: Arc<LearnSettings>) -> Offline {
        Offline::over(CoordinatorState::new(dim, settings), Vec::new())
    }

    /// Continues from a stored catalogue. The caller restores a stored user's state by [`Offline::set_state`] before
    /// their next event.
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
            ticked: Millis::MAX,
        }
    }

    /// Treats all further interactions as answers to shown items, as in a log of views. Users could not choose there,
    /// so a like compared with all items would teach exposure.
    pub fn of_views(&mut self) {
        self.of_views = true;
    }

    /// An engine with an empty catalogue that stores nothing, for evaluation.
    #[must_use]
    pub fn unwritten(dim: usize, settings: Arc<LearnSettings>) -> Offline {
        Offline { writes: None, ..Offline::new(dim, settings) }
    }

    /// The current world.
    #[must_use]
    pub fn world(&self) -> &World {
        self.coordinator.world()
    }

    /// The current coordinator.
    #[must_use]
    pub fn coordinator(&self) -> &CoordinatorState {
        &self.coordinator
    }

    /// Sets the two-tower model that ranking uses from now on.
    pub fn set_tower(&mut self, model: Arc<dyn TwoTower>) {
        self.coordinator.set_tower(model);
    }

    /// Sets a user's attributes, a JSON object as text, which the two-tower model reads.
    pub fn set_attributes(&mut self, user: UserId, attributes: Option<Arc<str>>) {
        let seat = self.seat(user).get_or_insert_with(|| Box::new(UserState::new(user)));
        seat.set_attributes(attributes);
    }

    /// The id of a known user.
    #[must_use]
    pub fn find_person(&self, key: &str) -> Option<UserId> {
        self.people.get(key).copied()
    }

    /// The id of a user, who is created where the key is new.
    pub fn person(&mut self, key: &Key, name: Option<&str>, now: Millis) -> UserId {
        self.described(key, name, None, now)
    }

    /// The id of a user, who is created with these attributes where the key is new. A known user keeps their
    /// attributes.
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

    /// Queues a known user with a changed name or changed attributes as a write.
    pub fn rewrite(&mut self, person: Person) {
        self.write(|| Write::Person(person));
    }

    /// True where the user's state is in memory.
    #[must_use]
    pub fn has_state(&self, user: UserId) -> bool {
        self.state(user).is_some()
    }

    /// Restores the stored state of a user.
    pub fn set_state(&mut self, state: UserState) {
        let user = state.user();
        *self.seat(user) = Some(Box::new(state));
    }

    /// Drops a user's state from memory; the user has no further events, or the caller restores the state before.
    pub fn forget_state(&mut self, user: UserId) {
        if let Some(seat) = self.states.get_mut(user.0 as usize) {
            *seat = None;
        }
    }

    /// The user's state, where it is in memory.
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

    /// Log-odds of the `model` ranking for these items and a user at `now`, in the order of `items`, into `out`.
    /// Changes nothing.
    pub fn scores(&self, user: UserId, items: &[ItemId], now: Millis, out: &mut Vec<f32>) {
        self.state(user).unwrap_or(&self.stranger).score_items(self.coordinator.world(), items, now, out);
    }

    /// The feed of a user at `now`, as the server would rank it for a viewport. Changes nothing.
    #[must_use]
    pub fn feed(&self, user: UserId, now: Millis, ask: RankRequest, screen: Viewport<'_>) -> Vec<FeedItem> {
        let state = self.state(user).unwrap_or(&self.stranger);
        state.rank_on(self.coordinator.world(), now, ask, screen).items
    }

    /// Log-odds that a user approves of an item, as `Predicted::model` records them; 0 for an unknown item. Changes
    /// nothing.
    #[must_use]
    pub fn approval(&self, user: UserId, item: ItemId, now: Millis) -> f32 {
        let state = self.state(user).unwrap_or(&self.stranger);
        state.approval_of(self.coordinator.world(), item, now).unwrap_or_default()
    }

    /// Advances the time: items open and close, and popularity is recomputed.
    pub fn tick(&mut self, now: Millis) {
        self.ticked = now;
        self.change(CoordinatorEvent::Tick, now);
    }

    /// Advances the time to that of the next event of a log. Edges of windows take effect at once, and popularity is
    /// recomputed at most once per [`TICK_EVERY_MS`]. An earlier time sets the clock back.
    pub fn advance(&mut self, now: Millis) {
        let world = self.coordinator.world();
        let is_due = now < self.ticked
            || now.since(self.ticked) >= TICK_EVERY_MS
            || world.next_edge_after(world.as_of()).is_some_and(|edge| edge <= now);
        if is_due {
            self.tick(now);
        }
    }

    /// Writes items; one result per draft, in order.
    pub fn items(&mut self, drafts: Vec<Draft>, how: ItemWrite, now: Millis) -> Vec<Result<Written, DraftError>> {
        let event = CoordinatorEvent::Items(drafts.into_iter().map(|draft| (draft, how)).collect());
        self.change(event, now)
    }

    /// Sets the availability windows of items.
    pub fn windows(&mut self, items: Vec<(ItemId, crate::domain::windows::Windows)>, now: Millis) {
        self.change(CoordinatorEvent::Windows(items), now);
    }

    /// Recomputes the centres of all topics that grew; for the end of a bulk import.
    pub fn recentre(&mut self, now: Millis) {
        self.change(CoordinatorEvent::Recentre, now);
    }

    /// Applies an event of a user: learns it, and queues its journal entry as a write.
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

    /// States when the view that the newest queued write records was liked. Only the journal keeps it.
    pub fn set_liked_at(&mut self, at: Millis) {
        if let Some(Write::Entry(Entry { what: What::Interacted(learned), .. })) =
            self.writes.as_mut().and_then(|writes| writes.last_mut())
        {
            learned.liked_at = Some(at);
        }
    }

    /// Takes the writes since the last call, in order.
    pub fn take_writes(&mut self) -> Vec<Write> {
        self.writes.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Number of pending writes.
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
                // Items of a log count for its whole past, so the time machine gets no start times.
                Effect::KeepSince(..) => {}
                Effect::KeepTopic(id, key) => self.write(|| Write::Topic(id, key)),
                Effect::KeepMetric(name, declaration) => self.write(|| Write::Metric(name, declaration)),
                Effect::KeepClustering(change) => self.write(|| Write::Clustering(change)),
                Effect::KeepItem(item) => self.write(|| Write::Item(item)),
                Effect::KeepCentre(centre, vector) => self.write(|| Write::Centre(centre, vector)),
                Effect::Written(written) => answers = written,
                Effect::Publish(..) | Effect::WakeAt(_) | Effect::RefitTask(_) => {}
                Effect::KeepFit(..) | Effect::RefitRefused(..) => {}
            }
        }
        answers
    }
}
