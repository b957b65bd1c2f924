//! The rows of the matrix: each route with its method, an example, and the rule of its access.

use super::*;
use crate::support::rest::Rest;

pub(super) struct Row {
    pub(super) route: &'static str,
    pub(super) method: &'static str,
    pub(super) path: String,
    pub(super) body: Option<Value>,
    pub(super) rule: Rule,
}

impl Row {
    /// Whether the route is for Gorse clients, which send a key in place of a token.
    pub(super) fn is_gorse(&self) -> bool {
        self.route.starts_with("/api/")
    }

    pub(super) fn ask(&self, rest: &Rest, method: &str, token: Option<&str>) -> Answer {
        let key = token.filter(|_| self.is_gorse()).map(|token| ("X-API-Key", token));
        let token = token.filter(|_| !self.is_gorse());
        rest.ask_with(method, &self.path, token, self.body.as_ref(), key.as_slice())
    }

    /// Whether a refusal has this code. Gorse clients read a text, which is the code alone for callers without rights.
    pub(super) fn answers(&self, answer: &Answer, code: &str) -> bool {
        if self.is_gorse() {
            let is_text = answer.header("content-type").is_some_and(|media| media.starts_with("text/plain"));
            return is_text && (code != "unauthorized" || answer.body == code);
        }
        answer.is(code)
    }
}

pub(super) fn row(route: &'static str, method: &'static str, path: &str, rule: Rule) -> Row {
    Row { route, method, path: path.to_owned(), body: None, rule }
}

pub(super) fn with(route: &'static str, method: &'static str, path: &str, body: Value, rule: Rule) -> Row {
    Row { body: Some(body), ..row(route, method, path, rule) }
}

/// One row per route and method. `jti` and `kid` exist, so that they can be deleted.
pub(super) fn rows(jti: &str, kid: &str) -> Vec<Row> {
    use Rule::{Known, Open, Own, Service};
    let item = json!({"text": "a new face", "topics": ["a"]});
    let act = json!({"user": "ada", "item": "item-0", "kind": "view"});
    let measured = json!({"metric": "time_spent", "page_type": "post", "time_spent": 2.5});
    let (token, key) = (format!("/v1/tokens/{jti}"), format!("/v1/keys/{kid}"));
    vec![
        row("/", "GET", "/", Open(200)),
        // The page without any figure; the routes that it calls have rows of their own.
        row("/admin", "GET", "/admin", Open(200)),
        row("/examples/pages", "GET", "/examples/pages", Open(200)),
        // Descriptions of the interface, without any data.
        row("/docs", "GET", "/docs", Open(200)),
        row("/openapi.json", "GET", "/openapi.json", Open(200)),
        row("/asyncapi.json", "GET", "/asyncapi.json", Open(200)),
        // The pages without any figure; `tests/server/judging.rs` asks for their JSON as each kind of caller.
        row("/prediction/{n}", "GET", "/prediction/1?user=ada", Open(200)),
        with("/prediction/{n}", "POST", "/prediction/1?user=ada", json!({"label": "accepted"}), Own(200)),
        row("/score", "GET", "/score", Open(200)),
        row("/clients/javascript/src/{path:.*}", "GET", "/clients/javascript/src/index.js", Open(200)),
        row("/static/{path:.*}", "GET", "/static/index.html", Open(200)),
        // Not a handshake; handshakes are tested below.
        row("/ws", "SOCKET", "/ws", Open(400)),
        row("/health", "GET", "/health", Open(200)),
        row("/ready", "GET", "/ready", Open(200)),
        row("/metrics", "GET", "/metrics", Service(200)),
        row("/user/{id}", "GET", "/user/ada", Own(200)),
        row("/user/{id}/feed", "GET", "/user/ada/feed/", Own(200)),
        row("/post/recommendations", "GET", "/post/recommendations?id=ada", Own(200)),
        row("/post/{id:.+}", "GET", "/post/item-0", Known(200)),
        row("/post/{id}/feed", "GET", "/post/item-0/feed/", Service(200)),
        row("/v1/models", "GET", "/v1/models", Service(200)),
        // Without a checkpoint; `tests/server/models.rs` uploads some.
        row("/v1/models", "POST", "/v1/models", Service(415)),
        row("/v1/models/rollback", "POST", "/v1/models/rollback", Service(409)),
        row("/v1/models/{version}", "GET", "/v1/models/7", Service(404)),
        row("/v1/models/{version}/download", "GET", "/v1/models/7/download", Service(404)),
        row("/v1/models/{version}/embeddings", "GET", "/v1/models/7/embeddings?of=items", Service(404)),
        row("/v1/models/{version}/publish", "POST", "/v1/models/7/publish", Service(404)),
        row("/v1/decay", "GET", "/v1/decay", Known(200)),
        row("/v1/graph", "GET", "/v1/graph?limit=5", Service(200)),
        row("/v1/users", "GET", "/v1/users", Service(200)),
        // A list is authorised part by part; `tests/server/bulk.rs` asks as each kind of caller.
        with("/v1/users", "POST", "/v1/users", json!([]), Known(200)),
        with("/v1/follows", "POST", "/v1/follows", json!([]), Known(200)),
        with("/v1/deletions", "POST", "/v1/deletions", json!([]), Known(200)),
        row("/v1/users/{id}", "GET", "/v1/users/ada", Own(200)),
        with("/v1/users/{id}", "PUT", "/v1/users/ada", json!({"name": "Ada"}), Own(200)),
        row("/v1/users/{id}/export", "GET", "/v1/users/ada/export", Own(200)),
        // A user that only services may act for here; `tests/server/rights.rs` tests that users may erase themselves.
        row("/v1/users/{id}", "DELETE", "/v1/users/cleo", Service(204)),
        row("/v1/users/{id}/hidden", "GET", "/v1/users/ada/hidden", Own(200)),
        row("/v1/users/{id}/liked", "GET", "/v1/users/ada/liked", Own(200)),
        // No such event; `tests/server/undo.rs` cancels real ones.
        row("/v1/users/{id}/interactions/{event:.+}", "DELETE", "/v1/users/ada/interactions/none", Own(404)),
        row("/v1/users/{id}/follows/{whom}", "PUT", "/v1/users/ada/follows/bob", Own(200)),
        row("/v1/users/{id}/follows/{whom}", "DELETE", "/v1/users/ada/follows/bob", Own(200)),
        row("/v1/users/{id}/feed", "GET", "/v1/users/ada/feed", Own(200)),
        row("/v1/users/{id}/model", "GET", "/v1/users/ada/model", Own(200)),
        with("/v1/users/{id}/model", "PATCH", "/v1/users/ada/model", json!({"topics": {"a": 0.5}}), Own(200)),
        row("/v1/users/{id}/similar", "GET", "/v1/users/ada/similar", Service(200)),
        row("/v1/users/{id}/metrics", "GET", "/v1/users/ada/metrics", Own(200)),
        row("/v1/users/{id}/topics/history", "GET", "/v1/users/ada/topics/history", Own(200)),
        row("/v1/users/{id}/predictions/{item:.+}", "GET", "/v1/users/ada/predictions/item-0", Own(200)),
        with(
            "/v1/users/{id}/predictions/{item:.+}",
            "POST",
            "/v1/users/ada/predictions/item-0",
            json!({"label": "accepted"}),
            Own(200),
        ),
        with("/v1/interactions", "POST", "/v1/interactions", act, Own(200)),
        row("/v1/items", "GET", "/v1/items", Known(200)),
        with("/v1/items", "POST", "/v1/items", item.clone(), Service(201)),
        row("/v1/items/{id:.+}", "GET", "/v1/items/item-0", Known(200)),
        with("/v1/items/{id:.+}", "PUT", "/v1/items/item-1", item.clone(), Service(200)),
        with("/v1/items/{id:.+}", "PATCH", "/v1/items/item-1", item, Service(200)),
        row("/v1/items/{id:.+}", "DELETE", "/v1/items/item-9", Service(204)),
        row("/v1/items/{id}/similar", "GET", "/v1/items/item-0/similar", Known(200)),
        with("/v1/recommend", "POST", "/v1/recommend", json!({"items": ["item-0"]}), Known(200)),
        row("/v1/search", "GET", "/v1/search?q=item", Known(200)),
        row("/v1/topics", "GET", "/v1/topics", Known(200)),
        row("/v1/items/{id}/audience", "GET", "/v1/items/item-0/audience", Service(200)),
        row("/v1/popular", "GET", "/v1/popular", Known(200)),
        row("/v1/items/{id}/windows", "GET", "/v1/items/item-0/windows", Known(200)),
        with("/v1/items/{id}/windows", "PUT", "/v1/items/item-1/windows", json!([]), Service(200)),
        with("/v1/metrics", "POST", "/v1/metrics?user=ada", measured, Own(200)),
        row("/v1/metrics", "GET", "/v1/metrics", Service(200)),
        with("/v1/metrics/{name}", "PUT", "/v1/metrics/visits", json!({"unit": "days"}), Service(200)),
        row("/v1/metrics/{name}", "GET", "/v1/metrics/time_spent", Service(200)),
        // Without a stored declaration it changes nothing; `tests/server/metrics.rs` removes some.
        row("/v1/metrics/{name}", "DELETE", "/v1/metrics/time_spent", Service(200)),
        row("/v1/metrics/{name}/atypical", "GET", "/v1/metrics/time_spent/atypical", Service(200)),
        row("/v1/users/{id}/clusters", "GET", "/v1/users/ada/clusters", Service(200)),
        row("/v1/clusterings", "GET", "/v1/clusterings", Service(200)),
        with("/v1/clusterings/{name}", "PUT", "/v1/clusterings/default", json!({"threshold": 0}), Service(200)),
        row("/v1/clusterings/{name}", "GET", "/v1/clusterings/default", Service(200)),
        row("/v1/clusterings/{name}", "DELETE", "/v1/clusterings/default", Service(200)),
        row("/v1/clusterings/{name}/refit", "POST", "/v1/clusterings/default/refit", Service(202)),
        row("/v1/clusterings/{name}/history", "GET", "/v1/clusterings/default/history", Service(200)),
        // Without a fit there is no cluster to name; `tests/server/clusterings.rs` names some.
        with(
            "/v1/clusterings/{name}/names/{cluster}",
            "PUT",
            "/v1/clusterings/default/names/0",
            json!({"name": "night readers"}),
            Service(404),
        ),
        row("/v1/clusterings/{name}/names/{cluster}", "DELETE", "/v1/clusterings/default/names/0", Service(404)),
        row("/v1/clusters", "GET", "/v1/clusters", Service(200)),
        row("/v1/clusters/refit", "POST", "/v1/clusters/refit", Service(202)),
        row("/v1/clusters/history", "GET", "/v1/clusters/history", Service(200)),
        row("/v1/score", "GET", "/v1/score", Service(200)),
        row("/v1/score", "GET", "/v1/score?user=ada", Own(200)),
        row("/v1/figures", "GET", "/v1/figures", Service(200)),
        row("/v1/availability", "GET", "/v1/availability", Known(200)),
        row("/v1/availability", "GET", "/v1/availability?from=0&to=1000", Known(200)),
        row("/v1/tokens", "GET", "/v1/tokens", Service(200)),
        with("/v1/tokens", "POST", "/v1/tokens", json!({"user": "ada", "days": 1}), Service(201)),
        row("/v1/tokens/{jti}", "DELETE", &token, Service(200)),
        row("/v1/keys", "GET", "/v1/keys", Service(200)),
        row("/v1/keys", "POST", "/v1/keys", Service(201)),
        row("/v1/keys/{kid}", "DELETE", &key, Service(200)),
    ]
    .into_iter()
    .chain(gorse_rows())
    .collect()
}

/// The routes for Gorse clients.
fn gorse_rows() -> Vec<Row> {
    use Rule::{Open, Service};
    let user = json!({"UserId": "ada", "Labels": {"age": 24}});
    let item = json!({"ItemId": "item-2", "Comment": "a text", "Categories": ["a"]});
    let feedback = json!([{"FeedbackType": "star", "UserId": "ada", "ItemId": "item-3", "Value": 1.0}]);
    vec![
        row("/api/health/live", "GET", "/api/health/live", Open(200)),
        row("/api/health/ready", "GET", "/api/health/ready", Open(200)),
        with("/api/user", "POST", "/api/user", user.clone(), Service(200)),
        row("/api/users", "GET", "/api/users?n=3", Service(200)),
        with("/api/users", "POST", "/api/users", json!([user]), Service(200)),
        row("/api/user/{id}", "GET", "/api/user/ada", Service(200)),
        with("/api/user/{id}", "PATCH", "/api/user/ada", json!({"Comment": "x"}), Service(200)),
        row("/api/user/{id}", "DELETE", "/api/user/unknown", Service(200)),
        row("/api/user/{id}/feedback", "GET", "/api/user/ada/feedback", Service(200)),
        row("/api/user/{id}/feedback/{type}", "GET", "/api/user/ada/feedback/star", Service(200)),
        row("/api/user/{id}/neighbors", "GET", "/api/user/ada/neighbors", Service(200)),
        with("/api/item", "POST", "/api/item", item.clone(), Service(200)),
        row("/api/items", "GET", "/api/items?n=3", Service(200)),
        with("/api/items", "POST", "/api/items", json!([item]), Service(200)),
        row("/api/item/{id}", "GET", "/api/item/item-0", Service(200)),
        with("/api/item/{id}", "PATCH", "/api/item/item-2", json!({"Comment": "x"}), Service(200)),
        row("/api/item/{id}", "DELETE", "/api/item/unknown", Service(200)),
        row("/api/item/{id}/category/{category}", "PUT", "/api/item/item-2/category/b", Service(200)),
        row("/api/item/{id}/category/{category}", "DELETE", "/api/item/item-2/category/b", Service(200)),
        row("/api/item/{id}/feedback", "GET", "/api/item/item-0/feedback", Service(200)),
        row("/api/item/{id}/feedback/{type}", "GET", "/api/item/item-0/feedback/star", Service(200)),
        row("/api/item/{id}/neighbors", "GET", "/api/item/item-0/neighbors", Service(200)),
        row("/api/item/{id}/neighbors/{category}", "GET", "/api/item/item-0/neighbors/a", Service(200)),
        row("/api/feedback", "GET", "/api/feedback", Service(200)),
        with("/api/feedback", "POST", "/api/feedback", feedback.clone(), Service(200)),
        with("/api/feedback", "PUT", "/api/feedback", feedback, Service(200)),
        row("/api/feedback/{type}", "GET", "/api/feedback/star", Service(200)),
        row("/api/feedback/{user}/{item}", "GET", "/api/feedback/ada/item-3", Service(200)),
        row("/api/feedback/{user}/{item}", "DELETE", "/api/feedback/ada/item-3", Service(200)),
        row("/api/feedback/{type}/{user}/{item}", "GET", "/api/feedback/star/ada/item-3", Service(200)),
        row("/api/feedback/{type}/{user}/{item}", "DELETE", "/api/feedback/star/ada/item-3", Service(200)),
        row("/api/recommend/{user}", "GET", "/api/recommend/ada", Service(200)),
        row("/api/recommend/{user}/{category}", "GET", "/api/recommend/ada/a", Service(200)),
        with("/api/session/recommend", "POST", "/api/session/recommend", json!([{"ItemId": "item-0"}]), Service(200)),
        with("/api/session/recommend/{category}", "POST", "/api/session/recommend/a", json!([]), Service(200)),
        row("/api/latest", "GET", "/api/latest", Service(200)),
        row("/api/latest/{category}", "GET", "/api/latest/a", Service(200)),
        row("/api/popular", "GET", "/api/popular", Service(200)),
        row("/api/popular/{category}", "GET", "/api/popular/a", Service(200)),
        row("/api/non-personalized/{name}", "GET", "/api/non-personalized/latest", Service(200)),
        row("/api/item-to-item/{name}/{id}", "GET", "/api/item-to-item/neighbors/item-0", Service(200)),
        row("/api/user-to-user/{name}/{id}", "GET", "/api/user-to-user/neighbors/ada", Service(200)),
        row("/api/collaborative-filtering/{user}", "GET", "/api/collaborative-filtering/ada", Service(200)),
    ]
}
