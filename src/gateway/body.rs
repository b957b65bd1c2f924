//! Request bodies, read with an end.
//!
//! Invariant: no body takes more memory than its route allows, all large ones together no more than a few times
//! that, and a body that stalls is given up. A key that stands twice in an object is refused, at any depth.
//! Absent on purpose: compressed bodies, which could grow without warning.

use std::collections::HashSet;
use std::fmt;
use std::time::Duration;

use actix_web::error::PayloadError;
use actix_web::http::header::{self, HeaderMap};
use actix_web::web::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt};
use serde::de::{DeserializeOwned, DeserializeSeed, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::actors::models::CHECKPOINT_BYTES_MAX;
use crate::protocol::client::parse_json;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::errors::refusal_of;

/// The longest body of one thing.
pub const BODY_BYTES_MAX: usize = 1024 * 1024;
/// The longest body of many things.
pub const BATCH_BYTES_MAX: usize = 32 * 1024 * 1024;

// Bodies above `BODY_BYTES_MAX` that may be in memory at once: with the limit above, at most 256 MiB.
static LARGE: Semaphore = Semaphore::const_new(8);
// Checkpoints of models, beside them.
static CHECKPOINTS: Semaphore = Semaphore::const_new(1);

const STALL: Duration = Duration::from_secs(30);
const JSON: &str = "application/json";
const BYTES: &str = "application/octet-stream";

/// A body in memory; while it is there, it counts among the large ones if it is one.
pub struct Body {
    bytes: Bytes,
    _large: Option<SemaphorePermit<'static>>,
}

impl std::ops::Deref for Body {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Reads a JSON body of one thing, which is an object.
///
/// # Errors
/// `unsupported_media`, `too_large`, `bad_json`, or `bad_field` with the field's name.
pub async fn json<T: DeserializeOwned>(
    headers: &HeaderMap,
    payload: impl Stream<Item = Result<Bytes, PayloadError>>,
) -> Result<T, Refusal> {
    must_be_json(headers)?;
    parse_object(&read(headers, payload, BODY_BYTES_MAX).await?)
}

/// Reads a JSON body that is a list.
///
/// # Errors
/// As [`json`].
pub async fn json_list<T: DeserializeOwned>(
    headers: &HeaderMap,
    payload: impl Stream<Item = Result<Bytes, PayloadError>>,
) -> Result<Vec<T>, Refusal> {
    must_be_json(headers)?;
    parse(&read(headers, payload, BODY_BYTES_MAX).await?)
}

/// Reads a JSON body that may be left out.
///
/// # Errors
/// As [`json`].
pub async fn json_or_nothing<T: DeserializeOwned + Default>(
    headers: &HeaderMap,
    payload: impl Stream<Item = Result<Bytes, PayloadError>>,
) -> Result<T, Refusal> {
    let body = read(headers, payload, BODY_BYTES_MAX).await?;
    if body.is_empty() {
        return Ok(T::default());
    }
    must_be_json(headers)?;
    parse_object(&body)
}

/// Reads a JSON body of one thing or many: an object of at most [`BODY_BYTES_MAX`] or an array of at most
/// [`BATCH_BYTES_MAX`].
///
/// # Errors
/// As [`json`].
pub async fn json_batch(
    headers: &HeaderMap,
    payload: impl Stream<Item = Result<Bytes, PayloadError>>,
) -> Result<Body, Refusal> {
    must_be_json(headers)?;
    let body = read(headers, payload, BATCH_BYTES_MAX).await?;
    if body.len() > BODY_BYTES_MAX && !is_array(&body) {
        return Err(too_large(BODY_BYTES_MAX));
    }
    Ok(body)
}

/// Reads a model's checkpoint: bytes, at most [`CHECKPOINT_BYTES_MAX`], one at a time.
///
/// # Errors
/// `unsupported_media`, `too_large`, `bad_json` when it is not whole, `busy` while another one is being read.
pub async fn checkpoint(
    headers: &HeaderMap,
    payload: impl Stream<Item = Result<Bytes, PayloadError>>,
) -> Result<Body, Refusal> {
    let media = media(headers);
    if media != BYTES {
        return Err(Refusal::new(Code::UnsupportedMedia, format!("the body must be {BYTES}, is {media:?}")));
    }
    read_among(&CHECKPOINTS, headers, payload, CHECKPOINT_BYTES_MAX).await
}

/// Does the body hold many things?
#[must_use]
pub fn is_array(body: &[u8]) -> bool {
    body.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[')
}

/// Reads JSON, naming the field to blame.
///
/// # Errors
/// `bad_json` or `bad_field`.
pub fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Refusal> {
    parse_json(bytes).map_err(refusal_of)
}

/// Reads JSON that must be an object: serde would also read a struct from a list of its fields.
fn parse_object<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Refusal> {
    if is_array(bytes) {
        let _: serde::de::IgnoredAny = parse(bytes)?;
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

/// Refuses a body that is encoded, or announced as longer than `max`.
///
/// # Errors
/// `unsupported_media` or `too_large`.
pub fn must_be_plain(headers: &HeaderMap, max: usize) -> Result<(), Refusal> {
    if headers.get(header::CONTENT_ENCODING).is_some_and(|value| value != "identity") {
        let message = "encoded bodies are not read: send it without Content-Encoding";
        return Err(Refusal::new(Code::UnsupportedMedia, message));
    }
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > max as u64) {
        return Err(too_large(max));
    }
    Ok(())
}

/// The next piece of a body, or that it stalled.
///
/// # Errors
/// `bad_json`, since the body is not whole.
pub async fn next_piece<S>(payload: &mut S) -> Option<Result<Bytes, Refusal>>
where
    S: Stream<Item = Result<Bytes, PayloadError>> + Unpin,
{
    match tokio::time::timeout(STALL, payload.next()).await {
        Ok(None) => None,
        Ok(Some(Ok(piece))) => Some(Ok(piece)),
        Ok(Some(Err(_))) => Some(Err(Refusal::new(Code::BadJson, "the body ended early: send it again"))),
        Err(_) => Some(Err(Refusal::new(Code::BadJson, "the body did not arrive in time: send it again"))),
    }
}

/// What is refused for its length.
#[must_use]
pub fn too_large(max: usize) -> Refusal {
    Refusal::new(Code::TooLarge, format!("must have at most {max} bytes: send it in parts"))
}

fn must_be_json(headers: &HeaderMap) -> Result<(), Refusal> {
    let media = media(headers);
    if media == JSON || (media.starts_with("application/") && media.ends_with("+json")) {
        return Ok(());
    }
    Err(Refusal::new(Code::UnsupportedMedia, format!("the body must be {JSON}, is {media:?}")))
}

async fn read(
    headers: &HeaderMap,
    payload: impl Stream<Item = Result<Bytes, PayloadError>>,
    max: usize,
) -> Result<Body, Refusal> {
    read_among(&LARGE, headers, payload, max).await
}

async fn read_among(
    large_ones: &'static Semaphore,
    headers: &HeaderMap,
    payload: impl Stream<Item = Result<Bytes, PayloadError>>,
    max: usize,
) -> Result<Body, Refusal> {
    must_be_plain(headers, max)?;
    let mut payload = std::pin::pin!(payload);
    let mut bytes = BytesMut::new();
    let mut large = None;
    while let Some(piece) = next_piece(&mut payload).await {
        let piece = piece?;
        if bytes.len() + piece.len() > max {
            return Err(too_large(max));
        }
        bytes.extend_from_slice(&piece);
        if bytes.len() > BODY_BYTES_MAX && large.is_none() {
            large = Some(large_ones.try_acquire().map_err(|_| Refusal::busy(2_000))?);
        }
    }
    Ok(Body { bytes: bytes.freeze(), _large: large })
}

/// A JSON object as text, in which no key stands twice.
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

/// A JSON object in which no key stands twice; serde's own maps would let the last one win.
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

/// Walks through any JSON and keeps nothing.
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
#[allow(clippy::unwrap_used)]
mod tests {
    use std::collections::BTreeMap;

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

    async fn read_thing(media: &str, body: &str) -> Result<Thing, Refusal> {
        let request = TestRequest::default().insert_header(("content-type", media)).to_http_request();
        json(request.headers(), stream::iter([Ok(Bytes::copy_from_slice(body.as_bytes()))])).await
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
        let plain = TestRequest::default().to_http_request();
        assert_eq!(json_or_nothing::<Thing>(plain.headers(), empty()).await.unwrap(), Thing::default());
        for (header, value, code) in
            [("content-length", "1048577", Code::TooLarge), ("content-encoding", "gzip", Code::UnsupportedMedia)]
        {
            let request = TestRequest::default()
                .insert_header(("content-type", JSON))
                .insert_header((header, value))
                .to_http_request();
            assert_eq!(json::<Thing>(request.headers(), empty()).await.unwrap_err().code, code, "{header}");
        }
    }

    #[actix_web::test]
    async fn only_arrays_may_be_long() {
        let request = TestRequest::default().insert_header(("content-type", JSON)).to_http_request();
        let spaces = || Ok(Bytes::from(" ".repeat(BODY_BYTES_MAX)));
        let piece = |text: &'static str| Ok(Bytes::from_static(text.as_bytes()));
        assert!(json_batch(request.headers(), stream::iter([spaces(), piece("[]")])).await.is_ok());
        let refused = json_batch(request.headers(), stream::iter([spaces(), piece("{}")])).await.err().unwrap();
        assert_eq!(refused.code, Code::TooLarge);
    }
}
