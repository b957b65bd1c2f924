//! Questions: feeds now and in the past, models, figures, and recent interactions.
//!
//! Invariant: no question changes a learned state.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Server;
use crate::actors::answers::{PersonModel, Prediction, RocCurves, Score};
use crate::actors::coordinator::messages::AskScore;
use crate::actors::errors::{Busy, RequestError};
use crate::actors::models::{self, ModelChoice, ScoredPast};
use crate::actors::session::SessionSettings;
use crate::actors::user::messages::ToUser;
use crate::actors::user::wire;
use crate::domain::feeds::{Feed, Ranking};
use crate::domain::ids::{FeedVersion, ItemId, ModelVersion, Position, Seq, UserId};
use crate::domain::interactions::Standing;
use crate::domain::journal::Entry;
use crate::domain::search::{SearchHit, TextQuery, TextSearch};
use crate::domain::time::Millis;
use crate::engine::delivery::ranker::serving_model;
use crate::engine::rank::RankRequest;
use crate::engine::rank::steer::{Target, admitted};
use crate::engine::world::World;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;
use crate::protocol::server::WireItem;
use crate::store::{Slice, StandingItem, recovery};

/// A text search with conditions on items.
#[derive(Clone, Debug)]
pub struct SearchRequest {
    /// The words to find.
    pub query: TextQuery,
    /// Groups that contain each match.
    pub required: Vec<Target>,
    /// The instant at which each match is available, if one is asked for.
    pub available_at: Option<Millis>,
    /// Matches to skip, best first.
    pub skip: u32,
    /// Matches to return at most.
    pub limit: u32,
}

/// A feed as of an instant.
#[derive(Debug)]
pub struct PastFeed {
    /// The ranked items.
    pub feed: Arc<Feed>,
    /// The two-tower model that took part: that of the instant or the newest; `None` without any.
    pub chosen: Option<ModelChoice>,
    /// The version that served then and is not stored any more; the newest one stands in for it.
    pub missing: Option<ModelVersion>,
    /// Whether an item could be shown at the instant; otherwise the feed ranks the present items.
    pub was_open: bool,
}

/// Reads of the journal that one page of standing interactions may take.
const STANDING_READS: usize = 4;

/// Items with which interactions of a person stand, newest first.
#[derive(Debug, Default)]
pub struct StandingPage {
    /// The items, each with its newest interaction.
    pub items: Vec<StandingItem>,
    /// Where the next page begins: before the interaction with this number. `None` at the end.
    pub next: Option<Seq>,
}

impl Server {
    /// Items that a person liked or hid, as they stand: the newest interaction first, only those before a number. A page
    /// may have fewer than `limit` items before the end: items that were hidden and then liked are left out.
    ///
    /// # Errors
    /// Busy when the store or the person's actor does not answer in time.
    pub async fn standing(
        &self,
        user: UserId,
        standing: Standing,
        before: Option<Seq>,
        limit: u32,
    ) -> Result<StandingPage, RequestError> {
        let (mut found, mut before) = (StandingPage::default(), before.unwrap_or(Seq(u64::MAX)));
        for _ in 0..STANDING_READS {
            let left = limit - found.items.len() as u32;
            let mut page = self.context.store.standing(user, standing, before, left).await?;
            let ended = page.len() < left as usize;
            before = page.last().map_or(before, |last| last.seq);
            if standing == Standing::Hidden && !page.is_empty() {
                let items = page.iter().map(|one| one.item).collect();
                let hidden = self.ask(user, |done| ToUser::AskHidden(items, done)).await?;
                let mut hidden = hidden.into_iter().peekable();
                page.retain(|one| hidden.next_if_eq(&one.item).is_some());
            }
            found.items.extend(page);
            found.next = (!ended).then_some(before);
            if ended || found.items.len() == limit as usize {
                break;
            }
        }
        Ok(found)
    }

    /// The feed that a socket with these settings would get.
    ///
    /// # Errors
    /// Busy when the person's actor or the store does not answer in time, or the person requests too many feeds.
    pub async fn feed(&self, user: UserId, settings: SessionSettings) -> Result<Arc<Feed>, RequestError> {
        self.ask(user, |done| ToUser::AskFeed(settings, done)).await
    }

    /// Top items as of an instant: the state folded up to it, the availability and catalogue of that time, and the
    /// chosen two-tower model. Popularity is left out, because its past values are not kept. Where no item was available
    /// then, the items that are available now are ranked.
    ///
    /// # Errors
    /// `rate_limited` while another question about the person's past is being answered; busy while too many are, or the
    /// store cannot answer.
    pub async fn recommend_at(
        &self,
        user: UserId,
        at: Millis,
        ranking: Ranking,
        limit: u32,
        choice: ModelChoice,
    ) -> Result<PastFeed, RequestError> {
        let place = self.context.past.enter(Some(user))?;
        let (world, store) = (self.world(), &*self.context.store);
        self.settled().await?;
        let folded = recovery::as_of_apart(store, user, at, world.clone(), self.context.past.work()).await;
        let mut state = folded?;
        let person = self.context.people.get(user);
        let person = person.ok_or_else(|| Refusal::field(Code::UnknownUser, "id", "no such person"))?;
        state.set_attributes(person.attributes.as_deref().map(Arc::from));
        // Held until the answer is ranked: it bounds the number of past worlds in memory.
        let turn = place.turn().await;
        let earlier = recovery::earlier(store, &world, at).await?;
        // Where centres moved since, all items are measured again: not on a thread that serves others.
        let failed = |_| Refusal::new(Code::Internal, "the past could not be ranked");
        let epoch = world.epoch();
        let then = tokio::task::spawn_blocking(move || (world.back_to(at, earlier), turn, place));
        let (then, turn, place) = then.await.map_err(failed)?;
        let reader = self.models.reader();
        let scored = models::as_of(&*self.context.store, reader, then, at, choice).await?;
        let ScoredPast { world: then, model: chosen, missing } = scored;
        if chosen.is_none() && ranking == Ranking::Tower {
            let message = "no two-tower model is published: publish one, or ask for another ranking";
            return Err(Refusal::field(Code::UnknownModel, "ranking", message).into());
        }
        let (present, now) = (self.world(), self.context.clock.now());
        let ranked = tokio::task::spawn_blocking(move || {
            let ask = RankRequest { ranking, limit: limit as usize, explain: true };
            let mut items = state.rank(&then, at, ask);
            let was_open = !items.is_empty();
            let (mut world, mut instant) = (then, at);
            if !was_open {
                (world, instant) = (World::clone(&present).with_tower(world.tower().cloned()), now);
                items = state.rank(&world, instant, ask);
            }
            let model = serving_model(&world, ranking);
            let likely = state.likely(&world, ranking, &items, instant);
            drop((turn, place));
            let version = FeedVersion(state.seq().0);
            (Feed { user, version, epoch, ranking, model, likely, items }, was_open)
        });
        let (feed, was_open) = ranked.await.map_err(failed)?;
        let chosen = chosen.filter(|_| ranking.asks_the_tower());
        Ok(PastFeed { feed: Arc::new(feed), chosen, missing, was_open })
    }

    /// A feed as clients see it now.
    #[must_use]
    pub fn wire_items(&self, feed: &Feed) -> Vec<WireItem> {
        wire::wire_items(&self.world(), &feed.items, &feed.likely, self.context.clock.now())
    }

    /// A feed as clients saw it at `at`: live items and the ends of their windows.
    #[must_use]
    pub fn wire_items_at(&self, feed: &Feed, at: Millis) -> Vec<WireItem> {
        let items = wire::wire_items(&self.world(), &feed.items, &feed.likely, at);
        // Expected ends are known for the present only.
        items.into_iter().map(|item| WireItem { expected_until: None, ..item }).collect()
    }

    /// The learned model of a person, in figures.
    ///
    /// # Errors
    /// Busy when the person's actor or the store does not answer in time.
    pub async fn model(&self, user: UserId) -> Result<PersonModel, RequestError> {
        self.ask(user, ToUser::AskModel).await
    }

    /// The ROC curves behind the AUCs of a person's learned model.
    ///
    /// # Errors
    /// Busy when the person's actor or the store does not answer in time.
    pub async fn curves(&self, user: UserId) -> Result<RocCurves, RequestError> {
        self.ask(user, ToUser::AskCurves).await
    }

    /// The online model's prediction for an item.
    ///
    /// # Errors
    /// Busy, or the item is unknown.
    pub async fn predict(&self, user: UserId, item: ItemId) -> Result<Prediction, RequestError> {
        self.ask(user, |done| ToUser::AskPrediction(item, done)).await?
    }

    /// Progressive figures over all people, covering all events that were acknowledged before the call.
    ///
    /// # Errors
    /// Busy when the coordinator or the store does not answer in time.
    pub async fn score(&self) -> Result<Score, RequestError> {
        self.settled().await?;
        let (done, wait) = oneshot::channel();
        self.coordinator.do_send(AskScore(done));
        Ok(Score::of(&wait.await.map_err(|_| Busy::NoAnswer)?))
    }

    /// The last interactions of a person, newest first; with `before` those with smaller sequence numbers.
    ///
    /// # Errors
    /// Busy while the store cannot answer.
    pub async fn interactions_of_user(
        &self,
        user: UserId,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(Position, Entry)>, RequestError> {
        // The store skips all entries that are no interactions, so only a few of these queries run at once.
        let place = self.context.scans.enter(Some(user))?;
        let turn = place.turn().await;
        let found = self.context.store.newest(Slice::User(user), before, limit).await;
        drop(turn);
        Ok(found?)
    }

    /// Items by the words of their texts, best first.
    ///
    /// # Errors
    /// `rate_limited` while too many scans of this person are under way. Busy while too many are in total, or while the store
    /// cannot answer.
    pub async fn search(&self, person: Option<UserId>, search: SearchRequest) -> Result<Vec<SearchHit>, RequestError> {
        // A query of frequent words reads many rows, so only a few run at once.
        let place = self.context.scans.enter(person)?;
        let SearchRequest { query, required, available_at, skip, limit } = search;
        let mut only = None;
        if !required.is_empty() || available_at.is_some() {
            let world = self.world();
            only = Some(Arc::new(place.run(move || admitted(&world, &required, available_at)).await?));
        }
        let search = TextSearch { query, only, skip, limit };
        let turn = place.turn().await;
        let found = self.context.store.search(search).await;
        drop(turn);
        Ok(found?)
    }

    /// The last interactions with an item, newest first; with `before` those at smaller positions.
    ///
    /// # Errors
    /// Busy while the store cannot answer.
    pub async fn interactions_with_item(
        &self,
        item: ItemId,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<(Position, Entry)>, RequestError> {
        Ok(self.context.store.newest(Slice::Item(item), before, limit).await?)
    }
}
