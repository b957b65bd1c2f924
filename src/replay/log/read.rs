//! Builds a log from files: one function per format.
//!
//! Invariant: files are read as streams, and memory holds compact rows and names. Each function fixes how its format's
//! actions become interactions. Absent on purpose: availability, which is chosen afterwards.

use std::path::PathBuf;

use super::rows::{About, Act, LogBuilder, LogRow};
use crate::domain::ids::Key;
use crate::domain::interactions::Kind;
use crate::domain::time::Millis;
use crate::replay::formats::activities::{Activities, Verb};
use crate::replay::formats::events::Events;
use crate::replay::formats::feed::{Action, Feed};
use crate::replay::formats::items::Items;
use crate::replay::formats::live_intervals::LiveIntervals;
use crate::replay::formats::movielens::Ratings;
use crate::replay::formats::plain::{Places, Plain};
use crate::replay::formats::time::Times;
use crate::replay::formats::{Columns, FormatError, Watch};

/// Ratings from here on count as likes, on the scale of one to five.
pub const RATING_LIKED: f32 = 4.0;

/// Paths and options of a log that is read.
pub struct Source<'a> {
    /// Files or folders.
    pub paths: &'a [PathBuf],
    /// Names of the columns.
    pub columns: Columns,
    /// Unit of numeric times, to which times are rounded.
    pub unit: Times,
    /// Receives the progress in bytes.
    pub watch: Option<Watch>,
}

/// Reads `user,item,time[,kind,dwell]`; without a kind, every row is a `click`.
///
/// # Errors
/// [`FormatError`] names file, line and column.
pub fn events(source: Source<'_>) -> Result<LogBuilder, FormatError> {
    let mut log = LogBuilder::new(source.unit.step_ms(), false);
    for row in Events::open(source.paths, source.columns, source.unit, source.watch)? {
        let row = row?;
        let (user, item) = (log.user(&row.user), log.item(&row.item));
        let kind = row.kind.unwrap_or(Kind::Click);
        log.push(interaction(row.time, user, item, kind, row.dwell_ms.unwrap_or_default(), row.kind.is_some()));
    }
    Ok(log)
}

/// Reads `user item time` at these positions, without a header: every row is a `click`.
///
/// # Errors
/// [`FormatError`] names file, line and column.
pub fn plain(source: Source<'_>, places: Places) -> Result<LogBuilder, FormatError> {
    let mut log = LogBuilder::new(source.unit.step_ms(), false);
    for row in Plain::open(source.paths, places, source.unit, source.watch)? {
        let row = row?;
        let (user, item) = (log.user(&row.user), log.item(&row.item));
        log.push(interaction(row.time, user, item, Kind::Click, 0, false));
    }
    Ok(log)
}

/// Reads `user,stream,streamer,start,stop`: a `watch` of the streamer from the start on. Learning does not see the
/// duration, which was unknown at the start.
///
/// # Errors
/// [`FormatError`] names file, line and column.
pub fn live_intervals(source: Source<'_>) -> Result<LogBuilder, FormatError> {
    let mut log = LogBuilder::new(source.unit.step_ms(), true);
    for row in LiveIntervals::open(source.paths, source.unit, source.watch)? {
        let row = row?;
        let (user, item) = (log.user(&row.user), log.item(&row.streamer));
        log.count_stream(&row.stream);
        let stay_ms = u32::try_from(row.stop.since(row.start)).unwrap_or(u32::MAX);
        log.push(interaction(row.start, user, item, Kind::Watch, stay_ms, false));
    }
    Ok(log)
}

/// Reads `timestamp,user_id,post_id,action,target`: a view with target 1 is a `like`, one without a `skip`, and both
/// are judged. A like row that repeats a liked view is dropped; any other is a `like` that is not judged.
///
/// # Errors
/// [`FormatError`] names file, line and column.
pub fn feed(source: Source<'_>) -> Result<LogBuilder, FormatError> {
    let mut log = LogBuilder::new(source.unit.step_ms(), false).of_views();
    for row in Feed::open(source.paths, source.columns, source.unit, source.watch)? {
        let row = row?;
        let (user, item) = (log.user(&row.user), log.item(&row.post));
        let (kind, is_judged) = match row.action {
            Action::View { liked } => (if liked { Kind::Like } else { Kind::Skip }, true),
            Action::Like => (Kind::Like, false),
        };
        log.push(interaction(row.time, user, item, kind, 0, is_judged));
    }
    log.merge_repeated_likes();
    Ok(log)
}

/// Reads `user item rating timestamp`: a `like` from [`RATING_LIKED`] on, a `skip` below.
///
/// # Errors
/// [`FormatError`] names file, line and column.
pub fn movielens(source: Source<'_>) -> Result<LogBuilder, FormatError> {
    let mut log = LogBuilder::new(source.unit.step_ms(), false);
    for row in Ratings::open(source.paths, source.unit, source.watch)? {
        let row = row?;
        let (user, item) = (log.user(&row.user), log.item(&row.item));
        let kind = if row.rating >= RATING_LIKED { Kind::Like } else { Kind::Skip };
        log.push(interaction(row.time, user, item, kind, 0, true));
    }
    Ok(log)
}

/// Reads the documents of a social network; a reaction without a kind is a `like`. Messages become embeddings of `dim`
/// numbers, and given embeddings must match. Users follow the friends of their document from the first activity on.
///
/// # Errors
/// [`FormatError`] names file and line.
pub fn activities(source: Source<'_>, dim: usize) -> Result<LogBuilder, FormatError> {
    let mut log = LogBuilder::new(source.unit.step_ms(), false);
    let rows = Activities::open(source.paths, None, source.watch)?;
    let mut rows = rows.with_times(source.unit).with_texts_of(dim);
    let mut begin: Option<Millis> = None;
    for row in rows.by_ref() {
        let row = row?;
        begin = Some(begin.map_or(row.time, |begin| begin.min(row.time)));
        let user = log.user(&row.actor);
        match row.verb {
            Verb::Post => {
                let item = log.item(&row.object);
                log.describe(
                    item,
                    About {
                        topics: row.topic.into_iter().collect(),
                        author: Some(user),
                        text: Some(row.message.into()),
                        attributes: None,
                        embedding: row.embedding,
                    },
                );
                log.push(LogRow { act: Act::Posted, ..interaction(row.time, user, item, Kind::View, 0, false) });
            }
            Verb::Interact => {
                let item = log.item(&row.object);
                let (kind, stay_ms) = (row.kind.unwrap_or(Kind::Like), row.dwell_ms.unwrap_or_default());
                log.push(interaction(row.time, user, item, kind, stay_ms, true));
            }
            Verb::Follow => {
                let item = log.user(&row.object);
                log.push(LogRow { act: Act::Followed, ..interaction(row.time, user, item, Kind::View, 0, false) });
            }
        }
    }
    let Some(begin) = begin else { return Ok(log) };
    for person in rows.take_people() {
        let user = log.user(&person.user);
        for friend in &person.friends {
            let item = log.user(friend);
            log.push(LogRow { act: Act::Followed, ..interaction(begin, user, item, Kind::View, 0, false) });
        }
    }
    Ok(log)
}

/// Adds the features in a file of items to the items of the log, and returns how many it described. Texts become
/// embeddings of `dim` numbers, and given embeddings must match.
///
/// # Errors
/// [`FormatError`] names file, line and column.
pub fn describe(log: &mut LogBuilder, source: Source<'_>, dim: usize) -> Result<usize, FormatError> {
    let mut described = 0;
    let rows = Items::open_bare(source.paths, source.columns, source.unit, None, source.watch)?;
    for row in rows.with_texts_of(dim) {
        let row = row?;
        let Some(item) = log.find_item(&row.item) else { continue };
        described += 1;
        let author: Option<Key> = row.author;
        let author = author.map(|author| log.user(&author));
        let text = (!row.text.is_empty()).then(|| row.text.into());
        let attributes = row.attributes.map(Into::into);
        log.describe(item, About { topics: row.topics, author, text, attributes, embedding: row.embedding });
    }
    Ok(described)
}

fn interaction(at: Millis, user: u32, item: u32, kind: Kind, stay_ms: u32, is_judged: bool) -> LogRow {
    LogRow { at, user, item, stay_ms, act: Act::Interacted(kind), is_judged }
}
