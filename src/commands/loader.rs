//! Bulk loading into a store without a server: the engine learns each event, and batches of writes are appended.
//!
//! Invariant: loading is idempotent. A batch is durable before the next one is collected. Memory holds at most
//! [`STATES`] states of users; a state that was dropped is recovered from the store.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};

use crate::config::Config;
use crate::domain::ids::{ItemId, Key, Position, UserId};
use crate::domain::interactions::Interaction;
use crate::domain::items::Author;
use crate::domain::people::Person;
use crate::domain::stated_time::is_doubtful;
use crate::domain::time::Millis;
use crate::domain::windows::Windows;
use crate::embed::Embedder;
use crate::engine::coordinator::{Draft, ItemWrite};
use crate::engine::user::{EVENTS_REMEMBERED, UserEvent};
use crate::fold::{Learning, Offline};
use crate::store::recovery::{load_coordinator, read_catalogue, recover};
use crate::store::{Outcome, Store, Write};

/// Writes per transaction.
const BATCH: usize = 4_096;
/// Items whose texts are embedded in one call.
const DRAFTS: usize = 256;

/// States of users in memory, at most.
const STATES: usize = 50_000;

/// Loads people, items, windows and events into a store.
pub struct Loader {
    store: Arc<dyn Store>,
    embedder: Arc<dyn Embedder>,
    offline: Offline,
    drafts: Vec<(Draft, bool)>,
    now: Millis,
    /// Time of the engine: the present, or the time of the log's last event.
    clock: Millis,
    /// Number of users that the store had before this load. Only their entries can be in the store already.
    stored_people: u32,
    /// Every entry so far has the position that the engine expects, so the coordinator's snapshot is valid.
    positions_are_exact: bool,
    /// Last position of the journal that was flushed.
    flushed: Position,
    /// Stored users without a name, by key.
    nameless: BTreeMap<Key, Person>,
    /// By user id, the newest interaction that the user has learned.
    newest: Vec<Millis>,
    states: StatesInMemory,
    /// Counts of this load so far.
    pub brought: Brought,
}

/// Counts of a load.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brought {
    /// Items, new or changed.
    pub items: u64,
    /// Events that were learned.
    pub learned: u64,
    /// Events that the store already held.
    pub known: u64,
    /// Events on unknown items. They were not learned.
    pub unknown_items: u64,
    /// Measurements of undeclared metrics or types. They were not learned.
    pub undeclared: u64,
    /// Availability windows, over all items.
    pub windows: u64,
    /// Items with new windows.
    pub windowed_items: u64,
    /// The first unknown items, at most [`Brought::UNKNOWN_NAMED`], with the number of events on each.
    pub unknown_named: Vec<(Key, u64)>,
    /// Interactions that were learned after a later interaction of their user.
    pub late: u64,
    /// Creation times of items, and times of interactions, that look like numbers in another unit.
    pub doubtful_times: u64,
}

impl Brought {
    /// Largest number of items in [`Brought::unknown_named`].
    pub const UNKNOWN_NAMED: usize = 10;

    /// Counts an event on an unknown item.
    pub fn note_unknown(&mut self, item: &Key) {
        self.unknown_items += 1;
        let place = self.unknown_named.iter().position(|(known, _)| known == item);
        match place {
            Some(place) => self.unknown_named[place].1 += 1,
            None if self.unknown_named.len() < Self::UNKNOWN_NAMED => self.unknown_named.push((item.clone(), 1)),
            None => {}
        }
    }

    /// `3 windows of 2 items, `, or an empty text without windows.
    #[must_use]
    pub fn windows_text(&self) -> String {
        match self.windows {
            0 => String::new(),
            windows => format!("{windows} windows of {} items, ", self.windowed_items),
        }
    }
}

impl Loader {
    /// Recovers the coordinator from a store; `now` dates new people and items.
    ///
    /// # Errors
    /// The store fails.
    pub async fn open(
        store: Arc<dyn Store>,
        embedder: Arc<dyn Embedder>,
        config: &Config,
        now: Millis,
    ) -> anyhow::Result<Loader> {
        let (catalogue, people) = read_catalogue(&*store).await?;
        let settings = Arc::new(config.engine());
        let coordinator = load_coordinator(&*store, config.dim, settings, catalogue, now).await?;
        let (stored_people, flushed) = (people.len() as u32, coordinator.covers());
        let nameless = people.iter().filter(|person| person.name.is_none() && !person.erased);
        let nameless = nameless.map(|person| (person.key.clone(), person.clone())).collect();
        let offline = Offline::over(coordinator, people);
        Ok(Loader {
            store,
            embedder,
            offline,
            drafts: Vec::new(),
            now,
            clock: now,
            stored_people,
            positions_are_exact: true,
            flushed,
            nameless,
            newest: Vec::new(),
            states: StatesInMemory::new(STATES),
            brought: Brought::default(),
        })
    }

    /// Holds at most `most` states of users in memory, at least one.
    #[must_use]
    pub fn with_states(self, most: usize) -> Loader {
        Loader { states: StatesInMemory::new(most.max(1)), ..self }
    }

    /// The engine that learns the events.
    pub fn offline(&mut self) -> &mut Offline {
        &mut self.offline
    }

    /// Finds a user by key, or registers them.
    pub fn person(&mut self, key: &Key, name: Option<&str>) -> UserId {
        self.offline.person(key, name, self.now)
    }

    /// Finds a user by key, or registers them with a name. A stored user without a name gets it; another name stays.
    ///
    /// # Errors
    /// The store fails.
    pub async fn named(&mut self, key: &Key, name: &str) -> anyhow::Result<UserId> {
        let id = self.person(key, Some(name));
        if let Some(person) = self.nameless.remove(key) {
            self.offline.rewrite(Person { name: Some(name.to_owned()), ..person });
        }
        self.flush_if_full().await?;
        Ok(id)
    }

    /// Lets a user follow another one from `at` on, unless they do already.
    ///
    /// # Errors
    /// The store fails.
    pub async fn befriend(&mut self, user: UserId, whom: UserId, id: Key, at: Millis) -> anyhow::Result<()> {
        self.recall(user).await?;
        if self.offline.state(user).is_some_and(|state| state.follows().contains(&whom)) {
            self.brought.known += 1;
            return Ok(());
        }
        self.act(user, UserEvent::Followed { id, user: whom, at }).await
    }

    /// Finds a user by key, or registers them with attributes: a JSON object as text. Attributes of a known user stay.
    ///
    /// # Errors
    /// The store fails.
    pub async fn describe(&mut self, key: &Key, attributes: Option<&str>) -> anyhow::Result<UserId> {
        let id = self.offline.described(key, None, attributes, self.now);
        self.flush_if_full().await?;
        Ok(id)
    }

    /// Finds an author by key, or registers them.
    pub fn author(&mut self, key: &Key) -> Author {
        Author { id: self.person(key, None), key: key.clone() }
    }

    /// Adds an item; its text is embedded if the draft has no embedding. Takes effect at the next [`Loader::settle`].
    ///
    /// # Errors
    /// The embedder or the store fails.
    pub async fn item(&mut self, draft: Draft) -> anyhow::Result<()> {
        let has_vector = draft.embedding.is_some();
        self.drafts.push((draft, has_vector));
        if self.drafts.len() >= DRAFTS { self.settle().await } else { Ok(()) }
    }

    /// Adds the items collected so far to the catalogue, so that events can name them.
    ///
    /// # Errors
    /// The embedder or the store fails.
    pub async fn settle(&mut self) -> anyhow::Result<()> {
        if self.drafts.is_empty() {
            return Ok(());
        }
        let drafts = std::mem::take(&mut self.drafts);
        let texts: Vec<&str> =
            drafts.iter().filter(|(_, has)| !has).map(|(draft, _)| draft.text.as_deref().unwrap_or_default()).collect();
        let mut vectors = if texts.is_empty() { Vec::new() } else { self.embedder.embed(&texts)? }.into_iter();
        let doubtful = drafts.iter().filter(|(draft, _)| draft.created.is_some_and(is_doubtful));
        self.brought.doubtful_times += doubtful.count() as u64;
        let drafts: Vec<Draft> = drafts
            .into_iter()
            .map(|(draft, has)| if has { draft } else { Draft { embedding: vectors.next(), ..draft } })
            .collect();
        for written in self.offline.items(drafts, ItemWrite::Replace, self.clock) {
            written.context("the engine refused an item")?;
            self.brought.items += 1;
        }
        self.flush_if_full().await
    }

    /// Sets the availability windows of an item.
    ///
    /// # Errors
    /// The store fails.
    pub async fn windows(&mut self, item: ItemId, windows: Windows) -> anyhow::Result<()> {
        self.windows_of_items(vec![(item, windows)]).await
    }

    /// Sets the availability windows of several items at once.
    ///
    /// # Errors
    /// The store fails.
    pub async fn windows_of_items(&mut self, items: Vec<(ItemId, Windows)>) -> anyhow::Result<()> {
        self.brought.windows += items.iter().map(|(_, windows)| windows.as_slice().len() as u64).sum::<u64>();
        self.brought.windowed_items += items.len() as u64;
        self.offline.windows(items, self.clock);
        self.flush_if_full().await
    }

    /// Moves the engine's clock to the next event of a log in the order of time, which may set it back once. The engine
    /// then learns with the items and the popularity of that instant.
    pub fn advance(&mut self, at: Millis) {
        let at = at.min(self.now);
        self.clock = at;
        self.offline.advance(at);
    }

    /// Lets a user learn an event, unless the store holds an event of its id.
    ///
    /// # Errors
    /// The store fails.
    pub async fn act(&mut self, user: UserId, event: UserEvent) -> anyhow::Result<()> {
        self.act_liked(user, event, None).await
    }

    /// Lets a user learn an event, unless the store holds an event of its id. `liked_at` is the instant of the like that
    /// followed a view.
    ///
    /// # Errors
    /// The store fails.
    pub async fn act_liked(&mut self, user: UserId, event: UserEvent, liked_at: Option<Millis>) -> anyhow::Result<()> {
        self.recall(user).await?;
        // The state remembers the newest ids only. For older ones the store is queried, so that loading is idempotent.
        let is_long = self.offline.state(user).is_some_and(|state| state.seq().0 > EVENTS_REMEMBERED as u64);
        if user.0 < self.stored_people && is_long && self.store.find_event(user, event.id().clone()).await?.is_some() {
            self.brought.known += 1;
            return Ok(());
        }
        self.learn(user, event, liked_at).await
    }

    /// Lets a user learn a row that has no id of its own. The row is known if one of its ids holds an event with its
    /// contents; else the user learns it under its first free id.
    ///
    /// # Errors
    /// The store fails, or other events have taken both ids.
    pub async fn act_row(&mut self, user: UserId, row: Interaction, RowIds(ids): RowIds) -> anyhow::Result<()> {
        self.recall(user).await?;
        let state = self.offline.state(user).filter(|_| user.0 < self.stored_people);
        // Ids to look up in the store: those older than the state remembers, and known ones, whose contents decide.
        let is_long = state.is_some_and(|state| state.seq().0 > EVENTS_REMEMBERED as u64);
        let asked = ids.iter().filter(|id| is_long || state.is_some_and(|state| state.number_of(id).is_some()));
        let asked: Vec<Key> = asked.cloned().collect();
        let found = if asked.is_empty() { Vec::new() } else { self.store.find_events(user, asked).await? };
        let event = |id: &Key| UserEvent::Interacted(Interaction { id: id.clone(), ..row.clone() });
        let contents = event(&ids[0]).contents();
        if found.iter().any(|entry| entry.holds(&contents, row.at)) {
            self.brought.known += 1;
            return Ok(());
        }
        let is_free = |id: &&Key| !found.iter().any(|entry| entry.id == **id);
        match ids.iter().find(is_free) {
            Some(id) => self.learn(user, event(id), None).await,
            None => bail!("other events have taken both ids of a row: {} and {}", ids[0], ids[1]),
        }
    }

    /// Recovers the state of a user whose entries are in the store and whose state is not in memory.
    async fn recall(&mut self, user: UserId) -> anyhow::Result<()> {
        self.settle().await?;
        if self.offline.has_state(user) {
            self.states.touch(user);
            return Ok(());
        }
        if self.states.is_full() {
            // A state can be recovered only from durable entries.
            self.flush().await?;
            for user in self.states.drop_idle() {
                self.offline.forget_state(user);
            }
        }
        if user.0 < self.stored_people || self.states.was_dropped(user) {
            let (state, _) = recover(&*self.store, user, self.offline.world()).await?;
            *self.newest(user) = state.newest_interaction().unwrap_or(Millis::MIN);
            self.offline.set_state(state);
        }
        self.states.insert(user);
        Ok(())
    }

    async fn learn(&mut self, user: UserId, event: UserEvent, liked_at: Option<Millis>) -> anyhow::Result<()> {
        let interacted = match &event {
            UserEvent::Interacted(interaction) | UserEvent::Answered(interaction) => Some(interaction.at),
            _ => None,
        };
        match self.offline.act(user, event, self.now) {
            Learning::Learned(_) => {
                self.brought.learned += 1;
                liked_at.into_iter().for_each(|at| self.offline.set_liked_at(at));
                let newest = self.newest(user);
                let is_late = interacted.is_some_and(|at| at < *newest);
                *newest = interacted.map_or(*newest, |at| at.max(*newest));
                self.brought.late += u64::from(is_late);
                self.brought.doubtful_times += u64::from(interacted.is_some_and(is_doubtful));
            }
            Learning::Known => self.brought.known += 1,
            Learning::UnknownItem => self.brought.unknown_items += 1,
        }
        self.flush_if_full().await
    }

    fn newest(&mut self, user: UserId) -> &mut Millis {
        let index = user.0 as usize;
        if index >= self.newest.len() {
            self.newest.resize(index + 1, Millis::MIN);
        }
        &mut self.newest[index]
    }

    /// Recomputes the centres of grown topics, flushes all writes, and saves the coordinator's snapshot.
    ///
    /// # Errors
    /// The embedder or the store fails.
    pub async fn finish(mut self) -> anyhow::Result<Brought> {
        self.settle().await?;
        self.clock = self.now;
        self.recentre().await?;
        let coordinator = self.offline.coordinator();
        if self.positions_are_exact && self.brought.learned > 0 {
            // Saves the next start from folding these entries again.
            self.store.save_coordinator_snapshot(coordinator.covers(), coordinator.to_bytes()).await?;
        }
        Ok(self.brought)
    }

    /// Recomputes the centres of grown topics and flushes all writes.
    ///
    /// # Errors
    /// The embedder or the store fails.
    pub async fn recentre(&mut self) -> anyhow::Result<()> {
        self.settle().await?;
        self.offline.recentre(self.clock);
        self.flush().await
    }

    async fn flush_if_full(&mut self) -> anyhow::Result<()> {
        if self.offline.writes_len() >= BATCH { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> anyhow::Result<()> {
        let writes = self.offline.take_writes();
        let mut expected = self.flushed;
        let mut writes = writes.into_iter().peekable();
        while writes.peek().is_some() {
            let batch: Vec<_> = writes.by_ref().take(BATCH).collect();
            let entries: Vec<bool> = batch.iter().map(|write| matches!(write, Write::Entry(_))).collect();
            let outcomes = self.store.append(batch).await?;
            for (outcome, _) in outcomes.iter().zip(entries).filter(|(_, is_entry)| *is_entry) {
                expected = Position(expected.0 + 1);
                self.positions_are_exact &= *outcome == Outcome::Stored(expected);
            }
            ensure!(
                outcomes.iter().all(|outcome| matches!(outcome, Outcome::Stored(_))),
                "the store refused new events as known: does another program write to it?"
            );
        }
        self.flushed = expected;
        Ok(())
    }
}

/// The users whose states are in memory.
struct StatesInMemory {
    most: usize,
    /// Users with a state in memory, in any order.
    held: Vec<UserId>,
    /// By user id.
    marks: Vec<Mark>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Mark {
    /// The user has had no state in memory.
    #[default]
    Never,
    /// The user's state was dropped.
    Dropped,
    /// The state is in memory, without an event since the last drop.
    Idle,
    /// The state is in memory, with an event since the last drop.
    Active,
}

impl StatesInMemory {
    fn new(most: usize) -> StatesInMemory {
        StatesInMemory { most, held: Vec::new(), marks: Vec::new() }
    }

    fn mark(&mut self, user: UserId) -> &mut Mark {
        let index = user.0 as usize;
        if index >= self.marks.len() {
            self.marks.resize(index + 1, Mark::Never);
        }
        &mut self.marks[index]
    }

    fn is_full(&self) -> bool {
        self.held.len() >= self.most
    }

    fn was_dropped(&self, user: UserId) -> bool {
        self.marks.get(user.0 as usize) == Some(&Mark::Dropped)
    }

    fn insert(&mut self, user: UserId) {
        self.held.push(user);
        *self.mark(user) = Mark::Active;
    }

    fn touch(&mut self, user: UserId) {
        match *self.mark(user) {
            Mark::Idle | Mark::Active => *self.mark(user) = Mark::Active,
            Mark::Never | Mark::Dropped => self.insert(user),
        }
    }

    /// Users whose states are to be dropped: those without an event since the last call, or all where these are few.
    fn drop_idle(&mut self) -> Vec<UserId> {
        let marks = &mut self.marks;
        let idle = self.held.iter().filter(|user| marks[user.0 as usize] == Mark::Idle).count();
        let drops_all = idle < self.most / 8;
        let (dropped, held): (Vec<UserId>, Vec<UserId>) =
            self.held.iter().partition(|user| drops_all || marks[user.0 as usize] == Mark::Idle);
        for user in &dropped {
            marks[user.0 as usize] = Mark::Dropped;
        }
        for user in &held {
            marks[user.0 as usize] = Mark::Idle;
        }
        self.held = held;
        dropped
    }
}

/// The two ids under which a row without an id of its own may be stored.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct RowIds([Key; 2]);

impl RowIds {
    /// Hashes user, item, time and kind (`parts`), and further columns of the row (`more`). Earlier versions hashed `parts`
    /// alone, which made one event of rows that differ in `more`.
    ///
    /// # Errors
    /// Never in practice: see [`event_key`].
    pub fn of(parts: &[&str], more: Option<&str>) -> anyhow::Result<RowIds> {
        let (plain, whole) = (event_key(parts)?, event_key(&[parts, &[more.unwrap_or("-")]].concat())?);
        Ok(RowIds(if more.is_none() { [plain, whole] } else { [whole, plain] }))
    }

    /// The id that is tried first.
    #[must_use]
    pub fn first(&self) -> &Key {
        &self.0[0]
    }

    /// Hashes a row's place and label. The second id is the place, which earlier versions used.
    ///
    /// # Errors
    /// Never in practice: see [`event_key`].
    pub fn of_place(place: Key, says: &str) -> anyhow::Result<RowIds> {
        Ok(RowIds([event_key(&[place.as_str(), says])?, place]))
    }
}

/// The id of an event without one: a hash of its parts, so equal rows give equal ids.
///
/// # Errors
/// Never in practice: a key of hexadecimal digits is valid.
pub fn event_key(parts: &[&str]) -> anyhow::Result<Key> {
    let mut bytes = Vec::new();
    for part in parts {
        bytes.extend(part.as_bytes());
        bytes.push(0);
    }
    match Key::new(&format!("row-{:032x}", xxhash_rust::xxh3::xxh3_128(&bytes))) {
        Ok(key) => Ok(key),
        Err(error) => bail!("event key: {error}"),
    }
}
