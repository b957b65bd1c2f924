//! The keys in use and the revoked tokens: one immutable ring, replaced as a whole.
//!
//! Invariant: the ring accepts a token only if one of its keys signed it with HS256. The token must not have expired,
//! must name a subject and must not be revoked. The library compares signatures in constant time. All keys check and
//! one signs. A new key signs only after every server has read it; the clock at signing time decides. Deliberately
//! absent: the storage of keys; any other algorithm.

use std::collections::{HashMap, HashSet};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::domain::ids::Key;
use crate::domain::time::{Millis, SECOND_MS};
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;
use crate::store::access::SigningKey;

use super::grant::{Grant, Role, Subject, TokenName};

/// The shortest secret in bytes: the length of the signature.
pub const SECRET_BYTES_MIN: usize = 32;
/// The id of the key that `secret` in the configuration stands for. The ring checks tokens without `kid` with it.
pub(crate) const ENV_KID: &str = "env";
/// Milliseconds until a new key signs, so that each server on the store has read it by then.
pub(crate) const SIGNS_AFTER_MS: i64 = 10 * SECOND_MS;
/// Seconds by which clocks may differ.
pub(crate) const LEEWAY_S: u64 = 5;

#[derive(Serialize, Deserialize)]
struct Claims {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sub: Option<Key>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    jti: Option<Key>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    iat: Option<NumericDate>,
    exp: NumericDate,
}

/// Seconds since 1970, of which RFC 7519 allows fractions.
#[derive(Clone, Copy)]
struct NumericDate(f64);

impl NumericDate {
    /// In whole seconds, rounded down.
    fn of(at: Millis) -> NumericDate {
        NumericDate(at.0.div_euclid(SECOND_MS) as f64)
    }

    /// To the millisecond.
    fn exact(at: Millis) -> NumericDate {
        NumericDate(at.0 as f64 / SECOND_MS as f64)
    }

    /// The first instant that the number may mean: a signer that counts whole seconds cuts off up to one second.
    fn first(self) -> Millis {
        // 1e-3 guards against a float that rounds a millisecond down. A cast of a float saturates at the range of
        // `i64`.
        Millis((self.0 * SECOND_MS as f64 + 1e-3).floor() as i64)
    }
}

impl Serialize for NumericDate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.fract() == 0.0 { serializer.serialize_i64(self.0 as i64) } else { serializer.serialize_f64(self.0) }
    }
}

impl<'de> Deserialize<'de> for NumericDate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        f64::deserialize(deserializer).map(NumericDate)
    }
}

/// An error in making a secret or a token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The secret has fewer than [`SECRET_BYTES_MIN`] bytes.
    #[error("the secret has {0} bytes: use at least 32 random ones")]
    ShortSecret(usize),
    /// The ring has no key.
    #[error("there is no key to sign with: make one with `eddyline token rotate`, or set EDDYLINE_SECRET")]
    NoKey,
    /// The library could not sign.
    #[error("the token could not be signed: {0}")]
    Signing(String),
}

/// A key that signs from an instant on.
struct Signer {
    kid: Key,
    from: Millis,
    key: EncodingKey,
}

/// Keys that check and sign tokens, with the revoked tokens.
pub struct KeyRing {
    keys: HashMap<String, DecodingKey>,
    /// Sorted by the instant from which they sign; the configured secret comes first.
    signers: Vec<Signer>,
    revoked: HashSet<String>,
    validation: Validation,
}

impl KeyRing {
    /// Builds a ring of stored keys (in order of creation), the configured secret, and revoked ids.
    ///
    /// # Errors
    /// [`AuthError::ShortSecret`].
    pub fn new(
        stored: &[SigningKey],
        secret: Option<&SecretString>,
        revoked: impl IntoIterator<Item = Key>,
    ) -> Result<KeyRing, AuthError> {
        super::hmac::install();
        let mut keys = HashMap::new();
        let mut signers = Vec::new();
        if let Some(secret) = secret {
            let bytes = checked(secret)?;
            keys.insert(ENV_KID.to_owned(), DecodingKey::from_secret(bytes));
            let signer = |kid| Signer { kid, from: Millis::MIN, key: EncodingKey::from_secret(bytes) };
            signers.extend(Key::new(ENV_KID).ok().map(signer));
        }
        for key in stored {
            let Some(bytes) = key.secret.as_ref().map(ExposeSecret::expose_secret) else { continue };
            if key.retired.is_some() || key.kid.as_str() == ENV_KID {
                continue;
            }
            keys.insert(key.kid.as_str().to_owned(), DecodingKey::from_secret(bytes));
            let from = key.created.plus(SIGNS_AFTER_MS);
            signers.push(Signer { kid: key.kid.clone(), from, key: EncodingKey::from_secret(bytes) });
        }
        let revoked = revoked.into_iter().map(|jti| jti.as_str().to_owned()).collect();
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = LEEWAY_S;
        validation.validate_nbf = true;
        Ok(KeyRing { keys, signers, revoked, validation })
    }

    /// Checks a token and returns its rights.
    ///
    /// # Errors
    /// `unauthorized`, with the fault and never the content of the token.
    pub fn check(&self, token: &str) -> Result<Grant, Refusal> {
        let header = jsonwebtoken::decode_header(token).map_err(|error| refused(error.kind()))?;
        let kid = header.kid.as_deref().unwrap_or(ENV_KID);
        let key = self
            .keys
            .get(kid)
            .ok_or_else(|| unauthorized("the token's key (kid) is not in use here: get a new token"))?;
        let decoded = jsonwebtoken::decode::<Claims>(token, key, &self.validation);
        let claims = decoded.map_err(|error| refused(error.kind()))?.claims;
        let subject = match (claims.role, claims.sub) {
            (Some(Role::Service), _) => Subject::Anyone,
            (Some(Role::User) | None, Some(person)) => Subject::Person(person),
            (_, None) => return Err(unauthorized("the token has no subject: it needs sub, or role service")),
        };
        let token = TokenName { kid: kid.to_owned(), jti: claims.jti.map(|jti| jti.as_str().to_owned()) };
        if !self.still_takes(&token) {
            return Err(unauthorized("the token was revoked: get a new one"));
        }
        let signed = claims.iat.map(NumericDate::first);
        Ok(Grant { subject, signed, expires: Some(claims.exp.first()), token: Some(token) })
    }

    /// Reports whether the ring still accepts a token that it accepted once, apart from its expiry.
    #[must_use]
    pub(crate) fn still_takes(&self, token: &TokenName) -> bool {
        self.keys.contains_key(&token.kid) && token.jti.as_ref().is_none_or(|jti| !self.revoked.contains(jti))
    }

    /// Signs a token for a user (`Some`) or a service, and returns it with the id of the signing key.
    ///
    /// # Errors
    /// [`AuthError`].
    pub fn sign(
        &self,
        jti: &Key,
        person: Option<&Key>,
        expires: Millis,
        now: Millis,
    ) -> Result<(String, Key), AuthError> {
        let Signer { kid, key, .. } = self.signer_at(now).ok_or(AuthError::NoKey)?;
        let claims = Claims {
            sub: person.cloned(),
            role: Some(if person.is_some() { Role::User } else { Role::Service }),
            jti: Some(jti.clone()),
            // In milliseconds, since less than a second may pass between an erasure and the next holder of the key.
            iat: Some(NumericDate::exact(now)),
            exp: NumericDate::of(expires),
        };
        let header = Header { kid: Some(kid.as_str().to_owned()), ..Header::new(Algorithm::HS256) };
        let token = jsonwebtoken::encode(&header, &claims, key);
        Ok((token.map_err(|error| AuthError::Signing(error.to_string()))?, kid.clone()))
    }

    /// The id of the key that signs at an instant.
    #[must_use]
    pub fn signer(&self, now: Millis) -> Option<&Key> {
        self.signer_at(now).map(|signer| &signer.kid)
    }

    /// The newest key that is old enough to sign; the first key while no key is old enough.
    fn signer_at(&self, now: Millis) -> Option<&Signer> {
        self.signers.iter().rev().find(|signer| signer.from <= now).or(self.signers.first())
    }

    /// The number of keys that check tokens.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// True when the ring has no key, so that it accepts no token.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }
}

fn refused(kind: &ErrorKind) -> Refusal {
    match kind {
        ErrorKind::ExpiredSignature => unauthorized("the token has expired: get a new one"),
        ErrorKind::ImmatureSignature => unauthorized("the token is not valid yet: check the clocks"),
        ErrorKind::MissingRequiredClaim(_) => unauthorized("the token needs the claim exp"),
        ErrorKind::InvalidAlgorithm => unauthorized("the token must be signed with HS256"),
        _ => unauthorized("the token is not valid"),
    }
}

fn unauthorized(message: &str) -> Refusal {
    Refusal::new(Code::Unauthorized, message)
}

fn checked(secret: &SecretString) -> Result<&[u8], AuthError> {
    let bytes = secret.expose_secret().as_bytes();
    if bytes.len() < SECRET_BYTES_MIN {
        return Err(AuthError::ShortSecret(bytes.len()));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Millis = Millis(1_900_000_000_000);

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    fn stored(kid: &str, created: Millis) -> SigningKey {
        let secret = format!("{kid:-<32}").into_bytes();
        SigningKey { kid: key(kid), secret: Some(secret.into()), created, retired: None }
    }

    fn retired(kid: &str) -> SigningKey {
        SigningKey { secret: None, retired: Some(NOW), ..stored(kid, Millis(0)) }
    }

    #[test]
    fn the_newest_key_that_everybody_has_read_signs() {
        let secret: SecretString = "s".repeat(32).into();
        let (old, older, fresh) = (NOW.plus(-60_000), NOW.plus(-90_000), NOW.plus(-100));
        for (name, keys, secret, signer) in [
            ("none", vec![], None, None),
            ("the configured one", vec![], Some(&secret), Some("env")),
            ("a stored one wins", vec![stored("a", old)], Some(&secret), Some("a")),
            ("newest", vec![stored("a", older), stored("b", old)], None, Some("b")),
            ("too new", vec![stored("a", old), stored("b", fresh)], None, Some("a")),
            ("too new, beside the configured one", vec![stored("b", fresh)], Some(&secret), Some("env")),
            ("too new, alone", vec![stored("b", fresh)], None, Some("b")),
            ("retired", vec![stored("a", older), retired("b")], None, Some("a")),
        ] {
            let ring = KeyRing::new(&keys, secret, []).unwrap();
            assert_eq!(ring.signer(NOW).map(Key::as_str), signer, "{name}");
        }
    }

    #[test]
    fn a_new_key_signs_ten_seconds_after_it_was_made_by_the_clock_alone() {
        let ring = KeyRing::new(&[stored("a", Millis(0)), stored("b", NOW)], None, []).unwrap();
        for (after_ms, signer) in
            [(0, "a"), (SIGNS_AFTER_MS - 1, "a"), (SIGNS_AFTER_MS, "b"), (10 * SIGNS_AFTER_MS, "b")]
        {
            let now = NOW.plus(after_ms);
            let (_, kid) = ring.sign(&key("t"), None, now.plus(60_000), now).unwrap();
            assert_eq!(kid.as_str(), signer, "{after_ms} ms after, and nothing was read again");
        }
    }

    /// Columns: `iat` and `exp` as in a token; the last instant of signing, and the end.
    #[test]
    fn dates_of_tokens_may_have_fractions() {
        let secret: SecretString = "s".repeat(32).into();
        let ring = KeyRing::new(&[], Some(&secret), []).unwrap();
        for (iat, exp, signed, expires) in [
            ("1700000000", "4000000000", Some(1_700_000_000_000), Some(4_000_000_000_000)),
            ("1700000000.0", "4000000000.0", Some(1_700_000_000_000), Some(4_000_000_000_000)),
            ("1700000000.25", "4000000000.75", Some(1_700_000_000_250), Some(4_000_000_000_750)),
            ("1.7e9", "4e9", Some(1_700_000_000_000), Some(4_000_000_000_000)),
            ("1795869509.481", "4000000000", Some(1_795_869_509_481), Some(4_000_000_000_000)),
            ("-1.5", "4000000000", Some(-1_500), Some(4_000_000_000_000)),
            ("1700000000", "\"4000000000\"", None, None),
            ("1700000000", "1.5", None, None),
            ("\"now\"", "4000000000", None, None),
        ] {
            let text = format!(r#"{{"sub": "ada", "nbf": 1.5, "iat": {iat}, "exp": {exp}}}"#);
            let claims: serde_json::Value = serde_json::from_str(&text).unwrap();
            let signing = EncodingKey::from_secret(secret.expose_secret().as_bytes());
            let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &signing).unwrap();
            let found = ring.check(&token).ok();
            assert_eq!(found.as_ref().and_then(|grant| grant.signed), signed.map(Millis), "{text}");
            assert_eq!(found.and_then(|grant| grant.expires), expires.map(Millis), "{text}");
        }
    }

    #[test]
    fn each_key_of_the_ring_checks_what_it_signed_and_nothing_else() {
        let later = NOW.plus(3_600_000);
        let one = KeyRing::new(&[stored("a", Millis(0))], None, []).unwrap();
        let (token, kid) = one.sign(&key("t1"), Some(&key("ada")), later, NOW).unwrap();
        assert_eq!(kid.as_str(), "a");
        let same_name = SigningKey { secret: Some(b"x".repeat(32).into()), ..stored("a", Millis(0)) };
        for (name, keys, revoked, good) in [
            ("itself", vec![stored("a", Millis(0))], vec![], true),
            ("with a newer one", vec![stored("a", Millis(0)), stored("b", Millis(1))], vec![], true),
            ("another revoked", vec![stored("a", Millis(0))], vec![key("t2")], true),
            ("revoked", vec![stored("a", Millis(0))], vec![key("t1")], false),
            ("another key", vec![stored("b", Millis(0))], vec![], false),
            ("another secret", vec![same_name], vec![], false),
            ("retired", vec![retired("a")], vec![], false),
        ] {
            let ring = KeyRing::new(&keys, None, revoked).unwrap();
            assert_eq!(ring.check(&token).is_ok(), good, "{name}");
        }
    }

    #[test]
    fn no_stored_key_takes_the_place_of_the_configured_one() {
        let secret: SecretString = "s".repeat(32).into();
        let ring = KeyRing::new(&[stored("env", Millis(0))], Some(&secret), []).unwrap();
        let own = KeyRing::new(&[], Some(&secret), []).unwrap();
        let (token, _) = own.sign(&key("t"), None, NOW.plus(60_000), NOW).unwrap();
        assert!(ring.check(&token).is_ok());
        assert_eq!(ring.len(), 1);
    }
}
