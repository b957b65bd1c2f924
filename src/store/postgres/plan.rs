//! The plan of a group of calls: rows per table, for few statements, and the outcomes of each call.
//!
//! Invariant: outcomes equal those of writing one by one, in order. An entry is stored only under the next number of
//! its person, so their numbers have no gaps. Later entries of that person in a call are refused after a refused one.
//! Absent on purpose: the database; the caller passes the known numbers and stored events.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;

use crate::domain::clusterings::ClusteringChange;
use crate::domain::ids::{Key, Position, Seq, TopicId, UserId};
use crate::domain::items::{Change, Embedding, Item};
use crate::domain::journal::{CentreRef, Entry, What};
use crate::domain::metrics::Declaration;
use crate::domain::people::{Erasure, Person};
use crate::domain::time::Millis;
use crate::store::codec::JournalRow;
use crate::store::error::StoreError;
use crate::store::group::{Call, Work};
use crate::store::journal::{Outcome, Write};
use crate::store::snapshots::Snapshot;
use crate::store::tail_cache::TailCache;

/// Stored entries by person and event id.
pub(super) type Stored = HashMap<(UserId, Key), (Position, Entry)>;

/// The rows of a group and the outcomes of its calls.
#[derive(Default)]
pub(super) struct Plan<'g> {
    /// Parts of the group, each ending with an erasure, in order: later parts see its effect.
    pub(super) parts: Vec<Part<'g>>,
    pub(super) journal: Vec<JournalRow<'g>>,
    pub(super) health: bool,
    /// Rows after the last erasure.
    pub(super) tables: Tables<'g>,
    answers: Vec<Vec<Planned>>,
    /// Last sequence number per person after the plan.
    tails: HashMap<UserId, Seq>,
}

/// The writes of a plan up to an erasure.
pub(super) struct Part<'g> {
    pub(super) tables: Tables<'g>,
    /// Rows of [`Plan::journal`] up to this index belong to this part and to earlier ones.
    pub(super) journal_end: usize,
    pub(super) erasure: &'g Erasure,
}

/// Rows per table. A repeated write of one row goes into the next wave, since a statement changes a row only once.
#[derive(Default)]
pub(super) struct Tables<'g> {
    pub(super) follows: BTreeMap<(UserId, UserId), Follow>,
    /// Person, number of a cancellation, and the numbers of the entries that it cancels.
    pub(super) undone: Vec<(UserId, Seq, &'g [Seq])>,
    pub(super) people: Waves<UserId, &'g Person>,
    pub(super) topics: Waves<TopicId, (TopicId, &'g Key)>,
    pub(super) centres: Waves<CentreRef, (CentreRef, &'g Embedding)>,
    pub(super) items: Waves<u32, &'g Item>,
    pub(super) changes: BTreeMap<Change, Millis>,
    /// In order, since a deletion and a revision of one clustering do not commute.
    pub(super) clusterings: Vec<&'g ClusteringChange>,
    pub(super) metrics: BTreeMap<&'g Key, Option<&'g Declaration>>,
    pub(super) snapshots: BTreeMap<UserId, &'g Snapshot>,
    pub(super) coordinator_snapshots: Vec<(Position, &'g [u8])>,
}

impl Tables<'_> {
    fn is_empty(&self) -> bool {
        self.follows.is_empty()
            && self.undone.is_empty()
            && self.people.waves.is_empty()
            && self.topics.waves.is_empty()
            && self.centres.waves.is_empty()
            && self.items.waves.is_empty()
            && self.changes.is_empty()
            && self.metrics.is_empty()
            && self.clusterings.is_empty()
            && self.snapshots.is_empty()
            && self.coordinator_snapshots.is_empty()
    }
}

/// The change of one edge of the follow graph.
pub(super) struct Follow {
    /// Deletes the existing edge first.
    pub(super) ended: bool,
    /// Inserts the edge with this instant; an existing edge keeps its own.
    pub(super) since: Option<Millis>,
}

/// Rows in order; no wave holds a key twice.
pub(super) struct Waves<K, T> {
    seen: HashMap<K, usize>,
    pub(super) waves: Vec<Vec<T>>,
}

impl<K, T> Default for Waves<K, T> {
    fn default() -> Self {
        Waves { seen: HashMap::new(), waves: Vec::new() }
    }
}

impl<K: Hash + Eq, T> Waves<K, T> {
    fn push(&mut self, key: K, row: T) {
        let wave = self.seen.entry(key).and_modify(|wave| *wave += 1).or_insert(0);
        if self.waves.len() == *wave {
            self.waves.push(Vec::new());
        }
        self.waves[*wave].push(row);
    }
}

/// The last number of an erased person, which no entry can follow.
pub(super) const ERASED: Seq = Seq(u64::MAX >> 1);

/// The outcome of one write, before positions are known.
enum Planned {
    /// Stored at the position of this row of [`Plan::journal`].
    Row(usize),
    /// Stored without an entry: answered by the position after that many rows.
    After(usize),
    /// An outcome without a new row.
    Done(Outcome),
}

/// The reason for a missing plan.
pub(super) enum NoPlan {
    /// Entries may be stored already: the caller must look their events up.
    NeedsLookup,
    /// Permanent: the group can never be stored.
    Refused(StoreError),
}

impl From<StoreError> for NoPlan {
    fn from(error: StoreError) -> Self {
        NoPlan::Refused(error)
    }
}

/// People whose last sequence number a plan needs.
pub(super) fn people(group: &[Call]) -> HashSet<UserId> {
    let mut people = HashSet::new();
    for call in group {
        match &call.work {
            Work::Append(batch) => people.extend(entries(batch).map(|entry| entry.user)),
            Work::Snapshot(user, _) => {
                people.insert(*user);
            }
            Work::Access(_) | Work::CoordinatorSnapshot(..) | Work::Slates(..) | Work::Activities(_) => {}
            Work::Fit(_) | Work::Model(_) | Work::Loading(_) | Work::Health => {}
        }
    }
    people
}

/// Iterates over the entries of a batch.
pub(super) fn entries(batch: &[Write]) -> impl Iterator<Item = &Entry> {
    batch.iter().filter_map(|write| if let Write::Entry(entry) = write { Some(entry) } else { None })
}

impl<'g> Plan<'g> {
    /// Plans a group. `known` are the last numbers of all [`people`] of the group. `stored` are its events that are in
    /// the journal, or `None` without a lookup: then only a group whose entries are all new gets a plan.
    pub(super) fn new(
        group: &'g [Call],
        tails: &TailCache,
        known: HashMap<UserId, Seq>,
        stored: Option<&Stored>,
    ) -> Result<Plan<'g>, NoPlan> {
        let mut plan = Plan { tails: known, ..Plan::default() };
        let mut planned: HashMap<(UserId, &'g Key), Seq> = HashMap::new();
        for call in group {
            let mut answer = Vec::with_capacity(call.work.batch().len());
            let mut stale: HashSet<UserId> = HashSet::new();
            for write in call.work.batch() {
                let Write::Entry(entry) = write else {
                    plan.other(write);
                    answer.push(Planned::After(plan.journal.len()));
                    continue;
                };
                if stale.contains(&entry.user) {
                    answer.push(Planned::Done(Outcome::Refused));
                    continue;
                }
                let known = stored.and_then(|stored| stored.get(&(entry.user, entry.id.clone())));
                let earlier = planned.get(&(entry.user, &entry.id));
                if entry.seq == plan.end(entry.user).next() && known.is_none() && earlier.is_none() {
                    answer.push(Planned::Row(plan.journal.len()));
                    plan.entry(entry)?;
                    // Without a lookup the unique index detects duplicates.
                    if stored.is_some() {
                        planned.insert((entry.user, &entry.id), entry.seq);
                    }
                    continue;
                }
                if stored.is_none() {
                    return Err(NoPlan::NeedsLookup);
                }
                // The number is not the next one, or the event is stored: the caller learned from another state.
                let outcome = match (known, earlier) {
                    (Some((position, known)), _) if tails.was_in_doubt(entry, known)? => Outcome::Stored(*position),
                    (Some((_, known)), _) => Outcome::Duplicate(known.seq),
                    (None, Some(earlier)) => Outcome::Duplicate(*earlier),
                    (None, None) => Outcome::Refused,
                };
                if !matches!(outcome, Outcome::Stored(_)) {
                    stale.insert(entry.user);
                }
                answer.push(Planned::Done(outcome));
            }
            match &call.work {
                // Keys, tokens, drawn feeds, fits and models bypass this writer.
                Work::Append(_) | Work::Access(_) | Work::Slates(..) | Work::Activities(_) | Work::Fit(_) => {}
                Work::Model(_) | Work::Loading(_) => {}
                Work::Snapshot(user, snapshot) => plan.snapshot(*user, snapshot)?,
                Work::CoordinatorSnapshot(covers, bytes) => {
                    let last = tails.last.unwrap_or_default();
                    if *covers > last {
                        let text = format!(
                            "a coordinator snapshot up to position {}: the journal ends at {}",
                            covers.0, last.0
                        );
                        return Err(StoreError::Refused(text).into());
                    }
                    plan.tables.coordinator_snapshots.push((*covers, bytes));
                }
                Work::Health => plan.health = true,
            }
            plan.answers.push(answer);
        }
        Ok(plan)
    }

    /// Whether the plan only appends to the journal, so that one statement suffices.
    pub(super) fn is_plain(&self) -> bool {
        self.parts.is_empty() && self.tables.is_empty() && !self.health
    }

    /// Updates the cache after the commit and returns the outcomes per call. `positions` are those of
    /// [`Plan::journal`].
    pub(super) fn settle(self, tails: &mut TailCache, positions: &[Position]) -> Vec<Vec<Outcome>> {
        let before = tails.last.unwrap_or_default();
        let after = |rows: usize| if rows == 0 { before } else { positions[rows - 1] };
        let answers = self.answers.iter().map(|answer| {
            let outcomes = answer.iter().map(|planned| match planned {
                Planned::Row(row) => Outcome::Stored(positions[*row]),
                Planned::After(rows) => Outcome::Stored(after(*rows)),
                Planned::Done(outcome) => *outcome,
            });
            outcomes.collect()
        });
        let answers = answers.collect();
        for (user, seq) in self.tails {
            tails.set(user, seq);
        }
        tails.last = Some(after(positions.len()));
        answers
    }

    fn end(&self, user: UserId) -> Seq {
        self.tails.get(&user).copied().unwrap_or_default()
    }

    fn entry(&mut self, entry: &'g Entry) -> Result<(), StoreError> {
        self.journal.push(JournalRow::encode(entry)?);
        self.tails.insert(entry.user, entry.seq);
        match &entry.what {
            What::Followed(target) => {
                let target = *target;
                let follow =
                    self.tables.follows.entry((entry.user, target)).or_insert(Follow { ended: false, since: None });
                // A second follow keeps the first instant.
                follow.since = follow.since.or(Some(entry.at));
            }
            What::Unfollowed(target) => {
                self.tables.follows.insert((entry.user, *target), Follow { ended: true, since: None });
            }
            What::Undone(undone) if !undone.cancels.is_empty() => {
                self.tables.undone.push((entry.user, entry.seq, &undone.cancels));
            }
            What::Interacted(_) | What::Posted(_) | What::WentLive(..) | What::TopicsSet(_) | What::Measured(_) => {}
            What::Undone(_) | What::Cancelled(_) => {}
        }
        Ok(())
    }

    fn other(&mut self, write: &'g Write) {
        match write {
            Write::Entry(_) => {}
            Write::Person(person) => self.tables.people.push(person.id, person),
            Write::Topic(id, key) => self.tables.topics.push(*id, (*id, key)),
            Write::Centre(name, vector) => self.tables.centres.push(*name, (*name, vector)),
            Write::Item(item) => self.tables.items.push(item.id.0, item),
            Write::Since(change, since) => {
                self.tables.changes.insert(*change, *since);
            }
            Write::Metric(name, declaration) => {
                self.tables.metrics.insert(name, declaration.as_ref());
            }
            Write::Clustering(change) => self.tables.clusterings.push(change),
            Write::Erase(erasure) => self.erase(erasure),
        }
    }

    fn erase(&mut self, erasure: &'g Erasure) {
        let tables = std::mem::take(&mut self.tables);
        self.parts.push(Part { tables, journal_end: self.journal.len(), erasure });
        self.tails.insert(erasure.user, ERASED);
    }

    fn snapshot(&mut self, user: UserId, snapshot: &'g Snapshot) -> Result<(), StoreError> {
        let last = if self.end(user) == ERASED { Seq(0) } else { self.end(user) };
        if snapshot.seq > last {
            let text =
                format!("a snapshot of person {} up to seq {}: the journal ends at {}", user.0, snapshot.seq.0, last.0);
            return Err(StoreError::Refused(text));
        }
        let kept = self.tables.snapshots.entry(user).or_insert(snapshot);
        if kept.seq <= snapshot.seq {
            *kept = snapshot;
        }
        Ok(())
    }
}
