//! What SQLite's errors mean to whoever called.
//!
//! Invariant: `Unavailable` is said only when trying again later may help; a broken rule of the schema is `Refused`, and
//! a file or row that does not parse is `Corrupt`.

use rusqlite::{Error, ErrorCode};

use crate::store::StoreError;

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreError::Unavailable(format!("the disk is full, make room ({detail})")),
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                StoreError::Unavailable(format!("check the permissions of its directory ({detail})"))
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                StoreError::Corrupt { table: super::files::DATABASE, detail }
            }
            Some(ErrorCode::SystemIoFailure) => StoreError::Unavailable(format!("the disk failed ({detail})")),
            Some(
                ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::OutOfMemory
                | ErrorCode::OperationInterrupted,
            ) => StoreError::Unavailable(detail),
            Some(_) => StoreError::Refused(detail),
            None => match error {
                Error::FromSqlConversionFailure(..)
                | Error::IntegralValueOutOfRange(..)
                | Error::InvalidColumnType(..)
                | Error::Utf8Error(..) => StoreError::Corrupt { table: super::files::DATABASE, detail },
                _ => StoreError::Refused(detail),
            },
        }
    }
}

/// A thread of the store has ended, so nobody answers.
pub(super) fn stopped() -> StoreError {
    StoreError::Unavailable("it has been closed".into())
}
