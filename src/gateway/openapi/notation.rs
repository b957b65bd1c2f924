//! Schemas in the notation of TypeScript: `{id: Key, name?: string, tags: string[]}`.
//!
//! Invariant: a text gives a JSON Schema (draft 2020-12), or a fault that names the place. Deliberately absent: closed
//! objects, since answers may gain fields.
//!
//! | notation | schema |
//! |---|---|
//! | `string`, `integer`, `number`, `boolean`, `null`, `object` | a value of this type |
//! | `any` | any value |
//! | `integer(1..100)`, `string(..64)`, `Key[](..16)` | bounds of a number, of a length, of a list |
//! | `Item` | the component of this name |
//! | `"model"` | this text |
//! | `A \| B` | one of both |
//! | `A[]`, `[A, B]` | a list; a list of this length, whose elements are any of these |
//! | `{a: A, b?: B, *: C}` | an object; `b` may be absent, and all other fields are `C` |

use serde_json::{Map, Number, Value, json};

/// A text that is no schema.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {expected} at {rest:?}")]
pub(super) struct NotationError {
    expected: &'static str,
    rest: String,
}

/// Reads a schema.
///
/// # Errors
/// The place at which the text is no schema.
pub(super) fn schema(text: &str) -> Result<Value, NotationError> {
    let mut reader = Reader { rest: text.trim() };
    let found = reader.union()?;
    if reader.rest.is_empty() { Ok(found) } else { Err(reader.fault("the end")) }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn fault(&self, expected: &'static str) -> NotationError {
        NotationError { expected, rest: self.rest.chars().take(40).collect() }
    }

    /// Takes this text and the blanks behind it, if it comes next.
    fn take(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        if let Some(rest) = rest {
            self.rest = rest.trim_start();
        }
        rest.is_some()
    }

    fn must(&mut self, text: &'static str) -> Result<(), NotationError> {
        if self.take(text) { Ok(()) } else { Err(self.fault(text)) }
    }

    fn word(&mut self) -> &'a str {
        let end = self.rest.find(|c: char| !(c.is_alphanumeric() || c == '_' || c == '-')).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        word
    }

    fn union(&mut self) -> Result<Value, NotationError> {
        let mut all = vec![self.list()?];
        while self.take("|") {
            all.push(self.list()?);
        }
        Ok(united(all))
    }

    fn list(&mut self) -> Result<Value, NotationError> {
        let mut found = self.one()?;
        while self.take("[]") {
            found = json!({"type": "array", "items": found});
            self.bounds(&mut found, "minItems", "maxItems")?;
        }
        Ok(found)
    }

    fn one(&mut self) -> Result<Value, NotationError> {
        if self.take("{") {
            return self.object();
        }
        if self.take("[") {
            let mut all = vec![self.union()?];
            while self.take(",") {
                all.push(self.union()?);
            }
            self.must("]")?;
            let length = all.len();
            all.dedup();
            return Ok(json!({"type": "array", "items": united(all), "minItems": length, "maxItems": length}));
        }
        if self.take("(") {
            let found = self.union()?;
            self.must(")")?;
            return Ok(found);
        }
        if let Some(rest) = self.rest.strip_prefix('"') {
            let (text, rest) = rest.split_once('"').ok_or_else(|| self.fault("a closing quote"))?;
            self.rest = rest.trim_start();
            return Ok(json!({"const": text}));
        }
        self.named()
    }

    fn named(&mut self) -> Result<Value, NotationError> {
        let before = self.rest;
        let word = self.word();
        let mut found = match word {
            "any" => json!({}),
            "string" | "integer" | "number" | "boolean" | "null" | "object" => json!({"type": word}),
            _ if word.starts_with(char::is_uppercase) => json!({"$ref": format!("#/components/schemas/{word}")}),
            _ => {
                self.rest = before;
                return Err(self.fault("a type"));
            }
        };
        match word {
            "string" => self.bounds(&mut found, "minLength", "maxLength")?,
            "integer" | "number" => self.bounds(&mut found, "minimum", "maximum")?,
            _ => {}
        }
        Ok(found)
    }

    /// Reads `(1..100)`, of which each end may be absent.
    fn bounds(&mut self, of: &mut Value, least: &str, most: &str) -> Result<(), NotationError> {
        if !self.take("(") {
            return Ok(());
        }
        let (low, rest) = self.rest.split_once("..").ok_or_else(|| self.fault("two bounds"))?;
        let (high, rest) = rest.split_once(')').ok_or_else(|| self.fault("the end of the bounds"))?;
        for (name, text) in [(least, low.trim()), (most, high.trim())].into_iter().filter(|(_, text)| !text.is_empty())
        {
            let number: Number = text.parse().map_err(|_| self.fault("a number"))?;
            of[name] = number.into();
        }
        self.rest = rest.trim_start();
        Ok(())
    }

    fn object(&mut self) -> Result<Value, NotationError> {
        let (mut properties, mut required) = (Map::new(), Vec::new());
        let mut found = json!({"type": "object"});
        while !self.take("}") {
            if self.take("*") {
                self.must(":")?;
                found["additionalProperties"] = self.union()?;
            } else {
                let name = self.word();
                if name.is_empty() {
                    return Err(self.fault("the name of a field"));
                }
                if !self.take("?") {
                    required.push(name);
                }
                self.must(":")?;
                properties.insert(name.to_owned(), self.union()?);
            }
            if !self.take(",") && !self.rest.starts_with('}') {
                return Err(self.fault("a comma or the end of the object"));
            }
        }
        if !properties.is_empty() {
            found["properties"] = properties.into();
        }
        if !required.is_empty() {
            found["required"] = json!(required);
        }
        Ok(found)
    }
}

/// One schema for values of any of these.
fn united(mut all: Vec<Value>) -> Value {
    if all.len() == 1 {
        return all.remove(0);
    }
    let literals: Option<Vec<&Value>> = all.iter().map(|one| one.get("const")).collect();
    match literals {
        Some(literals) => json!({"type": "string", "enum": literals}),
        None => json!({"anyOf": all}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notation_gives_its_schema() {
        for (text, expected) in [
            ("string", json!({"type": "string"})),
            ("integer(1..100)", json!({"type": "integer", "minimum": 1, "maximum": 100})),
            ("number(..0.5)", json!({"type": "number", "maximum": 0.5})),
            ("Item", json!({"$ref": "#/components/schemas/Item"})),
            ("any[](..3)", json!({"type": "array", "items": {}, "maxItems": 3})),
            (r#""a" | "b""#, json!({"type": "string", "enum": ["a", "b"]})),
            ("integer | null", json!({"anyOf": [{"type": "integer"}, {"type": "null"}]})),
            (
                "{ at: integer, left-out?: (string | null)[], *: any }",
                json!({
                    "type": "object",
                    "properties": {
                        "at": {"type": "integer"},
                        "left-out": {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "null"}]}},
                    },
                    "required": ["at"],
                    "additionalProperties": {},
                }),
            ),
            (
                "[integer, number]",
                json!({
                    "type": "array", "items": {"anyOf": [{"type": "integer"}, {"type": "number"}]},
                    "minItems": 2, "maxItems": 2,
                }),
            ),
        ] {
            assert_eq!(schema(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn a_fault_names_its_place() {
        for (text, expected) in [
            ("strin", "expected a type at \"strin\""),
            ("{a string}", "expected : at \"string}\""),
            ("{a: string b: string}", "expected a comma or the end of the object at \"b: string}\""),
            ("integer(1-3)", "expected two bounds at \"1-3)\""),
            ("string]", "expected the end at \"]\""),
            ("\"a", "expected a closing quote at \"\\\"a\""),
            ("", "expected a type at \"\""),
        ] {
            assert_eq!(schema(text).unwrap_err().to_string(), expected, "{text}");
        }
    }
}
