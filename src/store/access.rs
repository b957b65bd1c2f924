//! Signing keys and token records.
//!
//! Invariant: a retired key has no secret any more. A token's record outlives the token, so a revocation is never
//! deleted too early. No log and no error shows a secret. Absent on purpose: the tokens themselves (the store holds
//! only their ids), and their signing and checking, which belong to the gateway.

use futures_util::future::BoxFuture;
use secrecy::SecretSlice;

use crate::domain::ids::Key;
use crate::domain::time::{DAY_MS, Millis};
use crate::store::error::StoreError;

/// One change to keys or tokens.
pub(super) enum AccessChange {
    /// Adds a signing key.
    Key(SigningKey),
    /// Retires a key from an instant on.
    Retire(Key, Millis),
    /// Adds the record of a token.
    Token(TokenRecord),
    /// Revokes a token from an instant on.
    Revoke(Key, Millis),
}

/// Milliseconds for which a record stays after its token has expired: a margin for clocks of other machines.
pub const KEPT_AFTER_EXPIRY_MS: i64 = DAY_MS;

/// Number of retired keys that stay stored, so that an operator sees their history.
pub const RETIRED_KEPT: u32 = 100;

/// A key that signs tokens.
#[derive(Debug)]
pub struct SigningKey {
    /// Id of the key, which every token that it signs carries as `kid`.
    pub kid: Key,
    /// The secret; `None` once the key is retired.
    pub secret: Option<SecretSlice<u8>>,
    /// When the key was created.
    pub created: Millis,
    /// Since when tokens of this key are refused; `None` while it is in use.
    pub retired: Option<Millis>,
}

/// The principal of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// The token acts as this person.
    Person(Key),
    /// The token may act as any person.
    Service,
    /// Another system signed the token with a shared secret; the store knows only its revocation.
    Elsewhere,
}

impl Holder {
    /// Columns `role` and `subject` of table `tokens`; the subject is the person's key.
    #[must_use]
    pub fn columns(&self) -> (&'static str, Option<&str>) {
        match self {
            Holder::Person(key) => ("user", Some(key.as_str())),
            Holder::Service => ("service", None),
            Holder::Elsewhere => ("elsewhere", None),
        }
    }

    /// The holder of the columns that [`Holder::columns`] wrote; `None` when they do not parse.
    #[must_use]
    pub fn from_columns(role: &str, subject: Option<&str>) -> Option<Holder> {
        match (role, subject) {
            ("user", Some(key)) => Key::stored(key).ok().map(Holder::Person),
            ("service", None) => Some(Holder::Service),
            ("elsewhere", None) => Some(Holder::Elsewhere),
            _ => None,
        }
    }
}

/// The record of a token, without the token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// Id of the token, `jti` in its claims.
    pub jti: Key,
    /// The key that signed the token; `None` when another system did.
    pub kid: Option<Key>,
    /// The principal that the token acts as.
    pub holder: Holder,
    /// When the token was created, or first seen in a revocation.
    pub created: Millis,
    /// When the token expires.
    pub expires: Millis,
    /// Since when the token is refused; `None` while it is valid.
    pub revoked: Option<Millis>,
}

/// Stores signing keys and token records.
pub trait AccessStore: Send + Sync + 'static {
    /// All keys that sign tokens, retired ones too, by creation and then id.
    fn keys(&self) -> BoxFuture<'_, Result<Vec<SigningKey>, StoreError>>;

    /// Adds a key; `false` when its id is taken. Deletes retired keys except the last [`RETIRED_KEPT`].
    fn insert_key(&self, key: SigningKey) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Retires a key and deletes its secret; `false` when no key of this id is in use.
    fn retire_key(&self, kid: Key, at: Millis) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Tokens that expire after `live_at`, by id, after the id `after` (empty: from the first), at most `limit`.
    fn tokens(&self, live_at: Millis, after: String, limit: u32)
    -> BoxFuture<'_, Result<Vec<TokenRecord>, StoreError>>;

    /// Adds the record of a token; `false` when its id is taken, and nothing has changed. Deletes records of tokens
    /// that expired [`KEPT_AFTER_EXPIRY_MS`] before this one was created.
    fn insert_token(&self, record: TokenRecord) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Revokes a token; a second revocation keeps the first instant. `false` when the store holds no such id.
    fn revoke_token(&self, jti: Key, at: Millis) -> BoxFuture<'_, Result<bool, StoreError>>;

    /// Ids of all revoked tokens that expire after `live_at`, in any order.
    fn revoked_tokens(&self, live_at: Millis) -> BoxFuture<'_, Result<Vec<Key>, StoreError>>;
}
