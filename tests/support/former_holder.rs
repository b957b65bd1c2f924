//! Tokens of an erased user, on any store.
//!
//! Invariant: each token is proved valid before it is proved rejected.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use crate::support::rest::Rest;
use crate::support::{Server, now_ms};

/// Value of `EDDYLINE_SECRET` for the server of [`check`].
pub const SECRET: &str = "a secret that another service signs with, too";

/// A token for `ada`, issued at this many seconds from now; `None` leaves the claim out.
fn signed(from_now_s: Option<i64>) -> String {
    signed_at(from_now_s.map(|from_now_s| json!(now_ms() / 1_000 + from_now_s)))
}

fn signed_at(iat: Option<Value>) -> String {
    let mut claims = json!({"sub": "ada", "exp": now_ms() / 1_000 + 3_600});
    if let Some(iat) = iat {
        claims["iat"] = iat;
    }
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    eddyline::gateway::hmac::install();
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap()
}

fn service() -> String {
    let claims = json!({"role": "service", "exp": now_ms() / 1_000 + 3_600});
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    eddyline::gateway::hmac::install();
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap()
}

fn made(rest: &Rest, service: &str) -> String {
    let body = json!({"user": "ada", "days": 1});
    let made: Value = rest.ask("POST", "/v1/tokens", Some(service), Some(&body)).success("make a token").json();
    made["token"].as_str().unwrap().to_owned()
}

/// A key is held, erased, and held by another user. Tokens from before act for neither and create neither; new tokens
/// work.
pub fn check(server: &Server) {
    let (rest, service) = (server.rest(), service());
    let get = |token: &str| rest.ask("GET", "/v1/users/ada", Some(token), None).status;
    let put = |token: &str| rest.ask("PUT", "/v1/users/ada", Some(token), Some(&json!({}))).status;
    // Signed long before a user of that name existed: without an erasure this is valid.
    let own = signed(Some(-60));
    assert_eq!(put(&own), 201, "whoever has a token may make themselves known");
    let before = [
        ("signed by another service", own),
        ("without iat", signed(None)),
        ("signed in whole seconds, maybe in that of the erasure", signed(Some(0))),
        ("made by the server", made(&rest, &service)),
        ("made by the server within this second", made(&rest, &service)),
    ];
    for (name, token) in &before {
        assert_eq!(get(token), 200, "{name}, before");
    }
    rest.ask("DELETE", "/v1/users/ada", Some(&service), None).success("erase ada");
    for (name, token) in &before {
        assert_eq!((get(token), put(token)), (401, 401), "{name}: nobody is made anew by it");
    }
    assert_eq!(put(&service), 201, "somebody new holds the key");
    for (name, token) in &before {
        assert_eq!((get(token), put(token)), (401, 401), "{name}: it is another person's now");
    }
    let with_fractions = signed_at(Some(json!(now_ms() as f64 / 1_000.0)));
    for (name, token) in [("another service", with_fractions), ("the server", made(&rest, &service))] {
        assert_eq!(get(&token), 200, "signed for them by {name}");
    }
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(get(&signed(Some(0))), 200, "signed in whole seconds, in a later second");
    assert_eq!(get(&signed(Some(3_000))), 401, "signed in the future");
}
