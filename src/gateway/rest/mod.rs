//! REST: one file per group of routes, and the table of them all.
//!
//! Invariant: a route is in [`ROUTES`] or nowhere. Absent on purpose: rules; a handler asks, checks and hands on.

pub mod access;
pub mod availability;
pub mod batch;
pub mod clusters;
pub mod feeds;
pub mod figures;
pub mod health;
pub mod interactions;
pub mod items;
pub mod ndjson;
pub mod metrics;
pub mod models;
pub mod people;
pub mod popular;
pub mod rights;
pub mod scores;

use std::convert::Infallible;

use actix_web::HttpResponse;
use actix_web::web::Bytes;
use futures_util::{StreamExt as _, stream};
use serde::Serialize;
use serde_json::{Map, Value};

use super::budget::Permit;
use super::errors::HttpResult;
use super::request::AuthedRequest;
use super::routes::routes;
use ndjson::BudgetTerms;

/// How many rows a list may be asked for.
pub const LIST_MAX: u32 = 1_000;
/// How many rows a list has when nobody asks.
pub const LIST_DEFAULT: u32 = 100;

routes! {
    /// All REST routes. `/post/recommendations` stands before `/post/{id}`, so no item is called that here.
    ROUTES;
    /// Registers them.
    configure;

    "/health" => GET health::health;
    "/ready" => GET health::ready;
    "/metrics" => GET figures::metrics;
    "/user/{id}" => GET people::person;
    "/user/{id}/feed" => GET interactions::of_person;
    "/post/recommendations" => GET feeds::recommendations;
    "/post/{id}" => GET items::item;
    "/post/{id}/feed" => GET interactions::with_item;
    "/v1/users" => GET people::list;
    "/v1/users/{id}" => GET people::person, PUT people::put, DELETE rights::erase;
    "/v1/users/{id}/export" => GET rights::export;
    "/v1/users/{id}/follows/{whom}" => PUT people::follow, DELETE people::unfollow;
    "/v1/users/{id}/feed" => GET feeds::feed;
    "/v1/users/{id}/model" => GET scores::model, PATCH scores::set_topics;
    "/v1/users/{id}/predictions/{item}" => GET scores::prediction, POST scores::label;
    "/v1/interactions" => POST interactions::take;
    "/v1/items" => GET items::list, POST items::create;
    "/v1/items/{id}" => GET items::item, PUT items::replace, PATCH items::change, DELETE items::delete;
    "/v1/items/{id}/audience" => GET availability::audience;
    "/v1/popular" => GET popular::popular;
    "/v1/items/{id}/windows" => GET items::windows, PUT items::set_windows;
    "/v1/metrics" => GET metrics::list, POST metrics::take;
    "/v1/metrics/{name}/atypical" => GET metrics::atypical;
    "/v1/models" => GET models::list, POST models::create;
    "/v1/models/rollback" => POST models::rollback;
    "/v1/models/{version}/publish" => POST models::publish;
    "/v1/clusters" => GET clusters::newest;
    "/v1/clusters/refit" => POST clusters::refit;
    "/v1/clusters/history" => GET clusters::history;
    "/v1/score" => GET scores::score;
    "/v1/figures" => GET figures::figures;
    "/v1/availability" => GET availability::availability;
    "/v1/tokens" => GET access::list, POST access::create;
    "/v1/tokens/{jti}" => DELETE access::revoke;
    "/v1/keys" => GET access::keys, POST access::rotate;
    "/v1/keys/{kid}" => DELETE access::retire;
}

/// 200 with this as JSON, not to be kept.
fn found(body: &impl Serialize) -> HttpResult {
    Ok(HttpResponse::Ok().insert_header(("cache-control", "no-store")).json(body))
}

// A list is written in pieces of about this size.
const PIECE_BYTES: usize = 32 * 1024;
// A row that may become longer than this takes from the budget of answers before it is written.
const ROW_BYTES: usize = 64 * 1024;

/// Rows of a list that are written as their reader takes them, so that the length of a list costs no memory.
struct Listed<I, W, T> {
    rows: I,
    // The most bytes that a row may have.
    weigh: W,
    // A row as JSON; `None` leaves it out.
    write: T,
    terms: BudgetTerms,
    piece: Vec<u8>,
    begun: bool,
    end: Option<Vec<u8>>,
    // Of the row that was written last.
    permit: Option<Permit>,
}

impl<R, I, W, T> Listed<I, W, T>
where
    I: Iterator<Item = R>,
    W: Fn(&R) -> usize,
    T: Fn(R) -> Option<Vec<u8>>,
{
    /// The next piece; an empty one after the last.
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

/// 200 with a list under this name and fields beside it, written row by row. `weigh` says how many bytes a row has at
/// most.
async fn listed<R: 'static>(
    request: &AuthedRequest,
    name: &str,
    rows: impl Iterator<Item = R> + 'static,
    weigh: impl Fn(&R) -> usize + 'static,
    write: impl Fn(R) -> Option<Vec<u8>> + 'static,
    beside: Map<String, Value>,
) -> HttpResult {
    let fields: String = beside.into_iter().map(|(name, value)| format!(",\"{name}\":{value}")).collect();
    let (begin, end) = (format!("{{\"{name}\":[").into_bytes(), format!("]{fields}}}").into_bytes());
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

/// The object of these fields.
fn fields<const N: usize>(fields: [(&str, Value); N]) -> Map<String, Value> {
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use actix_web::middleware::NormalizePath;
    use actix_web::test as web_test;
    use actix_web::{App, http::Method, web};

    use super::super::errors::unknown_route;
    use super::super::routes::{at, reads};
    use super::*;

    #[actix_web::test]
    async fn paths_know_their_methods_with_or_without_a_slash() {
        let app = web_test::init_service(
            App::new()
                .configure(configure)
                .service(at("/thing/{id}", "GET, HEAD").route(reads().to(HttpResponse::Ok)))
                .default_service(web::to(unknown_route))
                .wrap(NormalizePath::trim()),
        )
        .await;
        for (method, path, status, allow) in [
            (Method::GET, "/thing/1", 200, None),
            (Method::GET, "/thing/1/", 200, None),
            (Method::HEAD, "/thing/1", 200, None),
            (Method::POST, "/thing/1", 405, Some("GET, HEAD")),
            (Method::GET, "/thing", 404, None),
            (Method::GET, "/nothing", 404, None),
            (Method::DELETE, "/health", 405, Some("GET, HEAD")),
            (Method::GET, "/v1/interactions/", 405, Some("POST")),
            (Method::POST, "/post/recommendations/", 405, Some("GET, HEAD")),
            (Method::GET, "/v1/users/a/follows/b", 405, Some("PUT, DELETE")),
            (Method::PATCH, "/v1/items/a/", 500, None),
            (Method::POST, "/v1/items/a", 405, Some("GET, HEAD, PUT, PATCH, DELETE")),
            (Method::DELETE, "/v1/items", 405, Some("GET, HEAD, POST")),
        ] {
            let request = web_test::TestRequest::with_uri(path).method(method.clone()).to_request();
            let response = web_test::call_service(&app, request).await;
            assert_eq!(response.status(), status, "{method} {path}");
            assert_eq!(response.headers().get("allow").and_then(|v| v.to_str().ok()), allow, "{method} {path}");
            if status != 200 {
                assert_eq!(
                    response.headers().get("content-type").and_then(|v| v.to_str().ok()),
                    Some("application/problem+json")
                );
            }
        }
    }
}
