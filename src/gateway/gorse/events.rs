//! Feedback as the ids of interactions, and expressions over feedback.
//!
//! Invariant: the id of an interaction that came as feedback holds its type and value, so that no other record of them exists. An
//! interaction that came otherwise has its kind as type and the value 1. Deliberately absent: comments and labels of feedback,
//! which the server does not keep.

use crate::domain::ids::Key;
use crate::domain::interactions::Kind;
use crate::protocol::refusal::Refusal;

use super::super::event_ids;
use super::reply::bad;

/// Start of an id that holds feedback.
const PREFIX: &str = "gorse/";
/// Bytes of a feedback type at most.
const TYPE_BYTES_MAX: usize = 128;

/// Checks the type of a feedback.
///
/// # Errors
/// It is empty, too long, or has control characters.
pub(super) fn checked_type(text: &str) -> Result<Key, Refusal> {
    let key = Key::new(text).map_err(|error| bad("FeedbackType", error.to_string()))?;
    if text.len() > TYPE_BYTES_MAX {
        return Err(bad("FeedbackType", format!("must have at most {TYPE_BYTES_MAX} bytes, has {}", text.len())));
    }
    Ok(key)
}

/// An id for one feedback of a checked type; no other event has it.
///
/// # Errors
/// The value is not finite.
pub(super) fn id_of(feedback_type: &Key, value: f64) -> Result<Key, Refusal> {
    if !value.is_finite() {
        return Err(bad("Value", "must be a finite number"));
    }
    // The type stands last, since it may contain a slash.
    let text = format!("{PREFIX}{value:e}/{}/{feedback_type}", event_ids::fresh());
    Key::new(&text).map_err(|error| bad("FeedbackType", error.to_string()))
}

/// Type and value of an interaction with this id and kind.
pub(super) fn read(id: &Key, kind: Kind) -> (&str, f64) {
    let parts = id.as_str().strip_prefix(PREFIX).map(|rest| rest.splitn(3, '/'));
    let feedback = parts.and_then(|mut parts| {
        let value: f64 = parts.next()?.parse().ok().filter(|value: &f64| value.is_finite())?;
        parts.next()?;
        Some((parts.next().filter(|name| !name.is_empty())?, value))
    });
    feedback.unwrap_or((kind.name(), 1.0))
}

/// A type of feedback, with or without a bound on its value, as in `rating>=4`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Expression {
    name: String,
    bound: Option<(Comparison, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    AtLeast,
    AtMost,
    Above,
    Below,
    Equal,
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// The bound is no number, or the type is no type.
    pub(super) fn parse(text: &str) -> Result<Expression, Refusal> {
        let Some(at) = text.find(['<', '>', '=']) else {
            return Ok(Expression { name: checked_type(text)?.as_str().to_owned(), bound: None });
        };
        let (name, bound) = text.split_at(at);
        let signs = [
            (">=", Comparison::AtLeast),
            ("<=", Comparison::AtMost),
            ("==", Comparison::Equal),
            (">", Comparison::Above),
            ("<", Comparison::Below),
            ("=", Comparison::Equal),
        ];
        let read = signs.iter().find_map(|(sign, comparison)| Some((*comparison, bound.strip_prefix(sign)?.trim())));
        let number = read.and_then(|(comparison, text)| Some((comparison, text.parse::<f64>().ok()?)));
        let bound = number.filter(|(_, number)| number.is_finite());
        let bound = bound.ok_or_else(|| bad("type", format!("{text:?} must be as in rating>=4")))?;
        Ok(Expression { name: checked_type(name.trim())?.as_str().to_owned(), bound: Some(bound) })
    }

    /// Whether feedback of this type belongs to the expression, whatever its value.
    pub(super) fn names(&self, feedback_type: &str) -> bool {
        self.name == feedback_type
    }

    /// Whether a value lies within the bound.
    pub(super) fn allows(&self, value: f64) -> bool {
        self.bound.is_none_or(|(comparison, bound)| match comparison {
            Comparison::AtLeast => value >= bound,
            Comparison::AtMost => value <= bound,
            Comparison::Above => value > bound,
            Comparison::Below => value < bound,
            Comparison::Equal => value == bound,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_interaction_that_came_otherwise_has_its_kind_as_type() {
        for id in ["e1", "gorse/", "gorse/x/y/z", "gorse/1e0/abc", "gorse/1e0/abc/", "gorse/inf/abc/t"] {
            assert_eq!(read(&Key::new(id).unwrap(), Kind::Like), ("like", 1.0), "{id}");
        }
    }

    #[test]
    fn types_and_values_are_bounded() {
        let key = |text: &str| checked_type(text);
        assert!(key("").is_err() && key("a\n").is_err() && key(&"x".repeat(129)).is_err());
        let longest = key(&"x".repeat(128)).unwrap();
        for value in [f64::MAX, f64::MIN, f64::MIN_POSITIVE, -1.234_567_890_123_456_7e-300] {
            assert_eq!(read(&id_of(&longest, value).unwrap(), Kind::Like).1, value);
        }
        assert!(id_of(&longest, f64::NAN).is_err() && id_of(&longest, f64::INFINITY).is_err());
    }

    #[test]
    fn an_expression_has_a_type_and_may_have_a_bound() {
        for (text, name, inside, outside) in [
            ("rating>=4", "rating", Some(4.0), Some(3.9)),
            ("rating<=4", "rating", Some(4.0), Some(4.1)),
            ("rating>4", "rating", Some(4.1), Some(4.0)),
            ("rating < 4", "rating", Some(3.9), Some(4.0)),
            ("rating=4", "rating", Some(4.0), Some(4.1)),
            ("rating", "rating", Some(-9.0), None),
        ] {
            let found = Expression::parse(text).unwrap();
            assert!(found.names(name) && !found.names("rate"), "{text}");
            assert!(inside.is_none_or(|value| found.allows(value)), "{text}");
            assert!(outside.is_none_or(|value| !found.allows(value)), "{text}");
        }
        for text in ["", ">=4", "rating>=", "rating>=x", "rating=>4", "rating>=inf"] {
            assert!(Expression::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn type_and_value_come_back_from_an_id(name in "[a-zA-Z0-9/_. -]{1,128}", value in -1e12..1e12_f64) {
            prop_assume!(!name.split('/').any(|part| matches!(part, "." | "..")));
            let id = id_of(&checked_type(&name).unwrap(), value).unwrap();
            prop_assert_eq!(read(&id, Kind::Click), (name.as_str(), value));
        }
    }
}
