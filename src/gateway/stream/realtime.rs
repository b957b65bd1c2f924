//! Changes of feeds for open subscriptions.
//!
//! Invariant: a change is passed on after it is durable. Deliberately absent: the protocol of subscribers.

use crate::domain::activities::FeedName;

use super::super::apps::StreamApp;
use super::activity::Fields;

/// Passes on new activities of feeds.
pub(crate) fn added(_: &StreamApp, _: &[FeedName], _: &[Fields]) {}

/// Passes on removed activities of a feed.
pub(crate) fn removed(_: &StreamApp, _: &FeedName, _: &[(String, bool)]) {}
