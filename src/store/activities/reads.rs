//! Reads of the feeds API beside the merge of a feed.
//!
//! Invariant: answers of look-ups by key stand in the order of the keys. Lists are bounded by their caller.

use super::changes::{ActivityChange, ItemState, Mirror, ObjectRow, ReactionRow};
use super::statement::{ActivityStore, Row, Statement, Value};
use crate::domain::activities::{FeedName, Micros};
use crate::domain::ids::ItemId;
use crate::store::error::StoreError;

/// The texts of a statement over keys: for SQLite and for Postgres.
type Texts = [&'static str; 2];

const ACTIVITIES_FIND: Texts = [
    include_str!("../../../sql/queries/sqlite/activities_find.sql"),
    include_str!("../../../sql/queries/postgres/activities_find.sql"),
];
const ENTRY_FIND: Texts = [
    include_str!("../../../sql/queries/sqlite/activity_entry_find.sql"),
    include_str!("../../../sql/queries/postgres/activity_entry_find.sql"),
];
const REACTIONS_FIND: Texts = [
    include_str!("../../../sql/queries/sqlite/reactions_find.sql"),
    include_str!("../../../sql/queries/postgres/reactions_find.sql"),
];
const OBJECTS_FIND: Texts = [
    include_str!("../../../sql/queries/sqlite/feed_objects_find.sql"),
    include_str!("../../../sql/queries/postgres/feed_objects_find.sql"),
];
const FOLLOWS_FIND: Texts = [
    include_str!("../../../sql/queries/sqlite/feed_follows_find.sql"),
    include_str!("../../../sql/queries/postgres/feed_follows_find.sql"),
];
const COUNTS_FIND: Texts = [
    include_str!("../../../sql/queries/sqlite/reaction_counts_find.sql"),
    include_str!("../../../sql/queries/postgres/reaction_counts_find.sql"),
];
const REACTIONS_LATEST: Texts = [
    include_str!("../../../sql/queries/sqlite/reactions_latest.sql"),
    include_str!("../../../sql/queries/postgres/reactions_latest.sql"),
];
const ITEM_LIKES: Texts = [
    include_str!("../../../sql/queries/sqlite/item_likes.sql"),
    include_str!("../../../sql/queries/postgres/item_likes.sql"),
];
const LAST_SEQ: &str = include_str!("../../../sql/queries/activity_last_seq.sql");
const BY_FOREIGN_ID: &str = include_str!("../../../sql/queries/activity_entries_by_foreign_id.sql");
const ENTRIES_OF: &str = include_str!("../../../sql/queries/activity_entries_of.sql");
const NTH: &str = include_str!("../../../sql/queries/feed_nth.sql");
const FOLLOWING_LIST: &str = include_str!("../../../sql/queries/feed_following_list.sql");
const FOLLOWERS_LIST: &str = include_str!("../../../sql/queries/feed_followers_list.sql");
const FOLLOWING_COUNT: &str = include_str!("../../../sql/queries/feed_following_count.sql");
const FOLLOWERS_COUNT: &str = include_str!("../../../sql/queries/feed_followers_count.sql");
const BY_SUBJECT_NEWEST: &str = include_str!("../../../sql/queries/reactions_by_subject_newest.sql");
const BY_SUBJECT_OLDEST: &str = include_str!("../../../sql/queries/reactions_by_subject_oldest.sql");
const BY_USER_NEWEST: &str = include_str!("../../../sql/queries/reactions_by_user_newest.sql");
const BY_USER_OLDEST: &str = include_str!("../../../sql/queries/reactions_by_user_oldest.sql");
const DESCENDANTS: &str = include_str!("../../../sql/queries/reaction_descendants.sql");
const MARKS_LIST: &str = include_str!("../../../sql/queries/feed_marks_list.sql");
const ACTIVITIES_OWED: &str = include_str!("../../../sql/queries/activities_owed.sql");
const FOLLOWS_OWED: &str = include_str!("../../../sql/queries/feed_follows_owed.sql");

/// Likes of one item that are counted at most.
const LIKES_MAX: i64 = 10_000;

/// An activity as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivityRow {
    /// The id, a UUID that holds the time.
    pub id: String,
    /// The foreign id; empty for none.
    pub foreign_id: String,
    /// The time, by which feeds are ordered.
    pub time: Micros,
    /// All fields as JSON.
    pub doc: String,
    /// The state of its item.
    pub item: ItemState,
}

/// An activity in a feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryRow {
    /// Name of the feed.
    pub feed: String,
    /// The time of the activity.
    pub time: Micros,
    /// Order of insertion.
    pub seq: i64,
    /// Whether the activity was written to this feed, and did not come as a target.
    pub is_direct: bool,
}

/// A follow between feeds as it is listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowFound {
    /// The feed that follows.
    pub source: String,
    /// The followed feed.
    pub target: String,
    /// When the follow was made.
    pub created: Micros,
    /// When it was changed last.
    pub updated: Micros,
}

/// A follow whose native follow is owed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwedFollow {
    /// The feed that follows.
    pub source: String,
    /// The followed feed.
    pub target: String,
    /// The owed change.
    pub mirror: Mirror,
    /// Whether a follow that ends keeps the entries that it showed.
    pub keeps: bool,
}

/// The end of a follow that a list names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Feeds that the named feed follows.
    Following,
    /// Feeds that follow the named feed.
    Followers,
}

/// The owner of reactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReactionsOf {
    /// Reactions on an activity, or on a reaction.
    Subject(String),
    /// Reactions of a user on activities.
    User(String),
}

/// A page of reactions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReactionQuery {
    /// The owner of the reactions.
    pub of: ReactionsOf,
    /// Their kind; empty for all.
    pub kind: String,
    /// Their user; empty for all.
    pub by: String,
    /// The smallest number.
    pub first: i64,
    /// The largest number.
    pub last: i64,
    /// Whether the oldest come first.
    pub oldest_first: bool,
    /// Number of reactions.
    pub limit: i64,
}

/// Reads of the feeds API over a store.
#[derive(Clone, Copy)]
pub struct Reads<'s>(&'s dyn ActivityStore);

impl<'s> Reads<'s> {
    /// Reads of this store.
    #[must_use]
    pub fn of(store: &'s dyn ActivityStore) -> Reads<'s> {
        Reads(store)
    }

    pub(super) async fn one(&self, statement: Statement) -> Result<Vec<Row>, StoreError> {
        if statement.keys.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Vec::new());
        }
        Ok(self.0.read_activities(vec![statement]).await?.pop().unwrap_or_default())
    }

    async fn over(&self, texts: Texts, keys: Vec<Vec<Value>>, rest: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        self.one(Statement::over(texts[0], texts[1], keys, rest)).await
    }

    async fn plain(&self, text: &'static str, parameters: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        self.one(Statement::new(text, parameters)).await
    }

    /// The largest number of an entry; 0 without entries.
    ///
    /// # Errors
    /// The store cannot answer.
    pub async fn last_seq(&self) -> Result<i64, StoreError> {
        Ok(self.plain(LAST_SEQ, Vec::new()).await?.first().and_then(|row| row.int(0).ok()).unwrap_or(0))
    }

    /// Activities by id, `None` for unknown ones.
    ///
    /// # Errors
    /// The store cannot answer.
    pub async fn activities(&self, ids: &[String]) -> Result<Vec<Option<ActivityRow>>, StoreError> {
        let keys = ids.iter().map(|id| vec![id.as_str().into()]).collect();
        let mut found = vec![None; ids.len()];
        for row in self.over(ACTIVITIES_FIND, keys, Vec::new()).await? {
            let read = ActivityRow {
                id: row.text(0)?.to_owned(),
                foreign_id: row.text(1)?.to_owned(),
                time: Micros(row.int(2)?),
                doc: row.text(3)?.to_owned(),
                item: ItemState::from_column(row.int(4)?),
            };
            if let Some(place) = found.get_mut(row.key) {
                *place = Some(read);
            }
        }
        Ok(found)
    }

    /// The entries of one activity in these feeds, `None` where a feed does not hold it.
    ///
    /// # Errors
    /// The store cannot answer.
    pub async fn entries(&self, pairs: &[(FeedName, String)]) -> Result<Vec<Option<EntryRow>>, StoreError> {
        let keys = pairs.iter().map(|(feed, id)| vec![feed.as_str().into(), id.as_str().into()]).collect();
        let mut found = vec![None; pairs.len()];
        for row in self.over(ENTRY_FIND, keys, Vec::new()).await? {
            let Some((place, (feed, _))) = found.get_mut(row.key).zip(pairs.get(row.key)) else { continue };
            *place = Some(EntryRow {
                feed: feed.as_str().to_owned(),
                time: Micros(row.int(0)?),
                seq: row.int(1)?,
                is_direct: row.int(2)? == 1,
            });
        }
        Ok(found)
    }

    /// The feeds that hold an activity.
    ///
    /// # Errors
    /// The store cannot answer.
    pub async fn entries_of(&self, activity: &str) -> Result<Vec<EntryRow>, StoreError> {
        let rows = self.plain(ENTRIES_OF, vec![activity.into()]).await?;
        let read = |row: &Row| {
            let (feed, time, seq) = (row.text(0)?.to_owned(), Micros(row.int(1)?), row.int(2)?);
            Ok(EntryRow { feed, time, seq, is_direct: row.int(3)? == 1 })
        };
        rows.iter().map(read).collect()
    }

    /// Activities of a feed with a foreign id, each with whether it was written to this feed.
    ///
    /// # Errors
    /// The store cannot answer.
    pub async fn by_foreign_id(&self, feed: &FeedName, id: &str) -> Result<Vec<(String, bool)>, StoreError> {
        let rows = self.plain(BY_FOREIGN_ID, vec![feed.as_str().into(), id.into()]).await?;
        rows.iter().map(|row| Ok((row.text(0)?.to_owned(), row.int(1)? == 1))).collect()
    }

    /// The place of the nth newest entry of a feed, from 0.
    ///
    /// # Errors
    /// The store cannot answer.
    pub async fn nth(&self, feed: &FeedName, n: i64) -> Result<Option<(i64, i64)>, StoreError> {
        let rows = self.plain(NTH, vec![feed.as_str().into(), n.into()]).await?;
        rows.first().map(|row| Ok((row.int(0)?, row.int(1)?))).transpose()
    }

    /// Standing follows of a feed, newest first.
    ///
    /// # Errors
    /// The store cannot answer.
    pub async fn follows(
        &self,
        of: &FeedName,
        side: Side,
        limit: i64,
        skip: i64,
    ) -> Result<Vec<FollowFound>, StoreError> {
        let text = match side {
            Side::Following => FOLLOWING_LIST,
            Side::Followers => FOLLOWERS_LIST,
        };
        let rows = self.plain(text, vec![of.as_str().into(), limit.into(), skip.into()]).await?;
        rows.iter().map(follow).collect()
    }

    /// Standing follows between these feeds, as source and target.
    ///
    /// # Errors
    /// The store cannot answer.
    pub async fn follows_between(&self, pairs: &[(FeedName, FeedName)]) -> Result<Vec<FollowFound>, StoreError> {
        let keys = pairs.iter().map(|(source, target)| vec![source.as_str().into(), target.as_str().into()]).collect();
        let rows = self.over(FOLLOWS_FIND, keys, Vec::new()).await?;
        let mut found = Vec::new();
        for row in &rows {
            if row.int(5)? == i64::MAX && Mirror::from_column(row.int(6)?) != Mirror::Ending {
                found.push(follow(row)?);
            }
        }
        Ok(found)
    }

    /// The number of standing follows of a feed with feeds of a group; of any group for `None`.
    ///
    /// # Errors
    /// The store cannot answer.
    pub async fn count_follows(&self, of: &FeedName, side: Side, group: Option<&str>) -> Result<i64, StoreError> {
        let text = match side {
            Side::Following => FOLLOWING_COUNT,
            Side::Followers => FOLLOWERS_COUNT,
        };
        // A semicolon is the next character after a colon.
        let (first, end) = match group {
            Some(group) => (format!("{group}:"), format!("{group};")),
            None => (String::new(), "\u{10ffff}".to_owned()),
        };
        let rows = self.plain(text, vec![of.as_str().into(), first.into(), end.into()]).await?;
        rows.first().map_or(Ok(0), |row| row.int(0))
    }

    /// Reactions by id, `None` for unknown ones. Soft-deleted ones are found.
    ///
    /// # Errors
    /// The store cannot answer.
    pub async fn reactions(&self, ids: &[String]) -> Result<Vec<Option<ReactionRow>>, StoreError> {
        let keys = ids.iter().map(|id| vec![id.as_str().into()]).collect();
        let mut found = vec![None; ids.len()];
        for row in self.over(REACTIONS_FIND, keys, Vec::new()).await? {
            let read = reaction(&row)?;
            if let Some(place) = found.get_mut(row.key) {
                *place = Some(read);
            }
        }
        Ok(found)
    }

    /// A page of reactions.
    ///
    /// # Errors
    /// The store cannot answer.
    pub async fn reaction_page(&self, query: &ReactionQuery) -> Result<Vec<ReactionRow>, StoreError> {
        let (text, of) = match (&query.of, query.oldest_first) {
            (ReactionsOf::Subject(id), false) => (BY_SUBJECT_NEWEST, id),
            (ReactionsOf::Subject(id), true) => (BY_SUBJECT_OLDEST, id),
            (ReactionsOf::User(id), false) => (BY_USER_NEWEST, id),
            (ReactionsOf::User(id), true) => (BY_USER_OLDEST, id),
        };
        let parameters: Vec<Value> = vec![
            of.as_str().into(),
            query.kind.as_str().into(),
            query.by.as_str().into(),
            query.first.into(),
            query.last.into(),
            query.limit.into(),
        ];
        self.plain(text, parameters).await?.iter().map(reaction).collect()
    }

    /// All reactions on a reaction, soft-deleted ones too.
    ///
    /// # Errors
    /// The store cannot answer.
    pub async fn children(&self, reaction_id: &str) -> Result<Vec<ReactionRow>, StoreError> {
        self.plain(DESCENDANTS, vec![reaction_id.into()]).await?.iter().map(reaction).collect()
    }

    /// Numbers of reactions by kind, as (place of the subject, kind, number).
    ///
    /// # Errors
    /// The store cannot answer.
    pub async fn reaction_counts(&self, subjects: &[String]) -> Result<Vec<(usize, String, i64)>, StoreError> {
        let keys = subjects.iter().map(|id| vec![id.as_str().into()]).collect();
        let rows = self.over(COUNTS_FIND, keys, Vec::new()).await?;
        rows.iter().map(|row| Ok((row.key, row.text(1)?.to_owned(), row.int(2)?))).collect()
    }

    /// Numbers of standing likes that did not come as reactions, as (place of the item, number); at most [`LIKES_MAX`].
    ///
    /// # Errors
    /// The store cannot answer.
    pub async fn native_likes(&self, items: &[ItemId]) -> Result<Vec<(usize, i64)>, StoreError> {
        let keys = items.iter().map(|item| vec![i64::from(item.0).into()]).collect();
        let rows = self.over(ITEM_LIKES, keys, vec![LIKES_MAX.into()]).await?;
        rows.iter().map(|row| Ok((row.key, row.int(0)?))).collect()
    }

    /// The newest reactions for each (subject, kind, user or empty), newest first for each.
    ///
    /// # Errors
    /// The store cannot answer.
    pub async fn latest_reactions(
        &self,
        of: &[(String, String, String)],
        limit: i64,
    ) -> Result<Vec<ReactionRow>, StoreError> {
        let key = |(subject, kind, by): &(String, String, String)| {
            vec![subject.as_str().into(), kind.as_str().into(), by.as_str().into()]
        };
        let rows = self.over(REACTIONS_LATEST, of.iter().map(key).collect(), vec![limit.into()]).await?;
        rows.iter().map(reaction).collect()
    }

    /// Users (collection empty) and entries of collections by collection and id, `None` for unknown ones.
    ///
    /// # Errors
    /// The store cannot answer.
    pub async fn objects(&self, keys: &[(String, String)]) -> Result<Vec<Option<ObjectRow>>, StoreError> {
        let key = |(collection, id): &(String, String)| vec![collection.as_str().into(), id.as_str().into()];
        let mut found = vec![None; keys.len()];
        for row in self.over(OBJECTS_FIND, keys.iter().map(key).collect(), Vec::new()).await? {
            let read = ObjectRow {
                collection: row.text(0)?.to_owned(),
                id: row.text(1)?.to_owned(),
                created: Micros(row.int(2)?),
                updated: Micros(row.int(3)?),
                doc: row.text(4)?.to_owned(),
            };
            if let Some(place) = found.get_mut(row.key) {
                *place = Some(read);
            }
        }
        Ok(found)
    }

    /// Marks of a feed: whether read (else seen), group (empty: all), and number.
    ///
    /// # Errors
    /// The store cannot answer.
    pub async fn marks(&self, feed: &FeedName) -> Result<Vec<(bool, String, i64)>, StoreError> {
        let rows = self.plain(MARKS_LIST, vec![feed.as_str().into()]).await?;
        rows.iter().map(|row| Ok((row.int(0)? == 1, row.text(1)?.to_owned(), row.int(2)?))).collect()
    }

    /// Activities whose item is owed, after an id.
    ///
    /// # Errors
    /// The store cannot answer.
    pub async fn owed_items(&self, after: &str, limit: i64) -> Result<Vec<ActivityRow>, StoreError> {
        let rows = self.plain(ACTIVITIES_OWED, vec![after.into(), limit.into()]).await?;
        let read = |row: &Row| {
            let (id, time, doc) = (row.text(0)?.to_owned(), Micros(row.int(1)?), row.text(2)?.to_owned());
            Ok(ActivityRow { id, foreign_id: String::new(), time, doc, item: ItemState::from_column(row.int(3)?) })
        };
        rows.iter().map(read).collect()
    }

    /// Follows whose native follow is owed.
    ///
    /// # Errors
    /// The store cannot answer.
    pub async fn owed_follows(&self, limit: i64) -> Result<Vec<OwedFollow>, StoreError> {
        let rows = self.plain(FOLLOWS_OWED, vec![limit.into()]).await?;
        let read = |row: &Row| {
            let (source, target) = (row.text(0)?.to_owned(), row.text(1)?.to_owned());
            Ok(OwedFollow { source, target, mirror: Mirror::from_column(row.int(2)?), keeps: row.int(3)? != i64::MAX })
        };
        rows.iter().map(read).collect()
    }

    /// Carries out changes in one transaction.
    ///
    /// # Errors
    /// The store cannot answer; then nothing was changed, unless the answer to a commit was lost.
    pub async fn change(&self, changes: Vec<ActivityChange>) -> Result<(), StoreError> {
        let mut statements = Vec::with_capacity(changes.len());
        changes.into_iter().for_each(|change| change.write(&mut statements));
        if statements.is_empty() {
            return Ok(());
        }
        self.0.change_activities(statements).await
    }
}

fn follow(row: &Row) -> Result<FollowFound, StoreError> {
    let (source, target) = (row.text(0)?.to_owned(), row.text(1)?.to_owned());
    Ok(FollowFound { source, target, created: Micros(row.int(2)?), updated: Micros(row.int(3)?) })
}

fn reaction(row: &Row) -> Result<ReactionRow, StoreError> {
    let deleted = row.int(9)?;
    Ok(ReactionRow {
        id: row.text(0)?.to_owned(),
        activity: row.text(2)?.to_owned(),
        parent: row.text(3)?.to_owned(),
        user: row.text(4)?.to_owned(),
        kind: row.text(5)?.to_owned(),
        seq: row.int(6)?,
        created: Micros(row.int(7)?),
        updated: Micros(row.int(8)?),
        deleted: (deleted != 0).then_some(Micros(deleted)),
        doc: row.text(10)?.to_owned(),
    })
}
