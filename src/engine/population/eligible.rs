//! Whether enough users have values for a fit, for reports that are asked for often.
//!
//! Invariant: a positive answer is exact. A negative one may be [`SCAN_EVERY_MS`] old, and only while entries arrive.
//! Deliberately absent: the decision whether a fit begins, which scans on its own (`refit`).

use crate::domain::ids::{Key, TopicId, UserId};
use crate::domain::time::{Millis, SECOND_MS};
use crate::engine::population::{GROUPED_MIN, Population};
use crate::engine::settings::LearnSettings;
use crate::engine::settings::columns::Column;

/// Milliseconds between two scans of all users without enough values.
const SCAN_EVERY_MS: i64 = 10 * SECOND_MS;

/// Users that make a fit possible, as the last scan found them. The scan of a population without enough of them covers all
/// users, so it is repeated only after a change.
#[derive(Clone, Debug, Default)]
pub(crate) struct Eligible {
    columns: Vec<Column>,
    users: Vec<UserId>,
    /// Changes of the population at the last scan.
    changes: u64,
    scanned_at: Option<Millis>,
}

impl Eligible {
    /// Whether enough users have a value in one of the columns.
    pub(crate) fn are_enough(
        &mut self,
        population: &Population,
        columns: Vec<Column>,
        topic: impl Fn(&Key) -> Option<TopicId>,
        now: Millis,
        settings: &LearnSettings,
    ) -> bool {
        if population.has_counted_enough(&columns) {
            return true;
        }
        if self.users.len() == GROUPED_MIN && population.all_have_a_value(&self.users, &columns, &topic, now, settings)
        {
            return true;
        }
        let is_recent = |at: Millis| at <= now && now.since(at) < SCAN_EVERY_MS;
        let is_known = self.users.len() < GROUPED_MIN
            && self.columns == columns
            && self.scanned_at.is_some_and(|at| self.changes == population.changes() || is_recent(at));
        if !is_known {
            self.users = population.with_a_value(&columns, topic, now, settings);
            (self.columns, self.changes, self.scanned_at) = (columns, population.changes(), Some(now));
        }
        self.users.len() == GROUPED_MIN
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Seq;
    use crate::domain::journal::{Entry, Measured, What};
    use crate::engine::settings::ClusterSettings;

    fn measure(population: &mut Population, user: u32, kind: &str, settings: &LearnSettings) {
        let measured = Measured {
            metric: Key::new("time_spent").unwrap(),
            kind: Some(Key::new(kind).unwrap()),
            millionths: 1_000_000,
            replaces: false,
        };
        let id = Key::new(&format!("{user}-{kind}")).unwrap();
        let what = What::Measured(measured);
        let entry = Entry { user: UserId(user), seq: Seq(1), id, at: Millis(0), received: Millis(0), what };
        population.fold(&entry, settings);
    }

    /// One user for each of two columns, so that no count alone shows two users.
    #[test]
    fn a_refusal_ends_with_the_second_user_and_is_not_searched_for_at_each_question() {
        let names = ["time_spent.post", "time_spent.feed"];
        let columns = names.map(str::to_owned).to_vec();
        let cluster = ClusterSettings { columns, ..ClusterSettings::default() };
        let settings = LearnSettings { cluster, ..LearnSettings::default() };
        let read = || names.map(|name| Column::of(name, &settings.metrics).unwrap()).to_vec();
        let mut population = Population::new(&settings);
        let mut eligible = Eligible::default();
        let mut ask = |population: &Population, at: i64| {
            let before = eligible.scanned_at;
            let enough = eligible.are_enough(population, read(), |_| None, Millis(at), &settings);
            (enough, eligible.scanned_at != before)
        };
        assert_eq!(ask(&population, 0), (false, true));
        assert_eq!(ask(&population, 60_000), (false, false), "nothing changed");
        measure(&mut population, 1, "post", &settings);
        assert_eq!(ask(&population, 60_000), (false, true));
        measure(&mut population, 7, "channel", &settings);
        assert_eq!(ask(&population, 69_999), (false, false), "ten seconds are not over");
        measure(&mut population, 2, "feed", &settings);
        assert_eq!(ask(&population, 70_000), (true, true));
        assert_eq!(ask(&population, 90_000), (true, false), "the users are remembered");
        // Another population does not have these users.
        assert_eq!(ask(&Population::new(&settings), 100_000), (false, true));
        assert!(population.can_be_grouped(&read(), |_| None, Millis(0), &settings));
    }
}
