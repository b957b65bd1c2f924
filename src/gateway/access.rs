//! Administration of keys and tokens: create, list, revoke, rotate and reload.
//!
//! Invariant: a change through this module is durable before its answer, and applies to this server at once. A change
//! by another server on the store, or by the command line, applies within [`RELOAD`]. While the store is unavailable,
//! the last key ring stays in force. Neither the last key in use nor the key of the calling token can retire. So no
//! caller locks out all users, or itself, by mistake. At most [`KEYS_MAX`] keys exist. Deliberately absent: rights
//! (`rest::access`); reading a secret back.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use secrecy::{SecretSlice, SecretString};

use crate::domain::ids::Key;
use crate::domain::time::{DAY_MS, MINUTE_MS, Millis};
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;
use crate::store::access::{Holder, SigningKey, TokenRecord};
use crate::store::{Store, StoreError};

use super::auth::Auth;
use super::grant::TokenName;
use super::keyring::{AuthError, ENV_KID, KeyRing, SECRET_BYTES_MIN, SIGNS_AFTER_MS};

/// Time between two reloads of keys and revocations.
pub const RELOAD: Duration = Duration::from_secs(2);
/// Tokens per page of the store.
const PAGE: u32 = 1_000;
/// Longest lifetime of a token, in days.
pub const DAYS_MAX: i64 = 3_650;
/// Default lifetime of a token, in days.
pub const DAYS_DEFAULT: i64 = 30;
/// Largest number of stored keys that may be in use at once; retired keys do not count.
pub const KEYS_MAX: usize = 100;
/// The note to the caller that makes the first key while the server runs without tokens.
pub const FIRST_KEY: &str = "from its next start on this server answers 401 to every request without a token: make a \
     service token now, with POST /v1/tokens {\"service\": true} or `eddyline token create --service`";

/// Keys and tokens of one server, over its store.
pub struct Access {
    store: Arc<dyn Store>,
    secret: Option<SecretString>,
    ring: Arc<ArcSwap<KeyRing>>,
    dev: bool,
    // Serializes reloads, so that an older ring never replaces a newer one.
    reading: tokio::sync::Mutex<()>,
    // Serializes changes of keys, so that two of them never retire the last two keys.
    changing: tokio::sync::Mutex<()>,
    // Erasures in progress by user key; the ring may not yet contain the revocations of these users' tokens.
    leaving: Mutex<HashMap<Key, usize>>,
}

/// Blocks all tokens of a user under erasure until it is dropped.
pub struct ErasureGuard {
    access: Arc<Access>,
    person: Key,
}

impl Drop for ErasureGuard {
    fn drop(&mut self) {
        let mut leaving = self.access.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = leaving.get_mut(&self.person) {
            *count -= 1;
            if *count == 0 {
                leaving.remove(&self.person);
            }
        }
    }
}

/// A new token; it cannot be read again later.
pub struct Issued {
    /// The signed token, for its holder only.
    pub token: SecretString,
    /// The record in the store, without the token.
    pub record: TokenRecord,
}

/// The public data of a key, without its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// The id of the key.
    pub kid: Key,
    /// The time of creation; `None` for the configured secret.
    pub created: Option<Millis>,
    /// The time since which its tokens are refused.
    pub retired: Option<Millis>,
    /// True if it signs new tokens now.
    pub signs: bool,
    /// The time from which it may sign; `None` for the configured secret.
    pub signs_from: Option<Millis>,
}

/// An error of a change to keys or tokens.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keyring refused a secret, or could not sign.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// The store has no such token, and the call names no expiry.
    #[error("no token {0} is known: name its `expires` to revoke one that was made elsewhere")]
    UnknownToken(Key),
    /// No key in use has this id.
    #[error("no key {0} is in use")]
    UnknownKey(Key),
    /// The key is the configured secret, which is not in the store.
    #[error("the key env is the configured secret: change EDDYLINE_SECRET and start again")]
    Configured,
    /// The last key in use: without it, no token would be accepted.
    #[error("{0} is the last key in use: make another one first, with POST /v1/keys or `eddyline token rotate`")]
    LastKey(Key),
    /// The key signed the token of the call. Retiring it would end the access of the caller.
    #[error(
        "{0} signed the token of this very request: make a token with the key that signs now (POST /v1/tokens, or \
         `eddyline token create`), and retire {0} with that one"
    )]
    OwnKey(Key),
    /// The user is being erased. A token made now would also act for the next holder of the key.
    #[error("the person {0} is being erased: ask for a token for the key's next holder once that is done")]
    BeingErased(Key),
    /// [`KEYS_MAX`] keys are in use.
    #[error("there are {} keys in use, and no more may be: retire some first, with DELETE /v1/keys/{{kid}}", KEYS_MAX)]
    TooManyKeys,
}

impl From<AccessError> for Refusal {
    fn from(error: AccessError) -> Self {
        let message = error.to_string();
        match error {
            AccessError::Store(StoreError::Unavailable(_)) => Refusal { message, ..Refusal::busy(1_000) },
            AccessError::UnknownToken(_) => Refusal::field(Code::UnknownToken, "jti", message),
            AccessError::UnknownKey(_) => Refusal::field(Code::UnknownToken, "kid", message),
            AccessError::Configured | AccessError::LastKey(_) | AccessError::OwnKey(_) => {
                Refusal::field(Code::Conflict, "kid", message)
            }
            AccessError::BeingErased(_) => Refusal::field(Code::Conflict, "user", message),
            AccessError::Auth(AuthError::NoKey) | AccessError::TooManyKeys => Refusal::new(Code::Conflict, message),
            AccessError::Auth(_) | AccessError::Store(_) => {
                tracing::error!(error = %message, "a change of keys or tokens failed");
                Refusal::new(Code::Internal, "keys and tokens failed; the server's log says more")
            }
        }
    }
}

impl Access {
    /// Reads the keys of a store. Without any key and without a secret, the server runs in dev mode. A retired key
    /// counts as a key, so that retiring never disables authentication.
    ///
    /// # Errors
    /// An error of the store, or a short secret.
    pub async fn open(store: Arc<dyn Store>, secret: Option<SecretString>, now: Millis) -> Result<Access, AccessError> {
        let (ring, stored) = read(&*store, secret.as_ref(), now).await?;
        let dev = secret.is_none() && stored == 0;
        let ring = Arc::new(ArcSwap::from_pointee(ring));
        let (reading, changing, leaving) = Default::default();
        Ok(Access { store, secret, ring, dev, reading, changing, leaving })
    }

    /// True in dev mode: no call needs a token until the next start.
    #[must_use]
    pub fn is_dev(&self) -> bool {
        self.dev
    }

    /// Whether no token can authenticate: tokens are required, no configured secret signs tokens elsewhere, and the key
    /// ring accepts no stored token.
    ///
    /// # Errors
    /// An error of the store.
    pub async fn locks_everybody_out(&self, now: Millis) -> Result<bool, AccessError> {
        if self.dev || self.secret.is_some() {
            return Ok(false);
        }
        let mut after = String::new();
        loop {
            let page = self.store.tokens(now, after, PAGE).await?;
            let ring = self.ring.load();
            let name = |record: &TokenRecord| {
                let kid = record.kid.as_ref()?.as_str().to_owned();
                Some(TokenName { kid, jti: Some(record.jti.as_str().to_owned()) })
            };
            if page.iter().filter_map(name).any(|token| ring.still_takes(&token)) {
                return Ok(false);
            }
            match page.last() {
                Some(last) if page.len() == PAGE as usize => after = last.jti.as_str().to_owned(),
                _ => return Ok(true),
            }
        }
    }

    /// Begins an erasure: from now on no token acts for this user, whatever the ring contains.
    #[must_use]
    pub(crate) fn begin_erasure(self: &Arc<Access>, person: Key) -> ErasureGuard {
        let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        *leaving.entry(person.clone()).or_default() += 1;
        drop(leaving);
        ErasureGuard { access: Arc::clone(self), person }
    }

    /// True while a user with this key is being erased.
    #[must_use]
    pub fn is_being_erased(&self, person: &Key) -> bool {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner).contains_key(person)
    }

    /// Ends an erasure that is durable together with the revocation of the user's tokens: the ring reloads before the
    /// caller gets an answer. While the store cannot be read, the user's tokens stay refused.
    pub(crate) async fn end_erasure(&self, leaving: ErasureGuard, now: Millis) {
        let Err(error) = self.reload(now).await else { return };
        tracing::warn!(%error, "cannot reload the revoked tokens of an erased person: all tokens for that key are refused until then");
        tokio::spawn(async move {
            while leaving.access.reload(now).await.is_err() {
                tokio::time::sleep(RELOAD).await;
            }
        });
    }

    /// The check of tokens by the current ring.
    #[must_use]
    pub fn auth(&self) -> Auth {
        if self.dev { Auth::dev() } else { Auth::with_ring(Arc::clone(&self.ring)) }
    }

    /// Reloads keys and revocations from the store.
    ///
    /// # Errors
    /// An error of the store; the last ring stays.
    pub async fn reload(&self, now: Millis) -> Result<(), AccessError> {
        let _one = self.reading.lock().await;
        let (ring, _) = read(&*self.store, self.secret.as_ref(), now).await?;
        self.ring.store(Arc::new(ring));
        Ok(())
    }

    /// Creates a token for a user (`Some`) or a service.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn create(&self, person: Option<Key>, days: i64, now: Millis) -> Result<Issued, AccessError> {
        let expires = now.plus(days.saturating_mul(DAY_MS));
        let jti = random_key("");
        let (token, kid) = self.ring.load().sign(&jti, person.as_ref(), expires, now)?;
        // An erasure that begins after this check has a later instant than `now`, so the token belongs to the former
        // holder.
        if let Some(person) = person.as_ref().filter(|person| self.is_being_erased(person)) {
            return Err(AccessError::BeingErased(person.clone()));
        }
        let holder = person.map_or(Holder::Service, Holder::Person);
        let record = TokenRecord { jti, kid: Some(kid), holder, created: now, expires, revoked: None };
        self.store.insert_token(record.clone()).await?;
        Ok(Issued { token: token.into(), record })
    }

    /// Revokes a token. For a token that was made elsewhere, `expires` says how long to keep the revocation.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn revoke(&self, jti: Key, expires: Option<Millis>, now: Millis) -> Result<(), AccessError> {
        if !self.store.revoke_token(jti.clone(), now).await? {
            let Some(expires) = expires else { return Err(AccessError::UnknownToken(jti)) };
            let holder = Holder::Elsewhere;
            let record = TokenRecord { jti: jti.clone(), kid: None, holder, created: now, expires, revoked: Some(now) };
            if !self.store.insert_token(record).await? {
                // Another call has stored it meanwhile, so it can be revoked.
                self.store.revoke_token(jti, now).await?;
            }
        }
        self.reload(now).await
    }

    /// Creates a key. All other keys continue to check tokens.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn rotate(&self, now: Millis) -> Result<KeyInfo, AccessError> {
        let _one = self.changing.lock().await;
        if self.store.keys().await?.iter().filter(|key| key.retired.is_none()).count() >= KEYS_MAX {
            return Err(AccessError::TooManyKeys);
        }
        let kid = random_key("key-");
        let secret: SecretSlice<u8> = rand::random::<[u8; SECRET_BYTES_MIN]>().to_vec().into();
        self.store
            .insert_key(SigningKey { kid: kid.clone(), secret: Some(secret), created: now, retired: None })
            .await?;
        self.reload(now).await?;
        tracing::info!(kid = kid.as_str(), "created a signing key");
        if self.dev {
            tracing::warn!(kid = kid.as_str(), "{FIRST_KEY}");
        }
        let signs = self.ring.load().signer(now) == Some(&kid);
        let signs_from = Some(now.plus(if signs { 0 } else { SIGNS_AFTER_MS }));
        Ok(KeyInfo { kid, created: Some(now), retired: None, signs, signs_from })
    }

    /// Retires a key: its tokens are refused from now on. `by` is the calling token.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn retire(&self, kid: Key, by: Option<&TokenName>, now: Millis) -> Result<(), AccessError> {
        let _one = self.changing.lock().await;
        if kid.as_str() == ENV_KID {
            return Err(AccessError::Configured);
        }
        let keys = self.store.keys().await?;
        let others = keys.iter().filter(|key| key.retired.is_none() && key.kid != kid).count();
        if others == 0 && self.secret.is_none() && keys.iter().any(|key| key.kid == kid && key.retired.is_none()) {
            return Err(AccessError::LastKey(kid));
        }
        if by.is_some_and(|token| token.kid == kid.as_str()) {
            return Err(AccessError::OwnKey(kid));
        }
        if !self.store.retire_key(kid.clone(), now).await? {
            return Err(AccessError::UnknownKey(kid));
        }
        self.reload(now).await?;
        tracing::info!(kid = kid.as_str(), "retired a signing key");
        Ok(())
    }

    /// All keys, the configured one first.
    ///
    /// # Errors
    /// An error of the store.
    pub async fn keys(&self, now: Millis) -> Result<Vec<KeyInfo>, AccessError> {
        let ring = self.ring.load_full();
        let face = |kid: Key, created: Option<Millis>, retired| KeyInfo {
            signs: ring.signer(now) == Some(&kid),
            signs_from: created.map(|created| created.plus(SIGNS_AFTER_MS)),
            kid,
            created,
            retired,
        };
        let configured = self.secret.as_ref().and_then(|_| Key::new(ENV_KID).ok());
        let configured = configured.map(|kid| face(kid, None, None));
        let stored = self.store.keys().await?.into_iter();
        Ok(configured.into_iter().chain(stored.map(|key| face(key.kid, Some(key.created), key.retired))).collect())
    }

    /// Tokens that have not expired, by id, after an id (or empty).
    ///
    /// # Errors
    /// An error of the store.
    pub async fn tokens(&self, after: String, limit: u32, now: Millis) -> Result<Vec<TokenRecord>, AccessError> {
        Ok(self.store.tokens(now, after, limit).await?)
    }

    /// True if a key exists to sign tokens.
    #[must_use]
    pub fn has_signer(&self) -> bool {
        !self.ring.load().is_empty()
    }
}

async fn read(store: &dyn Store, secret: Option<&SecretString>, now: Millis) -> Result<(KeyRing, usize), AccessError> {
    let stored = store.keys().await?;
    // The check allows a leeway after expiry, and the revocation covers it.
    let revoked = store.revoked_tokens(now.plus(-MINUTE_MS)).await?;
    Ok((KeyRing::new(&stored, secret, revoked)?, stored.len()))
}

/// Reloads until the last owner drops `access`.
pub(crate) async fn keep_fresh(access: std::sync::Weak<Access>, now: impl Fn() -> Millis) {
    let mut ticks = tokio::time::interval(RELOAD);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut failing = false;
    loop {
        ticks.tick().await;
        let Some(access) = access.upgrade() else { return };
        let outcome = access.reload(now()).await;
        if let Err(error) = &outcome
            && !failing
        {
            tracing::warn!(%error, "cannot reload keys and revocations: the last ring stays in force");
        }
        failing = outcome.is_err();
    }
}

/// 128 bits from the thread's generator, which the operating system seeds; they cannot be guessed.
pub fn random_key(prefix: &str) -> Key {
    let mut text = prefix.to_owned();
    for byte in rand::random::<[u8; 16]>() {
        let _ = write!(text, "{byte:02x}");
    }
    match Key::new(&text) {
        Ok(key) => key,
        Err(_) => unreachable!("hexadecimal digits are a key"),
    }
}
