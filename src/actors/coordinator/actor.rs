//! The coordinator's actor: its fields, the effects of its state, and its handlers.
//!
//! Invariant: the world is replaced before any actor is notified of the change.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::{Mutex, OwnedMutexGuard, oneshot};

use super::messages::{AskFigures, AskScore, Change, Install, Learned, SaveNow};
use super::progress::Progress;
use super::refolds::Refolds;
use super::schedules::Schedules;
use crate::actors::context::ServerContext;
use crate::actors::directory::Directory;
use crate::actors::errors::WriteError;
use crate::actors::journal::JournalHandle;
use crate::actors::journal::messages::{Append, Journalled, Origin, Reservation};
use crate::actors::user::messages::WorldChanged;
use crate::domain::ids::Position;
use crate::domain::time::Millis;
use crate::engine::coordinator::{CoordinatorEvent, CoordinatorState, DraftError, Effect, Written};
use crate::engine::population::clusterings::ClusteringEdit;
use crate::engine::population::refit::Clustering;
use crate::process::Vital;
use crate::store::Write;

/// The interval at which changed popularity is published.
const POPULARITY_EVERY: Duration = Duration::from_secs(1);
/// The interval at which a changed state is saved.
const SAVE_EVERY: Duration = Duration::from_secs(60);

/// The owner of the catalogue and of all shared learners.
pub struct Coordinator {
    pub(super) state: CoordinatorState,
    pub(super) context: Arc<ServerContext>,
    journal: JournalHandle,
    directory: Arc<Directory>,
    alarm: Option<SpawnHandle>,
    /// The position of the last snapshot; `None` when it must be saved again.
    pub(super) saved: Option<Position>,
    /// Held while a snapshot is being saved.
    pub(super) saving: Arc<Mutex<()>>,
    pub(super) refolds: Refolds,
    /// Fits that are not stored yet, by clustering.
    pub(super) unsaved: BTreeMap<String, Arc<Clustering>>,
    pub(super) schedules: Schedules,
    pub(super) progress: Arc<Progress>,
    _vital: Vital,
}

impl Coordinator {
    /// Starts from a loaded state, whose world is already published.
    #[must_use]
    pub fn new(
        state: CoordinatorState,
        context: Arc<ServerContext>,
        journal: JournalHandle,
        directory: Arc<Directory>,
    ) -> Coordinator {
        let saved = Some(state.covers());
        let (saving, refolds) = (Arc::default(), Refolds::default());
        let _vital = Vital::new("the coordinator");
        let (unsaved, schedules, progress) = (BTreeMap::new(), Schedules::default(), Arc::default());
        Coordinator {
            state,
            context,
            journal,
            directory,
            alarm: None,
            saved,
            saving,
            refolds,
            unsaved,
            schedules,
            progress,
            _vital,
        }
    }

    pub(super) fn apply(
        &mut self,
        event: CoordinatorEvent,
        ctx: &mut Context<Self>,
    ) -> (Vec<Write>, Vec<Result<Written, DraftError>>) {
        let (mut writes, mut answers) = (Vec::new(), Vec::new());
        for effect in self.state.apply(event, self.context.clock.now()) {
            match effect {
                Effect::Erase(erasure) => writes.push(Write::Erase(erasure)),
                Effect::KeepTopic(id, key) => writes.push(Write::Topic(id, key)),
                Effect::KeepMetric(name, declaration) => writes.push(Write::Metric(name, declaration)),
                Effect::KeepClustering(change) => writes.push(Write::Clustering(change)),
                Effect::KeepItem(item) => writes.push(Write::Item(item)),
                Effect::KeepCentre(centre, vector) => writes.push(Write::Centre(centre, vector)),
                Effect::KeepSince(change, since) => writes.push(Write::Since(change, since)),
                Effect::Written(written) => answers = written,
                Effect::Publish(world, changes) => {
                    self.context.publish(world);
                    // Announced without item changes, too: shared learners move feeds.
                    self.directory.announce(&WorldChanged(changes));
                }
                Effect::WakeAt(when) => self.wake_at(when, ctx),
                Effect::RefitTask(task) => self.refit(task, ctx),
                Effect::KeepFit(clustering, fit) => {
                    self.unsaved.insert(clustering, fit);
                }
                Effect::RefitRefused(clustering, why) => {
                    tracing::warn!(clustering, %why, "a due fit of clusters is not possible; the last clusters stay");
                }
            }
        }
        (writes, answers)
    }

    fn wake_at(&mut self, when: Option<Millis>, ctx: &mut Context<Self>) {
        if let Some(alarm) = self.alarm.take() {
            ctx.cancel_future(alarm);
        }
        if let Some(when) = when {
            let wait = when.since(self.context.clock.now()).clamp(0, 86_400_000);
            self.alarm = Some(ctx.run_later(Duration::from_millis(wait as u64), Self::tick));
        }
    }

    fn tick(&mut self, ctx: &mut Context<Self>) {
        self.alarm = None;
        self.apply(CoordinatorEvent::Tick, ctx);
        // A timer may fire a little early, and a distant edge is approached in steps of a day.
        if self.alarm.is_none() {
            let world = self.state.world();
            self.wake_at(world.next_edge_after(world.as_of()), ctx);
        }
    }

    /// Saves a snapshot. Skipped when nothing changed, while another save is under way, or while the state includes an
    /// erased person.
    fn save(&mut self, done: Option<oneshot::Sender<()>>) {
        let covers = self.state.covers();
        let free = self.saving.clone().try_lock_owned();
        let (Ok(saving), false, false) = (free, self.saved == Some(covers), self.refolds.is_under_way()) else {
            if let Some(done) = done {
                let _ = done.send(());
            }
            return;
        };
        self.saved = Some(covers);
        let (store, bytes) = (self.context.store.clone(), self.state.to_bytes());
        // Runs beside the actor, because an erasure makes the actor wait for the save.
        actix::spawn(async move {
            if let Err(error) = store.save_coordinator_snapshot(covers, bytes).await {
                tracing::warn!(%error, "the coordinator's snapshot was not saved: the next start folds more of the journal");
            }
            drop(saving);
            if let Some(done) = done {
                let _ = done.send(());
            }
        });
    }
}

impl Actor for Coordinator {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Self::Context) {
        // All messages hold places in the journal's queue, which is bounded.
        ctx.set_mailbox_capacity(1 << 20);
        let world = self.state.world();
        self.wake_at(world.next_edge_after(world.as_of()), ctx);
        ctx.run_interval(POPULARITY_EVERY, |coordinator, ctx| {
            coordinator.apply(CoordinatorEvent::Tick, ctx);
        });
        self.schedule_refits(ctx);
        self.read_for_undone(ctx);
        ctx.run_interval(SAVE_EVERY, |coordinator, _| coordinator.save(None));
    }
}

impl Handler<Change> for Coordinator {
    type Result = ();
    fn handle(&mut self, change: Change, ctx: &mut Self::Context) {
        if matches!(change.event, CoordinatorEvent::Clustering(ClusteringEdit::Remove(_))) {
            let saving = self.saving.clone();
            // No fit is saved between the deletion of its clustering and the end of that write.
            let saved = async move { saving.lock_owned().await };
            ctx.wait(
                saved.into_actor(self).map(|saved, coordinator, ctx| coordinator.change(change, Some(saved), ctx)),
            );
        } else {
            self.change(change, None, ctx);
        }
    }
}

impl Coordinator {
    /// Carries out a change. `saved` is held until the change is durable.
    fn change(&mut self, change: Change, saved: Option<OwnedMutexGuard<()>>, ctx: &mut Context<Self>) {
        let Change { event, reservation, done } = change;
        let is_of_clustering = matches!(event, CoordinatorEvent::Clustering(_));
        let (writes, answers) = self.apply(event, ctx);
        if is_of_clustering {
            self.clusterings_changed(ctx);
        }
        let durable = self.keep(writes, reservation);
        let answer = async move {
            let durable = durable.await;
            drop(saved);
            let _ = done.send(durable.map(|()| answers));
        };
        ctx.spawn(answer.into_actor(self));
    }
}

impl Coordinator {
    /// Sends writes to the journal at once, so that no later write that names them precedes them; resolves when they
    /// are durable.
    pub(super) fn keep(
        &self,
        writes: Vec<Write>,
        reservation: Reservation,
    ) -> impl Future<Output = Result<(), WriteError>> + 'static + use<> {
        let (done, wait) = oneshot::channel();
        if writes.is_empty() {
            let _ = done.send(Ok(()));
        } else {
            self.journal.append(Append { writes, from: Origin::Request(done), reservation });
        }
        async move { wait.await.unwrap_or(Err(WriteError::ShuttingDown)) }
    }
}

impl Handler<Journalled> for Coordinator {
    type Result = ();
    fn handle(&mut self, journalled: Journalled, ctx: &mut Self::Context) {
        self.refolds.record(&journalled.entries);
        self.apply(CoordinatorEvent::Journalled(journalled.entries), ctx);
        drop(journalled.reservations);
        self.read_for_undone(ctx);
    }
}

impl Handler<Install> for Coordinator {
    type Result = ();
    fn handle(&mut self, install: Install, ctx: &mut Self::Context) {
        let Install { tower, of, done } = install;
        self.apply(CoordinatorEvent::Tower(tower, of), ctx);
        let _ = done.send(());
    }
}

impl Handler<AskScore> for Coordinator {
    type Result = ();
    fn handle(&mut self, ask: AskScore, _: &mut Self::Context) {
        let _ = ask.0.send(self.state.scores().clone());
    }
}

impl Handler<AskFigures> for Coordinator {
    type Result = ();
    fn handle(&mut self, ask: AskFigures, _: &mut Self::Context) {
        let state = &self.state;
        let _ = ask.0.send(Learned {
            covers: state.covers(),
            scores: state.scores().clone(),
            hedge: state.hedge(),
            drifts: state.drifts(),
        });
    }
}

impl Handler<SaveNow> for Coordinator {
    type Result = ();
    fn handle(&mut self, save: SaveNow, _: &mut Self::Context) {
        self.save(Some(save.0));
    }
}
