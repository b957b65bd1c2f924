//! Checks that turn input of a client into values that the actors trust, for the socket and REST alike.
//!
//! Invariant: each range and each reference is checked in one place, and a refusal names the field as the client wrote
//! it. Deliberately absent: parsing JSON, and rights.

use std::collections::BTreeMap;

use crate::actors::people::People;
use crate::actors::server::{Server, UserEvent};
use crate::domain::ids::{ItemId, Key, TopicId, UserId};
use crate::domain::interactions::{Act, Interaction};
use crate::domain::items::{Embedding, Item, TopicsError};
use crate::domain::journal::Undo;
use crate::domain::text;
use crate::domain::time::{Millis, SECOND_MS};
use crate::domain::windows::{Window, WindowError, Windows};
use crate::engine::world::World;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::timestamps;

/// Milliseconds by which the clock of a client may run ahead of the server's.
pub const SLACK_MS: i64 = 5 * SECOND_MS;

/// Largest number of topic weights in one change, which is the largest number that a user has.
pub(crate) const WEIGHTS_MAX: usize = 256;

/// An interaction with an item, as the socket and REST describe it.
#[derive(Clone, Debug, PartialEq)]
pub struct InteractionDraft {
    /// The client's id of the event; the server learns each id of a user once.
    pub id: Key,
    /// The key of the item.
    pub item: Key,
    /// The kind of the interaction, or the inverse of one.
    pub kind: Act,
    /// The dwell time in milliseconds.
    pub dwell_ms: Option<u32>,
    /// The time of the interaction; its arrival by default.
    pub at: Option<Millis>,
}

/// Checks an interaction, so that the actors may learn it.
///
/// # Errors
/// `unknown_item`, `out_of_range` for `at`, or `bad_field` for the dwell time of an inverse.
pub fn interaction(server: &Server, act: InteractionDraft) -> Result<UserEvent, Refusal> {
    let item = item(&server.world(), &act.item, "item")?;
    let InteractionDraft { id, kind, dwell_ms, at, .. } = act;
    // Kept as stated. The actor that learns it cuts a time in the future, by the clock that dates its arrival.
    let at = match at {
        None => Millis::ON_ARRIVAL,
        Some(at) => happened(Some(at), server.clock().now()).map(|_| at)?,
    };
    let kind = match kind {
        Act::Do(kind) => kind,
        Act::Undo(inverse) if dwell_ms.is_some() => {
            let message = format!("{} has no dwell time: leave it out", inverse.name());
            return Err(Refusal::field(Code::BadField, "dwell_ms", message));
        }
        Act::Undo(inverse) => {
            return Ok(UserEvent::Undone { id, of: Undo::Item(item, inverse), cancels: Vec::new(), at });
        }
    };
    Ok(UserEvent::Interacted(Interaction { id, item, kind, dwell_ms, at, shown: None, passed: Vec::new() }))
}

/// `value` when it is within 1 to `max`, `default` when absent.
///
/// # Errors
/// `out_of_range` for `limit`.
pub fn limit(value: Option<u32>, default: u32, max: u32) -> Result<u32, Refusal> {
    let value = value.unwrap_or(default);
    if (1..=max).contains(&value) {
        return Ok(value);
    }
    Err(Refusal::field(Code::OutOfRange, "limit", format!("must be 1 to {max}, is {value}")))
}

/// `value` when it is at most `max`.
///
/// # Errors
/// `out_of_range`.
pub(crate) fn at_most(field: &str, value: u32, max: u32) -> Result<u32, Refusal> {
    if value <= max {
        return Ok(value);
    }
    Err(Refusal::field(Code::OutOfRange, field, format!("must be at most {max}, is {value}")))
}

/// The time of an event, at most `now`; the clock of a client may run ahead by [`SLACK_MS`].
///
/// # Errors
/// `out_of_range` for `at`.
pub fn happened(at: Option<Millis>, now: Millis) -> Result<Millis, Refusal> {
    let Some(at) = at else { return Ok(now) };
    if at > now.plus(SLACK_MS) {
        let message = format!("lies {} ms in the future: leave it out for now", at.since(now));
        return Err(Refusal::field(Code::OutOfRange, "at", message));
    }
    Ok(timestamps::in_range("at", at)?.min(now))
}

/// Finds the item with this key.
///
/// # Errors
/// `unknown_item`.
pub fn item(world: &World, key: &Key, field: &str) -> Result<ItemId, Refusal> {
    world.find_item(key.as_str()).ok_or_else(|| {
        let message = format!("no item {key:?}: create it with PUT /v1/items/{{id}}");
        Refusal::field(Code::UnknownItem, field, message)
    })
}

/// Finds the item with this key, if `owner` made it; without an owner, any item.
///
/// # Errors
/// `unknown_item`, or `forbidden`.
pub(crate) fn own_item(world: &World, key: &Key, owner: Option<UserId>, field: &str) -> Result<ItemId, Refusal> {
    let id = item(world, key, field)?;
    let author = world.item(id).and_then(|item| item.author.as_ref()).map(|author| author.id);
    match owner {
        Some(owner) if author != Some(owner) => {
            Err(Refusal::field(Code::Forbidden, field, "only who made it takes it on air or off; or a service"))
        }
        _ => Ok(id),
    }
}

/// Finds the person with this key.
///
/// # Errors
/// `unknown_user`.
pub fn person(people: &People, key: &Key, field: &str) -> Result<UserId, Refusal> {
    people.find(key.as_str()).ok_or_else(|| {
        let message = format!("no person {key:?}: create them with PUT /v1/users/{{id}}");
        Refusal::field(Code::UnknownUser, field, message)
    })
}

/// The user to follow, who must differ from the follower.
///
/// # Errors
/// `unknown_user`, or `out_of_range` when the follower names themselves.
pub(crate) fn followee(people: &People, who: UserId, whom: &Key, field: &str) -> Result<UserId, Refusal> {
    let found = person(people, whom, field)?;
    if found == who {
        return Err(Refusal::field(Code::OutOfRange, field, "users cannot follow themselves: name another person"));
    }
    Ok(found)
}

/// Checks the text of an item: not blank, of bounded length, printable.
///
/// # Errors
/// `out_of_range` or `bad_field` for `text`.
pub fn text(text: String) -> Result<String, Refusal> {
    if text.trim().is_empty() {
        return Err(Refusal::field(Code::OutOfRange, "text", "must not be blank"));
    }
    if text.len() > Item::TEXT_BYTES_MAX {
        let message = format!("must have at most {} bytes, has {}", Item::TEXT_BYTES_MAX, text.len());
        return Err(Refusal::field(Code::OutOfRange, "text", message));
    }
    text::must_be_storable(&text).map_err(|error| Refusal::field(Code::BadField, "text", error.to_string()))?;
    Ok(text)
}

/// Checks the embedding of an item: its dimension and its numbers.
///
/// # Errors
/// `out_of_range` for `embedding`.
pub fn embedding(numbers: Vec<f32>, dim: usize) -> Result<Embedding, Refusal> {
    Embedding::new(numbers, dim).map_err(|error| Refusal::field(Code::OutOfRange, "embedding", error.to_string()))
}

/// Checks the topics of one item.
///
/// # Errors
/// `out_of_range` for `topics`.
pub fn item_topics(topics: Vec<Key>) -> Result<Vec<Key>, Refusal> {
    let blamed = |error: &TopicsError| match error {
        TopicsError::TooMany(_) => "topics".to_owned(),
        TopicsError::Twice { index, .. } => format!("topics[{index}]"),
    };
    Item::check_topics(&topics).map_err(|error| Refusal::field(Code::OutOfRange, blamed(&error), error.to_string()))?;
    Ok(topics)
}

/// Checks the availability windows of one item.
///
/// # Errors
/// `conflict` naming the two windows that clash, or `out_of_range`.
pub fn windows(list: Vec<Window>) -> Result<Windows, Refusal> {
    for (index, window) in list.iter().enumerate() {
        timestamps::in_range(&format!("windows[{index}].start"), window.start)?;
        if let Some(stop) = window.stop {
            timestamps::in_range(&format!("windows[{index}].stop"), stop)?;
        }
    }
    Windows::new(list).map_err(|error| {
        let (code, field) = match &error {
            WindowError::Overlap { .. } => (Code::Conflict, "windows".to_owned()),
            WindowError::Empty { index } => (Code::OutOfRange, format!("windows[{index}]")),
            WindowError::TooMany(_) => (Code::OutOfRange, "windows".to_owned()),
        };
        Refusal::field(code, field, error.to_string())
    })
}

/// Checks topic weights that a user sets by hand.
///
/// # Errors
/// `out_of_range` for `topics.<name>`: an unknown topic, or a weight outside of [0, 1].
pub(crate) fn topic_weights(world: &World, weights: &BTreeMap<Key, f32>) -> Result<Vec<(TopicId, f32)>, Refusal> {
    if weights.len() > WEIGHTS_MAX {
        let message = format!("must be at most {WEIGHTS_MAX} topics, are {}", weights.len());
        return Err(Refusal::field(Code::OutOfRange, "topics", message));
    }
    weights
        .iter()
        .map(|(key, &amount)| {
            let topic = world.find_topic(key.as_str()).ok_or_else(|| {
                let message = format!("no item is about {key:?}");
                Refusal::field(Code::OutOfRange, format!("topics.{key}"), message)
            })?;
            Ok((topic, weight(key, amount)?))
        })
        .collect()
}

fn weight(key: &Key, amount: f32) -> Result<f32, Refusal> {
    // Normalizes -0, and numbers too small for a float, to 0.
    let amount = if amount.is_subnormal() || amount == 0.0 { 0.0 } else { amount };
    if (0.0..=1.0).contains(&amount) {
        return Ok(amount);
    }
    let message = format!("must be between 0 and 1, is {amount}");
    Err(Refusal::field(Code::OutOfRange, format!("topics.{key}"), message))
}

/// Attributes of a user or an item: a JSON object of at most 16 KiB without NUL.
///
/// # Errors
/// `out_of_range` or `bad_field` for `attributes`.
pub fn attributes(text: String) -> Result<String, Refusal> {
    if text.len() > text::ATTRIBUTES_BYTES_MAX {
        let message = format!("must have at most {} bytes, has {}", text::ATTRIBUTES_BYTES_MAX, text.len());
        return Err(Refusal::field(Code::OutOfRange, "attributes", message));
    }
    let refused = |error: text::HasNul| Refusal::field(Code::BadField, "attributes", error.to_string());
    text::json_must_be_storable(&text).map_err(refused)?;
    Ok(text)
}

/// A value that has a name and an earlier name. Both may be given, with equal values.
///
/// # Errors
/// `bad_field` on the name when the values differ.
pub fn renamed<T: PartialEq>(
    (name, value): (&str, Option<T>),
    (earlier, of_earlier): (&str, Option<T>),
) -> Result<Option<T>, Refusal> {
    if value.is_some() && of_earlier.is_some() && value != of_earlier {
        let message = format!("differs from `{earlier}`, its earlier name: send `{name}` alone");
        return Err(Refusal::field(Code::BadField, name, message));
    }
    Ok(value.or(of_earlier))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blamed<T>(result: Result<T, Refusal>) -> Option<(Code, String)> {
        result.err().map(|refusal| (refusal.code, refusal.field.unwrap_or_default()))
    }

    #[test]
    fn a_limit_has_two_ends() {
        for (value, expected) in [(None, Ok(30)), (Some(1), Ok(1)), (Some(100), Ok(100))] {
            assert_eq!(limit(value, 30, 100), expected);
        }
        for value in [0, 101, u32::MAX] {
            assert_eq!(blamed(limit(Some(value), 30, 100)), Some((Code::OutOfRange, "limit".into())), "{value}");
        }
        assert_eq!(at_most("after", 1_000, 1_000), Ok(1_000));
        assert!(at_most("after", 1_001, 1_000).is_err());
    }

    #[test]
    fn nothing_happens_in_the_future() {
        let now = Millis(1_000_000);
        for (name, at, expected) in [
            ("absent is now", None, Some(now)),
            ("past", Some(Millis(5)), Some(Millis(5))),
            ("within the slack is now", Some(Millis(1_005_000)), Some(now)),
            ("beyond the slack", Some(Millis(1_005_001)), None),
            ("largest", Some(Millis(i64::MAX)), None),
            ("year 1", Some(Millis::MIN), Some(Millis::MIN)),
            ("before year 1", Some(Millis(Millis::MIN.0 - 1)), None),
        ] {
            assert_eq!(happened(at, now).ok(), expected, "{name}");
        }
    }

    #[test]
    fn texts_can_be_read() {
        for (name, given, good) in [
            ("one letter", "a".to_owned(), true),
            ("longest", "x".repeat(32_768), true),
            ("one too many", "x".repeat(32_769), false),
            ("empty", String::new(), false),
            ("blank", " \n\u{3000}".into(), false),
            ("nul", "a\0".into(), false),
        ] {
            assert_eq!(text(given).is_ok(), good, "{name}");
        }
    }

    #[test]
    fn windows_name_what_is_wrong() {
        let window = |start, stop| Window { start: Millis(start), stop: Some(Millis(stop)) };
        assert_eq!(blamed(windows(vec![window(1, 3), window(2, 4)])), Some((Code::Conflict, "windows".into())));
        assert_eq!(blamed(windows(vec![window(1, 2), window(2, 2)])), Some((Code::OutOfRange, "windows[1]".into())));
        assert_eq!(blamed(windows(vec![window(i64::MIN, 2)])), Some((Code::OutOfRange, "windows[0].start".into())));
        assert!(windows(vec![]).is_ok());
    }

    #[test]
    fn weights_and_topics_are_bounded() {
        let key = |text: &str| Key::new(text).unwrap();
        for zero in [-0.0_f32, -1e-46_f64 as f32, 1e-40, -1e-40] {
            let read = weight(&key("sea"), zero).unwrap();
            assert!(read == 0.0 && read.is_sign_positive(), "{zero}");
        }
        for (amount, good) in [(0.0, true), (1.0, true), (-0.1, false), (1.1, false), (f32::NAN, false)] {
            assert_eq!(weight(&key("sea"), amount).is_ok(), good, "{amount}");
        }
        assert_eq!(
            blamed(item_topics(vec![key("a"), key("b"), key("a")])),
            Some((Code::OutOfRange, "topics[2]".into()))
        );
        assert!(item_topics((0..17).map(|n| key(&n.to_string())).collect()).is_err());
    }
}
