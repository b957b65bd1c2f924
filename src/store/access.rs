//! Who may come in, as it is kept: keys that sign tokens, and the tokens that were made.
//!
//! Invariant: a retired key has no secret any more; a token's record outlives the token, so that a revocation is never
//! forgotten too early. A secret shows itself in no log and no error. Absent on purpose: tokens themselves (only their
//! ids are kept), signing and checking, which are the door's.

use secrecy::SecretSlice;

use crate::domain::ids::Key;
use crate::domain::time::{DAY_MS, Millis};

/// One change to who may come in.
pub(super) enum Change {
    /// A new key.
    Key(SigningKey),
    /// This key is not used any more, since then.
    Retire(Key, Millis),
    /// A new token.
    Token(TokenRecord),
    /// This token is refused, since then.
    Revoke(Key, Millis),
}

/// A record is kept for so long after its token has expired, whatever the clocks of other machines say.
pub const KEPT_AFTER_EXPIRY_MS: i64 = DAY_MS;

/// Retired keys that are kept, so that whoever looks after the server sees what became of them.
pub const RETIRED_KEPT: u32 = 100;

/// A key that signs tokens.
#[derive(Debug)]
pub struct SigningKey {
    /// Its name, which every token that it signs carries as `kid`.
    pub kid: Key,
    /// The secret; `None` once it is retired.
    pub secret: Option<SecretSlice<u8>>,
    /// When it was made.
    pub created: Millis,
    /// Since when its tokens are refused.
    pub retired: Option<Millis>,
}

/// For whom a token was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holder {
    /// It acts as this person.
    Person(Key),
    /// It acts as anyone.
    Service,
    /// It was made elsewhere with a shared secret; only its revocation is known here.
    Elsewhere,
}

impl Holder {
    /// As it stands in a table: role, and the person's key.
    #[must_use]
    pub fn columns(&self) -> (&'static str, Option<&str>) {
        match self {
            Holder::Person(key) => ("user", Some(key.as_str())),
            Holder::Service => ("service", None),
            Holder::Elsewhere => ("elsewhere", None),
        }
    }

    /// Reads what [`Holder::columns`] wrote.
    #[must_use]
    pub fn from_columns(role: &str, subject: Option<&str>) -> Option<Holder> {
        match (role, subject) {
            ("user", Some(key)) => Key::new(key).ok().map(Holder::Person),
            ("service", None) => Some(Holder::Service),
            ("elsewhere", None) => Some(Holder::Elsewhere),
            _ => None,
        }
    }
}

/// What is known of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// Its id, `jti` in the token.
    pub jti: Key,
    /// The key that signed it; `None` when it was made elsewhere.
    pub kid: Option<Key>,
    /// For whom.
    pub holder: Holder,
    /// When it was made, or first heard of.
    pub created: Millis,
    /// When it ends by itself.
    pub expires: Millis,
    /// Since when it is refused.
    pub revoked: Option<Millis>,
}
