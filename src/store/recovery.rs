//! From what is stored to what is known: the catalogue, the coordinator, one person.
//!
//! Invariant: the result equals the fold of the whole journal; snapshots only shorten the way, and one that cannot be
//! used is set aside, never fatal. Vectors of revisions that the world no longer has come from the store.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::domain::ids::{ItemId, Position, Seq, UserId};
use crate::domain::items::Embedding;
use crate::domain::journal::{CentreRef, Entry};
use crate::domain::people::Person;
use crate::domain::time::Millis;
use crate::engine::coordinator::{Catalogue, CatalogueError, CoordinatorEvent, CoordinatorState, Refold};
use crate::engine::learn::axes::Centre;
use crate::engine::settings::LearnSettings;
use crate::engine::user::{MissingVector, UserState};
use crate::engine::world::{Vectors, World};

use super::{CatalogueRow, Recovered, Store, StoreError};

/// Entries read at once while the coordinator folds the journal.
const SCAN_PAGE: u32 = 10_000;

/// Reads the whole catalogue and all people.
///
/// # Errors
/// What the store, or a row of it, says.
pub async fn read_catalogue(store: &dyn Store) -> Result<(Catalogue, Vec<Person>), StoreError> {
    let read: Arc<Mutex<(Catalogue, Vec<Person>)>> = Arc::default();
    let filling = read.clone();
    store
        .catalogue(Box::new(move |row| {
            let mut read = filling.lock().unwrap_or_else(PoisonError::into_inner);
            match row {
                CatalogueRow::Topic(id, key) => read.0.topics.push((id, key)),
                CatalogueRow::Centre(centre, vector) => read.0.centres.push((centre, vector)),
                CatalogueRow::Item(item) => read.0.items.push(item),
                CatalogueRow::Since(change, since) => read.0.changes.push((change, since)),
                CatalogueRow::Person(person) => read.1.push(person),
            }
        }))
        .await?;
    let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut *read))
}

/// The coordinator's state from its snapshot and the rest of the journal.
///
/// # Errors
/// What the store, or the catalogue, says.
pub async fn load_coordinator(
    store: &dyn Store,
    dim: usize,
    settings: Arc<LearnSettings>,
    catalogue: Catalogue,
    now: Millis,
) -> Result<CoordinatorState, LoadError> {
    let mut state = CoordinatorState::load(dim, settings, catalogue, now)?;
    if let Some((_, bytes)) = store.coordinator_snapshot().await?
        && let Err(error) = state.restore(&bytes, now)
    {
        tracing::warn!(%error, "the coordinator's snapshot was set aside: folding the whole journal");
    }
    let mut after: Position = state.covers();
    loop {
        let page = store.scan(after, SCAN_PAGE).await?;
        for (position, entry) in &page {
            state.fold(*position, entry);
            after = *position;
        }
        if page.len() < SCAN_PAGE as usize {
            break;
        }
    }
    state.apply(CoordinatorEvent::Tick, now);
    Ok(state)
}

/// Folds the journal after what is covered, to its end. Others are served between two pages.
///
/// # Errors
/// What the store says.
pub async fn catch_up(store: &dyn Store, refold: &mut Refold) -> Result<(), StoreError> {
    loop {
        let page = store.scan(refold.covers(), SCAN_PAGE).await?;
        for (position, entry) in &page {
            refold.fold(*position, entry);
        }
        if page.len() < SCAN_PAGE as usize {
            return Ok(());
        }
    }
}

/// What was known of a person at an instant: the fold of their entries up to it, by their own time. `world` gives the
/// vectors and settings.
///
/// # Errors
/// [`Failure`] as [`recover`].
pub async fn as_of(store: &dyn Store, user: UserId, at: Millis, world: &World) -> Result<UserState, Failure> {
    let entries = store.entries_until(user, at).await?;
    fold(store, UserState::new(user), &entries, world).await
}

/// What [`World::back_to`] needs beside the world: vectors of items that were revised since.
///
/// # Errors
/// What the store says.
pub async fn earlier(
    store: &dyn Store,
    world: &World,
    at: Millis,
) -> Result<Vec<(ItemId, u32, Embedding)>, StoreError> {
    let mut found = Vec::new();
    for (item, revision) in world.revised_after(at) {
        // A revision whose vector is gone stays as it is now.
        found.extend(store.embedding(item, revision).await?.map(|embedding| (item, revision, embedding)));
    }
    Ok(found)
}

/// Why a catalogue cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The store cannot say.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It says something that this program cannot use.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

/// Why a person cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// Try again.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal names something that nobody has.
    #[error(transparent)]
    Missing(#[from] MissingVector),
}

/// A person's state from the store, and the entry that its snapshot covers.
///
/// # Errors
/// [`Failure`] when the store cannot answer, or an entry names a vector that is nowhere.
pub async fn recover(store: &dyn Store, user: UserId, world: &World) -> Result<(UserState, Seq), Failure> {
    let Recovered { snapshot, tail } = store.recover(user).await?;
    if let Some(snapshot) = snapshot {
        match UserState::from_bytes(&snapshot.bytes, world.settings()) {
            Ok(state) if state.user() == user && state.seq() == snapshot.seq => {
                let covered = snapshot.seq;
                return Ok((fold(store, state, &tail, world).await?, covered));
            }
            Ok(_) => tracing::warn!(user = user.0, "a snapshot of something else was set aside"),
            Err(error) => tracing::warn!(user = user.0, %error, "a snapshot was set aside: folding the whole journal"),
        }
        let whole = store.entries_until(user, Millis::MAX).await?;
        return Ok((fold(store, UserState::new(user), &whole, world).await?, Seq(0)));
    }
    Ok((fold(store, UserState::new(user), &tail, world).await?, Seq(0)))
}

/// Folds entries onto a state, fetching embeddings of earlier revisions as they are named.
///
/// # Errors
/// [`Failure`] as [`recover`].
pub async fn fold(
    store: &dyn Store,
    mut state: UserState,
    entries: &[Entry],
    world: &World,
) -> Result<UserState, Failure> {
    let mut vectors = WithEarlier { world, earlier: BTreeMap::new() };
    for entry in entries {
        while let Err(missing) = state.fold(entry, &vectors, world.settings()) {
            let MissingVector::Embedding { item, revision } = missing else { return Err(Failure::Missing(missing)) };
            match store.embedding(item, revision).await? {
                Some(embedding) => vectors.earlier.insert((item, revision), embedding),
                None => return Err(Failure::Missing(missing)),
            };
        }
    }
    Ok(state)
}

/// The world, and embeddings that items had before.
struct WithEarlier<'a> {
    world: &'a World,
    earlier: BTreeMap<(ItemId, u32), Embedding>,
}

impl Vectors for WithEarlier<'_> {
    fn embedding(&self, item: ItemId, revision: u32) -> Option<&[f32]> {
        self.world
            .embedding(item, revision)
            .or_else(|| self.earlier.get(&(item, revision)).map(|embedding| &embedding[..]))
    }

    fn centre(&self, centre: CentreRef) -> Option<&Centre> {
        self.world.centre(centre)
    }
}
