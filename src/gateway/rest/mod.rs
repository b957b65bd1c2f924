//! The REST interface: one file per group of routes, and the table of all routes.
//!
//! Invariant: [`ROUTES`] contains every REST route. Deliberately absent: domain rules; a handler authorizes, checks and
//! calls the server.

pub mod batch;
pub mod ndjson;
pub(crate) mod parts;
pub mod list;
pub mod pieces;
pub mod clusters;
pub mod clusterings;
pub mod metrics;
pub mod items;
pub mod popular;
pub mod availability;
pub mod people;
pub mod scores;
pub mod weights;
pub mod feeds;
pub mod recommend;
pub mod interactions;
pub mod undo;
pub mod rights;
pub mod bulk;
pub mod similar;
pub mod search;
pub mod models;
pub mod model_files;
pub mod access;
pub mod figures;
pub mod graph;
pub mod health;

use super::routes::routes;

routes! {
    /// All REST routes. A path that ends with an item's key takes slashes in the key (`:.+`). It stands behind all longer
    /// paths below items. `/post/recommendations` stands before `/post/{id}`, so this path reaches no item
    /// of that key.
    ROUTES;
    /// Registers all REST routes.
    configure;

    "/health" => GET health::health;
    "/ready" => GET health::ready;
    "/metrics" => GET figures::metrics;
    "/user/{id}" => GET people::person;
    "/user/{id}/feed" => GET interactions::of_person;
    "/post/recommendations" => GET feeds::recommendations;
    "/post/{id}/feed" => GET interactions::with_item;
    "/post/{id:.+}" => GET items::item;
    "/v1/users" => GET people::list, POST bulk::users;
    "/v1/follows" => POST bulk::follows;
    "/v1/deletions" => POST bulk::deletions;
    "/v1/users/{id}" => GET people::person, PUT people::put, DELETE rights::erase;
    "/v1/users/{id}/export" => GET rights::export;
    "/v1/users/{id}/hidden" => GET undo::hidden;
    "/v1/users/{id}/liked" => GET undo::liked;
    "/v1/users/{id}/interactions/{event:.+}" => DELETE undo::undo;
    "/v1/users/{id}/follows/{whom}" => PUT people::follow, DELETE people::unfollow;
    "/v1/users/{id}/feed" => GET feeds::feed;
    "/v1/users/{id}/similar" => GET similar::similar_people;
    "/v1/users/{id}/metrics" => GET metrics::of_user;
    "/v1/users/{id}/model" => GET scores::model, PATCH scores::set_topics;
    "/v1/users/{id}/topics/history" => GET weights::history;
    "/v1/users/{id}/predictions/{item:.+}" => GET scores::prediction, POST scores::label;
    "/v1/interactions" => POST interactions::take;
    "/v1/items" => GET items::list, POST items::create;
    "/v1/items/{id}/audience" => GET availability::audience;
    "/v1/items/{id}/similar" => GET similar::similar;
    "/v1/items/{id}/windows" => GET items::windows, PUT items::set_windows;
    "/v1/items/{id:.+}" => GET items::item, PUT items::replace, PATCH items::change, DELETE items::delete;
    "/v1/search" => GET search::search;
    "/v1/recommend" => POST recommend::recommend;
    "/v1/topics" => GET similar::topics;
    "/v1/popular" => GET popular::popular;
    "/v1/metrics" => GET metrics::list, POST metrics::take;
    "/v1/metrics/{name}" => GET metrics::declaration, PUT metrics::declare, DELETE metrics::undeclare;
    "/v1/metrics/{name}/atypical" => GET metrics::atypical;
    "/v1/models" => GET models::list, POST models::create;
    "/v1/models/rollback" => POST models::rollback;
    "/v1/models/{version}" => GET models::model;
    "/v1/models/{version}/publish" => POST models::publish;
    "/v1/models/{version}/download" => GET model_files::download;
    "/v1/models/{version}/embeddings" => GET model_files::embeddings;
    "/v1/users/{id}/clusters" => GET clusterings::of_user;
    "/v1/clusterings" => GET clusterings::list;
    "/v1/clusterings/{name}" => GET clusterings::one, PUT clusterings::put, DELETE clusterings::remove;
    "/v1/clusterings/{name}/refit" => POST clusterings::refit;
    "/v1/clusterings/{name}/history" => GET clusterings::history;
    "/v1/clusterings/{name}/names/{cluster}" => PUT clusterings::name, DELETE clusterings::unname;
    "/v1/clusters" => GET clusters::newest;
    "/v1/clusters/refit" => POST clusters::refit;
    "/v1/clusters/history" => GET clusters::history;
    "/v1/score" => GET scores::score;
    "/v1/figures" => GET figures::figures;
    "/v1/decay" => GET graph::decay;
    "/v1/graph" => GET graph::graph;
    "/v1/availability" => GET availability::availability;
    "/v1/tokens" => GET access::list, POST access::create;
    "/v1/tokens/{jti}" => DELETE access::revoke;
    "/v1/keys" => GET access::keys, POST access::rotate;
    "/v1/keys/{kid}" => DELETE access::retire;
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use actix_web::middleware::NormalizePath;
    use actix_web::test as web_test;
    use actix_web::{App, HttpResponse, http::Method, web};

    use super::super::errors::unknown_route;
    use super::super::routes::{at, reads};
    use super::*;

    #[test]
    fn a_path_that_takes_the_slashes_of_a_key_stands_behind_all_paths_below_it() {
        let places: BTreeMap<_, _> = ROUTES.iter().enumerate().map(|(place, (path, _))| (*path, place)).collect();
        for (path, place) in &places {
            let Some(start) = path.strip_suffix(":.+}").and_then(|path| path.rfind('{').map(|at| &path[..at])) else {
                continue;
            };
            let below: Vec<_> = places.iter().filter(|(other, _)| *other != path && other.starts_with(start)).collect();
            assert!(below.iter().all(|(_, other)| *other < place), "{path} hides one of {below:?}");
        }
    }

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
            (Method::PATCH, "/v1/items/a/b", 500, None),
            (Method::POST, "/v1/items/a/b", 405, Some("GET, HEAD, PUT, PATCH, DELETE")),
            (Method::DELETE, "/v1/items/a/windows", 405, Some("GET, HEAD, PUT")),
            (Method::PUT, "/v1/items/a/audience", 405, Some("GET, HEAD")),
            (Method::PUT, "/post/a/b", 405, Some("GET, HEAD")),
            (Method::PUT, "/v1/users/a/predictions/b/c", 405, Some("GET, HEAD, POST")),
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
