//! Requests and answers in the form of Gorse: the key in `X-API-Key`, errors as plain text, success always 200.
//!
//! Invariant: a handler gets a [`GorseRequest`] only for a caller with the rights of a service. Deliberately absent: the
//! meaning of users, items and feedback.

use std::fmt;
use std::future::{Ready, ready};
use std::ops::Deref;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError, web};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::actors::errors::RequestError;
use crate::domain::ids::{ItemId, Key, UserId};
use crate::domain::time::Millis;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::super::body;
use super::super::busy;
use super::super::errors::{self, Problem};
use super::super::request::AuthedRequest;
use super::super::timestamps;

/// Rows of a page by default, as in Gorse.
const ROWS_DEFAULT: usize = 10;
/// Largest number of rows in an answer; a larger `n` counts as this one.
pub(super) const ROWS_MAX: usize = 1_000;
/// Objects in one body at most.
const PARTS_MAX: usize = 100_000;
// Tries of a call while the server is busy; after these the client sets the pace.
const TRIES: u32 = 10;
const PAUSE_MS_MAX: u32 = 2_000;

/// An error as Gorse clients read it: a status with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GorseError(Refusal);

/// The result of a handler.
pub(super) type GorseResult = Result<HttpResponse, GorseError>;

impl GorseError {
    fn status(&self) -> StatusCode {
        match self.0.code {
            // Gorse has one status for all faults of a request's contents.
            Code::OutOfRange => StatusCode::BAD_REQUEST,
            code => errors::status(code),
        }
    }
}

impl From<Refusal> for GorseError {
    fn from(refusal: Refusal) -> Self {
        GorseError(refusal.bounded())
    }
}

impl From<RequestError> for GorseError {
    fn from(error: RequestError) -> Self {
        busy::refusal(error).into()
    }
}

impl From<Problem> for GorseError {
    fn from(problem: Problem) -> Self {
        GorseError(problem.refusal().clone())
    }
}

impl fmt::Display for GorseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Refusal { code, field, message, .. } = &self.0;
        match (code, field) {
            (Code::Unauthorized, _) => f.write_str("unauthorized"),
            // The message names the user or item already.
            (Code::UnknownUser | Code::UnknownItem, _) | (_, None) => f.write_str(message),
            (_, Some(field)) => write!(f, "{field}: {message}"),
        }
    }
}

impl ResponseError for GorseError {
    fn status_code(&self) -> StatusCode {
        self.status()
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status());
        response.content_type("text/plain; charset=utf-8").insert_header((header::CACHE_CONTROL, "no-store"));
        if let Some(pause) = self.0.retry_after_ms {
            response.insert_header((header::RETRY_AFTER, pause.div_ceil(1_000).max(1)));
        }
        response.body(self.to_string())
    }
}

/// The refusal of a user that does not exist.
pub(super) fn no_user(key: &Key) -> Refusal {
    Refusal::new(Code::UnknownUser, format!("user {key} not found"))
}

/// The refusal of an item that does not exist.
pub(super) fn no_item(key: &Key) -> Refusal {
    Refusal::new(Code::UnknownItem, format!("item {key} not found"))
}

/// The refusal of a field of the body or the query.
pub(super) fn bad(field: &str, message: impl Into<String>) -> Refusal {
    Refusal::field(Code::BadField, field, message)
}

/// A request of a caller with the rights of a service.
#[derive(Clone)]
pub struct GorseRequest(AuthedRequest);

impl FromRequest for GorseRequest {
    type Error = GorseError;
    type Future = Ready<Result<GorseRequest, GorseError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let authed = AuthedRequest::from_request(request, payload).into_inner().map_err(GorseError::from);
        ready(authed.and_then(|authed| {
            authed.subject().must_be_service()?;
            Ok(GorseRequest(authed))
        }))
    }
}

impl Deref for GorseRequest {
    type Target = AuthedRequest;
    fn deref(&self) -> &AuthedRequest {
        &self.0
    }
}

impl GorseRequest {
    /// The user in the path.
    pub(super) fn user(&self, name: &str) -> Result<UserId, Refusal> {
        let key = self.key(name)?;
        self.server().people().find(key.as_str()).ok_or_else(|| no_user(&key))
    }

    /// The item in the path.
    pub(super) fn known_item(&self, name: &str) -> Result<ItemId, Refusal> {
        let key = self.key(name)?;
        self.server().world().find_item(key.as_str()).ok_or_else(|| no_item(&key))
    }

    /// The parameters of the query.
    pub(super) fn page(&self) -> Result<Page, Refusal> {
        Page::read(self.query_string())
    }

    /// Reads a body that is one object.
    pub(super) async fn object<T>(&self, payload: web::Payload) -> Result<T, Refusal>
    where
        T: DeserializeOwned + Send + 'static,
    {
        body::json(self.incoming(), payload).await
    }

    /// Reads a body that is a list, or one object as a list of one.
    pub(super) async fn list<T>(&self, payload: web::Payload) -> Result<Vec<T>, Refusal>
    where
        T: DeserializeOwned + Send + 'static,
    {
        let body = body::json_batch(self.incoming(), payload).await?;
        let list = body::parse_aside(&body, |bytes| match body::is_array(bytes) {
            true => body::parse::<Vec<T>>(bytes),
            false => body::parse(bytes).map(|one| vec![one]),
        });
        let list = list.await?;
        if list.len() > PARTS_MAX {
            let message = format!("must have at most {PARTS_MAX} objects, has {}: send it in parts", list.len());
            return Err(Refusal::new(Code::TooLarge, message));
        }
        Ok(list)
    }
}

/// Parameters that many routes share. Unknown ones are ignored, as Gorse does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Page {
    pairs: Vec<(String, String)>,
    /// Number of rows.
    pub(super) n: usize,
    /// Rows to skip.
    pub(super) offset: usize,
}

impl Page {
    fn read(query: &str) -> Result<Page, Refusal> {
        let pairs = web::Query::<Vec<(String, String)>>::from_query(query)
            .map_err(|error| Refusal::new(Code::BadField, format!("the query is not readable: {error}")))?
            .into_inner();
        let mut page = Page { pairs, n: 0, offset: 0 };
        page.n = page.number("n", ROWS_DEFAULT)?.clamp(1, ROWS_MAX);
        page.offset = page.number("offset", 0)?.min(u32::MAX as usize);
        Ok(page)
    }

    fn number(&self, name: &str, default: usize) -> Result<usize, Refusal> {
        let Some(text) = self.text(name) else { return Ok(default) };
        text.parse().map_err(|_| bad(name, format!("must be a whole number, is {text:?}")))
    }

    /// The value of a parameter; `None` where it is empty.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        let found = self.pairs.iter().find(|(found, value)| found == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    /// All values of a repeatable parameter that are not empty.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let named = self.pairs.iter().filter(move |(found, value)| found == name && !value.is_empty());
        named.map(|(_, value)| value.as_str())
    }

    /// The text in the cursor, which some clients write as `Cursor`.
    pub(super) fn cursor(&self) -> Result<Option<String>, Refusal> {
        let Some(text) = self.text("cursor").or_else(|| self.text("Cursor")) else { return Ok(None) };
        let decoded = BASE64_URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        decoded.map(Some).ok_or_else(|| bad("cursor", "is not one of this server: send back the last `Cursor`"))
    }
}

/// A cursor that holds a text; empty for `None`, the end of the list.
pub(super) fn cursor(text: Option<&str>) -> String {
    text.map(|text| BASE64_URL_SAFE_NO_PAD.encode(text)).unwrap_or_default()
}

/// An id with the score that orders its list.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Score {
    pub(super) id: Key,
    pub(super) score: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Success {
    row_affected: usize,
}

/// Answers with JSON.
pub(super) fn found(body: &impl Serialize) -> GorseResult {
    Ok(HttpResponse::Ok().insert_header((header::CACHE_CONTROL, "no-store")).json(body))
}

/// Answers a change with the number of its rows.
pub(super) fn affected(row_affected: usize) -> GorseResult {
    found(&Success { row_affected })
}

/// Repeats a call while the server is busy, so that a bulk load runs at the server's pace.
pub(super) async fn patiently<T, F>(mut call: impl FnMut() -> F) -> Result<T, Refusal>
where
    F: Future<Output = Result<T, RequestError>>,
{
    for _ in 1..TRIES {
        match call().await.map_err(busy::refusal) {
            Err(Refusal { code: Code::Busy | Code::RateLimited, retry_after_ms, .. }) => {
                let pause = retry_after_ms.unwrap_or(100).clamp(10, PAUSE_MS_MAX);
                tokio::time::sleep(Duration::from_millis(u64::from(pause))).await;
            }
            answered => return answered,
        }
    }
    call().await.map_err(busy::refusal)
}

/// Reads a field that may be null, which Gorse takes for absent.
pub(super) fn or_null<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads an instant: RFC 3339 and its variants, a date alone, or a number. `None` for an empty text.
pub(super) fn instant(text: &str) -> Result<Option<Millis>, Refusal> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(None);
    }
    let day = || timestamps::parse("Timestamp", &format!("{text}T00:00:00Z")).ok();
    timestamps::parse("Timestamp", text).or_else(|refusal| day().ok_or(refusal)).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_is_read_leniently() {
        let page = Page::read("").unwrap();
        assert_eq!((page.n, page.offset, page.cursor().unwrap()), (10, 0, None));
        let page = Page::read("n=5000&offset=3&cursor=&x=1&category=a&category=b&q=").unwrap();
        assert_eq!((page.n, page.offset, page.text("q")), (ROWS_MAX, 3, None));
        assert_eq!(page.all("category").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(Page::read("n=0").unwrap().n, 1);
        assert!(Page::read("n=-1").is_err() && Page::read("offset=x").is_err());
    }

    #[test]
    fn a_cursor_comes_back_under_either_name() {
        let sent = cursor(Some("käse/1"));
        for name in ["cursor", "Cursor"] {
            let page = Page::read(&format!("{name}={sent}")).unwrap();
            assert_eq!(page.cursor().unwrap().as_deref(), Some("käse/1"), "{name}");
        }
        assert!(Page::read("cursor=%20").unwrap().cursor().is_err());
        assert_eq!(cursor(None), "");
    }

    #[test]
    fn instants_are_read_leniently() {
        for (text, expected) in [
            ("", None),
            ("1995-01-01T00:00:00Z", Some(788_918_400_000)),
            ("1995-01-01", Some(788_918_400_000)),
            ("1995-01-01 00:00:00", Some(788_918_400_000)),
            ("0001-01-01T00:00:00Z", Some(Millis::MIN.0)),
        ] {
            assert_eq!(instant(text).unwrap().map(|at| at.0), expected, "{text}");
        }
        assert!(instant("soon").is_err());
    }

    #[test]
    fn errors_are_plain_texts_with_the_statuses_of_gorse() {
        let key = Key::new("1000").unwrap();
        for (refusal, status, text) in [
            (no_user(&key), 404, "user 1000 not found"),
            (no_item(&key), 404, "item 1000 not found"),
            (Refusal::new(Code::Unauthorized, "a token is needed"), 401, "unauthorized"),
            (bad("n", "must be a whole number"), 400, "n: must be a whole number"),
            (Refusal::field(Code::OutOfRange, "Labels", "is too long"), 400, "Labels: is too long"),
            (Refusal::new(Code::RateLimited, "slower"), 429, "slower"),
        ] {
            let error = GorseError::from(refusal);
            assert_eq!((error.status().as_u16(), error.to_string().as_str()), (status, text));
        }
    }
}
