//! What the one writer of a store remembers between transactions.
//!
//! Invariant: a cache, never the truth: whatever is missing here is read from the store. It says only what was committed,
//! so whoever loses a transaction after changing it must [`TailCache::forget`]. Entries in doubt survive that.
//! Absent on purpose: any query.

use std::collections::{HashMap, HashSet};

use super::codec::JournalRow;
use super::group::Call;
use super::{StoreError, Write};
use crate::domain::ids::{Position, Seq, UserId};
use crate::domain::journal::Entry;

/// Where the journal ends, for all and for each person; and which entries may or may not have been stored. At most twice
/// [`TailCache::GENERATION`] people, those used longest ago go first.
#[derive(Default)]
pub(super) struct TailCache {
    /// Of the last entry of all; zero is an empty journal.
    pub(super) last: Option<Position>,
    young: HashMap<UserId, Seq>,
    old: HashMap<UserId, Seq>,
    doubtful: HashSet<(UserId, Seq)>,
}

impl TailCache {
    const GENERATION: usize = 131_072;
    /// Twice what the journal's queue holds by default; whoever has more in doubt gets `Duplicate` and learns again.
    const DOUBTFUL_MAX: usize = 131_072;

    /// Forgets where the journal ends; the doubts stay.
    pub(super) fn forget(&mut self) {
        self.last = None;
        self.young.clear();
        self.old.clear();
    }

    /// The last number of a person, if it is known here; zero is nobody yet.
    pub(super) fn seq(&mut self, user: UserId) -> Option<Seq> {
        if let Some(seq) = self.young.get(&user) {
            return Some(*seq);
        }
        let seq = *self.old.get(&user)?;
        self.set(user, seq);
        Some(seq)
    }

    /// Remembers the last number of a person.
    pub(super) fn set(&mut self, user: UserId, seq: Seq) {
        if self.young.len() >= Self::GENERATION && !self.young.contains_key(&user) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(user, seq);
    }

    /// The commit of these calls was not answered: nobody knows which side of it the failure was on.
    pub(super) fn doubt<'c>(&mut self, calls: impl IntoIterator<Item = &'c Call>) {
        let room = Self::DOUBTFUL_MAX.saturating_sub(self.doubtful.len());
        self.doubtful.extend(entries(calls).take(room));
    }

    /// Is this entry, which is stored, the very one whose commit was in doubt? Then it was not there before: it is told
    /// as stored, not as a duplicate.
    pub(super) fn was_in_doubt(&self, entry: &Entry, stored: &Entry) -> Result<bool, StoreError> {
        // As rows, since a NaN is not equal to itself.
        Ok(self.doubtful.contains(&(entry.user, entry.seq))
            && JournalRow::encode(entry)? == JournalRow::encode(stored)?)
    }

    /// The commit of these calls was answered.
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
#[allow(clippy::unwrap_used)]
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

    /// Told as stored is only what was in doubt, and only as what it was then.
    #[test]
    fn a_doubt_is_about_one_entry_and_ends_with_an_answer() {
        let mut tails = TailCache::default();
        let stored = followed(1, 2);
        let (answer, _) = tokio::sync::oneshot::channel();
        let call = [Call { work: Work::Append(vec![Write::Entry(stored.clone())]), answer }];
        assert!(!tails.was_in_doubt(&stored, &stored).unwrap(), "nothing was in doubt");
        tails.doubt(&call);
        tails.forget();
        for (name, entry, expected) in [
            ("the very same", followed(1, 2), true),
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
