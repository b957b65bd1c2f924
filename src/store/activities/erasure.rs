//! Erasure of a person from the feeds API, as a part of the erasure of the person.
//!
//! Invariant: afterwards no feed, follow, reaction or object names the person. Absent on purpose: activities in which other actors
//! name the person.

/// Statements that erase a person's feeds, in their order; the parameter of each is the id of the person, who still has the key.
pub const ERASE_FEEDS: [&str; 7] = [
    include_str!("../../../sql/queries/erase_feed_activities.sql"),
    include_str!("../../../sql/queries/erase_feed_entries.sql"),
    include_str!("../../../sql/queries/erase_feed_counts.sql"),
    include_str!("../../../sql/queries/erase_feed_reactions.sql"),
    include_str!("../../../sql/queries/erase_feed_follows.sql"),
    include_str!("../../../sql/queries/erase_feed_objects.sql"),
    include_str!("../../../sql/queries/erase_feed_marks.sql"),
];
/// Statements that erase the activity of an item, in their order; the parameter of each is the id of the item.
pub const ERASE_ITEM_ACTIVITY: [&str; 2] = [
    include_str!("../../../sql/queries/erase_item_entries.sql"),
    include_str!("../../../sql/queries/erase_item_activity.sql"),
];
