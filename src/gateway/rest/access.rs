//! Keys and tokens over HTTP.
//!
//! Invariant: only services call these routes. The answer to a creation contains the token once; no answer contains the
//! secret of a key. Deliberately absent: log-in; the backend of a product knows its users and asks for their tokens
//! here.

use actix_web::{HttpResponse, web};
use schemars::JsonSchema;
use secrecy::ExposeSecret as _;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::domain::ids::Key;
use crate::domain::time::Millis;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;
use crate::store::access::{Holder, TokenRecord};

use super::super::access::{DAYS_DEFAULT, DAYS_MAX, FIRST_KEY, Issued, KeyInfo};
use super::super::body;
use super::super::errors::HttpResult;
use super::super::request::AuthedRequest;
use super::list::{LIST_DEFAULT, LIST_MAX, found};

/// The body of `POST /v1/tokens`.
#[derive(Debug, Default, PartialEq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct TokenInput {
    user: Option<Key>,
    service: bool,
    days: Option<i64>,
}

/// A token in lists, without the token itself.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Token")]
pub(crate) struct TokenView<'a> {
    jti: &'a Key,
    #[serde(skip_serializing_if = "Option::is_none")]
    kid: Option<&'a Key>,
    role: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a Key>,
    created: Millis,
    expires: Millis,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    token: Option<&'a str>,
}

impl<'a> TokenView<'a> {
    fn new(record: &'a TokenRecord, token: Option<&'a str>) -> TokenView<'a> {
        let TokenRecord { jti, kid, holder, created, expires, revoked } = record;
        let user = if let Holder::Person(key) = holder { Some(key) } else { None };
        let (role, _) = holder.columns();
        TokenView { jti, kid: kid.as_ref(), role, user, created: *created, expires: *expires, revoked: *revoked, token }
    }
}

#[derive(Serialize, JsonSchema)]
#[schemars(rename = "SigningKey")]
pub(crate) struct KeyView {
    kid: Key,
    signs: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    created: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    signs_from: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    retired: Option<Millis>,
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<&'static str>,
}

impl From<KeyInfo> for KeyView {
    fn from(KeyInfo { kid, created, retired, signs, signs_from }: KeyInfo) -> Self {
        KeyView { kid, signs, created, signs_from: signs_from.filter(|_| retired.is_none()), retired, note: None }
    }
}

/// `POST /v1/tokens`: 201 with the token.
///
/// # Errors
/// `bad_field` unless it is for one person or for a service, `conflict` without a key.
pub async fn create(request: AuthedRequest, payload: web::Payload) -> HttpResult {
    request.query(&[])?;
    request.subject().must_be_service()?;
    let wanted: TokenInput = body::json(request.incoming(), payload).await?;
    let (person, days) = checked(wanted)?;
    let Issued { token, record } = request.access().create(person, days, request.now()).await.map_err(Refusal::from)?;
    let view = TokenView::new(&record, Some(token.expose_secret()));
    Ok(HttpResponse::Created().insert_header(("cache-control", "no-store")).json(view))
}

fn checked(wanted: TokenInput) -> Result<(Option<Key>, i64), Refusal> {
    let TokenInput { user, service, days } = wanted;
    if user.is_some() == service {
        return Err(Refusal::field(Code::BadField, "user", "name a user, or say service: true, and not both"));
    }
    let days = days.unwrap_or(DAYS_DEFAULT);
    if !(1..=DAYS_MAX).contains(&days) {
        return Err(Refusal::field(Code::OutOfRange, "days", format!("must be 1 to {DAYS_MAX}, is {days}")));
    }
    Ok((user, days))
}

/// `GET /v1/tokens?limit=&after=`: tokens that have not expired, without the tokens themselves.
///
/// # Errors
/// `busy` while the store cannot answer.
pub async fn list(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    let query = request.query(&["limit", "after"])?;
    let limit = query.limit(LIST_DEFAULT, LIST_MAX)?;
    let after = query.text("after").unwrap_or_default().to_owned();
    let records = request.access().tokens(after, limit, request.now()).await.map_err(Refusal::from)?;
    let next = records.last().filter(|_| records.len() == limit as usize).map(|record| &record.jti);
    let views: Vec<_> = records.iter().map(|record| TokenView::new(record, None)).collect();
    match next {
        Some(next) => found(&json!({"tokens": views, "next": next})),
        None => found(&json!({"tokens": views})),
    }
}

/// `DELETE /v1/tokens/{jti}?expires=`: revokes a token from now on.
///
/// # Errors
/// `unknown_token`, unless `expires` says how long to remember one that was made elsewhere.
pub async fn revoke(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    let expires = request.query(&["expires"])?.time("expires")?;
    let (jti, now) = (request.key("jti")?, request.now());
    request.access().revoke(jti.clone(), expires, now).await.map_err(Refusal::from)?;
    found(&json!({"jti": jti, "revoked": now}))
}

/// `GET /v1/keys`.
///
/// # Errors
/// `busy` while the store cannot answer.
pub async fn keys(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    request.query(&[])?;
    let keys = request.access().keys(request.now()).await.map_err(Refusal::from)?;
    found(&json!({"keys": keys.into_iter().map(KeyView::from).collect::<Vec<_>>()}))
}

/// `POST /v1/keys`: 201; creates a key, and all other keys stay valid. In dev mode its `note` says that the next start
/// will require tokens.
///
/// # Errors
/// `busy` while the store cannot answer; `conflict` beyond `access::KEYS_MAX`.
pub async fn rotate(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    request.query(&[])?;
    let key = request.access().rotate(request.now()).await.map_err(Refusal::from)?;
    let note = request.access().is_dev().then_some(FIRST_KEY);
    let view = KeyView { note, ..KeyView::from(key) };
    Ok(HttpResponse::Created().insert_header(("cache-control", "no-store")).json(view))
}

/// `DELETE /v1/keys/{kid}`: refuses tokens of this key from now on.
///
/// # Errors
/// `unknown_token`; `conflict` for the last key, for the configured secret, and for the key of the request's own token.
pub async fn retire(request: AuthedRequest) -> HttpResult {
    request.subject().must_be_service()?;
    request.query(&[])?;
    let (kid, now) = (request.key("kid")?, request.now());
    request.access().retire(kid.clone(), request.token(), now).await.map_err(Refusal::from)?;
    found(&json!({"kid": kid, "retired": now}))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_for_one_person_or_for_a_service() {
        for (text, expected) in [
            (r#"{"user":"ada"}"#, Ok((Some("ada"), 30))),
            (r#"{"service":true,"days":1}"#, Ok((None, 1))),
            (r#"{"user":"ada","service":true}"#, Err("user")),
            ("{}", Err("user")),
            (r#"{"user":"ada","days":0}"#, Err("days")),
            (r#"{"user":"ada","days":3651}"#, Err("days")),
            (r#"{"user":""}"#, Err("user")),
            (r#"{"role":"root"}"#, Err("role")),
        ] {
            let found = body::parse::<TokenInput>(text.as_bytes()).and_then(checked);
            let found = found.map_err(|refusal| refusal.field.unwrap());
            let found = found.as_ref().map(|(user, days)| (user.as_ref().map(Key::as_str), *days));
            assert_eq!(found.map_err(String::as_str), expected, "{text}");
        }
    }
}
