//! Refreshes: the schedule on which a feed on a screen is ranked again while its person does nothing.
//!
//! Invariant: a feed that was ranked before the newest publication is due [`FeedRefresh::REST_MS`] after its last refresh
//! at the latest; time alone makes it due after a pause that doubles up to [`FeedRefresh::PAUSE_MAX_MS`]. Over any span
//! the refreshes of one [`Pace`] take at most its share of the time, and ten milliseconds of that share more.
//! Deliberately absent: sockets, timers, clocks (the caller passes `now`), and publications (the caller counts them).

use crate::domain::feeds::FeedItem;
use crate::domain::time::{MINUTE_MS, Millis, SECOND_MS};

/// The schedule of one person: the publication that their open feeds know, and the instant of the next refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedRefresh {
    /// The newest publication that all open feeds include.
    seen: u64,
    /// The instant at which all open feeds were ranked last.
    ranked_at: Millis,
    /// No refresh begins before this instant.
    rest_until: Millis,
    /// Milliseconds after `ranked_at` at which time alone makes a refresh due.
    pause_ms: i64,
}

impl FeedRefresh {
    /// The least time between two refreshes of one person, in milliseconds.
    pub const REST_MS: i64 = SECOND_MS;
    /// The first pause after a feed changed, in milliseconds.
    pub(crate) const PAUSE_MIN_MS: i64 = 5 * SECOND_MS;
    /// The longest pause, in milliseconds.
    pub const PAUSE_MAX_MS: i64 = MINUTE_MS;

    /// A schedule for feeds that were ranked at `now` and know publication number `seen`.
    #[must_use]
    pub fn new(seen: u64, now: Millis) -> FeedRefresh {
        FeedRefresh { seen, ranked_at: now, rest_until: now, pause_ms: Self::PAUSE_MIN_MS }
    }

    /// Records a ranking of all open feeds for another reason: an event of the person, or a change of items.
    pub fn ranked(&mut self, seen: u64, now: Millis) {
        (self.seen, self.ranked_at, self.pause_ms) = (self.seen.max(seen), now, Self::PAUSE_MIN_MS);
    }

    /// Records a refresh; `moved` says whether any feed differs from the one before.
    pub fn refreshed(&mut self, seen: u64, moved: bool, now: Millis) {
        let by_time = self.seen >= seen;
        self.seen = self.seen.max(seen);
        self.ranked_at = now;
        self.rest_until = now.plus(Self::REST_MS);
        self.pause_ms = match (moved, by_time) {
            (true, _) => Self::PAUSE_MIN_MS,
            // Changes by time alone slow down as time passes.
            (false, true) => (2 * self.pause_ms).min(Self::PAUSE_MAX_MS),
            (false, false) => self.pause_ms,
        };
    }

    /// The instant at which a refresh is due, while `published` is the number of the newest publication.
    #[must_use]
    pub fn due_at(&self, published: u64) -> Millis {
        match self.seen < published {
            true => self.rest_until,
            false => self.rest_until.max(self.ranked_at.plus(self.pause_ms)),
        }
    }

    /// The instant at which all open feeds were ranked last.
    #[must_use]
    pub fn ranked_at(&self) -> Millis {
        self.ranked_at
    }
}

/// Whether an entry is missing or new, or the order differs. Scores may differ: they alone push nothing.
#[must_use]
pub fn moved(before: &[FeedItem], after: &[FeedItem]) -> bool {
    !before.iter().map(|one| one.item).eq(after.iter().map(|one| one.item))
}

/// Paces refreshes on one thread, first come, first served, so that they take at most a share of its time.
/// Times are microseconds since any fixed instant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Share of the thread's time, above 0 and at most 1.
    share: f64,
    /// The instant at which the turn after all given turns begins.
    tail_us: f64,
    /// The instant until which past refreshes use up their share of the thread.
    paid_until_us: f64,
    /// Running mean of the cost of a refresh.
    cost_us: f64,
}

impl Pace {
    /// The assumed cost of a refresh before the first measurement.
    const COST_FIRST_US: f64 = 500.0;
    /// The weight of the newest measurement in the running mean.
    const NEWEST: f64 = 1.0 / 8.0;
    /// Microseconds by which a turn may begin before the share of all earlier turns is used up.
    const AHEAD_US: f64 = 10_000.0;

    /// A pace without turns; `share` is kept within 0.01 and 1.
    #[must_use]
    pub fn new(share: f64) -> Pace {
        Pace { share: share.clamp(0.01, 1.0), tail_us: 0.0, paid_until_us: 0.0, cost_us: Self::COST_FIRST_US }
    }

    /// Gives the next turn and returns the microseconds until it begins.
    pub fn turn(&mut self, now_us: u64) -> u64 {
        let now = now_us as f64;
        let begin = self.tail_us.max(self.paid_until_us - Self::AHEAD_US).max(now);
        self.tail_us = begin + self.cost_us / self.share;
        (begin - now).ceil() as u64
    }

    /// Whether a turn that comes now may begin. If earlier turns took longer than expected, it must take another turn.
    #[must_use]
    pub fn may_begin(&self, now_us: u64) -> bool {
        self.paid_until_us <= now_us as f64 + Self::AHEAD_US
    }

    /// Records the cost of a refresh that began at `begin_us`.
    pub fn took(&mut self, begin_us: u64, us: u64) {
        self.paid_until_us = self.paid_until_us.max(begin_us as f64) + us as f64 / self.share;
        self.cost_us += Self::NEWEST * (us as f64 - self.cost_us);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_publication_makes_a_feed_due_once_and_at_most_once_a_second() {
        let mut refresh = FeedRefresh::new(1, Millis(10_000));
        assert_eq!(refresh.due_at(2), Millis(10_000), "at once");
        refresh.refreshed(2, true, Millis(10_000));
        assert_eq!(refresh.due_at(2), Millis(15_000), "nothing is published: time alone");
        assert_eq!(refresh.due_at(3), Millis(11_000), "not within a second of the last one");
        refresh.ranked(3, Millis(10_400));
        assert_eq!(refresh.due_at(3), Millis(15_400), "ranked for another reason, it knows all");
        assert_eq!(refresh.due_at(9), Millis(11_000), "however many publications there were");
    }

    #[test]
    fn time_alone_is_looked_at_less_and_less_often_and_every_minute_at_least() {
        let mut refresh = FeedRefresh::new(0, Millis(0));
        let pauses: Vec<i64> = (0..7)
            .map(|_| {
                let due = refresh.due_at(0);
                let pause = due.since(refresh.ranked_at());
                refresh.refreshed(0, false, due);
                pause
            })
            .collect();
        assert_eq!(pauses, [5_000, 10_000, 20_000, 40_000, 60_000, 60_000, 60_000]);
        refresh.refreshed(0, true, Millis(999_000));
        assert_eq!(refresh.due_at(0), Millis(1_004_000), "what moves may move again soon");
    }

    /// Serves requests that all come at once. Returns `(begin, cost)` of each refresh in order, and the number of turns.
    fn serve(share: f64, costs: &[u64]) -> (Vec<(u64, u64)>, usize) {
        let mut pace = Pace::new(share);
        let mut timers: BTreeSet<(u64, usize)> = (0..costs.len()).map(|who| (pace.turn(0), who)).collect();
        let (mut free, mut served, mut turns) = (0, Vec::new(), costs.len());
        while let Some((at, who)) = timers.pop_first() {
            let now = at.max(free);
            if pace.may_begin(now) {
                pace.took(now, costs[who]);
                free = now + costs[who];
                served.push((now, costs[who]));
            } else {
                turns += 1;
                timers.insert((now + pace.turn(now), who));
            }
        }
        (served, turns)
    }

    proptest! {
        /// At any cost per refresh all requests are served, within the share of any span plus one refresh.
        #[test]
        fn refreshes_take_no_more_than_their_share(
            share in 0.05f64..1.0,
            costs in prop_oneof![
                prop::collection::vec(1u64..2_000, 1..300),
                prop::collection::vec(1u64..50_000, 1..300),
                (1u64..50_000, 1usize..300).prop_map(|(cost, people)| vec![cost; people]),
            ],
        ) {
            let (served, turns) = serve(share, &costs);
            prop_assert_eq!(served.len(), costs.len(), "all refreshes are served");
            prop_assert!(turns <= 12 * costs.len() + 12, "{} turns for {} people", turns, costs.len());
            for first in (0..served.len()).step_by(13) {
                let mut spent = 0.0;
                for (begin, cost) in &served[first..] {
                    let span = (begin - served[first].0) as f64;
                    let ahead = share * Pace::AHEAD_US;
                    prop_assert!(spent <= share * span + ahead + 1.0, "{spent} us in {span} us at {share}");
                    spent += *cost as f64;
                }
            }
        }
    }

    #[test]
    fn a_lone_refresh_does_not_wait() {
        let mut pace = Pace::new(0.25);
        assert_eq!(pace.turn(0), 0);
        pace.took(0, 1_000);
        assert_eq!(pace.turn(10_000), 0, "what it took is paid for");
        assert!(pace.turn(10_000) > 0, "the next one waits");
    }
}
