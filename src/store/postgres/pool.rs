//! Connections: how they are made, set up, and looked at before they are used again.
//!
//! Invariant: a connection that is handed out has just answered; all of them are set up alike, once, when made, so a
//! pooler in between that keeps sessions (session mode) goes unnoticed. Absent on purpose: statements about our tables.

use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio::time::timeout;
use tokio_postgres::NoTls;
use tokio_postgres::types::Type;

use super::failures::late;
use super::settings::PostgresSettings;
use super::tls;
use super::url::PostgresUrl;
use crate::store::StoreError;

const SESSION_SET: &str = include_str!("../../../sql/queries/postgres/session_set.sql");

/// What we call ourselves unless the address says otherwise.
pub(super) const PROGRAM: &str = "eddyline";

/// Who we are among other servers of the same database, for whoever looks at its connections.
fn own_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host.trim().chars().filter(char::is_ascii_graphic).take(32).collect();
    let at = if host.is_empty() { String::new() } else { format!(" on {host}") };
    format!("{PROGRAM}{at}, process {}", std::process::id())
}

/// A connection; back to its pool when dropped.
pub(super) type Client = deadpool_postgres::Client;

/// A pool of at most `size` connections.
pub(super) fn make(url: &PostgresUrl, settings: &PostgresSettings, size: usize) -> Result<Pool, StoreError> {
    let verified = ManagerConfig { recycling_method: RecyclingMethod::Verified };
    let mut config = url.config.clone();
    let connect = Duration::from_millis(settings.connect_ms);
    if config.get_application_name() == Some(PROGRAM) {
        config.application_name(own_name());
    }
    config.connect_timeout(connect).keepalives_idle(Duration::from_secs(10)).tcp_user_timeout(settings.patience());
    let manager = match tls::connector(url)? {
        Some(connector) => Manager::from_config(config, connector, verified),
        None => Manager::from_config(config, NoTls, verified),
    };
    let (statement, lock) = (settings.statement_ms.to_string(), settings.statement_ms.to_string());
    let set_up = Hook::async_fn(move |client: &mut deadpool_postgres::ClientWrapper, _| {
        let (statement, lock) = (statement.clone(), lock.clone());
        Box::pin(async move {
            // In one go, unprepared: a connection that only comes and goes should cost little.
            let answered =
                async { client.query_typed(SESSION_SET, &[(&statement, Type::TEXT), (&lock, Type::TEXT)]).await };
            match timeout(connect, answered).await {
                Ok(Ok(_)) => Ok(()),
                Ok(Err(error)) => Err(HookError::Backend(error)),
                Err(_) => Err(HookError::message(late().to_string())),
            }
        })
    });
    Pool::builder(manager)
        .max_size(size)
        .runtime(Runtime::Tokio1)
        .wait_timeout(Some(Duration::from_millis(settings.wait_ms)))
        .create_timeout(Some(connect))
        .recycle_timeout(Some(Duration::from_millis(settings.recycle_ms)))
        .post_create(set_up)
        .build()
        .map_err(|error| StoreError::Refused(error.to_string()))
}
