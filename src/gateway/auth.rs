//! Authentication: who calls, by which token.
//!
//! Invariant: with a key, no call succeeds without a token that the [`KeyRing`] accepts; a user acts only for
//! themselves, a service as any user. Without a key (dev mode) every caller may act as any user, and the server listens
//! on loopback only. The mode is fixed at the start. Deliberately absent: passwords, sessions; a token in a log or an
//! error.

use std::future::{Ready, ready};
use std::net::SocketAddr;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderMap};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, web};
use arc_swap::ArcSwap;

use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::errors::Problem;
use super::grant::{Grant, Subject, TokenName};
use super::keyring::KeyRing;

/// The check of tokens; cheap to clone.
#[derive(Clone)]
pub struct Auth(Mode);

#[derive(Clone)]
enum Mode {
    Dev,
    Tokens(Arc<ArcSwap<KeyRing>>),
}

impl Auth {
    /// Dev mode: without tokens, every caller may act as any user, on loopback.
    #[must_use]
    pub fn dev() -> Auth {
        Auth(Mode::Dev)
    }

    /// Checks tokens by this ring, and by each ring that replaces it.
    #[must_use]
    pub(crate) fn with_ring(ring: Arc<ArcSwap<KeyRing>>) -> Auth {
        Auth(Mode::Tokens(ring))
    }

    /// True in dev mode, without any key.
    #[must_use]
    pub fn is_dev(&self) -> bool {
        matches!(self.0, Mode::Dev)
    }

    /// Checks a token and returns its rights.
    ///
    /// # Errors
    /// `unauthorized`, with the fault and never the content of the token.
    pub fn check(&self, token: Option<&str>) -> Result<Grant, Refusal> {
        let Mode::Tokens(ring) = &self.0 else {
            return Ok(Grant { subject: Subject::Anyone, signed: None, expires: None, token: None });
        };
        let missing = || Refusal::new(Code::Unauthorized, "a token is needed: send Authorization: Bearer");
        ring.load().check(token.ok_or_else(missing)?)
    }

    /// Reports whether a token that was accepted once is still accepted, apart from its expiry.
    #[must_use]
    pub(crate) fn still_takes(&self, token: &TokenName) -> bool {
        match &self.0 {
            Mode::Dev => true,
            Mode::Tokens(ring) => ring.load().still_takes(token),
        }
    }
}

impl FromRequest for Subject {
    type Error = Problem;
    type Future = Ready<Result<Subject, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(grant_of(request).map(|grant| grant.subject).map_err(Problem::from))
    }
}

/// The rights of a request's token. The middleware has checked it already; on a route without the middleware, this
/// function checks it.
///
/// # Errors
/// `unauthorized`.
pub(super) fn grant_of(request: &HttpRequest) -> Result<Grant, Refusal> {
    if let Some(Checked(checked)) = request.extensions().get::<Checked>() {
        return checked.clone();
    }
    // Fails closed when the set-up lacks `Auth`.
    let forgotten = || Err(Refusal::new(Code::Internal, "the server does not know how to check tokens"));
    let auth = request.app_data::<web::Data<Auth>>();
    auth.map_or_else(forgotten, |auth| auth.check(bearer(request.headers())))
}

/// The token in `Authorization: Bearer`.
#[must_use]
pub fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The key in `X-API-Key`, which Gorse clients send; `None` where it is empty.
#[must_use]
pub(super) fn gorse_key(headers: &HeaderMap) -> Option<&str> {
    headers.get("x-api-key")?.to_str().ok().filter(|key| !key.is_empty())
}

/// The result of the middleware's token check, kept for the handler.
#[derive(Clone)]
pub(super) struct Checked(pub(super) Result<Grant, Refusal>);

/// A listen address that would admit all clients of a network without tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "will not listen on {0} without a secret or a key: set `secret` (EDDYLINE_SECRET) to at least 32 random bytes, make a \
     key with `eddyline token rotate`, or listen on 127.0.0.1"
)]
pub struct OpenListenError(pub SocketAddr);

/// Refuses an address beyond loopback while neither a secret nor a key exists.
///
/// # Errors
/// [`OpenListenError`].
pub fn check_listen(address: SocketAddr, has_key: bool) -> Result<(), OpenListenError> {
    if has_key || address.ip().to_canonical().is_loopback() {
        return Ok(());
    }
    Err(OpenListenError(address))
}

#[cfg(test)]
mod tests {
    use actix_web::test as web_test;
    use actix_web::{App, HttpResponse};
    use jsonwebtoken::{Algorithm, EncodingKey, Header};
    use secrecy::{ExposeSecret as _, SecretString};
    use serde_json::json;

    use crate::domain::ids::Key;
    use crate::domain::time::Millis;
    use crate::gateway::keyring::AuthError;

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

    fn with_secret(secret: &SecretString) -> Result<Auth, AuthError> {
        let ring = KeyRing::new(&[], Some(secret), [])?;
        Ok(Auth::with_ring(Arc::new(ArcSwap::from_pointee(ring))))
    }

    fn issue(secret: &SecretString, person: Option<&Key>, ttl_ms: i64) -> String {
        let ring = KeyRing::new(&[], Some(secret), []).unwrap();
        ring.sign(&key("t1"), person, now().plus(ttl_ms), now()).unwrap().0
    }

    fn signed(algorithm: Algorithm, claims: &serde_json::Value) -> String {
        super::super::hmac::install();
        let key = EncodingKey::from_secret(secret('s').expose_secret().as_bytes());
        jsonwebtoken::encode(&Header::new(algorithm), claims, &key).unwrap()
    }

    /// Columns: name, token, status as that user, status as a service.
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
        let auth = with_secret(&secret('s')).unwrap();
        let app = web_test::init_service(
            App::new()
                .app_data(web::Data::new(auth))
                .route("/own", web::get().to(own))
                .route("/all", web::get().to(all)),
        )
        .await;
        let (later, earlier) = (now().plus(HOUR).0 / 1_000, now().plus(-HOUR).0 / 1_000);
        let user = |name: &str| issue(&secret('s'), Some(&key(name)), HOUR);
        let none_alg = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiJhZGEiLCJleHAiOjk5OTk5OTk5OTl9.";
        let mut forged: Vec<String> = user("ada").split('.').map(str::to_owned).collect();
        forged[1] = user("bob").split('.').nth(1).unwrap().to_owned();
        for (name, token, own, all) in [
            ("own token", Some(user("ada")), 200, 403),
            ("somebody else's", Some(user("bob")), 403, 403),
            ("sub only", Some(signed(Algorithm::HS256, &json!({"sub": "ada", "exp": later}))), 200, 403),
            ("service", Some(issue(&secret('s'), None, HOUR)), 200, 200),
            ("expired", Some(issue(&secret('s'), Some(&key("ada")), -HOUR)), 401, 401),
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
            ("wrong secret", Some(issue(&secret('x'), Some(&key("ada")), HOUR)), 401, 401),
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
        let auth = with_secret(&secret('s')).unwrap();
        let token = issue(&secret('s'), Some(&key("ada")), HOUR);
        let grant = auth.check(Some(&token)).unwrap();
        assert_eq!(grant.subject, Subject::Person(key("ada")));
        assert!(grant.expires.unwrap() > now() && grant.expires.unwrap() <= now().plus(HOUR));
        let token = grant.token.unwrap();
        assert_eq!((token.kid.as_str(), token.jti.as_deref()), ("env", Some("t1")));
        assert_eq!(
            Auth::dev().check(None),
            Ok(Grant { subject: Subject::Anyone, signed: None, expires: None, token: None })
        );
    }

    #[test]
    fn secrets_are_long() {
        assert_eq!(with_secret(&"short".to_owned().into()).err(), Some(AuthError::ShortSecret(5)));
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
