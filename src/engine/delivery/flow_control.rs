//! Decides when the next feed may be sent to one subscription.
//!
//! Invariant: sent versions rise strictly, and the newest feed wins. While a sent feed is unacknowledged, newer feeds
//! replace each other in `pending`. A patch is sent only while nothing is in flight, against the feed that the client
//! acknowledged. After [`FlowControl::ACK_TIMEOUT_MS`] without an acknowledgement the pending feed is sent whole, because
//! the client's state is unknown. At most three feeds are kept: acknowledged, in flight, pending.
//! Deliberately absent: sockets, timers, clocks (the caller brings `now`), and closing silent connections.

use std::sync::Arc;

use crate::domain::ids::FeedVersion;
use crate::domain::time::{Millis, SECOND_MS};

/// A feed to send, in the form that this client can apply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FeedUpdate<F> {
    /// The complete feed.
    Whole(Arc<F>),
    /// The difference between two feeds.
    Patch {
        /// The feed that the client acknowledged and shows.
        base: Arc<F>,
        /// The feed that the client shows after the patch.
        feed: Arc<F>,
    },
}

impl<F> FeedUpdate<F> {
    /// The feed that the client shows after this update.
    #[must_use]
    pub fn feed(&self) -> &Arc<F> {
        match self {
            FeedUpdate::Whole(feed) | FeedUpdate::Patch { feed, .. } => feed,
        }
    }
}

/// Backpressure of one subscription: the feed that it acknowledged, the feed in flight, and the feed that waits.
#[derive(Clone, Debug)]
pub struct FlowControl<F> {
    acknowledged: Option<Versioned<F>>,
    in_flight: Option<InFlight<F>>,
    /// Set only while a feed is in flight.
    pending: Option<Versioned<F>>,
    /// The newest version that was offered; an offer that is not newer is ignored.
    offered: FeedVersion,
}

#[derive(Debug)]
struct Versioned<F> {
    version: FeedVersion,
    feed: Arc<F>,
}

/// A sent feed without its acknowledgement.
#[derive(Clone, Debug)]
struct InFlight<F> {
    sent: Versioned<F>,
    at: Millis,
}

// A derived `Clone` would require `F: Clone`.
impl<F> Clone for Versioned<F> {
    fn clone(&self) -> Self {
        Versioned { version: self.version, feed: Arc::clone(&self.feed) }
    }
}

impl<F> Default for FlowControl<F> {
    fn default() -> Self {
        FlowControl::new()
    }
}

impl<F> FlowControl<F> {
    /// Milliseconds without an acknowledgement after which the pending feed is sent without it.
    pub const ACK_TIMEOUT_MS: i64 = 5 * SECOND_MS;

    /// Flow control for a client that shows no feed yet: its first feed is sent whole.
    #[must_use]
    pub fn new() -> FlowControl<F> {
        let none = FeedVersion::default();
        FlowControl { acknowledged: None, in_flight: None, pending: None, offered: none }
    }

    /// Flow control for a client that reconnected and still shows this feed. The next feed is sent as a patch; an offer of
    /// this version sends nothing.
    #[must_use]
    pub fn resumed(version: FeedVersion, feed: Arc<F>) -> FlowControl<F> {
        let acknowledged = Some(Versioned { version, feed });
        FlowControl { acknowledged, offered: version, ..FlowControl::new() }
    }

    /// Takes a new feed. Returns the update to send now. `None` means that the feed waits for [`FlowControl::acknowledge`]
    /// or [`FlowControl::tick`], or that it is not newer than the last offer.
    #[must_use = "the returned update counts as sent"]
    pub fn offer(&mut self, version: FeedVersion, feed: Arc<F>, now: Millis) -> Option<FeedUpdate<F>> {
        // Version 0 means "none yet", so the very first feed may carry it.
        let first = self.acknowledged.is_none() && self.in_flight.is_none();
        if version <= self.offered && !first {
            return None;
        }
        self.offered = version;
        self.pending = Some(Versioned { version, feed });
        self.release(now)
    }

    /// Records that the client shows this version. Returns the update to send next. Only the version in flight releases the
    /// pending feed.
    #[must_use = "the returned update counts as sent"]
    pub fn acknowledge(&mut self, version: FeedVersion, now: Millis) -> Option<FeedUpdate<F>> {
        let in_flight = self.in_flight.as_ref()?;
        if version == in_flight.sent.version {
            self.acknowledged = self.in_flight.take().map(|in_flight| in_flight.sent);
            return self.release(now);
        }
        // A slow client acknowledges a feed that a timeout replaced: the feed on its screen is not kept here.
        None
    }

    /// Checks the acknowledgement timeout. Returns the pending feed once the timeout has passed.
    #[must_use = "the returned update counts as sent"]
    pub fn tick(&mut self, now: Millis) -> Option<FeedUpdate<F>> {
        self.release(now)
    }

    /// The instant at which [`FlowControl::tick`] sends the pending feed, unless an acknowledgement comes first.
    #[must_use]
    pub fn due_at(&self) -> Option<Millis> {
        self.pending.as_ref()?;
        self.in_flight.as_ref().map(|in_flight| in_flight.at.plus(Self::ACK_TIMEOUT_MS))
    }

    /// The feed that the client acknowledged last.
    #[must_use]
    pub fn acknowledged_feed(&self) -> Option<&Arc<F>> {
        self.acknowledged.as_ref().map(|acknowledged| &acknowledged.feed)
    }

    /// The version of [`FlowControl::acknowledged_feed`].
    #[must_use]
    pub fn acknowledged_version(&self) -> Option<FeedVersion> {
        self.acknowledged.as_ref().map(|acknowledged| acknowledged.version)
    }

    /// The feed that was sent and is not acknowledged yet.
    #[must_use]
    pub fn in_flight_feed(&self) -> Option<&Arc<F>> {
        self.in_flight.as_ref().map(|in_flight| &in_flight.sent.feed)
    }

    /// The feed that waits for the acknowledgement of the feed in flight.
    #[must_use]
    pub fn pending_feed(&self) -> Option<&Arc<F>> {
        self.pending.as_ref().map(|pending| &pending.feed)
    }

    /// The newest version that the client was sent, or resumed with.
    #[cfg(test)]
    fn last_sent(&self) -> Option<FeedVersion> {
        self.in_flight.as_ref().map(|in_flight| in_flight.sent.version).or(self.acknowledged_version())
    }

    /// Sends the pending feed if nothing is in flight, or if the feed in flight timed out.
    fn release(&mut self, now: Millis) -> Option<FeedUpdate<F>> {
        self.pending.as_ref()?;
        if let Some(in_flight) = &mut self.in_flight {
            // After the clock was set back, the timeout counts from `now`, so it never waits longer than its length.
            in_flight.at = in_flight.at.min(now);
            if now.since(in_flight.at) < Self::ACK_TIMEOUT_MS {
                return None;
            }
        }
        let next = self.pending.take()?;
        let update = match &self.acknowledged {
            Some(acknowledged) if self.in_flight.is_none() => {
                FeedUpdate::Patch { base: Arc::clone(&acknowledged.feed), feed: Arc::clone(&next.feed) }
            }
            _ => FeedUpdate::Whole(Arc::clone(&next.feed)),
        };
        self.in_flight = Some(InFlight { sent: next, at: now });
        Some(update)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    /// A feed that consists of its version only, so that a test compares numbers.
    type Plain = FlowControl<u64>;

    fn offer(flow: &mut Plain, version: u64, now: i64) -> Option<FeedUpdate<u64>> {
        flow.offer(FeedVersion(version), Arc::new(version), Millis(now))
    }

    fn acknowledge(flow: &mut Plain, version: u64, now: i64) -> Option<FeedUpdate<u64>> {
        flow.acknowledge(FeedVersion(version), Millis(now))
    }

    fn whole(version: u64) -> Option<FeedUpdate<u64>> {
        Some(FeedUpdate::Whole(Arc::new(version)))
    }

    fn patch(base: u64, version: u64) -> Option<FeedUpdate<u64>> {
        Some(FeedUpdate::Patch { base: Arc::new(base), feed: Arc::new(version) })
    }

    #[test]
    fn the_first_feed_is_whole_and_the_next_waits_for_the_acknowledgement() {
        let mut flow = Plain::new();
        assert_eq!(offer(&mut flow, 1, 0), whole(1));
        assert_eq!(offer(&mut flow, 2, 10), None, "pending");
        assert_eq!(offer(&mut flow, 3, 20), None, "merged: the newest wins");
        assert_eq!(offer(&mut flow, 2, 30), None, "older than the pending feed");
        assert_eq!(flow.due_at(), Some(Millis(5_000)));
        assert_eq!(acknowledge(&mut flow, 1, 40), patch(1, 3));
        assert_eq!(flow.due_at(), None);
        assert_eq!(acknowledge(&mut flow, 3, 50), None, "nothing is pending");
        assert_eq!(flow.acknowledged_version(), Some(FeedVersion(3)));
        assert_eq!(offer(&mut flow, 3, 60), None, "no news");
        assert_eq!(offer(&mut flow, 4, 60), patch(3, 4));
        assert_eq!(flow.last_sent(), Some(FeedVersion(4)));
    }

    #[test]
    fn the_timeout_ends_after_five_seconds() {
        for (name, now, sent) in
            [("just before", 4_999, None), ("at five seconds", 5_000, whole(3)), ("long after", 99_999, whole(3))]
        {
            let mut flow = Plain::resumed(FeedVersion(1), Arc::new(1));
            assert_eq!(offer(&mut flow, 2, 0), patch(1, 2));
            assert_eq!(offer(&mut flow, 3, 100), None);
            assert_eq!(flow.tick(Millis(now)), sent, "{name}");
        }
        let mut flow = Plain::new();
        assert_eq!(offer(&mut flow, 1, 0), whole(1));
        assert_eq!(flow.tick(Millis(60_000)), None, "nothing is pending");
        assert_eq!(offer(&mut flow, 2, 60_001), whole(2), "an offer checks the timeout, too");
    }

    #[test]
    fn a_late_acknowledgement_sends_nothing() {
        let mut flow = Plain::new();
        assert_eq!(offer(&mut flow, 1, 0), whole(1));
        assert_eq!(offer(&mut flow, 2, 5_000), whole(2));
        assert_eq!(offer(&mut flow, 3, 5_001), None);
        assert_eq!(acknowledge(&mut flow, 1, 6_000), None, "overtaken");
        assert_eq!(flow.acknowledged_feed(), None);
        assert_eq!(acknowledge(&mut flow, 1, 7_000), None, "said before: no sign of progress");
        assert_eq!(acknowledge(&mut flow, 9, 7_000), None, "never sent");
        assert_eq!(acknowledge(&mut flow, 2, 8_000), patch(2, 3));
    }

    #[test]
    fn a_resumed_client_gets_a_patch_once_the_feed_changes() {
        let mut flow = Plain::resumed(FeedVersion(7), Arc::new(7));
        assert_eq!(flow.last_sent(), Some(FeedVersion(7)));
        assert_eq!(offer(&mut flow, 7, 0), None, "the client has it");
        assert_eq!(acknowledge(&mut flow, 7, 0), None);
        assert_eq!(offer(&mut flow, 9, 1), patch(7, 9));
    }

    #[test]
    fn a_clock_that_was_set_back_delays_by_one_timeout_at_most() {
        let mut flow = Plain::new();
        assert_eq!(offer(&mut flow, 1, 1_000_000), whole(1));
        assert_eq!(offer(&mut flow, 2, 0), None);
        assert_eq!(flow.tick(Millis(4_999)), None);
        assert_eq!(flow.tick(Millis(5_000)), whole(2));
    }

    /// One step of a script: the server offers, the line delivers, the client acknowledges, time passes.
    #[derive(Clone, Copy, Debug)]
    enum Event {
        Offer,
        /// The client takes the next message off its line and applies it.
        Receive,
        /// The client's oldest acknowledgement on the line arrives.
        AckArrives,
        /// The client acknowledges a version that it was never sent.
        Nonsense(u64),
        Tick,
        Wait(i64),
    }

    fn any_event() -> impl Strategy<Value = Event> {
        prop_oneof![
            3 => Just(Event::Offer),
            3 => Just(Event::Receive),
            3 => Just(Event::AckArrives),
            1 => (0..60_u64).prop_map(Event::Nonsense),
            1 => Just(Event::Tick),
            2 => prop_oneof![0..900_i64, 4_000..7_000_i64].prop_map(Event::Wait),
        ]
    }

    /// A client at the other end of an ordered line, which checks what a real one relies on.
    #[derive(Default)]
    struct Client {
        line: VecDeque<FeedUpdate<u64>>,
        screen: Option<u64>,
        acks_under_way: VecDeque<u64>,
        /// Time and version of all that was sent.
        sent: Vec<(i64, u64)>,
        acks_arrived: Vec<u64>,
    }

    impl Client {
        fn take(&mut self, send: Option<FeedUpdate<u64>>, now: i64) -> Result<(), TestCaseError> {
            let Some(send) = send else { return Ok(()) };
            let version = **send.feed();
            if let Some((at, last)) = self.sent.last().copied() {
                prop_assert!(version > last, "versions rise: {} after {}", version, last);
                let quiet = self.acks_arrived.contains(&last);
                prop_assert!(quiet || now - at >= Plain::ACK_TIMEOUT_MS, "at most one feed in flight");
            }
            if let FeedUpdate::Patch { base, .. } = &send {
                prop_assert!(self.acks_arrived.contains(base), "the base was acknowledged");
            }
            self.sent.push((now, version));
            self.line.push_back(send);
            Ok(())
        }

        fn receive(&mut self) -> Result<(), TestCaseError> {
            let Some(send) = self.line.pop_front() else { return Ok(()) };
            if let FeedUpdate::Patch { base, .. } = &send {
                prop_assert_eq!(self.screen, Some(**base), "the base is on the screen");
            }
            self.screen = Some(**send.feed());
            self.acks_under_way.extend(self.screen);
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
            let mut flow = Plain::new();
            if resumed {
                flow = Plain::resumed(FeedVersion(newest), Arc::new(newest));
                client.screen = Some(newest);
                client.acks_arrived.push(newest);
            }
            for event in script {
                match event {
                    Event::Offer => {
                        newest += 1;
                        let send = offer(&mut flow, newest, now);
                        client.take(send, now)?;
                    }
                    Event::Receive => client.receive()?,
                    Event::AckArrives => {
                        if let Some(version) = client.acks_under_way.pop_front() {
                            client.acks_arrived.push(version);
                            let send = acknowledge(&mut flow, version, now);
                            client.take(send, now)?;
                        }
                    }
                    Event::Nonsense(version) => prop_assert_eq!(acknowledge(&mut flow, version, now), None),
                    Event::Tick => {
                        let send = flow.tick(Millis(now));
                        client.take(send, now)?;
                    }
                    Event::Wait(ms) => now += ms,
                }
                prop_assert!(flow.pending.is_none() || flow.in_flight.is_some(), "pending only while a feed is in flight");
                prop_assert_eq!(flow.last_sent().map(|version| version.0), client.sent.last().map(|sent| sent.1)
                    .or(resumed.then_some(100)));
            }
            // Then the client catches up.
            while !client.line.is_empty() || !client.acks_under_way.is_empty() {
                client.receive()?;
                if let Some(version) = client.acks_under_way.pop_front() {
                    client.acks_arrived.push(version);
                    let send = acknowledge(&mut flow, version, now);
                    client.take(send, now)?;
                }
            }
            if newest > 100 {
                prop_assert_eq!(client.screen, Some(newest));
                prop_assert_eq!(flow.acknowledged_version(), Some(FeedVersion(newest)));
            }
        }

        /// A client that never acknowledges gets at most one feed per timeout.
        #[test]
        fn a_client_that_never_acknowledges_gets_one_feed_per_timeout(steps in vec(1..3_000_i64, 1..100)) {
            let mut flow = Plain::new();
            let (mut now, mut sent) = (0, 0);
            for (version, step) in (1_u64..).zip(steps) {
                sent += i64::from(offer(&mut flow, version, now).is_some());
                prop_assert!(sent <= 1 + now / Plain::ACK_TIMEOUT_MS);
                now += step;
            }
        }
    }
}
