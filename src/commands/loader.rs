//! Brings many things into a store, learned by the engine, without a server.
//!
//! Invariant: what is brought twice is there once. Batches are durable before the next is gathered; memory holds the
//! states of the people met.

use std::sync::Arc;

use anyhow::{Context as _, bail, ensure};

use crate::config::Config;
use crate::domain::ids::{ItemId, Key, Position, UserId};
use crate::domain::interactions::Interaction;
use crate::domain::items::Author;
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
/// Drafts whose texts are embedded together.
const DRAFTS: usize = 256;

/// See the module.
pub struct Loader {
    store: Arc<dyn Store>,
    embedder: Arc<dyn Embedder>,
    offline: Offline,
    drafts: Vec<(Draft, bool)>,
    now: Millis,
    /// People who were in the store before: only theirs has entries that may come again.
    stored_people: u32,
    /// Every entry so far stands where the engine counted it, so its coordinator may be saved.
    positions_are_exact: bool,
    /// Where the journal ends as far as it was flushed.
    flushed: Position,
    /// By user id, the last interaction that the person has learned from.
    newest: Vec<Millis>,
    /// What was brought.
    pub brought: Brought,
}

/// How much was brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Brought {
    /// Items, new or changed.
    pub items: u64,
    /// Events learned.
    pub learned: u64,
    /// Events that were there already.
    pub known: u64,
    /// Events on items that are not there. They were not learned.
    pub unknown_items: u64,
    /// Windows of items.
    pub windows: u64,
    /// Items that got windows.
    pub windowed_items: u64,
    /// The first of these items, at most [`Brought::UNKNOWN_NAMED`], with the number of events on each.
    pub unknown_named: Vec<(Key, u64)>,
    /// Interactions that were learned although their person had learned from a later one already.
    pub late: u64,
}

impl Brought {
    /// How many unknown items are named.
    pub const UNKNOWN_NAMED: usize = 10;

    /// An event that names an item that is not there.
    pub fn note_unknown(&mut self, item: &Key) {
        self.unknown_items += 1;
        let place = self.unknown_named.iter().position(|(known, _)| known == item);
        match place {
            Some(place) => self.unknown_named[place].1 += 1,
            None if self.unknown_named.len() < Self::UNKNOWN_NAMED => self.unknown_named.push((item.clone(), 1)),
            None => {}
        }
    }

    /// `3 windows of 2 items, `, or nothing where no windows came.
    #[must_use]
    pub fn windows_said(&self) -> String {
        match self.windows {
            0 => String::new(),
            windows => format!("{windows} windows of {} items, ", self.windowed_items),
        }
    }
}

impl Loader {
    /// Over a store, as of `now`.
    ///
    /// # Errors
    /// What the store says.
    pub async fn open(
        store: Arc<dyn Store>,
        embedder: Arc<dyn Embedder>,
        config: &Config,
        now: Millis,
    ) -> anyhow::Result<Loader> {
        let (catalogue, people) = read_catalogue(&*store).await?;
        let settings = Arc::new(config.learn.clone());
        let coordinator = load_coordinator(&*store, config.dim, settings, catalogue, now).await?;
        let (stored_people, flushed) = (people.len() as u32, coordinator.covers());
        let offline = Offline::over(coordinator, people);
        Ok(Loader {
            store,
            embedder,
            offline,
            drafts: Vec::new(),
            now,
            stored_people,
            positions_are_exact: true,
            flushed,
            newest: Vec::new(),
            brought: Brought::default(),
        })
    }

    /// The engine underneath.
    pub fn offline(&mut self) -> &mut Offline {
        &mut self.offline
    }

    /// A person, made known if they are not.
    pub fn person(&mut self, key: &Key, name: Option<&str>) -> UserId {
        self.offline.person(key, name, self.now)
    }

    /// A person with attributes, a JSON object as text; those of who is known already stay as they are.
    ///
    /// # Errors
    /// What the store says.
    pub async fn describe(&mut self, key: &Key, attributes: Option<&str>) -> anyhow::Result<UserId> {
        let id = self.offline.described(key, None, attributes, self.now);
        self.flush_if_full().await?;
        Ok(id)
    }

    /// An author by key, made known if they are not.
    pub fn author(&mut self, key: &Key) -> Author {
        Author { id: self.person(key, None), key: key.clone() }
    }

    /// An item; its text is turned into a vector where it brings none. Takes effect at the next [`Loader::settle`].
    ///
    /// # Errors
    /// What the embedder or the store says.
    pub async fn item(&mut self, draft: Draft) -> anyhow::Result<()> {
        let has_vector = draft.embedding.is_some();
        self.drafts.push((draft, has_vector));
        if self.drafts.len() >= DRAFTS { self.settle().await } else { Ok(()) }
    }

    /// Brings the items gathered so far into the world.
    ///
    /// # Errors
    /// What the embedder or the store says.
    pub async fn settle(&mut self) -> anyhow::Result<()> {
        if self.drafts.is_empty() {
            return Ok(());
        }
        let drafts = std::mem::take(&mut self.drafts);
        let texts: Vec<&str> =
            drafts.iter().filter(|(_, has)| !has).map(|(draft, _)| draft.text.as_deref().unwrap_or_default()).collect();
        let mut vectors = if texts.is_empty() { Vec::new() } else { self.embedder.embed(&texts)? }.into_iter();
        let drafts: Vec<Draft> = drafts
            .into_iter()
            .map(|(draft, has)| if has { draft } else { Draft { embedding: vectors.next(), ..draft } })
            .collect();
        for written in self.offline.items(drafts, ItemWrite::Replace, self.now) {
            written.context("an item was refused")?;
            self.brought.items += 1;
        }
        self.flush_if_full().await
    }

    /// Says when an item is available.
    ///
    /// # Errors
    /// What the store says.
    pub async fn windows(&mut self, item: ItemId, windows: Windows) -> anyhow::Result<()> {
        self.brought.windows += windows.as_slice().len() as u64;
        self.brought.windowed_items += 1;
        self.offline.windows(vec![(item, windows)], self.now);
        self.flush_if_full().await
    }

    /// A person does something.
    ///
    /// # Errors
    /// What the store says.
    pub async fn act(&mut self, user: UserId, event: UserEvent) -> anyhow::Result<()> {
        self.recall(user).await?;
        // Older events than those that the state remembers are asked for, so that bringing a file twice is harmless.
        let is_long = self.offline.state(user).is_some_and(|state| state.seq().0 > EVENTS_REMEMBERED as u64);
        if user.0 < self.stored_people && is_long && self.store.find_event(user, event.id().clone()).await?.is_some() {
            self.brought.known += 1;
            return Ok(());
        }
        self.learn(user, event).await
    }

    /// [`Loader::act`] for a row without an id of its own. It is known when it is stored under one of its ids with its
    /// contents, and is learned under the first of them that is free.
    ///
    /// # Errors
    /// What the store says.
    pub async fn act_row(&mut self, user: UserId, row: Interaction, RowIds(ids): RowIds) -> anyhow::Result<()> {
        self.recall(user).await?;
        let state = self.offline.state(user).filter(|_| user.0 < self.stored_people);
        // Ids that the state cannot answer for: those older than it remembers, and those whose contents count.
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
            Some(id) => self.learn(user, event(id)).await,
            None => bail!("both ids that a row can have are taken by other events: {} and {}", ids[0], ids[1]),
        }
    }

    /// The state of a person who was in the store before.
    async fn recall(&mut self, user: UserId) -> anyhow::Result<()> {
        self.settle().await?;
        if user.0 < self.stored_people && !self.offline.has_state(user) {
            let (state, _) = recover(&*self.store, user, self.offline.world()).await?;
            *self.newest(user) = state.newest_interaction().unwrap_or(Millis::MIN);
            self.offline.put_state(state);
        }
        Ok(())
    }

    async fn learn(&mut self, user: UserId, event: UserEvent) -> anyhow::Result<()> {
        let interacted = match &event {
            UserEvent::Interacted(interaction) | UserEvent::Answered(interaction) => Some(interaction.at),
            _ => None,
        };
        match self.offline.act(user, event, self.now) {
            Learning::Learned(_) => {
                self.brought.learned += 1;
                let newest = self.newest(user);
                let is_late = interacted.is_some_and(|at| at < *newest);
                *newest = interacted.map_or(*newest, |at| at.max(*newest));
                self.brought.late += u64::from(is_late);
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

    /// All is in: centres anew where topics grew, and everything durable.
    ///
    /// # Errors
    /// What the store says.
    pub async fn finish(mut self) -> anyhow::Result<Brought> {
        self.recentre().await?;
        let coordinator = self.offline.coordinator();
        if self.positions_are_exact && self.brought.learned > 0 {
            // So that the next start need not fold what was folded here.
            self.store.save_coordinator_snapshot(coordinator.covers(), coordinator.to_bytes()).await?;
        }
        Ok(self.brought)
    }

    /// Centres anew wherever a topic grew, before anybody acts.
    ///
    /// # Errors
    /// What the store says.
    pub async fn recentre(&mut self) -> anyhow::Result<()> {
        self.settle().await?;
        self.offline.recentre(self.now);
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
                "the store knows events that were taken for new: was the same directory written by another program?"
            );
        }
        self.flushed = expected;
        Ok(())
    }
}

/// The two ids that a row without one of its own may be stored under.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct RowIds([Key; 2]);

impl RowIds {
    /// Of who, what, when and how; `more` is what else the row says, if it says more. Earlier versions made the id of
    /// `parts` alone, so that rows that differ in `more` were taken for one event.
    ///
    /// # Errors
    /// As [`event_key`].
    pub fn of(parts: &[&str], more: Option<&str>) -> anyhow::Result<RowIds> {
        let (plain, whole) = (event_key(parts)?, event_key(&[parts, &[more.unwrap_or("-")]].concat())?);
        Ok(RowIds(if more.is_none() { [plain, whole] } else { [whole, plain] }))
    }

    /// The one that the row is learned under, unless that is taken.
    #[must_use]
    pub fn first(&self) -> &Key {
        &self.0[0]
    }

    /// Of a row that earlier versions named by its place, and what it says.
    ///
    /// # Errors
    /// As [`event_key`].
    pub fn of_place(place: Key, says: &str) -> anyhow::Result<RowIds> {
        Ok(RowIds([event_key(&[place.as_str(), says])?, place]))
    }
}

/// A key for an event that has none of its own: the same row gives the same key.
///
/// # Errors
/// Never in practice: the key is made of digits.
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
