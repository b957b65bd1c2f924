//! Activities, follows between feeds, reactions and objects of the feeds API.
//!
//! Invariant: a change is one transaction, durable when it is acknowledged, and visible to the next read. Both stores run the
//! statements of this folder, so they cannot differ. Absent on purpose: fan-out; a read merges the followed feeds.

mod statement;
mod changes;
mod erasure;
mod reads;
mod merge;

pub use self::changes::{ActivityChange, FollowRow, ItemState, Mirror, ObjectRow, ReactionRow};
pub(in crate::store) use self::erasure::{ERASE_FEEDS, ERASE_ITEM_ACTIVITY};
pub use self::merge::{FeedQuery, Place, SeenEntry};
pub use self::reads::{ActivityRow, EntryRow, FollowFound, OwedFollow, ReactionQuery, ReactionsOf, Reads, Side};
pub use self::statement::{ActivityStore, Row, Statement, Value};
