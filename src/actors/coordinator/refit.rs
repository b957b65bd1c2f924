//! Clusters of people: fits run beside the actor, return as messages, and are kept in the store.
//!
//! Invariant: a fit never runs on an actor's thread. A fit that contains an erased person is never saved after their
//! erasure: a save under way is waited for, as with snapshots, and unsaved fits drop the person.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;
use tokio::sync::oneshot;

use super::actor::Coordinator;
use super::fits::stored;
use super::messages::{AskAtypical, AskClusterings, AskMetrics, AskRevisions, ClusteringFigures, Refit, SeriesFigures};
use super::progress::Progress;
use crate::actors::fitting;
use crate::engine::coordinator::CoordinatorEvent;
use crate::engine::population::clusterings::ClusteringStatus;
use crate::engine::population::refit::{Clustering, RefitTask, Summary};

/// The interval at which the state is asked whether a fit is due.
const LOOK_EVERY: Duration = Duration::from_secs(1);

impl Coordinator {
    /// Starts to make fits when they are due.
    pub(super) fn schedule_refits(&mut self, ctx: &mut Context<Self>) {
        self.look_at_schedules(ctx);
        ctx.run_interval(LOOK_EVERY, |coordinator, ctx| {
            coordinator.look_at_schedules(ctx);
            coordinator.apply(CoordinatorEvent::Refit { asked: None }, ctx);
            coordinator.save_fit();
        });
    }

    fn look_at_schedules(&mut self, ctx: &mut Context<Self>) {
        let now = self.context.clock.now();
        for clustering in self.schedules.due(self.state.world().settings(), now) {
            self.apply(CoordinatorEvent::RefitScheduled(clustering), ctx);
        }
    }

    /// Follows a change of a clustering: its schedule, a fit that is due, columns that the fold does not have, and a
    /// deletion.
    pub(super) fn clusterings_changed(&mut self, ctx: &mut Context<Self>) {
        let settings = self.state.world().settings();
        self.unsaved.retain(|clustering, _| settings.clustering(clustering).is_some());
        self.look_at_schedules(ctx);
        if self.state.lacks_columns() {
            self.read_for_columns(ctx);
        }
        self.apply(CoordinatorEvent::Refit { asked: None }, ctx);
    }

    /// Runs a fit beside all actors; its result returns as a message.
    pub(super) fn refit(&mut self, task: Arc<RefitTask>, ctx: &mut Context<Self>) {
        let (clustering, epoch) = (task.name.clone(), task.epoch);
        let progress = Arc::new(Progress::default());
        self.progress = progress.clone();
        let (done, wait) = oneshot::channel();
        // A dedicated thread: a lowered priority cannot be raised again, and pooled threads serve other work.
        let work = move || {
            fitting::lower_priority();
            let cores = std::thread::available_parallelism().map_or(2, usize::from);
            let threads = if task.threads == 0 { cores.div_ceil(2) } else { task.threads };
            let began = Instant::now();
            let rows = task.rows();
            let problem = task.problem(&rows).map_err(|error| error.to_string())?;
            progress.expect(problem.starts());
            let fit = fitting::fit(&problem, threads, || progress.step()).map_err(|error| error.to_string())?;
            let mut fit = task.clustering(rows, fit);
            fit.summary.seconds = began.elapsed().as_secs_f64();
            Ok::<Clustering, String>(fit)
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
                Err(why) => tracing::error!(why, clustering, epoch, "clusters could not be fitted; the last ones stay"),
                Ok(fit) => report(&clustering, &fit.summary),
            }
            let fit = solved.ok().map(Box::new);
            coordinator.apply(CoordinatorEvent::RefitDone { clustering, epoch, fit }, ctx);
            // The next clustering does not wait for the next look.
            coordinator.apply(CoordinatorEvent::Refit { asked: None }, ctx);
            coordinator.save_fit();
        }));
    }

    /// Saves the newest unsaved fit of each clustering, one after the other, once no other save is under way.
    pub(super) fn save_fit(&mut self) {
        if self.unsaved.is_empty() {
            return;
        }
        let Ok(saving) = self.saving.clone().try_lock_owned() else { return };
        let (store, fits) = (self.context.store.clone(), std::mem::take(&mut self.unsaved));
        actix::spawn(async move {
            for (clustering, fit) in fits {
                let name = clustering.clone();
                // Serialising a large fit takes long.
                let row = tokio::task::spawn_blocking(move || stored(&name, &fit)).await.ok().flatten();
                match row {
                    Some(row) => {
                        if let Err(error) = store.save_fit(row).await {
                            tracing::warn!(
                                %error,
                                clustering,
                                "a fit of clusters was not saved: the next start uses the one before"
                            );
                        }
                    }
                    None => tracing::error!(clustering, "a fit of clusters cannot be serialised: report this bug"),
                }
            }
            drop(saving);
        });
    }

    /// Removes an erased person from the unsaved fits.
    pub(super) fn save_fit_as_it_is(&mut self) {
        let published = self.state.world().clusterings();
        for (clustering, unsaved) in &mut self.unsaved {
            if let Some(fit) = published.get(clustering).and_then(|one| one.fit.as_ref()) {
                unsaved.clone_from(fit);
            }
        }
    }
}

/// Logs a finished fit.
fn report(clustering: &str, summary: &Summary) {
    let Summary { epoch, people, outliers, lower_bound, seconds, moved, .. } = summary;
    let groups = summary.clusters.len();
    tracing::info!(clustering, epoch, seconds, people, groups, outliers, lower_bound, moved, "clusters were fitted");
    if summary.maximum_binds {
        tracing::warn!(
            clustering,
            epoch,
            groups,
            "the people form more clusters than the setting components allows: raise it"
        );
    }
}

impl Handler<Refit> for Coordinator {
    type Result = ();
    fn handle(&mut self, refit: Refit, ctx: &mut Self::Context) {
        self.apply(CoordinatorEvent::Refit { asked: Some(refit.clustering) }, ctx);
        let _ = refit.done.send(());
    }
}

impl Handler<AskClusterings> for Coordinator {
    type Result = ();
    fn handle(&mut self, ask: AskClusterings, _: &mut Self::Context) {
        let starts = self.progress.starts();
        let figures =
            |status: ClusteringStatus| ClusteringFigures { next: self.schedules.next(&status.name), starts, status };
        let now = self.context.clock.now();
        let all = self.state.clusterings(ask.only.as_deref(), now);
        let _ = ask.done.send(all.into_iter().map(figures).collect());
    }
}

impl Handler<AskRevisions> for Coordinator {
    type Result = ();
    fn handle(&mut self, ask: AskRevisions, _: &mut Self::Context) {
        let _ = ask.done.send(self.state.revisions(&ask.clustering));
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
