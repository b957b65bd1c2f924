//! Interactions of a user's history.

use serde::{Deserialize, Serialize};

use crate::domain::ids::ItemId;
use crate::domain::interactions::Kind;
use crate::domain::time::{MINUTE_MS, Millis};

/// A pause of 30 minutes ends a session.
pub(in crate::engine) const SESSION_BREAK_MS: i64 = 30 * MINUTE_MS;

/// Label of an interaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sign {
    /// Skipped or rejected.
    Negative,
    /// Neither positive nor negative, such as a view.
    Neutral,
    /// Liked or chosen.
    Positive,
}

/// One interaction of the user's history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Past {
    /// Item that the user acted on.
    pub item: ItemId,
    /// Kind of interaction.
    pub kind: Kind,
    /// Positive, negative or neutral, as the signal settings judged it.
    pub sign: Sign,
    /// Time of the interaction.
    pub at: Millis,
}

impl Past {
    /// Does another interaction belong to the visit that this one began? One visit often sends two interactions: a
    /// click, then the like of the opened item. An interaction of another kind with this item within a session break
    /// continues the visit. Two interactions of one kind are two visits.
    #[must_use]
    pub(crate) fn is_visit_of(&self, item: ItemId, kind: Kind, at: Millis) -> bool {
        self.item == item && self.kind != kind && at.since(self.at).abs() < SESSION_BREAK_MS
    }
}
