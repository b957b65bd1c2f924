//! Request bodies, read within bounds of size and time.
//!
//! Invariant: bodies of all requests together stay within one budget, and each body within the limit of its route. The
//! reader gives up a body that is slower than [`LEAST_RATE`], so that no sender holds a share of the budget for long.
//! It refuses a key that occurs twice in an object, at any depth. Deliberately absent: compressed bodies, which could
//! grow without warning.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use actix_web::error::PayloadError;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::Bytes;
use futures_util::{Stream, StreamExt};
use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::actors::models::CHECKPOINT_BYTES_MAX;
use crate::protocol::client::parse_json;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::budget::{Budgets, Holder, Permit};
use super::errors::refusal_of;

/// The longest body of one object, and the longest part of a batch, in bytes.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// The longest body of a batch in bytes.
pub const BATCH_BYTES_MAX: usize = 32 * 1024 * 1024;

/// Time before the rate of a body counts.
pub const GRACE: Duration = Duration::from_secs(10);
/// The lowest average rate of a body after [`GRACE`], in bytes per second.
pub const LEAST_RATE: u32 = 8 * 1024;
/// The longest time for a whole body.
pub(crate) const WHOLE_WITHIN: Duration = Duration::from_secs(120);

// The first buffer for a body of unknown length; it doubles from there.
const FIRST_BYTES: usize = 4 * 1024;
// Blocking threads parse larger bodies, so that web workers stay free.
const PARSED_INLINE_MAX: usize = 32 * 1024;
// The number of large bodies that are parsed at once.
static PARSERS: Semaphore = Semaphore::const_new(2);

const JSON: &str = "application/json";
const BYTES: &str = "application/octet-stream";

/// The headers of a body, and the budgets and holder that it counts for.
#[derive(Clone, Copy)]
pub struct IncomingBody<'a> {
    /// Headers of the request.
    pub headers: &'a HeaderMap,
    /// Budgets of the server.
    pub budgets: &'a Budgets,
    /// The holder that the body counts for.
    pub holder: Holder,
}

/// A body in memory; its bytes count in the budget while it lives.
pub struct Body {
    bytes: Bytes,
    permit: Permit,
}

impl std::ops::Deref for Body {
    type Target = Bytes;
    fn deref(&self) -> &Bytes {
        &self.bytes
    }
}

impl Body {
    /// Returns the bytes, and the permit that must be kept as long as the bytes.
    #[must_use]
    pub(crate) fn into_parts(self) -> (Bytes, Permit) {
        (self.bytes, self.permit)
    }
}

/// Reads a JSON body that is one object.
///
/// # Errors
/// `unsupported_media`, `too_large`, `busy`, `bad_json`, or `bad_field` with the field's name.
pub async fn json<T: DeserializeOwned + Send + 'static>(
    incoming: IncomingBody<'_>,
    payload: impl Stream<Item = Result<Bytes, PayloadError>>,
) -> Result<T, Refusal> {
    must_be_json(incoming.headers)?;
    let body = read(incoming, payload, BODY_BYTES_MAX).await?;
    parse_aside(&body, |bytes| parse_object(bytes)).await
}

/// Reads a JSON body that is a list.
///
/// # Errors
/// As [`json`].
pub(crate) async fn json_list<T: DeserializeOwned + Send + 'static>(
    incoming: IncomingBody<'_>,
    payload: impl Stream<Item = Result<Bytes, PayloadError>>,
) -> Result<Vec<T>, Refusal> {
    must_be_json(incoming.headers)?;
    let body = read(incoming, payload, BODY_BYTES_MAX).await?;
    parse_aside(&body, |bytes| parse(bytes)).await
}

/// Reads a JSON object, or the default for an empty body.
///
/// # Errors
/// As [`json`].
pub(crate) async fn json_or_nothing<T: DeserializeOwned + Default + Send + 'static>(
    incoming: IncomingBody<'_>,
    payload: impl Stream<Item = Result<Bytes, PayloadError>>,
) -> Result<T, Refusal> {
    let body = read(incoming, payload, BODY_BYTES_MAX).await?;
    if body.is_empty() {
        return Ok(T::default());
    }
    must_be_json(incoming.headers)?;
    parse_aside(&body, |bytes| parse_object(bytes)).await
}

/// Reads a JSON body: an object of at most [`BODY_BYTES_MAX`], or an array of at most [`BATCH_BYTES_MAX`].
///
/// # Errors
/// As [`json`].
pub(crate) async fn json_batch(
    incoming: IncomingBody<'_>,
    payload: impl Stream<Item = Result<Bytes, PayloadError>>,
) -> Result<Body, Refusal> {
    let body = json_batch_within(incoming, payload, BATCH_BYTES_MAX).await?;
    if body.len() > BODY_BYTES_MAX && !is_array(&body) {
        return Err(too_large(BODY_BYTES_MAX));
    }
    Ok(body)
}

/// Reads a JSON body, an object or an array, of at most `max` bytes.
///
/// # Errors
/// As [`json`].
pub(crate) async fn json_batch_within(
    incoming: IncomingBody<'_>,
    payload: impl Stream<Item = Result<Bytes, PayloadError>>,
    max: usize,
) -> Result<Body, Refusal> {
    must_be_json(incoming.headers)?;
    read(incoming, payload, max).await
}

/// Reads a body of at most `max` bytes, whatever its content type.
///
/// # Errors
/// `unsupported_media`, `too_large` or `busy`.
pub(crate) async fn any(
    incoming: IncomingBody<'_>,
    payload: impl Stream<Item = Result<Bytes, PayloadError>>,
    max: usize,
) -> Result<Body, Refusal> {
    read(incoming, payload, max).await
}

/// Reads the checkpoint of a model: at most [`CHECKPOINT_BYTES_MAX`] bytes, one checkpoint at a time. The permits must
/// live as long as the checkpoint is in use.
///
/// # Errors
/// `unsupported_media`, `too_large`, `bad_json` when it is not whole, `busy` while another one is being read.
pub async fn checkpoint(
    incoming: IncomingBody<'_>,
    payload: impl Stream<Item = Result<Bytes, PayloadError>>,
) -> Result<(Vec<u8>, [Permit; 2]), Refusal> {
    let media = media(incoming.headers);
    if media != BYTES {
        return Err(Refusal::new(Code::UnsupportedMedia, format!("the body must be {BYTES}, is {media:?}")));
    }
    must_be_plain(incoming.headers, CHECKPOINT_BYTES_MAX)?;
    let place = incoming.budgets.checkpoints.try_take(incoming.holder, 1).ok_or_else(|| Refusal::busy(2_000))?;
    let (bytes, permit) = read(incoming, payload, CHECKPOINT_BYTES_MAX).await?.into_parts();
    Ok((bytes.into(), [place, permit]))
}

/// True if the body is a JSON array.
#[must_use]
pub(crate) fn is_array(body: &[u8]) -> bool {
    body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[')
}

/// Parses JSON; a refusal names the wrong field.
///
/// # Errors
/// `bad_json` or `bad_field`.
pub fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Refusal> {
    parse_json(bytes).map_err(refusal_of)
}

/// Parses a large body on a blocking thread, two at once, and a small one in place.
///
/// # Errors
/// Those of `parse`.
pub(crate) async fn parse_aside<T: Send + 'static>(
    body: &Body,
    parse: impl FnOnce(&Bytes) -> Result<T, Refusal> + Send + 'static,
) -> Result<T, Refusal> {
    if body.len() <= PARSED_INLINE_MAX {
        return parse(body);
    }
    let bytes = body.bytes.clone();
    let stopped = || Refusal::busy(1_000);
    let _place = PARSERS.acquire().await.map_err(|_| stopped())?;
    let parsed = tokio::task::spawn_blocking(move || parse(&bytes));
    parsed.await.map_err(|_| Refusal::new(Code::Internal, "the body could not be parsed"))?
}

/// Parses JSON that must be an object; serde would also read a struct from a list of its fields.
///
/// # Errors
/// Those of `parse`.
pub(crate) fn parse_object<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Refusal> {
    if is_array(bytes) {
        let _: IgnoredAny = parse(bytes)?;
        return Err(Refusal::new(Code::BadField, "must be an object, is a list"));
    }
    parse(bytes)
}

/// The content type without its parameters, in lower case.
#[must_use]
pub fn media(headers: &HeaderMap) -> String {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// Refuses a compressed body, and one whose announced length exceeds `max`.
///
/// # Errors
/// `unsupported_media` or `too_large`.
pub(crate) fn must_be_plain(headers: &HeaderMap, max: usize) -> Result<(), Refusal> {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|value| value != "identity") {
        let message = "encoded bodies are not read: send it without Content-Encoding";
        return Err(Refusal::new(Code::UnsupportedMedia, message));
    }
    if announced(headers).is_some_and(|length| length > max as u64) {
        return Err(too_large(max));
    }
    Ok(())
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok())
}

/// The refusal of a body that is longer than `max` bytes.
#[must_use]
pub fn too_large(max: usize) -> Refusal {
    Refusal::new(Code::TooLarge, format!("must have at most {max} bytes: send it in parts"))
}

/// The refusal of a body whose sender is too slow.
#[must_use]
pub(crate) fn too_slow() -> Refusal {
    Refusal::new(Code::BadJson, "the body did not arrive in time: send it again")
}

/// The refusal of a body whose sender went away.
#[must_use]
pub(crate) fn ended_early() -> Refusal {
    Refusal::new(Code::BadJson, "the body ended early: send it again")
}

fn must_be_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let media = media(headers);
    if media == JSON || (media.starts_with("application/") && media.ends_with("+json")) {
        return Ok(());
    }
    Err(Refusal::new(Code::UnsupportedMedia, format!("the body must be {JSON}, is {media:?}")))
}

/// The instant by which a body that began at `begin` must have more than `bytes`.
fn due(begin: Instant, bytes: usize) -> Instant {
    let earned = Duration::from_secs_f64(bytes as f64 / f64::from(LEAST_RATE));
    begin + (GRACE + earned).min(WHOLE_WITHIN)
}

async fn read(
    incoming: IncomingBody<'_>,
    payload: impl Stream<Item = Result<Bytes, PayloadError>>,
    max: usize,
) -> Result<Body, Refusal> {
    must_be_plain(incoming.headers, max)?;
    let busy =
        || Refusal { message: "too many bodies are being read: send it again later".into(), ..Refusal::busy(2_000) };
    let mut permit = incoming.budgets.bodies.try_take(incoming.holder, 0).ok_or_else(busy)?;
    let longest = announced(incoming.headers).map_or(max, |length| usize::try_from(length).unwrap_or(max).min(max));
    let mut payload = std::pin::pin!(payload);
    let (mut bytes, begin) = (Vec::new(), Instant::now());
    while let Some(piece) =
        tokio::time::timeout_at(due(begin, bytes.len()), payload.next()).await.map_err(|_| too_slow())?
    {
        let piece = piece.map_err(|_| ended_early())?;
        let length = bytes.len() + piece.len();
        if length > max {
            return Err(too_large(max));
        }
        if length > bytes.capacity() {
            let capacity = (2 * bytes.capacity()).max(FIRST_BYTES).min(longest).max(length);
            if !permit.grow(capacity - bytes.capacity()) {
                return Err(busy());
            }
            bytes.reserve_exact(capacity - bytes.len());
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(Body { bytes: bytes.into(), permit })
}

/// A list that keeps at most one element beyond `MOST`, so that a check can refuse it while memory stays bounded.
#[derive(Clone, Debug, PartialEq)]
pub struct BoundedList<T, const MOST: usize>(pub Vec<T>);

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for BoundedList<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<T, const MOST: usize>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MOST: usize> Visitor<'de> for Reader<T, MOST> {
            type Value = BoundedList<T, MOST>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut found = Vec::new();
                while found.len() <= MOST {
                    match seq.next_element()? {
                        Some(element) => found.push(element),
                        None => return Ok(BoundedList(found)),
                    }
                }
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(BoundedList(found))
            }
        }
        deserializer.deserialize_seq(Reader(std::marker::PhantomData))
    }
}

/// A JSON object as text, in which each key occurs once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectText(pub String);

impl<'de> Deserialize<'de> for ObjectText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<serde_json::value::RawValue>::deserialize(deserializer)?;
        if !raw.get().starts_with('{') {
            return Err(D::Error::custom("must be an object"));
        }
        let mut reader = serde_json::Deserializer::from_str(raw.get());
        EachKeyOnce.deserialize(&mut reader).map_err(D::Error::custom)?;
        Ok(ObjectText(raw.get().to_owned()))
    }
}

/// A JSON object in which each key occurs once; serde's own maps would keep the last one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct UniqueMap<K: Ord, V>(pub std::collections::BTreeMap<K, V>);

impl<'de, K, V> Deserialize<'de> for UniqueMap<K, V>
where
    K: Deserialize<'de> + Ord + fmt::Display,
    V: Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader<K, V>(std::marker::PhantomData<(K, V)>);
        impl<'de, K, V> Visitor<'de> for Reader<K, V>
        where
            K: Deserialize<'de> + Ord + fmt::Display,
            V: Deserialize<'de>,
        {
            type Value = UniqueMap<K, V>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut found = std::collections::BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<K, V>()? {
                    if found.contains_key(&key) {
                        return Err(A::Error::custom(format!("duplicate field `{key}`")));
                    }
                    found.insert(key, value);
                }
                Ok(UniqueMap(found))
            }
        }
        deserializer.deserialize_map(Reader(std::marker::PhantomData))
    }
}

/// Visits any JSON, checks that each key occurs once, and keeps nothing.
struct EachKeyOnce;

impl<'de> DeserializeSeed<'de> for EachKeyOnce {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for EachKeyOnce {
    type Value = ();
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }
    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }
    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }
    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }
    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }
    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        while seq.next_element_seed(EachKeyOnce)?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if !seen.insert(key.clone()) {
                return Err(A::Error::custom(format!("duplicate field `{key}`")));
            }
            map.next_value_seed(EachKeyOnce)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use actix_web::HttpRequest;
    use actix_web::test::TestRequest;
    use futures_util::stream;

    use super::*;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Thing {
        #[serde(default)]
        name: String,
        attributes: Option<ObjectText>,
        topics: Option<UniqueMap<String, f32>>,
    }

    fn from<'a>(request: &'a HttpRequest, budgets: &'a Budgets) -> IncomingBody<'a> {
        let holder = budgets.holder(None, Some([192, 0, 2, 1].into()));
        IncomingBody { headers: request.headers(), budgets, holder }
    }

    async fn read_thing(media: &str, body: &str) -> Result<Thing, Refusal> {
        let request = TestRequest::default().insert_header(("content-type", media)).to_http_request();
        let budgets = Budgets::default();
        json(from(&request, &budgets), stream::iter([Ok(Bytes::copy_from_slice(body.as_bytes()))])).await
    }

    #[actix_web::test]
    async fn bodies_are_refused_for_what_is_wrong_with_them() {
        let deep = format!("{{\"name\":{}1{}}}", "[".repeat(200), "]".repeat(200));
        let deep_attributes = format!("{{\"attributes\":{{\"a\":{}1{}}}}}", "[".repeat(200), "]".repeat(200));
        let long = format!("{{\"name\":\"{}\"}}", "x".repeat(BODY_BYTES_MAX));
        for (name, media, body, code, field) in [
            ("media", "text/plain", "{}", Code::UnsupportedMedia, None),
            ("no media", "", "{}", Code::UnsupportedMedia, None),
            ("nothing", JSON, "", Code::BadJson, None),
            ("not JSON", JSON, "{", Code::BadJson, None),
            ("two things", JSON, "{}{}", Code::BadJson, None),
            ("a list", JSON, "[]", Code::BadField, None),
            ("a list of fields", JSON, r#"["ada"]"#, Code::BadField, None),
            ("deep", JSON, &deep, Code::BadField, Some("name")),
            ("deep attributes", JSON, &deep_attributes, Code::BadField, Some("attributes")),
            ("unknown", JSON, r#"{"nme":1}"#, Code::BadField, Some("nme")),
            ("twice", JSON, r#"{"name":"a","name":"b"}"#, Code::BadField, Some("name")),
            ("no object", JSON, r#"{"attributes":[1]}"#, Code::BadField, Some("attributes")),
            ("twice within", JSON, r#"{"attributes":{"a":[{"b":1,"b":2}]}}"#, Code::BadField, Some("attributes.b")),
            ("twice in a map", JSON, r#"{"topics":{"sea":1,"sea":0}}"#, Code::BadField, Some("topics.sea")),
            ("wrong within a map", JSON, r#"{"topics":{"sea":"1"}}"#, Code::BadField, Some("topics.sea")),
            ("long", JSON, &long, Code::TooLarge, None),
        ] {
            let refusal = read_thing(media, body).await.unwrap_err();
            assert_eq!((refusal.code, refusal.field.as_deref()), (code, field), "{name}: {}", refusal.message);
        }
    }

    #[actix_web::test]
    async fn good_bodies_are_read() {
        let body = r#"{"name":"a","attributes":{"age": 3},"topics":{"sea":0.5}}"#;
        let expected = Thing {
            name: "a".into(),
            attributes: Some(ObjectText(r#"{"age": 3}"#.into())),
            topics: Some(UniqueMap(BTreeMap::from([("sea".to_owned(), 0.5)]))),
        };
        for media in [JSON, "Application/JSON; charset=utf-8", "application/problem+json"] {
            assert_eq!(read_thing(media, body).await.unwrap(), expected, "{media}");
        }
    }

    #[actix_web::test]
    async fn a_body_may_be_left_out_announced_too_long_or_encoded() {
        let empty = || stream::iter([] as [Result<Bytes, PayloadError>; 0]);
        let (plain, budgets) = (TestRequest::default().to_http_request(), Budgets::default());
        assert_eq!(json_or_nothing::<Thing>(from(&plain, &budgets), empty()).await.unwrap(), Thing::default());
        for (header, value, code) in
            [("content-length", "1048577", Code::TooLarge), ("content-encoding", "gzip", Code::UnsupportedMedia)]
        {
            let request = TestRequest::default()
                .insert_header(("content-type", JSON))
                .insert_header((header, value))
                .to_http_request();
            assert_eq!(json::<Thing>(from(&request, &budgets), empty()).await.unwrap_err().code, code, "{header}");
        }
    }

    #[actix_web::test]
    async fn only_arrays_may_be_long() {
        let request = TestRequest::default().insert_header(("content-type", JSON)).to_http_request();
        let budgets = Budgets::default();
        let spaces = || Ok(Bytes::from(" ".repeat(BODY_BYTES_MAX)));
        let piece = |text: &'static str| Ok(Bytes::from_static(text.as_bytes()));
        let taken = json_batch(from(&request, &budgets), stream::iter([spaces(), piece("[]")])).await.ok().unwrap();
        assert!(budgets.bodies.taken() >= taken.len(), "its bytes count while it is there");
        drop(taken);
        assert_eq!(budgets.bodies.taken(), 0);
        let refused = json_batch(from(&request, &budgets), stream::iter([spaces(), piece("{}")])).await.err().unwrap();
        assert_eq!(refused.code, Code::TooLarge);
    }

    #[actix_web::test]
    async fn bodies_of_all_sizes_share_one_budget_and_one_sender_has_a_quarter() {
        let request = TestRequest::default().insert_header(("content-type", JSON)).to_http_request();
        let budgets = Budgets::default();
        let body = || stream::iter([Ok(Bytes::from(format!("[{}]", " ".repeat(BODY_BYTES_MAX - 2))))]);
        let mut held = Vec::new();
        let refused = loop {
            match json_batch(from(&request, &budgets), body()).await {
                Ok(body) => held.push(body),
                Err(refusal) => break refusal,
            }
        };
        assert_eq!(refused.code, Code::Busy);
        assert_eq!(held.len() * BODY_BYTES_MAX, crate::gateway::budget::BODIES_BYTES_MAX / 2, "one address has a half");
        let other =
            IncomingBody { holder: budgets.holder(None, Some([192, 0, 2, 2].into())), ..from(&request, &budgets) };
        assert!(json_batch(other, body()).await.is_ok(), "another address");
    }

    #[test]
    fn a_body_that_drips_is_given_up() {
        let begin = Instant::now();
        // The second at which the reader gives up a body of so many bytes per second; `None` for one that is fast
        // enough.
        let given_up = |rate: usize, length: usize| {
            (0..600)
                .find(|second| begin + Duration::from_secs(*second) > due(begin, (rate * *second as usize).min(length)))
                .filter(|second| rate * (*second as usize) < length)
        };
        for (name, rate, length, expected) in [
            ("a byte a second", 1, BODY_BYTES_MAX, Some(11)),
            ("half of the least rate", 4 * 1024, BODY_BYTES_MAX, Some(21)),
            ("the least rate", 8 * 1024, 512 * 1024, None),
            ("a large body that would take five minutes", 112 * 1024, BATCH_BYTES_MAX, Some(121)),
            ("a large body within two minutes", 280 * 1024, BATCH_BYTES_MAX, None),
        ] {
            assert_eq!(given_up(rate, length), expected, "{name}");
        }
    }

    #[test]
    fn a_long_list_is_kept_up_to_one_beyond_its_bound() {
        for (given, kept) in [(0, 0), (3, 3), (4, 4), (5, 4), (100_000, 4)] {
            let text = format!("[{}]", vec!["1"; given].join(","));
            assert_eq!(parse::<BoundedList<u8, 3>>(text.as_bytes()).unwrap().0.len(), kept, "{given}");
        }
        assert!(parse::<BoundedList<u8, 3>>(b"[1,2,3,4,5").is_err());
    }
}
