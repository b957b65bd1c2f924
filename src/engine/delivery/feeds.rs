//! The feeds of one person: which feed stands per view, when it is ranked again, and what each subscription is sent.
//!
//! Invariant: versions rise with each feed. All subscriptions with equal views share one standing feed. Once the line is
//! quiet, each client shows the entries and the order that [`Feeds::request`] answers. No standing feed keeps an item that
//! closed, longer than until the next event.
//! Deliberately absent: sockets, frames and timers; the shares of a thread that refreshes may take (`refresh::Pace`).

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use crate::domain::feeds::{Cause, Feed, FeedItem};
use crate::domain::ids::{FeedVersion, ItemId, UserId};
use crate::domain::time::{Millis, SECOND_MS};
use crate::engine::delivery::events::{Delivery, FeedEvent, FeedPage, Moment, RankedFeed, Ranker};
use crate::engine::delivery::flow_control::FlowControl;
use crate::engine::delivery::refresh::FeedRefresh;
use crate::engine::delivery::standing::{FeedView, StandingFeed};
use crate::engine::world::Changes;

/// Milliseconds for which further messages may postpone a feed that is due.
pub(crate) const RANK_DELAY_MAX_MS: i64 = 50;
/// Rankings of the whole catalogue that requests of one person may cause within a second.
pub(crate) const REQUESTED_RANKINGS_MAX: u32 = 200;
/// Acknowledged feeds that are kept for clients that reconnect.
const DEPARTED_MAX: usize = 8;
/// Announced closings that are remembered until the message about them arrives.
const ANNOUNCED_MAX: usize = 1_000;

/// The state of one subscription.
#[derive(Clone, Debug)]
struct Subscribed {
    view: FeedView,
    flow: FlowControl<StandingFeed>,
}

impl Subscribed {
    /// The feeds that the client may show now, or will show once it acknowledges: acknowledged, in flight, pending.
    fn feeds(&self) -> impl Iterator<Item = &Arc<StandingFeed>> {
        self.flow.acknowledged_feed().into_iter().chain(self.flow.in_flight_feed()).chain(self.flow.pending_feed())
    }
}

/// The state of delivery for one person.
#[derive(Clone, Debug)]
pub struct Feeds<S> {
    user: UserId,
    version: FeedVersion,
    subscriptions: BTreeMap<S, Subscribed>,
    /// The newest feed of each view.
    standing: Vec<(FeedView, Arc<StandingFeed>)>,
    /// Feeds that closed subscriptions had acknowledged, oldest first.
    departed: VecDeque<(FeedView, Arc<StandingFeed>)>,
    /// Closed items that were announced when a feed lost them, before the message about their closing arrived.
    announced: VecDeque<ItemId>,
    /// The reason for which feeds are due, and since when.
    due: Option<(Cause, Millis)>,
    refresh: FeedRefresh,
    /// The start of the current second of requests, and the rankings that they caused in it.
    requested: (Millis, u32),
    deliveries: Vec<Delivery<S>>,
    /// `live` messages, which are sent after the feeds of the event that causes them.
    words: Vec<Delivery<S>>,
}

impl<S: Copy + Ord> Feeds<S> {
    /// No subscription is open.
    #[must_use]
    pub fn new(user: UserId, now: Millis) -> Feeds<S> {
        Feeds {
            user,
            // Above all versions of earlier incarnations, as no person gets a hundred feeds per millisecond for long.
            version: FeedVersion(now.0.max(0) as u64 * 100),
            subscriptions: BTreeMap::new(),
            standing: Vec::new(),
            departed: VecDeque::new(),
            announced: VecDeque::new(),
            due: None,
            refresh: FeedRefresh::new(0, now),
            requested: (now, 0),
            deliveries: Vec::new(),
            words: Vec::new(),
        }
    }

    /// The version of the newest feed.
    #[must_use]
    pub fn version(&self) -> FeedVersion {
        self.version
    }

    /// Whether no subscription is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.subscriptions.is_empty()
    }

    /// Whether feeds are due and [`FeedEvent::BurstOver`] is awaited.
    #[must_use]
    pub fn is_due(&self) -> bool {
        self.due.is_some()
    }

    /// When [`FeedEvent::Refresh`] is due, while `published` is the number of the newest publication.
    #[must_use]
    pub fn refresh_due_at(&self, published: u64) -> Millis {
        self.refresh.due_at(published)
    }

    /// The feed that a subscription's client acknowledged last.
    #[must_use]
    pub fn shown_to(&self, subscription: S) -> Option<&Arc<StandingFeed>> {
        self.subscriptions.get(&subscription)?.flow.acknowledged_feed()
    }

    /// Counts one ranking that a request causes. `false`: the person's rate limit is reached, so rank nothing.
    pub fn may_rank(&mut self, now: Millis) -> bool {
        let (since, count) = &mut self.requested;
        if now < *since || now.since(*since) >= SECOND_MS {
            (*since, *count) = (now, 0);
        }
        *count = count.saturating_add(1);
        *count <= REQUESTED_RANKINGS_MAX
    }

    /// Takes an event and returns the deliveries that follow, in order.
    pub fn apply(&mut self, event: FeedEvent<'_, S>, ranker: &mut dyn Ranker, at: Moment) -> Vec<Delivery<S>> {
        match event {
            FeedEvent::Attach { subscription, view, resume } => self.attach(subscription, view, resume, ranker, at),
            FeedEvent::Detach(subscription) => self.detach(subscription),
            FeedEvent::Acknowledged(subscription, version) => self.acknowledged(subscription, version, at),
            FeedEvent::Configure(subscription, view) => self.configure(subscription, view, ranker, at),
            FeedEvent::Due(cause) => self.due(cause, ranker, at),
            FeedEvent::BurstOver => self.rank_due(ranker, at),
            FeedEvent::WorldChanged(changes) => self.world_changed(changes, ranker, at),
            FeedEvent::Refresh => self.refresh_all(ranker, at),
            FeedEvent::Tick => self.tick(ranker, at),
        }
        self.take_deliveries()
    }

    /// The feed for a request, and the deliveries that it causes. Where a subscription has this ranking and limit, the
    /// answer is the feed of that subscription. `None`: the person's rate limit is reached.
    pub fn request(&mut self, view: FeedView, ranker: &mut dyn Ranker, at: Moment) -> (Option<Feed>, Vec<Delivery<S>>) {
        self.rank_due(ranker, at);
        let open = self.open_view(view);
        if open.is_some() && self.refresh.due_at(at.published) <= at.now {
            self.refresh_all(ranker, at);
        }
        let standing = open.and_then(|open| self.standing.iter().find(|(known, _)| *known == open)).cloned();
        let answer = match standing {
            Some((open, standing)) if open.explain == view.explain => Some(standing.feed.clone()),
            Some((_, standing)) if !view.explain => {
                let bare = |one: &FeedItem| FeedItem { why: Vec::new(), ..one.clone() };
                Some(Feed { items: standing.feed.items.iter().map(bare).collect(), ..standing.feed.clone() })
            }
            // Everything below ranks the whole catalogue.
            _ if !self.may_rank(at.now) => None,
            Some((_, standing)) => Some(self.explained(view, &standing, ranker)),
            None => {
                let ranked = ranker.rank(view, self.version, &[], at.now);
                Some(self.feed_of(view, self.version, &ranked))
            }
        };
        (answer, self.take_deliveries())
    }

    /// The items after the first `after`, with the noise and the screen of the feed that the page continues. `None` for an
    /// unknown subscription.
    pub fn page(&self, subscription: S, after: u32, ranker: &mut dyn Ranker, now: Millis) -> Option<FeedPage> {
        let one = self.subscriptions.get(&subscription)?;
        let upto = after.saturating_add(one.view.limit);
        let noise = one.flow.acknowledged_feed().map_or(self.version, |feed| feed.noise);
        let drawn = self.drawn_items(one.view);
        // One item more than the page holds tells whether it is the last one.
        let view = FeedView { limit: upto.saturating_add(1), ..one.view };
        let mut ranked = ranker.rank(view, noise, &drawn, now);
        let is_last = ranked.items.len() <= upto as usize;
        ranked.items.truncate(upto as usize);
        ranked.likely.truncate(upto as usize);
        ranked.faces.truncate(upto as usize);
        Some(FeedPage { ranked, is_last })
    }

    // ---- subscriptions ----

    fn attach(
        &mut self,
        subscription: S,
        view: FeedView,
        resume: Option<FeedVersion>,
        ranker: &mut dyn Ranker,
        at: Moment,
    ) {
        let known = resume.and_then(|version| self.remembered(view, version));
        let flow = known.map_or_else(FlowControl::new, |feed| FlowControl::resumed(feed.feed.version, feed));
        self.subscriptions.insert(subscription, Subscribed { view, flow });
        self.rank_view(view, Cause::Opened, ranker, at);
    }

    /// The feed of this version that a reconnecting client still shows, if it is kept.
    fn remembered(&self, view: FeedView, version: FeedVersion) -> Option<Arc<StandingFeed>> {
        let open = self.subscriptions.values().filter_map(|one| Some((one.view, one.flow.acknowledged_feed()?)));
        open.chain(self.departed.iter().map(|(view, feed)| (*view, feed)))
            .find(|(known, feed)| *known == view && feed.feed.version == version)
            .map(|(_, feed)| feed.clone())
    }

    fn detach(&mut self, subscription: S) {
        let Some(one) = self.subscriptions.remove(&subscription) else { return };
        if let Some(feed) = one.flow.acknowledged_feed() {
            if self.departed.len() == DEPARTED_MAX {
                self.departed.pop_front();
            }
            self.departed.push_back((one.view, feed.clone()));
        }
        self.forget_closed_views();
    }

    fn configure(&mut self, subscription: S, view: FeedView, ranker: &mut dyn Ranker, at: Moment) {
        let Some(one) = self.subscriptions.get_mut(&subscription) else { return };
        one.view = view;
        self.rank_view(view, Cause::Configured, ranker, at);
    }

    fn acknowledged(&mut self, subscription: S, version: FeedVersion, at: Moment) {
        let Some(one) = self.subscriptions.get_mut(&subscription) else { return };
        let before = one.flow.acknowledged_version();
        let update = one.flow.acknowledge(version, at.now);
        if let Some(feed) = one.flow.acknowledged_feed().filter(|feed| Some(feed.feed.version) != before) {
            self.deliveries.push(Delivery::Shown(feed.clone()));
        }
        self.deliveries.extend(update.map(|update| Delivery::Feed { to: subscription, update }));
    }

    fn forget_closed_views(&mut self) {
        let subscriptions = &self.subscriptions;
        self.standing.retain(|(view, _)| subscriptions.values().any(|one| one.view == *view));
    }

    /// The open view with this ranking and limit; preferably the one with this `explain`.
    fn open_view(&self, view: FeedView) -> Option<FeedView> {
        let alike = |known: &FeedView| known.ranking == view.ranking && known.limit == view.limit;
        let open = || self.subscriptions.values().map(|one| one.view);
        open().find(|known| *known == view).or_else(|| open().find(alike))
    }

    /// The items on the screens of this view: those of the newest acknowledged feed.
    fn drawn_items(&self, view: FeedView) -> Vec<ItemId> {
        let screens = self.subscriptions.values().filter(|one| one.view == view);
        let newest = screens.filter_map(|one| one.flow.acknowledged_feed()).max_by_key(|feed| feed.feed.version);
        newest.map_or(Vec::new(), |feed| feed.ids())
    }

    // ---- ranking ----

    /// Feeds are outdated. A person's own event keeps its cause when a change of the world follows within the burst.
    fn due(&mut self, cause: Cause, ranker: &mut dyn Ranker, at: Moment) {
        match self.due.take() {
            None => {
                self.due = Some((cause, at.now));
                self.deliveries.push(Delivery::RankAfterBurst);
            }
            Some((first, since)) => {
                let cause = if first.outlives(&cause) { first } else { cause };
                // A clock that was set back does not postpone the ranking.
                self.due = Some((cause, since.min(at.now)));
                if at.now.since(since) > RANK_DELAY_MAX_MS {
                    self.rank_due(ranker, at);
                }
            }
        }
    }

    fn rank_due(&mut self, ranker: &mut dyn Ranker, at: Moment) {
        let Some((cause, _)) = self.due.take() else { return };
        self.forget_closed_views();
        let mut views: Vec<FeedView> = self.subscriptions.values().map(|one| one.view).collect();
        views.sort_unstable();
        views.dedup();
        for view in views {
            let next = self.make(view, cause.clone(), ranker, at);
            let next = self.stand(view, next, ranker);
            self.offer(view, &next, at);
        }
        self.refresh.ranked(at.published, at.now);
    }

    /// Ranks one view. All its subscriptions get the feed, so that they stay in step.
    fn rank_view(&mut self, view: FeedView, cause: Cause, ranker: &mut dyn Ranker, at: Moment) {
        self.forget_closed_views();
        let next = self.make(view, cause, ranker, at);
        let next = self.stand(view, next, ranker);
        self.offer(view, &next, at);
        if self.standing.len() == 1 {
            self.refresh.ranked(at.published, at.now);
        }
    }

    fn refresh_all(&mut self, ranker: &mut dyn Ranker, at: Moment) {
        self.forget_closed_views();
        let mut moved = false;
        for (view, before) in self.standing.clone() {
            // Under the conditions of the feed before: without a change of data, no item moves.
            let mut next = self.make_with(view, Cause::Refreshed, before.noise, before.drawn.clone(), ranker, at);
            let mut is_news = next.differs_from(&before);
            if is_news && ranker.keeps_to_screen() {
                // The feed moves anyway, so it is ranked for the current screen.
                next = self.make_with(view, Cause::Refreshed, before.noise, self.drawn_items(view), ranker, at);
                is_news = next.differs_from(&before);
            }
            if is_news {
                self.version = FeedVersion(self.version.0 + 1);
                next.feed.version = self.version;
                let next = self.stand(view, next, ranker);
                self.offer(view, &next, at);
                moved = true;
            } else {
                // Nothing is sent: clients keep their version, and requests get the newer scores.
                (next.feed.version, next.cause) = (before.feed.version, before.cause.clone());
                self.stand(view, next, ranker);
            }
        }
        self.refresh.refreshed(at.published, moved, at.now);
    }

    fn make(&mut self, view: FeedView, cause: Cause, ranker: &mut dyn Ranker, at: Moment) -> StandingFeed {
        self.version = FeedVersion(self.version.0 + 1);
        self.make_with(view, cause, self.version, self.drawn_items(view), ranker, at)
    }

    /// Ranks a feed under the newest version, with the noise of version `noise`, for a screen that shows `drawn`.
    fn make_with(
        &self,
        view: FeedView,
        cause: Cause,
        noise: FeedVersion,
        drawn: Vec<ItemId>,
        ranker: &mut dyn Ranker,
        at: Moment,
    ) -> StandingFeed {
        let ranked = ranker.rank(view, noise, &drawn, at.now);
        StandingFeed {
            feed: self.feed_of(view, self.version, &ranked),
            entry_threshold: ranked.entry_threshold,
            faces: ranked.faces,
            cause,
            made: at.now,
            noise,
            drawn,
            rank_us: ranked.rank_us,
        }
    }

    fn feed_of(&self, view: FeedView, version: FeedVersion, ranked: &RankedFeed) -> Feed {
        Feed {
            user: self.user,
            version,
            epoch: ranked.epoch,
            ranking: view.ranking,
            model: ranked.model,
            likely: ranked.likely.clone(),
            items: ranked.items.clone(),
        }
    }

    /// A standing feed with the contributions of the experts: ranked as of its instant, in the order that clients show.
    fn explained(&self, view: FeedView, standing: &StandingFeed, ranker: &mut dyn Ranker) -> Feed {
        let mut ranked = ranker.rank(view, standing.noise, &standing.drawn, standing.made);
        let place = |item: ItemId| standing.position(item).unwrap_or(usize::MAX);
        let mut order: Vec<usize> = (0..ranked.items.len()).collect();
        order.sort_by_key(|index| place(ranked.items[*index].item));
        ranked.likely = order.iter().filter_map(|index| ranked.likely.get(*index).copied()).collect();
        ranked.items = order.iter().map(|index| ranked.items[*index].clone()).collect();
        self.feed_of(view, standing.feed.version, &ranked)
    }

    // ---- sending ----

    /// Makes this the standing feed of a view. Announces items that the view loses because they closed.
    fn stand(&mut self, view: FeedView, next: StandingFeed, ranker: &dyn Ranker) -> Arc<StandingFeed> {
        let next = Arc::new(next);
        let Some((_, standing)) = self.standing.iter_mut().find(|(known, _)| *known == view) else {
            self.standing.push((view, next.clone()));
            return next;
        };
        let before = std::mem::replace(standing, next.clone());
        for item in before.feed.items.iter().map(|one| one.item) {
            if !next.contains(item) && !ranker.is_open(item, next.made) {
                self.announce_closing(item, ranker);
            }
        }
        next
    }

    /// Hands a feed to the flow control of each subscription with this view.
    fn offer(&mut self, view: FeedView, next: &Arc<StandingFeed>, at: Moment) {
        for (to, one) in self.subscriptions.iter_mut().filter(|(_, one)| one.view == view) {
            // The pending feed is replaced unseen. A cause for which the person waits is sent with the newer feed.
            let pending = one.flow.pending_feed().map(|pending| &pending.cause);
            let next = match pending.filter(|cause| cause.outlives(&next.cause)).cloned() {
                Some(cause) => Arc::new(StandingFeed { cause, ..StandingFeed::clone(next) }),
                None => next.clone(),
            };
            let update = one.flow.offer(next.feed.version, next, at.now);
            self.deliveries.extend(update.map(|update| Delivery::Feed { to: *to, update }));
        }
    }

    fn take_deliveries(&mut self) -> Vec<Delivery<S>> {
        let mut deliveries = std::mem::take(&mut self.deliveries);
        deliveries.append(&mut self.words);
        deliveries
    }

    // ---- the world and time ----

    fn world_changed(&mut self, changes: &Changes, ranker: &mut dyn Ranker, at: Moment) {
        self.forget_closed_views();
        let closed: Vec<ItemId> = changes.closed.iter().copied().filter(|item| self.is_on_screen(*item)).collect();
        if self.shows_closed(ranker, at.now) || self.is_concerned(changes, ranker, at.now) {
            let cause = Cause::World { epoch: ranker.epoch() };
            if let Some((first, since)) = self.due.take() {
                let cause = if first.outlives(&cause) { first } else { cause };
                self.due = Some((cause, since));
                self.rank_due(ranker, at);
            } else {
                self.rank_changed(changes, &cause, ranker, at);
            }
        }
        for item in &changes.closed {
            // A feed that lost the item before this message announced the closing already.
            if !self.take_announced(*item) && closed.contains(item) {
                self.word(*item, false, ranker);
            }
        }
        for item in changes.opened.iter().filter(|item| ranker.is_open(**item, at.now)) {
            self.take_announced(*item);
            if self.is_on_screen(*item) {
                self.word(*item, true, ranker);
            }
        }
    }

    /// Ranks all views and sends those feeds that the changes touch.
    fn rank_changed(&mut self, changes: &Changes, cause: &Cause, ranker: &mut dyn Ranker, at: Moment) {
        for (view, before) in self.standing.clone() {
            let next = self.make(view, cause.clone(), ranker, at);
            let touches = |feed: &StandingFeed| {
                feed.feed.items.iter().any(|one| changes.names(one.item) || !ranker.is_open(one.item, at.now))
            };
            if touches(&before) || touches(&next) {
                let next = self.stand(view, next, ranker);
                self.offer(view, &next, at);
            } else {
                // The following refresh sends the other moves. The newer threshold keeps this change from being ranked again.
                let threshold = next.entry_threshold;
                self.stand(view, StandingFeed { entry_threshold: threshold, ..StandingFeed::clone(&before) }, ranker);
            }
        }
    }

    fn is_concerned(&self, changes: &Changes, ranker: &mut dyn Ranker, now: Millis) -> bool {
        !changes.is_empty()
            && self.standing.iter().any(|(view, standing)| {
                ranker.is_concerned(changes, *view, &standing.feed.items, standing.entry_threshold, now)
            })
    }

    /// Whether a standing feed holds a closed item. No change names an item that opened and closed between two publications.
    fn shows_closed(&self, ranker: &dyn Ranker, now: Millis) -> bool {
        self.standing.iter().any(|(_, standing)| standing.feed.items.iter().any(|one| !ranker.is_open(one.item, now)))
    }

    fn tick(&mut self, ranker: &mut dyn Ranker, at: Moment) {
        for (to, one) in &mut self.subscriptions {
            let update = one.flow.tick(at.now);
            self.deliveries.extend(update.map(|update| Delivery::Feed { to: *to, update }));
        }
        if self.shows_closed(ranker, at.now) {
            self.world_changed(&Changes::default(), ranker, at);
        }
    }

    /// Whether a client shows the item, or will show it once it catches up.
    fn is_on_screen(&self, item: ItemId) -> bool {
        self.standing.iter().any(|(_, standing)| standing.contains(item))
            || self.subscriptions.values().flat_map(Subscribed::feeds).any(|feed| feed.contains(item))
    }

    /// Announces a closing once per event, and remembers it until the message about it arrives.
    fn announce_closing(&mut self, item: ItemId, ranker: &dyn Ranker) {
        if self.words.iter().any(|known| matches!(known, Delivery::Live { item: known, .. } if *known == item)) {
            return;
        }
        if !self.announced.contains(&item) {
            if self.announced.len() == ANNOUNCED_MAX {
                self.announced.pop_front();
            }
            self.announced.push_back(item);
        }
        self.word(item, false, ranker);
    }

    /// Removes the memory of an announced closing; `true` if there was one.
    fn take_announced(&mut self, item: ItemId) -> bool {
        let before = self.announced.len();
        self.announced.retain(|one| *one != item);
        self.announced.len() != before
    }

    fn word(&mut self, item: ItemId, available: bool, ranker: &dyn Ranker) {
        if ranker.has_windows(item) {
            self.words.push(Delivery::Live { item, available });
        }
    }
}
