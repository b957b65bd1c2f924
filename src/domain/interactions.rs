//! What people do with items, and what that says about their taste.
//!
//! Invariant: the meaning of a kind (its label and weight) is decided once, when the interaction is learned, and
//! travels with the journal entry, so a later change of the table never changes what was learned before.

use serde::{Deserialize, Serialize};

use super::ids::{FeedVersion, ItemId, Key};
use super::time::Millis;

/// What a person did. Closed: a new kind is a new protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Said they like it.
    Like,
    /// Passed it on.
    Share,
    /// Answered it.
    Reply,
    /// Said: more like this.
    Accept,
    /// Opened it.
    Click,
    /// Watched it for a while.
    Watch,
    /// Read it for a while.
    Read,
    /// Went past it.
    Skip,
    /// Does not want to see it again.
    Hide,
    /// Said: not like this.
    Reject,
    /// It was on screen. No opinion, exposure only.
    View,
}

impl Kind {
    /// All kinds, in the order of their declaration.
    pub const ALL: [Kind; 11] = [
        Kind::Like,
        Kind::Share,
        Kind::Reply,
        Kind::Accept,
        Kind::Click,
        Kind::Watch,
        Kind::Read,
        Kind::Skip,
        Kind::Hide,
        Kind::Reject,
        Kind::View,
    ];

    /// The name on the wire and in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Kind::Like => "like",
            Kind::Share => "share",
            Kind::Reply => "reply",
            Kind::Accept => "accept",
            Kind::Click => "click",
            Kind::Watch => "watch",
            Kind::Read => "read",
            Kind::Skip => "skip",
            Kind::Hide => "hide",
            Kind::Reject => "reject",
            Kind::View => "view",
        }
    }

    /// The kind of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// After this, the item is never shown to that person again.
    #[must_use]
    pub fn removes(self) -> bool {
        matches!(self, Kind::Hide | Kind::Reject)
    }
}

/// What an interaction teaches.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// Did they want it?
    pub positive: bool,
    /// How sure that is: 0 (not at all) to a few; 1 is a plain like.
    pub weight: f32,
}

/// Which kind means what. The defaults are those of the learning specification, section 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Signals {
    /// Weight of `like`, `share`, `reply`, `accept`.
    pub positive_weight: f32,
    /// Weight of `click`.
    pub click_weight: f32,
    /// Weight of `skip` (negative).
    pub skip_weight: f32,
    /// Weight of `hide`, `reject` (negative).
    pub negative_weight: f32,
    /// A `watch` or `read` shorter than this is a bounce (negative).
    pub bounce_ms: u32,
    /// Weight of a bounce.
    pub bounce_weight: f32,
}

impl Default for Signals {
    fn default() -> Self {
        Signals {
            positive_weight: 1.0,
            click_weight: 0.5,
            skip_weight: 0.3,
            negative_weight: 1.0,
            bounce_ms: 3_000,
            bounce_weight: 0.5,
        }
    }
}

impl Signals {
    /// Label and weight of an interaction; `None` teaches nothing (exposure only).
    ///
    /// A `watch` or `read` weighs `0.25 * log2(1 + dwell / bounce)`, between 0.25 at the bounce limit and at most 2:
    /// with the default limit of 3 s, half a minute weighs 0.86 and ten minutes 1.9. Without a dwell it is a click.
    #[must_use]
    pub fn of(&self, kind: Kind, dwell_ms: Option<u32>) -> Option<Signal> {
        let (positive, weight) = match kind {
            Kind::Like | Kind::Share | Kind::Reply | Kind::Accept => (true, self.positive_weight),
            Kind::Click => (true, self.click_weight),
            Kind::Watch | Kind::Read => match dwell_ms {
                None => (true, self.click_weight),
                Some(dwell) if dwell < self.bounce_ms => (false, self.bounce_weight),
                Some(dwell) => {
                    let ratio = f64::from(dwell) / f64::from(self.bounce_ms.max(1));
                    (true, (0.25 * (1.0 + ratio).log2()).min(2.0) as f32)
                }
            },
            Kind::Skip => (false, self.skip_weight),
            Kind::Hide | Kind::Reject => (false, self.negative_weight),
            Kind::View => return None,
        };
        (weight > 0.0).then_some(Signal { positive, weight })
    }
}

/// Where the item stood when the person acted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Shown {
    /// Feed version that the client had drawn.
    pub version: FeedVersion,
    /// From 0, the top.
    pub position: u16,
    /// Probability with which the policy put it there; 1 without exploration.
    pub propensity: f32,
}

/// A person acted on an item.
#[derive(Clone, Debug, PartialEq)]
pub struct Interaction {
    /// Made by the client, unique per person; a resend carries the same.
    pub id: Key,
    /// On what.
    pub item: ItemId,
    /// What they did.
    pub kind: Kind,
    /// For how long, in milliseconds.
    pub dwell_ms: Option<u32>,
    /// When, never in the future.
    pub at: Millis,
    /// Where it stood, when that is known.
    pub shown: Option<Shown>,
    /// What stood above it in the drawn feed and got nothing; only where `shown` is known.
    pub passed: Vec<ItemId>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_mean_what_the_table_says() {
        let signals = Signals::default();
        for (kind, dwell, expected) in [
            (Kind::Like, None, Some((true, 1.0))),
            (Kind::Share, None, Some((true, 1.0))),
            (Kind::Reply, None, Some((true, 1.0))),
            (Kind::Accept, None, Some((true, 1.0))),
            (Kind::Click, None, Some((true, 0.5))),
            (Kind::Watch, None, Some((true, 0.5))),
            (Kind::Watch, Some(2_999), Some((false, 0.5))),
            (Kind::Watch, Some(3_000), Some((true, 0.25))),
            (Kind::Read, Some(9_000), Some((true, 0.5))),
            (Kind::Watch, Some(u32::MAX), Some((true, 2.0))),
            (Kind::Skip, None, Some((false, 0.3))),
            (Kind::Hide, None, Some((false, 1.0))),
            (Kind::Reject, None, Some((false, 1.0))),
            (Kind::View, None, None),
        ] {
            let found = signals.of(kind, dwell).map(|s| (s.positive, s.weight));
            assert_eq!(found, expected, "{} {dwell:?}", kind.name());
        }
    }

    #[test]
    fn every_kind_has_its_name() {
        for kind in Kind::ALL {
            assert_eq!(Kind::from_name(kind.name()), Some(kind));
            assert_eq!(serde_json::to_value(kind).ok(), Some(kind.name().into()));
        }
        assert_eq!(Kind::from_name("LIKE"), None);
    }
}
