//! What this person did: where they were last, or where they are most often.
//!
//! Invariant: items where they never were score below 1, all others 1 and more; rows of one time unit are equally recent.
//! Among equals what is popular by now (half-life one day) comes first, as it must for an opponent that is worth beating:
//! of somebody new to everything, a habit alone says nothing.

use super::{Popularity, Ranker};
use crate::domain::interactions::Signals;
use crate::domain::time::{DAY_MS, Millis};
use crate::replay::log::Log;
use crate::replay::log::availability::Edge;

/// What counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// The more recently, the higher.
    LastSeen,
    /// The more often, the higher.
    MostFrequent,
}

/// See the module.
pub struct History<'a> {
    log: &'a Log,
    signals: Signals,
    habit: Habit,
    people: Vec<Person>,
    popularity: Popularity<'a>,
    /// By item, zeros between two calls.
    scratch: Vec<f32>,
}

#[derive(Clone, Default)]
struct Person {
    /// Sorted by item; the number of visits, or of the time unit (among theirs) of the last one.
    items: Vec<(u32, u32)>,
    last: Option<Millis>,
    units: u32,
}

impl<'a> History<'a> {
    /// Nobody did anything yet.
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
        }
    }

    fn begin(&mut self, now: Millis, edges: &[Edge]) {
        self.popularity.begin(now, edges);
    }

    fn scores(&mut self, user: u32, candidates: &[u32], now: Millis, out: &mut Vec<f32>) {
        let items = &self.people[user as usize].items;
        for (item, score) in items {
            self.scratch[*item as usize] = *score as f32;
        }
        self.popularity.scores(user, candidates, now, out);
        for (score, item) in out.iter_mut().zip(candidates) {
            // Below 1 and rising: less than any step of a habit.
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
            Habit::MostFrequent => *value + 1,
        };
    }
}
