//! Keys and tokens looked after: made, listed, revoked, rotated, and read again.
//!
//! Invariant: what is changed here is durable before it is answered, and counts on this server at once; what is changed
//! elsewhere (another server on the same store, the command line) counts within [`RELOAD`]. While the store cannot
//! answer, the last picture stays. The last key in use cannot be retired, nor the key of the very token that asks for it,
//! so nobody locks everybody out, or themselves, by mistake. Keys are at most [`KEYS_MAX`]. Absent on purpose: who may do
//! this (`rest::access`); a way to read a secret back.

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

/// Between two readings of what others have changed.
pub const RELOAD: Duration = Duration::from_secs(2);
/// Tokens that are read at once.
const PAGE: u32 = 1_000;
/// How many days a token may live.
pub const DAYS_MAX: i64 = 3_650;
/// How many when nobody says.
pub const DAYS_DEFAULT: i64 = 30;
/// Stored keys in use, at most.
pub const KEYS_MAX: usize = 100;
/// What is said where the first key is made while nobody needs a token.
pub const FIRST_KEY: &str = "from its next start on this server answers 401 to every request without a token: make a \
     service token now, with POST /v1/tokens {\"service\": true} or `eddyline token create --service`";

/// See the module.
pub struct Access {
    store: Arc<dyn Store>,
    secret: Option<SecretString>,
    ring: Arc<ArcSwap<KeyRing>>,
    dev: bool,
    // One reading at a time, so that an older one never replaces a newer one.
    reading: tokio::sync::Mutex<()>,
    // One change of keys at a time, so that two of them never retire the last two keys.
    changing: tokio::sync::Mutex<()>,
    // By key, the erasures under way of people whose tokens the ring may not know as revoked yet.
    leaving: Mutex<HashMap<Key, usize>>,
}

/// Tokens for a person are refused while this lives.
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

/// A new token. It cannot be read again later.
pub struct Issued {
    /// For its holder only.
    pub token: SecretString,
    /// What is kept.
    pub record: TokenRecord,
}

/// A key as it may be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyInfo {
    /// Its id.
    pub kid: Key,
    /// When it was made; `None` for the configured secret.
    pub created: Option<Millis>,
    /// Since when its tokens are refused.
    pub retired: Option<Millis>,
    /// New tokens are signed with it now.
    pub signs: bool,
    /// From when on it may sign; `None` for the configured secret.
    pub signs_from: Option<Millis>,
}

/// Why it was not done.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Secrets and signatures.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// No such token.
    #[error("no token {0} is known: name its `expires` to revoke one that was made elsewhere")]
    UnknownToken(Key),
    /// No such key.
    #[error("no key {0} is in use")]
    UnknownKey(Key),
    /// It is not in the store.
    #[error("the key env is the configured secret: change EDDYLINE_SECRET and start again")]
    Configured,
    /// Nobody could come in any more.
    #[error("{0} is the last key in use: make another one first, with POST /v1/keys or `eddyline token rotate`")]
    LastKey(Key),
    /// Whoever asks would be the first to be locked out.
    #[error(
        "{0} signed the token of this very request: make a token with the key that signs now (POST /v1/tokens, or \
         `eddyline token create`), and retire {0} with that one"
    )]
    OwnKey(Key),
    /// Whoever is made under this key next must not meet tokens of its former holder.
    #[error("the person {0} is being erased: ask for a token once that is done, for whoever has this key then")]
    BeingErased(Key),
    /// Nobody needs so many.
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
                tracing::error!(error = %message, "keys and tokens");
                Refusal::new(Code::Internal, "keys and tokens failed; the server's log says more")
            }
        }
    }
}

impl Access {
    /// Reads the keys of a store. Without any, and without a secret, it is dev mode; a retired key counts as one, so
    /// that retiring never opens a door.
    ///
    /// # Errors
    /// What the store says, or a short secret.
    pub async fn open(store: Arc<dyn Store>, secret: Option<SecretString>, now: Millis) -> Result<Access, AccessError> {
        let (ring, stored) = read(&*store, secret.as_ref(), now).await?;
        let dev = secret.is_none() && stored == 0;
        let ring = Arc::new(ArcSwap::from_pointee(ring));
        let (reading, changing, leaving) = Default::default();
        Ok(Access { store, secret, ring, dev, reading, changing, leaving })
    }

    /// Nobody needs a token here, until the next start.
    #[must_use]
    pub fn is_dev(&self) -> bool {
        self.dev
    }

    /// Could nobody come in? Tokens are needed, all of them are made here, and none is left that would be taken.
    ///
    /// # Errors
    /// What the store says.
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

    /// A person is about to be erased: from now on no token acts for them, whatever the ring has read.
    #[must_use]
    pub fn begin_erasure(self: &Arc<Access>, person: Key) -> ErasureGuard {
        let mut leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        *leaving.entry(person.clone()).or_default() += 1;
        drop(leaving);
        ErasureGuard { access: Arc::clone(self), person }
    }

    /// Is a person with this key on their way out?
    #[must_use]
    pub fn is_being_erased(&self, person: &Key) -> bool {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner).contains_key(person)
    }

    /// The erasure is durable, and with it the revocation of the person's tokens: the ring hears of it before it is
    /// answered. While the store cannot be read, their tokens stay refused.
    pub async fn end_erasure(&self, leaving: ErasureGuard, now: Millis) {
        let Err(error) = self.reload(now).await else { return };
        tracing::warn!(%error, "the tokens of an erased person cannot be read: none for that key is taken until they are");
        tokio::spawn(async move {
            while leaving.access.reload(now).await.is_err() {
                tokio::time::sleep(RELOAD).await;
            }
        });
    }

    /// For those who check tokens.
    #[must_use]
    pub fn auth(&self) -> Auth {
        if self.dev { Auth::dev() } else { Auth::with_ring(Arc::clone(&self.ring)) }
    }

    /// Reads what others have changed.
    ///
    /// # Errors
    /// What the store says; the last picture stays.
    pub async fn reload(&self, now: Millis) -> Result<(), AccessError> {
        let _one = self.reading.lock().await;
        let (ring, _) = read(&*self.store, self.secret.as_ref(), now).await?;
        self.ring.store(Arc::new(ring));
        Ok(())
    }

    /// Makes a token for a person (`Some`) or a service.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn create(&self, person: Option<Key>, days: i64, now: Millis) -> Result<Issued, AccessError> {
        let expires = now.plus(days.saturating_mul(DAY_MS));
        let jti = random_key("");
        let (token, kid) = self.ring.load().sign(&jti, person.as_ref(), expires, now)?;
        // An erasure that begins after this is of a later instant than `now`, so the token is its former holder's.
        if let Some(person) = person.as_ref().filter(|person| self.is_being_erased(person)) {
            return Err(AccessError::BeingErased(person.clone()));
        }
        let holder = person.map_or(Holder::Service, Holder::Person);
        let record = TokenRecord { jti, kid: Some(kid), holder, created: now, expires, revoked: None };
        self.store.insert_token(record.clone()).await?;
        Ok(Issued { token: token.into(), record })
    }

    /// Revokes a token. One that was made elsewhere is not known here: `expires` says how long to remember it.
    ///
    /// # Errors
    /// [`AccessError`].
    pub async fn revoke(&self, jti: Key, expires: Option<Millis>, now: Millis) -> Result<(), AccessError> {
        if !self.store.revoke_token(jti.clone(), now).await? {
            let Some(expires) = expires else { return Err(AccessError::UnknownToken(jti)) };
            let holder = Holder::Elsewhere;
            let record = TokenRecord { jti: jti.clone(), kid: None, holder, created: now, expires, revoked: Some(now) };
            if !self.store.insert_token(record).await? {
                // Somebody was faster: it is known now.
                self.store.revoke_token(jti, now).await?;
            }
        }
        self.reload(now).await
    }

    /// Makes a new key. All others go on checking.
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
        tracing::info!(kid = kid.as_str(), "a new key");
        if self.dev {
            tracing::warn!(kid = kid.as_str(), "{FIRST_KEY}");
        }
        let signs = self.ring.load().signer(now) == Some(&kid);
        let signs_from = Some(now.plus(if signs { 0 } else { SIGNS_AFTER_MS }));
        Ok(KeyInfo { kid, created: Some(now), retired: None, signs, signs_from })
    }

    /// Takes a key out of use: its tokens are refused from now on. `by` is the token of whoever asks for it.
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
        tracing::info!(kid = kid.as_str(), "a key was retired");
        Ok(())
    }

    /// All keys, the configured one first.
    ///
    /// # Errors
    /// What the store says.
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
    /// What the store says.
    pub async fn tokens(&self, after: String, limit: u32, now: Millis) -> Result<Vec<TokenRecord>, AccessError> {
        Ok(self.store.tokens(now, after, limit).await?)
    }

    /// Can it sign?
    #[must_use]
    pub fn has_signer(&self) -> bool {
        !self.ring.load().is_empty()
    }
}

async fn read(store: &dyn Store, secret: Option<&SecretString>, now: Millis) -> Result<(KeyRing, usize), AccessError> {
    let stored = store.keys().await?;
    // A token is taken a little longer than it says; so is its revocation.
    let revoked = store.revoked_tokens(now.plus(-MINUTE_MS)).await?;
    Ok((KeyRing::new(&stored, secret, revoked)?, stored.len()))
}

/// Reads again and again until nobody holds `access` any more.
pub async fn keep_fresh(access: std::sync::Weak<Access>, now: impl Fn() -> Millis) {
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
            tracing::warn!(%error, "keys and revocations cannot be read: those read last stay in force");
        }
        failing = outcome.is_err();
    }
}

/// 128 bits from the thread's generator, which the operating system seeds: nobody guesses the next one.
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
