//! Is it alive, may it take work?
//!
//! Invariant: these need no token and say nothing about anybody. Absent on purpose: figures (`figures`).

use actix_web::web;
use serde_json::json;

use super::super::errors::HttpResult;
use super::super::state::GatewayState;
use super::list::found;

/// `GET /health`: the process answers.
///
/// # Errors
/// None.
pub async fn health() -> HttpResult {
    found(&json!({"status": "ok"}))
}

/// `GET /ready`: it may take work.
///
/// # Errors
/// `busy` until the store writes and the world is loaded, and again while shutting down.
pub async fn ready(state: web::Data<GatewayState>) -> HttpResult {
    state.server.ready().await?;
    found(&json!({"status": "ready"}))
}
