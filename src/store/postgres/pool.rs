//! The connection pool: creation, setup and health check of connections.
//!
//! Invariant: the pool hands out a connection right after a successful health check. Each connection is set up once,
//! when it is created, so a pooler in session mode works. Absent on purpose: statements about tables.

use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Pool, RecyclingMethod, Runtime};
use tokio::time::timeout;
use tokio_postgres::NoTls;
use tokio_postgres::types::Type;

use super::failures::late;
use super::settings::PostgresSettings;
use super::tls;
use super::url::{PROGRAM, PostgresUrl};
use crate::store::error::StoreError;

const SESSION_SET: &str = include_str!("../../../sql/queries/postgres/session_set.sql");

/// Application name with host and process id, so that an operator tells servers apart in `pg_stat_activity`.
fn own_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host: String = host.trim().chars().filter(char::is_ascii_graphic).take(32).collect();
    let at = if host.is_empty() { String::new() } else { format!(" on {host}") };
    format!("{PROGRAM}{at}, process {}", std::process::id())
}

/// A pooled connection; dropping it returns it to its pool.
pub(super) type Client = deadpool_postgres::Client;

/// Creates a pool of at most `size` connections.
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
            // One round trip without preparing, since connections may be short-lived.
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
