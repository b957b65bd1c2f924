//! What this person did: where they were last, or where they are most often.
//!
//! Invariant: items where they never were score 0, all others more; rows of one time unit are equally recent.

use super::Ranker;
use crate::domain::interactions::Signals;
use crate::domain::time::Millis;
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
        History { log, signals, habit, people, scratch: vec![0.0; log.items.len()] }
    }
}

impl Ranker for History<'_> {
    fn name(&self) -> &'static str {
        match self.habit {
            Habit::LastSeen => "last_seen",
            Habit::MostFrequent => "most_frequent",
        }
    }

    fn begin(&mut self, _: Millis, _: &[Edge]) {}

    fn scores(&mut self, user: u32, candidates: &[u32], _: Millis, out: &mut Vec<f32>) {
        let items = &self.people[user as usize].items;
        for (item, score) in items {
            self.scratch[*item as usize] = *score as f32;
        }
        out.clear();
        out.extend(candidates.iter().map(|item| self.scratch[*item as usize]));
        for (item, _) in items {
            self.scratch[*item as usize] = 0.0;
        }
    }

    fn learn(&mut self, index: usize) {
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
