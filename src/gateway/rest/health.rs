//! Liveness and readiness of the server.
//!
//! Invariant: these routes need no token and reveal no data. Deliberately absent: figures (`figures`).

use actix_web::web;
use serde_json::json;

use crate::actors::errors::{Busy, RequestError};
use crate::protocol::refusal::Refusal;

use super::super::busy;
use super::super::errors::{HttpResult, Problem};
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
    state.server.ready().await.map_err(|error| match error {
        RequestError::Busy(Busy::ShuttingDown) => {
            let refusal = busy::refusal(error);
            Problem::from(Refusal { message: "the server is going down".into(), ..refusal })
        }
        error => error.into(),
    })?;
    found(&json!({"status": "ready"}))
}
