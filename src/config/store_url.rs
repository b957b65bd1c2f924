//! Location of a store: `file:DIRECTORY` or a Postgres URL.
//!
//! Invariant: no message and no output repeats a part that may be a password.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize, Serializer};

use crate::store::postgres::PostgresUrl;

/// Location of a store.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub enum StoreUrl {
    /// The embedded store in this directory.
    File(PathBuf),
    /// The store in this Postgres database.
    Postgres(Box<PostgresUrl>),
}

/// A text that names no store. The messages repeat no part that may be a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreUrlError {
    /// Neither `file:` nor `postgres://`; the value is the scheme alone.
    #[error("must be file:DIRECTORY or postgres://USER:PASSWORD@HOST/DATABASE, begins with {0:?}")]
    Scheme(String),
    /// A `postgres://` URL that the driver cannot use, with the rule that it breaks.
    #[error("{0}")]
    Postgres(String),
}

impl TryFrom<String> for StoreUrl {
    type Error = StoreUrlError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        StoreUrl::parse(&text)
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreUrl::File(directory) => write!(f, "file:{}", directory.display()),
            StoreUrl::Postgres(url) => url.fmt(f),
        }
    }
}

impl Serialize for StoreUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl StoreUrl {
    /// Reads `file:DIR` or `postgres://…`.
    ///
    /// # Errors
    /// The text names no store.
    pub fn parse(text: &str) -> Result<StoreUrl, StoreUrlError> {
        if let Some(directory) = text.strip_prefix("file:").filter(|directory| !directory.is_empty()) {
            return Ok(StoreUrl::File(directory.into()));
        }
        if PostgresUrl::is_one(text) {
            let url = PostgresUrl::parse(text).map_err(|rule| StoreUrlError::Postgres(rule.to_string()))?;
            return Ok(StoreUrl::Postgres(Box::new(url)));
        }
        let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
        Err(StoreUrlError::Scheme(scheme.into()))
    }
}
