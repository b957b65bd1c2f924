//! Somebody is erased: their items become tombstones, and what was counted over everybody is counted afresh.
//!
//! Invariant: a snapshot that counts somebody who was erased is never saved after their erasure: the transaction that
//! erases deletes all there are, a save under way is waited for, and none is begun until the journal was folded again
//! without them. A crash in between folds it at the next start. What is served meanwhile counts them still.

use std::sync::Arc;
use std::time::{Duration, Instant};

use actix::prelude::*;

use super::Coordinator;
use super::messages::Erase;
use crate::domain::ids::{Key, Position, UserId};
use crate::domain::journal::Entry;
use crate::engine::coordinator::{CoordinatorEvent, Refold};
use crate::store::recovery::{Failure, catch_up};

/// Entries that may come while the journal is read; beyond, reading goes on from where it was.
const SEEN_MAX: usize = 262_144;

/// Erasures whose person is still counted.
#[derive(Default)]
pub(super) struct Erasures {
    /// Begun, and counted afresh not yet.
    begun: usize,
    /// Durable, of these, since the reading began.
    durable: usize,
    reading: Option<Reading>,
    /// The next reading begins no sooner.
    rests_until: Option<Instant>,
    /// The next reading is due after a rest.
    waits: bool,
}

/// The journal is being read from its beginning.
#[derive(Default)]
struct Reading {
    /// So many erasures are out of the count when it is done.
    erasures: usize,
    began: Option<Instant>,
    /// What came since it began.
    seen: Vec<Arc<[(Position, Entry)]>>,
    entries: usize,
    /// More came than is kept.
    overflown: bool,
}

impl Erasures {
    pub(super) fn is_under_way(&self) -> bool {
        self.begun > 0
    }

    /// These are durable.
    pub(super) fn note(&mut self, entries: &Arc<[(Position, Entry)]>) {
        let Some(reading) = &mut self.reading else { return };
        reading.entries += entries.len();
        reading.overflown |= reading.entries > SEEN_MAX;
        if reading.overflown {
            reading.seen = Vec::new();
        } else {
            reading.seen.push(entries.clone());
        }
    }
}

impl Handler<Erase> for Coordinator {
    type Result = ();
    fn handle(&mut self, erase: Erase, ctx: &mut Self::Context) {
        self.erasure.begun += 1;
        let saving = self.saving.clone();
        let saved = async move { drop(saving.lock().await) };
        // Nothing else is handled meanwhile, so nothing comes between the world without them and the journal.
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
                    why,
                    "a person could not be erased; nobody finds them until the next start"
                ),
            }
            let _ = done.send(durable);
        }));
    }

    fn erased(&mut self, user: UserId, key: Key, ctx: &mut Context<Self>) {
        self.inside.people.free(user, key);
        self.erasure.durable += 1;
        if self.erasure.reading.is_none() && !self.erasure.waits {
            self.read_soon(0, ctx);
        }
    }

    /// Reads again once it has rested for as long as the last reading took: however many people are erased one after the
    /// other, at most half of the time goes into reading.
    fn read_soon(&mut self, erasures: usize, ctx: &mut Context<Self>) {
        let rest = self.erasure.rests_until.map(|until| until.saturating_duration_since(Instant::now()));
        let Some(rest) = rest.filter(|rest| !rest.is_zero()) else { return self.read_again(erasures, ctx) };
        self.erasure.waits = true;
        ctx.run_later(rest, move |coordinator, ctx| {
            coordinator.erasure.waits = false;
            coordinator.read_again(erasures, ctx);
        });
    }

    /// Folds the whole journal; `erasures` of an earlier reading that was in vain are out of the count then, too.
    fn read_again(&mut self, erasures: usize, ctx: &mut Context<Self>) {
        let erasures = erasures + std::mem::take(&mut self.erasure.durable);
        self.erasure.reading = Some(Reading { erasures, began: Some(Instant::now()), ..Reading::default() });
        self.read(self.state.refold(), ctx);
    }

    fn read(&mut self, mut refold: Refold, ctx: &mut Context<Self>) {
        let store = self.inside.store.clone();
        let work = async move {
            loop {
                let done;
                (refold, done) = catch_up(&*store, refold).await?;
                let Err(error) = done else { return Ok::<_, Failure>(refold) };
                tracing::warn!(%error, "the journal could not be read to count again: trying again");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        };
        ctx.spawn(work.into_actor(self).map(|refold, coordinator, ctx| match refold {
            Ok(refold) => coordinator.have_read(refold, ctx),
            Err(error) => tracing::error!(%error, "nothing is counted again before the next start"),
        }));
    }

    fn have_read(&mut self, refold: Refold, ctx: &mut Context<Self>) {
        let Some(reading) = self.erasure.reading.take() else { return };
        self.erasure.rests_until = reading.began.map(|began| Instant::now() + began.elapsed());
        if self.erasure.durable > 0 {
            return self.read_soon(reading.erasures, ctx);
        }
        if reading.overflown {
            self.erasure.reading =
                Some(Reading { erasures: reading.erasures, began: reading.began, ..Reading::default() });
            return self.read(refold, ctx);
        }
        let seen = reading.seen.iter().flat_map(|entries| entries.iter());
        // Taken over first: the state knows whose entries count no more.
        self.state.take_over(refold);
        for (position, entry) in seen {
            self.state.fold(*position, entry);
        }
        self.erasure.begun -= reading.erasures;
        self.saved = None;
        tracing::info!(erasures = reading.erasures, "counted afresh without those who were erased");
    }
}
