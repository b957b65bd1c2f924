//! Changes to keys and tokens, inside the transaction of the caller.
//!
//! Invariant: a retired key loses its secret. Absent on purpose: transactions.

use rusqlite::{Connection, params};
use secrecy::ExposeSecret as _;

use crate::domain::ids::Key;
use crate::store::access::{AccessChange, KEPT_AFTER_EXPIRY_MS, RETIRED_KEPT, TokenRecord};
use crate::store::error::StoreError;

const KEY_INSERT: &str = include_str!("../../../../sql/queries/key_insert.sql");
const KEYS_TRIM: &str = include_str!("../../../../sql/queries/keys_trim.sql");
const KEY_RETIRE: &str = include_str!("../../../../sql/queries/key_retire.sql");
const TOKENS_FORGET: &str = include_str!("../../../../sql/queries/tokens_forget.sql");
const TOKEN_INSERT: &str = include_str!("../../../../sql/queries/token_insert.sql");
const TOKEN_REVOKE: &str = include_str!("../../../../sql/queries/token_revoke.sql");

/// Carries out a change; `true` when it changed a row.
pub(super) fn apply(change: &AccessChange, connection: &Connection) -> Result<bool, StoreError> {
    let run = |sql: &str, row: &[&dyn rusqlite::ToSql]| Ok(connection.prepare_cached(sql)?.exists(row)?);
    match change {
        AccessChange::Key(key) => {
            connection.prepare_cached(KEYS_TRIM)?.execute([RETIRED_KEPT])?;
            let secret = key.secret.as_ref().map(|secret| secret.expose_secret());
            run(KEY_INSERT, params![key.kid.as_str(), secret, key.created.0])
        }
        AccessChange::Retire(kid, at) => run(KEY_RETIRE, params![at.0, kid.as_str()]),
        AccessChange::Token(record) => {
            let TokenRecord { jti, kid, holder, created, expires, revoked } = record;
            connection.prepare_cached(TOKENS_FORGET)?.execute([created.plus(-KEPT_AFTER_EXPIRY_MS).0])?;
            let (kid, (role, subject)) = (kid.as_ref().map(Key::as_str), holder.columns());
            let revoked = revoked.map(|at| at.0);
            run(TOKEN_INSERT, params![jti.as_str(), kid, role, subject, created.0, expires.0, revoked])
        }
        AccessChange::Revoke(jti, at) => run(TOKEN_REVOKE, params![at.0, jti.as_str()]),
    }
}
