//! The documents of the interface, built from the code: OpenAPI 3.1 for REST, AsyncAPI 3.0 for the socket.
//!
//! Invariant: each registered route has one description and each description its route; `tests/house/openapi.rs` names
//! the difference. The documents hold no data, so they need no token. Deliberately absent: the routes below `/api`, which
//! follow the interface of Gorse.
//!
//! A new route needs one entry in [`catalogue`], [`users`] or [`operators`], with its method and its path as in the table of
//! routes:
//!
//! ```text
//! route("GET", "/v1/things/{id}", "readThing", Who::Known, "Reads a thing.")
//!     .query("limit", "integer(1..100) = 30", "Most parts of the answer.")
//!     .answer(200, "{id: Key, parts: string[], next: integer | null}", "The thing.")
//!     .fails(&[Code::UnknownItem])
//! ```
//!
//! Schemas use the notation of [`notation`]. A type that serde reads or writes derives `JsonSchema` and has a line in
//! [`schemas`]; its name is then known to the notation. Errors that each route of this form has are added by themselves.

mod notation;
mod operation;
mod schemas;
mod catalogue;
mod users;
mod operators;
mod socket;

use std::sync::LazyLock;

use actix_web::web::Bytes;
use actix_web::{HttpRequest, HttpResponse};
use serde_json::{Map, Value, json};

use crate::protocol::problem::Code;

use super::errors::{self, HttpResult};
use super::pages;
use operation::Operation;

/// Groups of routes: name, description, routes.
fn groups() -> [(&'static str, &'static str, Vec<Operation>); 7] {
    [
        ("catalogue", "Items, topics and availability.", catalogue::operations()),
        ("users", "Users, their events, their feeds and predictions.", users::operations()),
        ("metrics", "Measurements of users.", operators::metrics()),
        ("clusterings", "Clusterings of users.", operators::clusterings()),
        ("models", "Two-tower models.", operators::models()),
        ("access", "Tokens and keys.", operators::access()),
        ("server", "State of the server, documents and pages.", operators::server()),
    ]
}

/// The OpenAPI document with the faults of its descriptions, of which there must be none.
fn build() -> (Value, Vec<String>) {
    let mut faults = Vec::new();
    let (mut paths, mut tags) = (Map::new(), Vec::new());
    for (name, about, operations) in groups() {
        tags.push(json!({"name": name, "description": about}));
        for operation in operations {
            let described = operation.to_json(name, &mut faults);
            let method = operation.method.to_lowercase();
            paths.entry(operation.open_path()).or_insert_with(|| json!({}))[method] = described;
        }
    }
    let examples: Map<String, Value> = Code::ALL
        .into_iter()
        .map(|code| {
            let (status, title) = (errors::status(code).as_u16(), errors::title(code));
            let value = json!({"type": format!("/problems/{}", code.name()), "title": title, "status": status, "detail": title});
            (code.name().to_owned(), json!({"value": value}))
        })
        .collect();
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Eddyline",
            "version": env!("CARGO_PKG_VERSION"),
            "summary": "Real-time recommender server.",
            "description": "REST interface. Errors are `application/problem+json` (RFC 9457); `type` ends with the error code. \
                            The WebSocket has its own description at `/asyncapi.json`.",
            "license": {"name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": tags,
        "paths": paths,
        "components": {
            "schemas": schemas::components(&mut faults),
            "examples": examples,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
        },
    });
    (document, faults)
}

/// The OpenAPI document.
#[must_use]
pub fn openapi() -> Value {
    build().0
}

/// Faults of the descriptions: schemas and examples that do not read, names that clash. There must be none.
#[must_use]
pub fn faults() -> Vec<String> {
    build().1
}

/// The AsyncAPI document of the socket.
#[must_use]
pub fn asyncapi() -> Value {
    socket::document()
}

/// All described routes: method and path as in the tables of routes.
#[must_use]
pub fn described() -> Vec<(&'static str, &'static str)> {
    let all = groups().into_iter().flat_map(|(_, _, operations)| operations);
    all.map(|operation| (operation.method, operation.path)).collect()
}

static OPENAPI: LazyLock<Bytes> = LazyLock::new(|| openapi().to_string().into());
static ASYNCAPI: LazyLock<Bytes> = LazyLock::new(|| asyncapi().to_string().into());

/// `GET /openapi.json`.
///
/// # Errors
/// Never.
pub(crate) async fn read_openapi() -> HttpResult {
    Ok(json(&OPENAPI))
}

/// `GET /asyncapi.json`.
///
/// # Errors
/// Never.
pub(crate) async fn read_asyncapi() -> HttpResult {
    Ok(json(&ASYNCAPI))
}

/// `GET /docs`: the page alone, which reads `/openapi.json`.
///
/// # Errors
/// `unknown_route` when there is no such page in this build.
pub(crate) async fn page(request: HttpRequest) -> HttpResult {
    pages::docs(request).await
}

fn json(bytes: &Bytes) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").insert_header(("cache-control", "no-cache")).body(bytes.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_descriptions_read() {
        assert_eq!(faults(), Vec::<String>::new());
    }

    #[test]
    fn all_references_have_a_target() {
        fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
            match value {
                Value::Object(fields) => fields.iter().for_each(|(name, inner)| match inner.as_str() {
                    Some(target) if name == "$ref" => found.push(target),
                    _ => references(inner, found),
                }),
                Value::Array(all) => all.iter().for_each(|one| references(one, found)),
                _ => {}
            }
        }
        for document in [openapi(), asyncapi()] {
            let mut found = Vec::new();
            references(&document, &mut found);
            assert!(found.len() > 20);
            for target in found {
                let pointer = target.strip_prefix('#').unwrap_or(target);
                assert!(document.pointer(pointer).is_some(), "{target} does not exist");
            }
        }
    }
}
