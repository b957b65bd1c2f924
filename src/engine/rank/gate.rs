//! What one screen may be sent now. Newest feed wins: while the last one that was sent is not drawn, newer ones are
//! held back and merged into the newest.
//!
//! Invariant: versions that are sent rise strictly. A patch goes out only when nothing else is on its way, and its base
//! is what the client has drawn. A second feed follows an undrawn one only after [`Gate::PATIENCE_MS`], and then it is
//! whole: nobody knows what that client holds. At most three feeds are kept: drawn, on its way, held.
//! Absent on purpose: sockets, timers, clocks (the caller brings `now`), what a feed is, dropping silent clients (the
//! caller watches [`Gate::waiting_since`]).

use std::sync::Arc;

use crate::domain::ids::FeedVersion;
use crate::domain::time::{Millis, SECOND_MS};

/// What goes out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Send<F> {
    /// All of this feed.
    Whole(Arc<F>),
    /// What leads from `base`, which the client has drawn, to `feed`.
    Patch {
        /// On the client's screen.
        base: Arc<F>,
        /// What shall be there.
        feed: Arc<F>,
    },
}

impl<F> Send<F> {
    /// The feed that the client has after this.
    #[must_use]
    pub fn feed(&self) -> &Arc<F> {
        match self {
            Send::Whole(feed) | Send::Patch { feed, .. } => feed,
        }
    }
}

/// One per screen.
#[derive(Clone, Debug)]
pub struct Gate<F> {
    drawn: Option<Versioned<F>>,
    flying: Option<Flying<F>>,
    /// Only while something is on its way.
    held: Option<Versioned<F>>,
    /// The newest version the client ever said it has drawn, its feed known or not.
    heard: FeedVersion,
    /// The newest version that was offered; what is not newer is no news.
    offered: FeedVersion,
}

#[derive(Debug)]
struct Versioned<F> {
    version: FeedVersion,
    feed: Arc<F>,
}

/// Sent, and not yet drawn.
#[derive(Clone, Debug)]
struct Flying<F> {
    sent: Versioned<F>,
    at: Millis,
    /// Since when the client owes a `drawn`; feeds that were sent out of impatience do not reset it.
    waiting_since: Millis,
}

// Derived, it would ask for `F: Clone`.
impl<F> Clone for Versioned<F> {
    fn clone(&self) -> Self {
        Versioned { version: self.version, feed: Arc::clone(&self.feed) }
    }
}

impl<F> Default for Gate<F> {
    fn default() -> Self {
        Gate::new()
    }
}

impl<F> Gate<F> {
    /// After so long without `drawn` the next feed goes out all the same, in milliseconds.
    pub const PATIENCE_MS: i64 = 5 * SECOND_MS;

    /// A screen on which nothing is drawn yet. The first feed goes out whole.
    #[must_use]
    pub fn new() -> Gate<F> {
        let none = FeedVersion::default();
        Gate { drawn: None, flying: None, held: None, heard: none, offered: none }
    }

    /// A screen that came back after a dropped line and still shows this feed. The next one goes out as a patch; the
    /// same one again is no news, and nothing goes out.
    #[must_use]
    pub fn resumed(version: FeedVersion, feed: Arc<F>) -> Gate<F> {
        Gate { drawn: Some(Versioned { version, feed }), heard: version, offered: version, ..Gate::new() }
    }

    /// There is a new feed. `Some`: send it now. `None`: it is held back until [`Gate::drawn`] or [`Gate::tick`], or it
    /// is not newer than the one offered before.
    #[must_use = "what is returned counts as sent"]
    pub fn offer(&mut self, version: FeedVersion, feed: Arc<F>, now: Millis) -> Option<Send<F>> {
        // Version 0 is "none yet", so the very first feed may have it.
        let first = self.drawn.is_none() && self.flying.is_none();
        if version <= self.offered && !first {
            return None;
        }
        self.offered = version;
        self.held = Some(Versioned { version, feed });
        self.release(now)
    }

    /// The client has drawn this version. `Some`: send this next. The version on its way releases what is held; an older
    /// or unknown one changes nothing but the time since which the client is waited for.
    #[must_use = "what is returned counts as sent"]
    pub fn drawn(&mut self, version: FeedVersion, now: Millis) -> Option<Send<F>> {
        let flying = self.flying.as_mut()?;
        if version == flying.sent.version {
            self.heard = version;
            self.drawn = self.flying.take().map(|flying| flying.sent);
            return self.release(now);
        }
        // A slow client that draws what impatience has overtaken: alive, but what it shows is no longer known here.
        if self.heard < version && version < flying.sent.version {
            self.heard = version;
            flying.waiting_since = now;
        }
        None
    }

    /// Time has passed. `Some`: the client did not draw for too long, send this all the same.
    #[must_use = "what is returned counts as sent"]
    pub fn tick(&mut self, now: Millis) -> Option<Send<F>> {
        self.release(now)
    }

    /// When [`Gate::tick`] will have something to send, if nothing happens before.
    #[must_use]
    pub fn due_at(&self) -> Option<Millis> {
        self.held.as_ref()?;
        self.flying.as_ref().map(|flying| flying.at.plus(Self::PATIENCE_MS))
    }

    /// Since when the client owes a `drawn`; `None` when it owes none.
    #[must_use]
    pub fn waiting_since(&self) -> Option<Millis> {
        self.flying.as_ref().map(|flying| flying.waiting_since)
    }

    /// What the client has on screen, as far as it has said.
    #[must_use]
    pub fn drawn_feed(&self) -> Option<&Arc<F>> {
        self.drawn.as_ref().map(|drawn| &drawn.feed)
    }

    /// The version of [`Gate::drawn_feed`].
    #[must_use]
    pub fn drawn_version(&self) -> Option<FeedVersion> {
        self.drawn.as_ref().map(|drawn| drawn.version)
    }

    /// What waits until the client has drawn what is on its way.
    #[must_use]
    pub fn held_feed(&self) -> Option<&Arc<F>> {
        self.held.as_ref().map(|held| &held.feed)
    }

    /// The newest version that the client was sent, or came back with.
    #[must_use]
    pub fn last_sent(&self) -> Option<FeedVersion> {
        self.flying.as_ref().map(|flying| flying.sent.version).or(self.drawn_version())
    }

    /// Lets the held feed go if it may.
    fn release(&mut self, now: Millis) -> Option<Send<F>> {
        self.held.as_ref()?;
        let waiting_since = match &mut self.flying {
            None => now,
            Some(flying) => {
                // A clock that was set back must not make a screen wait for years.
                flying.at = flying.at.min(now);
                flying.waiting_since = flying.waiting_since.min(now);
                if now.since(flying.at) < Self::PATIENCE_MS {
                    return None;
                }
                flying.waiting_since
            }
        };
        let next = self.held.take()?;
        let send = match &self.drawn {
            Some(drawn) if self.flying.is_none() => {
                Send::Patch { base: Arc::clone(&drawn.feed), feed: Arc::clone(&next.feed) }
            }
            _ => Send::Whole(Arc::clone(&next.feed)),
        };
        self.flying = Some(Flying { sent: next, at: now, waiting_since });
        Some(send)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::VecDeque;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A feed that is nothing but its version.
    type Plain = Gate<u64>;

    fn offer(gate: &mut Plain, version: u64, now: i64) -> Option<Send<u64>> {
        gate.offer(FeedVersion(version), Arc::new(version), Millis(now))
    }

    fn drawn(gate: &mut Plain, version: u64, now: i64) -> Option<Send<u64>> {
        gate.drawn(FeedVersion(version), Millis(now))
    }

    fn whole(version: u64) -> Option<Send<u64>> {
        Some(Send::Whole(Arc::new(version)))
    }

    fn patch(base: u64, version: u64) -> Option<Send<u64>> {
        Some(Send::Patch { base: Arc::new(base), feed: Arc::new(version) })
    }

    #[test]
    fn the_first_is_whole_and_the_next_waits_for_drawn() {
        let mut gate = Plain::new();
        assert_eq!(offer(&mut gate, 1, 0), whole(1));
        assert_eq!(offer(&mut gate, 2, 10), None, "held");
        assert_eq!(offer(&mut gate, 3, 20), None, "merged: the newest wins");
        assert_eq!(offer(&mut gate, 2, 30), None, "older than what is held");
        assert_eq!(gate.due_at(), Some(Millis(5_000)));
        assert_eq!(drawn(&mut gate, 1, 40), patch(1, 3));
        assert_eq!(gate.due_at(), None);
        assert_eq!(gate.waiting_since(), Some(Millis(40)));
        assert_eq!(drawn(&mut gate, 3, 50), None, "nothing is held");
        assert_eq!((gate.waiting_since(), gate.drawn_version()), (None, Some(FeedVersion(3))));
        assert_eq!(offer(&mut gate, 3, 60), None, "no news");
        assert_eq!(offer(&mut gate, 4, 60), patch(3, 4));
        assert_eq!(gate.last_sent(), Some(FeedVersion(4)));
    }

    #[test]
    fn patience_ends_after_five_seconds() {
        for (name, now, sent) in
            [("just before", 4_999, None), ("at five seconds", 5_000, whole(3)), ("long after", 99_999, whole(3))]
        {
            let mut gate = Plain::resumed(FeedVersion(1), Arc::new(1));
            assert_eq!(offer(&mut gate, 2, 0), patch(1, 2));
            assert_eq!(offer(&mut gate, 3, 100), None);
            assert_eq!(gate.tick(Millis(now)), sent, "{name}");
            assert_eq!(gate.waiting_since(), Some(Millis(0)), "{name}: it still owes the first one");
        }
        let mut gate = Plain::new();
        assert_eq!(offer(&mut gate, 1, 0), whole(1));
        assert_eq!(gate.tick(Millis(60_000)), None, "nothing is held");
        assert_eq!(offer(&mut gate, 2, 60_001), whole(2), "an offer sees the time, too");
    }

    #[test]
    fn a_late_drawn_shows_life_and_releases_nothing() {
        let mut gate = Plain::new();
        assert_eq!(offer(&mut gate, 1, 0), whole(1));
        assert_eq!(offer(&mut gate, 2, 5_000), whole(2));
        assert_eq!(offer(&mut gate, 3, 5_001), None);
        assert_eq!(drawn(&mut gate, 1, 6_000), None, "overtaken");
        assert_eq!((gate.waiting_since(), gate.drawn_feed()), (Some(Millis(6_000)), None));
        assert_eq!(drawn(&mut gate, 1, 7_000), None, "said before: no sign of progress");
        assert_eq!(drawn(&mut gate, 9, 7_000), None, "never sent");
        assert_eq!(gate.waiting_since(), Some(Millis(6_000)));
        assert_eq!(drawn(&mut gate, 2, 8_000), patch(2, 3));
    }

    #[test]
    fn resume_sends_a_patch_if_there_is_news() {
        let mut gate = Plain::resumed(FeedVersion(7), Arc::new(7));
        assert_eq!(gate.last_sent(), Some(FeedVersion(7)));
        assert_eq!(offer(&mut gate, 7, 0), None, "it has that");
        assert_eq!(drawn(&mut gate, 7, 0), None);
        assert_eq!(offer(&mut gate, 9, 1), patch(7, 9));
    }

    #[test]
    fn a_clock_that_was_set_back_holds_nothing_for_long() {
        let mut gate = Plain::new();
        assert_eq!(offer(&mut gate, 1, 1_000_000), whole(1));
        assert_eq!(offer(&mut gate, 2, 0), None);
        assert_eq!(gate.tick(Millis(4_999)), None);
        assert_eq!(gate.tick(Millis(5_000)), whole(2));
    }

    /// What may happen next.
    #[derive(Clone, Copy, Debug)]
    enum Event {
        Offer,
        /// The client takes the next message off its line and applies it.
        Receive,
        /// The client's oldest `drawn` that is under way arrives.
        DrawnArrives,
        /// A version that the client makes up.
        Nonsense(u64),
        Tick,
        Wait(i64),
    }

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![
            3 => Just(Event::Offer),
            3 => Just(Event::Receive),
            3 => Just(Event::DrawnArrives),
            1 => (0..60_u64).prop_map(Event::Nonsense),
            1 => Just(Event::Tick),
            2 => prop_oneof![0..900_i64, 4_000..7_000_i64].prop_map(Event::Wait),
        ]
    }

    /// A client at the other end of an ordered line, which checks what a real one relies on.
    #[derive(Default)]
    struct Client {
        line: VecDeque<Send<u64>>,
        screen: Option<u64>,
        drawn_under_way: VecDeque<u64>,
        /// Time and version of all that was sent.
        sent: Vec<(i64, u64)>,
        drawn_arrived: Vec<u64>,
    }

    impl Client {
        fn take(&mut self, send: Option<Send<u64>>, now: i64) -> Result<(), TestCaseError> {
            let Some(send) = send else { return Ok(()) };
            let version = **send.feed();
            if let Some((at, last)) = self.sent.last().copied() {
                prop_assert!(version > last, "versions rise: {} after {}", version, last);
                let quiet = self.drawn_arrived.contains(&last);
                prop_assert!(quiet || now - at >= Plain::PATIENCE_MS, "two on their way");
            }
            if let Send::Patch { base, .. } = &send {
                prop_assert!(self.drawn_arrived.contains(base), "the base was drawn");
            }
            self.sent.push((now, version));
            self.line.push_back(send);
            Ok(())
        }

        fn receive(&mut self) -> Result<(), TestCaseError> {
            let Some(send) = self.line.pop_front() else { return Ok(()) };
            if let Send::Patch { base, .. } = &send {
                prop_assert_eq!(self.screen, Some(**base), "the base is on the screen");
            }
            self.screen = Some(**send.feed());
            self.drawn_under_way.extend(self.screen);
            Ok(())
        }
    }

    proptest! {
        /// Whatever the timing, and whatever a client makes up about versions never sent: what arrives can be applied,
        /// rises, and in the end is the newest.
        #[test]
        fn the_newest_arrives_and_every_patch_fits(script in vec(any_event(), 0..200), resumed in any::<bool>()) {
            let (mut now, mut newest) = (0, 100);
            let mut client = Client::default();
            let mut gate = Plain::new();
            if resumed {
                gate = Plain::resumed(FeedVersion(newest), Arc::new(newest));
                client.screen = Some(newest);
                client.drawn_arrived.push(newest);
            }
            for event in script {
                match event {
                    Event::Offer => {
                        newest += 1;
                        let send = offer(&mut gate, newest, now);
                        client.take(send, now)?;
                    }
                    Event::Receive => client.receive()?,
                    Event::DrawnArrives => {
                        if let Some(version) = client.drawn_under_way.pop_front() {
                            client.drawn_arrived.push(version);
                            let send = drawn(&mut gate, version, now);
                            client.take(send, now)?;
                        }
                    }
                    Event::Nonsense(version) => prop_assert_eq!(drawn(&mut gate, version, now), None),
                    Event::Tick => {
                        let send = gate.tick(Millis(now));
                        client.take(send, now)?;
                    }
                    Event::Wait(ms) => now += ms,
                }
                prop_assert!(gate.held.is_none() || gate.flying.is_some(), "held only while something is on its way");
                prop_assert_eq!(gate.last_sent().map(|version| version.0), client.sent.last().map(|sent| sent.1)
                    .or(resumed.then_some(100)));
            }
            // Then the client catches up.
            while !client.line.is_empty() || !client.drawn_under_way.is_empty() {
                client.receive()?;
                if let Some(version) = client.drawn_under_way.pop_front() {
                    client.drawn_arrived.push(version);
                    let send = drawn(&mut gate, version, now);
                    client.take(send, now)?;
                }
            }
            if newest > 100 {
                prop_assert_eq!(client.screen, Some(newest));
                prop_assert_eq!(gate.drawn_version(), Some(FeedVersion(newest)));
                prop_assert_eq!(gate.waiting_since(), None);
            }
        }

        /// Out of impatience at most one feed goes out per five seconds, and the client's debt keeps its age.
        #[test]
        fn a_client_that_never_draws_gets_little_and_is_noticed(steps in vec(1..3_000_i64, 1..100)) {
            let mut gate = Plain::new();
            let (mut now, mut sent) = (0, 0);
            for (version, step) in (1_u64..).zip(steps) {
                sent += i64::from(offer(&mut gate, version, now).is_some());
                prop_assert_eq!(gate.waiting_since(), Some(Millis(0)));
                prop_assert!(sent <= 1 + now / Plain::PATIENCE_MS);
                now += step;
            }
        }
    }
}
