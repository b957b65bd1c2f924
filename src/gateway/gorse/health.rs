//! Liveness and readiness in the form of Gorse.
//!
//! Invariant: these routes need no key and reveal no data.

use actix_web::{HttpResponse, web};
use serde::Serialize;

use super::super::state::GatewayState;
use super::reply::{GorseResult, found};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Health {
    ready: bool,
    data_store_error: Option<&'static str>,
    cache_store_error: Option<&'static str>,
    data_store_connected: bool,
    cache_store_connected: bool,
}

/// The server has one store, which stands for both stores of Gorse.
fn health(ready: bool) -> Health {
    let error = (!ready).then_some("the store does not accept writes");
    Health {
        ready,
        data_store_error: error,
        cache_store_error: error,
        data_store_connected: ready,
        cache_store_connected: ready,
    }
}

/// `GET /api/health/live`: 200 while the process answers.
///
/// # Errors
/// Never.
pub async fn live(state: web::Data<GatewayState>) -> GorseResult {
    found(&health(state.server.ready().await.is_ok()))
}

/// `GET /api/health/ready`: 200 while the server accepts work, else 503.
///
/// # Errors
/// Never.
pub async fn ready(state: web::Data<GatewayState>) -> GorseResult {
    match state.server.ready().await {
        Ok(()) => found(&health(true)),
        Err(_) => Ok(HttpResponse::ServiceUnavailable().json(health(false))),
    }
}
