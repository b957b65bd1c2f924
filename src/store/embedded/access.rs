//! Keys and tokens in their tables.
//!
//! Invariant: as `store::access` says. Absent on purpose: transactions, threads; what a secret is used for.

use rusqlite::{Connection, Row, params};
use secrecy::{ExposeSecret as _, SecretSlice};

use super::rows;
use crate::domain::ids::Key;
use crate::domain::time::Millis;
use crate::store::StoreError;
use crate::store::access::{Change, Holder, KEPT_AFTER_EXPIRY_MS, RETIRED_KEPT, SigningKey, TokenRecord};

const KEYS_LIST: &str = include_str!("../../../sql/queries/keys_list.sql");
const KEY_INSERT: &str = include_str!("../../../sql/queries/key_insert.sql");
const KEYS_TRIM: &str = include_str!("../../../sql/queries/keys_trim.sql");
const KEY_RETIRE: &str = include_str!("../../../sql/queries/key_retire.sql");
const TOKENS_LIST: &str = include_str!("../../../sql/queries/tokens_list.sql");
const TOKENS_REVOKED: &str = include_str!("../../../sql/queries/tokens_revoked.sql");
const TOKENS_FORGET: &str = include_str!("../../../sql/queries/tokens_forget.sql");
const TOKEN_INSERT: &str = include_str!("../../../sql/queries/token_insert.sql");
const TOKEN_REVOKE: &str = include_str!("../../../sql/queries/token_revoke.sql");

/// Carries a change out; says whether it changed anything.
pub(super) fn apply(change: &Change, connection: &Connection) -> Result<bool, StoreError> {
    let run = |sql: &str, row: &[&dyn rusqlite::ToSql]| Ok(connection.prepare_cached(sql)?.exists(row)?);
    match change {
        Change::Key(key) => {
            connection.prepare_cached(KEYS_TRIM)?.execute([RETIRED_KEPT])?;
            let secret = key.secret.as_ref().map(|secret| secret.expose_secret());
            run(KEY_INSERT, params![key.kid.as_str(), secret, key.created.0])
        }
        Change::Retire(kid, at) => run(KEY_RETIRE, params![at.0, kid.as_str()]),
        Change::Token(record) => {
            let TokenRecord { jti, kid, holder, created, expires, revoked } = record;
            connection.prepare_cached(TOKENS_FORGET)?.execute([created.plus(-KEPT_AFTER_EXPIRY_MS).0])?;
            let (kid, (role, subject)) = (kid.as_ref().map(Key::as_str), holder.columns());
            let revoked = revoked.map(|at| at.0);
            run(TOKEN_INSERT, params![jti.as_str(), kid, role, subject, created.0, expires.0, revoked])
        }
        Change::Revoke(jti, at) => run(TOKEN_REVOKE, params![at.0, jti.as_str()]),
    }
}

pub(super) fn keys(connection: &Connection) -> Result<Vec<SigningKey>, StoreError> {
    all(connection, KEYS_LIST, params![], |row| {
        Ok(SigningKey {
            kid: rows::key("keys", row, 0)?,
            secret: row.get::<_, Option<Vec<u8>>>(1)?.map(SecretSlice::from),
            created: Millis(row.get(2)?),
            retired: row.get::<_, Option<i64>>(3)?.map(Millis),
        })
    })
}

pub(super) fn tokens(
    connection: &Connection,
    live_at: Millis,
    after: &str,
    limit: u32,
) -> Result<Vec<TokenRecord>, StoreError> {
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

pub(super) fn revoked_tokens(connection: &Connection, live_at: Millis) -> Result<Vec<Key>, StoreError> {
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
