//! What all actors of one server share: where to find each other, the world, the clock.
//!
//! Invariant: filled once at start and never changed; the world is swapped as a whole. No lock is held by anybody who
//! sends or awaits.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use actix::Addr;
use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::embed::Embedder;
use crate::engine::world::World;
use crate::store::Store;

use super::apart::Apart;
use super::clock::Clock;
use super::coordinator::Coordinator;
use super::directory::Directory;
use super::journal::JournalHandle;
use super::models::Models;
use super::people::People;
use super::slates::Slates;

/// How much of everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Messages waiting for one person's actor; beyond: busy.
    pub user_mailbox: usize,
    /// Entries waiting to be stored, over all people; beyond: busy, before anything is learned.
    pub journal_queue: usize,
    /// People in memory at once; beyond, the least recently used without a session are passivated.
    pub active_people: usize,
    /// Memory of the process, in MiB, above which a tenth of the people is passivated, again and again; 0: no limit.
    pub memory_mib: u64,
    /// A person's actor without sessions and messages is passivated after this time.
    pub idle_ms: u64,
    /// Entries between two snapshots of a person.
    pub snapshot_every: u64,
    /// Texts that may wait to be turned into vectors; beyond: busy.
    pub embed_queue: usize,
    /// Share of each thread of people's actors, in percent, that refreshes of open feeds may take; 0: no feed is refreshed.
    pub refresh_percent: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            user_mailbox: 1_024,
            journal_queue: 65_536,
            active_people: 100_000,
            memory_mib: 0,
            idle_ms: 60_000,
            snapshot_every: 256,
            embed_queue: 4_096,
            refresh_percent: 25,
        }
    }
}

/// Shared by all actors of a server.
pub struct Inside {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) store: Arc<dyn Store>,
    pub(super) embedder: Arc<dyn Embedder>,
    pub(super) models: Models,
    pub(super) world: ArcSwap<World>,
    /// How many worlds were published since the start.
    pub(super) publications: AtomicU64,
    pub(super) people: People,
    pub(super) directory: Directory,
    pub(super) journal: JournalHandle,
    pub(super) slates: Slates,
    /// Set once, right after both were started.
    pub(super) coordinator: OnceLock<Addr<Coordinator>>,
    pub(super) limits: Limits,
    /// No new work: the server is going down.
    pub(super) closing: AtomicBool,
    pub(super) sessions: AtomicU64,
    /// Measurements of what nobody declared, since the start.
    pub(super) ignored: AtomicU64,
    /// Held while it is found out who would want an item.
    pub(super) audience: tokio::sync::Mutex<()>,
    pub(super) embedding_now: std::sync::atomic::AtomicUsize,
    /// Folds of people who come into memory; as many at once as there are threads for people's actors.
    pub(super) activations: Arc<Semaphore>,
    /// Questions about the past of a person.
    pub(super) past: Arc<Apart>,
    /// Exports of a person.
    pub(super) exports: Arc<Apart>,
    /// Scans of the catalogue or of all people.
    pub(super) scans: Arc<Apart>,
    pub(super) looks: Looks,
}

/// What it has cost so far to keep events from being learned twice.
#[derive(Debug, Default)]
pub struct Looks {
    /// Queries for the ids of events.
    pub queries: AtomicU64,
    /// States that were folded again, since an entry could not be stored as it was learned.
    pub rebuilds: AtomicU64,
}

impl Inside {
    /// The number of the newest publication. Whoever asks before loading the world has at least that one.
    pub(super) fn published(&self) -> u64 {
        self.publications.load(Ordering::Acquire)
    }

    /// From now on this world. Tell those who watch after.
    pub(super) fn publish(&self, world: Arc<World>) {
        self.world.store(world);
        self.publications.fetch_add(1, Ordering::Release);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }
}
