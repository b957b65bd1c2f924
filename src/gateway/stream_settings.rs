//! Settings of the feeds API: its apps, each with a key, a secret and groups of feeds.
//!
//! Invariant: secrets are never printed or logged. Without an app the feeds API has no route. Deliberately absent: routes
//! (`stream`).

use std::collections::BTreeMap;

use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};

use crate::domain::interactions::Kind;

/// Bytes of an app's secret at least.
const SECRET_BYTES_MIN: usize = 32;

/// One app of the feeds API.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AppSettings {
    /// The value of `api_key` in each request.
    pub key: String,
    /// The secret that signs the tokens of clients (HS256).
    #[serde(skip_serializing)]
    pub secret: Option<SecretString>,
    /// The number or name by which clients name the app in channels.
    pub id: String,
    /// The store of the app, as `store`; empty for the store of the server.
    pub store: String,
    /// Groups of feeds beside the built-in ones.
    pub groups: BTreeMap<String, Group>,
    /// Kinds of interaction by kind of reaction or label of analytics, beside the built-in ones.
    pub kinds: BTreeMap<String, Kind>,
    /// Fields that hold the text of a post, beside `text`, `content` and `message`; the first that holds one counts.
    pub text_fields: Vec<String>,
    /// The field that holds the topics of a post, beside `topics`, `topic` and `tags`.
    pub topic_field: String,
}

/// How a group shows its feeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// Activities one by one.
    Flat,
    /// Activities by verb and day.
    Aggregated,
    /// Activities by verb and day, with marks of groups as seen and read.
    Notification,
}

/// Groups that every app has.
const GROUPS: [(&str, Group); 9] = [
    ("user", Group::Flat),
    ("flat", Group::Flat),
    ("topic", Group::Flat),
    ("timeline", Group::Flat),
    ("secret", Group::Flat),
    ("public", Group::Flat),
    ("aggregated", Group::Aggregated),
    ("timeline_aggregated", Group::Aggregated),
    ("notification", Group::Notification),
];

/// Kinds of interaction of common reactions and labels.
const KINDS: [(&str, Kind); 12] = [
    ("favorite", Kind::Like),
    ("favourite", Kind::Like),
    ("heart", Kind::Like),
    ("love", Kind::Like),
    ("upvote", Kind::Like),
    ("clap", Kind::Like),
    ("comment", Kind::Reply),
    ("repost", Kind::Share),
    ("retweet", Kind::Share),
    ("reshare", Kind::Share),
    ("impression", Kind::View),
    ("downvote", Kind::Reject),
];

/// Fields that may hold the text of a post.
const TEXT_FIELDS: [&str; 6] = ["text", "content", "message", "tweet", "title", "body"];
/// Fields that may hold the topics of a post.
const TOPIC_FIELDS: [&str; 3] = ["topics", "topic", "tags"];

impl AppSettings {
    /// Checks one app.
    ///
    /// # Errors
    /// The key of the wrong setting below the app, and the rule that it breaks.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        if self.key.is_empty() || !self.key.chars().all(|one| one.is_ascii_alphanumeric() || one == '_' || one == '-') {
            return Err(("key", "must have letters, digits, _ and - only".into()));
        }
        let secret = self.secret.as_ref().map(|secret| secret.expose_secret()).unwrap_or_default();
        if secret.len() < SECRET_BYTES_MIN {
            return Err(("secret", format!("must have at least {SECRET_BYTES_MIN} bytes")));
        }
        // Clients take a text with a full stop for a token of a user.
        if secret.contains('.') {
            return Err(("secret", "must not contain a full stop".into()));
        }
        if self.id.len() > 64 || !self.id.chars().all(|one| one.is_ascii_alphanumeric()) {
            return Err(("id", "must have at most 64 letters and digits".into()));
        }
        Ok(())
    }

    /// How a group shows its feeds; `None` for an unknown group.
    #[must_use]
    pub fn group(&self, name: &str) -> Option<Group> {
        let built_in = || GROUPS.iter().find(|(known, _)| *known == name).map(|(_, group)| *group);
        self.groups.get(name).copied().or_else(built_in)
    }

    /// The kind of interaction of a reaction or a label; `None` for one without a meaning here.
    #[must_use]
    pub fn kind(&self, name: &str) -> Option<Kind> {
        let built_in = || KINDS.iter().find(|(known, _)| *known == name).map(|(_, kind)| *kind);
        self.kinds.get(name).copied().or_else(built_in).or_else(|| Kind::from_name(name))
    }

    /// Fields that may hold the text of a post, the first one first.
    pub fn text_fields(&self) -> impl Iterator<Item = &str> {
        self.text_fields.iter().map(String::as_str).chain(TEXT_FIELDS)
    }

    /// Fields that may hold the topics of a post, the first one first.
    pub fn topic_fields(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.topic_field.as_str()).filter(|field| !field.is_empty()).chain(TOPIC_FIELDS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(key: &str, secret: &str) -> AppSettings {
        AppSettings { key: key.into(), secret: Some(secret.into()), ..AppSettings::default() }
    }

    #[test]
    fn an_app_needs_a_key_and_a_long_secret_without_full_stop() {
        let secret = "secret0123456789secret0123456789";
        assert_eq!(app("key", secret).check(), Ok(()));
        for (app, wrong) in [
            (app("", secret), "key"),
            (app("a b", secret), "key"),
            (app("key", "short"), "secret"),
            (app("key", &secret.replace('0', ".")), "secret"),
            (AppSettings { id: "a:b".into(), ..app("key", secret) }, "id"),
        ] {
            assert_eq!(app.check().map_err(|(key, _)| key), Err(wrong));
        }
        assert!(!format!("{:?}", app("key", secret)).contains(secret));
    }

    #[test]
    fn groups_and_kinds_are_configured_before_they_are_built_in() {
        let settings = AppSettings {
            groups: [("user".to_owned(), Group::Aggregated)].into(),
            kinds: [("love".to_owned(), Kind::Share), ("superlike".to_owned(), Kind::Like)].into(),
            ..AppSettings::default()
        };
        for (name, group) in
            [("user", Some(Group::Aggregated)), ("notification", Some(Group::Notification)), ("nothing", None)]
        {
            assert_eq!(settings.group(name), group, "{name}");
        }
        for (name, kind) in [
            ("love", Some(Kind::Share)),
            ("superlike", Some(Kind::Like)),
            ("like", Some(Kind::Like)),
            ("comment", Some(Kind::Reply)),
            ("wave", None),
        ] {
            assert_eq!(settings.kind(name), kind, "{name}");
        }
    }
}
