//! Labels and comments of Gorse as attributes of users and items.
//!
//! Invariant: labels that are an object are the attributes themselves, so native attributes are labels, and models read labels
//! as attributes. All else stands below the reserved name [`RESERVED`]. Written labels read back equal. One exception: the label
//! `embedding` of an item is the item's embedding, in single precision.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::protocol::refusal::Refusal;

use super::super::checks;
use super::reply::bad;

/// The member of the attributes that holds comments, and labels that are no object.
pub(super) const RESERVED: &str = "gorse";
/// The label of an item that is its embedding.
const EMBEDDING: &str = "embedding";

/// The data of Gorse in the attributes of one user or item.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Facts {
    /// Labels; null without any.
    pub(super) labels: Value,
    /// Comment of a user; that of an item is its text.
    pub(super) comment: String,
    /// Whether the labels hold the item's embedding.
    pub(super) has_embedding: bool,
}

/// The member [`RESERVED`] of the attributes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Reserved {
    #[serde(skip_serializing_if = "String::is_empty")]
    comment: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    embedding: bool,
    /// Labels that cannot be the attributes themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    labels: Option<Value>,
}

impl Facts {
    /// Reads attributes, whoever wrote them.
    pub(super) fn read(attributes: Option<&str>) -> Facts {
        let read = attributes.and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok());
        let mut map = read.unwrap_or_default();
        let reserved = map.get(RESERVED).and_then(|value| Reserved::deserialize(value).ok());
        if reserved.is_some() {
            map.remove(RESERVED);
        }
        let Reserved { comment, embedding, labels } = reserved.unwrap_or_default();
        let own = || if map.is_empty() { Value::Null } else { Value::Object(map) };
        Facts { labels: labels.unwrap_or_else(own), comment, has_embedding: embedding }
    }

    /// The attributes as JSON; `None` where there are none.
    ///
    /// # Errors
    /// The labels are too long, or a list in them mixes types.
    pub(super) fn write(self) -> Result<Option<String>, Refusal> {
        must_be_homogeneous(&self.labels)?;
        let mut reserved = Reserved { comment: self.comment, embedding: self.has_embedding, labels: None };
        let mut map = match self.labels {
            Value::Null => Map::new(),
            Value::Object(map) if !map.contains_key(RESERVED) && (!map.is_empty() || reserved.embedding) => map,
            labels => {
                reserved.labels = Some(labels);
                Map::new()
            }
        };
        if reserved != Reserved::default() {
            map.insert(RESERVED.to_owned(), serde_json::to_value(reserved).unwrap_or_default());
        }
        if map.is_empty() {
            return Ok(None);
        }
        let too_long = |refusal: Refusal| Refusal { field: Some("Labels".to_owned()), ..refusal };
        checks::attributes(Value::Object(map).to_string()).map(Some).map_err(too_long)
    }

    /// Takes the label `embedding` out of an item's labels, if it is a list of `dim` numbers that can be an embedding.
    pub(super) fn take_embedding(&mut self, dim: usize) -> Option<Vec<f32>> {
        let map = self.labels.as_object_mut()?;
        let list = map.get(EMBEDDING)?.as_array().filter(|list| list.len() == dim)?;
        let numbers: Option<Vec<f32>> = list.iter().map(|number| number.as_f64().map(|number| number as f32)).collect();
        let numbers = numbers.filter(|numbers| checks::embedding(numbers.clone(), dim).is_ok())?;
        map.remove(EMBEDDING);
        self.has_embedding = true;
        Some(numbers)
    }

    /// The labels of an item with this embedding.
    pub(super) fn item_labels(mut self, embedding: &[f32]) -> Value {
        if self.has_embedding {
            // The shortest decimal of each f32, which is the number that a client wrote with up to 6 digits.
            let decimal = |number: &f32| number.to_string().parse::<f64>().map_or(Value::Null, Value::from);
            let list = Value::Array(embedding.iter().map(decimal).collect());
            match &mut self.labels {
                Value::Object(map) => _ = map.insert(EMBEDDING.to_owned(), list),
                labels => *labels = serde_json::json!({EMBEDDING: list}),
            }
        }
        self.labels
    }
}

/// Refuses a list that mixes numbers, texts and other values, as Gorse does.
fn must_be_homogeneous(labels: &Value) -> Result<(), Refusal> {
    match labels {
        Value::Object(map) => map.values().try_for_each(must_be_homogeneous),
        Value::Array(list) => {
            let kind = |value: &Value| std::mem::discriminant(value);
            if list.windows(2).any(|pair| kind(&pair[0]) != kind(&pair[1])) {
                return Err(bad("Labels", "a list must hold values of one type"));
            }
            list.iter().try_for_each(must_be_homogeneous)
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn facts(labels: Value, comment: &str) -> Facts {
        Facts { labels, comment: comment.to_owned(), has_embedding: false }
    }

    #[test]
    fn labels_and_comments_come_back() {
        for labels in [
            json!(null),
            json!({"age": 24, "tags": ["a", "b"], "deep": {"x": [1, 2.5]}}),
            json!({}),
            json!(["a", "b"]),
            json!("text"),
            json!(7),
            json!({"gorse": 1, "x": 2}),
            json!({"gorse": {"comment": "no"}}),
        ] {
            for comment in ["", "a comment"] {
                let written = facts(labels.clone(), comment).write().unwrap();
                assert_eq!(Facts::read(written.as_deref()), facts(labels.clone(), comment), "{written:?}");
            }
        }
        assert_eq!(facts(Value::Null, "").write(), Ok(None));
    }

    #[test]
    fn labels_that_are_an_object_are_the_attributes() {
        assert_eq!(facts(json!({"age": 24}), "").write().unwrap().as_deref(), Some(r#"{"age":24}"#));
        assert_eq!(Facts::read(Some(r#"{"city": "Köln"}"#)), facts(json!({"city": "Köln"}), ""));
        assert_eq!(Facts::read(Some(r#"{"gorse": "mine"}"#)), facts(json!({"gorse": "mine"}), ""));
    }

    #[test]
    fn a_list_of_mixed_types_is_refused() {
        for (labels, good) in [
            (json!(["price", 100]), false),
            (json!({"a": {"b": [1, "x"]}}), false),
            (json!([1, 2.5]), true),
            (json!([]), true),
        ] {
            assert_eq!(facts(labels.clone(), "").write().is_ok(), good, "{labels}");
        }
    }

    #[test]
    fn the_embedding_is_kept_once_and_comes_back() {
        for (labels, taken) in [
            (json!({"embedding": [0.1, 0.2, 0.3]}), true),
            (json!({"embedding": [0.1, 0.2, 0.3], "age": 7}), true),
            (json!({"embedding": [0.1, 0.2]}), false),
            (json!({"embedding": [0, 0, 0]}), false),
            (json!({"embedding": "x"}), false),
            (json!([0.1, 0.2, 0.3]), false),
        ] {
            let mut facts = facts(labels.clone(), "");
            let embedding = facts.take_embedding(3);
            assert_eq!(embedding.is_some(), taken, "{labels}");
            let text = facts.write().unwrap().unwrap_or_default();
            assert!(!taken || !text.contains("0.1"), "{text}");
            let read = Facts::read(Some(&text)).item_labels(&embedding.unwrap_or_default());
            assert_eq!(read, labels);
        }
    }
}
