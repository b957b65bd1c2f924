//! Reads of a user's state: the profile that ranking reads, scores of items, and predictions.
//!
//! Invariant: learned state never changes here; only the user vector cache is refreshed.

use super::{UserState, author_fade};
use crate::domain::feeds::{FeedItem, Ranking};
use crate::domain::ids::{ItemId, TopicId, UserId};
use crate::domain::items::Item;
use crate::domain::journal::CentreRef;
use crate::domain::time::Millis;
use crate::engine::evidence::user_profile::UserProfile;
use crate::engine::learners::person::history::{Past, SESSION_BREAK_MS, Sign};
use crate::engine::learners::person::online::Prediction;
use crate::engine::learners::person::quadratic::Form;
use crate::engine::learners::shared::popularity::Opinions;
use crate::engine::rank::stage::topic_shares;
use crate::engine::rank::steer::Steering;
use crate::engine::rank::{self, RankRequest, Ranked, Viewport};
use crate::engine::two_tower::TowerVector;
use crate::engine::world::World;

/// Prior strength of approval rates, in pseudo-observations: a topic's rate shrinks towards the user's own rate, and
/// the user's own rate towards the global one.
const TOPIC_PRIOR: f64 = 4.0;
const APPROVAL_PRIOR: f64 = 5.0;

impl UserState {
    /// The top items of `world.open_at(now)` for this user, with an empty screen. Changes nothing.
    #[must_use]
    pub fn rank(&self, world: &World, now: Millis, request: RankRequest) -> Vec<FeedItem> {
        self.rank_on(world, now, request, Viewport::default()).items
    }

    /// The feed of this version for a screen with known contents. Changes nothing.
    #[must_use]
    pub fn rank_on(&self, world: &World, now: Millis, request: RankRequest, viewport: Viewport<'_>) -> Ranked {
        rank::rank(world, &world.open_at(now), &self.profile(world, now, request.ranking), now, request, viewport)
    }

    /// The top items that the steering admits, with its boosts in their scores. Changes nothing.
    #[must_use]
    pub fn rank_steered(&self, world: &World, now: Millis, request: RankRequest, steering: &Steering) -> Vec<FeedItem> {
        rank::steered(world, &self.profile(world, now, request.ranking), now, request, steering)
    }

    /// Can this change of the world alter the user's feed? `shown` are the feed's items, `entry_threshold` is that of
    /// [`Ranked`]. `closed` and `updated` items matter when the feed contains them; `opened` and `updated` ones when
    /// they could enter it.
    #[must_use]
    pub fn is_concerned(
        &self,
        world: &World,
        changes: &crate::engine::world::Changes,
        shown: &[FeedItem],
        ranking: Ranking,
        entry_threshold: f32,
        now: Millis,
    ) -> bool {
        let in_feed = |item: &ItemId| shown.iter().any(|one| one.item == *item);
        if changes.closed.iter().chain(&changes.updated).any(in_feed) {
            return true;
        }
        let mut appeared = changes.opened.iter().chain(&changes.updated).filter(|item| !in_feed(item));
        match ranking {
            // The check runs for thousands of users at once, and few are affected: it scores only the new items.
            Ranking::Model | Ranking::Tower => appeared.any(|item| {
                !self.hidden.contains(item.0)
                    && world.is_open(*item, now)
                    && self.score_of(world, *item, now, ranking).is_some_and(|score| score >= entry_threshold)
            }),
            // Flat and topic feeds are ordered by time, so only an item's author decides whether it enters.
            Ranking::Flat | Ranking::Topics if !self.follows.is_empty() => appeared.any(|item| {
                world
                    .item(*item)
                    .and_then(|item| item.author.as_ref())
                    .is_some_and(|author| author.id == self.user || self.follows.binary_search(&author.id).is_ok())
            }),
            Ranking::Flat | Ranking::Topics => appeared.any(|item| !self.hidden.contains(item.0)),
        }
    }

    /// Writes the log-odds of the `model` ranking for these items into `out`, in their order. Changes nothing.
    pub fn score_items(&self, world: &World, items: &[ItemId], now: Millis, out: &mut Vec<f32>) {
        rank::scores(world, &self.profile(world, now, Ranking::Model), items, now, out);
    }

    /// Log-odds of one item by the `model` or `tower` ranking; `None` for an item that this world does not have. Equals
    /// the score in a feed bit by bit, at a fraction of the cost. Changes nothing.
    #[must_use]
    pub fn score_of(&self, world: &World, item: ItemId, now: Millis, ranking: Ranking) -> Option<f32> {
        let profile = self.profile_for_item(world, world.item(item)?, now, ranking);
        Some(rank::score_of(world, &profile, item, now, ranking))
    }

    /// Calibrated log-odds that the user approves of this item; `None` for an item that this world does not have.
    #[must_use]
    pub fn approval_of(&self, world: &World, item: ItemId, now: Millis) -> Option<f32> {
        world.item(item)?;
        let profile = self.profile(world, now, Ranking::Model);
        let rows = rank::rows(world, &profile, &[item], now);
        Some(world.opinion().log_odds(rows.first()?, &self.own_opinion))
    }

    /// Approval probabilities in (0, 1) of these items, in their order. Empty for rankings other than `model`, and
    /// before enough positive and negative answers calibrated the opinion model.
    #[must_use]
    pub fn likely(&self, world: &World, ranking: Ranking, items: &[FeedItem], now: Millis) -> Vec<f32> {
        let opinion = world.opinion();
        if ranking != Ranking::Model || !opinion.is_calibrated || items.is_empty() {
            return Vec::new();
        }
        let ids: Vec<ItemId> = items.iter().map(|one| one.item).collect();
        let rows = rank::rows(world, &self.profile(world, now, Ranking::Model), &ids, now);
        rows.iter().map(|row| opinion.probability(row, &self.own_opinion)).collect()
    }

    /// The online model's prediction for an item; `None` for an item that this world does not have. Changes nothing.
    #[must_use]
    pub fn predict(&self, world: &World, item: ItemId) -> Option<Prediction> {
        let x = world.centred(item)?;
        Some(self.online.predict(&world.example(item, &x)?, world, world.settings().online()))
    }

    /// Topic shares of the positive interactions in the history; they sum to 1.
    fn topic_shares(&self, world: &World) -> Vec<(u32, f64)> {
        let liked = |past: &&Past| past.sign == Sign::Positive;
        topic_shares(self.history.iter().filter(liked).filter_map(|past| Some(&world.item(past.item)?.topics[..])))
    }

    /// Refreshes the user vector cache with the world's two-tower model, so that later reads at `now` need no
    /// inference. Reads without this call give equal results, but each one runs its own inference.
    pub fn look(&mut self, world: &World, now: Millis) {
        let Some(tower) = world.tower() else { return };
        self.user_vector.refresh(tower, self.seq, self.history.iter(), now);
    }

    /// Calls [`UserState::look`] if this ranking uses the two-tower model.
    pub(crate) fn look_for(&mut self, ranking: Ranking, world: &World, now: Millis) {
        if ranking.asks_the_tower() {
            self.look(world, now);
        }
    }

    /// The user vector by the world's two-tower model; `None` without a model.
    #[must_use]
    pub fn tower_vector(&self, world: &World, now: Millis) -> Option<TowerVector> {
        Some(self.user_vector.vector(world.tower()?, self.seq, self.history.iter(), now))
    }

    /// The user profile that a ranking reads.
    pub(crate) fn profile(&self, world: &World, now: Millis, ranking: Ranking) -> UserProfile<'_> {
        UserProfile {
            tower: if ranking.asks_the_tower() { self.tower_vector(world, now) } else { None },
            weights: self.online.weights(),
            precision: self.online.precision(),
            shares: if world.settings().rank.calibration > 0.0 { self.topic_shares(world) } else { Vec::new() },
            forms: self.forms(world),
            topics: self.topics.all(now, world.settings().topic_decay()).map(|(topic, s)| (topic, s as f32)).collect(),
            follows: &self.follows,
            user: self.user,
            hidden: &self.hidden,
            visits: &self.visits,
            history: &self.history,
            authors: self.author_weights(now),
            opinions: self.topic_opinions(now),
            approval: self.approval.log_odds(now, world.popularity().approval(), APPROVAL_PRIOR),
            session: if now.since(self.session.1) < SESSION_BREAK_MS { self.session.0 } else { 0 },
            offset: &self.offset,
            group: self.group(world),
        }
    }

    /// The user's cluster; `None` for outliers and for users that the last fit did not contain.
    pub(super) fn group(&self, world: &World) -> Option<u32> {
        world.clusters()?.member(self.user).filter(|member| !member.outlier).map(|member| member.group)
    }

    /// The user profile for scoring one item; it contains only the entries that the item needs.
    fn profile_for_item(&self, world: &World, item: &Item, now: Millis, ranking: Ranking) -> UserProfile<'_> {
        let settings = world.settings();
        let centre = world.centre_of(item.main_topic());
        let author = item.author.as_ref().map(|author| author.id);
        let authors = self.authors.iter().filter(|(known, ..)| Some(*known) == author);
        let rate = self.approval.rate();
        let opinions = self.opinions.iter().filter(|(topic, _)| *topic == item.main_topic());
        let mut topics: Vec<TopicId> = item.topics.iter().copied().chain([item.main_topic()]).collect();
        topics.sort_unstable();
        topics.dedup();
        UserProfile {
            tower: if ranking.asks_the_tower() { self.tower_vector(world, now) } else { None },
            weights: self.online.weights(),
            precision: self.online.precision(),
            shares: Vec::new(),
            forms: self.online.form(centre, world).map(|form| (centre, form)).into_iter().collect(),
            topics: topics
                .iter()
                .map(|topic| (*topic, self.topics.at(*topic, now, settings.topic_decay()) as f32))
                .collect(),
            follows: &self.follows,
            user: self.user,
            hidden: &self.hidden,
            visits: &self.visits,
            history: &self.history,
            authors: authors.map(|(author, count, last)| (*author, count * author_fade(now, *last))).collect(),
            opinions: opinions.map(|(topic, of)| (*topic, of.log_odds(now, rate, TOPIC_PRIOR))).collect(),
            approval: self.approval.log_odds(now, world.popularity().approval(), APPROVAL_PRIOR),
            session: if now.since(self.session.1) < SESSION_BREAK_MS { self.session.0 } else { 0 },
            offset: &self.offset,
            group: self.group(world),
        }
    }

    /// Quadratic forms that the online model learned of whole topics, by the current centre of each topic.
    fn forms(&self, world: &World) -> Vec<(CentreRef, Form)> {
        let topics = self.online.quadratics().iter().map(|learned| learned.centre.topic);
        topics
            .map(|topic| (topic, world.centre_of(topic)))
            .filter(|(topic, centre)| centre.topic == *topic)
            .filter_map(|(_, centre)| Some((centre, self.online.form(centre, world)?)))
            .collect()
    }

    fn author_weights(&self, now: Millis) -> Vec<(UserId, f32)> {
        let mut weights: Vec<(UserId, f32)> =
            self.authors.iter().map(|(author, count, last)| (*author, count * author_fade(now, *last))).collect();
        weights.sort_unstable_by_key(|(author, _)| *author);
        weights
    }

    fn topic_opinions(&self, now: Millis) -> Vec<(TopicId, f32)> {
        let rate = self.approval.rate();
        let of = |(topic, opinions): &(TopicId, Opinions)| (*topic, opinions.log_odds(now, rate, TOPIC_PRIOR));
        let mut all: Vec<(TopicId, f32)> = self.opinions.iter().map(of).collect();
        all.sort_unstable_by_key(|(topic, _)| *topic);
        all
    }
}
