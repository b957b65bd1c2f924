//! The context that all actors of one server share: the world, the store, the clock, the people, the limits.
//!
//! Invariant: it holds no address of an actor. It is filled once at start and never changes; the world is swapped as a
//! whole. No lock is held across a send or an await.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::embed::Embedder;
use crate::engine::world::World;
use crate::store::Store;

use super::apart::Apart;
use super::clock::Clock;
use super::people::People;
use super::slates::Slates;

/// Capacities of queues, memory and threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Messages that wait for one person's actor; beyond that `busy`.
    pub user_mailbox: usize,
    /// Entries of all people that wait to be stored; beyond that `busy`, before anything is learned.
    pub journal_queue: usize,
    /// People in memory at once; beyond that the least recently used ones without a session are passivated.
    pub active_people: usize,
    /// Memory of the process in MiB, above which a tenth of the people is passivated repeatedly; 0 disables the limit.
    pub memory_mib: u64,
    /// Milliseconds without sessions and messages after which a person's actor is passivated.
    pub idle_ms: u64,
    /// Journal entries between two snapshots of a person.
    pub snapshot_every: u64,
    /// Texts that may wait for their embedding; beyond that `busy`.
    pub embed_queue: usize,
    /// Milliseconds after an undo at which the shared learners are folded again without it, at the earliest.
    pub undo_after_ms: u64,
    /// The percentage of each actor thread that refreshes of open feeds may take; 0 disables refreshes.
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
            undo_after_ms: 60_000,
            refresh_percent: 25,
        }
    }
}

/// The shared context of one server.
pub struct ServerContext {
    pub(super) clock: Arc<dyn Clock>,
    pub(super) store: Arc<dyn Store>,
    pub(super) embedder: Arc<dyn Embedder>,
    pub(super) world: ArcSwap<World>,
    /// Worlds that were published since the start.
    pub(super) publications: AtomicU64,
    pub(super) people: People,
    pub(super) slates: Slates,
    pub(super) limits: Limits,
    /// The server is shutting down and takes no new work.
    pub(super) closing: AtomicBool,
    pub(super) sessions: AtomicU64,
    /// Measurements of undeclared metrics since the start.
    pub(super) ignored: AtomicU64,
    /// Held while the audience of an item is computed.
    pub(super) audience: tokio::sync::Mutex<()>,
    pub(super) embedding_now: std::sync::atomic::AtomicUsize,
    /// Permits to fold a person into memory; one per thread of people's actors.
    pub(super) activations: Arc<Semaphore>,
    /// Bounds for questions about a person's past.
    pub(super) past: Arc<Apart>,
    /// Bounds for exports of a person.
    pub(super) exports: Arc<Apart>,
    /// Bounds for scans of the catalogue or of all people.
    pub(super) scans: Arc<Apart>,
    pub(super) looks: Looks,
}

/// The cost of learning each event at most once, since the start.
#[derive(Debug, Default)]
pub struct Looks {
    /// Queries to the store for the ids of events.
    pub queries: AtomicU64,
    /// States that were folded again because an entry could not be stored as it was learned.
    pub rebuilds: AtomicU64,
}

impl ServerContext {
    /// Number of worlds published since the start.
    pub(super) fn published(&self) -> u64 {
        self.publications.load(Ordering::Acquire)
    }

    /// Replaces the world. The caller notifies the actors afterwards.
    pub(super) fn publish(&self, world: Arc<World>) {
        self.world.store(world);
        self.publications.fetch_add(1, Ordering::Release);
    }

    pub(super) fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Relaxed)
    }
}
