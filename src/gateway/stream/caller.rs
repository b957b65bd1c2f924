//! The caller of the feeds API: an app by its key, and the rights of a token.
//!
//! Invariant: the key is checked before the signature, the signature before the rights. Only HS256 tokens of the app's own secret
//! count. A handler gets a [`StreamRequest`] only after both checks, and asks for each right by name. Deliberately absent: tokens
//! of the server's other interfaces.

use std::collections::HashMap;
use std::future::{Ready, ready};
use std::sync::Arc;
use std::time::Instant;

use actix_web::dev::Payload;
use actix_web::http::{StatusCode, header};
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, HttpResponse, web};
use jsonwebtoken::{Algorithm, Validation};
use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::domain::activities::FeedName;
use crate::domain::ids::Key;
use crate::protocol::refusal::Refusal;

use super::super::apps::{StreamApp, StreamApps};
use super::super::body;
use super::super::budget::Holder;
use super::super::grant::{Grant, Subject, TokenName};
use super::super::rates;
use super::super::state::GatewayState;
use super::super::stream_settings::Group;
use super::reply::{Fault, StreamError, StreamResult, answer};

/// Bytes of a parameter in the path or of an id at most.
pub(crate) const TEXT_BYTES_MAX: usize = 255;

/// Claims of a token; other claims are ignored.
#[derive(Clone, Debug, Default, Deserialize)]
struct Claims {
    resource: Option<String>,
    action: Option<String>,
    feed_id: Option<String>,
    user_id: Option<String>,
}

/// The rights of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A token for resources and actions, as servers sign them.
    Scope {
        /// Resources; `*` is all.
        resource: String,
        /// Actions; `*` is all.
        action: String,
        /// The feed without its colon; `*` is all.
        feed: String,
    },
    /// A token of a user, with the rights of the default policy.
    User(String),
}

/// A checked key and token, kept for the handler.
#[derive(Clone)]
pub(crate) struct Admitted {
    pub(crate) app: Arc<StreamApp>,
    pub(crate) caller: Caller,
}

impl Admitted {
    /// Checks key and token of a request.
    ///
    /// # Errors
    /// An unknown key, or a token that the app's secret did not sign.
    pub(crate) fn check(apps: &StreamApps, request: &HttpRequest) -> Result<Admitted, StreamError> {
        let query = pairs(request.query_string());
        let value = |name: &str| query.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str());
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let key = value("api_key").or_else(|| header("x-api-key")).unwrap_or_default();
        let app = apps.get(key).ok_or_else(|| StreamError::new(Fault::ApiKey, "api_key is missing or unknown"))?;
        let token = match header(header::AUTHORIZATION.as_str()) {
            Some(token) => token,
            // Links in mails carry the token in the query.
            None => value("authorization").ok_or_else(|| unsigned("a token is missing"))?,
        };
        let token = token.strip_prefix("Bearer ").unwrap_or(token).trim();
        Ok(Admitted { app: Arc::clone(app), caller: app.caller(token)? })
    }

    /// The rights in the form that rate limits and budgets read.
    pub(crate) fn grant(&self) -> Grant {
        let token = TokenName { kid: format!("apps.{}", self.app.name), jti: None };
        let subject = match &self.caller {
            Caller::User(user) => {
                Key::new(&format!("{}/{user}", self.app.name)).map_or(Subject::Anyone, Subject::Person)
            }
            Caller::Scope { .. } => Subject::Anyone,
        };
        Grant { subject, signed: None, expires: None, token: Some(token) }
    }
}

fn unsigned(detail: &str) -> StreamError {
    StreamError::new(Fault::Signature, detail)
}

impl StreamApp {
    /// The rights of a token.
    ///
    /// # Errors
    /// The app's secret did not sign it, or it has expired.
    pub(crate) fn caller(&self, token: &str) -> Result<Caller, StreamError> {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.required_spec_claims.clear();
        validation.validate_exp = true;
        validation.validate_aud = false;
        let claims = jsonwebtoken::decode::<Claims>(token, &self.secret, &validation);
        let claims =
            claims.map_err(|_| unsigned("the signature of the token is wrong, or the token has expired"))?.claims;
        match claims {
            Claims { resource: Some(resource), action, feed_id, .. } => Ok(Caller::Scope {
                resource,
                action: action.unwrap_or_default(),
                feed: feed_id.unwrap_or_else(|| "*".to_owned()),
            }),
            Claims { user_id: Some(user), .. } if !user.is_empty() && user != "*" && user.len() <= TEXT_BYTES_MAX => {
                Ok(Caller::User(user))
            }
            _ => Err(unsigned("the token names neither a resource nor a user")),
        }
    }
}

fn matches(rule: &str, wanted: &str) -> bool {
    rule.split(',').any(|one| one == "*" || one == wanted)
}

impl Caller {
    /// Whether a scope token covers an action on a resource, and a feed if there is one. Tokens of users cover nothing here.
    pub(crate) fn covers(&self, resource: &str, action: &str, feed: Option<&FeedName>) -> bool {
        let Caller::Scope { resource: resources, action: actions, feed: feeds } = self else { return false };
        let feed = feed.map(FeedName::joined);
        let has_feed = feeds == "*" || feed.is_some_and(|feed| matches(feeds, &feed));
        matches(resources, resource) && matches(actions, action) && has_feed
    }

    /// The user of a user token.
    pub(crate) fn user(&self) -> Option<&str> {
        match self {
            Caller::User(user) => Some(user),
            Caller::Scope { .. } => None,
        }
    }
}

/// A request of an admitted caller.
pub struct StreamRequest {
    state: web::Data<GatewayState>,
    /// The app that the key names.
    pub(crate) app: Arc<StreamApp>,
    /// The rights of its token.
    pub(crate) caller: Caller,
    began: Instant,
    query: Vec<(String, String)>,
    holder: Holder,
    request: HttpRequest,
}

impl FromRequest for StreamRequest {
    type Error = StreamError;
    type Future = Ready<Result<StreamRequest, StreamError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let began = Instant::now();
        let state = request.app_data::<web::Data<GatewayState>>().cloned();
        let checked = request.extensions().get::<CheckedStream>().map(|CheckedStream(checked)| checked.clone());
        let made =
            state.ok_or_else(|| StreamError::new(Fault::Internal, "the server is not set up")).and_then(|state| {
                let Admitted { app, caller } = match checked {
                    Some(checked) => checked?,
                    None => Admitted::check(&state.apps, request)?,
                };
                let grant = Admitted { app: Arc::clone(&app), caller: caller.clone() }.grant();
                let holder = state.budgets.holder(Some(&grant), rates::address_of(request));
                let query = pairs(request.query_string());
                Ok(StreamRequest { state, app, caller, began, query, holder, request: request.clone() })
            });
        ready(made)
    }
}

/// The result of the middleware's check, kept for the handler.
#[derive(Clone)]
pub(crate) struct CheckedStream(pub(crate) Result<Admitted, StreamError>);

fn pairs(query: &str) -> Vec<(String, String)> {
    web::Query::<Vec<(String, String)>>::from_query(query).map(web::Query::into_inner).unwrap_or_default()
}

impl StreamRequest {
    /// A parameter of the query; `None` where it is empty.
    pub(crate) fn param(&self, name: &str) -> Option<&str> {
        let found = self.query.iter().find(|(found, value)| found == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }

    /// All values of a parameter: repeated, with `[]`, or separated by commas.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let array = format!("{name}[]");
        let values = self.query.iter().filter(|(found, _)| found == name || *found == array);
        let parts = values.flat_map(|(_, value)| value.split(',')).map(str::trim).filter(|part| !part.is_empty());
        parts.map(str::to_owned).collect()
    }

    /// Whether a parameter is `true`, `True` or `1`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.param(name).is_some_and(|value| value == "1" || value.eq_ignore_ascii_case("true"))
    }

    /// A whole number of the query, at least 0 and at most `max`.
    pub(crate) fn number(&self, name: &str, default: usize, max: usize) -> Result<usize, StreamError> {
        let Some(text) = self.param(name) else { return Ok(default) };
        let number = text
            .parse::<usize>()
            .map_err(|_| StreamError::field(name, format!("must be a whole number, is {text:?}")))?;
        Ok(number.min(max))
    }

    /// All parameters of the query.
    pub(crate) fn params(&self) -> HashMap<&str, &str> {
        self.query.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
    }

    /// A segment of the path.
    pub(crate) fn segment(&self, name: &str) -> Result<String, StreamError> {
        let text = self.request.match_info().get(name).unwrap_or_default();
        let text = percent_decode_str(text).decode_utf8().map_err(|_| StreamError::field(name, "must be UTF-8"))?;
        if text.is_empty() || text.len() > TEXT_BYTES_MAX || text.chars().any(char::is_control) {
            return Err(StreamError::field(name, "must have 1 to 255 bytes without control characters"));
        }
        Ok(text.into_owned())
    }

    /// The feed of the path, whose group must be configured.
    pub(crate) fn feed(&self) -> Result<FeedName, StreamError> {
        let feed = FeedName::new(&self.segment("slug")?, &self.segment("id")?);
        let feed = feed.map_err(|error| StreamError::field("feed", error.to_string()))?;
        self.group(&feed).map(|_| feed)
    }

    /// A feed that a body names, whose group must be configured.
    pub(crate) fn named_feed(&self, field: &str, value: &Value) -> Result<FeedName, StreamError> {
        let text = value.as_str().ok_or_else(|| StreamError::field(field, "must be a text"))?;
        let feed = FeedName::parse(text).map_err(|error| StreamError::field(field, error.to_string()))?;
        self.group(&feed).map(|_| feed)
    }

    /// How a feed shows its activities.
    pub(crate) fn group(&self, feed: &FeedName) -> Result<Group, StreamError> {
        let unknown = || StreamError::new(Fault::FeedConfig, format!("there is no feed group {}", feed.group()));
        self.app.settings.group(feed.group()).ok_or_else(unknown)
    }

    /// Requires a right of a scope token, or of a user token where `user_may` says so of the user.
    pub(crate) fn require(
        &self,
        resource: &str,
        action: &str,
        feed: Option<&FeedName>,
        user_may: impl FnOnce(&str) -> bool,
    ) -> Result<(), StreamError> {
        let may = match &self.caller {
            Caller::User(user) => user_may(user),
            scope @ Caller::Scope { .. } => scope.covers(resource, action, feed),
        };
        may.then_some(()).ok_or_else(StreamError::not_allowed)
    }

    /// Reads a body of JSON; an empty body is an empty object.
    pub(crate) async fn json(&self, payload: web::Payload) -> Result<Value, StreamError> {
        let incoming =
            body::IncomingBody { headers: self.request.headers(), budgets: &self.state.budgets, holder: self.holder };
        let body = body::any(incoming, payload, body::BATCH_BYTES_MAX).await?;
        if body.iter().all(u8::is_ascii_whitespace) {
            return Ok(Value::Object(Map::new()));
        }
        Ok(body::parse_aside(&body, |bytes| body::parse::<Value>(bytes)).await?)
    }

    /// Reads a body that is an object.
    pub(crate) async fn object(&self, payload: web::Payload) -> Result<Map<String, Value>, StreamError> {
        match self.json(payload).await? {
            Value::Object(object) => Ok(object),
            _ => Err(StreamError::new(Fault::Input, "the body must be an object")),
        }
    }

    /// Answers with 200 and an object.
    pub(crate) fn found(&self, body: Value) -> StreamResult {
        self.with(StatusCode::OK, body)
    }

    /// Answers a change with 201 and an object.
    pub(crate) fn made(&self, body: Value) -> StreamResult {
        self.with(StatusCode::CREATED, body)
    }

    fn with(&self, status: StatusCode, body: Value) -> Result<HttpResponse, StreamError> {
        match body {
            Value::Object(body) => Ok(answer(status, self.began, body)),
            _ => Err(Refusal::new(crate::protocol::problem::Code::Internal, "the answer is no object").into()),
        }
    }

    /// Whether the request asks for objects in place of references.
    pub(crate) fn is_enriched(&self) -> bool {
        self.request.path().starts_with("/api/v1.0/enrich/")
    }

    /// Whether the route of the request has this segment.
    pub(crate) fn has_segment(&self, name: &str) -> bool {
        self.request.match_info().get(name).is_some()
    }

    /// The address by which the client reached the server, as in `http://localhost:8000`.
    pub(crate) fn base(&self) -> String {
        let info = self.request.connection_info();
        format!(
            "{}://{}",
            info.scheme(),
            self.request.headers().get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or("localhost")
        )
    }
}
