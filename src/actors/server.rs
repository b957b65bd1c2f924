//! All that the door sees of the actors: one cheap handle, shared by all web workers.
//!
//! Invariant: what returns `Ok` for a change is durable; what returns a [`Refusal`] changed nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix::{Addr, Recipient};

use tokio::sync::oneshot;
use xxhash_rust::xxh3::xxh3_128;

use crate::domain::feeds::{Contribution, Feed, Ranking};
use crate::domain::ids::{FeedVersion, ItemId, Key, ModelVersion, Seq, UserId};
use crate::domain::items::{Author, Embedding};
use crate::domain::journal::{Entry, What};
use crate::domain::people::Person;
use crate::domain::time::Millis;
use crate::domain::windows::Windows;
use crate::engine::coordinator::{CoordinatorEvent, Draft, DraftError, GlobalScores};
use crate::engine::learn::metrics::PersonMetrics;
use crate::engine::learn::online::{self, sigmoid};
use crate::engine::rank::RankRequest;
use crate::engine::world::World;
use crate::protocol::client::Resume;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;
use crate::protocol::server::{Decay, WireItem};
use crate::store::recovery;
use crate::store::{Slice, StoreError, Write};

use super::clock::Clock;
use super::coordinator::Coordinator;
use super::coordinator::messages::{AskScore, Change, SaveNow};
use super::inside::{Inside, Looks};
use super::models;
use super::people::People;
use super::session::{SessionId, SessionSettings, ToSession};
use super::user::messages::{Answer, ToUser};
use super::user::wire;

pub use crate::engine::coordinator::{ItemWrite, Written as ItemWritten};
pub use crate::engine::user::UserEvent;

/// A new item, or a new face for one, as a client describes it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ItemDraft {
    /// Its key.
    pub key: Option<Key>,
    /// Who made it.
    pub author: Option<UserId>,
    /// What it is about, the main topic first.
    pub topics: Option<Vec<Key>>,
    /// What to read.
    pub text: Option<String>,
    /// Given; else made from the text.
    pub embedding: Option<Embedding>,
    /// When it was made; now by default.
    pub created: Option<Millis>,
    /// When it is available; always by default.
    pub windows: Option<Windows>,
}

/// What the server thinks of a person.
#[derive(Clone, Debug, PartialEq)]
pub struct PersonModel {
    /// Topic weights now; those at 0 left out.
    pub topics: BTreeMap<Key, f32>,
    /// Events learned so far.
    pub events: u64,
    /// Labelled events so far.
    pub labelled: u64,
    /// Progressive ROC AUC of the online model over the last 256 labelled events.
    pub auc: Option<f32>,
    /// As `auc`, of the score that the `topics` ranking orders by.
    pub auc_topics: Option<f32>,
    /// As `auc`, of the calibrated probability of a yes beside the `model` ranking.
    pub auc_model: Option<f32>,
    /// Mean log loss of the `model` ranking's calibrated probabilities over the events of `auc_model`.
    pub log_loss_model: Option<f32>,
    /// Positive labels among the last 256 labelled events.
    pub positives: u32,
    /// Negative labels among the last 256 labelled events.
    pub negatives: u32,
    /// How topic weights fade.
    pub decay: Decay,
    /// Progressive mean log loss of the online model.
    pub log_loss: Option<f32>,
    /// Expected calibration error of the online model, ten bins.
    pub calibration_error: Option<f32>,
    /// Length of the online model's mean vector.
    pub weight_norm: f32,
    /// Mean standard deviation of its weights, in units of the prior's (1 = nothing learned).
    pub uncertainty: f32,
    /// How often their taste changed so far that the model was made to forget faster.
    pub drifts: u32,
    /// Length of each expert's weights in the blend, the person's deviations included; in the order of `Expert::ALL`.
    pub experts: Vec<Contribution>,
    /// What was measured of them.
    pub metrics: PersonMetrics,
    /// Whom they follow.
    pub follows: Vec<UserId>,
    /// Number of their last journal entry.
    pub seq: Seq,
}

/// A probability with what is known about it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prediction {
    /// Probability of `accept`, in (0, 1).
    pub accepted: f32,
    /// Standard deviation of the log-odds.
    pub deviation: f32,
}

impl Prediction {
    pub(super) fn of(judged: online::Prediction) -> Prediction {
        Prediction { accepted: sigmoid(f64::from(judged.log_odds)) as f32, deviation: judged.variance.sqrt() }
    }
}

/// Progressive figures over everybody.
#[derive(Clone, Debug, PartialEq)]
pub struct Score {
    /// Labelled events so far.
    pub labelled: u64,
    /// Per score (`online`, `topics`, `model`): ROC AUC pooled over all people.
    pub auc: Vec<(&'static str, Option<f64>)>,
    /// Mean log loss of the online model.
    pub log_loss: Option<f64>,
    /// Its expected calibration error, ten bins.
    pub calibration_error: Option<f64>,
}

impl Score {
    pub(super) fn of(GlobalScores { online, topics, model, progress }: &GlobalScores) -> Score {
        Score {
            labelled: progress.count(),
            auc: vec![("online", online.auc()), ("topics", topics.auc()), ("model", model.auc())],
            log_loss: progress.log_loss(),
            calibration_error: progress.ece(),
        }
    }
}

/// A store that does not answer within this is not ready.
const HEALTH_WITHIN: std::time::Duration = std::time::Duration::from_secs(2);

/// A request waits for the store at most so long; then it is answered 503, and whoever asked may ask again.
const STORED_WITHIN: std::time::Duration = std::time::Duration::from_secs(5);

fn stalled() -> Refusal {
    let message = "the store cannot answer now: send it again later under the id that it has, nothing is learned twice";
    Refusal { message: message.into(), ..Refusal::busy(1_000) }
}

/// Waits for what becomes durable only when the store answers.
///
/// # Errors
/// Busy after [`STORED_WITHIN`]: it may still be stored.
pub(super) async fn within<T>(wait: impl Future<Output = T>) -> Result<T, Refusal> {
    tokio::time::timeout(STORED_WITHIN, wait).await.map_err(|_| stalled())
}

/// The server's inside. Clone freely.
#[derive(Clone)]
pub struct Server {
    pub(super) inside: Arc<Inside>,
}

impl Server {
    pub(super) fn new(inside: Arc<Inside>) -> Server {
        Server { inside }
    }

    /// The newest world; hold it no longer than a request.
    #[must_use]
    pub fn world(&self) -> Arc<World> {
        self.inside.world.load_full()
    }

    /// Who is known.
    #[must_use]
    pub fn people(&self) -> &People {
        &self.inside.people
    }

    /// What time it is.
    #[must_use]
    pub fn clock(&self) -> &dyn Clock {
        &*self.inside.clock
    }

    /// Numbers in an embedding.
    #[must_use]
    pub fn dim(&self) -> usize {
        self.inside.embedder.dim()
    }

    /// People whose actors are in memory.
    #[must_use]
    pub fn active(&self) -> usize {
        self.inside.directory.len()
    }

    /// Entries waiting to be stored.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.inside.journal.queued()
    }

    /// May it take work: does the store write, is it not shutting down?
    ///
    /// # Errors
    /// Busy, saying why not.
    pub async fn ready(&self) -> Result<(), Refusal> {
        if self.inside.is_closing() {
            return Err(Refusal { message: "the server is going down".into(), ..Refusal::busy(1_000) });
        }
        let health = tokio::time::timeout(HEALTH_WITHIN, self.inside.store.health()).await;
        health.unwrap_or_else(|_| Err(StoreError::Unavailable("no answer in time".into()))).map_err(from_store)?;
        // The store writes again, and what waits for it is on its way: until then requests are refused.
        if self.inside.journal.is_stalled() { Err(stalled()) } else { Ok(()) }
    }

    /// No new work from now on; returns when all that was accepted is durable and the coordinator is saved.
    pub async fn close(&self) {
        self.inside.closing.store(true, std::sync::atomic::Ordering::Relaxed);
        self.inside.journal.barrier().await;
        if let Some(coordinator) = self.inside.coordinator.get() {
            let (done, wait) = oneshot::channel();
            coordinator.do_send(SaveNow(done));
            let _ = wait.await;
        }
    }

    /// A place in the journal's queue for a request.
    ///
    /// # Errors
    /// Busy when the queue is full, or while the store cannot answer: a request that could only wait is not begun.
    pub(super) fn reserve(&self) -> Result<super::journal::Reservation, Refusal> {
        if self.inside.journal.is_stalled() {
            return Err(stalled());
        }
        self.inside.journal.reserve().ok_or_else(|| Refusal::busy(500))
    }

    /// Returns when all that was sent to the journal before is durable.
    ///
    /// # Errors
    /// Busy when the store does not answer in time.
    pub(super) async fn settled(&self) -> Result<(), Refusal> {
        within(self.inside.journal.barrier()).await
    }

    /// Drawn feeds that were logged, and those that were dropped, since the start.
    #[must_use]
    pub fn slate_counts(&self) -> (u64, u64) {
        self.inside.slates.counts()
    }

    /// Queries for the ids of events, and states that were folded again, since the start.
    #[must_use]
    pub fn look_counts(&self) -> (u64, u64) {
        let Looks { queries, rebuilds } = &self.inside.looks;
        (queries.load(std::sync::atomic::Ordering::Relaxed), rebuilds.load(std::sync::atomic::Ordering::Relaxed))
    }

    /// Runs a scan of the catalogue or of all people, apart from the threads that serve others.
    ///
    /// # Errors
    /// `rate_limited` while too many of this person are under way, busy while too many are in all.
    pub async fn scan<T: Send + 'static>(
        &self,
        person: Option<UserId>,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        self.inside.scans.enter(person)?.run(job).await
    }

    // ---- people ----

    /// Creates (true) or changes (false) a person. What is `None` is left as it is.
    ///
    /// # Errors
    /// Busy when the journal is full.
    pub async fn put_person(
        &self,
        key: Key,
        name: Option<String>,
        attributes: Option<String>,
    ) -> Result<bool, Refusal> {
        let reservation = self.reserve()?;
        let now = self.inside.clock.now();
        let (done, wait) = oneshot::channel();
        let created = self.inside.people.put(
            &key,
            |id, old| Person {
                id,
                key: key.clone(),
                name: name.or_else(|| old.and_then(|old| old.name.clone())),
                attributes: attributes.or_else(|| old.and_then(|old| old.attributes.clone())),
                created: old.map_or(now, |old| old.created),
                erased: false,
            },
            |person| {
                self.inside.journal.append(super::journal::messages::Append {
                    writes: vec![Write::Person(person)],
                    from: super::journal::messages::Origin::Request(done),
                    reservation,
                });
            },
        );
        // Their key is free in a moment.
        let created = created.ok_or_else(|| Refusal::busy(100))?;
        within(wait).await?.map_err(|_| Refusal::busy(1_000))?.map_err(|why| Refusal::new(Code::Internal, why))?;
        if !created && let Some(user) = self.inside.people.find(key.as_str()) {
            self.inside.directory.describe(&self.inside, user);
        }
        Ok(created)
    }

    // ---- acting ----

    /// Learns an event; answers when it is durable.
    ///
    /// # Errors
    /// Busy, or that the item is unknown: nothing was learned. Busy, too, when the store stops answering meanwhile: then it
    /// may be stored later, and a resend of the id is answered as the first time.
    pub async fn act(&self, user: UserId, event: UserEvent) -> Result<Seq, Refusal> {
        let (done, wait) = oneshot::channel();
        if self.inside.journal.is_stalled() {
            return Err(stalled());
        }
        self.deliver(user, ToUser::Act { event, answer: Answer::Request(done), came: std::time::Instant::now() })?;
        within(wait).await?.unwrap_or_else(|_| Err(Refusal::busy(1_000)))
    }

    /// Makes an item of a person and remembers that they did. A resend of the same `id` gives the same item. Fields in
    /// refusals are named as in `protocol::client::Post`.
    ///
    /// # Errors
    /// Busy, or what is wrong with the draft: nothing was learned.
    pub async fn post(&self, author: UserId, id: Key, draft: ItemDraft) -> Result<(Seq, Key), Refusal> {
        let person = self.inside.people.get(author);
        let person = person.ok_or_else(|| Refusal::field(Code::UnknownUser, "user", "no such person"))?;
        let key = match &draft.key {
            Some(key) => key.clone(),
            None => post_key(&person.key, &id)?,
        };
        let known = self.inside.store.find_events(author, vec![id.clone()]).await.map_err(from_store)?;
        if known.iter().any(|entry| !matches!(entry.what, What::Posted(_))) {
            return Err(reused_id());
        }
        self.must_be_that_post(&key, author, &draft)?;
        let draft = ItemDraft { key: Some(key), author: Some(author), ..draft };
        let mut written = self.write_items(vec![draft], ItemWrite::Ensure).await;
        let written = written.pop().unwrap_or_else(|| Err(Refusal::new(Code::Internal, "no answer for the item")))?;
        let event = UserEvent::Posted { id, item: written.id, at: self.inside.clock.now() };
        Ok((self.act(author, event).await?, written.key))
    }

    /// A resend brings the text and topics of the item that the first one made, as long as nobody has revised it.
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

    /// Takes an item on air, or off, and remembers who did. A resend of the same `id` changes nothing and is answered
    /// alike. Fields in refusals are named as in `protocol::client::GoLive`.
    ///
    /// # Errors
    /// Busy, or why it cannot: nothing was learned.
    pub async fn go_live(&self, user: UserId, id: Key, item: ItemId, on: bool) -> Result<(Seq, Key), Refusal> {
        let gone = || Refusal::field(Code::UnknownItem, "item", "the item was deleted just now");
        let key = self.world().item(item).filter(|item| !item.deleted).map(|item| item.key.clone()).ok_or_else(gone)?;
        self.settled().await?;
        let known = self.inside.store.find_events(user, vec![id.clone()]).await.map_err(from_store)?;
        match known.first() {
            Some(entry) if entry.what == What::WentLive(item, on) => return Ok((entry.seq, key)),
            Some(_) => return Err(reused_id()),
            None => {}
        }
        // The windows first: who hears `accepted` is on air, or off. A crash in between leaves nothing that a resend does
        // not mend, since an item that is on already stays as it is.
        let reservation = self.reserve()?;
        let written = self.change(CoordinatorEvent::Live(item, on), reservation).await?.pop();
        written.unwrap_or(Err(DraftError::Unknown)).map_err(|error| match error {
            DraftError::Unknown => gone(),
            error => Refusal::field(Code::Conflict, "item", error.to_string()),
        })?;
        let event = UserEvent::WentLive { id, item, on, at: self.inside.clock.now() };
        Ok((self.act(user, event).await?, key))
    }

    // ---- catalogue ----

    /// One answer per draft, in order; those that are refused change nothing, the others are durable.
    pub async fn write_items(&self, drafts: Vec<ItemDraft>, how: ItemWrite) -> Vec<Result<ItemWritten, Refusal>> {
        let count = drafts.len();
        match self.write_checked(drafts, how).await {
            Ok(written) => written,
            Err(refusal) => vec![Err(refusal); count],
        }
    }

    async fn write_checked(
        &self,
        drafts: Vec<ItemDraft>,
        how: ItemWrite,
    ) -> Result<Vec<Result<ItemWritten, Refusal>>, Refusal> {
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
            })
            .collect())
    }

    /// Vectors for the texts that come without one; `None` where none is needed.
    async fn embed(&self, drafts: &[ItemDraft]) -> Result<Vec<Option<Embedding>>, Refusal> {
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
        let _place = EmbedPlace::take(&self.inside, texts.len()).ok_or_else(|| Refusal::busy(500))?;
        let embedder = self.inside.embedder.clone();
        let (indices, texts): (Vec<usize>, Vec<String>) = texts.into_iter().unzip();
        // It may ask another server, or take a while: never on an actor's thread.
        let made = tokio::task::spawn_blocking(move || {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            embedder.embed(&texts)
        })
        .await
        .map_err(|_| Refusal::new(Code::Internal, "the embedder failed"))?
        .map_err(|error| match error {
            // A configuration without an embedder is the sender's to know.
            crate::embed::EmbedError::TextRefused { .. } => {
                Refusal::field(Code::BadField, "embedding", error.to_string())
            }
            error => {
                tracing::warn!(%error, "texts could not be turned into vectors");
                Refusal { message: error.to_string(), ..Refusal::busy(5_000) }
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
                let person = self.inside.people.get(id);
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
        let (topics, text) = (draft.topics, draft.text.map(Arc::from));
        Ok(Draft { key, author, topics, text, embedding, created: draft.created, windows: draft.windows })
    }

    /// Takes an item out of the catalogue for good.
    ///
    /// # Errors
    /// Busy.
    pub async fn delete_item(&self, item: ItemId) -> Result<(), Refusal> {
        self.change_now(CoordinatorEvent::Deleted(item)).await
    }

    /// Says when an item is available.
    ///
    /// # Errors
    /// Busy.
    pub async fn set_windows(&self, item: ItemId, windows: Windows) -> Result<(), Refusal> {
        self.change_now(CoordinatorEvent::Windows(vec![(item, windows)])).await
    }

    async fn change_now(&self, event: CoordinatorEvent) -> Result<(), Refusal> {
        let reservation = self.reserve()?;
        self.change(event, reservation).await.map(|_| ())
    }

    async fn change(
        &self,
        event: CoordinatorEvent,
        reservation: super::journal::Reservation,
    ) -> Result<Vec<Result<ItemWritten, DraftError>>, Refusal> {
        let coordinator = self.inside.coordinator.get().ok_or_else(|| Refusal::busy(1_000))?;
        let (done, wait) = oneshot::channel();
        coordinator.do_send(Change { event, reservation, done });
        within(wait).await?.map_err(|_| Refusal::busy(1_000))?.map_err(|why| Refusal::new(Code::Internal, why))
    }

    // ---- asking ----

    /// The feed that a socket with these settings would get.
    ///
    /// # Errors
    /// Busy.
    pub async fn feed(&self, user: UserId, settings: SessionSettings) -> Result<Arc<Feed>, Refusal> {
        self.ask(user, |done| ToUser::AskFeed(settings, done)).await
    }

    /// Top items as of an instant: state folded up to it, availability and catalogue as of it, scored by the two-tower
    /// model that served then. Popularity is left out, since what is popular now was not known then. Also says which model
    /// served then, when that one is not kept any more and the present one stands in for it.
    ///
    /// # Errors
    /// `rate_limited` while another such question about the person is being answered; busy while too many are, or the
    /// store cannot answer.
    pub async fn recommend_at(
        &self,
        user: UserId,
        at: Millis,
        ranking: Ranking,
        limit: u32,
    ) -> Result<(Arc<Feed>, Option<ModelVersion>), Refusal> {
        let place = self.inside.past.enter(Some(user))?;
        let (world, store) = (self.world(), &*self.inside.store);
        self.settled().await?;
        let folded = recovery::as_of_apart(store, user, at, world.clone(), self.inside.past.work()).await;
        let mut state = folded.map_err(from_failure)?;
        let person = self.inside.people.get(user);
        let person = person.ok_or_else(|| Refusal::field(Code::UnknownUser, "id", "no such person"))?;
        state.set_attributes(person.attributes.as_deref().map(Arc::from));
        // Held until the answer is ranked: as many worlds of the past are in memory as may compute at once.
        let turn = place.turn().await;
        let earlier = recovery::earlier(store, &world, at).await.map_err(from_store)?;
        // Where centres moved since, all items are measured again: not on a thread that serves others.
        let failed = |_| Refusal::new(Code::Internal, "the past could not be ranked");
        let epoch = world.epoch();
        let then = tokio::task::spawn_blocking(move || (world.back_to(at, earlier), turn, place));
        let (then, turn, place) = then.await.map_err(failed)?;
        let reader = self.inside.models.reader();
        let then = models::as_of(&*self.inside.store, reader, then, at).await.map_err(from_store)?;
        let (then, missing) = then;
        let ranked = tokio::task::spawn_blocking(move || {
            let ask = RankRequest { ranking, limit: limit as usize, explain: true };
            let items = state.rank(&then, at, ask);
            let model = wire::model_of(&then, ranking);
            let likely = state.likely(&then, ranking, &items, at);
            drop((turn, place));
            Feed { user, version: FeedVersion(state.seq().0), epoch, ranking, model, likely, items }
        });
        Ok((ranked.await.map(Arc::new).map_err(failed)?, missing))
    }

    /// A feed as clients see it now.
    #[must_use]
    pub fn wire_items(&self, feed: &Feed) -> Vec<WireItem> {
        wire::wire_items(&self.world(), &feed.items, &feed.likely, self.inside.clock.now())
    }

    /// A feed as clients saw it then: what was live, and until when.
    #[must_use]
    pub fn wire_items_at(&self, feed: &Feed, at: Millis) -> Vec<WireItem> {
        let items = wire::wire_items(&self.world(), &feed.items, &feed.likely, at);
        // What is expected now was not expected then.
        items.into_iter().map(|item| WireItem { expected_until: None, ..item }).collect()
    }

    /// What is thought of a person.
    ///
    /// # Errors
    /// Busy.
    pub async fn model(&self, user: UserId) -> Result<PersonModel, Refusal> {
        self.ask(user, ToUser::AskModel).await?
    }

    /// What a person's online model says of an item.
    ///
    /// # Errors
    /// Busy, or that the item is unknown.
    pub async fn predict(&self, user: UserId, item: ItemId) -> Result<Prediction, Refusal> {
        self.ask(user, |done| ToUser::AskPrediction(item, done)).await?
    }

    /// Progressive figures over everybody; covers all that was acknowledged before the call.
    ///
    /// # Errors
    /// Busy.
    pub async fn score(&self) -> Result<Score, Refusal> {
        self.settled().await?;
        let coordinator = self.coordinator()?;
        let (done, wait) = oneshot::channel();
        coordinator.do_send(AskScore(done));
        Ok(Score::of(&wait.await.map_err(|_| Refusal::busy(1_000))?))
    }

    /// Newest first.
    ///
    /// # Errors
    /// Busy while the store cannot answer.
    pub async fn interactions_of_user(&self, user: UserId, limit: u32) -> Result<Vec<Entry>, Refusal> {
        // The store passes over all entries that are no interactions, so it does this for a few people at once.
        let place = self.inside.scans.enter(Some(user))?;
        let turn = place.turn().await;
        let found = self.inside.store.newest(Slice::User(user), limit).await.map_err(from_store);
        drop(turn);
        found
    }

    /// Newest first.
    ///
    /// # Errors
    /// Busy while the store cannot answer.
    pub async fn interactions_with_item(&self, item: ItemId, limit: u32) -> Result<Vec<Entry>, Refusal> {
        self.inside.store.newest(Slice::Item(item), limit).await.map_err(from_store)
    }

    pub(super) fn coordinator(&self) -> Result<&Addr<Coordinator>, Refusal> {
        self.inside.coordinator.get().ok_or_else(|| Refusal::busy(1_000))
    }

    // ---- sessions: none of these waits; what they cause comes back as frames, in order ----

    /// A new session id.
    #[must_use]
    pub fn next_session(&self) -> SessionId {
        SessionId(self.inside.sessions.fetch_add(1, std::sync::atomic::Ordering::Relaxed) + 1)
    }

    /// Sends `welcome` and the first `feed` (or `patch`) to `to`.
    ///
    /// # Errors
    /// Busy.
    pub fn attach(
        &self,
        user: UserId,
        session: SessionId,
        to: Recipient<ToSession>,
        settings: SessionSettings,
        resume: Option<Resume>,
    ) -> Result<(), Refusal> {
        self.deliver(user, ToUser::Attach { session, to, settings, resume })
    }

    /// The session is gone.
    pub fn detach(&self, user: UserId, session: SessionId) {
        if let Err(refusal) = self.deliver(user, ToUser::Detach(session)) {
            // Its seat is given up as soon as something cannot be sent to it.
            tracing::debug!(%refusal, session = session.0, "a session left without a word");
        }
    }

    /// `accepted`, `busy` or `error` comes as a frame.
    ///
    /// # Errors
    /// Busy.
    pub fn act_in_session(&self, user: UserId, session: SessionId, event: UserEvent) -> Result<(), Refusal> {
        self.deliver(user, ToUser::Act { event, answer: Answer::Session(session), came: std::time::Instant::now() })
    }

    /// The session has drawn this version.
    ///
    /// # Errors
    /// Busy.
    pub fn drawn(&self, user: UserId, session: SessionId, version: FeedVersion) -> Result<(), Refusal> {
        self.deliver(user, ToUser::Drawn(session, version))
    }

    /// The session wants its feeds otherwise; a feed comes as a frame.
    ///
    /// # Errors
    /// Busy.
    pub fn configure(&self, user: UserId, session: SessionId, settings: SessionSettings) -> Result<(), Refusal> {
        self.deliver(user, ToUser::Configure(session, settings))
    }

    /// A `page` comes as a frame.
    ///
    /// # Errors
    /// Busy.
    pub fn more(&self, user: UserId, session: SessionId, after: u32) -> Result<(), Refusal> {
        self.deliver(user, ToUser::More(session, after))
    }

    fn deliver(&self, user: UserId, message: ToUser) -> Result<(), Refusal> {
        self.inside.directory.deliver(&self.inside, user, message)
    }

    async fn ask<T>(&self, user: UserId, question: impl FnOnce(oneshot::Sender<T>) -> ToUser) -> Result<T, Refusal> {
        let (done, wait) = oneshot::channel();
        self.deliver(user, question(done))?;
        within(wait).await?.map_err(|_| Refusal::busy(1_000))
    }
}

/// The key of a person's post follows from theirs and the event's, so that a resend finds the same item.
fn post_key(author: &Key, id: &Key) -> Result<Key, Refusal> {
    let mut named = author.as_str().as_bytes().to_vec();
    named.push(0);
    named.extend(id.as_str().as_bytes());
    Key::new(&format!("post-{:032x}", xxh3_128(&named)))
        .map_err(|error| Refusal::field(Code::Internal, "id", error.to_string()))
}

/// An id that is taken by an event with other contents.
pub(super) fn reused_id() -> Refusal {
    let message = "this id belongs to an earlier event with other contents: give each event an id of its own";
    Refusal::field(Code::Conflict, "id", message)
}

pub(super) fn from_failure(failure: recovery::Failure) -> Refusal {
    match failure {
        recovery::Failure::Store(error) => from_store(error),
        failure => Refusal::new(Code::Internal, failure.to_string()),
    }
}

pub(super) fn from_store(error: StoreError) -> Refusal {
    match error {
        StoreError::Unavailable(_) => Refusal { message: error.to_string(), ..Refusal::busy(1_000) },
        error => {
            tracing::error!(%error, "the store");
            Refusal::new(Code::Internal, "the store failed; the server's log says more")
        }
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

/// Places in the queue of texts to be turned into vectors; free again when dropped.
struct EmbedPlace<'a> {
    inside: &'a Inside,
    count: usize,
}

impl<'a> EmbedPlace<'a> {
    fn take(inside: &'a Inside, count: usize) -> Option<EmbedPlace<'a>> {
        use std::sync::atomic::Ordering::AcqRel;
        let before = inside.embedding_now.fetch_add(count, AcqRel);
        let place = EmbedPlace { inside, count };
        // One batch alone may be larger than the queue.
        (before == 0 || before + count <= inside.limits.embed_queue).then_some(place)
    }
}

impl Drop for EmbedPlace<'_> {
    fn drop(&mut self) {
        self.inside.embedding_now.fetch_sub(self.count, std::sync::atomic::Ordering::AcqRel);
    }
}
