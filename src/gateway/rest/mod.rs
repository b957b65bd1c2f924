//! REST: one file per group of routes.
//!
//! Invariant: a path that exists answers every method, the ones it does not know with 405 and `Allow`; HEAD goes
//! wherever GET goes. Absent on purpose: rules; a handler asks, checks and hands on.

pub mod batch;
pub mod feeds;
pub mod health;
pub mod interactions;
pub mod items;
pub mod lines;
pub mod people;
pub mod rights;
pub mod scores;

use actix_web::{HttpRequest, HttpResponse, Resource, Route, guard, web};
use serde::Serialize;

use super::errors::{Answer, Problem};

/// How many rows a list may be asked for.
pub const LIST_MAX: u32 = 1_000;
/// How many rows a list has when nobody asks.
pub const LIST_DEFAULT: u32 = 100;

/// All REST routes. `/post/recommendations` stands before `/post/{id}`, so no item is called that here.
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .service(at("/health", "GET, HEAD").route(reads().to(health::health)))
        .service(at("/ready", "GET, HEAD").route(reads().to(health::ready)))
        .service(at("/user/{id}", "GET, HEAD").route(reads().to(people::person)))
        .service(at("/user/{id}/feed", "GET, HEAD").route(reads().to(interactions::of_person)))
        .service(at("/post/recommendations", "GET, HEAD").route(reads().to(feeds::recommendations)))
        .service(at("/post/{id}", "GET, HEAD").route(reads().to(items::item)))
        .service(at("/post/{id}/feed", "GET, HEAD").route(reads().to(interactions::with_item)))
        .service(at("/v1/users", "GET, HEAD").route(reads().to(people::list)))
        .service(
            at("/v1/users/{id}", "GET, HEAD, PUT, DELETE")
                .route(reads().to(people::person))
                .route(web::put().to(people::put))
                .route(web::delete().to(rights::erase)),
        )
        .service(at("/v1/users/{id}/export", "GET, HEAD").route(reads().to(rights::export)))
        .service(
            at("/v1/users/{id}/follows/{whom}", "PUT, DELETE")
                .route(web::put().to(people::follow))
                .route(web::delete().to(people::unfollow)),
        )
        .service(at("/v1/users/{id}/feed", "GET, HEAD").route(reads().to(feeds::feed)))
        .service(
            at("/v1/users/{id}/model", "GET, HEAD, PATCH")
                .route(reads().to(scores::model))
                .route(web::patch().to(scores::set_topics)),
        )
        .service(
            at("/v1/users/{id}/predictions/{item}", "GET, HEAD, POST")
                .route(reads().to(scores::prediction))
                .route(web::post().to(scores::label)),
        )
        .service(at("/v1/interactions", "POST").route(web::post().to(interactions::take)))
        .service(at("/v1/items", "GET, HEAD, POST").route(reads().to(items::list)).route(web::post().to(items::create)))
        .service(
            at("/v1/items/{id}", "GET, HEAD, PUT, PATCH, DELETE")
                .route(reads().to(items::item))
                .route(web::put().to(items::replace))
                .route(web::patch().to(items::change))
                .route(web::delete().to(items::delete)),
        )
        .service(
            at("/v1/items/{id}/windows", "GET, HEAD, PUT")
                .route(reads().to(items::windows))
                .route(web::put().to(items::set_windows)),
        )
        .service(at("/v1/score", "GET, HEAD").route(reads().to(scores::score)))
        .service(at("/v1/availability", "GET, HEAD").route(reads().to(items::availability)));
}

/// A path, with the methods that it knows.
pub fn at(path: &str, allow: &'static str) -> Resource {
    let refuse = move |request: HttpRequest| async move { Answer::Err(Problem::not_allowed(request.method(), allow)) };
    web::resource(path).default_service(web::to(refuse))
}

/// GET, and HEAD, which is GET without the body.
#[must_use]
pub fn reads() -> Route {
    web::route().guard(guard::Any(guard::Get()).or(guard::Head()))
}

/// 200 with this as JSON, not to be kept.
fn found(body: &impl Serialize) -> Answer {
    Ok(HttpResponse::Ok().insert_header(("cache-control", "no-store")).json(body))
}

#[cfg(test)]
mod tests {
    use actix_web::middleware::NormalizePath;
    use actix_web::test as web_test;
    use actix_web::{App, http::Method};

    use super::super::errors::unknown_route;
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
