//! An authenticated request, with all that a handler may use.
//!
//! Invariant: a handler reaches the server through an [`AuthedRequest`], and each of these has a checked subject. So no
//! route reaches the server without a checked token. Deliberately absent: bodies.

use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{EntityTag, Header as _, HeaderMap, IfNoneMatch};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, web};
use percent_encoding::percent_decode_str;

use crate::actors::server::Server;
use crate::domain::ids::{ItemId, Key, UserId};
use crate::domain::stated_time::StatedTime;
use crate::domain::time::Millis;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;

use super::access::Access;
use super::auth;
use super::body::IncomingBody;
use super::budget::{Budgets, Holder};
use super::busy;
use super::checks;
use super::errors::Problem;
use super::gorse_settings::GorseDoor;
use super::grant::{Grant, Subject, TokenName};
use super::origin;
use super::query::Query;
use super::state::GatewayState;
use super::timestamps::{self, Doubts};
use super::{event_ids, rates};

/// Parameters of queries that hold times.
const TIMES: [&str; 5] = ["time", "at", "from", "to", "expires"];

/// A request whose token was checked.
#[derive(Clone)]
pub struct AuthedRequest {
    state: web::Data<GatewayState>,
    grant: Grant,
    holder: Holder,
    request: HttpRequest,
}

// Tries to charge a fault while the bucket is empty, and the longest pause between two tries.
const CHARGES: u32 = 10;
const CHARGE_PAUSE: Duration = Duration::from_secs(2);

/// Whether the request's `If-None-Match` has this tag: the client holds the answer already.
pub(crate) fn holds(request: &HttpRequest, tag: &EntityTag) -> bool {
    match IfNoneMatch::parse(request) {
        Ok(IfNoneMatch::Any) => true,
        Ok(IfNoneMatch::Items(tags)) => tags.iter().any(|one| one.weak_eq(tag)),
        Err(_) => false,
    }
}

/// A user named in a request, as whom the caller may act.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPerson {
    /// The key as the request wrote it.
    pub key: Key,
    /// The dense id of the user.
    pub id: UserId,
}

impl AuthedRequest {
    /// The handle of the actors.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.state.server
    }

    /// Administration of keys and tokens.
    #[must_use]
    pub fn access(&self) -> &Arc<Access> {
        &self.state.access
    }

    /// The name of the calling token; `None` in dev mode.
    #[must_use]
    pub fn token(&self) -> Option<&TokenName> {
        self.grant.token.as_ref()
    }

    /// Checks again that the token is accepted: it may have been revoked while the body arrived.
    ///
    /// # Errors
    /// `unauthorized`.
    pub(crate) fn still_admitted(&self) -> Result<(), Refusal> {
        self.state.admit(auth::bearer(self.request.headers())).map(drop)
    }

    /// The number of open WebSockets.
    #[must_use]
    pub fn sockets(&self) -> usize {
        self.state.registry.len()
    }

    /// Refusals of the rate limits, by kind of bucket.
    #[must_use]
    pub fn rate_limited(&self) -> Vec<(&'static str, u64)> {
        self.state.rates.refused()
    }

    /// The current time by the server's clock.
    #[must_use]
    pub fn now(&self) -> Millis {
        self.server().clock().now()
    }

    /// Takes one event out of a user's budget. Services have no budget per user.
    ///
    /// # Errors
    /// `rate_limited`.
    pub(crate) fn spend(&self, user: UserId) -> Result<(), Refusal> {
        match self.grant.subject {
            Subject::Anyone => Ok(()),
            Subject::Person(_) => self.state.rates.message(user),
        }
    }

    /// Runs a scan whose cost grows with the catalogue or the number of users, on threads apart from the web workers.
    ///
    /// # Errors
    /// `rate_limited` while too many scans of the caller run, `busy` while too many run in all.
    pub async fn scan<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> Result<T, Refusal> {
        self.server().scan(self.quota_user(), job).await.map_err(busy::refusal)
    }

    /// The user whose quota of scans this request takes; services have none.
    #[must_use]
    pub fn quota_user(&self) -> Option<UserId> {
        match self.subject() {
            Subject::Anyone => None,
            // Tokens of unknown users share the quota of one user.
            Subject::Person(key) => Some(self.server().people().find(key.as_str()).unwrap_or(UserId(u32::MAX))),
        }
    }

    /// True for HEAD, whose answer has no body.
    #[must_use]
    pub(crate) fn is_head(&self) -> bool {
        self.request.method() == actix_web::http::Method::HEAD
    }

    /// Charges a refused part of a batch to the sender, like a refused request. While the bucket is empty, the call
    /// waits for at most ten pauses. So a batch of faults is no faster than single requests.
    pub(crate) async fn charge_fault(&self) {
        for _ in 0..CHARGES {
            let address = rates::address_of(&self.request);
            let Err(refusal) = self.state.rates.fault(&self.grant, address) else { return };
            let pause = Duration::from_millis(u64::from(refusal.retry_after_ms.unwrap_or(100)));
            tokio::time::sleep(pause.min(CHARGE_PAUSE)).await;
        }
    }

    /// Budgets that all requests share.
    #[must_use]
    pub(crate) fn budgets(&self) -> &Arc<Budgets> {
        &self.state.budgets
    }

    /// The holder whose share of the budgets this request takes.
    #[must_use]
    pub fn holder(&self) -> Holder {
        self.holder
    }

    /// The headers of the body, with the budgets and the holder that it counts for.
    #[must_use]
    pub fn incoming(&self) -> IncomingBody<'_> {
        IncomingBody { headers: self.headers(), budgets: &self.state.budgets, holder: self.holder }
    }

    /// The caller that the token identifies.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.grant.subject
    }

    /// The headers of the request.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.request.headers()
    }

    /// Whether the client holds the answer with this tag already.
    pub(crate) fn holds(&self, tag: &EntityTag) -> bool {
        holds(&self.request, tag)
    }

    /// The query string as the client sent it.
    #[must_use]
    pub(crate) fn query_string(&self) -> &str {
        self.request.query_string()
    }

    /// Key and kinds of the door for Gorse clients.
    #[must_use]
    pub(crate) fn gorse(&self) -> &GorseDoor {
        &self.state.gorse
    }

    /// Reads the query string, which may contain only `known` parameters.
    ///
    /// # Errors
    /// `bad_field`.
    pub fn query(&self, known: &[&str]) -> Result<Query, Refusal> {
        let query = Query::read(&self.request, known)?;
        for name in TIMES {
            let at = query.text(name).and_then(StatedTime::parse).map(|StatedTime(at)| at);
            self.warn(timestamps::doubt(name, at));
        }
        Ok(query)
    }

    /// Adds a warning to the header `Warning` of the answer.
    pub(crate) fn warn(&self, warning: Option<String>) {
        if let Some(warning) = warning {
            let mut extensions = self.request.extensions_mut();
            extensions.get_or_insert_with(Doubts::default).0.push(warning);
        }
    }

    /// A key in the path.
    ///
    /// # Errors
    /// `bad_field`.
    pub fn key(&self, name: &str) -> Result<Key, Refusal> {
        key_in_path(&self.request, name)
    }

    /// The user `id` of the path.
    ///
    /// # Errors
    /// `forbidden` before `unknown_user`, so that a caller without rights does not learn which users exist.
    pub fn person(&self) -> Result<NamedPerson, Refusal> {
        let key = self.key("id")?;
        self.named(key, "id")
    }

    /// A user named in a request, as whom the caller may act.
    ///
    /// # Errors
    /// `forbidden` before `unknown_user`.
    pub fn named(&self, key: Key, field: &str) -> Result<NamedPerson, Refusal> {
        self.grant.subject.may_act_as(&key)?;
        let id = checks::person(self.server().people(), &key, field)?;
        Ok(NamedPerson { key, id })
    }

    /// Refuses a foreign page that asks for a change by a method that only reads.
    ///
    /// # Errors
    /// `forbidden`.
    pub(crate) fn may_change(&self) -> Result<(), Refusal> {
        origin::may_change(&self.request, &self.state.settings.origins)
    }

    /// Whether the route of the request has this segment.
    #[must_use]
    pub(crate) fn has_segment(&self, name: &str) -> bool {
        self.request.match_info().get(name).is_some()
    }

    /// Finds the item whose key is in the path.
    ///
    /// # Errors
    /// `unknown_item`.
    pub fn item(&self, name: &str) -> Result<ItemId, Refusal> {
        checks::item(&self.server().world(), &self.key(name)?, name)
    }

    /// The id of the event: the one of the body, else the `Idempotency-Key` header, else a generated one.
    ///
    /// # Errors
    /// `bad_field` for a header that is no key, even beside an id in the body.
    pub fn event_id(&self, in_body: Option<Key>) -> Result<Key, Refusal> {
        let in_header = self.idempotency_key()?;
        Ok(in_body.or(in_header).unwrap_or_else(event_ids::fresh))
    }

    /// The `Idempotency-Key` header, which makes a resend harmless.
    ///
    /// # Errors
    /// `bad_field`.
    pub fn idempotency_key(&self) -> Result<Option<Key>, Refusal> {
        let Some(header) = self.headers().get("idempotency-key") else { return Ok(None) };
        let bad = |message: String| Refusal::field(Code::BadField, "Idempotency-Key", message);
        let text = header.to_str().map_err(|_| bad("must be plain ASCII".into()))?;
        Key::new(text).map(Some).map_err(|error| bad(error.to_string()))
    }
}

impl FromRequest for AuthedRequest {
    type Error = Problem;
    type Future = Ready<Result<AuthedRequest, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let grant = auth::grant_of(request).map_err(Problem::from);
        ready(grant.and_then(|grant| {
            let state = request.app_data::<web::Data<GatewayState>>().cloned();
            let state = state.ok_or_else(|| Refusal::new(Code::Internal, "the server is not set up"))?;
            let holder = state.budgets.holder(Some(&grant), rates::address_of(request));
            Ok(AuthedRequest { state, grant, holder, request: request.clone() })
        }))
    }
}

/// A key in the path, decoded once and strictly; actix would put U+FFFD for bytes that are not UTF-8.
fn key_in_path(request: &HttpRequest, name: &str) -> Result<Key, Refusal> {
    let bad = |message: String| Refusal::field(Code::BadField, name, message);
    if percent_decode_str(request.uri().path()).decode_utf8().is_err() {
        return Err(bad("must be UTF-8, percent-encoded".into()));
    }
    // The router has decoded all but %25, %2F and %2B, so that segments stay apart and no byte is decoded twice.
    let text = request.match_info().get(name).unwrap_or_default();
    let text = percent_decode_str(text).decode_utf8().map_err(|error| bad(error.to_string()))?;
    Key::new(&text).map_err(|error| bad(error.to_string()))
}

#[cfg(test)]
mod tests {
    use actix_web::test as web_test;
    use actix_web::{App, HttpResponse};

    use super::super::errors::HttpResult;
    use super::*;

    #[actix_web::test]
    async fn a_key_in_the_path_is_decoded_once_and_strictly() {
        async fn echo(request: HttpRequest) -> HttpResult {
            Ok(HttpResponse::Ok().body(key_in_path(&request, "id")?.as_str().to_owned()))
        }
        let app = web_test::init_service(
            App::new()
                .route("/user/{id}", web::get().to(echo))
                .route("/user/{id}/feed", web::get().to(HttpResponse::Gone)),
        )
        .await;
        let long = "x".repeat(256);
        for (path, status, body) in [
            ("ada", 200, "ada"),
            ("a%20b", 200, "a b"),
            ("a+b", 200, "a+b"),
            ("a%2Bb", 200, "a+b"),
            ("a%2Ffeed", 200, "a/feed"),
            ("a%2Fb", 200, "a/b"),
            ("%252F", 200, "%2F"),
            ("100%25", 200, "100%"),
            ("%F0%9F%8C%8A", 200, "🌊"),
            ("%FF", 400, ""),
            ("%00", 400, ""),
            ("a%0Ab", 400, ""),
            (&long, 400, ""),
        ] {
            let request = web_test::TestRequest::with_uri(&format!("/user/{path}")).to_request();
            let response = web_test::call_service(&app, request).await;
            assert_eq!(response.status(), status, "{path}");
            if status == 200 {
                assert_eq!(web_test::read_body(response).await, body, "{path}");
            }
        }
    }
}
