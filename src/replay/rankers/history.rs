//! Baselines of habit: the items that the user visited last, most often, or most often at this time of day.
//!
//! Invariant: items without a visit of the user score below all others; rows of one time unit are equally recent. Ties
//! go by current popularity (half-life one day). A habit alone would be a weak baseline for new users.

use super::popularity::Popularity;
use super::ranker::Ranker;
use crate::domain::interactions::Signals;
use crate::domain::time::{DAY_MS, HOUR_MS, Millis};
use crate::replay::log::Log;
use crate::replay::log::availability::Edge;

/// Statistic that orders the visited items.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// Recency of the last visit.
    LastSeen,
    /// Number of visits.
    MostFrequent,
    /// Number of visits, weighted by nearness to this time of day.
    ByHour,
}

/// Width of the biweight kernel: a visit counts for the times of day within this distance.
const REACH_MS: i64 = 4 * HOUR_MS;

/// Weight of a visit at all other times of day, so that a frequent item never vanishes.
const FLOOR: f32 = 0.05;

/// A ranker by the user's own habit.
pub struct History<'a> {
    log: &'a Log,
    signals: Signals,
    habit: Habit,
    people: Vec<Person>,
    popularity: Popularity<'a>,
    /// Scores by item; all zeros between two calls.
    scratch: Vec<f32>,
}

#[derive(Clone, Default)]
struct Person {
    /// Sorted by item: the number of visits, or the number of the time unit (of this user) of the last visit.
    items: Vec<(u32, u32)>,
    last: Option<Millis>,
    units: u32,
    /// Sorted by item and time of day in milliseconds: the number of visits. Filled for [`Habit::ByHour`] alone.
    hours: Vec<((u32, u32), u32)>,
}

impl<'a> History<'a> {
    /// A ranker without visits.
    #[must_use]
    pub fn new(log: &'a Log, signals: Signals, habit: Habit) -> History<'a> {
        let people = vec![Person::default(); log.users.len()];
        let popularity = Popularity::new(log, signals.clone(), Some(DAY_MS));
        History { log, signals, habit, people, popularity, scratch: vec![0.0; log.items.len()] }
    }
}

impl Ranker for History<'_> {
    fn name(&self) -> &'static str {
        match self.habit {
            Habit::LastSeen => "last_seen",
            Habit::MostFrequent => "most_frequent",
            Habit::ByHour => "habit_by_hour",
        }
    }

    fn begin(&mut self, now: Millis, edges: &[Edge]) {
        self.popularity.begin(now, edges);
    }

    fn scores(&mut self, user: u32, candidates: &[u32], now: Millis, out: &mut Vec<f32>) {
        let Person { items, hours, .. } = &self.people[user as usize];
        for (item, score) in items {
            self.scratch[*item as usize] = *score as f32;
        }
        for ((item, of_day), visits) in hours {
            // Counted in units of the floor, so any visit outweighs popularity.
            self.scratch[*item as usize] += *visits as f32 * nearness(*of_day, now) / FLOOR;
        }
        self.popularity.scores(user, candidates, now, out);
        for (score, item) in out.iter_mut().zip(candidates) {
            // A monotone map of popularity into [0, 1), below any step of a habit.
            *score = self.scratch[*item as usize] + (*score / (1.0 + *score)).min(1.0 - f32::EPSILON);
        }
        for (item, _) in items {
            self.scratch[*item as usize] = 0.0;
        }
    }

    fn learn(&mut self, index: usize) {
        self.popularity.learn(index);
        let row = &self.log.rows[index];
        if !row.signal(&self.signals, !self.log.has_presence).is_some_and(|signal| signal.positive) {
            return;
        }
        let person = &mut self.people[row.user as usize];
        if person.last != Some(row.at) {
            person.last = Some(row.at);
            person.units += 1;
        }
        let place = match person.items.binary_search_by_key(&row.item, |(item, _)| *item) {
            Ok(place) => place,
            Err(place) => {
                person.items.insert(place, (row.item, 0));
                place
            }
        };
        let value = &mut person.items[place].1;
        *value = match self.habit {
            Habit::LastSeen => person.units,
            Habit::MostFrequent | Habit::ByHour => *value + 1,
        };
        if self.habit == Habit::ByHour {
            // Fits 32 bits: a day has 86,400,000 ms.
            let key = (row.item, row.at.0.rem_euclid(DAY_MS) as u32);
            match person.hours.binary_search_by_key(&key, |(key, _)| *key) {
                Ok(place) => person.hours[place].1 += 1,
                Err(place) => person.hours.insert(place, (key, 1)),
            }
        }
    }
}

/// Weight in [0, 1] of a visit at this time of day for the instant `now`.
fn nearness(of_day: u32, now: Millis) -> f32 {
    let away = (now.0 - i64::from(of_day)).rem_euclid(DAY_MS);
    let share = away.min(DAY_MS - away) as f32 / REACH_MS as f32;
    let rest = (1.0 - share * share).max(0.0);
    rest * rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Key;
    use crate::domain::interactions::Kind;
    use crate::replay::log::availability::Availability;
    use crate::replay::log::{Act, LogRow};

    /// Visits twice at noon, three times in the evening: each item wins at its time, and the more frequent one at
    /// night. Items without a visit come last, by popularity.
    #[test]
    fn a_habit_has_its_hour() {
        let visits = [(0, 0, 12), (0, 1, 20), (1, 0, 12), (1, 1, 20), (2, 1, 20)];
        let row = |user, item, day: i64, hour: i64| LogRow {
            at: Millis(day * DAY_MS + hour * HOUR_MS),
            user,
            item,
            stay_ms: 0,
            act: Act::Interacted(Kind::Click),
            is_judged: false,
        };
        let mut rows: Vec<LogRow> = visits.iter().map(|(day, item, hour)| row(0, *item, *day, *hour)).collect();
        rows.push(row(1, 3, 2, 21));
        let log = Log {
            users: (0..2).map(Key::of_number).collect(),
            items: (0..5).map(Key::of_number).collect(),
            about: vec![],
            rows,
            unit_ms: 1,
            availability: Availability::default(),
            has_presence: false,
            has_views: false,
            streams: 0,
        };
        let order = |habit, hour: i64| {
            let mut ranker = History::new(&log, Signals::default(), habit);
            (0..log.rows.len()).for_each(|index| ranker.learn(index));
            let (mut scores, mut items) = (Vec::new(), [4, 3, 2, 1, 0]);
            let candidates = items;
            let now = Millis(3 * DAY_MS + hour * HOUR_MS);
            ranker.begin(now, &[]);
            ranker.scores(0, &candidates, now, &mut scores);
            items.sort_by(|a, b| scores[4 - *b as usize].total_cmp(&scores[4 - *a as usize]));
            items
        };
        assert_eq!(order(Habit::ByHour, 12), [0, 1, 3, 4, 2]);
        assert_eq!(order(Habit::ByHour, 14), [0, 1, 3, 4, 2]);
        assert_eq!(order(Habit::ByHour, 19), [1, 0, 3, 4, 2]);
        assert_eq!(order(Habit::ByHour, 4), [1, 0, 3, 4, 2]);
        assert_eq!(order(Habit::MostFrequent, 12), [1, 0, 3, 4, 2]);
    }
}
