//! Keys and tokens in their tables.
//!
//! Invariant: as `store::access` says. Goes past the writer, since nothing here depends on the order of the journal; each
//! change is a transaction of its own. Absent on purpose: what a secret is used for.

use deadpool_postgres::Pool;
use secrecy::{ExposeSecret as _, SecretSlice};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

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

/// A parameter of a statement.
type Value<'v> = &'v (dyn ToSql + Sync);

/// Carries a change out; says whether it changed anything.
pub(super) async fn apply(pool: Pool, change: Change) -> Result<bool, StoreError> {
    let mut client = pool.get().await?;
    let transaction = client.build_transaction().read_only(false).start().await?;
    let changed = match &change {
        Change::Key(key) => {
            let statement = transaction.prepare_cached(KEYS_TRIM).await?;
            transaction.execute(&statement, &[&i64::from(RETIRED_KEPT)]).await?;
            let statement = transaction.prepare_cached(KEY_INSERT).await?;
            let secret = key.secret.as_ref().map(|secret| secret.expose_secret());
            transaction.query_opt(&statement, &[&key.kid.as_str() as Value<'_>, &secret, &key.created.0]).await?
        }
        Change::Retire(kid, at) => {
            let statement = transaction.prepare_cached(KEY_RETIRE).await?;
            transaction.query_opt(&statement, &[&at.0 as Value<'_>, &kid.as_str()]).await?
        }
        Change::Token(record) => {
            let TokenRecord { jti, kid, holder, created, expires, revoked } = record;
            let statement = transaction.prepare_cached(TOKENS_FORGET).await?;
            transaction.execute(&statement, &[&created.plus(-KEPT_AFTER_EXPIRY_MS).0]).await?;
            let (kid, (role, subject)) = (kid.as_ref().map(Key::as_str), holder.columns());
            let revoked = revoked.map(|at| at.0);
            let statement = transaction.prepare_cached(TOKEN_INSERT).await?;
            let row: [Value<'_>; 7] = [&jti.as_str(), &kid, &role, &subject, &created.0, &expires.0, &revoked];
            transaction.query_opt(&statement, &row).await?
        }
        Change::Revoke(jti, at) => {
            let statement = transaction.prepare_cached(TOKEN_REVOKE).await?;
            transaction.query_opt(&statement, &[&at.0 as Value<'_>, &jti.as_str()]).await?
        }
    };
    transaction.commit().await?;
    Ok(changed.is_some())
}

pub(super) async fn keys(pool: Pool) -> Result<Vec<SigningKey>, StoreError> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(KEYS_LIST).await?;
    client.query(&statement, &[]).await?.iter().map(signing_key).collect()
}

pub(super) async fn tokens(
    pool: Pool,
    live_at: Millis,
    after: String,
    limit: u32,
) -> Result<Vec<TokenRecord>, StoreError> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(TOKENS_LIST).await?;
    client.query(&statement, &[&live_at.0 as Value<'_>, &after, &i64::from(limit)]).await?.iter().map(token).collect()
}

pub(super) async fn revoked_tokens(pool: Pool, live_at: Millis) -> Result<Vec<Key>, StoreError> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(TOKENS_REVOKED).await?;
    client.query(&statement, &[&live_at.0]).await?.iter().map(|row| rows::key("tokens", row, 0)).collect()
}

fn signing_key(row: &Row) -> Result<SigningKey, StoreError> {
    Ok(SigningKey {
        kid: rows::key("keys", row, 0)?,
        secret: row.try_get::<_, Option<Vec<u8>>>(1)?.map(SecretSlice::from),
        created: Millis(row.try_get(2)?),
        retired: row.try_get::<_, Option<i64>>(3)?.map(Millis),
    })
}

fn token(row: &Row) -> Result<TokenRecord, StoreError> {
    let jti = rows::key("tokens", row, 0)?;
    let kid = row.try_get::<_, Option<String>>(1)?.map(|_| rows::key("tokens", row, 1)).transpose()?;
    let (role, subject): (String, Option<String>) = (row.try_get(2)?, row.try_get(3)?);
    let holder = Holder::from_columns(&role, subject.as_deref())
        .ok_or_else(|| rows::corrupt("tokens", format!("role or subject of jti {jti}")))?;
    Ok(TokenRecord {
        jti,
        kid,
        holder,
        created: Millis(row.try_get(4)?),
        expires: Millis(row.try_get(5)?),
        revoked: row.try_get::<_, Option<i64>>(6)?.map(Millis),
    })
}
