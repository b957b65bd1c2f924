//! The rights that a checked token grants: its subject, its dates and its name.
//!
//! Invariant: plain values; a [`Grant`] comes only from `auth`, after the token was checked. Deliberately absent: checking
//! and signing tokens (`keyring`).

use serde::{Deserialize, Serialize};

use crate::domain::ids::Key;
use crate::domain::time::Millis;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

/// Who is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A service, or anybody in dev mode.
    Anyone,
    /// One person.
    Person(Key),
}

/// A checked token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// For whom.
    pub subject: Subject,
    /// The last instant at which it may have been signed; `None` in dev mode, and when the token does not say.
    pub signed: Option<Millis>,
    /// Until when; `None` in dev mode.
    pub expires: Option<Millis>,
    /// Which token it was; `None` in dev mode.
    pub token: Option<TokenName>,
}

/// By what a token can be told from others, without being one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TokenName {
    /// The key that signed it.
    pub kid: String,
    /// Its own id, if whoever made it gave it one.
    pub jti: Option<String>,
}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Acts as the person in `sub`.
    User,
    /// Acts as anyone.
    Service,
}

impl Subject {
    /// May they act as this person, and see what is theirs?
    ///
    /// # Errors
    /// `forbidden`.
    pub fn may_act_as(&self, person: &Key) -> Result<(), Refusal> {
        match self {
            Subject::Anyone => Ok(()),
            Subject::Person(own) if own == person => Ok(()),
            Subject::Person(_) => Err(Refusal::new(Code::Forbidden, "this token acts as another person only")),
        }
    }

    /// May they touch what belongs to everybody?
    ///
    /// # Errors
    /// `forbidden`.
    pub fn must_be_service(&self) -> Result<(), Refusal> {
        match self {
            Subject::Anyone => Ok(()),
            Subject::Person(_) => Err(Refusal::new(Code::Forbidden, "this needs a service token")),
        }
    }
}
