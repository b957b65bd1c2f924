//! A read of a feed: the merge of its own entries with those of the feeds that it follows.
//!
//! Invariant: entries come newest first, by time and then by number, each activity once. A read probes the index once per
//! followed feed; it then reads only feeds whose newest entry can be on the page. Absent on purpose: contents of activities.

use std::collections::HashSet;

use super::reads::Reads;
use super::statement::{Statement, Value};
use crate::domain::activities::FeedName;
use crate::store::error::StoreError;

const HEADS: [&str; 2] = [
    include_str!("../../../sql/queries/sqlite/feed_heads.sql"),
    include_str!("../../../sql/queries/postgres/feed_heads.sql"),
];
const ENTRIES: [&str; 2] = [
    include_str!("../../../sql/queries/sqlite/feed_entries.sql"),
    include_str!("../../../sql/queries/postgres/feed_entries.sql"),
];
const FOLLOW_BOUNDS: &str = include_str!("../../../sql/queries/feed_follow_bounds.sql");

/// Followed feeds that one read merges at most: the newest follows.
const SOURCES_MAX: i64 = 20_000;
/// Rounds of one read at most. A further round is needed only where most entries are one activity in several feeds.
const ROUNDS_MAX: usize = 64;

/// A place in the order of feeds: time in microseconds, then number.
pub type Place = (i64, i64);

/// A read of a feed.
#[derive(Clone, Debug)]
pub struct FeedQuery {
    /// The feed that is read.
    pub feed: FeedName,
    /// Newest place of the answer.
    pub from: Place,
    /// Oldest place of the answer.
    pub to: Place,
    /// Number of entries.
    pub limit: usize,
    /// Feeds of native follows: all entries of these are shown, unless a follow between feeds says otherwise.
    pub native: Option<Vec<FeedName>>,
}

/// An entry as a feed shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeenEntry {
    /// Id of the activity.
    pub activity: String,
    /// Its place in the order of the feed.
    pub place: Place,
    /// The followed feed that it came through; `None` for the feed itself.
    pub origin: Option<String>,
}

/// A source of entries with its bounds: the feed itself, or a followed feed.
#[derive(Clone, Debug)]
struct Source {
    feed: String,
    is_own: bool,
    // lower_time, lower_seq, from_seq, until_time, until_seq
    bounds: [i64; 5],
}

impl Source {
    fn whole(feed: &str, is_own: bool) -> Source {
        Source { feed: feed.to_owned(), is_own, bounds: [i64::MIN, i64::MIN, i64::MAX, i64::MAX, i64::MAX] }
    }

    fn key(&self) -> Vec<Value> {
        std::iter::once(Value::from(self.feed.as_str())).chain(self.bounds.iter().map(|one| Value::Int(*one))).collect()
    }
}

impl Reads<'_> {
    /// Entries of a feed, newest first.
    ///
    /// # Errors
    /// The store cannot answer.
    pub async fn feed(&self, query: &FeedQuery) -> Result<Vec<SeenEntry>, StoreError> {
        let sources = self.sources(query).await?;
        let (mut seen, mut found) = (HashSet::new(), Vec::new());
        let mut from = query.from;
        for _ in 0..ROUNDS_MAX {
            let Some(round) = self.round(&sources, from, query.to, query.limit - found.len()).await? else { break };
            let last = round.complete_until;
            for entry in round.entries {
                if found.len() < query.limit && entry.place >= last && seen.insert(entry.activity.clone()) {
                    found.push(entry);
                }
            }
            if found.len() >= query.limit || last <= query.to {
                break;
            }
            from = before(last);
        }
        Ok(found)
    }

    async fn sources(&self, query: &FeedQuery) -> Result<Vec<Source>, StoreError> {
        let statement = Statement::new(FOLLOW_BOUNDS, vec![query.feed.as_str().into(), SOURCES_MAX.into()]);
        let rows = self.one(statement).await?;
        let native: Option<HashSet<&str>> =
            query.native.as_ref().map(|feeds| feeds.iter().map(FeedName::as_str).collect());
        let mut sources = vec![Source::whole(query.feed.as_str(), true)];
        let mut known = HashSet::new();
        for row in &rows {
            let feed = row.text(0)?;
            let bounds = [row.int(1)?, row.int(2)?, row.int(3)?, row.int(4)?, row.int(5)?];
            let is_ended = bounds[4] < i64::MAX;
            known.insert(feed.to_owned());
            // A follow whose native follow was taken back by other means no longer counts.
            let stands = match row.int(6)? {
                2 => is_ended || native.as_ref().is_none_or(|native| native.contains(feed)),
                3 => is_ended,
                _ => true,
            };
            if stands {
                sources.push(Source { feed: feed.to_owned(), is_own: false, bounds });
            }
        }
        let others = query.native.iter().flatten().map(FeedName::as_str).filter(|feed| !known.contains(*feed));
        sources.extend(others.map(|feed| Source::whole(feed, false)));
        Ok(sources)
    }

    /// The newest entries of all sources down to a place, up to which nothing is missing. `None` when there are none.
    async fn round(
        &self,
        sources: &[Source],
        from: Place,
        to: Place,
        limit: usize,
    ) -> Result<Option<Round>, StoreError> {
        let mut floor = to;
        let mut wanted: Vec<&Source> = sources.iter().collect();
        if sources.len() > 1 {
            let keys = sources.iter().map(Source::key).collect();
            let heads = Statement::over(HEADS[0], HEADS[1], keys, vec![from.0.into(), from.1.into()]);
            let mut heads: Vec<(i64, usize)> = self
                .one(heads)
                .await?
                .iter()
                .map(|row| Ok((row.int(0)?, row.key)))
                .collect::<Result<_, StoreError>>()?;
            heads.sort_unstable_by(|one, other| other.cmp(one));
            // `limit` entries are at least as new as the head at `limit`, so no older one is on the page.
            if let Some((time, _)) = heads.get(limit.saturating_sub(1)) {
                floor = floor.max((*time, i64::MIN));
            }
            heads.retain(|(time, _)| *time >= floor.0);
            wanted = heads.iter().filter_map(|(_, place)| sources.get(*place)).collect();
        }
        if wanted.is_empty() {
            return Ok(None);
        }
        let keys = wanted.iter().map(|source| source.key()).collect();
        let rest = [from.0, from.1, floor.0, floor.1, i64::try_from(limit).unwrap_or(i64::MAX)].map(Value::Int);
        let rows = self.one(Statement::over(ENTRIES[0], ENTRIES[1], keys, rest.to_vec())).await?;
        if rows.is_empty() {
            return Ok(None);
        }
        let mut counts = vec![0_usize; wanted.len()];
        let mut entries = Vec::with_capacity(rows.len());
        let mut complete_until = floor;
        for row in &rows {
            let Some(source) = wanted.get(row.key) else { continue };
            let place = (row.int(0)?, row.int(1)?);
            counts[row.key] += 1;
            // A source that gave all it may give is complete only down to its last entry.
            if counts[row.key] == limit {
                complete_until = complete_until.max(place);
            }
            let origin = (!source.is_own).then(|| source.feed.clone());
            entries.push(SeenEntry { activity: row.text(2)?.to_owned(), place, origin });
        }
        // The feed itself comes first among entries of one place, so its activities have no origin.
        entries.sort_by(|one, other| other.place.cmp(&one.place).then_with(|| one.origin.cmp(&other.origin)));
        Ok(Some(Round { entries, complete_until }))
    }
}

struct Round {
    entries: Vec<SeenEntry>,
    complete_until: Place,
}

/// The place right behind a place.
fn before((time, seq): Place) -> Place {
    match seq.checked_sub(1) {
        Some(seq) => (time, seq),
        None => (time.saturating_sub(1), i64::MAX),
    }
}
