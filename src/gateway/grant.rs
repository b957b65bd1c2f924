//! The rights that a checked token grants: its subject, its dates and its name.
//!
//! Invariant: plain values; a [`Grant`] comes only from `auth`, after the token was checked. Deliberately absent: checking
//! and signing tokens (`keyring`).

use serde::{Deserialize, Serialize};

use crate::domain::ids::Key;
use crate::domain::time::Millis;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

/// The caller that a token identifies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A service, or any caller in dev mode; it may act as any user.
    Anyone,
    /// One user, who acts only for this key.
    Person(Key),
}

/// The rights of a checked token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// The caller that the token identifies.
    pub subject: Subject,
    /// The last instant at which the token may have been signed; `None` in dev mode, and for a token without `iat`.
    pub signed: Option<Millis>,
    /// The end of the token; `None` in dev mode.
    pub expires: Option<Millis>,
    /// The name of the token; `None` in dev mode.
    pub token: Option<TokenName>,
}

impl Grant {
    /// The rights of the configured key of Gorse clients: those of a service. Its name is no key id of a token, so that it
    /// has a rate limit of its own.
    pub(crate) fn of_gorse_key() -> Grant {
        let token = TokenName { kid: "gorse.api_key".to_owned(), jti: None };
        Grant { subject: Subject::Anyone, signed: None, expires: None, token: Some(token) }
    }
}

/// The name of a token: it identifies a token and grants nothing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TokenName {
    /// The id of the key that signed the token.
    pub kid: String,
    /// The token's own id, if its issuer gave it one.
    pub jti: Option<String>,
}

/// The role in the claims of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// The token acts as the user in `sub`.
    User,
    /// The token acts as any user.
    Service,
}

impl Subject {
    /// Allows acting as this user, and reading the user's data.
    ///
    /// # Errors
    /// `forbidden`.
    pub(crate) fn may_act_as(&self, person: &Key) -> Result<(), Refusal> {
        match self {
            Subject::Anyone => Ok(()),
            Subject::Person(own) if own == person => Ok(()),
            Subject::Person(_) => Err(Refusal::new(Code::Forbidden, "this token acts as another person only")),
        }
    }

    /// Allows changes of shared data, which only services make.
    ///
    /// # Errors
    /// `forbidden`.
    pub(crate) fn must_be_service(&self) -> Result<(), Refusal> {
        match self {
            Subject::Anyone => Ok(()),
            Subject::Person(_) => Err(Refusal::new(Code::Forbidden, "this needs a service token")),
        }
    }
}
