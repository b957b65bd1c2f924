//! A stored two-tower model as a file, and the vectors that the served one computes.
//!
//! Invariant: only services get them. One checkpoint is sent at a time, and an answer with vectors has at most
//! [`VECTORS_MAX`] rows, written piece by piece. Deliberately absent: Parquet, which `eddyline model export-embeddings`
//! writes, so that the server builds without it.

use std::convert::Infallible;
use std::sync::Arc;

use actix_web::body::SizedStream;
use actix_web::http::header::{ContentDisposition, ETag, EntityTag};
use actix_web::web::{self, Bytes};
use actix_web::{HttpResponse, HttpResponseBuilder};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use futures_util::stream;
use ring::digest::{SHA256, digest};
use serde_json::json;

use crate::actors::embeddings::{Embeddings, KeyedVector, WIDTH};
use crate::domain::ids::{ItemId, UserId};
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::super::busy;
use super::super::errors::HttpResult;
use super::super::request::AuthedRequest;
use super::list::LIST_MAX;
use super::models::version;
use super::pieces::{self, PieceWriter, ReaderError};

/// The largest `limit` of an answer with vectors.
pub const VECTORS_MAX: u32 = 10_000;
/// Bytes of a checkpoint in one piece.
const PIECE_BYTES: usize = 64 * 1024;
/// Item vectors in one piece: about 50 KiB.
const ITEMS_AT_ONCE: usize = 64;
/// User vectors in one piece; each needs its user's state from the store.
const USERS_AT_ONCE: usize = 16;
/// Milliseconds after which a client may ask again while another checkpoint is sent.
const DOWNLOAD_WAITS_MS: u32 = 2_000;

/// `GET /v1/models/{version}/download`: the checkpoint as it was uploaded, with `ETag` and `Repr-Digest` by SHA-256.
///
/// # Errors
/// `unknown_model`; `busy` while another checkpoint is sent, or the store cannot answer.
pub async fn download(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    request.query(&[])?;
    let version = version("version", request.key("version")?.as_str())?;
    let permit = request.budgets().downloads.try_take(request.holder(), 1);
    let permit = permit.ok_or_else(|| Refusal::busy(DOWNLOAD_WAITS_MS))?;
    let checkpoint = request.server().checkpoint(version).await?;
    let hashed = web::block(move || (digest(&SHA256, &checkpoint), Bytes::from(checkpoint))).await;
    let (hash, checkpoint) = hashed.map_err(|_| Refusal::busy(DOWNLOAD_WAITS_MS))?;
    let hex: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let tag = EntityTag::new_strong(hex);
    let is_known = request.holds(&tag);
    let mut response = if is_known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    response.insert_header(("cache-control", "private, no-cache")).insert_header(ETag(tag));
    if is_known {
        return Ok(response.finish());
    }
    response
        .content_type("application/octet-stream")
        // The digest is of these bytes, so no middleware may compress them.
        .insert_header(("content-encoding", "identity"))
        .insert_header(("repr-digest", format!("sha-256=:{}:", STANDARD.encode(hash))))
        .insert_header(ContentDisposition::attachment(format!("model-{}.safetensors", version.0)));
    let size = checkpoint.len() as u64;
    if request.is_head() {
        return Ok(response.body(SizedStream::new(size, stream::empty::<Result<Bytes, Infallible>>())));
    }
    let (out, taken) = pieces::channel();
    actix_web::rt::spawn(async move {
        let sent = send_all(checkpoint, &out).await;
        // The next download may start when the end of this one is read.
        drop(permit);
        match sent {
            Ok(()) => drop(out.end().await),
            Err(error) => tracing::info!(%error, version = version.0, "a download ended before it was complete"),
        }
    });
    Ok(response.body(SizedStream::new(size, pieces::body(taken))))
}

async fn send_all(mut bytes: Bytes, out: &PieceWriter) -> Result<(), ReaderError> {
    while !bytes.is_empty() {
        out.send(bytes.split_to(bytes.len().min(PIECE_BYTES))).await?;
    }
    Ok(())
}

/// Form of an answer with vectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// `id,v0,…,v63` with a header.
    Csv,
    /// One object `{"id", "vector"}` a line.
    Ndjson,
}

/// One page of an export.
enum Page {
    Items(Vec<ItemId>),
    Users(Vec<UserId>),
}

/// `GET /v1/models/{version}/embeddings?of=items|users&format=&limit=&after=`: vectors of the served model, in order of
/// creation. The `Link` header has the next page.
///
/// # Errors
/// `unknown_model`; `conflict` for a model that does not serve; `busy` while too many exports are under way, or the store
/// cannot answer.
pub async fn embeddings(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    let query = request.query(&["of", "format", "limit", "after"])?;
    let version = version("version", request.key("version")?.as_str())?;
    let of = query.one_of("of", &["items", "users"])?;
    let of = of.ok_or_else(|| Refusal::field(Code::BadField, "of", "missing: must be items or users"))?;
    let form = match query.one_of("format", &["csv", "ndjson"])? {
        Some("ndjson") => Form::Ndjson,
        _ => Form::Csv,
    };
    let (limit, after) = (query.limit(LIST_MAX, VECTORS_MAX)?, query.number("after")?);
    let export = Arc::new(request.server().embeddings(version).await?);
    let pages = export.clone();
    let found = request.scan(move || match of {
        "users" => {
            let (ids, next) = pages.user_page(after, limit as usize);
            (Page::Users(ids), next)
        }
        _ => {
            let (ids, next) = pages.item_page(after, limit as usize);
            (Page::Items(ids), next)
        }
    });
    let (page, next) = found.await?;
    let mut response = HttpResponse::Ok();
    form.describe(&mut response);
    if let Some(next) = next {
        let form = form.name();
        let link = format!("<?of={of}&format={form}&limit={limit}&after={next}>; rel=\"next\"");
        response.insert_header(("link", link));
    }
    if request.is_head() {
        return Ok(response.finish());
    }
    let (out, taken) = pieces::channel();
    actix_web::rt::spawn(async move {
        match write(&export, page, form, &out).await {
            Ok(()) => {
                // The place is free by now, so that a reader of the end may ask for the next page.
                drop(export);
                let _ = out.end().await;
            }
            Err(error) => tracing::info!(%error, "an export of vectors ended before it was complete"),
        }
    });
    Ok(response.streaming(pieces::body(taken)))
}

/// A reason to stop an answer with vectors before its end.
#[derive(Debug, thiserror::Error)]
enum VectorsError {
    /// The connection closed, or the reader took no piece in time.
    #[error(transparent)]
    Reader(#[from] ReaderError),
    /// The server refuses to go on, as when the store does not answer.
    #[error("{}", .0.message)]
    Refused(#[from] Refusal),
}

async fn write(export: &Embeddings, page: Page, form: Form, out: &PieceWriter) -> Result<(), VectorsError> {
    let head = form.head();
    if !head.is_empty() {
        out.send(head.into()).await?;
    }
    let rows = move |vectors: Vec<KeyedVector>| form.rows(&vectors);
    match page {
        Page::Items(ids) => {
            for ids in ids.chunks(ITEMS_AT_ONCE) {
                out.send(export.items(ids.to_vec(), rows).await?.into()).await?;
            }
        }
        Page::Users(ids) => {
            for ids in ids.chunks(USERS_AT_ONCE) {
                let rows = export.users(ids.to_vec(), rows).await.map_err(busy::refusal)?;
                out.send(rows.into()).await?;
            }
        }
    }
    Ok(())
}

impl Form {
    fn name(self) -> &'static str {
        match self {
            Form::Csv => "csv",
            Form::Ndjson => "ndjson",
        }
    }

    fn describe(self, response: &mut HttpResponseBuilder) {
        let media = match self {
            Form::Csv => "text/csv; charset=utf-8; header=present",
            Form::Ndjson => "application/x-ndjson",
        };
        response.content_type(media).insert_header(("cache-control", "no-store"));
    }

    fn head(self) -> String {
        match self {
            Form::Csv => {
                let columns: String = (0..WIDTH).map(|column| format!(",v{column}")).collect();
                format!("id{columns}\n")
            }
            Form::Ndjson => String::new(),
        }
    }

    /// Rows with the shortest digits that give back the numbers exactly.
    fn rows(self, vectors: &[KeyedVector]) -> Vec<u8> {
        match self {
            Form::Csv => {
                let mut out = csv::Writer::from_writer(Vec::new());
                for (key, vector) in vectors {
                    let numbers = vector.iter().map(f32::to_string);
                    // Writing to memory cannot fail, and all rows have equal numbers of fields.
                    let _ = out.write_record(std::iter::once(key.as_str().to_owned()).chain(numbers));
                }
                out.into_inner().unwrap_or_default()
            }
            Form::Ndjson => {
                let mut out = Vec::new();
                for (key, vector) in vectors {
                    out.extend(json!({"id": key, "vector": &vector[..]}).to_string().into_bytes());
                    out.push(b'\n');
                }
                out
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::Key;

    #[test]
    fn rows_give_back_keys_and_numbers_bit_for_bit() {
        let mut vector = [0.0; WIDTH];
        vector[..5].copy_from_slice(&[0.1, -1.0 / 3.0, 1e-30, f32::MAX, -0.0]);
        let rows = [(Key::new("a \"b\", c").unwrap(), vector), (Key::new("d").unwrap(), [1.5; WIDTH])];
        let text = [Form::Csv.head().into_bytes(), Form::Csv.rows(&rows)].concat();
        let mut reader = csv::Reader::from_reader(&text[..]);
        let found: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
        let lines = Form::Ndjson.rows(&rows);
        let lines: Vec<&[u8]> = lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).collect();
        assert_eq!((found.len(), lines.len()), (2, 2));
        for ((record, line), (key, vector)) in found.iter().zip(lines).zip(&rows) {
            assert_eq!(&record[0], key.as_str());
            let json: serde_json::Value = serde_json::from_slice(line).unwrap();
            assert_eq!(json["id"], key.as_str());
            for (place, number) in vector.iter().enumerate() {
                assert_eq!(record[place + 1].parse::<f32>().unwrap().to_bits(), number.to_bits());
                assert_eq!((json["vector"][place].as_f64().unwrap() as f32).to_bits(), number.to_bits());
            }
        }
    }
}
