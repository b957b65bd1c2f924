//! Answers and errors in the form that clients of the feeds API read.
//!
//! Invariant: every body is a JSON object with `duration`; every error body has `exception`, without which a client takes it for a
//! success. Deliberately absent: statuses without a body.

use std::fmt;
use std::time::Instant;

use actix_web::http::StatusCode;
use actix_web::http::header;
use actix_web::{HttpResponse, ResponseError};
use serde_json::{Map, Value, json};

use crate::actors::errors::RequestError;
use crate::protocol::problem::Code;
use crate::protocol::refusal::Refusal;
use crate::store::StoreError;

use super::super::busy;

/// Kinds of errors, as clients tell them apart by their code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Input that breaks a rule.
    Input,
    /// A group of feeds that is not configured.
    FeedConfig,
    /// An unknown or missing `api_key`.
    ApiKey,
    /// A missing, wrong or expired signature.
    Signature,
    /// A valid token without the right.
    NotAllowed,
    /// Something that does not exist.
    NotFound,
    /// Something that exists already.
    Conflict,
    /// Too many requests.
    RateLimited,
    /// A method that the path does not have.
    Method,
    /// The server cannot answer now.
    Busy,
    /// A fault of the server.
    Internal,
}

impl Fault {
    /// Status, code and name of the exception.
    fn facts(self) -> (StatusCode, u16, &'static str) {
        match self {
            Fault::Input => (StatusCode::BAD_REQUEST, 4, "InputException"),
            Fault::FeedConfig => (StatusCode::BAD_REQUEST, 6, "FeedConfigException"),
            Fault::ApiKey => (StatusCode::UNAUTHORIZED, 2, "ApiKeyException"),
            Fault::Signature => (StatusCode::UNAUTHORIZED, 3, "SignatureException"),
            Fault::NotAllowed => (StatusCode::FORBIDDEN, 17, "NotAllowedException"),
            Fault::NotFound => (StatusCode::NOT_FOUND, 16, "DoesNotExistException"),
            Fault::Conflict => (StatusCode::CONFLICT, 4, "ConflictException"),
            Fault::RateLimited => (StatusCode::TOO_MANY_REQUESTS, 9, "RateLimitReached"),
            Fault::Method => (StatusCode::METHOD_NOT_ALLOWED, 4, "MethodNotAllowedException"),
            Fault::Busy => (StatusCode::SERVICE_UNAVAILABLE, 4, "UnavailableException"),
            Fault::Internal => (StatusCode::INTERNAL_SERVER_ERROR, 4, "InternalException"),
        }
    }
}

/// An error as clients of the feeds API read it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamError {
    fault: Fault,
    detail: String,
    field: Option<String>,
    retry_after_ms: Option<u32>,
}

/// The result of a handler.
pub(crate) type StreamResult = Result<HttpResponse, StreamError>;

impl StreamError {
    /// An error of a kind with a text for people.
    pub(crate) fn new(fault: Fault, detail: impl Into<String>) -> StreamError {
        StreamError { fault, detail: detail.into(), field: None, retry_after_ms: None }
    }

    /// An input error that names the wrong field.
    pub(crate) fn field(field: &str, detail: impl Into<String>) -> StreamError {
        StreamError { field: Some(field.to_owned()), ..StreamError::new(Fault::Input, detail) }
    }

    /// The error of a token without the right.
    pub(crate) fn not_allowed() -> StreamError {
        StreamError::new(Fault::NotAllowed, "this token does not grant this")
    }

    /// The error of something that does not exist.
    pub(crate) fn not_found(what: &str) -> StreamError {
        StreamError::new(Fault::NotFound, format!("{what} does not exist"))
    }

    /// The refusal that the rate limits and the budgets read.
    pub(crate) fn refusal(&self) -> Refusal {
        let code = match self.fault {
            Fault::ApiKey | Fault::Signature => Code::Unauthorized,
            Fault::NotAllowed => Code::Forbidden,
            _ => Code::BadField,
        };
        Refusal::new(code, self.detail.clone())
    }
}

impl From<Refusal> for StreamError {
    fn from(refusal: Refusal) -> StreamError {
        let Refusal { code, field, message, retry_after_ms } = refusal.bounded();
        let fault = match code {
            Code::Unauthorized => Fault::Signature,
            Code::Forbidden => Fault::NotAllowed,
            Code::RateLimited => Fault::RateLimited,
            Code::MethodNotAllowed => Fault::Method,
            Code::Conflict | Code::Unavailable => Fault::Conflict,
            Code::UnknownRoute | Code::UnknownUser | Code::UnknownItem | Code::UnknownEvent => Fault::NotFound,
            Code::Busy => Fault::Busy,
            Code::Internal => Fault::Internal,
            _ => Fault::Input,
        };
        StreamError { fault, detail: message, field, retry_after_ms }
    }
}

impl From<RequestError> for StreamError {
    fn from(error: RequestError) -> StreamError {
        busy::refusal(error).into()
    }
}

impl From<StoreError> for StreamError {
    fn from(error: StoreError) -> StreamError {
        RequestError::from(error).into()
    }
}

impl fmt::Display for StreamError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.detail)
    }
}

impl std::error::Error for StreamError {}

impl ResponseError for StreamError {
    fn status_code(&self) -> StatusCode {
        self.fault.facts().0
    }

    fn error_response(&self) -> HttpResponse {
        let (status, code, exception) = self.fault.facts();
        let mut body = json!({
            "detail": self.detail,
            "status_code": status.as_u16(),
            "code": code,
            "exception": exception,
            "more_info": "docs/stream.md",
            "duration": "0.00ms",
        });
        if let Some(field) = &self.field {
            body["exception_fields"] = json!({ field: [self.detail] });
        }
        let mut response = HttpResponse::build(status);
        response.insert_header((header::CACHE_CONTROL, "no-store"));
        if let Some(pause) = self.retry_after_ms {
            response.insert_header((header::RETRY_AFTER, pause.div_ceil(1_000).max(1)));
        }
        response.json(body)
    }
}

/// A problem of the other interfaces in the form of this one, by its status.
pub(crate) fn problem(status: StatusCode) -> StreamError {
    let fault = match status {
        StatusCode::NOT_FOUND => Fault::NotFound,
        StatusCode::METHOD_NOT_ALLOWED => Fault::Method,
        StatusCode::UNAUTHORIZED => Fault::Signature,
        StatusCode::FORBIDDEN => Fault::NotAllowed,
        StatusCode::TOO_MANY_REQUESTS => Fault::RateLimited,
        StatusCode::SERVICE_UNAVAILABLE => Fault::Busy,
        status if status.is_server_error() => Fault::Internal,
        _ => Fault::Input,
    };
    StreamError::new(fault, status.canonical_reason().unwrap_or("the request was refused"))
}

/// Answers with an object and the time that the request took.
pub(crate) fn answer(status: StatusCode, began: Instant, mut body: Map<String, Value>) -> HttpResponse {
    let took = began.elapsed().as_secs_f64() * 1_000.0;
    body.insert("duration".into(), format!("{took:.2}ms").into());
    let mut response = HttpResponse::build(status);
    response.insert_header((header::CACHE_CONTROL, "no-store"));
    response.json(Value::Object(body))
}
