//! Recovery of learned state from a store: catalogue, coordinator, one person.
//!
//! Invariant: the result equals the fold of the whole journal. Snapshots only save time; an unusable one is skipped
//! with a warning. The world holds the newest revision of each item; vectors of earlier revisions are read from the
//! store.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Semaphore;

use crate::domain::ids::{ItemId, Position, Seq, UserId};
use crate::domain::items::Embedding;
use crate::domain::journal::{CentreRef, Entry, What};
use crate::domain::people::Person;
use crate::domain::time::Millis;
use crate::engine::catalogue::centres::Centre;
use crate::engine::catalogue::vectors::Vectors;
use crate::engine::coordinator::{Catalogue, CatalogueError, CoordinatorEvent, CoordinatorState, Refold};
use crate::engine::learners::person::weight_history::WeightHistory;
use crate::engine::settings::LearnSettings;
use crate::engine::user::{MissingVector, UserState};
use crate::engine::world::World;
use crate::store::api::Store;
use crate::store::catalogue::CatalogueRow;
use crate::store::error::StoreError;

/// Entries per page while the coordinator folds the journal.
const SCAN_PAGE: u32 = 10_000;
/// Entries per page of one person: some 0.5 MiB.
const PERSON_PAGE: u32 = 256;
/// Largest number of embeddings of earlier revisions that one fold caches.
const EARLIER_MAX: usize = 1_024;

/// Reads the whole catalogue and all people.
///
/// # Errors
/// [`StoreError`] of the read, or of a row that does not parse.
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
                CatalogueRow::Metric(name, declaration) => read.0.metrics.push((name, declaration)),
                CatalogueRow::Clustering(revision) => read.0.clusterings.push(revision),
                CatalogueRow::ClusterName(name) => read.0.cluster_names.push(name),
                CatalogueRow::Person(person) => read.1.push(person),
            }
        }))
        .await?;
    let mut read = read.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut *read))
}

/// Recovers the state of the coordinator from its snapshot and the rest of the journal.
///
/// # Errors
/// [`LoadError`] of the store or of the catalogue.
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
        tracing::warn!(%error, "the snapshot of the coordinator is unusable: folding the whole journal");
    }
    let mut after: Position = state.covers();
    let is_whole = after == Position(0);
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
    if is_whole {
        state.reflects_all_undone();
    }
    state.apply(CoordinatorEvent::Tick, now);
    Ok(state)
}

/// Folds the rest of the journal, page by page on blocking threads. Returns the fold with `Ok` at the end of the
/// journal, or with the error of the store that ended it earlier.
///
/// # Errors
/// [`Failure::Stopped`] when the fold panicked.
pub async fn catch_up(store: &dyn Store, mut refold: Refold) -> Result<(Refold, Result<(), StoreError>), Failure> {
    loop {
        let page = match store.scan(refold.covers(), SCAN_PAGE).await {
            Ok(page) => page,
            Err(error) => return Ok((refold, Err(error))),
        };
        let ended = page.len() < SCAN_PAGE as usize;
        let folding = tokio::task::spawn_blocking(move || {
            for (position, entry) in &page {
                refold.fold(*position, entry);
            }
            refold
        });
        refold = folding.await.map_err(|_| Failure::Stopped)?;
        if ended {
            return Ok((refold, Ok(())));
        }
    }
}

/// The state of a person at an instant: the fold of their entries up to it, by their own time. `world` gives vectors
/// and settings. Folds on the thread of the caller; a server uses [`as_of_apart`].
///
/// # Errors
/// [`Failure`] when the store cannot answer, or an entry names a vector that no longer exists.
pub async fn as_of(store: &dyn Store, user: UserId, at: Millis, world: &World) -> Result<UserState, Failure> {
    let mut fold = Fold::new(UserState::new(user), at);
    fold.here(store, world).await?;
    Ok(fold.state)
}

/// The state of a person at an instant, as [`as_of`] gives it, folded on blocking threads.
///
/// # Errors
/// [`Failure`] when the store cannot answer, or an entry names a vector that no longer exists.
pub async fn as_of_apart(
    store: &dyn Store,
    user: UserId,
    at: Millis,
    world: Arc<World>,
    work: &Arc<Semaphore>,
) -> Result<UserState, Failure> {
    let fold = Fold::new(UserState::new(user), at);
    Ok(fold.apart(store, world, work).await?.state)
}

/// Topic weights of a person over time, up to `at`: the newest `kept` changes of each topic. Folds on the thread of the
/// caller, for tools; a server uses [`weight_history_apart`].
///
/// # Errors
/// [`Failure`] when the store cannot answer, or an entry names a vector that no longer exists.
pub async fn weight_history(
    store: &dyn Store,
    user: UserId,
    at: Millis,
    world: &World,
    history: WeightHistory,
) -> Result<WeightHistory, Failure> {
    let mut fold = Fold { history: Some(history), ..Fold::new(UserState::new(user), at) };
    fold.here(store, world).await?;
    // The fold never takes the history out.
    Ok(fold.history.unwrap_or_else(|| WeightHistory::new(1)))
}

/// Topic weights of a person over time, as [`weight_history`] collects them, but folds on blocking threads.
///
/// # Errors
/// [`Failure`] when the store cannot answer, or an entry names a vector that no longer exists.
pub async fn weight_history_apart(
    store: &dyn Store,
    user: UserId,
    at: Millis,
    world: Arc<World>,
    work: &Arc<Semaphore>,
    history: WeightHistory,
) -> Result<WeightHistory, Failure> {
    let fold = Fold { history: Some(history), ..Fold::new(UserState::new(user), at) };
    let fold = fold.apart(store, world, work).await?;
    // The fold never takes the history out.
    Ok(fold.history.unwrap_or_else(|| WeightHistory::new(1)))
}

/// Item, revision and vector of items that were revised since an instant, for [`World::back_to`].
///
/// # Errors
/// [`StoreError`] of the read.
pub async fn earlier(
    store: &dyn Store,
    world: &World,
    at: Millis,
) -> Result<Vec<(ItemId, u32, Embedding)>, StoreError> {
    let mut found = Vec::new();
    for (item, revision) in world.revised_after(at) {
        // An item whose earlier vector no longer exists keeps its current one.
        found.extend(store.embedding(item, revision).await?.map(|embedding| (item, revision, embedding)));
    }
    Ok(found)
}

/// The reason why a catalogue cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The store cannot read its rows.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The rows are inconsistent, or another dimension than the configured one.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
}

/// The reason why a person cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The store cannot read the entries; the variant says whether a retry helps.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An entry names a vector that neither the world nor the store has.
    #[error(transparent)]
    Missing(#[from] MissingVector),
    /// The folding thread panicked, or the process ends.
    #[error("a fold was given up; the log says more")]
    Stopped,
}

/// Recovers the state of a person, and the sequence number that its snapshot covers. Folds on the thread of the caller;
/// a server uses [`recover_apart`].
///
/// # Errors
/// [`Failure`] when the store cannot answer, or an entry names a vector that no longer exists.
pub async fn recover(store: &dyn Store, user: UserId, world: &World) -> Result<(UserState, Seq), Failure> {
    let (mut fold, covered) = Fold::from_snapshot(store, user, world.settings()).await?;
    fold.here(store, world).await?;
    if !fold.is_stale {
        return Ok((fold.state, covered));
    }
    let mut fold = Fold::new(UserState::new(user), Millis::MAX);
    fold.here(store, world).await?;
    Ok((fold.state, Seq(0)))
}

/// Recovers the state of a person, as [`recover`] does, but folds on blocking threads.
///
/// # Errors
/// [`Failure`] when the store cannot answer, or an entry names a vector that no longer exists.
pub async fn recover_apart(
    store: &dyn Store,
    user: UserId,
    world: Arc<World>,
    work: &Arc<Semaphore>,
) -> Result<(UserState, Seq), Failure> {
    let (fold, covered) = Fold::from_snapshot(store, user, world.settings()).await?;
    let fold = fold.apart(store, world.clone(), work).await?;
    if !fold.is_stale {
        return Ok((fold.state, covered));
    }
    let fold = Fold::new(UserState::new(user), Millis::MAX);
    Ok((fold.apart(store, world, work).await?.state, Seq(0)))
}

/// Folds given entries onto a state, on the thread of the caller: for tools.
///
/// # Errors
/// [`Failure`] when the store cannot answer, or an entry names a vector that no longer exists.
pub async fn fold(store: &dyn Store, state: UserState, entries: &[Entry], world: &World) -> Result<UserState, Failure> {
    let mut fold = Fold::new(state, Millis::MAX);
    fold.all(store, entries, world).await?;
    Ok(fold.state)
}

/// A fold of the entries of one person, page by page, so that memory holds one page whatever their number.
struct Fold {
    state: UserState,
    until: Millis,
    /// Sequence number of the last entry that was read, folded or not.
    read: Seq,
    ended: bool,
    /// Embeddings of revisions that the world no longer has; at most [`EARLIER_MAX`].
    earlier: BTreeMap<(ItemId, u32), Embedding>,
    /// Cancelled entries whose cancellation was not read yet.
    cancelled: BTreeSet<Seq>,
    /// An entry was cancelled after it was folded, by this fold or into the snapshot: fold again.
    is_stale: bool,
    /// Topic weights after each entry, where the caller asks for them.
    history: Option<WeightHistory>,
}

impl Fold {
    fn new(state: UserState, until: Millis) -> Fold {
        let (read, earlier, cancelled) = (state.seq(), BTreeMap::new(), BTreeSet::new());
        Fold { read, state, until, ended: false, earlier, cancelled, is_stale: false, history: None }
    }

    /// Starts from the newest usable snapshot; returns the sequence number that it covers, 0 without one.
    async fn from_snapshot(
        store: &dyn Store,
        user: UserId,
        settings: &LearnSettings,
    ) -> Result<(Fold, Seq), StoreError> {
        if let Some(snapshot) = store.snapshot(user).await? {
            match UserState::from_bytes(&snapshot.bytes, settings) {
                Ok(state) if state.user() == user && state.seq() == snapshot.seq => {
                    return Ok((Fold::new(state, Millis::MAX), snapshot.seq));
                }
                Ok(_) => tracing::warn!(
                    user = user.0,
                    "a snapshot belongs to another person or number: folding the whole journal"
                ),
                Err(error) => {
                    tracing::warn!(user = user.0, %error, "a snapshot is unusable: folding the whole journal");
                }
            }
        }
        Ok((Fold::new(UserState::new(user), Millis::MAX), Seq(0)))
    }

    /// Reads the next page; empty at the end.
    async fn page(&mut self, store: &dyn Store) -> Result<Vec<Entry>, StoreError> {
        if self.ended {
            return Ok(Vec::new());
        }
        let page = store.entries(self.state.user(), self.read, self.until, PERSON_PAGE).await?;
        self.ended = page.len() < PERSON_PAGE as usize;
        let whole = self.until == Millis::MAX;
        if let Some(entry) = page.iter().zip(self.read.0 + 1..).find(|(entry, seq)| whole && entry.seq.0 != *seq) {
            // The person was erased between two pages.
            return Err(StoreError::Unavailable(format!("entry {} is gone while they are read", entry.1)));
        }
        self.read = page.last().map_or(self.read, |entry| entry.seq);
        Ok(page)
    }

    /// Folds entries; the error has the number of folded entries and the missing vector.
    fn run(&mut self, entries: &[Entry], world: &World) -> Result<(), (usize, MissingVector)> {
        let vectors = WithEarlier { world, earlier: &self.earlier };
        for (index, entry) in entries.iter().enumerate() {
            self.state.fold(entry, &vectors, world.settings()).map_err(|missing| (index, missing))?;
            match &entry.what {
                What::Cancelled(_) => {
                    self.cancelled.insert(entry.seq);
                }
                What::Undone(undone) => {
                    for seq in &undone.cancels {
                        self.is_stale |= !self.cancelled.remove(seq);
                    }
                }
                _ => {}
            }
            if let Some(history) = &mut self.history {
                history.observe(self.state.topics(), entry.at, world.settings().topic_decay());
            }
        }
        Ok(())
    }

    /// Reads a vector of an earlier revision from the store.
    async fn fetch(&mut self, store: &dyn Store, missing: MissingVector) -> Result<(), Failure> {
        let MissingVector::Embedding { item, revision } = missing else { return Err(Failure::Missing(missing)) };
        let embedding = store.embedding(item, revision).await?.ok_or(Failure::Missing(missing))?;
        if self.earlier.len() >= EARLIER_MAX {
            self.earlier.clear();
        }
        self.earlier.insert((item, revision), embedding);
        Ok(())
    }

    /// Folds to the end on the thread of the caller.
    async fn here(&mut self, store: &dyn Store, world: &World) -> Result<(), Failure> {
        loop {
            let page = self.page(store).await?;
            if page.is_empty() {
                return Ok(());
            }
            self.all(store, &page, world).await?;
        }
    }

    /// Folds given entries on the thread of the caller.
    async fn all(&mut self, store: &dyn Store, entries: &[Entry], world: &World) -> Result<(), Failure> {
        let mut begin = 0;
        while let Err((folded, missing)) = self.run(&entries[begin..], world) {
            begin += folded;
            self.fetch(store, missing).await?;
        }
        Ok(())
    }

    /// Folds to the end on blocking threads, at most as many at a time as `work` has permits. A dropped fold keeps its
    /// permit until its page is done.
    async fn apart(mut self, store: &dyn Store, world: Arc<World>, work: &Arc<Semaphore>) -> Result<Fold, Failure> {
        loop {
            let mut page = self.page(store).await?;
            if page.is_empty() {
                return Ok(self);
            }
            let mut begin = 0;
            loop {
                // The semaphore is never closed.
                let permit = work.clone().acquire_owned().await.ok();
                let (mut fold, entries, world) = (self, page, world.clone());
                let folded = tokio::task::spawn_blocking(move || {
                    let done = fold.run(&entries[begin..], &world);
                    drop(permit);
                    (fold, entries, done)
                });
                let done;
                (self, page, done) = folded.await.map_err(|_| Failure::Stopped)?;
                let Err((folded, missing)) = done else { break };
                begin += folded;
                self.fetch(store, missing).await?;
            }
        }
    }
}

/// The vectors of the world plus embeddings of earlier revisions.
struct WithEarlier<'a> {
    world: &'a World,
    earlier: &'a BTreeMap<(ItemId, u32), Embedding>,
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
