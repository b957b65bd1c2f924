//! Liveness and readiness of the server.
//!
//! Invariant: these routes need no token and reveal no data. Deliberately absent: figures (`figures`).

use actix_web::web;
use serde_json::json;

use super::super::errors::HttpResult;
use super::super::state::GatewayState;
use super::list::found;

/// `GET /health`: 200 while the process answers.
///
/// # Errors
/// Never.
pub async fn health() -> HttpResult {
    found(&json!({"status": "ok"}))
}

/// `GET /ready`: 200 while the server accepts work.
///
/// # Errors
/// `busy` until the store accepts writes and the world is loaded, and again during shutdown.
pub async fn ready(state: web::Data<GatewayState>) -> HttpResult {
    state.server.ready().await?;
    found(&json!({"status": "ready"}))
}
