//! The writer's cache: the journal's last position, the last sequence number per person, and the entries in doubt,
//! whose commit was not answered.
//!
//! Invariant: the cache holds committed numbers only; missing numbers are read from the store. After a lost transaction
//! the writer calls [`TailCache::clear`], which keeps the entries in doubt. Absent on purpose: any query.

use std::collections::{HashMap, HashSet};

use crate::domain::ids::{Position, Seq, UserId};
use crate::domain::journal::Entry;
use crate::store::codec::JournalRow;
use crate::store::error::StoreError;
use crate::store::group::Call;
use crate::store::journal::Write;

/// Last position of the journal, last sequence number per person, and entries that may or may not be stored. Holds at
/// most twice [`TailCache::GENERATION`] people and evicts the least recently used.
#[derive(Default)]
pub(super) struct TailCache {
    /// Position of the last entry; zero in an empty journal, `None` while it is unknown.
    pub(super) last: Option<Position>,
    young: HashMap<UserId, Seq>,
    old: HashMap<UserId, Seq>,
    doubtful: HashSet<(UserId, Seq)>,
}

impl TailCache {
    const GENERATION: usize = 131_072;
    /// Largest number of entries in doubt: twice the default queue of the journal. Entries beyond it are answered
    /// `Duplicate`, and learned again.
    const DOUBTFUL_MAX: usize = 131_072;

    /// Clears positions and sequence numbers; entries in doubt stay.
    pub(super) fn clear(&mut self) {
        self.last = None;
        self.young.clear();
        self.old.clear();
    }

    /// The last sequence number of a person, if it is cached; zero for a person without entries.
    pub(super) fn seq(&mut self, user: UserId) -> Option<Seq> {
        if let Some(seq) = self.young.get(&user) {
            return Some(*seq);
        }
        let seq = *self.old.get(&user)?;
        self.set(user, seq);
        Some(seq)
    }

    /// Sets the last sequence number of a person.
    pub(super) fn set(&mut self, user: UserId, seq: Seq) {
        if self.young.len() >= Self::GENERATION && !self.young.contains_key(&user) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(user, seq);
    }

    /// Adds the entries of calls whose commit was not answered: they may or may not be stored.
    pub(super) fn mark_in_doubt<'c>(&mut self, calls: impl IntoIterator<Item = &'c Call>) {
        let room = Self::DOUBTFUL_MAX.saturating_sub(self.doubtful.len());
        self.doubtful.extend(entries(calls).take(room));
    }

    /// Whether `stored` equals this entry, whose commit was in doubt. Such an entry is answered as stored, not as a
    /// duplicate.
    pub(super) fn was_in_doubt(&self, entry: &Entry, stored: &Entry) -> Result<bool, StoreError> {
        if !self.doubtful.contains(&(entry.user, entry.seq)) {
            return Ok(false);
        }
        // Compares rows, since NaN does not equal itself. A cancellation of that commit may have marked the stored one.
        let (sent, kept) = (JournalRow::encode(entry)?, JournalRow::encode(stored)?);
        Ok(JournalRow { cancelled_by: None, ..sent } == JournalRow { cancelled_by: None, ..kept })
    }

    /// Removes the entries of calls whose commit was answered.
    pub(super) fn settle<'c>(&mut self, calls: impl IntoIterator<Item = &'c Call>) {
        if !self.doubtful.is_empty() {
            for name in entries(calls) {
                self.doubtful.remove(&name);
            }
        }
    }
}

fn entries<'c>(calls: impl IntoIterator<Item = &'c Call>) -> impl Iterator<Item = (UserId, Seq)> {
    calls.into_iter().flat_map(|call| call.work.batch()).filter_map(|write| match write {
        Write::Entry(entry) => Some((entry.user, entry.seq)),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Key;
    use crate::domain::journal::What;
    use crate::domain::time::Millis;
    use crate::store::group::Work;

    fn followed(seq: u64, target: u32) -> Entry {
        Entry {
            user: UserId(1),
            seq: Seq(seq),
            id: Key::new("a").unwrap(),
            at: Millis(0),
            received: Millis(0),
            what: What::Followed(UserId(target)),
        }
    }

    /// Only an entry in doubt is answered as stored, and only with its content and number of then.
    #[test]
    fn a_doubt_is_about_one_entry_and_ends_with_an_answer() {
        let mut tails = TailCache::default();
        let stored = followed(1, 2);
        let (answer, _) = tokio::sync::oneshot::channel();
        let call = [Call { work: Work::Append(vec![Write::Entry(stored.clone())]), answer }];
        assert!(!tails.was_in_doubt(&stored, &stored).unwrap(), "nothing was in doubt");
        tails.mark_in_doubt(&call);
        tails.clear();
        for (name, entry, expected) in [
            ("an identical entry", followed(1, 2), true),
            ("other content", followed(1, 3), false),
            ("another number", followed(2, 2), false),
        ] {
            assert_eq!(tails.was_in_doubt(&entry, &stored).unwrap(), expected, "{name}");
        }
        tails.settle(&call);
        assert!(!tails.was_in_doubt(&stored, &stored).unwrap(), "answered");
    }

    #[test]
    fn people_seen_lately_are_known_and_their_number_is_bounded() {
        let mut tails = TailCache::default();
        for user in 0..300_000 {
            tails.set(UserId(user), Seq(1));
            assert_eq!(tails.seq(UserId(0)), Some(Seq(1)), "asked for all the time");
        }
        assert!(tails.young.len() + tails.old.len() <= 2 * TailCache::GENERATION);
        assert_eq!(tails.seq(UserId(1)), None);
    }
}
