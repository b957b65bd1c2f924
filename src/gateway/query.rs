//! The query string of a request.
//!
//! Invariant: the reader refuses an unknown, repeated or unreadable parameter by its name. It ignores only names that begin
//! with `_`, which caches and proxies add.

use actix_web::HttpRequest;
use actix_web::web;

use crate::domain::feeds::Ranking;
use crate::domain::ids::Key;
use crate::domain::time::Millis;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::{checks, timestamps};

/// Parameters with checked names and raw values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Reads the query string, which may contain only `known` parameters.
    ///
    /// # Errors
    /// `bad_field` with the parameter's name.
    pub fn read(request: &HttpRequest, known: &[&str]) -> Result<Query, Refusal> {
        let pairs = web::Query::<Vec<(String, String)>>::from_query(request.query_string())
            .map_err(|error| Refusal::new(Code::BadField, format!("the query is not readable: {error}")))?
            .into_inner();
        for (index, (name, _)) in pairs.iter().enumerate().filter(|(_, (name, _))| !name.starts_with('_')) {
            if !known.contains(&name.as_str()) {
                let message = format!("unknown parameter; known: {}", known.join(", "));
                return Err(Refusal::field(Code::BadField, name, message));
            }
            if pairs[..index].iter().any(|(earlier, _)| earlier == name) {
                return Err(Refusal::field(Code::BadField, name, "is there twice: give it once"));
            }
        }
        Ok(Query(pairs))
    }

    /// The raw value of a parameter.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    /// The value of a parameter as a key, if present.
    ///
    /// # Errors
    /// `bad_field`.
    pub fn key(&self, name: &str) -> Result<Option<Key>, Refusal> {
        let read = |text| Key::new(text).map_err(|error| Refusal::field(Code::BadField, name, error.to_string()));
        self.text(name).map(read).transpose()
    }

    /// The value of a parameter as a whole number, if present.
    ///
    /// # Errors
    /// `bad_field`.
    pub fn number(&self, name: &str) -> Result<Option<u32>, Refusal> {
        let read = |text: &str| {
            // Too many digits are a number out of range, not a malformed word.
            let all_digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            let code = if all_digits { Code::OutOfRange } else { Code::BadField };
            text.parse().map_err(|_| Refusal::field(code, name, format!("must be a whole number, is {text:?}")))
        };
        self.text(name).map(read).transpose()
    }

    /// `limit`, from 1 to `max`.
    ///
    /// # Errors
    /// `bad_field` or `out_of_range`.
    pub fn limit(&self, default: u32, max: u32) -> Result<u32, Refusal> {
        checks::limit(self.number("limit")?, default, max)
    }

    /// The value of a parameter as an instant, if present.
    ///
    /// # Errors
    /// `bad_field` or `out_of_range`.
    pub fn time(&self, name: &str) -> Result<Option<Millis>, Refusal> {
        self.text(name).map(|text| timestamps::parse(name, text)).transpose()
    }

    /// `ranking`, by default the learned one.
    ///
    /// # Errors
    /// `bad_field`.
    pub fn ranking(&self) -> Result<Ranking, Refusal> {
        let Some(text) = self.text("ranking") else { return Ok(Ranking::default()) };
        Ranking::ALL.into_iter().find(|ranking| ranking.name() == text).ok_or_else(|| {
            let names = Ranking::ALL.map(Ranking::name).join(", ");
            Refusal::field(Code::BadField, "ranking", format!("must be one of {names}, is {text:?}"))
        })
    }

    /// The value of a parameter that takes one of a few words, if present.
    ///
    /// # Errors
    /// `bad_field`.
    pub fn one_of(&self, name: &str, words: &[&'static str]) -> Result<Option<&'static str>, Refusal> {
        let Some(text) = self.text(name) else { return Ok(None) };
        let refusal = || Refusal::field(Code::BadField, name, format!("must be {}, is {text:?}", words.join(" or ")));
        words.iter().find(|word| **word == text).copied().map(Some).ok_or_else(refusal)
    }

    /// The value of a parameter as a flag, false by default.
    ///
    /// # Errors
    /// `bad_field`.
    pub fn flag(&self, name: &str) -> Result<bool, Refusal> {
        match self.text(name) {
            None | Some("false" | "0") => Ok(false),
            Some("true" | "1" | "") => Ok(true),
            Some(other) => Err(Refusal::field(Code::BadField, name, format!("must be true or false, is {other:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    fn read(query: &str) -> Result<Query, Refusal> {
        let request = TestRequest::with_uri(&format!("/?{query}")).to_http_request();
        Query::read(&request, &["limit", "ranking", "explain", "time", "id"])
    }

    fn blamed<T>(result: Result<T, Refusal>) -> Option<(Code, Option<String>)> {
        result.err().map(|refusal| (refusal.code, refusal.field))
    }

    #[test]
    fn parameters_are_refused_by_name() {
        let field = |code, name: &str| Some((code, Some(name.to_owned())));
        assert_eq!(blamed(read("lmit=3")), field(Code::BadField, "lmit"));
        assert_eq!(blamed(read("limit=3&limit=4")), field(Code::BadField, "limit"));
        assert_eq!(blamed(read("_=1&_cache=2&_=3")), None);
        for (query, code) in [
            ("limit=0", Code::OutOfRange),
            ("limit=101", Code::OutOfRange),
            ("limit=99999999999", Code::OutOfRange),
            ("limit=-1", Code::BadField),
            ("limit=ten", Code::BadField),
            ("limit=", Code::BadField),
        ] {
            assert_eq!(blamed(read(query).and_then(|q| q.limit(30, 100))), field(code, "limit"), "{query}");
        }
        assert_eq!(blamed(read("ranking=best").and_then(|q| q.ranking())), field(Code::BadField, "ranking"));
        assert_eq!(blamed(read("explain=yes").and_then(|q| q.flag("explain"))), field(Code::BadField, "explain"));
        assert_eq!(blamed(read("id=%00").and_then(|q| q.key("id"))), field(Code::BadField, "id"));
        assert_eq!(blamed(read("time=soon").and_then(|q| q.time("time"))), field(Code::BadField, "time"));
    }

    #[test]
    fn parameters_are_read_and_have_defaults() {
        let none = read("");
        assert_eq!(none.clone().and_then(|q| q.limit(30, 100)), Ok(30));
        assert_eq!(none.clone().and_then(|q| q.ranking()), Ok(Ranking::Model));
        assert_eq!(none.and_then(|q| q.flag("explain")), Ok(false));
        let some = read("limit=7&ranking=flat&explain=true&time=2024-03-15+12:30:45&id=a%20b");
        assert_eq!(some.clone().and_then(|q| q.limit(30, 100)), Ok(7));
        assert_eq!(some.clone().and_then(|q| q.ranking()), Ok(Ranking::Flat));
        assert_eq!(some.clone().and_then(|q| q.flag("explain")), Ok(true));
        assert_eq!(some.clone().and_then(|q| q.time("time")), Ok(Some(Millis(1_710_505_845_000))));
        assert_eq!(some.map(|q| q.text("id").map(str::to_owned)), Ok(Some("a b".to_owned())));
    }
}
