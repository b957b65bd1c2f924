//! SQLite errors as store errors.
//!
//! Invariant: `Unavailable` only for transient errors, which a retry may pass. A violated constraint is `Refused`, and
//! a file or row that does not parse is `Corrupt`.

use rusqlite::{Error, ErrorCode};

use super::layout::DATABASE;
use crate::store::error::StoreError;

impl From<Error> for StoreError {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreError::Unavailable(format!("the disk is full, make room ({detail})")),
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
                StoreError::Unavailable(format!("check the permissions of its directory ({detail})"))
            }
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                StoreError::Corrupt { table: DATABASE, detail }
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
                | Error::Utf8Error(..) => StoreError::Corrupt { table: DATABASE, detail },
                _ => StoreError::Refused(detail),
            },
        }
    }
}

/// The error of a call after a thread of the store has ended.
pub(super) fn stopped() -> StoreError {
    StoreError::Unavailable("it has been closed".into())
}
