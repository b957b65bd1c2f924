//! List-wise reranking and exploration through the engine: guarantees of a feed under any rules.
//!
//! Invariant under test: rules change the order and the last items, never the scores; a change of the world that alters
//! a feed concerns its user.

use std::sync::Arc;

use eddyline::domain::feeds::{FeedItem, Ranking};
use eddyline::domain::ids::{FeedVersion, ItemId, Key, Position, UserId};
use eddyline::domain::interactions::{Interaction, Kind};
use eddyline::domain::items::{Author, Embedding};
use eddyline::domain::time::Millis;
use eddyline::domain::windows::{Window, Windows};
use eddyline::engine::coordinator::{self, CoordinatorEvent, CoordinatorState, Draft, ItemWrite};
use eddyline::engine::delivery::flow_control::FlowControl;
use eddyline::engine::delivery::refresh::{FeedRefresh, moved};
use eddyline::engine::rank::{RankRequest, Viewport};
use eddyline::engine::settings::LearnSettings;
use eddyline::engine::settings::rank::RankSettings;
use eddyline::engine::user::{Effect, UserEvent, UserState};
use eddyline::engine::world::Changes;
use proptest::prelude::*;

const DIM: usize = 8;
const NOW: Millis = Millis(1_000_000);

fn key(text: &str) -> Key {
    Key::new(text).unwrap()
}

fn draft(number: u32) -> Draft {
    let numbers = (0..DIM as u32).map(|n| ((number * 31 + n * 17) % 29) as f32 / 7.0 - 2.0 + 0.01).collect();
    let author = Author { id: UserId(number % 4), key: key(&format!("author-{}", number % 4)) };
    Draft {
        attributes: None,
        key: key(&format!("item-{number}")),
        author: (!number.is_multiple_of(9)).then_some(author),
        topics: Some(vec![key(["sea", "sky", "land"][number as usize / 2 % 3])]),
        text: Some(format!("text {number}").into()),
        embedding: Some(Embedding::new(numbers, DIM).unwrap()),
        created: Some(Millis(i64::from(number * 7919 % 500) * 2_000)),
        windows: None,
    }
}

fn settings() -> impl Strategy<Value = RankSettings> {
    let caps = (0u32..4, 0u32..4, 0u32..5, 0u32..7);
    let off_or = |low: f32, high: f32| prop_oneof![2 => Just(0.0f32), 1 => low..high];
    (caps, 5u32..80, off_or(0.1, 2.0), off_or(0.1, 1.0), off_or(0.1, 2.0), 0u8..4, 0.2f32..0.9).prop_map(
        |(
            (author_run, topic_run, author_max, topic_max),
            pool,
            temperature,
            uncertainty,
            stability,
            which,
            strength,
        )| {
            RankSettings {
                pool,
                temperature,
                uncertainty,
                author_run,
                topic_run,
                author_max,
                topic_max,
                mmr_lambda: if which == 1 { strength } else { 1.0 },
                calibration: if which == 2 { strength } else { 0.0 },
                stability,
            }
        },
    )
}

/// A world of `count` items, and a user with preferences in it.
fn network(rank: RankSettings, count: u32, script: &[(u32, Kind)]) -> (CoordinatorState, UserState) {
    rank.check().unwrap();
    let settings = Arc::new(LearnSettings { rank, ..LearnSettings::default() });
    let mut coordinator = CoordinatorState::new(DIM, settings);
    let drafts = (0..count).map(|n| (draft(n), ItemWrite::Create)).collect();
    coordinator.apply(CoordinatorEvent::Items(drafts), NOW);
    let mut person = UserState::new(UserId(9));
    for (n, (item, kind)) in script.iter().enumerate() {
        let id = key(&format!("act-{n}"));
        let item = ItemId(item % count);
        let interaction =
            Interaction { id, item, kind: *kind, dwell_ms: None, at: NOW, shown: None, passed: Vec::new() };
        person.apply(UserEvent::Interacted(interaction), coordinator.world(), NOW);
    }
    (coordinator, person)
}

fn script() -> impl Strategy<Value = Vec<(u32, Kind)>> {
    prop::collection::vec(
        (0u32..60, prop::sample::select(vec![Kind::Like, Kind::Skip, Kind::Hide, Kind::Watch])),
        0..30,
    )
}

fn ids(items: &[FeedItem]) -> Vec<ItemId> {
    items.iter().map(|one| one.item).collect()
}

fn ask(limit: usize) -> RankRequest {
    RankRequest { ranking: Ranking::Model, limit, explain: true }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// No item is lost, repeated or hidden; scores and reasons equal those without rules. A shorter feed is a prefix of
    /// a longer one; an equal version gives an equal feed.
    #[test]
    fn rules_change_the_order_and_nothing_else(
        rank in settings(), script in script(), limit in 1usize..70, version in any::<u64>(), drawn in prop::collection::vec(0u32..60, 0..20)
    ) {
        let (coordinator, person) = network(rank, 60, &script);
        let (plain, again) = network(RankSettings { author_run: 0, ..RankSettings::default() }, 60, &script);
        let expected = again.rank(plain.world(), NOW, ask(60));
        let drawn: Vec<ItemId> = drawn.into_iter().map(ItemId).collect();
        let screen = Viewport { version: FeedVersion(version), drawn: &drawn };
        let all = person.rank_on(coordinator.world(), NOW, ask(60), screen).items;
        let (mut left, mut right) = (all.clone(), expected);
        prop_assert!(all.iter().all(|one| one.propensity > 0.0 && one.propensity <= 1.0));
        left.iter_mut().for_each(|one| one.propensity = 1.0);
        left.sort_by_key(|one| one.item);
        right.sort_by_key(|one| one.item);
        prop_assert_eq!(left, right);
        let some = person.rank_on(coordinator.world(), NOW, ask(limit), screen).items;
        prop_assert_eq!(&some[..], &all[..limit.min(all.len())]);
        prop_assert_eq!(&person.rank_on(coordinator.world(), NOW, ask(60), screen).items, &all);
        if rank.temperature == 0.0 {
            prop_assert!(all.iter().all(|one| one.propensity == 1.0));
        }
    }

    /// An item that opens and changes anything in the feed concerns the user.
    #[test]
    fn nobody_misses_a_push(
        rank in settings(), script in script(), limit in 1usize..12, count in 20u32..60, version in any::<u64>(), fresh in any::<bool>(),
        drawn in prop_oneof![Just(None), prop::collection::vec(0u32..60, 0..12).prop_map(Some)]
    ) {
        let (mut coordinator, person) = network(rank, count, &script);
        // The topic exists, so the item moves no centre when it opens.
        let created = Some(if fresh { NOW } else { Millis(0) });
        let closed = Windows::new(vec![Window { start: Millis(NOW.0 + 1), stop: None }]).unwrap();
        let new = Draft { created, windows: Some(closed), ..draft(count) };
        coordinator.apply(CoordinatorEvent::Items(vec![(new, ItemWrite::Create)]), NOW);
        let first: Vec<ItemId> = drawn.unwrap_or_default().into_iter().map(ItemId).filter(|item| item.0 < count).collect();
        let screen = Viewport { version: FeedVersion(version), drawn: &first };
        let before = person.rank_on(coordinator.world(), NOW, ask(limit), screen);
        // Drawn or not drawn meanwhile: the next feed is made for either screen.
        let seen = ids(&before.items);
        coordinator.apply(CoordinatorEvent::Windows(vec![(ItemId(count), Windows::default())]), NOW);
        let world = coordinator.world();
        let changes = Changes { opened: vec![ItemId(count)], ..Changes::default() };
        let concerned = person.is_concerned(world, &changes, &before.items, Ranking::Model, before.entry_threshold, NOW);
        for drawn in [&first, &seen] {
            let after = person.rank_on(world, NOW, ask(limit), Viewport { version: FeedVersion(version), drawn });
            if after.items.iter().any(|one| one.item == ItemId(count)) {
                prop_assert!(concerned, "floor {}", before.entry_threshold);
            }
            if !concerned && *drawn == first {
                prop_assert_eq!(ids(&after.items), ids(&before.items));
            }
        }
    }
}

/// An event while one user has an open feed.
#[derive(Clone, Copy, Debug)]
enum Happens {
    /// The user acts.
    Own(u32, Kind),
    /// Another user acts.
    Other(u32, u32, Kind),
    /// A new item is created.
    Made,
    /// An item opens now and closes after this many milliseconds.
    Window(u32, i64),
    /// The client draws the feed that it received.
    Draws,
    /// This many milliseconds pass.
    Waits(i64),
}

fn happens() -> impl Strategy<Value = Happens> {
    let kind = || prop::sample::select(vec![Kind::Like, Kind::Click, Kind::Skip, Kind::Hide, Kind::Watch]);
    prop_oneof![
        4 => (0u32..40, kind()).prop_map(|(item, kind)| Happens::Own(item, kind)),
        6 => (0u32..4, 0u32..40, kind()).prop_map(|(who, item, kind)| Happens::Other(who, item, kind)),
        1 => Just(Happens::Made),
        2 => (0u32..40, 1i64..5_000).prop_map(|(item, length)| Happens::Window(item, length)),
        4 => Just(Happens::Draws),
        5 => prop_oneof![5 => 0i64..3_000, 1 => 0i64..7_200_000].prop_map(Happens::Waits),
    ]
}

/// One open feed and all events that change it, in simulated time: the work of the actors, without actors.
struct Line {
    now: Millis,
    coordinator: CoordinatorState,
    entries: u64,
    others: Vec<UserState>,
    person: UserState,
    refresh: FeedRefresh,
    published: u64,
    flow: FlowControl<(FeedVersion, Vec<ItemId>)>,
    version: FeedVersion,
    stands: Vec<FeedItem>,
    noise: FeedVersion,
    /// Items that were drawn when the current feed was made.
    basis: Vec<ItemId>,
    /// Items on the client's screen, and the version that it has yet to draw.
    screen: Vec<ItemId>,
    owes: Option<FeedVersion>,
    refreshed_at: Vec<Millis>,
}

const SHOWN: usize = 12;
const PUBLISHED_EVERY_MS: i64 = 1_000;

impl Line {
    fn open(rank: RankSettings) -> Line {
        let (coordinator, person) = network(rank, 40, &[]);
        let mut line = Line {
            now: NOW,
            coordinator,
            entries: 0,
            others: (20..24).map(|id| UserState::new(UserId(id))).collect(),
            person,
            refresh: FeedRefresh::new(0, NOW),
            published: 0,
            flow: FlowControl::new(),
            version: FeedVersion(0),
            stands: Vec::new(),
            noise: FeedVersion(0),
            basis: Vec::new(),
            screen: Vec::new(),
            owes: None,
            refreshed_at: Vec::new(),
        };
        line.rank();
        line
    }

    fn drawn(&self) -> Vec<ItemId> {
        self.flow.acknowledged_feed().map_or(Vec::new(), |shown| shown.1.clone())
    }

    fn made(&self) -> Vec<FeedItem> {
        let screen = Viewport { version: self.noise, drawn: &self.basis };
        self.person.rank_on(self.coordinator.world(), self.now, ask(SHOWN), screen).items
    }

    fn send(&mut self, items: Vec<FeedItem>) {
        let feed = Arc::new((self.version, ids(&items)));
        self.stands = items;
        let sent = self.flow.offer(self.version, feed, self.now);
        self.receive(sent.map(|send| send.feed().clone()));
    }

    fn receive(&mut self, feed: Option<Arc<(FeedVersion, Vec<ItemId>)>>) {
        if let Some(feed) = feed {
            (self.owes, self.screen) = (Some(feed.0), feed.1.clone());
        }
    }

    /// Ranks for a reason other than a refresh.
    fn rank(&mut self) {
        self.version = FeedVersion(self.version.0 + 1);
        (self.noise, self.basis) = (self.version, self.drawn());
        let items = self.made();
        self.refresh.ranked(self.published, self.now);
        self.send(items);
    }

    /// Refreshes the feed; returns whether it changed.
    fn refresh(&mut self) -> bool {
        let mut items = self.made();
        if moved(&self.stands, &items) {
            self.basis = self.drawn();
            items = self.made();
        }
        let news = moved(&self.stands, &items);
        self.refresh.refreshed(self.published, news, self.now);
        if news {
            self.refreshed_at.push(self.now);
            self.version = FeedVersion(self.version.0 + 1);
            self.send(items);
        }
        news
    }

    fn tell(&mut self, event: CoordinatorEvent) {
        for effect in self.coordinator.apply(event, self.now) {
            if let coordinator::Effect::Publish(world, changes) = effect {
                self.published += 1;
                let entry_threshold = f32::NEG_INFINITY;
                let stands = self.stands.clone();
                if !changes.is_empty()
                    && self.person.is_concerned(&world, &changes, &stands, Ranking::Model, entry_threshold, self.now)
                {
                    self.rank();
                }
            }
        }
    }

    fn draw(&mut self) {
        while let Some(version) = self.owes.take() {
            let next = self.flow.acknowledge(version, self.now);
            self.receive(next.map(|send| send.feed().clone()));
        }
    }

    fn pass(&mut self, ms: i64) {
        let until = self.now.plus(ms);
        let mut tick = self.now.plus(PUBLISHED_EVERY_MS);
        while self.now < until {
            let due = self.refresh.due_at(self.published).max(self.now);
            self.now = until.min(tick).min(due.max(self.now.plus(1)));
            if self.now >= tick {
                self.tell(CoordinatorEvent::Tick);
                let sent = self.flow.tick(self.now);
                self.receive(sent.map(|send| send.feed().clone()));
                // Long pauses in fewer steps: nothing is folded meanwhile.
                let pause = if until.since(self.now) > 10_000 { 60_000 } else { PUBLISHED_EVERY_MS };
                tick = self.now.plus(pause);
            }
            if self.refresh.due_at(self.published) <= self.now {
                self.refresh();
            }
        }
    }

    fn learn(&mut self, who: Option<u32>, item: u32, kind: Kind) {
        self.entries += 1;
        let id = key(&format!("event-{}", self.entries));
        let (at, item) = (self.now, ItemId(item));
        let act = Interaction { id, item, kind, dwell_ms: Some(60_000), at, shown: None, passed: Vec::new() };
        let state = match who {
            None => &mut self.person,
            Some(who) => &mut self.others[who as usize],
        };
        for effect in state.apply(UserEvent::Interacted(act), self.coordinator.world(), at) {
            if let Effect::Journal(entry) = effect {
                let entries: Arc<[_]> = Arc::new([(Position(self.entries), entry)]);
                self.tell(CoordinatorEvent::Journalled(entries));
            }
        }
        if who.is_none() {
            self.rank();
        }
    }

    fn meet(&mut self, what: Happens) {
        match what {
            Happens::Own(item, kind) => self.learn(None, item, kind),
            Happens::Other(who, item, kind) => self.learn(Some(who), item, kind),
            Happens::Made => {
                let made = Draft { created: Some(self.now), ..draft(self.coordinator.world().len()) };
                self.tell(CoordinatorEvent::Items(vec![(made, ItemWrite::Create)]));
            }
            Happens::Window(item, length) => {
                let window = Window { start: self.now, stop: Some(self.now.plus(length)) };
                let windows = Windows::new(vec![window]).unwrap();
                self.tell(CoordinatorEvent::Windows(vec![(ItemId(item), windows)]));
            }
            Happens::Draws => self.draw(),
            Happens::Waits(ms) => self.pass(ms),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    /// After any script and a pause, the screen shows the ranking of the newest world, and every minute the ranking of
    /// that time. No two refreshes are pushed within a second, and none without a change.
    #[test]
    fn after_any_script_and_a_quiet_second_the_screen_shows_a_fresh_feed(
        rank in settings(), script in prop::collection::vec(happens(), 0..40)
    ) {
        let mut line = Line::open(rank);
        for what in script {
            line.meet(what);
        }
        line.draw();
        // Folded events are published within a second, and pushed within a second after the last refresh.
        for quiet in [PUBLISHED_EVERY_MS + FeedRefresh::REST_MS, 3 * FeedRefresh::PAUSE_MAX_MS] {
            let begin = line.now;
            while line.now.since(begin) < quiet {
                line.pass(100);
                line.draw();
            }
            let ranked_at = line.refresh.ranked_at();
            // With stability what stands holds: a feed is made for the screen that it comes to.
            let screen = Viewport { version: line.noise, drawn: if rank.stability > 0.0 { &line.basis } else { &[] } };
            let fresh = line.person.rank_on(line.coordinator.world(), ranked_at, ask(SHOWN), screen).items;
            prop_assert_eq!(&line.screen, &ids(&fresh), "after {} ms", quiet);
            prop_assert!(line.refresh.due_at(line.published) > line.now, "nothing is owed");
            prop_assert!(line.now.since(ranked_at) <= FeedRefresh::PAUSE_MAX_MS);
        }
        line.refresh();
        line.draw();
        prop_assert!(!line.refresh(), "at one instant a feed moves once");
        line.refreshed_at.truncate(line.refreshed_at.len().saturating_sub(1));
        for pair in line.refreshed_at.windows(2) {
            prop_assert!(pair[1].since(pair[0]) >= FeedRefresh::REST_MS, "{:?}", line.refreshed_at);
        }
    }
}

/// A probability is published after twenty answers of each label, and it is the calibrated one.
#[test]
fn what_is_likely_is_said_once_answers_of_both_kinds_calibrated_it() {
    let mut line = Line::open(RankSettings::default());
    let said = |line: &Line, ranking| {
        let feed = line.person.rank(line.coordinator.world(), line.now, ask(SHOWN));
        let likely = line.person.likely(line.coordinator.world(), ranking, &feed, line.now);
        (feed, likely)
    };
    for (kind, count) in [(Kind::Like, 30), (Kind::Skip, 19)] {
        for n in 0..count {
            line.learn(Some(n % 4), n % 40, kind);
        }
        line.pass(PUBLISHED_EVERY_MS);
        assert!(said(&line, Ranking::Model).1.is_empty(), "after {kind:?}");
    }
    line.learn(Some(0), 39, Kind::Skip);
    line.pass(PUBLISHED_EVERY_MS);
    for ranking in [Ranking::Flat, Ranking::Topics, Ranking::Tower] {
        assert!(said(&line, ranking).1.is_empty(), "{ranking:?}");
    }
    let (feed, likely) = said(&line, Ranking::Model);
    assert_eq!(likely.len(), feed.len(), "one for each item, once there are twenty of each");
    for (one, likely) in feed.iter().zip(likely) {
        let log_odds = line.person.approval_of(line.coordinator.world(), one.item, line.now).unwrap();
        let expected = 1.0 / (1.0 + (-log_odds).exp());
        assert!((likely - expected).abs() < 1e-5, "{likely} {expected}");
        assert!((likely - 1.0 / (1.0 + (-one.score).exp())).abs() > 1e-3, "not the bare score");
    }
}

/// The default limits runs of one author, and a quiet feed causes no pushes.
#[test]
fn by_default_nobody_stands_three_times_in_a_row() {
    let (coordinator, person) =
        network(RankSettings::default(), 60, &[(1, Kind::Like), (5, Kind::Like), (9, Kind::Like)]);
    let feed = person.rank(coordinator.world(), NOW, ask(30));
    let author = |one: &FeedItem| coordinator.world().item(one.item).unwrap().author.as_ref().map(|author| author.id);
    assert!(feed.windows(3).all(|three| {
        author(&three[0]).is_none() || author(&three[0]) != author(&three[1]) || author(&three[1]) != author(&three[2])
    }));
    let entry_threshold = person.rank_on(coordinator.world(), NOW, ask(30), Viewport::default()).entry_threshold;
    let least = feed.iter().map(|one| one.score).fold(f32::INFINITY, f32::min);
    assert_eq!(entry_threshold, least, "no more than a change of the world must reach to enter");
}
