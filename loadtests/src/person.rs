//! One simulated user: its interactions with its feed, and its checks of the server.
//!
//! Invariant: pure; the caller passes messages and times, and sends the returned messages. Every latency counts from
//! the scheduled time of an interaction, never from the time of its sending. So a stalled server cannot hide its stall.
//! Deliberately absent: sockets, clocks, timers.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use eddyline::domain::feeds::Cause;
use eddyline::domain::ids::Key;
use eddyline::domain::interactions::{Act, Kind};
use eddyline::domain::time::Millis;
use eddyline::protocol::client::{ClientMessage, Drawn, Hello, Interact};
use eddyline::protocol::problem::Code;
use eddyline::protocol::server::{Accepted, Busy, ErrorMessage, ServerMessage};
use rand::RngExt as _;
use rand_chacha::ChaCha8Rng;

use crate::list::{Fault, FeedList};
use crate::tally::{Check, Tally};

/// The tolerance for the difference of two clocks, and for the transit of a frame.
const CLOCK_SLACK_MS: i64 = 2_000;

/// Items from the top that count as visible.
const VISIBLE: usize = 10;

/// The kinds of interactions, out of 100: most users look, click, like or skip.
const HABITS: [(Kind, u32); 8] = [
    (Kind::View, 40),
    (Kind::Click, 25),
    (Kind::Like, 15),
    (Kind::Skip, 13),
    (Kind::Watch, 3),
    (Kind::Share, 2),
    (Kind::Hide, 1),
    (Kind::Reject, 1),
];

/// An action for the caller to carry out.
#[derive(Debug)]
pub enum Next {
    /// Send this message over the socket.
    Send(ClientMessage),
    /// Call [`Person::again`] with this number after the pause.
    RetryAfter(Duration, u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Open,
    Accepted,
    Refused,
}

struct Sent {
    scheduled: Instant,
    message: Interact,
}

/// One user with one socket.
pub struct Person {
    key: Key,
    run: String,
    rng: ChaCha8Rng,
    list: FeedList,
    /// The state of each interaction, and the rank of its last sending.
    fates: Vec<(Fate, u64)>,
    /// Interactions without `accepted`, by number.
    open: BTreeMap<u64, Sent>,
    /// Scheduled time of interactions that no feed includes yet, by rank of sending.
    unfed: BTreeMap<u64, Instant>,
    /// Hides and rejects that no feed provably includes yet, by rank of sending.
    hiding: BTreeMap<u64, Key>,
    hidden: HashSet<Key>,
    sendings: u64,
    last_seq: u64,
    /// The server's clock minus the local one, in milliseconds.
    clock_offset_ms: i64,
    welcomed: bool,
}

impl Person {
    /// `run` makes event ids of this run differ from those of any other.
    pub fn new(key: Key, run: String, rng: ChaCha8Rng) -> Person {
        Person {
            key,
            run,
            rng,
            list: FeedList::default(),
            fates: Vec::new(),
            open: BTreeMap::new(),
            unfed: BTreeMap::new(),
            hiding: BTreeMap::new(),
            hidden: HashSet::new(),
            sendings: 0,
            last_seq: 0,
            clock_offset_ms: 0,
            welcomed: false,
        }
    }

    /// The key of the user.
    pub fn key(&self) -> &Key {
        &self.key
    }

    /// The `hello` of the session.
    pub fn hello(&self, limit: u32) -> ClientMessage {
        ClientMessage::Hello(Hello {
            tag: Default::default(),
            token: None,
            user: self.key.clone(),
            ranking: None,
            limit: Some(limit),
            resume: None,
            explain: Some(false),
            timing: Some(false),
        })
    }

    /// True after a `welcome`.
    pub fn is_welcome(&self) -> bool {
        self.welcomed
    }

    /// True after the first feed.
    pub fn is_fed(&self) -> bool {
        self.list.version().is_some()
    }

    /// True if the feed contains this item.
    pub fn shows(&self, item: &Key) -> bool {
        self.list.items().iter().any(|there| there.item == *item)
    }

    /// True if the server owes no answer and no feed.
    pub fn is_settled(&self) -> bool {
        self.open.is_empty() && self.unfed.is_empty()
    }

    /// Interacts with a visible item; `None` without one.
    pub fn act(&mut self, scheduled: Instant, tally: &Tally) -> Option<ClientMessage> {
        let items = self.list.items();
        if items.is_empty() {
            tally.idle.fetch_add(1, Relaxed);
            return None;
        }
        let item = items[self.rng.random_range(0..items.len())].item.clone();
        let mut draw = self.rng.random_range(0..100);
        let mut kind = Kind::View;
        for (habit, share) in HABITS {
            kind = habit;
            if draw < share {
                break;
            }
            draw -= share;
        }
        let dwell_ms = (kind == Kind::Watch).then(|| self.rng.random_range(500..120_000));
        let number = self.fates.len() as u64;
        let Ok(id) = Key::new(&format!("{}-{number}", self.run)) else {
            tally.broke(Check::CouldSend, || "the run's name makes no event id".into());
            return None;
        };
        let message = Interact { tag: Default::default(), id, item, kind: kind.into(), dwell_ms, at: None };
        tally.interactions.fetch_add(1, Relaxed);
        self.fates.push((Fate::Open, 0));
        self.open.insert(number, Sent { scheduled, message });
        self.again(number)
    }

    /// Sends an interaction, for the first time or after `busy`, under one id.
    pub fn again(&mut self, number: u64) -> Option<ClientMessage> {
        let sent = self.open.get(&number)?;
        self.sendings += 1;
        if let Some(fate) = usize::try_from(number).ok().and_then(|number| self.fates.get_mut(number)) {
            fate.1 = self.sendings;
        }
        // An exposure is no training example, so the server owes no feed.
        if sent.message.kind != Kind::View.into() {
            self.unfed.insert(self.sendings, sent.scheduled);
        }
        if matches!(sent.message.kind, Act::Do(kind) if kind.removes()) {
            self.hiding.insert(self.sendings, sent.message.item.clone());
        }
        Some(ClientMessage::Interact(sent.message.clone()))
    }

    /// Handles a message that arrived at `now`, `wall` by the wall clock.
    pub fn hear(&mut self, message: ServerMessage, now: Instant, wall: Millis, tally: &Tally) -> Option<Next> {
        match message {
            ServerMessage::Welcome(welcome) => {
                self.welcomed = true;
                self.clock_offset_ms = welcome.server_time.0.saturating_sub(wall.0);
                if welcome.user != self.key {
                    let who = welcome.user;
                    tally.broke(Check::Understood, || format!("{} was welcomed as {who}", self.key));
                }
                None
            }
            ServerMessage::Feed(feed) => {
                tally.feeds.fetch_add(1, Relaxed);
                self.learn_cause(feed.cause.as_ref(), now, tally);
                let faults = self.list.replace(feed);
                self.shown(faults, wall, tally)
            }
            ServerMessage::Patch(patch) => {
                tally.patches.fetch_add(1, Relaxed);
                self.learn_cause(patch.cause.as_ref(), now, tally);
                let faults = self.list.apply(patch);
                self.shown(faults, wall, tally)
            }
            ServerMessage::Accepted(accepted) => {
                self.accepted(&accepted, now, tally);
                None
            }
            ServerMessage::Busy(busy) => self.busy(&busy, tally),
            ServerMessage::Error(error) => {
                self.refused(&error, tally);
                None
            }
            ServerMessage::Bye(bye) => {
                tally.broke(Check::LineStays, || format!("{}: bye, {}", self.key, bye.reason));
                None
            }
            ServerMessage::Page(_) | ServerMessage::Model(_) | ServerMessage::Live(_) | ServerMessage::Pong(_) => None,
        }
    }

    /// Ends the run: outstanding answers are missing.
    pub fn leave(&self, tally: &Tally) {
        for sent in self.open.values() {
            tally.broke(Check::AcceptedAll, || format!("{}: {} was never accepted", self.key, sent.message.id));
        }
        for rank in self.unfed.keys() {
            tally.broke(Check::FeedFollows, || format!("{}: no feed after sending {rank}", self.key));
        }
    }

    fn learn_cause(&mut self, cause: Option<&Cause>, now: Instant, tally: &Tally) {
        let Some(Cause::Event { id }) = cause else { return };
        let Some((_, (_, rank))) = self.find(id.as_str()) else {
            tally.broke(Check::CauseIsOurs, || format!("{}: a feed is caused by {id}", self.key));
            return;
        };
        let later = self.unfed.split_off(&(rank + 1));
        for scheduled in std::mem::replace(&mut self.unfed, later).into_values() {
            tally.feed.add(now.saturating_duration_since(scheduled));
        }
        let later = self.hiding.split_off(&(rank + 1));
        self.hidden.extend(std::mem::replace(&mut self.hiding, later).into_values());
    }

    fn shown(&self, faults: Vec<Fault>, wall: Millis, tally: &Tally) -> Option<Next> {
        for fault in faults {
            let check = match fault {
                Fault::VersionNotRising { .. } => Check::VersionRises,
                Fault::WrongBase { .. } => Check::BaseIsDrawn,
                Fault::ItemTwice { .. } => Check::NoItemTwice,
                Fault::ItemMissing { .. } | Fault::WrongPosition { .. } => Check::Positions,
            };
            tally.broke(check, || format!("{}: {fault}", self.key));
        }
        let server_now = wall.plus(self.clock_offset_ms);
        for item in self.list.items() {
            if item.available_until.is_some_and(|until| until.plus(CLOCK_SLACK_MS) < server_now) {
                let late_ms = item.available_until.map_or(0, |until| server_now.since(until));
                tally.broke(Check::NothingExpired, || {
                    format!("{}: item {} is shown {late_ms} ms after its end", self.key, item.item)
                });
            }
            if self.hidden.contains(&item.item) {
                tally.broke(Check::NothingHidden, || format!("{}: item {} came back", self.key, item.item));
            }
        }
        let visible = self.list.items().iter().take(VISIBLE).map(|item| item.item.clone()).collect();
        let version = self.list.version()?;
        Some(Next::Send(ClientMessage::Drawn(Drawn { tag: Default::default(), version, visible: Some(visible) })))
    }

    fn accepted(&mut self, accepted: &Accepted, now: Instant, tally: &Tally) {
        tally.accepts.fetch_add(1, Relaxed);
        let Some((number, (fate, rank))) = self.find(accepted.id.as_str()) else {
            tally.broke(Check::AcceptedOnce, || format!("{}: {} was never sent", self.key, accepted.id));
            return;
        };
        if fate != Fate::Open {
            tally.broke(Check::AcceptedOnce, || format!("{}: {} is accepted after {fate:?}", self.key, accepted.id));
            return;
        }
        self.settle(number, Fate::Accepted);
        if accepted.seq.0 <= self.last_seq {
            let last = self.last_seq;
            tally.broke(Check::SeqRises, || {
                format!("{}: {} has number {}, after {last}", self.key, accepted.id, accepted.seq.0)
            });
        }
        self.last_seq = self.last_seq.max(accepted.seq.0);
        if let Some(sent) = self.open.remove(&number) {
            tally.accepted.add(now.saturating_duration_since(sent.scheduled));
        }
        // The server learned it before accepting it: every later feed includes it.
        self.hidden.extend(self.hiding.remove(&rank));
    }

    fn busy(&mut self, busy: &Busy, tally: &Tally) -> Option<Next> {
        tally.busy.fetch_add(1, Relaxed);
        let (number, (fate, rank)) = self.find(busy.id.as_ref()?.as_str())?;
        if fate != Fate::Open {
            return None;
        }
        // The server learned nothing, so it owes no feed for that sending.
        self.unfed.remove(&rank);
        self.hiding.remove(&rank);
        Some(Next::RetryAfter(Duration::from_millis(u64::from(busy.retry_after_ms)), number))
    }

    fn refused(&mut self, error: &ErrorMessage, tally: &Tally) {
        tally.error(error.code.name());
        let found = error.id.as_deref().and_then(|id| self.find(id));
        if let Some((number, (_, rank))) = found {
            self.settle(number, Fate::Refused);
            self.open.remove(&number);
            self.unfed.remove(&rank);
            self.hiding.remove(&rank);
        }
        // An item may close between being shown and being clicked: that is an answer, not a fault.
        if found.is_none() || error.code != Code::Unavailable {
            tally.broke(Check::NothingRefused, || format!("{}: {}: {}", self.key, error.code.name(), error.message));
        }
    }

    fn settle(&mut self, number: u64, fate: Fate) {
        if let Some(entry) = usize::try_from(number).ok().and_then(|number| self.fates.get_mut(number)) {
            entry.0 = fate;
        }
    }

    fn find(&self, id: &str) -> Option<(u64, (Fate, u64))> {
        let number = id.strip_prefix(&self.run)?.strip_prefix('-')?.parse().ok()?;
        let fate = self.fates.get(usize::try_from(number).ok()?)?;
        Some((number, *fate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use eddyline::domain::feeds::Ranking;
    use eddyline::domain::ids::{Epoch, FeedVersion, Seq};
    use eddyline::protocol::server::{FeedMessage, Patch, WireItem};
    use rand::SeedableRng as _;

    const WALL: Millis = Millis(1_000_000);

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    fn person() -> Person {
        Person::new(key("ada"), "r".into(), ChaCha8Rng::seed_from_u64(7))
    }

    fn feed(version: u64, cause: Option<Cause>, items: Vec<WireItem>) -> ServerMessage {
        let (version, epoch) = (FeedVersion(version), Epoch(1));
        ServerMessage::Feed(FeedMessage {
            model_version: None,
            version,
            epoch,
            ranking: Ranking::Model,
            cause,
            timing: None,
            items,
        })
    }

    fn item(name: &str, position: u32, until: Option<i64>) -> WireItem {
        WireItem {
            item: key(name),
            author: None,
            topic: None,
            text: name.into(),
            at: Millis(1),
            available_until: until.map(Millis),
            expected_until: None,
            live: false,
            score: 0.0,
            likely: None,
            position,
            why: Vec::new(),
        }
    }

    fn event(id: &str) -> Option<Cause> {
        Some(Cause::Event { id: key(id) })
    }

    /// Interacts until an interaction is a training example; returns its number.
    fn teach(person: &mut Person, now: Instant, tally: &Tally) -> u64 {
        loop {
            if let Some(ClientMessage::Interact(sent)) = person.act(now, tally)
                && sent.kind != Kind::View.into()
            {
                return person.fates.len() as u64 - 1;
            }
        }
    }

    #[test]
    fn a_later_cause_answers_all_before_it() {
        let (mut ada, tally, now) = (person(), Tally::new().unwrap(), Instant::now());
        ada.hear(feed(1, None, vec![item("a", 0, None)]), now, WALL, &tally);
        teach(&mut ada, now, &tally);
        let last = teach(&mut ada, now, &tally);
        assert_eq!(ada.unfed.len(), 2);
        ada.hear(feed(2, event(&format!("r-{last}")), vec![item("a", 0, None)]), now, WALL, &tally);
        assert!(ada.unfed.is_empty());
        assert_eq!(tally.failures(), 0);
    }

    #[test]
    fn busy_is_sent_again_under_the_same_id_and_counted_from_its_first_schedule() {
        let (mut ada, tally, now) = (person(), Tally::new().unwrap(), Instant::now());
        ada.hear(feed(1, None, vec![item("a", 0, None)]), now, WALL, &tally);
        let number = teach(&mut ada, now, &tally);
        let id = key(&format!("r-{number}"));
        let busy = ServerMessage::Busy(Busy { id: Some(id.clone()), retry_after_ms: 50 });
        let Some(Next::RetryAfter(pause, again)) = ada.hear(busy, now, WALL, &tally) else { panic!("no retry") };
        assert_eq!((pause, again), (Duration::from_millis(50), number));
        let Some(ClientMessage::Interact(sent)) = ada.again(number) else { panic!("not sent again") };
        assert_eq!(sent.id, id);
        let accepted = ServerMessage::Accepted(Accepted { id, seq: Seq(1), item: None });
        ada.hear(accepted.clone(), now, WALL, &tally);
        assert_eq!(tally.failures(), 0);
        ada.hear(accepted, now, WALL, &tally);
        assert_eq!(tally.broken(Check::AcceptedOnce), 1, "the same answer twice is once too many");
    }

    #[test]
    fn what_the_server_must_not_do_is_noticed() {
        let open = || vec![item("a", 0, None)];
        for (name, message, check) in [
            ("someone else's event", feed(2, event("x-9"), open()), Check::CauseIsOurs),
            ("an event of the future", feed(2, event("r-999"), open()), Check::CauseIsOurs),
            ("an old version", feed(1, None, open()), Check::VersionRises),
            ("an item twice", feed(2, None, vec![item("a", 0, None), item("a", 1, None)]), Check::NoItemTwice),
            ("a wrong position", feed(2, None, vec![item("a", 5, None)]), Check::Positions),
            ("an expired item", feed(2, None, vec![item("a", 0, Some(WALL.0 - 2_001))]), Check::NothingExpired),
            ("a hidden item", feed(2, None, vec![item("gone", 0, None)]), Check::NothingHidden),
            (
                "a patch of another version",
                ServerMessage::Patch(Patch {
                    model_version: None,
                    version: FeedVersion(3),
                    base: FeedVersion(2),
                    epoch: Epoch(1),
                    cause: None,
                    timing: None,
                    ops: vec![],
                }),
                Check::BaseIsDrawn,
            ),
            (
                "an answer to nothing",
                ServerMessage::Accepted(Accepted { id: key("r-999"), seq: Seq(1), item: None }),
                Check::AcceptedOnce,
            ),
        ] {
            let (mut ada, tally, now) = (person(), Tally::new().unwrap(), Instant::now());
            ada.hidden.insert(key("gone"));
            ada.hear(feed(1, None, open()), now, WALL, &tally);
            assert_eq!(tally.failures(), 0, "{name}");
            ada.hear(message, now, WALL, &tally);
            assert_eq!((tally.broken(check), tally.failures()), (1, 1), "{name}");
        }
    }

    #[test]
    fn whatever_is_owed_at_the_end_is_missing() {
        let (mut ada, tally, now) = (person(), Tally::new().unwrap(), Instant::now());
        ada.hear(feed(1, None, vec![item("a", 0, None)]), now, WALL, &tally);
        teach(&mut ada, now, &tally);
        assert!(!ada.is_settled());
        ada.leave(&tally);
        assert!(tally.broken(Check::AcceptedAll) >= 1);
        assert_eq!(tally.broken(Check::FeedFollows), 1);
    }

    #[test]
    fn habits_are_shares_of_a_hundred() {
        assert_eq!(HABITS.iter().map(|(_, share)| share).sum::<u32>(), 100);
    }
}
