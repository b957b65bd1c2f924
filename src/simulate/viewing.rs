//! A log of live viewing: who was at which channel from when to when, in steps of ten minutes.
//!
//! Invariant: same numbers, same rows; rows come in the order of their starts, each within a broadcast of its channel.
//! Memory holds people and channels, not rows. Shapes are those of such logs: channels are popular by Zipf's law and keep
//! a weekly schedule, four of five visits go to a channel that the person knows, and evenings are busy.

use std::ops::RangeInclusive;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Steps of a day.
const DAY_STEPS: u32 = 144;
/// Channels that a person remembers.
const FAVOURITES_MAX: usize = 8;
/// How often somebody goes to a channel that they know, where one is on.
const REPEAT_SHARE: f64 = 0.85;
/// How often somebody comes although nothing that they know is on.
const CURIOUS_SHARE: f64 = 0.1;
/// How many people are asked for one visit.
const ASKED_MAX: u32 = 64;
/// How long a broadcast lasts, in steps.
const BROADCAST_STEPS: RangeInclusive<u32> = 6..=36;

/// How much of what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Rows, about.
    pub rows: u64,
    /// People.
    pub people: u32,
    /// Channels.
    pub channels: u32,
    /// Days.
    pub days: u32,
}

/// Somebody was at a channel: `[start, stop)` in steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visit {
    /// Who.
    pub user: u32,
    /// At which broadcast.
    pub stream: u32,
    /// Whose.
    pub channel: u32,
    /// From when on.
    pub start: u32,
    /// Until when.
    pub stop: u32,
}

struct Channel {
    popularity: f64,
    /// Step of the day on which broadcasts begin.
    begins: u32,
    /// One bit per day of the week.
    days: u8,
    /// The broadcast that is on, and the step in which it ends.
    on: Option<(u32, u32)>,
}

/// See the module.
pub struct Viewing {
    size: Size,
    random: ChaCha8Rng,
    channels: Vec<Channel>,
    /// Who is how active, summed up.
    activity: Vec<f64>,
    /// By person: channels that they know, the latest last.
    favourites: Vec<Vec<u32>>,
    step: u32,
    streams: u32,
    /// Rows that are still owed, as a fraction.
    owed: f64,
}

impl Viewing {
    /// A seeded log of this size.
    #[must_use]
    pub fn new(size: Size, seed: u64) -> Viewing {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let channels = (1..=size.channels).map(|rank| Channel {
            popularity: 1.0 / f64::from(rank).powf(0.8),
            // Most begin in the evening.
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

    /// Steps in all.
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
        // Evenings are up to three times as busy as mornings.
        let hour = f64::from(now % DAY_STEPS) / f64::from(DAY_STEPS) * std::f64::consts::TAU;
        self.owed += self.size.rows as f64 / f64::from(self.steps()) * (1.0 - 0.5 * hour.sin());
        let count = self.owed.floor();
        self.owed -= count;
        let visits = (0..count as u64).filter_map(|_| self.visit(now, &on, &popularity));
        Some(visits.collect())
    }

    /// Broadcasts begin and end.
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
            // The latest ones more often.
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

/// A place, as likely as its weight; `sums` rise. `None` of nothing.
fn draw(random: &mut ChaCha8Rng, sums: &[f64]) -> Option<usize> {
    let total = sums.last()?;
    let found = random.random::<f64>() * total;
    Some(sums.partition_point(|sum| *sum <= found).min(sums.len() - 1))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const SIZE: Size = Size { rows: 20_000, people: 300, channels: 400, days: 7 };

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
