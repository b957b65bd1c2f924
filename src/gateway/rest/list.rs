//! Answers with JSON: one value, or a list that is written while its reader takes it.
//!
//! Invariant: a list holds one piece of about 32 KiB in memory, whatever its length; a heavy row takes from the budget of
//! answers. No cache keeps an answer, but for those with an `ETag`, which it must revalidate. Deliberately absent: the contents of rows.

use std::convert::Infallible;

use actix_web::HttpResponse;
use actix_web::http::header::{ETag, EntityTag};
use actix_web::web::Bytes;
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use serde_json::{Map, Value};
use xxhash_rust::xxh3::xxh3_64;

use super::super::budget::Permit;
use super::super::errors::HttpResult;
use super::super::request::AuthedRequest;
use super::ndjson::BudgetTerms;

/// The largest `limit` of a list.
pub const LIST_MAX: u32 = 1_000;
/// The `limit` of a list by default.
pub(crate) const LIST_DEFAULT: u32 = 100;

/// Answers 200 with JSON that no cache keeps.
pub(crate) fn found(body: &impl Serialize) -> HttpResult {
    Ok(HttpResponse::Ok().insert_header(("cache-control", "no-store")).json(body))
}

/// Answers 200 with JSON and a weak `ETag` of its bytes, or 304 without a body when the request's `If-None-Match` has that
/// tag.
pub(super) fn found_or_unchanged(request: &AuthedRequest, body: &impl Serialize) -> HttpResult {
    // Plain data; were it not, the answer without a tag would report the fault.
    let Ok(bytes) = serde_json::to_vec(body) else { return found(body) };
    let tag = EntityTag::new_weak(format!("{:016x}", xxh3_64(&bytes)));
    let is_known = request.holds(&tag);
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header(("cache-control", "private, no-cache")).insert_header(ETag(tag));
    Ok(if is_known { response.finish() } else { response.content_type("application/json").body(bytes) })
}

// Approximate bytes per piece of a list.
const PIECE_BYTES: usize = 32 * 1024;
// A row that may exceed this size takes from the budget of answers before it is written.
const ROW_BYTES: usize = 64 * 1024;

/// Rows that are written as the reader takes them, so that memory does not grow with the list.
struct Listed<I, W, T> {
    rows: I,
    // The largest size of a row in bytes.
    weigh: W,
    // A row as JSON; `None` omits it.
    write: T,
    terms: BudgetTerms,
    piece: Vec<u8>,
    begun: bool,
    end: Option<Vec<u8>>,
    // The permit of the last written row.
    permit: Option<Permit>,
}

impl<R, I, W, T> Listed<I, W, T>
where
    I: Iterator<Item = R>,
    W: Fn(&R) -> usize,
    T: Fn(R) -> Option<Vec<u8>>,
{
    /// The next piece; empty after the last one.
    async fn next(&mut self) -> Bytes {
        self.permit = None;
        while self.piece.len() < PIECE_BYTES && self.end.is_some() {
            let Some(row) = self.rows.next() else {
                self.piece.extend(self.end.take().unwrap_or_default());
                break;
            };
            let weight = (self.weigh)(&row);
            let is_heavy = weight > ROW_BYTES;
            if is_heavy {
                self.permit = Some(self.terms.budgets.answers.take(self.terms.holder, weight).await);
            }
            if let Some(written) = (self.write)(row) {
                if std::mem::replace(&mut self.begun, true) {
                    self.piece.push(b',');
                }
                self.piece.extend(written);
            }
            if is_heavy {
                break;
            }
        }
        std::mem::take(&mut self.piece).into()
    }
}

/// Answers 200 with a list under `name` and other fields beside it, row by row. `weigh` returns the largest size of a
/// row in bytes.
pub(crate) async fn listed<R: 'static>(
    request: &AuthedRequest,
    name: &str,
    rows: impl Iterator<Item = R> + 'static,
    weigh: impl Fn(&R) -> usize + 'static,
    write: impl Fn(R) -> Option<Vec<u8>> + 'static,
    beside: Map<String, Value>,
) -> HttpResult {
    let fields: String = beside.into_iter().map(|(name, value)| format!(",\"{name}\":{value}")).collect();
    let (begin, end) = (format!("{{\"{name}\":[").into_bytes(), format!("]{fields}}}").into_bytes());
    streamed(request, rows, weigh, write, (begin, end)).await
}

/// Answers 200 with a bare list, row by row. `weigh` returns the largest size of a row in bytes.
pub(crate) async fn listed_bare<R: 'static>(
    request: &AuthedRequest,
    rows: impl Iterator<Item = R> + 'static,
    weigh: impl Fn(&R) -> usize + 'static,
    write: impl Fn(R) -> Option<Vec<u8>> + 'static,
) -> HttpResult {
    streamed(request, rows, weigh, write, (b"[".to_vec(), b"]".to_vec())).await
}

async fn streamed<R: 'static>(
    request: &AuthedRequest,
    rows: impl Iterator<Item = R> + 'static,
    weigh: impl Fn(&R) -> usize + 'static,
    write: impl Fn(R) -> Option<Vec<u8>> + 'static,
    (begin, end): (Vec<u8>, Vec<u8>),
) -> HttpResult {
    let (terms, permit) = (request.into(), None);
    let mut list = Listed { rows, weigh, write, terms, piece: begin, begun: false, end: Some(end), permit };
    let first = list.next().await;
    let mut response = HttpResponse::Ok();
    response.content_type("application/json").insert_header(("cache-control", "no-store"));
    if list.end.is_none() {
        return Ok(response.body(first));
    }
    let rest = stream::unfold(list, |mut list| async move {
        let piece = list.next().await;
        (!piece.is_empty()).then_some((piece, list))
    });
    Ok(response.streaming(stream::once(async { first }).chain(rest).map(Ok::<_, Infallible>)))
}

/// A JSON object of these fields.
pub(crate) fn fields<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
