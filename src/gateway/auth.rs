//! Who is asking, and what they may do.
//!
//! Invariant: with a secret, nobody acts without a valid, unexpired token (JWT, HS256 only), a person only as
//! themselves, a service as anyone; without one (dev mode) everybody may act as anyone and the server listens on
//! loopback only. Absent on purpose: passwords, sessions, revocation; a token in a log or an error.

use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderMap};
use actix_web::{FromRequest, HttpRequest, web};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};

use crate::domain::ids::Key;
use crate::domain::time::{Millis, SECOND_MS};
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::errors::Problem;

/// The shortest secret: as many bytes as the signature has.
pub const SECRET_BYTES_MIN: usize = 32;

/// How tokens are checked. Cheap to clone.
#[derive(Clone)]
pub struct Auth(Mode);

#[derive(Clone)]
enum Mode {
    Dev,
    Tokens { key: Arc<DecodingKey>, validation: Arc<Validation> },
}

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
    /// Until when; `None` in dev mode.
    pub expires: Option<Millis>,
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

#[derive(Serialize, Deserialize)]
struct Claims {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sub: Option<Key>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    exp: i64,
}

/// Why a secret or a token cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// Too easy to guess.
    #[error("the secret has {0} bytes: use at least 32 random ones")]
    ShortSecret(usize),
    /// A user token is about somebody.
    #[error("a user token needs a subject: name the person's key")]
    NoSubject,
    /// The signature could not be made.
    #[error("the token could not be signed: {0}")]
    Signing(String),
}

impl Auth {
    /// No tokens: everybody may act as anyone, on loopback.
    #[must_use]
    pub fn dev() -> Auth {
        Auth(Mode::Dev)
    }

    /// Tokens signed with this secret.
    ///
    /// # Errors
    /// [`AuthError::ShortSecret`].
    pub fn with_secret(secret: &SecretString) -> Result<Auth, AuthError> {
        let bytes = checked(secret)?;
        let mut validation = Validation::new(Algorithm::HS256);
        validation.leeway = 5;
        validation.validate_nbf = true;
        let key = Arc::new(DecodingKey::from_secret(bytes));
        Ok(Auth(Mode::Tokens { key, validation: Arc::new(validation) }))
    }

    /// No secret: dev mode.
    #[must_use]
    pub fn is_dev(&self) -> bool {
        matches!(self.0, Mode::Dev)
    }

    /// What a token allows.
    ///
    /// # Errors
    /// `unauthorized`, saying what is wrong and never what the token holds.
    pub fn check(&self, token: Option<&str>) -> Result<Grant, Refusal> {
        let Mode::Tokens { key, validation } = &self.0 else {
            return Ok(Grant { subject: Subject::Anyone, expires: None });
        };
        let token = token.ok_or_else(|| unauthorized("a token is needed: send Authorization: Bearer"))?;
        let claims =
            jsonwebtoken::decode::<Claims>(token, key, validation).map_err(|error| refused(error.kind()))?.claims;
        let subject = match (claims.role, claims.sub) {
            (Some(Role::Service), _) => Subject::Anyone,
            (Some(Role::User) | None, Some(person)) => Subject::Person(person),
            (_, None) => return Err(unauthorized("the token names nobody: it needs sub, or role service")),
        };
        Ok(Grant { subject, expires: Some(Millis(claims.exp.saturating_mul(SECOND_MS))) })
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

impl FromRequest for Subject {
    type Error = Problem;
    type Future = Ready<Result<Subject, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let found = match request.app_data::<web::Data<Auth>>() {
            Some(auth) => auth.check(bearer(request.headers())).map(|grant| grant.subject),
            // Forgotten in the set-up: closed rather than open.
            None => Err(Refusal::new(Code::Internal, "the server does not know how to check tokens")),
        };
        ready(found.map_err(Problem::from))
    }
}

/// The token of `Authorization: Bearer`.
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Makes a token. `subject` is the person's key, or any name for a service; `now` and `ttl_ms` in milliseconds.
///
/// # Errors
/// [`AuthError`] when the secret is short, or a user token has no subject.
pub fn issue(
    secret: &SecretString,
    subject: Option<&Key>,
    role: Role,
    ttl_ms: i64,
    now: Millis,
) -> Result<String, AuthError> {
    let key = EncodingKey::from_secret(checked(secret)?);
    if role == Role::User && subject.is_none() {
        return Err(AuthError::NoSubject);
    }
    let exp = now.plus(ttl_ms).0.div_euclid(SECOND_MS);
    let claims = Claims { sub: subject.cloned(), role: Some(role), exp };
    let header = Header::new(Algorithm::HS256);
    jsonwebtoken::encode(&header, &claims, &key).map_err(|error| AuthError::Signing(error.to_string()))
}

/// Without a secret, only this machine may connect.
///
/// # Errors
/// What to do about it.
pub fn check_listen(address: SocketAddr, has_secret: bool) -> Result<(), String> {
    if has_secret || address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    Err(format!("will not listen on {address} without a secret: set one, or listen on 127.0.0.1"))
}

fn checked(secret: &SecretString) -> Result<&[u8], AuthError> {
    let bytes = secret.expose_secret().as_bytes();
    if bytes.len() < SECRET_BYTES_MIN {
        return Err(AuthError::ShortSecret(bytes.len()));
    }
    Ok(bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use actix_web::test as web_test;
    use actix_web::{App, HttpResponse};
    use serde_json::json;

    use super::*;

    const HOUR: i64 = 3_600_000;

    fn secret(fill: char) -> SecretString {
        fill.to_string().repeat(32).into()
    }

    fn now() -> Millis {
        use crate::actors::clock::{Clock, WallClock};
        WallClock::default().now()
    }

    fn key(text: &str) -> Key {
        Key::new(text).unwrap()
    }

    fn signed(algorithm: Algorithm, claims: &serde_json::Value) -> String {
        let key = EncodingKey::from_secret(secret('s').expose_secret().as_bytes());
        jsonwebtoken::encode(&Header::new(algorithm), claims, &key).unwrap()
    }

    /// What a token may do: to whom it is nobody (401), and as whom it may act.
    #[actix_web::test]
    async fn a_token_acts_as_its_subject_only() {
        async fn own(subject: Subject) -> Result<HttpResponse, Problem> {
            subject.may_act_as(&Key::new("ada").unwrap())?;
            Ok(HttpResponse::Ok().finish())
        }
        async fn all(subject: Subject) -> Result<HttpResponse, Problem> {
            subject.must_be_service()?;
            Ok(HttpResponse::Ok().finish())
        }
        let auth = Auth::with_secret(&secret('s')).unwrap();
        let app = web_test::init_service(
            App::new()
                .app_data(web::Data::new(auth))
                .route("/own", web::get().to(own))
                .route("/all", web::get().to(all)),
        )
        .await;
        let (later, earlier) = (now().plus(HOUR).0 / 1_000, now().plus(-HOUR).0 / 1_000);
        let user = |name: &str| issue(&secret('s'), Some(&key(name)), Role::User, HOUR, now()).unwrap();
        let none_alg = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJhZGEiLCJleHAiOjk5OTk5OTk5OTl9.";
        let mut forged: Vec<String> = user("ada").split('.').map(str::to_owned).collect();
        forged[1] = user("bob").split('.').nth(1).unwrap().to_owned();
        for (name, token, own, all) in [
            ("own token", Some(user("ada")), 200, 403),
            ("somebody else's", Some(user("bob")), 403, 403),
            ("sub only", Some(signed(Algorithm::HS256, &json!({"sub": "ada", "exp": later}))), 200, 403),
            ("service", Some(issue(&secret('s'), None, Role::Service, HOUR, now()).unwrap()), 200, 200),
            ("expired", Some(issue(&secret('s'), Some(&key("ada")), Role::User, -HOUR, now()).unwrap()), 401, 401),
            ("expired service", Some(signed(Algorithm::HS256, &json!({"role": "service", "exp": earlier}))), 401, 401),
            ("no exp", Some(signed(Algorithm::HS256, &json!({"sub": "ada"}))), 401, 401),
            ("not yet", Some(signed(Algorithm::HS256, &json!({"sub": "ada", "exp": later, "nbf": later}))), 401, 401),
            ("names nobody", Some(signed(Algorithm::HS256, &json!({"exp": later}))), 401, 401),
            ("empty sub", Some(signed(Algorithm::HS256, &json!({"sub": "", "exp": later}))), 401, 401),
            (
                "unknown role",
                Some(signed(Algorithm::HS256, &json!({"sub": "ada", "role": "root", "exp": later}))),
                401,
                401,
            ),
            (
                "other audience",
                Some(signed(Algorithm::HS256, &json!({"sub": "ada", "aud": "x", "exp": later}))),
                401,
                401,
            ),
            ("wrong secret", Some(issue(&secret('x'), Some(&key("ada")), Role::User, HOUR, now()).unwrap()), 401, 401),
            ("other algorithm", Some(signed(Algorithm::HS512, &json!({"sub": "ada", "exp": later}))), 401, 401),
            ("none algorithm", Some(none_alg.into()), 401, 401),
            ("swapped payload", Some(forged.join(".")), 401, 401),
            ("not a token", Some("abc".into()), 401, 401),
            ("empty", Some(String::new()), 401, 401),
            ("no header", None, 401, 401),
        ] {
            for (path, expected) in [("/own", own), ("/all", all)] {
                let mut request = web_test::TestRequest::get().uri(path);
                if let Some(token) = &token {
                    request = request.insert_header(("authorization", format!("Bearer {token}")));
                }
                let response = web_test::call_service(&app, request.to_request()).await;
                assert_eq!(response.status(), expected, "{name} {path}");
                assert_eq!(response.headers().contains_key("www-authenticate"), expected == 401, "{name} {path}");
            }
        }
    }

    #[test]
    fn a_grant_ends_with_its_token() {
        let auth = Auth::with_secret(&secret('s')).unwrap();
        let token = issue(&secret('s'), Some(&key("ada")), Role::User, HOUR, now()).unwrap();
        let grant = auth.check(Some(&token)).unwrap();
        assert_eq!(grant.subject, Subject::Person(key("ada")));
        assert!(grant.expires.unwrap() > now() && grant.expires.unwrap() <= now().plus(HOUR));
        assert_eq!(Auth::dev().check(None), Ok(Grant { subject: Subject::Anyone, expires: None }));
    }

    #[test]
    fn secrets_are_long_and_user_tokens_name_somebody() {
        assert_eq!(Auth::with_secret(&"short".to_owned().into()).err(), Some(AuthError::ShortSecret(5)));
        assert_eq!(issue(&secret('s'), None, Role::User, HOUR, now()), Err(AuthError::NoSubject));
    }

    #[test]
    fn without_a_secret_only_loopback_is_listened_on() {
        for (address, secret, good) in [
            ("127.0.0.1:8080", false, true),
            ("127.9.9.9:0", false, true),
            ("[::1]:8080", false, true),
            ("[::ffff:127.0.0.1]:1", false, true),
            ("0.0.0.0:8080", false, false),
            ("[::]:8080", false, false),
            ("192.0.2.1:80", false, false),
            ("0.0.0.0:8080", true, true),
        ] {
            assert_eq!(check_listen(address.parse().unwrap(), secret).is_ok(), good, "{address} {secret}");
        }
    }

    #[test]
    fn the_scheme_is_read_in_any_case() {
        let mut headers = HeaderMap::new();
        for (text, expected) in
            [("Bearer abc", Some("abc")), ("bearer abc", Some("abc")), ("Basic abc", None), ("abc", None)]
        {
            headers.insert(header::AUTHORIZATION, text.parse().unwrap());
            assert_eq!(bearer(&headers), expected, "{text}");
        }
    }
}
