//! Erasure of a person: their items become tombstones, and all shared learners are folded again without them. A clustering
//! with columns that the fold does not have makes the journal be folded again, too; so does an undone interaction.
//!
//! Invariant: a snapshot that includes an erased person is never saved after their erasure. The erasing transaction
//! deletes all snapshots. A save under way ends before it, and no save begins until the journal was folded again without
//! the person. After a crash in between, the next start folds the journal. Meanwhile the served figures still include the
//! person.

use std::time::{Duration, Instant};

use actix::prelude::*;

use super::actor::Coordinator;
use super::messages::Erase;
use super::refolds::Reading;
use crate::domain::ids::{Key, UserId};
use crate::engine::coordinator::{CoordinatorEvent, Refold};
use crate::store::recovery::{Failure, catch_up};

impl Handler<Erase> for Coordinator {
    type Result = ();
    fn handle(&mut self, erase: Erase, ctx: &mut Self::Context) {
        self.refolds.begun += 1;
        let saving = self.saving.clone();
        let saved = async move { drop(saving.lock().await) };
        // No other message is handled meanwhile, so nothing comes between the world without the person and the journal.
        ctx.wait(saved.into_actor(self).map(|(), coordinator, ctx| coordinator.erase(erase, ctx)));
    }
}

impl Coordinator {
    fn erase(&mut self, erase: Erase, ctx: &mut Context<Self>) {
        let Erase { user, reservation, done } = erase;
        let key = Key::of_hash("erased", rand::random());
        let event = CoordinatorEvent::Erase { user, key: key.clone(), salt: rand::random() };
        let (writes, _) = self.apply(event, ctx);
        self.save_fit_as_it_is();
        let durable = self.keep(writes, reservation);
        ctx.spawn(durable.into_actor(self).map(move |durable, coordinator, ctx| {
            match &durable {
                Ok(()) => coordinator.erased(user, key, ctx),
                Err(why) => tracing::error!(
                    user = user.0,
                    %why,
                    "a person could not be erased; they stay hidden until the next start"
                ),
            }
            let _ = done.send(durable);
        }));
    }

    fn erased(&mut self, user: UserId, key: Key, ctx: &mut Context<Self>) {
        self.context.people.free(user, key);
        self.refolds.durable += 1;
        if self.refolds.reading.is_none() && !self.refolds.waits {
            self.read_soon(0, ctx);
        }
    }

    /// Folds the journal again, since a clustering reads values that the fold does not have.
    pub(super) fn read_for_columns(&mut self, ctx: &mut Context<Self>) {
        // A reading under way began with other settings; its end looks again.
        if self.refolds.reading.is_none() && !self.refolds.waits {
            self.read_soon(0, ctx);
        }
    }

    /// Plans to fold the journal again where the fold includes cancelled entries. Many cancellations share one reading.
    /// Readings for them take at most a twentieth of the time.
    pub(super) fn read_for_undone(&mut self, ctx: &mut Context<Self>) {
        if self.state.undone_since().is_none() || self.refolds.undone_waits {
            return;
        }
        self.refolds.undone_waits = true;
        let rest = self.refolds.undone_rests_until.map(|until| until.saturating_duration_since(Instant::now()));
        let rest = rest.unwrap_or_default().max(Duration::from_millis(self.context.limits.undo_after_ms));
        ctx.run_later(rest, |coordinator, ctx| {
            coordinator.refolds.undone_waits = false;
            let is_planned = coordinator.refolds.reading.is_some() || coordinator.refolds.waits;
            // The end of a reading under way looks again.
            if coordinator.state.undone_since().is_some() && !is_planned {
                coordinator.read_soon(0, ctx);
            }
        });
    }

    /// Reads again after a rest as long as the last reading took. However many people are erased in a row, readings
    /// take at most half of the time.
    fn read_soon(&mut self, erasures: usize, ctx: &mut Context<Self>) {
        let rest = self.refolds.rests_until.map(|until| until.saturating_duration_since(Instant::now()));
        let Some(rest) = rest.filter(|rest| !rest.is_zero()) else { return self.read_again(erasures, ctx) };
        self.refolds.waits = true;
        ctx.run_later(rest, move |coordinator, ctx| {
            coordinator.refolds.waits = false;
            coordinator.read_again(erasures, ctx);
        });
    }

    /// Folds the whole journal. `erasures` of an earlier failed reading are folded out with it.
    fn read_again(&mut self, erasures: usize, ctx: &mut Context<Self>) {
        let erasures = erasures + std::mem::take(&mut self.refolds.durable);
        self.refolds.reading = Some(Reading { erasures, began: Some(Instant::now()), ..Reading::default() });
        self.read(self.state.refold(), ctx);
    }

    fn read(&mut self, mut refold: Refold, ctx: &mut Context<Self>) {
        let store = self.context.store.clone();
        let work = async move {
            loop {
                let done;
                (refold, done) = catch_up(&*store, refold).await?;
                let Err(error) = done else { return Ok::<_, Failure>(refold) };
                tracing::warn!(%error, "the journal could not be folded again: trying again");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        ctx.spawn(work.into_actor(self).map(|refold, coordinator, ctx| match refold {
            Ok(refold) => coordinator.have_read(refold, ctx),
            Err(error) => tracing::error!(%error, "the journal cannot be folded again: restart the server to fold it"),
        }));
    }

    fn have_read(&mut self, refold: Refold, ctx: &mut Context<Self>) {
        let Some(reading) = self.refolds.reading.take() else { return };
        self.refolds.rests_until = reading.began.map(|began| Instant::now() + began.elapsed());
        self.refolds.undone_rests_until = reading.began.map(|began| Instant::now() + 19 * began.elapsed());
        if self.refolds.durable > 0 {
            return self.read_soon(reading.erasures, ctx);
        }
        if reading.overflown {
            self.refolds.reading =
                Some(Reading { erasures: reading.erasures, began: reading.began, ..Reading::default() });
            return self.read(refold, ctx);
        }
        let seen = reading.seen.iter().flat_map(|entries| entries.iter());
        let is_undone = self.state.undone_since().is_some();
        // Replaced first: the new state knows whose entries no longer count.
        self.state.take_over(refold);
        for (position, entry) in seen {
            self.state.fold(*position, entry);
        }
        self.refolds.begun -= reading.erasures;
        self.saved = None;
        if reading.erasures > 0 {
            tracing::info!(erasures = reading.erasures, "the journal was folded again without the erased people");
        } else if is_undone {
            tracing::info!("the journal was folded again without undone interactions");
        } else {
            tracing::info!("the journal was folded again for the columns of clusterings");
        }
        if self.state.lacks_columns() {
            self.read_for_columns(ctx);
        }
        self.read_for_undone(ctx);
    }
}
