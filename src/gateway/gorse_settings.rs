//! Settings of the door for Gorse clients: its key, and the kinds of interaction that its feedback types become.
//!
//! Invariant: the key is compared in constant time and is never printed or logged. Deliberately absent: routes (`gorse`).

use std::collections::BTreeMap;

use ring::hmac;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::domain::interactions::Kind;

/// Settings of the door for Gorse clients.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GorseSettings {
    /// The value of `X-API-Key` that opens the door, beside service tokens. Empty is none.
    #[serde(skip_serializing)]
    pub api_key: Option<SecretString>,
    /// Kinds of interaction by feedback type, beside the built-in ones.
    pub kinds: BTreeMap<String, Kind>,
}

/// Kinds of common feedback types. `read` is Gorse's name for an impression.
const KINDS: [(&str, Kind); 14] = [
    ("read", Kind::View),
    ("impression", Kind::View),
    ("star", Kind::Like),
    ("favorite", Kind::Like),
    ("favourite", Kind::Like),
    ("heart", Kind::Like),
    ("upvote", Kind::Like),
    ("purchase", Kind::Like),
    ("buy", Kind::Like),
    ("collect", Kind::Like),
    ("bookmark", Kind::Like),
    ("comment", Kind::Reply),
    ("dislike", Kind::Reject),
    ("downvote", Kind::Reject),
];

impl GorseSettings {
    /// The kind of interaction of a feedback type: the configured one, the built-in one, the kind of this name, or a click.
    #[must_use]
    pub fn kind(&self, feedback_type: &str) -> Kind {
        let built_in = || KINDS.iter().find(|(name, _)| *name == feedback_type).map(|(_, kind)| *kind);
        let configured = self.kinds.get(feedback_type).copied();
        configured.or_else(built_in).or_else(|| Kind::from_name(feedback_type)).unwrap_or(Kind::Click)
    }
}

/// The door's settings with the key in a form that serves comparison alone.
#[derive(Debug, Default)]
pub struct GorseDoor {
    settings: GorseSettings,
    key: Option<KeyCheck>,
}

/// A tag of the key under a random key, so that a comparison takes constant time.
#[derive(Debug)]
struct KeyCheck {
    key: hmac::Key,
    tag: hmac::Tag,
}

impl GorseDoor {
    /// The door with these settings.
    #[must_use]
    pub fn new(settings: GorseSettings) -> GorseDoor {
        let given = settings.api_key.as_ref().map(|key| key.expose_secret()).filter(|key| !key.is_empty());
        let key = given.map(|given| {
            let key = hmac::Key::new(hmac::HMAC_SHA256, &rand::random::<[u8; 32]>());
            let tag = hmac::sign(&key, given.as_bytes());
            KeyCheck { key, tag }
        });
        GorseDoor { settings: GorseSettings { api_key: None, ..settings }, key }
    }

    /// Whether a key is configured.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.key.is_some()
    }

    /// Whether this is the configured key.
    #[must_use]
    pub fn opens(&self, given: &str) -> bool {
        self.key.as_ref().is_some_and(|check| hmac::verify(&check.key, given.as_bytes(), check.tag.as_ref()).is_ok())
    }

    /// The kind of interaction of a feedback type.
    #[must_use]
    pub fn kind(&self, feedback_type: &str) -> Kind {
        self.settings.kind(feedback_type)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(key: Option<&str>) -> GorseDoor {
        GorseDoor::new(GorseSettings { api_key: key.map(Into::into), ..GorseSettings::default() })
    }

    #[test]
    fn only_the_configured_key_opens_the_door() {
        for (key, given, opens) in [
            (Some("zebra"), "zebra", true),
            (Some("zebra"), "zebr", false),
            (Some("zebra"), "zebra ", false),
            (Some("zebra"), "", false),
            (Some(""), "", false),
            (None, "", false),
        ] {
            let door = door(key);
            assert_eq!(door.opens(given), opens, "{key:?} {given:?}");
            assert_eq!(door.has_key(), key.is_some_and(|key| !key.is_empty()));
            assert!(!format!("{door:?}").contains("zebra"));
        }
    }

    #[test]
    fn a_feedback_type_has_the_configured_kind_before_the_built_in_one() {
        let kinds = [("star".to_owned(), Kind::Share), ("watched".to_owned(), Kind::Watch)].into();
        let settings = GorseSettings { kinds, ..GorseSettings::default() };
        for (name, kind) in [
            ("star", Kind::Share),
            ("watched", Kind::Watch),
            ("favorite", Kind::Like),
            ("read", Kind::View),
            ("like", Kind::Like),
            ("hide", Kind::Hide),
            ("anything", Kind::Click),
        ] {
            assert_eq!(settings.kind(name), kind, "{name}");
        }
    }
}
