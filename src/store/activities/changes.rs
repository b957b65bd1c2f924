//! Changes of the feeds API as statements.
//!
//! Invariant: each change may be repeated without further effect, except for changes of counts.

use super::statement::{Statement, Value};
use crate::domain::activities::{FeedName, Micros};

const ACTIVITY_SAVE: &str = include_str!("../../../sql/queries/activity_save.sql");
const ACTIVITY_DELETE: &str = include_str!("../../../sql/queries/activity_delete.sql");
const ACTIVITY_ITEM_SETTLE: &str = include_str!("../../../sql/queries/activity_item_settle.sql");
const ENTRY_SAVE: &str = include_str!("../../../sql/queries/activity_entry_save.sql");
const ENTRY_DELETE: &str = include_str!("../../../sql/queries/activity_entry_delete.sql");
const ENTRIES_DELETE: &str = include_str!("../../../sql/queries/activity_entries_delete.sql");
const FOLLOW_SAVE: &str = include_str!("../../../sql/queries/feed_follow_save.sql");
const FOLLOW_END: &str = include_str!("../../../sql/queries/feed_follow_end.sql");
const FOLLOW_DELETE: &str = include_str!("../../../sql/queries/feed_follow_delete.sql");
const FOLLOW_TRIM: &str = include_str!("../../../sql/queries/feed_follow_trim.sql");
const FOLLOW_SETTLE: &str = include_str!("../../../sql/queries/feed_follow_settle.sql");
const REACTION_SAVE: &str = include_str!("../../../sql/queries/reaction_save.sql");
const REACTION_DELETE: &str = include_str!("../../../sql/queries/reaction_delete.sql");
const REACTION_COUNT: &str = include_str!("../../../sql/queries/reaction_count.sql");
const OBJECT_SAVE: &str = include_str!("../../../sql/queries/feed_object_save.sql");
const OBJECT_DELETE: &str = include_str!("../../../sql/queries/feed_object_delete.sql");
const MARK_SAVE: &str = include_str!("../../../sql/queries/feed_mark_save.sql");
const MARKS_CLEAR: &str = include_str!("../../../sql/queries/feed_marks_clear.sql");

/// Ended follows between two feeds that are kept.
const ENDED_KEPT: i64 = 8;

/// How far the item of an activity is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ItemState {
    /// The activity is no item; an overwrite leaves the state as it is.
    None,
    /// The item is to be written.
    Owed,
    /// The item is written.
    Written,
}

impl ItemState {
    pub(super) fn column(self) -> i64 {
        match self {
            ItemState::None => 0,
            ItemState::Owed => 1,
            ItemState::Written => 2,
        }
    }

    pub(super) fn from_column(column: i64) -> ItemState {
        match column {
            1 => ItemState::Owed,
            2 => ItemState::Written,
            _ => ItemState::None,
        }
    }
}

/// How far the native follow of a follow between feeds is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mirror {
    /// The feeds are not those of two people: no native follow belongs to it.
    None,
    /// The native follow is to be written.
    Owed,
    /// The native follow is written; without it, this follow does not count.
    Written,
    /// The native follow is to be deleted; this follow does not count.
    Ending,
}

impl Mirror {
    pub(super) fn column(self) -> i64 {
        match self {
            Mirror::None => 0,
            Mirror::Owed => 1,
            Mirror::Written => 2,
            Mirror::Ending => 3,
        }
    }

    pub(super) fn from_column(column: i64) -> Mirror {
        match column {
            1 => Mirror::Owed,
            2 => Mirror::Written,
            3 => Mirror::Ending,
            _ => Mirror::None,
        }
    }
}

/// A new follow between feeds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FollowRow {
    /// The feed that follows.
    pub source: FeedName,
    /// The followed feed.
    pub target: FeedName,
    /// Entries with a larger number are shown, whatever their time.
    pub from_seq: i64,
    /// Place of the oldest shown entry among the older ones.
    pub lower: (i64, i64),
    /// When the follow was made.
    pub created: Micros,
    /// The state of its native follow.
    pub mirror: Mirror,
}

/// A reaction as a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReactionRow {
    /// The id, a UUID.
    pub id: String,
    /// The activity, which need not exist.
    pub activity: String,
    /// The reaction that it answers; empty for none.
    pub parent: String,
    /// The user who reacted.
    pub user: String,
    /// The kind, as in `like`.
    pub kind: String,
    /// Order of insertion.
    pub seq: i64,
    /// When it was made.
    pub created: Micros,
    /// When it was changed last.
    pub updated: Micros,
    /// When it was soft-deleted.
    pub deleted: Option<Micros>,
    /// Data and target feeds as a JSON object.
    pub doc: String,
}

impl ReactionRow {
    /// The reaction that it answers, or else the activity.
    #[must_use]
    pub fn subject(&self) -> &str {
        if self.parent.is_empty() { &self.activity } else { &self.parent }
    }
}

/// A user of the feeds API, or an entry of a collection, as a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectRow {
    /// The collection; empty for users.
    pub collection: String,
    /// The id within the collection.
    pub id: String,
    /// When it was made.
    pub created: Micros,
    /// When it was changed last.
    pub updated: Micros,
    /// The data as JSON.
    pub doc: String,
}

/// One change. A list of them is one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActivityChange {
    /// Saves an activity: id, foreign id, time, all fields as JSON, and the state of its item.
    Activity(String, String, Micros, String, ItemState),
    /// Deletes an activity and takes it out of all feeds.
    DeleteActivity(String),
    /// Notes how far the item of an activity is.
    SettleItem(String, ItemState),
    /// Puts an activity into a feed: feed, activity, time, number, and whether it was written to this feed.
    Entry(FeedName, String, Micros, i64, bool),
    /// Takes an activity out of a feed.
    DeleteEntry(FeedName, String),
    /// Saves a follow.
    Follow(FollowRow),
    /// Ends a follow at a place and keeps what it showed: source, target, place, now.
    EndFollow(FeedName, FeedName, (i64, i64), Micros),
    /// Deletes all follows between two feeds.
    DeleteFollow(FeedName, FeedName),
    /// Notes how far the native follow is.
    SettleFollow(FeedName, FeedName, Mirror),
    /// Saves a reaction.
    Reaction(ReactionRow),
    /// Deletes a reaction.
    DeleteReaction(String),
    /// Adds to the number of reactions: subject, kind, change.
    Count(String, String, i64),
    /// Saves a user or an entry of a collection.
    Object(ObjectRow),
    /// Deletes a user or an entry of a collection.
    DeleteObject(String, String),
    /// Marks a group of a feed (empty: all groups) as seen (false) or read (true) up to a number.
    Mark(FeedName, bool, String, i64),
}

impl ActivityChange {
    /// Appends the statements of the change.
    pub(super) fn write(self, to: &mut Vec<Statement>) {
        let mut add = |text: &'static str, parameters: Vec<Value>| to.push(Statement::new(text, parameters));
        match self {
            ActivityChange::Activity(id, foreign_id, time, doc, item) => {
                add(ACTIVITY_SAVE, vec![id.into(), foreign_id.into(), time.0.into(), doc.into(), item.column().into()]);
            }
            ActivityChange::DeleteActivity(id) => {
                add(ENTRIES_DELETE, vec![id.clone().into()]);
                add(ACTIVITY_DELETE, vec![id.into()]);
            }
            ActivityChange::SettleItem(id, item) => {
                add(ACTIVITY_ITEM_SETTLE, vec![item.column().into(), id.into()]);
            }
            ActivityChange::Entry(feed, activity, time, seq, is_direct) => {
                let direct = i64::from(is_direct);
                add(ENTRY_SAVE, vec![feed.as_str().into(), activity.into(), time.0.into(), seq.into(), direct.into()]);
            }
            ActivityChange::DeleteEntry(feed, activity) => {
                add(ENTRY_DELETE, vec![feed.as_str().into(), activity.into()]);
            }
            ActivityChange::Follow(FollowRow { source, target, from_seq, lower, created, mirror }) => add(
                FOLLOW_SAVE,
                vec![
                    source.as_str().into(),
                    target.as_str().into(),
                    from_seq.into(),
                    lower.0.into(),
                    lower.1.into(),
                    created.0.into(),
                    mirror.column().into(),
                ],
            ),
            ActivityChange::EndFollow(source, target, until, now) => {
                let [source, target] = [source, target].map(|feed| Value::from(feed.as_str()));
                let ended = vec![until.0.into(), until.1.into(), now.0.into(), source.clone(), target.clone()];
                add(FOLLOW_END, ended);
                add(FOLLOW_TRIM, vec![source, target, ENDED_KEPT.into()]);
            }
            ActivityChange::DeleteFollow(source, target) => {
                add(FOLLOW_DELETE, vec![source.as_str().into(), target.as_str().into()]);
            }
            ActivityChange::SettleFollow(source, target, mirror) => {
                add(FOLLOW_SETTLE, vec![mirror.column().into(), source.as_str().into(), target.as_str().into()]);
            }
            ActivityChange::Reaction(row) => {
                let subject = row.subject().to_owned();
                let ReactionRow { id, activity, parent, user, kind, seq, created, updated, deleted, doc } = row;
                let deleted = deleted.map_or(0, |at| at.0);
                add(
                    REACTION_SAVE,
                    vec![
                        id.into(),
                        subject.into(),
                        activity.into(),
                        parent.into(),
                        user.into(),
                        kind.into(),
                        seq.into(),
                        created.0.into(),
                        updated.0.into(),
                        deleted.into(),
                        doc.into(),
                    ],
                );
            }
            ActivityChange::DeleteReaction(id) => add(REACTION_DELETE, vec![id.into()]),
            ActivityChange::Count(subject, kind, change) => {
                add(REACTION_COUNT, vec![subject.into(), kind.into(), change.into()]);
            }
            ActivityChange::Object(ObjectRow { collection, id, created, updated, doc }) => {
                add(OBJECT_SAVE, vec![collection.into(), id.into(), created.0.into(), updated.0.into(), doc.into()])
            }
            ActivityChange::DeleteObject(collection, id) => add(OBJECT_DELETE, vec![collection.into(), id.into()]),
            ActivityChange::Mark(feed, is_read, group, seq) => {
                let (feed, kind) = (Value::from(feed.as_str()), Value::from(i64::from(is_read)));
                if group.is_empty() {
                    add(MARKS_CLEAR, vec![feed.clone(), kind.clone(), seq.into()]);
                }
                add(MARK_SAVE, vec![feed, kind, group.into(), seq.into()]);
            }
        }
    }
}
