//! What Postgres's errors mean to whoever called.
//!
//! Invariant: `Refused` is said only of what the rows or our statements are to blame for: whoever hears it gives the rows
//! up. Everything that an operator, or time, can mend is `Unavailable`. No error holds a password: the driver's never do,
//! and the address is not repeated.

use deadpool_postgres::PoolError;
use deadpool_postgres::TimeoutType;
use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::store::StoreError;

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        let Some(database) = error.as_db_error() else {
            return without_code(&error);
        };
        let detail = format!("{} ({})", database.message(), database.code().code());
        let state = database.code();
        // Whatever else is said about it, `constraint` and `table` are names of ours.
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
                    "somebody changed the database, give its user back what is ours: {detail}"
                ))
            }
            _ if *state == SqlState::DATA_CORRUPTED || *state == SqlState::INDEX_CORRUPTED => {
                StoreError::Corrupt { table: "of the database", detail }
            }
            // Data, constraints, limits, features, our statements; names and passwords that do not fit.
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
    // The driver says what kind it is only in its text.
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

/// The store's own threads have ended, so nobody answers.
pub(super) fn stopped() -> StoreError {
    StoreError::Unavailable("it has been closed".into())
}

/// Nothing came back within our own patience, whatever the database may still do.
pub(super) fn late() -> StoreError {
    StoreError::Unavailable("the database did not answer in time, see statement_ms".into())
}

/// While the server runs nothing but a row can be refused: a password that was changed can be changed back.
pub(super) fn while_connecting(error: StoreError) -> StoreError {
    match error {
        StoreError::Refused(text) => StoreError::Unavailable(format!("the database turned us away: {text}")),
        other => other,
    }
}
