//! Keys and tokens of the embedded store.
//!
//! Implements `AccessStore`. Invariant: the rules of `store::access` hold. Absent on purpose: the use of a secret.

use futures_util::future::BoxFuture;
use rusqlite::{Connection, Row, params};
use secrecy::SecretSlice;

use super::handle::Embedded;
use super::rows;
use crate::domain::ids::Key;
use crate::domain::time::Millis;
use crate::store::access::{AccessChange, AccessStore, Holder, SigningKey, TokenRecord};
use crate::store::error::StoreError;
use crate::store::group::Work;
use crate::store::journal::Outcome;

const KEYS_LIST: &str = include_str!("../../../sql/queries/keys_list.sql");
const TOKENS_LIST: &str = include_str!("../../../sql/queries/tokens_list.sql");
const TOKENS_REVOKED: &str = include_str!("../../../sql/queries/tokens_revoked.sql");

impl Embedded {
    /// Carries out a change; `true` when it changed a row.
    fn change_access(&self, change: AccessChange) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(async move {
            let outcomes = self.writer.ask(Work::Access(change)).await?;
            Ok(matches!(outcomes[..], [Outcome::Stored(_)]))
        })
    }
}

impl AccessStore for Embedded {
    fn keys(&self) -> BoxFuture<'_, Result<Vec<SigningKey>, StoreError>> {
        Box::pin(self.readers.ask(|connection, _| keys(connection)))
    }

    fn insert_key(&self, key: SigningKey) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.change_access(AccessChange::Key(key))
    }

    fn retire_key(&self, kid: Key, at: Millis) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.change_access(AccessChange::Retire(kid, at))
    }

    fn tokens(
        &self,
        live_at: Millis,
        after: String,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<TokenRecord>, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| tokens(connection, live_at, &after, limit)))
    }

    fn insert_token(&self, record: TokenRecord) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.change_access(AccessChange::Token(record))
    }

    fn revoke_token(&self, jti: Key, at: Millis) -> BoxFuture<'_, Result<bool, StoreError>> {
        self.change_access(AccessChange::Revoke(jti, at))
    }

    fn revoked_tokens(&self, live_at: Millis) -> BoxFuture<'_, Result<Vec<Key>, StoreError>> {
        Box::pin(self.readers.ask(move |connection, _| revoked_tokens(connection, live_at)))
    }
}

fn keys(connection: &Connection) -> Result<Vec<SigningKey>, StoreError> {
    all(connection, KEYS_LIST, params![], |row| {
        Ok(SigningKey {
            kid: rows::key("keys", row, 0)?,
            secret: row.get::<_, Option<Vec<u8>>>(1)?.map(SecretSlice::from),
            created: Millis(row.get(2)?),
            retired: row.get::<_, Option<i64>>(3)?.map(Millis),
        })
    })
}

fn tokens(connection: &Connection, live_at: Millis, after: &str, limit: u32) -> Result<Vec<TokenRecord>, StoreError> {
    all(connection, TOKENS_LIST, params![live_at.0, after, limit], |row| {
        let jti = rows::key("tokens", row, 0)?;
        let kid = row.get::<_, Option<String>>(1)?.map(|_| rows::key("tokens", row, 1)).transpose()?;
        let (role, subject): (String, Option<String>) = (row.get(2)?, row.get(3)?);
        let holder = Holder::from_columns(&role, subject.as_deref())
            .ok_or_else(|| rows::corrupt("tokens", format!("role or subject of jti {jti}")))?;
        Ok(TokenRecord {
            jti,
            kid,
            holder,
            created: Millis(row.get(4)?),
            expires: Millis(row.get(5)?),
            revoked: row.get::<_, Option<i64>>(6)?.map(Millis),
        })
    })
}

fn revoked_tokens(connection: &Connection, live_at: Millis) -> Result<Vec<Key>, StoreError> {
    all(connection, TOKENS_REVOKED, params![live_at.0], |row| rows::key("tokens", row, 0))
}

fn all<T>(
    connection: &Connection,
    sql: &str,
    parameters: &[&dyn rusqlite::ToSql],
    read: impl Fn(&Row<'_>) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut found = statement.query(parameters)?;
    let mut list = Vec::new();
    while let Some(row) = found.next()? {
        list.push(read(row)?);
    }
    Ok(list)
}
