//! A simulated log of live viewing: visits to the broadcasts of channels, in steps of ten minutes.
//!
//! Invariant: equal sizes and seeds give equal rows. Rows come in order of their starts, each within a broadcast of
//! its channel. Memory holds users and channels, not rows.
//!
//! The log has the shape of real ones. Popularity of channels follows Zipf's law, and channels keep a weekly schedule.
//! Four of five visits go to a channel that the user visited before, and evenings are busy.

use std::ops::RangeInclusive;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Number of steps in a day.
const DAY_STEPS: u32 = 144;
/// Number of channels that a user remembers.
const FAVOURITES_MAX: usize = 8;
/// Probability of a repeat visit where a remembered channel is on.
const REPEAT_SHARE: f64 = 0.85;
/// Probability of a visit where no remembered channel is on.
const CURIOUS_SHARE: f64 = 0.1;
/// Limit on the users that are drawn for one visit.
const ASKED_MAX: u32 = 64;
/// Duration of a broadcast, in steps.
const BROADCAST_STEPS: RangeInclusive<u32> = 6..=36;

/// Sizes of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ViewingSize {
    /// Approximate number of rows.
    pub rows: u64,
    /// Number of users.
    pub people: u32,
    /// Number of channels.
    pub channels: u32,
    /// Number of days.
    pub days: u32,
}

/// A visit of a user to a channel: `[start, stop)` in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit {
    /// Index of the user.
    pub user: u32,
    /// Number of the broadcast.
    pub stream: u32,
    /// Index of the channel.
    pub channel: u32,
    /// First step of the visit.
    pub start: u32,
    /// Step after the visit's last one.
    pub stop: u32,
}

struct Channel {
    popularity: f64,
    /// Step of the day on which broadcasts begin.
    begins: u32,
    /// One bit per day of the week.
    days: u8,
    /// Current broadcast, and the step in which it ends.
    on: Option<(u32, u32)>,
}

/// A log of live viewing, generated step by step.
pub struct Viewing {
    size: ViewingSize,
    random: ChaCha8Rng,
    channels: Vec<Channel>,
    /// Cumulative activity of the users.
    activity: Vec<f64>,
    /// By user: remembered channels, the latest last.
    favourites: Vec<Vec<u32>>,
    step: u32,
    streams: u32,
    /// Fraction of a row carried over to the next step.
    owed: f64,
}

impl Viewing {
    /// A log of these sizes.
    #[must_use]
    pub fn new(size: ViewingSize, seed: u64) -> Viewing {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let channels = (1..=size.channels).map(|rank| Channel {
            popularity: 1.0 / f64::from(rank).powf(0.8),
            // Most broadcasts begin in the evening.
            begins: (random.random_range(0..DAY_STEPS).max(random.random_range(0..DAY_STEPS)) + 12) % DAY_STEPS,
            days: random.random_range(1..=127) & random.random_range(1..=127),
            on: None,
        });
        let channels = channels.collect();
        let mut sum = 0.0;
        let activity = (1..=size.people).map(|rank| {
            sum += 1.0 / f64::from(rank + 20).powf(0.6);
            sum
        });
        let activity = activity.collect();
        let favourites = vec![Vec::new(); size.people as usize];
        Viewing { size, random, channels, activity, favourites, step: 0, streams: 0, owed: 0.0 }
    }

    /// Number of steps in the log.
    #[must_use]
    pub fn steps(&self) -> u32 {
        self.size.days * DAY_STEPS
    }

    /// Visits that begin in the next step; `None` after the last one.
    pub fn next_step(&mut self) -> Option<Vec<Visit>> {
        if self.step >= self.steps() || self.channels.is_empty() || self.activity.is_empty() {
            return None;
        }
        let now = self.step;
        self.step += 1;
        self.switch(now);
        let on: Vec<u32> = (0..self.size.channels).filter(|c| self.channels[*c as usize].on.is_some()).collect();
        let mut sum = 0.0;
        let popularity: Vec<f64> = on
            .iter()
            .map(|channel| {
                sum += self.channels[*channel as usize].popularity;
                sum
            })
            .collect();
        // Evenings have up to three times the visits of mornings.
        let hour = f64::from(now % DAY_STEPS) / f64::from(DAY_STEPS) * std::f64::consts::TAU;
        self.owed += self.size.rows as f64 / f64::from(self.steps()) * (1.0 - 0.5 * hour.sin());
        // The fractions of all steps add up to a whole number, from which rounding errors may take a last row.
        let is_last = self.step == self.steps();
        let count = if is_last { self.owed.round() } else { self.owed.floor() };
        self.owed -= count;
        let visits = (0..count as u64).filter_map(|_| self.visit(now, &on, &popularity));
        Some(visits.collect())
    }

    /// Starts and ends broadcasts at a step.
    fn switch(&mut self, now: u32) {
        let (day, of_day) = ((now / DAY_STEPS) % 7, now % DAY_STEPS);
        for channel in &mut self.channels {
            if channel.on.is_some_and(|(_, end)| end <= now) {
                channel.on = None;
            }
            let is_due = channel.begins == of_day && channel.days >> day & 1 == 1;
            if is_due && channel.on.is_none() && self.random.random_bool(0.8) {
                channel.on = Some((self.streams, now + self.random.random_range(BROADCAST_STEPS)));
                self.streams += 1;
            }
        }
    }

    fn visit(&mut self, now: u32, on: &[u32], popularity: &[f64]) -> Option<Visit> {
        let is_on = |channel: &&u32| self.channels[**channel as usize].on.is_some();
        let mut user = draw(&mut self.random, &self.activity)?;
        for _ in 0..ASKED_MAX {
            let known = &self.favourites[user];
            if known.is_empty() || known.iter().any(|c| is_on(&c)) || self.random.random_bool(CURIOUS_SHARE) {
                break;
            }
            user = draw(&mut self.random, &self.activity)?;
        }
        let known = &mut self.favourites[user];
        let known_on: Vec<u32> = known.iter().filter(is_on).copied().collect();
        let channel = if !known_on.is_empty() && self.random.random_bool(REPEAT_SHARE) {
            // Later entries are more likely.
            known_on[self.random.random_range(0..known_on.len()).max(self.random.random_range(0..known_on.len()))]
        } else {
            on[draw(&mut self.random, popularity)?]
        };
        if !known.contains(&channel) {
            if known.len() == FAVOURITES_MAX {
                known.remove(self.random.random_range(0..FAVOURITES_MAX));
            }
            known.push(channel);
        }
        let (stream, end) = self.channels[channel as usize].on?;
        let mut stop = now + 1;
        while stop < end && self.random.random_bool(0.7) {
            stop += 1;
        }
        Some(Visit { user: user as u32, stream, channel, start: now, stop })
    }
}

/// Draws an index in proportion to weights, given as ascending cumulative `sums`; `None` for an empty list.
fn draw(random: &mut ChaCha8Rng, sums: &[f64]) -> Option<usize> {
    let total = sums.last()?;
    let found = random.random::<f64>() * total;
    Some(sums.partition_point(|sum| *sum <= found).min(sums.len() - 1))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const SIZE: ViewingSize = ViewingSize { rows: 20_000, people: 300, channels: 400, days: 7 };

    fn visits(seed: u64) -> Vec<Visit> {
        let mut viewing = Viewing::new(SIZE, seed);
        std::iter::from_fn(|| viewing.next_step()).flatten().collect()
    }

    #[test]
    fn the_same_numbers_give_the_same_rows() {
        assert_eq!(visits(1), visits(1));
        assert_ne!(visits(1), visits(2));
    }

    #[test]
    fn the_log_has_as_many_rows_as_were_asked_for() {
        for (rows, days) in [(100_000, 7), (10_000, 3), (7, 2)] {
            let size = ViewingSize { rows, people: 200, channels: 1_500, days };
            let mut viewing = Viewing::new(size, 1);
            let found: usize = std::iter::from_fn(|| viewing.next_step()).map(|visits| visits.len()).sum();
            assert_eq!(found as u64, rows);
        }
    }

    #[test]
    fn rows_are_in_order_and_most_are_repeats() {
        let visits = visits(3);
        assert!(visits.is_sorted_by_key(|visit| visit.start));
        assert!(visits.iter().all(|visit| visit.start < visit.stop && visit.user < 300 && visit.channel < 400));
        assert!((18_000..=20_000).contains(&visits.len()), "{}", visits.len());
        let mut seen = HashSet::new();
        let repeats = visits.iter().filter(|visit| !seen.insert((visit.user, visit.channel))).count();
        let share = repeats as f64 / visits.len() as f64;
        assert!((0.7..0.95).contains(&share), "{share}");
    }
}
