//! A person's feeds with a small made-up world, and clients at the ends of ordered lines.
//!
//! Invariant: each delivery is checked as a client relies on it; a step never fails otherwise.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use proptest::prelude::*;

use crate::domain::feeds::{Cause, FeedItem, Ranking};
use crate::domain::ids::{Epoch, FeedVersion, ItemId, Key, UserId};
use crate::domain::time::Millis;
use crate::engine::delivery::events::{Delivery, FeedEvent, Moment, RankedFeed, Ranker};
use crate::engine::delivery::feeds::Feeds;
use crate::engine::delivery::flow_control::{FeedUpdate, FlowControl};
use crate::engine::delivery::patch::apply;
use crate::engine::delivery::refresh::FeedRefresh;
use crate::engine::delivery::standing::{Face, FeedView, StandingFeed};
use crate::engine::world::Changes;

/// Items of the made-up world. The last one is always available; the others have windows.
pub(super) const ITEMS: u32 = 8;
pub(super) const SUBSCRIPTIONS: u8 = 3;
pub(super) const START: Millis = Millis(1_000_000);

/// A world as it is at this instant: the person's score of each item, the revision of its face, and whether it is open.
/// Availability changes when time passes, before a publication says so.
#[derive(Clone, Debug)]
pub(super) struct LittleWorld {
    pub(super) scores: Vec<i32>,
    pub(super) revisions: Vec<u32>,
    pub(super) open: BTreeSet<u32>,
    pub(super) epoch: u64,
    /// The order depends on the items that the client shows.
    pub(super) keeps: bool,
}

impl LittleWorld {
    fn score(&self, item: u32, drawn: &[ItemId]) -> i32 {
        let bonus = if self.keeps && drawn.first() == Some(&ItemId(item)) { 3 } else { 0 };
        self.scores[item as usize] + bonus
    }
}

impl Ranker for LittleWorld {
    fn epoch(&self) -> Epoch {
        Epoch(self.epoch)
    }

    fn rank(&mut self, view: FeedView, _: FeedVersion, drawn: &[ItemId], _: Millis) -> RankedFeed {
        let mut open: Vec<u32> = self.open.iter().copied().collect();
        open.sort_by_key(|item| (-self.score(*item, drawn), *item));
        open.truncate(view.limit as usize);
        let full = open.len() == view.limit as usize;
        let threshold = open.last().filter(|_| full).map_or(f32::NEG_INFINITY, |last| self.score(*last, drawn) as f32);
        let item = |id: &u32| FeedItem {
            item: ItemId(*id),
            score: self.score(*id, drawn) as f32,
            propensity: 1.0,
            why: Vec::new(),
        };
        RankedFeed {
            epoch: self.epoch(),
            model: None,
            items: open.iter().map(item).collect(),
            likely: Vec::new(),
            faces: open.iter().map(|id| self.face(*id)).collect(),
            entry_threshold: threshold,
            rank_us: 0,
        }
    }

    fn is_open(&self, item: ItemId, _: Millis) -> bool {
        self.open.contains(&item.0)
    }

    fn has_windows(&self, item: ItemId) -> bool {
        item.0 != ITEMS - 1
    }

    fn is_concerned(
        &mut self,
        changes: &Changes,
        _: FeedView,
        items: &[FeedItem],
        entry_threshold: f32,
        _: Millis,
    ) -> bool {
        let in_feed = |item: &ItemId| items.iter().any(|one| one.item == *item);
        changes.closed.iter().chain(&changes.updated).any(in_feed)
            || changes.opened.iter().chain(&changes.updated).any(|item| {
                !in_feed(item) && self.open.contains(&item.0) && self.score(item.0, &[]) as f32 >= entry_threshold
            })
    }

    fn keeps_to_screen(&self) -> bool {
        self.keeps
    }
}

impl LittleWorld {
    pub(super) fn face(&self, id: u32) -> Face {
        Face {
            key: Key::new(&format!("item-{id}")).unwrap(),
            author: None,
            topic: None,
            text: Arc::from(format!("revision {}", self.revisions[id as usize])),
            created: Millis(0),
            available_until: None,
            expected_until: None,
            is_live: self.has_windows(ItemId(id)),
        }
    }
}

/// One step of a script.
#[derive(Clone, Debug)]
pub(super) enum Step {
    Attach(u8, u8, bool),
    Detach(u8),
    Configure(u8, u8),
    /// The client takes the next message off its line, and its acknowledgement is under way.
    Receive(u8),
    /// The client's oldest acknowledgement on the line arrives.
    AckArrives(u8),
    /// The person acts: an item's score changes for them.
    Own(u32, i32),
    BurstOver,
    /// An item opens or closes as time passes. No publication says so yet.
    Edge(u32),
    Update(u32),
    /// Data of all people moves an item's score. The next publication carries it.
    Others(u32, i32),
    Publish,
    /// The message about the oldest publication without one arrives.
    Announce,
    Refresh,
    Request(u8),
    Wait(i64),
    Tick,
}

pub(super) fn any_step() -> impl Strategy<Value = Step> {
    let who = || 0..SUBSCRIPTIONS;
    let item = || 0..ITEMS - 1;
    prop_oneof![
        2 => (who(), 0..3_u8, any::<bool>()).prop_map(|(who, view, resume)| Step::Attach(who, view, resume)),
        1 => who().prop_map(Step::Detach),
        1 => (who(), 0..3_u8).prop_map(|(who, view)| Step::Configure(who, view)),
        6 => who().prop_map(Step::Receive),
        6 => who().prop_map(Step::AckArrives),
        3 => (0..ITEMS, -9..9_i32).prop_map(|(item, score)| Step::Own(item, score)),
        3 => Just(Step::BurstOver),
        4 => item().prop_map(Step::Edge),
        1 => (0..ITEMS).prop_map(Step::Update),
        2 => (0..ITEMS, -9..9_i32).prop_map(|(item, score)| Step::Others(item, score)),
        3 => Just(Step::Publish),
        3 => Just(Step::Announce),
        2 => Just(Step::Refresh),
        1 => (0..3_u8).prop_map(Step::Request),
        2 => prop_oneof![0..200_i64, 4_000..7_000_i64].prop_map(Step::Wait),
        2 => Just(Step::Tick),
    ]
}

pub(super) fn view(number: u8) -> FeedView {
    [(Ranking::Model, 4), (Ranking::Model, 2), (Ranking::Flat, 5)].map(|(ranking, limit)| FeedView {
        ranking,
        limit,
        explain: false,
    })[number as usize % 3]
}

/// A client at the end of an ordered line. It applies each update as a real one does.
#[derive(Default)]
pub(super) struct Client {
    pub(super) line: VecDeque<FeedUpdate<StandingFeed>>,
    pub(super) screen: Option<(FeedVersion, Vec<(ItemId, Face)>)>,
    pub(super) acks: VecDeque<FeedVersion>,
    /// Sent and not acknowledged, with the time of sending.
    pub(super) unacknowledged: Vec<(FeedVersion, Millis)>,
    pub(super) newest_sent: Option<FeedVersion>,
    pub(super) view: u8,
}

/// A person's feeds with the world and all clients around them.
pub(super) struct Line {
    pub(super) feeds: Feeds<u8>,
    /// The world as it is now, and as of the last publication.
    pub(super) world: LittleWorld,
    pub(super) published: LittleWorld,
    pub(super) publications: u64,
    pub(super) now: Millis,
    /// Items updated since the last publication.
    pub(super) updated: BTreeSet<u32>,
    /// Changes whose messages are under way.
    pub(super) messages: VecDeque<Changes>,
    pub(super) clients: BTreeMap<u8, Client>,
    /// Feeds that clients of earlier connections show: they may resume.
    pub(super) left: BTreeMap<u8, (FeedVersion, Vec<(ItemId, Face)>)>,
    /// All words `live`, in order.
    pub(super) words: Vec<(ItemId, bool)>,
    pub(super) must_rank: bool,
    pub(super) events: u64,
}

pub(super) type Checked = Result<(), TestCaseError>;

impl Line {
    pub(super) fn new(keeps: bool) -> Line {
        let world = LittleWorld {
            scores: (0..ITEMS as i32).map(|item| item % 5).collect(),
            revisions: vec![0; ITEMS as usize],
            open: (0..ITEMS).filter(|item| item % 3 != 0 || *item == ITEMS - 1).collect(),
            epoch: 1,
            keeps,
        };
        Line {
            feeds: Feeds::new(UserId(1), START),
            published: world.clone(),
            world,
            publications: 0,
            now: START,
            updated: BTreeSet::new(),
            messages: VecDeque::new(),
            clients: BTreeMap::new(),
            left: BTreeMap::new(),
            words: Vec::new(),
            must_rank: false,
            events: 0,
        }
    }

    /// The world that a ranking reads: faces and data of others as published, time and the person's own data as of now.
    fn ranker(&self) -> LittleWorld {
        LittleWorld { open: self.world.open.clone(), ..self.published.clone() }
    }

    pub(super) fn at(&self) -> Moment {
        Moment { now: self.now, published: self.publications }
    }

    pub(super) fn event(&mut self, event: FeedEvent<'_, u8>) -> Checked {
        let mut ranker = self.ranker();
        let at = self.at();
        let deliveries = self.feeds.apply(event, &mut ranker, at);
        self.carry_out(deliveries)
    }

    fn carry_out(&mut self, deliveries: Vec<Delivery<u8>>) -> Checked {
        for delivery in deliveries {
            match delivery {
                Delivery::Feed { to, update } => {
                    let (now, open) = (self.now, self.world.open.clone());
                    let client = self.clients.get_mut(&to).unwrap();
                    let feed = update.feed();
                    prop_assert!(
                        client.newest_sent.is_none_or(|newest| newest < feed.feed.version),
                        "versions rise within a session"
                    );
                    let recent = |(_, sent): &(FeedVersion, Millis)| {
                        now.since(*sent) < FlowControl::<StandingFeed>::ACK_TIMEOUT_MS
                    };
                    prop_assert!(!client.unacknowledged.iter().any(recent), "at most one feed is in flight");
                    if feed.made == now {
                        let closed = feed.feed.items.iter().find(|one| !open.contains(&one.item.0));
                        prop_assert!(closed.is_none(), "a feed holds available items only: {:?}", closed);
                    }
                    client.newest_sent = Some(feed.feed.version);
                    client.unacknowledged.push((feed.feed.version, now));
                    client.line.push_back(update);
                }
                Delivery::Live { item, available } => self.words.push((item, available)),
                Delivery::Shown(feed) => {
                    let shows = |client: &Client| client.screen.as_ref().is_some_and(|(v, _)| *v >= feed.feed.version);
                    prop_assert!(self.clients.values().any(shows), "a logged feed was on a screen");
                }
                Delivery::RankAfterBurst => self.must_rank = true,
            }
        }
        Ok(())
    }

    pub(super) fn receive(&mut self, who: u8) -> Checked {
        let Some(client) = self.clients.get_mut(&who) else { return Ok(()) };
        let Some(update) = client.line.pop_front() else { return Ok(()) };
        let whole = |feed: &StandingFeed| feed.ids().into_iter().zip(feed.faces.iter().cloned()).collect::<Vec<_>>();
        let screen = match &update {
            FeedUpdate::Whole(feed) => whole(feed),
            FeedUpdate::Patch { base, feed } => {
                let (version, screen) = client.screen.clone().unwrap();
                prop_assert_eq!(version, base.feed.version, "a patch names the feed that the client shows");
                // As a client does: steps over the ids, new faces of inserted and updated items only.
                let ids: Vec<ItemId> = screen.iter().map(|(id, _)| *id).collect();
                let steps = feed.steps_from(base);
                let mut faces: BTreeMap<ItemId, Face> = screen.into_iter().collect();
                for step in &steps {
                    use crate::engine::delivery::patch::Step::{Insert, Update};
                    if let Insert { item, .. } | Update { item } = step {
                        faces.insert(*item, feed.faces[feed.position(*item).unwrap()].clone());
                    }
                }
                apply(&ids, &steps).into_iter().map(|id| (id, faces[&id].clone())).collect()
            }
        };
        let feed = update.feed();
        prop_assert_eq!(&screen, &whole(feed), "an applied patch gives the feed that it leads to");
        client.screen = Some((feed.feed.version, screen));
        client.acks.push_back(feed.feed.version);
        Ok(())
    }

    fn ack_arrives(&mut self, who: u8) -> Checked {
        let Some(client) = self.clients.get_mut(&who) else { return Ok(()) };
        let Some(version) = client.acks.pop_front() else { return Ok(()) };
        client.unacknowledged.retain(|(sent, _)| *sent > version);
        self.event(FeedEvent::Acknowledged(who, version))
    }

    pub(super) fn detach(&mut self, who: u8) -> Checked {
        if let Some(client) = self.clients.remove(&who) {
            self.left.extend(client.screen.map(|screen| (who, screen)));
        }
        self.event(FeedEvent::Detach(who))
    }

    pub(super) fn publish(&mut self) {
        let before = std::mem::replace(&mut self.published, self.world.clone());
        self.published.epoch = before.epoch + 1;
        self.publications += 1;
        let ids = |items: Vec<u32>| items.into_iter().map(ItemId).collect::<Vec<_>>();
        let updated = std::mem::take(&mut self.updated);
        let opened: Vec<u32> = self.published.open.difference(&before.open).copied().collect();
        let updated = updated.into_iter().filter(|item| self.published.open.contains(item) && !opened.contains(item));
        self.messages.push_back(Changes {
            updated: ids(updated.collect()),
            closed: ids(before.open.difference(&self.published.open).copied().collect()),
            opened: ids(opened),
        });
    }

    pub(super) fn announce(&mut self) -> Checked {
        let Some(changes) = self.messages.pop_front() else { return Ok(()) };
        self.event(FeedEvent::WorldChanged(&changes))
    }

    pub(super) fn request(&mut self, view: FeedView) -> Result<Vec<ItemId>, TestCaseError> {
        let mut ranker = self.ranker();
        let at = self.at();
        let (feed, deliveries) = self.feeds.request(view, &mut ranker, at);
        self.carry_out(deliveries)?;
        Ok(feed.map_or(Vec::new(), |feed| feed.items.iter().map(|one| one.item).collect()))
    }

    pub(super) fn burst_over(&mut self) -> Checked {
        self.must_rank = false;
        self.event(FeedEvent::BurstOver)
    }

    pub(super) fn step(&mut self, step: Step) -> Checked {
        match step {
            Step::Attach(who, number, resume) => {
                self.detach(who)?;
                let resume = self.left.remove(&who).filter(|_| resume);
                let version = resume.as_ref().map(|(version, _)| *version);
                let client = Client { screen: resume, newest_sent: version, view: number, ..Client::default() };
                self.clients.insert(who, client);
                self.event(FeedEvent::Attach { subscription: who, view: view(number), resume: version })
            }
            Step::Detach(who) => self.detach(who),
            Step::Configure(who, number) => {
                let Some(client) = self.clients.get_mut(&who) else { return Ok(()) };
                client.view = number;
                self.event(FeedEvent::Configure(who, view(number)))
            }
            Step::Receive(who) => self.receive(who),
            Step::AckArrives(who) => self.ack_arrives(who),
            Step::Own(item, score) => {
                // The person's own data is no part of a publication.
                self.world.scores[item as usize] = score;
                self.published.scores[item as usize] = score;
                self.events += 1;
                let id = Key::of_number(self.events as u32);
                self.event(FeedEvent::Due(Cause::Event { id }))
            }
            Step::BurstOver => self.burst_over(),
            Step::Edge(item) => {
                // A feed that was made before an edge is older than the edge.
                self.now = self.now.plus(1);
                if !self.world.open.remove(&item) {
                    self.world.open.insert(item);
                }
                Ok(())
            }
            Step::Update(item) => {
                self.world.revisions[item as usize] += 1;
                self.updated.insert(item);
                Ok(())
            }
            Step::Others(item, score) => {
                self.world.scores[item as usize] = score;
                Ok(())
            }
            Step::Publish => {
                self.publish();
                Ok(())
            }
            Step::Announce => self.announce(),
            Step::Refresh => self.event(FeedEvent::Refresh),
            Step::Request(number) => self.request(view(number)).map(|_| ()),
            Step::Wait(ms) => {
                self.now = self.now.plus(ms);
                Ok(())
            }
            Step::Tick => self.event(FeedEvent::Tick),
        }
    }

    /// All publications are announced, all messages and acknowledgements arrive, and the pending refreshes are made.
    pub(super) fn quieten(&mut self) -> Checked {
        self.publish();
        while !self.messages.is_empty() {
            self.announce()?;
        }
        if self.must_rank {
            self.burst_over()?;
        }
        self.drain()?;
        self.event(FeedEvent::Tick)?;
        let waits = self.clients.values().any(|client| !client.line.is_empty());
        prop_assert!(!waits, "no feed waits once all acknowledgements have arrived");
        for _ in 0..2 {
            self.now = self.now.plus(FeedRefresh::PAUSE_MAX_MS);
            self.event(FeedEvent::Tick)?;
            self.event(FeedEvent::Refresh)?;
            self.drain()?;
        }
        Ok(())
    }

    /// The clients catch up.
    pub(super) fn drain(&mut self) -> Checked {
        let busy = |client: &Client| !client.line.is_empty() || !client.acks.is_empty();
        while self.clients.values().any(busy) {
            for who in self.clients.keys().copied().collect::<Vec<_>>() {
                self.receive(who)?;
                self.ack_arrives(who)?;
            }
        }
        Ok(())
    }
}
