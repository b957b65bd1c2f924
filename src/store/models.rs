//! Two-tower models as they are kept: checkpoints under numbers of their own, and which of them served from when on.
//!
//! Invariant: a number is given once; what was published stays in the list of publications, whatever is forgotten of the
//! model itself. Of models that were published the last [`PUBLISHED_KEPT`] stay, of others the newest
//! [`UNPUBLISHED_KEPT`]; the one that serves is always among them. Absent on purpose: what is in a checkpoint.

use std::fmt;

use crate::domain::ids::ModelVersion;
use crate::domain::time::Millis;

/// The largest checkpoint, in bytes.
pub const CHECKPOINT_BYTES_MAX: usize = 64 << 20;

/// Models that were published and are kept, for a way back and for the time machine.
pub const PUBLISHED_KEPT: u32 = 10;

/// Models that were never published and are kept.
pub const UNPUBLISHED_KEPT: u32 = 3;

/// A model to be kept.
#[derive(Clone, PartialEq, Eq)]
pub struct NewModel {
    /// Its number where it has one already, as when a dump is loaded: then nothing is forgotten for it. `None`: the next.
    pub version: Option<ModelVersion>,
    /// When it came.
    pub created: Millis,
    /// What is told of it: a JSON object as text.
    pub summary: String,
    /// All that it consists of.
    pub checkpoint: Vec<u8>,
}

impl fmt::Debug for NewModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "model {:?} of {} bytes, {}", self.version, self.checkpoint.len(), self.summary)
    }
}

/// A model that is kept, without what it consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptModel {
    /// Its number.
    pub version: ModelVersion,
    /// When it came.
    pub created: Millis,
    /// What is told of it: a JSON object as text.
    pub summary: String,
    /// Of its checkpoint.
    pub bytes: u64,
}

/// From then on this model served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publication {
    /// Which.
    pub version: ModelVersion,
    /// Since when.
    pub at: Millis,
}

/// One change to the models.
pub(super) enum Change {
    /// A new one.
    Save(NewModel),
    /// It serves from now on, if it is kept.
    Publish(ModelVersion, Millis),
    /// It served from then on, kept or not: of a dump.
    Note(Publication),
}

/// The model that served at an instant, of publications in order.
#[must_use]
pub fn at(publications: &[Publication], at: Millis) -> Option<ModelVersion> {
    publications.iter().rev().find(|one| one.at <= at).map(|one| one.version)
}

/// The model to go back to from the one that serves: who goes back twice is two models back, not where they began.
#[must_use]
pub fn before(publications: &[Publication]) -> Option<ModelVersion> {
    let mut way: Vec<ModelVersion> = Vec::new();
    for one in publications {
        match way.iter().position(|known| *known == one.version) {
            Some(place) => way.truncate(place + 1),
            None => way.push(one.version),
        }
    }
    way.pop();
    way.pop()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_back_leads_back() {
        for (name, versions, expected) in [
            ("nothing", &[][..], None),
            ("the only one", &[1], None),
            ("two", &[1, 2], Some(1)),
            ("back once", &[1, 2, 3, 2], Some(1)),
            ("back twice", &[1, 2, 3, 2, 1], None),
            ("back, and on", &[1, 2, 1, 3], Some(1)),
            ("back and to the same again", &[1, 2, 1, 2], Some(1)),
            ("published twice in a row", &[1, 2, 2], Some(1)),
        ] {
            let list: Vec<Publication> = versions
                .iter()
                .zip(0..)
                .map(|(n, at)| Publication { version: ModelVersion(*n), at: Millis(at) })
                .collect();
            assert_eq!(before(&list), expected.map(ModelVersion), "{name}");
        }
    }

    #[test]
    fn what_served_then_is_the_last_that_was_published_by_then() {
        let list = [(1, 10), (2, 20), (1, 30)].map(|(n, at)| Publication { version: ModelVersion(n), at: Millis(at) });
        for (then, expected) in [(9, None), (10, Some(1)), (19, Some(1)), (20, Some(2)), (29, Some(2)), (99, Some(1))] {
            assert_eq!(at(&list, Millis(then)), expected.map(ModelVersion), "{then}");
        }
    }
}
