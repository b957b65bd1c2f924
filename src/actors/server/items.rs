//! The catalogue's side of the server: items are created, changed, scheduled and deleted.
//!
//! Invariant: each draft is answered, in order. A refused draft changes nothing; an accepted one is durable.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{ItemWrite, ItemWritten, Server, within};
use crate::actors::context::ServerContext;
use crate::actors::coordinator::messages::Change;
use crate::actors::errors::{Busy, RequestError};
use crate::actors::journal::messages::Reservation;
use crate::domain::ids::{ItemId, Key, UserId};
use crate::domain::items::{Author, Embedding};
use crate::domain::time::Millis;
use crate::domain::windows::Windows;
use crate::engine::coordinator::{CoordinatorEvent, Draft, DraftError};
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

/// A new item, or changes of one, as a client describes them.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ItemDraft {
    /// The external key; generated when absent.
    pub key: Option<Key>,
    /// The person who made the item.
    pub author: Option<UserId>,
    /// Keys of the topics, the main topic first.
    pub topics: Option<Vec<Key>>,
    /// The text that a person reads.
    pub text: Option<String>,
    /// Facts that a two-tower model reads: a JSON object as text.
    pub attributes: Option<Arc<str>>,
    /// The embedding; made from the text when absent.
    pub embedding: Option<Embedding>,
    /// When the item was made; now when absent.
    pub created: Option<Millis>,
    /// When the item is available; always when absent.
    pub windows: Option<Windows>,
}

impl Server {
    /// Creates or changes items. Returns one answer per draft, in order: refused drafts change nothing, the others are
    /// durable.
    pub async fn write_items(&self, drafts: Vec<ItemDraft>, how: ItemWrite) -> Vec<Result<ItemWritten, RequestError>> {
        let count = drafts.len();
        match self.write_checked(drafts, how).await {
            Ok(written) => written,
            Err(error) => vec![Err(error); count],
        }
    }

    async fn write_checked(
        &self,
        drafts: Vec<ItemDraft>,
        how: ItemWrite,
    ) -> Result<Vec<Result<ItemWritten, RequestError>>, RequestError> {
        let reservation = self.reserve()?;
        let vectors = self.embed(&drafts).await?;
        let checked: Vec<Result<Draft, Refusal>> =
            drafts.into_iter().zip(vectors).map(|(draft, vector)| self.draft(draft, vector, how)).collect();
        let good = checked.iter().filter_map(|one| one.as_ref().ok().cloned()).map(|draft| (draft, how)).collect();
        let written = self.change(CoordinatorEvent::Items(good), reservation).await?;
        let mut written = written.into_iter();
        Ok(checked
            .into_iter()
            .map(|one| {
                one.and_then(|_| match written.next() {
                    Some(answer) => answer.map_err(from_draft),
                    None => Err(Refusal::new(Code::Internal, "no answer for the item")),
                })
                .map_err(RequestError::from)
            })
            .collect())
    }

    /// Embeddings of the texts that come without one; `None` where none is needed.
    async fn embed(&self, drafts: &[ItemDraft]) -> Result<Vec<Option<Embedding>>, RequestError> {
        let texts: Vec<(usize, String)> = drafts
            .iter()
            .enumerate()
            .filter(|(_, draft)| draft.embedding.is_none())
            .filter_map(|(index, draft)| Some((index, draft.text.clone()?)))
            .collect();
        let mut vectors: Vec<Option<Embedding>> = drafts.iter().map(|draft| draft.embedding.clone()).collect();
        if texts.is_empty() {
            return Ok(vectors);
        }
        let _place = EmbedPlace::take(&self.context, texts.len()).ok_or(Busy::EmbedQueueFull)?;
        let embedder = self.context.embedder.clone();
        let (indices, texts): (Vec<usize>, Vec<String>) = texts.into_iter().unzip();
        // The embedder may call another server or compute for long, so it never runs on an actor's thread.
        let made = tokio::task::spawn_blocking(move || {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            embedder.embed(&texts)
        })
        .await
        .map_err(|_| Refusal::new(Code::Internal, "the embedder failed"))?
        .map_err(|error| match error {
            // Without a configured embedder, the client has to send the embedding.
            crate::embed::EmbedError::TextRefused { .. } => {
                RequestError::from(Refusal::field(Code::BadField, "embedding", error.to_string()))
            }
            error => {
                tracing::warn!(%error, "texts could not be turned into vectors");
                Busy::EmbedderFailed(error.to_string()).into()
            }
        })?;
        for (index, vector) in indices.into_iter().zip(made) {
            vectors[index] = Some(vector);
        }
        Ok(vectors)
    }

    fn draft(&self, draft: ItemDraft, embedding: Option<Embedding>, how: ItemWrite) -> Result<Draft, Refusal> {
        let author = match draft.author {
            None => None,
            Some(id) => {
                let person = self.context.people.get(id);
                let person = person.ok_or_else(|| Refusal::field(Code::UnknownUser, "author", "no such person"))?;
                Some(Author { id, key: person.key.clone() })
            }
        };
        if how != ItemWrite::Change && draft.text.is_none() {
            return Err(Refusal::field(Code::BadField, "text", "a new item needs a text"));
        }
        let key = match draft.key {
            Some(key) => key,
            None => Key::new(&format!("item-{:032x}", rand::random::<u128>()))
                .map_err(|error| Refusal::field(Code::Internal, "id", error.to_string()))?,
        };
        let ItemDraft { topics, text, attributes, created, windows, .. } = draft;
        Ok(Draft { key, author, topics, text: text.map(Arc::from), attributes, embedding, created, windows })
    }

    /// Deletes an item for good.
    ///
    /// # Errors
    /// Busy when the journal's queue is full or the store does not answer in time.
    pub async fn delete_item(&self, item: ItemId) -> Result<(), RequestError> {
        self.change_now(CoordinatorEvent::Deleted(item)).await
    }

    /// Sets the windows of an item's availability.
    ///
    /// # Errors
    /// Busy when the journal's queue is full or the store does not answer in time.
    pub async fn set_windows(&self, item: ItemId, windows: Windows) -> Result<(), RequestError> {
        self.change_now(CoordinatorEvent::Windows(vec![(item, windows)])).await
    }

    pub(in crate::actors) async fn change_now(&self, event: CoordinatorEvent) -> Result<(), RequestError> {
        let reservation = self.reserve()?;
        self.change(event, reservation).await.map(|_| ())
    }

    pub(super) async fn change(
        &self,
        event: CoordinatorEvent,
        reservation: Reservation,
    ) -> Result<Vec<Result<ItemWritten, DraftError>>, RequestError> {
        let (done, wait) = oneshot::channel();
        self.coordinator.do_send(Change { event, reservation, done });
        Ok(within(wait).await?.map_err(|_| Busy::NoAnswer)??)
    }
}

fn from_draft(error: DraftError) -> Refusal {
    match error {
        DraftError::Exists => {
            Refusal::field(Code::Conflict, "id", "an item with this key is there already: change it with PUT or PATCH")
        }
        DraftError::Unknown => Refusal::field(Code::UnknownItem, "id", "no such item: create it with PUT or POST"),
        DraftError::Dimension { .. } => Refusal::field(Code::OutOfRange, "embedding", error.to_string()),
        DraftError::Incomplete => Refusal::field(Code::BadField, "text", "a new item needs a text"),
        DraftError::Erased => Refusal::field(Code::UnknownUser, "author", "no such person"),
        DraftError::AlwaysOn | DraftError::TooManyWindows => {
            Refusal::field(Code::Conflict, "windows", error.to_string())
        }
        DraftError::Full => Refusal::new(Code::Conflict, "the catalogue is full"),
    }
}

/// Places in the queue of texts that wait for their embedding; dropping it frees them.
struct EmbedPlace<'a> {
    context: &'a ServerContext,
    count: usize,
}

impl<'a> EmbedPlace<'a> {
    fn take(context: &'a ServerContext, count: usize) -> Option<EmbedPlace<'a>> {
        use std::sync::atomic::Ordering::AcqRel;
        let before = context.embedding_now.fetch_add(count, AcqRel);
        let place = EmbedPlace { context, count };
        // A single batch may be larger than the queue.
        (before == 0 || before + count <= context.limits.embed_queue).then_some(place)
    }
}

impl Drop for EmbedPlace<'_> {
    fn drop(&mut self) {
        self.context.embedding_now.fetch_sub(self.count, std::sync::atomic::Ordering::AcqRel);
    }
}
