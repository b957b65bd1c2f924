//! Events that requests bring: a person acts, posts an item, or takes an item on air.
//!
//! Invariant: `Ok` means that the event is durable. A resend of an event id is answered like the first one.

use tokio::sync::oneshot;
use xxhash_rust::xxh3::xxh3_128;

use super::{ItemDraft, ItemWrite, Server, UserEvent, within};
use crate::actors::errors::{Busy, RequestError, reused_id};
use crate::actors::user::messages::{Answer, ToUser};
use crate::domain::ids::{ItemId, Key, Seq, UserId};
use crate::domain::journal::What;
use crate::engine::coordinator::{CoordinatorEvent, DraftError};
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

impl Server {
    /// Learns an event; returns when it is durable.
    ///
    /// # Errors
    /// Busy, or the item is unknown: nothing was learned. Busy, too, when the store stops answering meanwhile: the
    /// event may be stored later, and a resend of its id gets the first answer.
    pub async fn act(&self, user: UserId, event: UserEvent) -> Result<Seq, RequestError> {
        let (done, wait) = oneshot::channel();
        if self.journal.is_stalled() {
            return Err(Busy::StoreStalled.into());
        }
        self.deliver(user, ToUser::Act { event, answer: Answer::Request(done), came: std::time::Instant::now() })?;
        within(wait).await?.unwrap_or_else(|_| Err(Busy::NoAnswer.into()))
    }

    /// Makes an item of a person and records the post. A resend of the `id` returns the item of the first one. Fields
    /// in refusals are named as in `protocol::client::Post`.
    ///
    /// # Errors
    /// Busy, or the fault of the draft: nothing was learned.
    pub async fn post(&self, author: UserId, id: Key, draft: ItemDraft) -> Result<(Seq, Key), RequestError> {
        let person = self.context.people.get(author);
        let person = person.ok_or_else(|| Refusal::field(Code::UnknownUser, "user", "no such person"))?;
        let key = match &draft.key {
            Some(key) => key.clone(),
            None => post_key(&person.key, &id)?,
        };
        let known = self.context.store.find_events(author, vec![id.clone()]).await?;
        if known.iter().any(|entry| !matches!(entry.what, What::Posted(_))) {
            return Err(reused_id().into());
        }
        self.must_be_that_post(&key, author, &draft)?;
        let draft = ItemDraft { key: Some(key), author: Some(author), ..draft };
        let mut written = self.write_items(vec![draft], ItemWrite::Ensure).await;
        let written =
            written.pop().unwrap_or_else(|| Err(Refusal::new(Code::Internal, "no answer for the item").into()))?;
        let event = UserEvent::Posted { id, item: written.id, at: self.context.clock.now() };
        Ok((self.act(author, event).await?, written.key))
    }

    /// Compares a resend's text and topics with the item of the first post, unless the item was revised since.
    fn must_be_that_post(&self, key: &Key, author: UserId, draft: &ItemDraft) -> Result<(), Refusal> {
        let world = self.world();
        let made = world.find_item(key.as_str()).and_then(|id| world.item(id));
        let made = made.filter(|item| item.revision == 1 && item.author.as_ref().is_some_and(|one| one.id == author));
        let Some(made) = made else { return Ok(()) };
        let topics = draft.topics.as_deref().unwrap_or_default();
        let equal = draft.text.as_deref().is_none_or(|text| *text == *made.text)
            && made.topics.len() == topics.len()
            && made.topics.iter().zip(topics).all(|(id, key)| world.topic(*id) == Some(key));
        if equal { Ok(()) } else { Err(reused_id()) }
    }

    /// Takes an item on air, or off, and records the person who did it. A resend of the `id` changes nothing and gets
    /// the first answer. Fields in refusals are named as in `protocol::client::GoLive`.
    ///
    /// # Errors
    /// Busy, or why the item cannot change: nothing was learned.
    pub async fn go_live(&self, user: UserId, id: Key, item: ItemId, on: bool) -> Result<(Seq, Key), RequestError> {
        let gone = || Refusal::field(Code::UnknownItem, "item", "the item was deleted just now");
        let key = self.world().item(item).filter(|item| !item.deleted).map(|item| item.key.clone()).ok_or_else(gone)?;
        self.settled().await?;
        let known = self.context.store.find_events(user, vec![id.clone()]).await?;
        match known.first() {
            Some(entry) if entry.what == What::WentLive(item, on) => return Ok((entry.seq, key)),
            Some(_) => return Err(reused_id().into()),
            None => {}
        }
        // The windows change before the event, so an accepted event is on air. After a crash in between, a resend
        // completes it, because an item that is already on stays as it is.
        let reservation = self.reserve()?;
        let written = self.change(CoordinatorEvent::Live(item, on), reservation).await?.pop();
        written.unwrap_or(Err(DraftError::Unknown)).map_err(|error| match error {
            DraftError::Unknown => gone(),
            error => Refusal::field(Code::Conflict, "item", error.to_string()),
        })?;
        let event = UserEvent::WentLive { id, item, on, at: self.context.clock.now() };
        Ok((self.act(user, event).await?, key))
    }
}

/// The key of a person's post is derived from their key and the event's id, so a resend finds the item of the first
/// post.
fn post_key(author: &Key, id: &Key) -> Result<Key, Refusal> {
    let mut named = author.as_str().as_bytes().to_vec();
    named.push(0);
    named.extend(id.as_str().as_bytes());
    Key::new(&format!("post-{:032x}", xxh3_128(&named)))
        .map_err(|error| Refusal::field(Code::Internal, "id", error.to_string()))
}
