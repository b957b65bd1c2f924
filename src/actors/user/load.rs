//! Activation: snapshot and tail become a state.
//!
//! Invariant: while a state is loaded, messages wait in the mailbox, in order. A snapshot that cannot be used is set
//! aside and the whole journal is folded. Vectors of revisions that the world no longer has come from the store.

use std::collections::BTreeMap;

use actix::prelude::*;

use super::UserActor;
use crate::domain::ids::{ItemId, Seq, UserId};
use crate::domain::items::Embedding;
use crate::domain::journal::{CentreRef, Entry};
use crate::engine::user::{MissingVector, UserState};
use crate::engine::world::{Vectors, World};
use crate::store::{Recovered, Store};

impl UserActor {
    /// Loads the state anew, then goes on.
    pub(super) fn load(
        &mut self,
        ctx: &mut Context<Self>,
        then: impl FnOnce(&mut UserActor, &mut Context<UserActor>) + 'static,
    ) {
        let inside = self.inside.clone();
        let user = self.user;
        let work = async move {
            // What an earlier incarnation sent must be in the journal before it is read.
            inside.journal.barrier().await;
            let mut wait = std::time::Duration::from_millis(20);
            loop {
                // The newest world each time: an entry may name an item that was made a moment ago.
                let world = inside.world.load_full();
                match recover(&*inside.store, user, &world).await {
                    Ok(loaded) => return Ok(loaded),
                    Err(Failure::Store(error)) => {
                        tracing::warn!(%error, user = user.0, "a person could not be loaded: trying again");
                        if inside.is_closing() {
                            return Err("the server is going down".to_owned());
                        }
                        tokio::time::sleep(wait).await;
                        wait = (wait * 2).min(std::time::Duration::from_secs(2));
                    }
                    Err(Failure::Missing(missing)) => return Err(missing.to_string()),
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

/// Why a person cannot be loaded.
#[derive(Debug)]
pub enum Failure {
    /// Try again.
    Store(crate::store::StoreError),
    /// The journal names something that nobody has.
    Missing(MissingVector),
}

impl From<crate::store::StoreError> for Failure {
    fn from(error: crate::store::StoreError) -> Self {
        Failure::Store(error)
    }
}

/// A person's state from the store, and the entry that its snapshot covers.
///
/// # Errors
/// [`Failure`] when the store cannot answer, or an entry names a vector that is nowhere.
pub async fn recover(store: &dyn Store, user: UserId, world: &World) -> Result<(UserState, Seq), Failure> {
    let Recovered { snapshot, tail } = store.recover(user).await?;
    if let Some(snapshot) = snapshot {
        match UserState::from_bytes(&snapshot.bytes, world.settings()) {
            Ok(state) if state.user() == user && state.seq() == snapshot.seq => {
                let covered = snapshot.seq;
                return Ok((fold(store, state, &tail, world).await?, covered));
            }
            Ok(_) => tracing::warn!(user = user.0, "a snapshot of something else was set aside"),
            Err(error) => tracing::warn!(user = user.0, %error, "a snapshot was set aside: folding the whole journal"),
        }
        let whole = store.entries_until(user, crate::domain::time::Millis::MAX).await?;
        return Ok((fold(store, UserState::new(user), &whole, world).await?, Seq(0)));
    }
    Ok((fold(store, UserState::new(user), &tail, world).await?, Seq(0)))
}

/// Folds entries onto a state, fetching embeddings of earlier revisions as they are named.
///
/// # Errors
/// [`Failure`] as [`recover`].
pub async fn fold(
    store: &dyn Store,
    mut state: UserState,
    entries: &[Entry],
    world: &World,
) -> Result<UserState, Failure> {
    let mut vectors = WithEarlier { world, earlier: BTreeMap::new() };
    for entry in entries {
        while let Err(missing) = state.fold(entry, &vectors, world.settings()) {
            let MissingVector::Embedding { item, revision } = missing else { return Err(Failure::Missing(missing)) };
            match store.embedding(item, revision).await? {
                Some(embedding) => vectors.earlier.insert((item, revision), embedding),
                None => return Err(Failure::Missing(missing)),
            };
        }
    }
    Ok(state)
}

/// The world, and embeddings that items had before.
struct WithEarlier<'a> {
    world: &'a World,
    earlier: BTreeMap<(ItemId, u32), Embedding>,
}

impl Vectors for WithEarlier<'_> {
    fn embedding(&self, item: ItemId, revision: u32) -> Option<&[f32]> {
        self.world
            .embedding(item, revision)
            .or_else(|| self.earlier.get(&(item, revision)).map(|embedding| &embedding[..]))
    }

    fn centre(&self, centre: CentreRef) -> Option<&[f32]> {
        self.world.centre(centre)
    }
}

