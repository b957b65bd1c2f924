//! Builds a running server over a store.
//!
//! Invariant: the catalogue is loaded, and the coordinator has folded the whole journal, before any request is served.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};

use actix::prelude::*;
use arc_swap::ArcSwap;
use tokio::sync::Semaphore;

use crate::embed::Embedder;
use crate::engine::settings::LearnSettings;
use crate::process::Vital;
use crate::store::Store;
use crate::store::recovery::{load_coordinator, read_catalogue};

use super::apart::{self, Apart};
use super::clock::Clock;
use super::context::{Limits, Looks, ServerContext};
use super::coordinator::actor::Coordinator;
use super::coordinator::fits;
use super::directory::{Directory, sweep};
use super::journal::{Journal, JournalHandle, Tell};
use super::model_swap::{self, ModelSwap};
use super::models::{self, ReadModel};
use super::people::People;
use super::server::Server;
use super::slates::{SlateSettings, slates};

/// The components and settings of a server.
pub struct Parts {
    /// The durable state of catalogue, journal and people.
    pub store: Arc<dyn Store>,
    /// Turns texts into embeddings.
    pub embedder: Arc<dyn Embedder>,
    /// Turns checkpoints into two-tower models.
    pub models: Arc<dyn ReadModel>,
    /// The source of the current time.
    pub clock: Arc<dyn Clock>,
    /// Settings of learning and ranking.
    pub settings: Arc<LearnSettings>,
    /// Capacities of queues and memory.
    pub limits: Limits,
    /// Settings of the log of acknowledged feeds.
    pub slates: SlateSettings,
    /// Threads for people's actors.
    pub threads: usize,
}

/// Starts all actors over a store. Must run inside an actix system.
///
/// # Errors
/// The error of the store or the catalogue; nothing keeps running then.
pub async fn start(parts: Parts) -> anyhow::Result<Server> {
    let (catalogue, people) = read_catalogue(&*parts.store).await?;
    let known = People::default();
    for person in people {
        known.load(person)?;
    }
    let dim = parts.embedder.dim();
    let mut state = load_coordinator(&*parts.store, dim, parts.settings, catalogue, parts.clock.now()).await?;
    fits::restore(&*parts.store, &mut state, parts.clock.now()).await?;
    models::restore(&*parts.store, &parts.models, &mut state).await?;

    let journal_arbiter = Arbiter::new();
    let journal = Journal::new(parts.store.clone());
    let counts = journal.counts();
    let journal = Journal::start_in_arbiter(&journal_arbiter.handle(), move |_| journal);
    let (slates, slate_queue) = slates(parts.slates);
    journal_arbiter.spawn(Vital::task("the log of slates", slate_queue.run(parts.store.clone(), parts.clock.clone())));
    let people_arbiters = (0..parts.threads.max(1)).map(|_| Arbiter::new().handle()).collect();
    let past_work = Arc::new(Semaphore::new(apart::PAST_AT_ONCE));
    let context = Arc::new(ServerContext {
        clock: parts.clock,
        store: parts.store,
        embedder: parts.embedder,
        world: ArcSwap::from_pointee(state.world().clone()),
        publications: AtomicU64::new(0),
        people: known,
        slates,
        limits: parts.limits,
        closing: AtomicBool::new(false),
        sessions: AtomicU64::new(0),
        ignored: AtomicU64::new(0),
        audience: tokio::sync::Mutex::new(()),
        embedding_now: AtomicUsize::new(0),
        activations: Arc::new(Semaphore::new(parts.threads.max(1))),
        past: Apart::new(1, apart::PAST_IN_ALL, past_work.clone()),
        exports: Apart::new(1, apart::EXPORTS_IN_ALL, past_work),
        scans: Apart::new(apart::SCANS_EACH, apart::SCANS_IN_ALL, Arc::new(Semaphore::new(apart::SCANS_AT_ONCE))),
        looks: Looks::default(),
    });
    let handle = JournalHandle::new(journal.clone(), parts.limits.journal_queue, counts);
    let directory = Directory::new(context.clone(), handle.clone(), people_arbiters);
    let coordinator = Coordinator::new(state, context.clone(), handle.clone(), directory.clone());
    let coordinator_arbiter = Arbiter::new();
    let coordinator = Coordinator::start_in_arbiter(&coordinator_arbiter.handle(), move |_| coordinator);
    let models = ModelSwap::new(context.clone(), parts.models, coordinator.clone());
    coordinator_arbiter.spawn(Vital::task("the sweep of idle people", sweep(directory.clone())));
    coordinator_arbiter.spawn(Vital::task("the watch for models", model_swap::watch(models.clone())));
    journal.send(Tell(coordinator.clone().recipient())).await?;
    Ok(Server { context, directory, journal: handle, coordinator, models })
}
