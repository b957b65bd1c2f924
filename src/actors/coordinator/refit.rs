//! Clusters of people: fits run beside the actor, return as messages, and are kept in the store.
//!
//! Invariant: a fit never runs on an actor's thread. A fit that contains an erased person is never saved after their
//! erasure: a save under way is waited for, as with snapshots, and unsaved fits drop the person.

use std::sync::Arc;
use std::time::Duration;

use actix::prelude::*;
use tokio::sync::oneshot;

use super::actor::Coordinator;
use super::fits::stored;
use super::messages::{AskAtypical, AskMetrics, Refit, SeriesFigures};
use crate::actors::fitting;
use crate::actors::schedule::Schedule;
use crate::domain::time::Millis;
use crate::engine::coordinator::CoordinatorEvent;
use crate::engine::population::refit::{Clustering, RefitTask};

/// The interval at which the state is asked whether a fit is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The longest step towards a scheduled fit, since clocks may be set.
const STEP_MS_MAX: i64 = 60_000;

impl Coordinator {
    /// Starts to make fits when they are due.
    pub(super) fn schedule_refits(&mut self, ctx: &mut Context<Self>) {
        ctx.run_interval(LOOK_EVERY, |coordinator, ctx| {
            coordinator.apply(CoordinatorEvent::Refit { asked: false }, ctx);
            coordinator.save_fit();
        });
        // The schedule was validated when the configuration was read.
        if let Ok(Some(schedule)) = Schedule::read(&self.state.world().settings().cluster.schedule) {
            let next = schedule.after(self.context.clock.now());
            self.follow(schedule, next, ctx);
        }
    }

    fn follow(&mut self, schedule: Schedule, next: Option<Millis>, ctx: &mut Context<Self>) {
        let Some(due) = next else { return };
        let wait = due.since(self.context.clock.now()).clamp(0, STEP_MS_MAX);
        ctx.run_later(Duration::from_millis(wait as u64), move |coordinator, ctx| {
            let now = coordinator.context.clock.now();
            if now >= due {
                coordinator.apply(CoordinatorEvent::Refit { asked: true }, ctx);
            }
            // Computed again after each step, because the clock may have been set back.
            let next = schedule.after(now);
            coordinator.follow(schedule, next, ctx);
        });
    }

    /// Runs a fit beside all actors; its result returns as a message.
    pub(super) fn refit(&mut self, task: Arc<RefitTask>, ctx: &mut Context<Self>) {
        let epoch = task.epoch;
        let (done, wait) = oneshot::channel();
        // A dedicated thread: a lowered priority cannot be raised again, and pooled threads serve other work.
        let work = move || {
            fitting::lower_priority();
            let cores = std::thread::available_parallelism().map_or(2, usize::from);
            let threads = if task.threads == 0 { cores.div_ceil(2) } else { task.threads };
            let rows = task.rows();
            let problem = task.problem(&rows).map_err(|error| error.to_string())?;
            let fit = fitting::fit(&problem, threads, || {}).map_err(|error| error.to_string())?;
            Ok::<Clustering, String>(task.clustering(rows, fit))
        };
        let began = std::thread::Builder::new().name("groups".into()).spawn(move || {
            // The receiver may have stopped waiting.
            let _ = done.send(work());
        });
        let began = began.map_err(|error| error.to_string());
        let solved = async move {
            began?;
            wait.await.map_err(|_| "the thread ended without an answer".to_owned())?
        };
        ctx.spawn(solved.into_actor(self).map(move |solved, coordinator, ctx| {
            match &solved {
                Err(why) => tracing::error!(why, epoch, "clusters could not be fitted; the last ones stay"),
                Ok(fit) if fit.summary.maximum_binds => tracing::warn!(
                    epoch,
                    groups = fit.summary.clusters.len(),
                    "the people form more clusters than cluster.components allows: raise it"
                ),
                Ok(_) => {}
            }
            let fit = solved.ok().map(Box::new);
            coordinator.apply(CoordinatorEvent::RefitDone { epoch, fit }, ctx);
            coordinator.save_fit();
        }));
    }

    /// Saves the newest fit once no other save is under way.
    pub(super) fn save_fit(&mut self) {
        if self.unsaved.is_none() {
            return;
        }
        let Ok(saving) = self.saving.clone().try_lock_owned() else { return };
        let Some(fit) = self.unsaved.take() else { return };
        let store = self.context.store.clone();
        actix::spawn(async move {
            // Serialising a large fit takes long.
            let row = tokio::task::spawn_blocking(move || stored(&fit)).await.ok().flatten();
            match row {
                Some(row) => {
                    if let Err(error) = store.save_fit(row).await {
                        tracing::warn!(%error, "a fit of clusters was not saved: the next start uses the one before");
                    }
                }
                None => tracing::error!("a fit of clusters cannot be serialised: report this bug"),
            }
            drop(saving);
        });
    }

    /// Removes an erased person from the unsaved fit.
    pub(super) fn save_fit_as_it_is(&mut self) {
        if self.unsaved.is_some() {
            self.unsaved = self.state.world().clusters().cloned();
        }
    }
}

impl Handler<Refit> for Coordinator {
    type Result = ();
    fn handle(&mut self, refit: Refit, ctx: &mut Self::Context) {
        self.apply(CoordinatorEvent::Refit { asked: true }, ctx);
        let _ = refit.0.send(());
    }
}

impl Handler<AskMetrics> for Coordinator {
    type Result = ();
    fn handle(&mut self, ask: AskMetrics, _: &mut Self::Context) {
        let (population, settings) = (self.state.population(), self.state.world().settings());
        let person = ask.user.and_then(|user| population.person(user));
        let figures = settings.metrics.all().map(|named| SeriesFigures {
            metric: named.metric.to_owned(),
            kind: named.kind.map(str::to_owned),
            unit: named.declaration.unit().to_owned(),
            posterior: population.posterior(named.series, &named.declaration.prior),
            own: person.and_then(|person| person.get(named.series)),
        });
        let _ = ask.done.send(figures.collect());
    }
}

impl Handler<AskAtypical> for Coordinator {
    type Result = ();
    fn handle(&mut self, ask: AskAtypical, _: &mut Self::Context) {
        // The scan covers all people, so it runs on a blocking thread.
        let population = self.state.population().clone();
        drop(tokio::task::spawn_blocking(move || {
            let AskAtypical { series, prior, sigmas, done } = ask;
            let posterior = population.posterior(series, &prior);
            let _ = done.send((posterior, population.atypical(series, &prior, sigmas)));
        }));
    }
}
