//! The next scheduled fit of each clustering.
//!
//! Invariant: a scheduled time is due once. A changed schedule, and a clock that was set back, give a new next time.

use std::collections::BTreeMap;

use crate::actors::schedule::Schedule;
use crate::domain::time::Millis;
use crate::engine::settings::LearnSettings;

/// Schedules by the name of the clustering.
#[derive(Debug, Default)]
pub(super) struct Schedules {
    followed: BTreeMap<String, Followed>,
    looked: Millis,
}

#[derive(Debug)]
struct Followed {
    text: String,
    schedule: Option<Schedule>,
    next: Option<Millis>,
}

impl Followed {
    fn new(text: &str, now: Millis) -> Followed {
        // The schedule was checked when it was set.
        let schedule = Schedule::read(text).ok().flatten();
        let next = schedule.as_ref().and_then(|schedule| schedule.after(now));
        Followed { text: text.to_owned(), schedule, next }
    }
}

impl Schedules {
    /// Names of the clusterings whose scheduled time has come since the last call.
    pub(super) fn due(&mut self, settings: &LearnSettings, now: Millis) -> Vec<String> {
        let was_set_back = now < self.looked;
        self.looked = now;
        self.followed.retain(|name, _| settings.clustering(name).is_some());
        let mut due = Vec::new();
        for (name, own) in settings.all_clusterings() {
            let followed = self.followed.entry(name.to_owned()).or_insert_with(|| Followed::new(&own.schedule, now));
            if followed.text != own.schedule || was_set_back {
                *followed = Followed::new(&own.schedule, now);
            } else if followed.next.is_some_and(|next| next <= now) {
                due.push(name.to_owned());
                followed.next = followed.schedule.as_ref().and_then(|schedule| schedule.after(now));
            }
        }
        due
    }

    /// The next scheduled time of a clustering; `None` without a schedule.
    pub(super) fn next(&self, name: &str) -> Option<Millis> {
        self.followed.get(name)?.next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::settings::ClusterSettings;

    #[test]
    fn a_time_is_due_once_and_follows_changes_and_the_clock() {
        const HOUR: i64 = 3_600_000;
        let hourly = || ClusterSettings { schedule: "0 * * * *".into(), ..ClusterSettings::default() };
        let mut settings = LearnSettings { cluster: hourly(), ..LearnSettings::default() };
        let mut schedules = Schedules::default();
        assert!(schedules.due(&settings, Millis(1)).is_empty());
        assert_eq!((schedules.next("default"), schedules.next("pages")), (Some(Millis(HOUR)), None));
        assert!(schedules.due(&settings, Millis(HOUR - 1)).is_empty());
        assert_eq!(schedules.due(&settings, Millis(HOUR + 5)), ["default"]);
        assert!(schedules.due(&settings, Millis(HOUR + 6)).is_empty(), "once");
        settings.clusterings.insert("pages".into(), hourly());
        assert!(schedules.due(&settings, Millis(HOUR + 7)).is_empty());
        assert_eq!(schedules.due(&settings, Millis(2 * HOUR)), ["default", "pages"]);
        assert!(schedules.due(&settings, Millis(HOUR + 7)).is_empty(), "the clock was set back");
        assert_eq!(schedules.next("pages"), Some(Millis(2 * HOUR)));
        settings.cluster.schedule = String::new();
        settings.clusterings.clear();
        assert!(schedules.due(&settings, Millis(3 * HOUR)).is_empty());
        assert_eq!((schedules.next("default"), schedules.next("pages")), (None, None));
    }
}
