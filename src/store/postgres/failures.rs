//! Postgres errors as store errors.
//!
//! Invariant: `Refused`: permanent (bad row or bad SQL), the caller drops the batch. `Unavailable`: transient, the
//! caller retries; an operator may have to act first. No error holds a password: errors of the driver never do, and no
//! error repeats the address.

use deadpool_postgres::PoolError;
use deadpool_postgres::TimeoutType;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::store::error::StoreError;

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        let Some(database) = error.as_db_error() else {
            return without_code(&error);
        };
        let detail = format!("{} ({})", database.message(), database.code().code());
        let state = database.code();
        // Names of constraints come from the schema, so they hold no data of a row.
        let place = database.constraint().map(|name| format!(", constraint {name}")).unwrap_or_default();
        match &state.code()[..2] {
            _ if *state == SqlState::DISK_FULL => {
                StoreError::Unavailable(format!("the database's disk is full, make room: {detail}"))
            }
            _ if *state == SqlState::TOO_MANY_CONNECTIONS => StoreError::Unavailable(format!(
                "the database has no connection left, raise its max_connections or lower connections_max: {detail}"
            )),
            _ if *state == SqlState::READ_ONLY_SQL_TRANSACTION => {
                StoreError::Unavailable(format!("the database is read-only, is it a standby? {detail}"))
            }
            _ if *state == SqlState::QUERY_CANCELED => {
                StoreError::Unavailable(format!("a statement took too long, see statement_ms: {detail}"))
            }
            _ if *state == SqlState::INSUFFICIENT_PRIVILEGE || *state == SqlState::UNDEFINED_TABLE => {
                StoreError::Unavailable(format!(
                    "a table or a privilege is missing, restore it for the user of the database: {detail}"
                ))
            }
            _ if *state == SqlState::DATA_CORRUPTED || *state == SqlState::INDEX_CORRUPTED => {
                StoreError::Corrupt { table: "of the database", detail }
            }
            // Data, constraints, limits, features, SQL of this program; unknown roles and databases, wrong passwords.
            "22" | "23" | "54" | "0A" | "42" | "28" | "3D" => StoreError::Refused(format!("{detail}{place}")),
            _ => StoreError::Unavailable(detail),
        }
    }
}

fn without_code(error: &Error) -> StoreError {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    if error.is_closed() {
        return StoreError::Unavailable(format!("the connection to the database is gone: {text}"));
    }
    // The driver tells the kind of the error only in its text.
    if text.starts_with("error serializing") {
        return StoreError::Refused(text);
    }
    if text.starts_with("error deserializing") {
        return StoreError::Corrupt { table: "of the database", detail: text };
    }
    StoreError::Unavailable(text)
}

impl From<PoolError> for StoreError {
    fn from(error: PoolError) -> Self {
        match error {
            PoolError::Backend(error) => error.into(),
            PoolError::Timeout(TimeoutType::Wait) => {
                StoreError::Unavailable("no connection became free in time: raise connections_max".into())
            }
            PoolError::Timeout(TimeoutType::Create) => {
                StoreError::Unavailable("the database did not answer in time to a new connection".into())
            }
            PoolError::Timeout(TimeoutType::Recycle) => {
                StoreError::Unavailable("the database did not answer in time".into())
            }
            other => StoreError::Unavailable(other.to_string()),
        }
    }
}

/// The error of a call after the threads of the store have ended.
pub(super) fn stopped() -> StoreError {
    StoreError::Unavailable("it has been closed".into())
}

/// The error of a call whose own timeout has passed; the database may still finish the work.
pub(super) fn late() -> StoreError {
    StoreError::Unavailable("the database did not answer in time, see statement_ms".into())
}

/// Makes a refused connection transient while the server runs: an operator can change a password back.
pub(super) fn while_connecting(error: StoreError) -> StoreError {
    match error {
        StoreError::Refused(text) => StoreError::Unavailable(format!("the database rejected the connection: {text}")),
        other => other,
    }
}
