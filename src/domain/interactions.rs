//! Interactions of users with items, and their labels and weights for learning.
//!
//! Invariant: label and weight are decided once, when the interaction is learned. The journal entry holds them, so a later
//! change of the settings never changes earlier training examples.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ids::{FeedVersion, ItemId, Key};
use super::time::Millis;

/// Kind of an interaction. The enum is closed: a new kind needs a new protocol version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The user liked the item.
    Like,
    /// The user shared the item.
    Share,
    /// The user replied to the item.
    Reply,
    /// The user asked for more items like this one.
    Accept,
    /// The user opened the item.
    Click,
    /// The user watched the item, for its dwell time.
    Watch,
    /// The user read the item, for its dwell time.
    Read,
    /// The user skipped the item.
    Skip,
    /// The user hid the item; it is never shown to them again.
    Hide,
    /// The user asked for no items like this one; it is never shown to them again.
    Reject,
    /// The item was on screen: exposure without a label.
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

    /// Name on the wire and in tables.
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

    /// Finds a kind by its name on the wire.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Kind> {
        Kind::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether the item is never shown to the user again.
    #[must_use]
    pub fn removes(self) -> bool {
        matches!(self, Kind::Hide | Kind::Reject)
    }
}

/// Inverse of an interaction: it cancels the interactions of one user with one item that stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Inverse {
    /// Cancels each standing `like` of the item.
    Unlike,
    /// Cancels each standing `hide` and `reject` of the item, so that it may be shown again.
    Unhide,
}

impl Inverse {
    /// All inverses, in the order of their declaration.
    pub const ALL: [Inverse; 2] = [Inverse::Unlike, Inverse::Unhide];

    /// Name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Inverse::Unlike => "unlike",
            Inverse::Unhide => "unhide",
        }
    }

    /// Interactions that it cancels.
    #[must_use]
    pub fn cancels(self) -> Standing {
        match self {
            Inverse::Unlike => Standing::Liked,
            Inverse::Unhide => Standing::Hidden,
        }
    }
}

/// Interactions that hold until they are cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// Interactions of kind `like`.
    Liked,
    /// Interactions of kind `hide` or `reject`.
    Hidden,
}

impl Standing {
    /// Kinds of these interactions; a single kind stands twice.
    #[must_use]
    pub fn kinds(self) -> [Kind; 2] {
        match self {
            Standing::Liked => [Kind::Like, Kind::Like],
            Standing::Hidden => [Kind::Hide, Kind::Reject],
        }
    }
}

/// Kind of an interaction as clients send it: a [`Kind`] that is learned, or an [`Inverse`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// An interaction to learn.
    Do(Kind),
    /// A cancellation of earlier interactions.
    Undo(Inverse),
}

impl Act {
    /// Names on the wire, those of [`Kind`] first.
    pub const NAMES: [&'static str; 13] = [
        "like", "share", "reply", "accept", "click", "watch", "read", "skip", "hide", "reject", "view", "unlike",
        "unhide",
    ];

    /// Name on the wire.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Act::Do(kind) => kind.name(),
            Act::Undo(inverse) => inverse.name(),
        }
    }
}

impl From<Kind> for Act {
    fn from(kind: Kind) -> Act {
        Act::Do(kind)
    }
}

impl JsonSchema for Act {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Act".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"description": "Kind of an interaction, or the cancellation of one.", "type": "string", "enum": Act::NAMES})
    }
}

impl Serialize for Act {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl<'de> Deserialize<'de> for Act {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Act, D::Error> {
        struct Reader;
        impl Visitor<'_> for Reader {
            type Value = Act;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "one of {}", Act::NAMES.join(", "))
            }
            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Act, E> {
                let inverse = || Inverse::ALL.into_iter().find(|inverse| inverse.name() == name).map(Act::Undo);
                let act = Kind::from_name(name).map(Act::Do).or_else(inverse);
                act.ok_or_else(|| E::unknown_variant(name, &Act::NAMES))
            }
        }
        deserializer.deserialize_str(Reader)
    }
}

/// Label and weight of an interaction for learning.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// The label: whether the user wanted the item.
    pub positive: bool,
    /// Weight of the training example: above 0, 1 for a plain like.
    pub weight: f32,
}

/// Weights by kind of interaction. `docs/operations.md` lists the defaults, under `learn.signals`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Signals {
    /// Weight of `like`, `share`, `reply`, `accept` (positive).
    pub positive_weight: f32,
    /// Weight of `click` (positive).
    pub click_weight: f32,
    /// Weight of `skip` (negative).
    pub skip_weight: f32,
    /// Weight of `hide`, `reject` (negative).
    pub negative_weight: f32,
    /// A `watch` or `read` shorter than this is a bounce (negative).
    pub bounce_ms: u32,
    /// Weight of a bounce (negative).
    pub bounce_weight: f32,
    /// Weight of an item that the user saw above a visited one and left (negative, online model only); 0 is off.
    pub passed_weight: f32,
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
            passed_weight: 0.02,
        }
    }
}

impl Signals {
    /// Label and weight of an interaction; `None` for exposure without a label.
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

/// Position of the item in the feed on which the user acted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Shown {
    /// Version of the feed that the client showed.
    pub version: FeedVersion,
    /// Position from the top, which is 0.
    pub position: u16,
    /// Propensity: probability that the policy put the item there; 1 without exploration.
    pub propensity: f32,
}

/// An interaction of a user with an item.
#[derive(Clone, Debug, PartialEq)]
pub struct Interaction {
    /// Id of the event, made by the client and unique per user. A resend repeats it.
    pub id: Key,
    /// Id of the item.
    pub item: ItemId,
    /// Kind of the interaction.
    pub kind: Kind,
    /// Dwell time in milliseconds, where the client measured it.
    pub dwell_ms: Option<u32>,
    /// Instant of the interaction, never in the future.
    pub at: Millis,
    /// Position in the feed, where it is known.
    pub shown: Option<Shown>,
    /// Items above it in the shown feed that got no interaction, from the top; empty unless `shown` is known.
    pub passed: Vec<Passed>,
}

/// An item above the one that the user acted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passed {
    /// Id of the item.
    pub item: ItemId,
    /// Whether the client reported it as visible in the shown feed.
    pub seen: bool,
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

    #[test]
    fn an_act_is_a_kind_or_an_inverse() {
        let kinds = Kind::ALL.into_iter().map(Act::Do);
        let all: Vec<Act> = kinds.chain(Inverse::ALL.into_iter().map(Act::Undo)).collect();
        assert_eq!(all.iter().map(|act| act.name()).collect::<Vec<_>>(), Act::NAMES);
        for act in all {
            let text = serde_json::to_value(act).unwrap_or_default();
            assert_eq!(serde_json::from_value::<Act>(text).ok(), Some(act));
        }
        let unknown = serde_json::from_str::<Act>("\"love\"").map_err(|error| error.to_string());
        assert!(unknown.is_err_and(|error| error.contains("unknown variant `love`") && error.contains("`unhide`")));
    }
}
