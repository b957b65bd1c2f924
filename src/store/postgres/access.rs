//! Keys and tokens of the Postgres store.
//!
//! Implements `AccessStore`. Invariant: the rules of `store::access` hold. Writes bypass the writer task, since they do
//! not depend on the order of the journal. Absent on purpose: the use of a secret.

use deadpool_postgres::Pool;
use futures_util::future::BoxFuture;
use secrecy::{ExposeSecret as _, SecretSlice};
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::handle::Postgres;
use super::rows;
use crate::domain::ids::Key;
use crate::domain::time::Millis;
use crate::store::access::{
    AccessChange, AccessStore, Holder, KEPT_AFTER_EXPIRY_MS, RETIRED_KEPT, SigningKey, TokenRecord,
};
use crate::store::error::StoreError;

const KEYS_LIST: &str = include_str!("../../../sql/queries/keys_list.sql");
const KEY_INSERT: &str = include_str!("../../../sql/queries/key_insert.sql");
const KEYS_TRIM: &str = include_str!("../../../sql/queries/keys_trim.sql");
const KEY_RETIRE: &str = include_str!("../../../sql/queries/key_retire.sql");
const TOKENS_LIST: &str = include_str!("../../../sql/queries/tokens_list.sql");
const TOKENS_REVOKED: &str = include_str!("../../../sql/queries/tokens_revoked.sql");
const TOKENS_FORGET: &str = include_str!("../../../sql/queries/tokens_forget.sql");
const TOKEN_INSERT: &str = include_str!("../../../sql/queries/token_insert.sql");
const TOKEN_REVOKE: &str = include_str!("../../../sql/queries/token_revoke.sql");

/// One parameter of a statement.
type Value<'v> = &'v (dyn ToSql + Sync);

impl AccessStore for Postgres {
    fn keys(&self) -> BoxFuture<'_, Result<Vec<SigningKey>, StoreError>> {
        Box::pin(self.read(keys(self.reads.pool.clone())))
    }

    fn insert_key(&self, key: SigningKey) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(self.read(apply(self.reads.pool.clone(), AccessChange::Key(key))))
    }

    fn retire_key(&self, kid: Key, at: Millis) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(self.read(apply(self.reads.pool.clone(), AccessChange::Retire(kid, at))))
    }

    fn tokens(
        &self,
        live_at: Millis,
        after: String,
        limit: u32,
    ) -> BoxFuture<'_, Result<Vec<TokenRecord>, StoreError>> {
        Box::pin(self.read(tokens(self.reads.pool.clone(), live_at, after, limit)))
    }

    fn insert_token(&self, record: TokenRecord) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(self.read(apply(self.reads.pool.clone(), AccessChange::Token(record))))
    }

    fn revoke_token(&self, jti: Key, at: Millis) -> BoxFuture<'_, Result<bool, StoreError>> {
        Box::pin(self.read(apply(self.reads.pool.clone(), AccessChange::Revoke(jti, at))))
    }

    fn revoked_tokens(&self, live_at: Millis) -> BoxFuture<'_, Result<Vec<Key>, StoreError>> {
        Box::pin(self.read(revoked_tokens(self.reads.pool.clone(), live_at)))
    }
}

/// Carries out a change in its own transaction; `true` when it changed a row.
async fn apply(pool: Pool, change: AccessChange) -> Result<bool, StoreError> {
    let mut client = pool.get().await?;
    let transaction = client.build_transaction().read_only(false).start().await?;
    let changed = match &change {
        AccessChange::Key(key) => {
            let statement = transaction.prepare_cached(KEYS_TRIM).await?;
            transaction.execute(&statement, &[&i64::from(RETIRED_KEPT)]).await?;
            let statement = transaction.prepare_cached(KEY_INSERT).await?;
            let secret = key.secret.as_ref().map(|secret| secret.expose_secret());
            transaction.query_opt(&statement, &[&key.kid.as_str() as Value<'_>, &secret, &key.created.0]).await?
        }
        AccessChange::Retire(kid, at) => {
            let statement = transaction.prepare_cached(KEY_RETIRE).await?;
            transaction.query_opt(&statement, &[&at.0 as Value<'_>, &kid.as_str()]).await?
        }
        AccessChange::Token(record) => {
            let TokenRecord { jti, kid, holder, created, expires, revoked } = record;
            let statement = transaction.prepare_cached(TOKENS_FORGET).await?;
            transaction.execute(&statement, &[&created.plus(-KEPT_AFTER_EXPIRY_MS).0]).await?;
            let (kid, (role, subject)) = (kid.as_ref().map(Key::as_str), holder.columns());
            let revoked = revoked.map(|at| at.0);
            let statement = transaction.prepare_cached(TOKEN_INSERT).await?;
            let row: [Value<'_>; 7] = [&jti.as_str(), &kid, &role, &subject, &created.0, &expires.0, &revoked];
            transaction.query_opt(&statement, &row).await?
        }
        AccessChange::Revoke(jti, at) => {
            let statement = transaction.prepare_cached(TOKEN_REVOKE).await?;
            transaction.query_opt(&statement, &[&at.0 as Value<'_>, &jti.as_str()]).await?
        }
    };
    transaction.commit().await?;
    Ok(changed.is_some())
}

async fn keys(pool: Pool) -> Result<Vec<SigningKey>, StoreError> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(KEYS_LIST).await?;
    client.query(&statement, &[]).await?.iter().map(signing_key).collect()
}

async fn tokens(pool: Pool, live_at: Millis, after: String, limit: u32) -> Result<Vec<TokenRecord>, StoreError> {
    let client = pool.get().await?;
    let statement = client.prepare_cached(TOKENS_LIST).await?;
    client.query(&statement, &[&live_at.0 as Value<'_>, &after, &i64::from(limit)]).await?.iter().map(token).collect()
}

async fn revoked_tokens(pool: Pool, live_at: Millis) -> Result<Vec<Key>, StoreError> {
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
