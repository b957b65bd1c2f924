//! A body that is a list: NDJSON or a JSON array, each part carried out with its own result.
//!
//! Invariant: a part is parsed before it first waits, so waiting parts hold no bytes of the body. A refused part affects no
//! other, and costs its sender a request. Deliberately absent: the meaning of a part.

use actix_web::HttpResponse;
use actix_web::web::{self, Bytes};
use serde::de::DeserializeOwned;

use crate::domain::ids::Key;

use super::super::body::{self, BATCH_BYTES_MAX, Body};
use super::super::errors::Problem;
use super::super::request::AuthedRequest;
use super::batch::{self, Outcome};
use super::ndjson;

/// A body after its dispatch.
pub(super) enum Dispatched {
    /// The answer to a list, with one result per part.
    List(HttpResponse),
    /// The body is one value, which is left to the caller.
    One(Body),
}

/// Carries out each part of NDJSON or of a JSON array by `act`. `id_of` reads the id of a part that is refused unparsed.
///
/// # Errors
/// A refusal of the whole body.
pub(super) async fn each<T, W>(
    request: &AuthedRequest,
    payload: web::Payload,
    id_of: fn(&[u8]) -> Option<Key>,
    act: impl Fn(AuthedRequest, T) -> W + Clone + 'static,
) -> Result<Dispatched, Problem>
where
    T: DeserializeOwned + 'static,
    W: Future<Output = Outcome> + 'static,
{
    let (terms, of) = (request.into(), request.clone());
    let part = move |bytes| part(of.clone(), bytes, id_of, act.clone());
    if body::media(request.headers()) == ndjson::MEDIA {
        body::must_be_plain(request.headers(), BATCH_BYTES_MAX)?;
        return Ok(Dispatched::List(ndjson::answer(&terms, payload, part)?));
    }
    let body = body::json_batch(request.incoming(), payload).await?;
    if !body::is_array(&body) {
        return Ok(Dispatched::One(body));
    }
    Ok(Dispatched::List(ndjson::answer_list(&terms, body, part).await?))
}

fn part<T, W>(
    request: AuthedRequest,
    bytes: Bytes,
    id_of: fn(&[u8]) -> Option<Key>,
    act: impl Fn(AuthedRequest, T) -> W,
) -> impl Future<Output = Outcome>
where
    T: DeserializeOwned,
    W: Future<Output = Outcome>,
{
    let read = batch::read::<T>(&bytes).map_err(|refusal| Outcome::refused(id_of(&bytes), refusal));
    drop(bytes);
    async move {
        let outcome = match read {
            Ok(read) => act(request.clone(), read).await,
            Err(refused) => refused,
        };
        if let Outcome::Refused { .. } = outcome {
            request.charge_fault().await;
        }
        outcome
    }
}
