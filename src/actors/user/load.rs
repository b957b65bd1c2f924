//! Activation: turns the stored snapshot and journal of a person into their state.
//!
//! Invariant: while the state is being loaded, messages wait in the mailbox, in order.

use std::sync::Arc;

use actix::prelude::*;

use super::actor::UserActor;
use crate::store::recovery::{Failure, recover_apart};

impl UserActor {
    /// Reads the person's attributes from the registry.
    pub(super) fn describe(&mut self) {
        let person = self.context.people.get(self.user);
        self.state.set_attributes(person.and_then(|person| person.attributes.as_deref().map(Arc::from)));
    }

    /// Loads the state from the store, then continues with `then`.
    pub(super) fn load(
        &mut self,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut UserActor, &mut Context<UserActor>) + 'static,
    ) {
        let (context, journal) = (self.context.clone(), self.journal.clone());
        let user = self.user;
        let work = async move {
            // Entries of an earlier incarnation must be stored before the journal is read.
            journal.barrier().await;
            let mut wait = std::time::Duration::from_millis(20);
            loop {
                // Loaded in each round, because an entry may name an item that was made a moment ago.
                let world = context.world.load_full();
                match recover_apart(&*context.store, user, world, &context.activations).await {
                    Ok(loaded) => return Ok(loaded),
                    Err(Failure::Store(error)) => {
                        tracing::warn!(%error, user = user.0, "a person could not be loaded: trying again");
                        if context.is_closing() {
                            return Err("the server is going down".to_owned());
                        }
                        tokio::time::sleep(wait).await;
                        wait = (wait * 2).min(std::time::Duration::from_secs(2));
                    }
                    Err(failure) => return Err(failure.to_string()),
                }
            }
        };
        ctx.wait(work.into_actor(self).map(move |loaded, actor, ctx| {
            match loaded {
                Ok((state, snapshot_seq)) => {
                    actor.durable = state.seq();
                    actor.snapshot_seq = snapshot_seq;
                    actor.state = state;
                    actor.broken = None;
                    actor.describe();
                }
                Err(why) => {
                    tracing::error!(user = actor.user.0, why, "a person's journal cannot be read");
                    actor.broken = Some(why);
                }
            }
            then(actor, ctx);
        }));
    }
}
